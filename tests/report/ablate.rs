//! Ablation on the page and in sentences.

use super::html::{Memory, figures, page};
use chanscope::report::results::{
    AblatedLayer, Ablation, AblationCurve, AblationPoint, Network, Results, finite,
};
use chanscope::report::words::{ablated, ablation};
use serde_json::json;

fn curve(ranking: &str, accuracies: [f64; 2]) -> AblationCurve {
    let point = |(share, accuracy): (f64, f64)| AblationPoint {
        share,
        kept: 2,
        accuracy: finite(accuracy),
        standard_error: finite(0.02),
        change: finite(accuracy - 0.95),
        change_error: finite(0.01),
        accuracies: vec![],
    };
    let points = [0.8, 0.4].into_iter().zip(accuracies);
    AblationCurve {
        ranking: ranking.into(),
        points: points.map(point).collect(),
    }
}

fn section(curves: Vec<AblationCurve>) -> Ablation {
    Ablation {
        dropped: "mean".into(),
        samples: 500,
        calibration_samples: 100,
        accuracy: finite(0.95),
        standard_error: finite(0.01),
        layers: vec![AblatedLayer {
            name: "conv<1>".into(),
            channels: 6,
            curves: curves.clone(),
        }],
        together: Some(curves),
    }
}

fn results(curves: Vec<AblationCurve>) -> Results {
    let mut results = Results::new("ablate");
    results.ablation = Some(section(curves));
    results
}

#[test]
fn every_ranking_has_a_line_with_error_bars() {
    let names = ["jaccard", "l1", "apoz", "random"];
    let curves = names.map(|name| curve(name, [0.9, 0.5])).to_vec();
    let html = page(&results(curves), &Memory::new()).html;
    let figures = figures(&html);
    // All layers at once and conv1, each with rankings by similarity and published ones.
    assert_eq!(figures.len(), 4);
    let lines = |at: usize| {
        let series = figures[at]["series"].as_array().unwrap().iter();
        series
            .map(|s| s["name"].as_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (lines(0), lines(1)),
        (vec!["jaccard", "random"], vec!["l1", "apoz", "random"])
    );
    assert_eq!(figures[0]["names"], json!([80, 40]));
    assert_eq!(figures[0]["series"][0]["values"], json!([0.9, 0.5]));
    assert_eq!(figures[0]["series"][0]["errors"], json!([0.02, 0.02]));
    assert_eq!(figures[0]["references"], json!([["intact", 0.95]]));
    assert!(html.contains("<th scope=\"row\">apoz</th><td>"));
    assert!(html.contains("conv&#60;1&#62;") && !html.contains("conv<1>"));
    // A chart needs rankings of its own, and more than one share.
    let only = page(&results(vec![curve("given", [0.9, 0.5])]), &Memory::new()).html;
    assert_eq!(super::html::figures(&only).len(), 2);
    let mut short = curve("l1", [0.9, 0.5]);
    short.points.pop();
    let none = page(&results(vec![short]), &Memory::new()).html;
    assert_eq!(super::html::figures(&none).len(), 0);
    let empty = page(&results(vec![]), &Memory::new()).html;
    assert!(empty.contains("All layers at once"));
}

#[test]
fn one_of_several_networks_is_named() {
    let mut several = results(vec![]);
    several.networks = ["le", "lenet", "lenet5"]
        .map(|name| Network {
            name: name.into(),
            ..Network::default()
        })
        .to_vec();
    let said = |layer: &str| {
        let mut results = several.clone();
        results.ablation.as_mut().unwrap().layers[0].name = layer.into();
        let html = page(&results, &Memory::new()).html;
        let (_, rest) = html.split_once("The intact network").unwrap();
        rest.split_once("classifies").unwrap().0.to_string()
    };
    assert_eq!(said("lenet5.conv1"), " lenet5 ");
    assert_eq!(said("lenet.conv1"), " lenet ");
    assert_eq!(said("conv1"), " ");
}

#[test]
fn sentences_name_the_ends() {
    let said = ablated(&[curve("l1", [0.9, 0.5]), curve("fpgm", [0.8, 0.6])]);
    assert_eq!(
        said,
        [
            "With 40\u{a0}% of the channels kept, the ranking fpgm leaves the highest accuracy, 60.0 ± 2.0\u{a0}%, and l1 the lowest, \
          50.0 ± 2.0\u{a0}%."
        ]
    );
    let one = ablated(&[curve("l1", [0.9, 0.5])]);
    assert!(one[0].ends_with("is left by the ranking l1."), "{one:?}");
    assert!(ablated(&[]).is_empty());
    let run = ablation(&section(vec![]), None);
    assert!(
        run[0].contains("95.0 ± 1.0\u{a0}% of 500 samples"),
        "{run:?}"
    );
    assert!(run[1].contains("their mean") && run[2].contains("100 other samples"));
}
