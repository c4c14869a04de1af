//! Cards of channels: pictures of their strongest samples against the definition, and what the page is told.

use super::html::{Memory, blob, figures, matrices, page, results};
use super::layer;
use crate::formats::{f32_bytes, folder, npy_bytes, write};
use crate::outputs::{content, refused, succeed};
use crate::support::noise;
use chanscope::io::npy::read_array;
use chanscope::report::results::{
    Across, Images, Impulse, ImpulseLayer, RESULTS_FILE, Results, finite,
};
use ndarray::{Array4, ArrayD, IxDyn};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const SAMPLES: usize = 40;

/// A dump of two layers, the second with a dead channel.
fn dump(dir: &Path) {
    let mut next = noise(3);
    for (name, channels) in [("a.npy", 3), ("b.npy", 2)] {
        let values: Vec<f32> = (0..SAMPLES * channels * 4)
            .map(|i| match i / 4 % channels {
                1 if channels == 2 => 0.0,
                _ => next().max(0.0),
            })
            .collect();
        let shape = format!("({SAMPLES}, {channels}, 2, 2)");
        write(dir, name, &npy_bytes("<f4", &shape, &f32_bytes(&values)));
    }
}

fn write_images(dir: &Path, name: &str, images: &Array4<f32>) {
    let (n, c, h, w) = images.dim();
    let values: Vec<f32> = images.iter().copied().collect();
    let shape = format!("({n}, {c}, {h}, {w})");
    write(dir, name, &npy_bytes("<f4", &shape, &f32_bytes(&values)));
}

fn run<'a>(images: &'a str, out: &'a str) -> [&'a str; 9] {
    [
        "redundancy",
        "a.npy",
        "b.npy",
        "-k",
        "3",
        "--images",
        images,
        "--out",
        out,
    ]
}

/// From the definition: means over blocks, on one scale.
fn oracle(images: &Array4<f32>, samples: &[usize]) -> (Vec<usize>, Vec<f64>, [f64; 2]) {
    let (_, planes, height, width) = images.dim();
    let mut block = 1;
    while height.div_ceil(block) > 32 || width.div_ceil(block) > 32 {
        block += 1;
    }
    let (rows, columns) = (height.div_ceil(block), width.div_ceil(block));
    let mut means = Vec::new();
    for &sample in samples {
        for plane in 0..planes {
            for place in 0..rows * columns {
                let (row, column) = (place / columns, place % columns);
                let mut values = Vec::new();
                for y in (0..height).filter(|y| y / block == row) {
                    for x in (0..width).filter(|x| x / block == column) {
                        values.push(f64::from(images[[sample, plane, y, x]]));
                    }
                }
                means.push(values.iter().sum::<f64>() / values.len() as f64);
            }
        }
    }
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let bytes = means.iter().map(|v| 255.0 * (v - low) / (high - low));
    let shape = vec![samples.len(), planes, rows, columns];
    (shape, bytes.collect(), [low, high])
}

#[test]
fn pictures_are_means_over_blocks_of_the_strongest_samples() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    for (planes, height, width) in [(1, 8, 8), (3, 33, 20), (1, 32, 70), (3, 5, 97)] {
        let mut next = noise(width as u64);
        let images = Array4::from_shape_fn((SAMPLES, planes, height, width), |_| next());
        write_images(dir, "i.npy", &images);
        let out = format!("out-{width}");
        succeed(dir, &run("i.npy", &out));
        let read = |file: &str| read_array(dir.join(&out).join(file)).unwrap();
        // Every sample that is among the strongest of a channel.
        let strongest = ["a", "b"].map(|layer| read(&format!("layers/{layer}/strongest.npy")));
        assert_eq!(strongest[0].shape(), [3, 8]);
        assert!((0..8).all(|slot| strongest[1][[1, slot]] == -1.0));
        let named = strongest.iter().flatten().filter(|&&i| i >= 0.0);
        let samples: BTreeSet<usize> = named.map(|&i| i as usize).collect();
        let samples: Vec<usize> = samples.into_iter().collect();
        assert_eq!(
            read("images/samples.npy").into_raw_vec_and_offset().0,
            samples.iter().map(|&i| i as f64).collect::<Vec<_>>()
        );
        let (shape, expected, [low, high]) = oracle(&images, &samples);
        let found = read("images/pictures.npy");
        assert_eq!(found.shape(), shape);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 0.5 + 1e-9, "{found} {expected}");
        }
        let text = std::fs::read(dir.join(&out).join(RESULTS_FILE)).unwrap();
        let document: Value = serde_json::from_slice(&text).unwrap();
        let section = &document["redundancy"]["images"];
        assert_eq!(section["shape"], json!([SAMPLES, planes, height, width]));
        assert_eq!(section["pictures"], json!(samples.len()));
        assert_eq!(section["size"], json!([shape[2], shape[3]]));
        for (found, expected) in [(0, low), (1, high)] {
            let found = section["range"][found].as_f64().unwrap();
            assert!((found - expected).abs() <= 1e-12);
        }
        // The same images with colours last.
        if planes == 3 {
            let last = images.permuted_axes([0, 2, 3, 1]);
            let last = last.as_standard_layout().into_owned();
            write_images(dir, "last.npy", &last);
            succeed(dir, &run("last.npy", "last"));
            let pictures = |out: &str| content(&dir.join(out).join("images"));
            assert_eq!(pictures("last"), pictures(&out));
            std::fs::remove_dir_all(dir.join("last")).unwrap();
        }
    }
}

#[test]
fn images_that_do_not_fit_are_refused_before_the_work() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    for (shape, parts) in [
        ([SAMPLES - 1, 1, 4, 4], ["39 samples", "layer a has 40"]),
        ([SAMPLES, 2, 4, 4], ["--images is [40, 2, 4, 4]", "1 or 3"]),
    ] {
        write_images(dir, "i.npy", &Array4::zeros(shape));
        refused(dir, &run("i.npy", "out"), &parts);
        assert!(!dir.join("out").exists());
    }
}

/// Two layers of three channels, the middle ones dead, with two pictures and impulse responses of the first layer.
fn carded() -> (Results, Memory) {
    let mut results = results(["a", "b"].map(layer).to_vec());
    let section = results.redundancy.as_mut().unwrap();
    for layer in &mut section.layers {
        layer.strongest = Some(2);
    }
    section.images = Some(Images {
        shape: vec![1000, 1, 2, 2],
        pictures: 2,
        size: [2, 2],
        range: [finite(0.0), finite(1.0)],
    });
    section.across = Some(Across {
        layers: vec!["a".into(), "b".into()],
        channels: vec![2, 2],
        ..Across::default()
    });
    results.impulse = Some(Impulse {
        layers: vec![ImpulseLayer {
            name: "a".into(),
            tap: "activation".into(),
            channels: 3,
            ..ImpulseLayer::default()
        }],
        ..Impulse::default()
    });
    let array = |shape: &[usize], values: &[f64]| {
        ArrayD::from_shape_vec(IxDyn(shape), values.to_vec()).unwrap()
    };
    let mut arrays = matrices("a", 3, &[1]);
    arrays.extend(matrices("b", 3, &[1]));
    let nan = f64::NAN;
    for name in ["a", "b"] {
        let samples = [7.0, 3.0, -1.0, -1.0, 12.0, -1.0];
        let means = [1.234567, 0.5, nan, nan, 3.0, nan];
        let path = |file: &str| format!("layers/{name}/{file}.npy");
        arrays.insert(path("strongest"), array(&[3, 2], &samples));
        arrays.insert(path("strongest_mean"), array(&[3, 2], &means));
    }
    let channels = [0.0, 0.0, 0.0, 2.0, 1.0, 0.0, 1.0, 2.0];
    let jaccard = [
        1.0, 0.5, 0.25, 0.75, 0.5, 1.0, nan, 0.125, 0.25, nan, 1.0, 0.5, 0.75, 0.125, 0.5, 1.0,
    ];
    let picture = [0.0, 255.0, 17.0, 200.0, 1.0, 2.0, 3.0, 4.0];
    for (path, shape, values) in [
        ("across/channels.npy", &[4, 2][..], &channels[..]),
        ("across/matches.npy", &[4, 2], &channels),
        ("across/match_jaccard.npy", &[4], &[0.5; 4]),
        ("across/jaccard.npy", &[4, 4], &jaccard),
        ("images/samples.npy", &[2], &[3.0, 7.0]),
        ("images/pictures.npy", &[2, 1, 2, 2], &picture),
        ("impulse/a/response.npy", &[3, 3, 3], &[0.5; 27]),
    ] {
        arrays.insert(path.into(), array(shape, values));
    }
    (results, arrays)
}

fn cards(html: &str) -> Vec<Value> {
    let found = figures(html).into_iter();
    found.filter(|f| f["kind"] == "cards").collect()
}

#[test]
fn a_card_holds_samples_pictures_responses_and_nearest_channels() {
    let (results, arrays) = carded();
    let report = page(&results, &arrays);
    let found = cards(&report.html);
    let [a, b] = found.as_slice() else {
        panic!("{} cards", found.len())
    };
    assert_eq!(a["samples"], json!([[7, 3], [], [12]]));
    assert_eq!(a["means"], json!([[1.2346, 0.5], [], [3.0]]));
    // Of the matrices of the layers: channel 1 is dead.
    let jaccard = &arrays["layers/a/jaccard.npy"];
    let shown: f64 = format!("{:.4e}", jaccard[[0, 2]]).parse().unwrap();
    assert_eq!(a["nearest"], json!([[[2, shown]], [], [[0, shown]]]));
    assert_eq!(a["layers"], json!(["a", "b"]));
    assert_eq!(
        a["others"],
        json!([[[1, 2, 0.75], [1, 0, 0.25]], [], [[1, 2, 0.125]]])
    );
    assert_eq!(
        b["others"],
        json!([[[0, 0, 0.25]], [], [[0, 0, 0.75], [0, 2, 0.125]]])
    );
    for card in [a, b] {
        let pictures = &card["pictures"];
        assert_eq!(pictures["samples"], json!([3, 7]));
        assert_eq!(
            blob(&report.html, &pictures["blob"]),
            [0, 255, 17, 200, 1, 2, 3, 4]
        );
    }
    // The responses of the layer of the same name.
    let response = a["responses"][0].as_u64().unwrap() as usize;
    let tiles = &figures(&report.html)[response];
    assert_eq!(
        (&tiles["kind"], &tiles["count"]),
        (&json!("tiles"), &json!(3))
    );
    assert_eq!(a["tap"], "activation");
    assert_eq!(b["responses"], Value::Null);
}

#[test]
fn what_is_missing_is_left_out() {
    // Without a matrix of all channels, without pictures, and with responses of other channels.
    let (mut results, mut arrays) = carded();
    arrays.remove("across/jaccard.npy");
    arrays.remove("images/pictures.npy");
    results.impulse.as_mut().unwrap().layers[0].channels = 2;
    let report = page(&results, &arrays);
    let a = &cards(&report.html)[0];
    assert_eq!(a["others"], json!([]));
    assert_eq!(a["pictures"], Value::Null);
    assert_eq!(a["responses"], Value::Null);
    let named = |part: &str| report.notes.iter().any(|note| note.contains(part));
    assert!(named("images/pictures.npy"), "{:?}", report.notes);
    // Without the samples there is no card, and the page says why.
    arrays.remove("layers/a/strongest.npy");
    let report = page(&results, &arrays);
    assert_eq!(cards(&report.html).len(), 1);
    assert!(report.html.contains("layers/a/strongest.npy is missing"));
    // Runs that did not look for them have none.
    for layer in &mut results.redundancy.as_mut().unwrap().layers {
        layer.strongest = None;
    }
    let report = page(&results, &arrays);
    assert!(cards(&report.html).is_empty() && !report.html.contains("Strongest samples</dt>"));
}
