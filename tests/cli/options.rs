//! Options of `redundancy` that change what is measured.

use super::*;

#[test]
fn sampled_queries_are_listed_and_have_standard_errors() {
    let dir = TempDir::new().expect("folder");
    dump(dir.path(), "conv1.npy", 40, 3);
    write_labels(dir.path(), 40);
    let args = ["redundancy", "conv1.npy", "-k", "5", "--aggregate"];
    let sampled = ["--labels", "labels.npy", "--queries", "12", "--seed", "3"];
    chanscope(dir.path())
        .args(args)
        .args(sampled)
        .arg("--save-graph")
        .assert()
        .success();
    let out = dir.path().join("chanscope-out");
    let found = results(&out);
    assert_eq!(found["parameters"]["queries"], 12);
    let layer = &found["redundancy"]["layers"][0];
    assert_eq!(layer["queries"], 12);
    for field in ["neighbors_mean_se", "pca_dimension_mean_se", "loo_error_se"] {
        assert_eq!(layer[field].as_array().map(Vec::len), Some(3), "{field}");
    }
    for field in ["overlap_mean_se", "jaccard_mean_se", "redundancy_se"] {
        assert!(layer[field].is_f64(), "{field}");
    }
    assert!(layer["aggregate"]["recall_se"].is_f64());
    let shape = |name: &str| chanscope::io::npy::read_shape(out.join(name)).expect(name);
    assert_eq!(shape("queries.npy"), [12]);
    assert_eq!(shape("layers/conv1/neighbors.npy"), [3, 12, 5]);
    assert_eq!(shape("layers/conv1/jaccard_se.npy"), [3, 3]);
    assert_eq!(shape("layers/conv1/overlap_se.npy"), [3, 3]);
    let page = std::fs::read_to_string(out.join("report.html")).expect("report");
    assert!(page.contains("12 of 40 samples, drawn at random") && page.contains(" ± "));
    refused(
        &TempDir::new().expect("folder"),
        &["redundancy", "x.npy", "--queries", "0"],
        2,
        &["--queries must be at least 1"],
    );
    refused(
        &TempDir::new().expect("folder"),
        &["inspect", "x.npy", "--queries", "0"],
        2,
        &["--queries must be at least 1"],
    );
}

/// Channels of different layers: files, results, page; and what does not go together.
#[test]
fn layers_are_compared_across() {
    let dir = TempDir::new().expect("folder");
    let acts = dir.path().join("acts");
    std::fs::create_dir(&acts).expect("folder");
    dump(&acts, "conv1.npy", 60, 3);
    dump(&acts, "conv2.npy", 60, 2);
    chanscope(dir.path())
        .args(["redundancy", "acts", "-k", "5", "--across"])
        .assert()
        .success();
    let out = dir.path().join("chanscope-out");
    let across = results(&out)["redundancy"]["across"].clone();
    assert_eq!(across["layers"], serde_json::json!(["conv1", "conv2"]));
    assert_eq!(across["channels"], serde_json::json!([3, 2]));
    assert!(!across["matches"].as_array().expect("matches").is_empty());
    let shape = |name: &str| {
        let path = out.join(format!("across/{name}.npy"));
        chanscope::io::npy::read_shape(path).expect(name)
    };
    assert_eq!(shape("layers"), [2, 2]);
    assert_eq!(shape("best_match"), [2, 2]);
    assert_eq!(shape("channels"), [5, 2]);
    assert_eq!(shape("matches"), [5, 2]);
    assert_eq!(shape("match_jaccard"), [5]);
    assert_eq!(shape("jaccard"), [5, 5]);
    let page = std::fs::read_to_string(out.join("report.html")).expect("report");
    assert!(page.contains("Across layers") && page.contains("conv2 channel"));
    dump(&acts, "conv3.npy", 61, 2);
    for (args, code, part) in [
        (
            ["redundancy", "acts/conv1.npy", "--across"].as_slice(),
            2,
            "several layers",
        ),
        (&["redundancy", "acts", "--across"], 1, "conv3"),
        (
            &["redundancy", "acts", "--across", "--units", "2"],
            1,
            "conv3",
        ),
        (
            &["plan", "acts/conv1.npy", "--across", "--units", "2"],
            2,
            "several layers",
        ),
    ] {
        let output = chanscope(dir.path())
            .args(args)
            .args(["--out", "refused"])
            .output()
            .expect("run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(part), "{args:?}: {stderr}");
        assert!(!dir.path().join("refused").exists(), "{args:?}");
    }
}

/// Without baselines, the rest keeps its bytes, in one run and in units.
#[test]
fn baselines_can_be_left_out() {
    let dir = TempDir::new().expect("folder");
    let acts = dir.path().join("acts");
    std::fs::create_dir(&acts).expect("folder");
    dump(&acts, "conv1.npy", 60, 3);
    dump(&acts, "conv2.npy", 60, 2);
    let run = |out: &str, extra: &[&str]| {
        chanscope(dir.path())
            .args(["redundancy", "acts", "-k", "5", "--out", out])
            .args(extra)
            .assert()
            .success();
        let found = results(&dir.path().join(out));
        let jaccard = std::fs::read(dir.path().join(out).join("layers/conv1/jaccard.npy"));
        (found["redundancy"].clone(), jaccard.expect("array"))
    };
    let (with, jaccard) = run("with", &[]);
    assert!(with["layers"][0]["baselines"]["two_nn"].is_array());
    assert!(with["cka"].is_object());
    for (out, extra) in [
        ("without", ["--no-baselines"].as_slice()),
        ("units", &["--no-baselines", "--units", "3"]),
    ] {
        let (mut without, same) = run(out, extra);
        assert!(same == jaccard, "{out}");
        for name in ["cosine", "pearson"] {
            let path = format!("{out}/layers/conv1/{name}.npy");
            assert!(!dir.path().join(path).exists(), "{out} {name}");
        }
        let mut expected = with.clone();
        expected.as_object_mut().expect("object").remove("cka");
        for layer in expected["layers"].as_array_mut().expect("layers") {
            layer.as_object_mut().expect("object").remove("baselines");
        }
        let rest = without.as_object_mut().expect("object");
        assert!(rest.remove("cka").is_none_or(|cka| cka.is_null()));
        for layer in rest["layers"].as_array_mut().expect("layers") {
            let layer = layer.as_object_mut().expect("object");
            assert!(layer.remove("baselines").is_none_or(|b| b.is_null()));
        }
        assert_eq!(without, expected, "{out}");
    }
}
