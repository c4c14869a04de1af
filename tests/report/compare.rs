//! Runs side by side on the page.

use super::html::{Memory, figures, page};
use chanscope::report::results::{
    Compare, ComparedLayer, ComparedPair, ComparedRun, Results, finite,
};
use serde_json::{Value, json};

/// The charts of runs in these folders, each with a layer whose redundancy is the run's number.
fn charts(paths: &[&str]) -> Vec<Value> {
    let run = |(at, path): (usize, &&str)| ComparedRun {
        path: path.to_string(),
        layers: vec![ComparedLayer {
            name: "conv1".into(),
            live: 4,
            redundancy: finite(at as f64),
            ..ComparedLayer::default()
        }],
    };
    let mut results = Results::new("compare");
    results.compare = Some(Compare {
        runs: paths.iter().enumerate().map(run).collect(),
        pairs: vec![],
    });
    figures(&page(&results, &Memory::new()).html)
}

#[test]
fn trends_name_runs_by_the_folders_that_tell_them_apart() {
    let named = |paths: [&str; 3], names: [&str; 3]| {
        let found = charts(&paths);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["names"], json!(names), "{paths:?}");
        assert_eq!(found[0]["series"][0]["values"], json!([0.0, 1.0, 2.0]));
    };
    named(["a/one", "a/two", "b/three/"], ["one", "two", "three"]);
    named(
        ["a/1/out", "a/2/out", "b/1/out"],
        ["a/1/out", "a/2/out", "b/1/out"],
    );
    named(["runs/1/out", "2/out", "out"], ["1/out", "2/out", "out"]);
    named([r"C:\runs\a", r"C:\runs\b", "c"], ["a", "b", "c"]);
    // The same run twice, and folders without a name.
    named(["x/a", "x/a", "x/b"], ["x/a", "x/a", "x/b"]);
    named(["/", "/", "."], ["/", "/", "."]);
    assert_eq!(charts(&["a", "b"]).len(), 0, "no trend of two runs");
}

#[test]
fn a_picture_of_two_runs_names_the_layers_of_both() {
    let run = |path: &str, layers: &[&str]| ComparedRun {
        path: path.into(),
        layers: (layers.iter())
            .map(|name| ComparedLayer {
                name: name.to_string(),
                ..ComparedLayer::default()
            })
            .collect(),
    };
    let mut results = Results::new("compare");
    results.compare = Some(Compare {
        runs: vec![
            run("a", &["conv1", "conv2"]),
            run("b", &["stem", "body", "head"]),
        ],
        pairs: vec![ComparedPair {
            a: 0,
            b: 1,
            best_match: vec![vec![finite(0.5); 3]; 2],
            best_match_back: vec![vec![finite(0.5); 2]; 3],
            mean: vec![vec![finite(0.25); 3]; 2],
            ..ComparedPair::default()
        }],
    });
    let found = figures(&page(&results, &Memory::new()).html);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["names"], json!(["conv1", "conv2"]));
    assert_eq!(found[0]["columns"], json!(["stem", "body", "head"]));
}
