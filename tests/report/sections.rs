//! Filters, shuffling and impulse responses on the page.

use super::html::{Memory, blob, decode, figures, page};
use chanscope::report::results::{
    ChannelRef, FilterLayer, Filters, Impulse, ImpulseLayer, ImpulseMatch, Network, Observed,
    Results, Shuffle, ShuffleTensor, finite, finite_all,
};
use ndarray::{ArrayD, IxDyn, array};
use serde_json::{Value, json};

fn kind<'a>(figures: &'a [Value], kind: &str) -> Vec<&'a Value> {
    figures.iter().filter(|f| f["kind"] == kind).collect()
}

fn filters(shape: [u64; 4]) -> Results {
    let mut results = Results::new("filters");
    results.filters = Some(Filters {
        layers: vec![FilterLayer {
            name: "conv1".into(),
            shape: shape.to_vec(),
            value: finite(3.0),
            history: Some(finite_all(&[3.0, 2.0])),
            ..FilterLayer::default()
        }],
    });
    results
}

#[test]
fn pairs_of_filters_are_normalised() {
    let pairs = array![[4.0, 3.0, 0.0], [3.0, 9.0, 0.0], [0.0, 0.0, 0.0]];
    let arrays = Memory::from([("filters/conv1/pairs.npy".to_string(), pairs.into_dyn())]);
    let html = page(&filters([3, 1, 2, 2]), &arrays).html;
    let figures = figures(&html);
    let views = &kind(&figures, "heatmap")[0]["views"];
    let normalised = decode(&html, &views[0]["matrix"]);
    assert!((normalised[[0, 1]] - 0.5).abs() < 1e-4);
    assert!(
        normalised[[0, 2]].is_nan(),
        "a zero filter has no normalised value"
    );
    assert!((decode(&html, &views[1]["matrix"])[[0, 1]] - 3.0).abs() < 1e-3);
    let history = kind(&figures, "chart")[0];
    assert_eq!(history["series"][0]["values"], json!([3.0, 2.0]));
}

#[test]
fn a_pair_matrix_too_large_to_be_written_is_no_surprise() {
    let report = page(&filters([2000, 1, 3, 3]), &Memory::new());
    assert!(report.notes.is_empty());
    assert!(report.html.contains("ask for matrices"));
    let report = page(&filters([20, 1, 3, 3]), &Memory::new());
    assert_eq!(report.notes.len(), 1);
}

#[test]
fn filters_become_pictures() {
    let weights = ArrayD::from_shape_vec(IxDyn(&[2, 1, 1, 2]), vec![0.5, -1.0, 0.0, 0.0]).unwrap();
    let arrays = Memory::from([("filters/conv1/weights.npy".to_string(), weights)]);
    let html = page(&filters([2, 1, 1, 2]), &arrays).html;
    let figures = figures(&html);
    let tiles = kind(&figures, "tiles")[0];
    assert_eq!(tiles["peaks"], json!([1.0, 0.0]));
    assert_eq!(blob(&html, &tiles["blob"]), [64, -127i8 as u8, 0, 0]);
}

fn tensor(name: &str, taps: usize) -> ShuffleTensor {
    let observed = |i| Observed {
        name: format!("tap{i}"),
        cosine_mean: finite_all(&[0.9, 0.5 + i as f64 / 100.0]),
    };
    ShuffleTensor {
        name: name.into(),
        mode: "channel".into(),
        baseline_accuracy: finite(0.9),
        accuracy: Some(finite_all(&[0.8, 0.7])),
        observed: (0..taps).map(observed).collect(),
        short_batch: None,
    }
}

#[test]
fn a_deep_network_is_drawn_by_three_taps_and_listed_in_full() {
    let mut results = Results::new("shuffle");
    results.shuffle = Some(Shuffle {
        tensors: vec![tensor("conv1", 7)],
    });
    let html = page(&results, &Memory::new()).html;
    let figures = figures(&html);
    let chart = kind(&figures, "chart")[0];
    let series = chart["series"].as_array().unwrap().iter();
    let names: Vec<&Value> = series.map(|s| &s["name"]).collect();
    assert_eq!(names, ["tap0", "tap3", "tap6"]);
    for i in 0..7 {
        assert!(html.contains(&format!("<th scope=\"row\">tap{i}</th>")));
    }
    let accuracy = kind(&figures, "chart")[1];
    assert_eq!(accuracy["references"], json!([["unshuffled", 0.9]]));
}

#[test]
fn networks_stand_next_to_each_other() {
    let mut results = Results::new("demo");
    let names = ["a.conv1", "a.conv2", "b.conv1", "b.conv2"];
    results.shuffle = Some(Shuffle {
        tensors: names.map(|n| tensor(n, 1)).to_vec(),
    });
    let network = |name: &str| Network {
        name: name.into(),
        ..Network::default()
    };
    results.networks = ["a", "b"].map(network).to_vec();
    let html = page(&results, &Memory::new()).html;
    let place = |n| html.find(&format!("<h3>{n} ")).unwrap();
    let places = ["a.conv1", "b.conv1", "a.conv2", "b.conv2"].map(place);
    assert!(places.is_sorted(), "{places:?}");
}

fn impulse() -> Results {
    let mut results = Results::new("impulse");
    let at = |layer: &str, channel| ChannelRef {
        layer: layer.into(),
        channel,
    };
    results.impulse = Some(Impulse {
        layers: vec![ImpulseLayer {
            name: "conv1".into(),
            tap: "conv".into(),
            channels: 1,
            ..ImpulseLayer::default()
        }],
        matches: vec![ImpulseMatch {
            a: at("conv1", 3),
            b: at("conv2", 5),
            ncc: 0.97,
            lag: [1, -2],
        }],
        groups: vec![vec![at("conv1", 3), at("conv2", 5), at("conv1", 4)]],
        match_threshold: finite(0.95),
    });
    results
}

fn responses(response: ArrayD<f64>) -> (String, Value, Vec<u8>) {
    let arrays = Memory::from([("impulse/conv1/response.npy".to_string(), response)]);
    let html = page(&impulse(), &arrays).html;
    let tiles = kind(&figures(&html), "tiles")[0].clone();
    let pixels = blob(&html, &tiles["blob"]);
    (html, tiles, pixels)
}

#[test]
fn responses_are_cropped_to_what_responds() {
    let mut response = ArrayD::zeros(IxDyn(&[1, 20, 30]));
    response[[0, 10, 15]] = 2.0;
    response[[0, 11, 15]] = -1.0;
    let (html, tiles, pixels) = responses(response);
    assert_eq!((&tiles["height"], &tiles["width"]), (&json!(4), &json!(3)));
    assert_eq!((pixels[4], pixels[7]), (127, -64i8 as u8));
    for part in [
        "conv1 channel 3</th><td class=\"name\">conv2 channel 5</td><td>0.970</td><td>1, -2</td>",
        "<li>conv1: 3 and 4; conv2: 5</li>",
        "cropped to the part that responds",
    ] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn large_responses_keep_their_peaks() {
    let mut response = ArrayD::from_elem(IxDyn(&[1, 100, 100]), 0.5);
    response[[0, 50, 50]] = -1.0;
    let (_, tiles, pixels) = responses(response);
    assert_eq!(tiles["height"], 34, "blocks of three");
    assert_eq!(pixels[16 * 34 + 16], -127i8 as u8);
    assert_eq!(pixels[0], 64);
}
