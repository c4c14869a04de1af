//! `results.json`: what is written can be read again, and what cannot be is refused in one line.

use chanscope::report::results::{Redundancy, Results, finite};
use std::path::Path;

fn parse(text: &str) -> Result<Results, String> {
    Results::from_json(Path::new("out/results.json"), text.as_bytes()).map_err(|e| e.to_string())
}

fn sample() -> Results {
    let mut results = Results::new("redundancy");
    results.parameters.insert("k".into(), 25.into());
    let mut layer = super::layer("conv1");
    layer.jaccard_mean = finite(f64::INFINITY);
    layer.loo_soft_error = None;
    results.redundancy = Some(Redundancy {
        layers: vec![layer],
        cka: None,
        across: None,
        samples: None,
        images: None,
    });
    results
}

#[test]
fn round_trip_loses_nothing() {
    let results = sample();
    let text = results.to_json(Path::new("x")).unwrap();
    assert_eq!(parse(&text).unwrap(), results);
    assert!(text.ends_with("}\n"));
    assert!(!text.contains("NaN"));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let layer = &json["redundancy"]["layers"][0];
    assert!(layer["neighbors_mean"][1].is_null(), "dead channel");
    assert!(layer["jaccard_mean"].is_null(), "not finite");
    assert!(layer["loo_soft_error"].is_null(), "no labels");
    assert!(json.get("filters").is_none(), "not computed");
}

#[test]
fn unknown_fields_are_tolerated_and_kept() {
    let mut json: serde_json::Value =
        serde_json::from_str(&sample().to_json(Path::new("x")).unwrap()).unwrap();
    json["later_section"] = serde_json::json!({"layers": [1, 2]});
    json["redundancy"]["layers"][0]["later_field"] = 7.into();
    let results = parse(&json.to_string()).unwrap();
    let again = results.to_json(Path::new("x")).unwrap();
    assert!(again.contains("later_section"));
}

#[test]
fn foreign_files_are_refused_in_one_line() {
    for (text, want) in [
        ("", "not valid JSON"),
        ("{\"schema\": \"chanscope/1\"", "not valid JSON"),
        ("\u{0}\u{1}garbage", "not valid JSON"),
        ("[]", "no \"schema\""),
        ("{\"schema\": 1}", "no \"schema\""),
        ("{\"schema\": \"chanscope/2\"}", "schema 'chanscope/2'"),
        ("{\"schema\": \"a\\nb\"}", "schema 'a\\nb'"),
        ("{\"schema\": \"chanscope/1\"}", "missing field"),
    ] {
        let message = parse(text).unwrap_err();
        assert!(message.contains(want), "{text:?}: {message}");
        assert!(
            message.starts_with("out/results.json: ") && !message.contains('\n'),
            "{message}"
        );
    }
}
