//! What channels of different layers have in common, on the page.

use super::html::{Memory, element, figures, matrices, page, results};
use super::layer;
use chanscope::io::sink::HeldArray;
use chanscope::report::html::render;
use chanscope::report::results::{Across, Results};
use ndarray::{ArrayD, IxDyn};
use serde_json::{Value, json};

const EVIL: &str = "</script><script>alert(1)</script>\u{2028}'\"><img src=x onerror=alert(2)>";

/// Two layers of three channels, the middle ones dead, whose first channels match each other.
fn across(names: [&str; 2]) -> (Results, Memory) {
    let mut results = results(names.map(layer).to_vec());
    results.redundancy.as_mut().unwrap().across = Some(Across {
        layers: names.map(String::from).to_vec(),
        channels: vec![2, 2],
        mean: vec![vec![Some(0.5), Some(0.25)], vec![Some(0.25), None]],
        best_match: vec![vec![Some(0.5), Some(0.375)], vec![Some(0.75), None]],
        matches: Vec::new(),
    });
    let array = |shape: &[usize], values: &[f64]| {
        ArrayD::from_shape_vec(IxDyn(shape), values.to_vec()).unwrap()
    };
    let mut arrays = matrices(names[0], 3, &[1]);
    arrays.extend(matrices(names[1], 3, &[1]));
    let channels = [0.0, 0.0, 0.0, 2.0, 1.0, 0.0, 1.0, 2.0];
    let matches = [1.0, 0.0, -1.0, -1.0, 0.0, 0.0, 0.0, 2.0];
    let values = [0.875, f64::NAN, 0.875, 0.0625];
    arrays.insert("across/channels.npy".into(), array(&[4, 2], &channels));
    arrays.insert("across/matches.npy".into(), array(&[4, 2], &matches));
    arrays.insert("across/match_jaccard.npy".into(), array(&[4], &values));
    (results, arrays)
}

fn chart(html: &str) -> Value {
    let wanted = "Best match in another layer per channel of a";
    let mut charts = figures(html).into_iter();
    charts.find(|f| f["label"] == wanted).expect(wanted)
}

#[test]
fn layers_are_compared_in_one_figure() {
    let (results, arrays) = across(["a", "b"]);
    let report = page(&results, &arrays);
    assert_eq!(report.notes, Vec::<String>::new());
    let map = &figures(&report.html)[0];
    assert_eq!(map["names"], json!(["a", "b"]));
    assert_eq!(map["clusters"], Value::Null);
    let views: Vec<&Value> = map["views"].as_array().unwrap().iter().collect();
    assert_eq!(
        [&views[0]["name"], &views[1]["name"]],
        ["Best match", "Mean Jaccard"]
    );
    for (view, lo, hi) in [(0, 0.375, 0.75), (1, 0.25, 0.5)] {
        let matrix = &views[view]["matrix"];
        assert_eq!([&matrix["lo"], &matrix["hi"]], [lo, hi]);
        assert_eq!(matrix["symmetric"], false);
    }
    // Best match of a in b is 0.375, of b in a 0.75; b with itself has none.
    let codes = super::html::blob(&report.html, &views[0]["matrix"]["blob"]);
    let code = |i: usize| u16::from_le_bytes([codes[2 * i], codes[2 * i + 1]]);
    assert_eq!([code(1), code(2), code(3)], [0, 65534, 65535]);
}

#[test]
fn each_channel_names_its_match() {
    let (results, arrays) = across(["a", "b"]);
    let html = page(&results, &arrays).html;
    let values = &chart(&html)["series"][0]["values"];
    assert_eq!(*values, json!([0.875, null, null]));
    for part in [
        "<td class=\"name\">b channel 0</td><td>0.875</td></tr>",
        "<td class=\"name\">a channel 2</td><td>0.0625</td></tr>",
        "<td class=\"name\">–</td><td>–</td></tr>",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(html.contains("Best match in another layer</th>"));
    // Without --across there is no trace of it.
    let html = page(&super::html::results(vec![layer("a")]), &arrays).html;
    assert!(!html.contains("Best match"));
}

#[test]
fn matches_that_are_missing_are_said_to_be() {
    let (results, mut arrays) = across(["a", "b"]);
    arrays.remove("across/matches.npy");
    let report = page(&results, &arrays);
    let note = "across/matches.npy is missing beside results.json, so it is not shown";
    assert_eq!(report.notes, [note]);
    assert!(report.html.contains(note));
    assert!(!report.html.contains("Best match in another layer"));
    let wrong = ArrayD::zeros(IxDyn(&[4, 3]));
    arrays.insert("across/matches.npy".into(), wrong);
    let report = page(&results, &arrays);
    assert!(report.notes[0].contains("[4, 3] where results.json promises [4, 2]"));
}

#[test]
fn indices_that_no_layer_has_are_no_match() {
    let (results, mut arrays) = across(["a", "b"]);
    let matches = arrays.get_mut("across/matches.npy").unwrap();
    matches[[0, 0]] = 7.0;
    matches[[2, 0]] = f64::NAN;
    matches[[3, 0]] = -1e300;
    let html = page(&results, &arrays).html;
    assert_eq!(
        chart(&html)["series"][0]["values"],
        json!([null, null, null])
    );
    assert!(!html.contains("<td class=\"name\">a channel"));
}

#[test]
fn names_of_layers_cannot_break_out() {
    let (results, arrays) = across([EVIL, "b"]);
    let html = page(&results, &arrays).html;
    assert!(!html.contains("<script>alert") && !html.contains("<img"));
    let configs = element(&html, "figures");
    assert!(!configs.contains('<') && !configs.contains('\u{2028}'));
    // The figure and the match still carry the name.
    assert_eq!(figures(&html)[0]["names"][0], EVIL);
    assert!(html.contains("onerror=alert(2)&#62; channel 0</td>"));
}

#[test]
fn arrays_in_memory_will_do() {
    let (results, arrays) = across(["a", "b"]);
    let held: Vec<HeldArray> = (arrays.iter())
        .map(|(name, array)| {
            let whole = name == "across/channels.npy" || name == "across/matches.npy";
            let values = array.iter();
            HeldArray {
                name: name.clone(),
                kind: if whole { "i8" } else { "f8" },
                shape: array.shape().to_vec(),
                bytes: match whole {
                    true => values.flat_map(|&v| (v as i64).to_ne_bytes()).collect(),
                    false => values.flat_map(|v| v.to_ne_bytes()).collect(),
                },
            }
        })
        .collect();
    assert_eq!(render(&results, &held).unwrap(), page(&results, &arrays));
}
