//! The page: harmless, offline, honest about what is missing, and with the data it was given.

use super::layer;
use chanscope::report::figure::base64;
use chanscope::report::html::{Report, render};
use chanscope::report::results::{
    Input, Network, Redundancy, RedundancyLayer, Results, Skipped, Stage,
};
use ndarray::{Array2, ArrayD};
use serde_json::Value;
use std::collections::BTreeMap;

pub type Memory = BTreeMap<String, ArrayD<f64>>;

pub fn results(layers: Vec<RedundancyLayer>) -> Results {
    let mut results = Results::new("redundancy");
    results.redundancy = Some(Redundancy {
        layers,
        cka: None,
        across: None,
        samples: None,
        images: None,
    });
    results
}

/// Matrices of a layer with `n` channels; those in `dead` have no values.
pub fn matrices(name: &str, n: usize, dead: &[usize]) -> Memory {
    let jaccard = Array2::from_shape_fn((n, n), |(i, j)| match (i, j) {
        _ if dead.contains(&i) || dead.contains(&j) => f64::NAN,
        _ if i == j => 1.0,
        _ => 1.0 / (2.0 + (i * j) as f64 + i.abs_diff(j) as f64),
    });
    let path = |file: &str| format!("layers/{name}/{file}.npy");
    Memory::from([
        (path("overlap"), jaccard.mapv(|v| v * 5.0).into_dyn()),
        (path("jaccard"), jaccard.into_dyn()),
    ])
}

pub fn page(results: &Results, arrays: &Memory) -> Report {
    render(results, arrays).unwrap()
}

pub fn element<'a>(html: &'a str, id: &str) -> &'a str {
    let (_, rest) = html.split_once(&format!("id=\"{id}\">")).expect(id);
    rest.split_once("</script>").unwrap().0
}

pub fn figures(html: &str) -> Vec<Value> {
    serde_json::from_str(element(html, "figures")).unwrap()
}

/// The bytes the page's script finds in a blob.
pub fn blob(html: &str, index: &Value) -> Vec<u8> {
    let text = element(html, &format!("blob-{index}"));
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|&c| c != b'=').map(digit).collect();
    let group = |c: &[u8]| {
        let all = c.iter().fold(0u32, |a, &d| a << 6 | u32::from(d)) << (6 * (4 - c.len()));
        all.to_be_bytes()[1..c.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

/// What the page's script makes of a symmetric matrix.
pub fn decode(html: &str, matrix: &Value) -> Array2<f64> {
    let bytes = blob(html, &matrix["blob"]);
    let mut codes = bytes
        .chunks_exact(2)
        .map(|b| u16::from_le_bytes([b[0], b[1]]));
    let n = matrix["rows"].as_u64().unwrap() as usize;
    let (lo, hi) = (
        matrix["lo"].as_f64().unwrap(),
        matrix["hi"].as_f64().unwrap(),
    );
    let mut out = Array2::zeros((n, n));
    for i in 0..n {
        for j in i..n {
            let code = codes.next().unwrap();
            let v = lo + f64::from(code) / 65534.0 * (hi - lo);
            let v = if code == 65535 { f64::NAN } else { v };
            out[[i, j]] = v;
            out[[j, i]] = v;
        }
    }
    assert_eq!(codes.next(), None);
    out
}

#[test]
fn matrices_arrive_as_they_were() {
    let mut layer = layer("conv1");
    layer.channels = Some(vec![8, 1, 30]);
    let arrays = matrices("conv1", 3, &[1]);
    let report = page(&results(vec![layer]), &arrays);
    assert_eq!(report.notes, Vec::<String>::new());
    let figures = figures(&report.html);
    let map = &figures[0];
    assert_eq!(
        map["names"],
        serde_json::json!([8, 30]),
        "the dead one is left out"
    );
    assert_eq!(map["clusters"]["order"], serde_json::json!([0, 1]));
    assert_eq!(map["clusters"]["by"], "mean Jaccard index");
    let join = map["clusters"]["joins"][0].as_f64().unwrap();
    let want = arrays["layers/conv1/jaccard.npy"][[0, 2]];
    assert!((join - want).abs() < 1e-7, "{join} {want}");
    for (view, file) in [(0, "overlap"), (1, "jaccard")] {
        let got = decode(&report.html, &map["views"][view]["matrix"]);
        let want = &arrays[&format!("layers/conv1/{file}.npy")];
        let largest = want.iter().fold(0.0f64, |m: f64, &v| m.max(v));
        for (i, from) in [0, 2].into_iter().enumerate() {
            for (j, to) in [0, 2].into_iter().enumerate() {
                let (g, w) = (got[[i, j]], want[[from, to]]);
                assert!((g - w).abs() <= largest / 65534.0, "{g} {w}");
            }
        }
    }
    // Pairs that no query lets one compare have no value, live channels or not.
    let mut arrays = matrices("conv1", 3, &[]);
    if let Some(jaccard) = arrays.get_mut("layers/conv1/jaccard.npy") {
        jaccard[[0, 2]] = f64::NAN;
        jaccard[[2, 0]] = f64::NAN;
    }
    let html = page(&results(vec![super::layer("conv1")]), &arrays).html;
    let matrix = self::figures(&html)[0]["views"][1]["matrix"].clone();
    assert!(decode(&html, &matrix)[[0, 1]].is_nan());
}

#[test]
fn two_thousand_channels_stay_small_and_keep_their_means() {
    let n = 2048;
    let mut wide = RedundancyLayer {
        shape: vec![10, n as u64, 1, 1],
        neighbors_mean: vec![Some(3.0); n],
        degenerate_queries: vec![0; n],
        ..RedundancyLayer::default()
    };
    wide.name = "wide".into();
    let arrays = matrices("wide", n, &[7]);
    let report = page(&results(vec![wide]), &arrays);
    assert!(report.html.len() < 12 << 20, "{} bytes", report.html.len());
    let view = &figures(&report.html)[0]["views"][1];
    let matrix = &view["matrix"];
    assert_eq!(matrix["block"], 2);
    assert!(view["ordered"]["blob"].is_u64(), "both orders are averaged");
    let got = decode(&report.html, matrix);
    let jaccard = &arrays["layers/wide/jaccard.npy"];
    let step = matrix["hi"].as_f64().unwrap() / 65534.0;
    // Off the diagonal the four pairs; on it the one pair of two different channels.
    let pairs = [[20, 40], [20, 41], [21, 40], [21, 41]];
    let four = pairs.iter().map(|&[i, j]| jaccard[[i, j]]).sum::<f64>() / 4.0;
    assert!((got[[10, 20]] - four).abs() <= step);
    assert!((got[[10, 10]] - jaccard[[20, 21]]).abs() <= step);
    assert!((got[[3, 9]] - (jaccard[[6, 18]] + jaccard[[6, 19]]) / 2.0).abs() <= step);
}

#[test]
fn names_cannot_break_out() {
    let evil = "</script><script>alert(1)</script>\u{2028}'\"><img src=x onerror=alert(2)>";
    let mut results = results(vec![layer(evil), layer("fine")]);
    results.command = evil.into();
    results.version = evil.into();
    results.parameters.insert(evil.into(), evil.into());
    results.device.name = evil.into();
    results.device.driver = evil.into();
    results.input.push(Input {
        path: evil.into(),
        dtype: evil.into(),
        fingerprint: evil.into(),
        shape: vec![1],
    });
    results.timing.stages.push(Stage {
        name: evil.into(),
        seconds: 1.0,
    });
    results.networks.push(Network {
        name: evil.into(),
        ..Network::default()
    });
    results.skipped.push(Skipped {
        name: evil.into(),
        reason: evil.into(),
    });
    let html = page(&results, &Memory::new()).html;
    assert!(!html.contains("<script>alert"), "script");
    assert!(!html.contains("<img"), "element");
    assert!(!html.contains('\u{2028}') || !element(&html, "figures").contains('\u{2028}'));
    assert!(!element(&html, "figures").contains('<'));
    // What it holds is still there to be read.
    let labels: Vec<String> = figures(&html)
        .iter()
        .map(|f| f["label"].to_string())
        .collect();
    assert!(
        labels.iter().any(|l| l.contains("<script>alert(1)")),
        "{labels:?}"
    );
}

#[test]
fn nothing_is_fetched() {
    let html = page(&results(vec![layer("conv1")]), &matrices("conv1", 3, &[])).html;
    assert!(html.contains("default-src 'none'"));
    for forbidden in [
        " src=",
        "url(",
        "@import",
        "fetch(",
        "XMLHttpRequest",
        "<link",
        "<iframe",
    ] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    // Addresses stand only in links to papers, which a reader has to click, and in the name of SVG.
    for (at, _) in html.match_indices("http") {
        let rest = &html[at..];
        let known = [
            "https://arxiv.org/abs/",
            "http://www.w3.org/2000/svg",
            "http-equiv",
        ];
        assert!(known.iter().any(|k| rest.starts_with(k)), "{}", &rest[..60]);
    }
    // Every script that runs, and the style, carries the page's nonce.
    let nonce = html
        .split("script-src 'nonce-")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    assert!(nonce.len() >= 16);
    assert_eq!(html.matches("<script nonce=").count(), 1);
    assert!(html.contains(&format!("<script nonce=\"{nonce}\">")));
    assert!(html.contains(&format!("<style nonce=\"{nonce}\">")));
}

#[test]
fn same_results_same_bytes() {
    let arrays = matrices("conv1", 3, &[1]);
    let results = results(vec![layer("conv1")]);
    assert_eq!(page(&results, &arrays), page(&results, &arrays));
}

#[test]
fn what_is_missing_is_said() {
    let report = page(&results(vec![layer("conv1")]), &Memory::new());
    assert_eq!(
        report.notes,
        [
            "layers/conv1/overlap.npy is missing beside results.json, so it is not shown",
            "layers/conv1/jaccard.npy is missing beside results.json, so it is not shown"
        ]
    );
    assert!(report.html.contains(&report.notes[0]));
    let report = page(&results(vec![layer("conv1")]), &matrices("conv1", 4, &[]));
    assert!(report.notes[0].contains("shape [4, 4] where results.json promises [3, 3]"));
    // One of the two is enough for a map.
    let mut one = matrices("conv1", 3, &[]);
    one.remove("layers/conv1/overlap.npy");
    let report = page(&results(vec![layer("conv1")]), &one);
    assert_eq!(
        figures(&report.html)[0]["views"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn absent_numbers_show_as_a_dash_or_not_at_all() {
    let shown = |layer| {
        let html = page(&results(vec![layer]), &Memory::new()).html;
        let (shown, _) = html.split_once("id=\"definitions\"").unwrap();
        shown.to_string()
    };
    let full = shown(layer("conv1"));
    assert!(full.contains("1 (dead)</th><td>–</td>"));
    assert!(!full.contains("NaN") && !full.contains("null"));
    assert!(full.contains("<dt>Label error</dt>") && full.contains("Aggregate recall"));
    let mut bare = layer("conv1");
    bare.loo_error = None;
    bare.loo_soft_error = None;
    bare.aggregate = None;
    let bare = shown(bare);
    assert!(!bare.contains("abel error") && !bare.contains("Aggregate recall"));
    let html = page(&results(vec![layer("conv1")]), &Memory::new()).html;
    // A section that was not computed is not mentioned.
    assert!(!html.contains("Convolutional Similarity"));
}

#[test]
fn the_header_tells_how_it_was_made() {
    let mut results = results(vec![layer("conv1")]);
    results.parameters.insert("k".into(), 25.into());
    results.parameters.insert("aggregate".into(), true.into());
    results
        .parameters
        .insert("memory".into(), (3u64 << 30).into());
    results.device.name = "llvmpipe".into();
    results.device.backend = "vulkan".into();
    results.timing.total_seconds = 250.4;
    results.timing.started_unix = Some(1_709_164_800 + 3600 * 23 + 60 * 5);
    results.input.push(Input {
        path: "dumps/pool2.npy".into(),
        shape: vec![10_000, 16, 4, 4],
        dtype: "f16".into(),
        fingerprint: "3f0c9b1d".into(),
    });
    let html = page(&results, &Memory::new()).html;
    for part in [
        "<dt>k</dt><dd>25</dd>",
        "<dt>aggregate</dt><dd>yes</dd>",
        "<dt>memory</dt><dd>3GiB</dd>",
        "llvmpipe (vulkan)",
        "4\u{a0}min 10\u{a0}s",
        "2024-02-29 23:05 UTC",
        "dumps/pool2.npy",
        "10\u{202f}000 × 16 × 4 × 4",
        "3f0c9b1d",
    ] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn networks_are_compared_first() {
    let mut results = results(vec![layer("a.conv1"), layer("b.conv1"), layer("a.conv2")]);
    results.networks = ["a", "b"]
        .map(|name| Network {
            name: name.into(),
            ..Network::default()
        })
        .to_vec();
    let html = page(&results, &Memory::new()).html;
    let comparison = html.find("Side by side").unwrap();
    assert!(comparison < html.find("id=\"redundancy\"").unwrap());
    assert!(html.contains("<h3>conv1</h3>") && !html.contains("<h3>conv2</h3>"));
    results.networks.clear();
    assert!(!page(&results, &Memory::new()).html.contains("Side by side"));
}

#[test]
fn base64_as_in_the_standard() {
    for (plain, want) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(base64(plain.as_bytes()), want);
    }
    assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
}
