//! What is done with hostile bytes: each function reads them as a file of one kind and uses what it gets. They may be
//! refused, and must not panic, hang, or take memory beyond their size.
//!
//! `tests/fuzz.rs` runs them on mutated seeds, and `fuzz/` under cargo-fuzz.

use chanscope::control::Control;
use chanscope::device::{Device, DeviceChoice};
use chanscope::internals::signed_plan;
use chanscope::io::array::ArrayLayer;
use chanscope::io::labels::{label_count, read_indices, read_labels};
use chanscope::io::layer::Layer;
use chanscope::io::npy;
use chanscope::io::open::open_dump;
use chanscope::io::safetensors::SafetensorsFile;
use chanscope::io::scan::scan;
use chanscope::measure::shuffle::{check_labels, check_permutation};
use chanscope::model::dump::activations;
use chanscope::model::graph::Graph;
use chanscope::model::onnx;
use chanscope::report::html::render;
use chanscope::report::results::Results;
use chanscope::tensor::LayerShape;
use chanscope::units::{merge, status};
use ndarray::ArrayD;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Numbers of a network's values up to which it is run.
const SMALL: usize = 1 << 16;

/// Writes the bytes to a file of this name, the same for each thread.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    let parent = path.parent().expect("a folder");
    std::fs::create_dir_all(parent).expect("a folder");
    std::fs::write(&path, bytes).expect("write");
    path
}

/// A folder for temporary files, the same for each thread.
pub fn folder() -> PathBuf {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder");
    }
    FOLDER.with(|folder| folder.path().to_path_buf())
}

/// Reads all values of a layer.
fn use_layer(layer: &dyn Layer) {
    let shape = layer.shape();
    let channels: Vec<usize> = (0..shape.channels).collect();
    let mut values = vec![0.0; shape.row_len()];
    layer
        .read_rows(shape.samples - 1..shape.samples, &channels, &mut values)
        .expect("the file holds what its header says");
    let found = scan(layer, &channels, 64 << 20, &Control::default()).expect("a scan");
    assert_eq!(found.shape, shape);
}

/// Activations as `.npy`, and the same as an array read whole.
pub fn npy(bytes: &[u8]) {
    let path = file("a.npy", bytes);
    if let Ok(layer) = npy::open(&path, "a") {
        use_layer(layer.as_ref());
    }
    if let Ok(array) = npy::read_array(&path) {
        assert_eq!(npy::read_shape(&path).expect("a shape"), array.shape());
    }
}

/// Weights and activations as `.safetensors`.
pub fn safetensors(bytes: &[u8]) {
    let path = file("a.safetensors", bytes);
    if let Ok(file) = SafetensorsFile::open(&path) {
        for tensor in file.tensors() {
            if let Ok(weight) = file.read(&tensor.key) {
                assert_eq!(weight.values.len(), weight.shape.iter().product::<usize>());
            }
        }
    }
    if let Ok(dump) = open_dump(&[&path]) {
        dump.layers
            .iter()
            .for_each(|layer| use_layer(layer.as_ref()));
    }
}

/// Labels and permutations.
pub fn labels(bytes: &[u8]) {
    let path = file("labels.npy", bytes);
    let count = label_count(&path).unwrap_or(6);
    if let Ok(labels) = read_labels(&path, count) {
        assert_eq!(labels.len(), count);
        let _ = check_labels(&labels, count, &[3]);
    }
    if let Ok(indices) = read_indices(&path, count) {
        let _ = check_permutation(&indices, count, 4);
    }
}

/// A network, run on one sample if it is small.
pub fn model(bytes: &[u8]) {
    let path = file("a.onnx", bytes);
    let _ = onnx::filters(&path);
    if let Ok(graph) = onnx::load(&path, None) {
        run_small(&graph, Case::Once);
    }
}

/// What a network is run on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// One sample.
    Once,
    /// A sample, another one, and the first once more: the first and the last must give the same bits.
    Twice,
}

/// Runs the activations and the outputs of a network, if it is small.
pub fn run_small(graph: &Graph, case: Case) {
    let layers = graph.layers();
    let input = graph.input_shape().to_vec();
    let &[channels, height, width] = input.as_slice() else {
        return;
    };
    let values: Vec<_> = layers
        .iter()
        .map(|l| l.activation)
        .chain(graph.outputs().iter().copied())
        .collect();
    let small = |len: usize| len > 0 && len <= SMALL;
    if !small(input.iter().product()) || !values.iter().all(|v| small(graph.value(*v).len())) {
        return;
    }
    let size = channels * height * width;
    let (samples, pixels) = match case {
        Case::Once => (1, vec![0.5; size]),
        Case::Twice => {
            let first = (0..size).map(|i| (i * 31 % 17) as f32 / 8.0 - 1.0);
            let other = (0..size).map(|i| 3.0 - (i % 5) as f32);
            (3, first.clone().chain(other).chain(first).collect())
        }
    };
    let Ok(shape) = LayerShape::new(samples, channels, height, width) else {
        return;
    };
    let data = ArrayLayer::new("data", shape, pixels).expect("as many as the shape says");
    let Device::Cpu(cpu) = Device::open(&DeviceChoice::Cpu, 1).expect("the CPU") else {
        return;
    };
    let mut rows: Vec<Vec<u32>> = vec![vec![]; values.len()];
    let take = |at: usize, _: usize, row: &[f32]| {
        rows[at].extend(row.iter().map(|v| v.to_bits()));
        Ok(())
    };
    let memory = 64 << 20;
    if activations(
        &cpu,
        graph,
        &data,
        &values,
        memory,
        &Control::default(),
        take,
    )
    .is_err()
    {
        return;
    }
    for (bits, value) in rows.iter().zip(&values) {
        let len = graph.value(*value).len();
        assert_eq!(
            bits.len(),
            samples * len,
            "a value has the shape that was foretold"
        );
        assert_eq!(
            bits[..len],
            bits[(samples - 1) * len..],
            "equal samples give equal bits"
        );
    }
}

/// `results.json`, and the page made of it with matrices that fit the seeds.
pub fn results(bytes: &[u8]) {
    let Ok(results) = Results::from_json(Path::new("results.json"), bytes) else {
        return;
    };
    let text = results.to_json(Path::new("results.json")).expect("JSON");
    let again =
        Results::from_json(Path::new("results.json"), text.as_bytes()).expect("what was written");
    assert_eq!(
        again.to_json(Path::new("results.json")).expect("JSON"),
        text
    );
    let square =
        |n: usize| ArrayD::from_shape_fn(vec![n, n], |at| ((at[0] + at[1]) % 5) as f64 / 4.0);
    let arrays = BTreeMap::from([
        ("layers/conv1/overlap.npy".to_string(), square(3)),
        ("layers/conv1/jaccard.npy".to_string(), square(3)),
        ("filters/c/pairs.npy".to_string(), square(3)),
        (
            "filters/c/weights.npy".to_string(),
            ArrayD::from_elem(vec![3, 2, 2, 2], 0.5),
        ),
        ("impulse/c/ncc.npy".to_string(), square(2)),
        (
            "impulse/c/response.npy".to_string(),
            ArrayD::from_elem(vec![2, 4, 4], -1.5),
        ),
        ("shuffle/a.t/u.cosine.npy".to_string(), square(2)),
    ]);
    render(&results, &arrays).expect("a page");
}

/// A run in units: `run.json`, and after a zero byte the marker of unit 2, whose files are missing. As it is, and with the
/// hash in it made right, as whoever writes a plan could make it.
pub fn units(bytes: &[u8]) {
    let split = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    let marker = bytes.get(split + 1..).unwrap_or_default();
    let with = |plan: &[u8]| {
        let folder = file("run/run.json", plan);
        let folder = folder.parent().expect("the folder of the run");
        file("run/units/00002/done.json", marker);
        if let Ok(found) = status(folder) {
            let told = found.done.len() + found.missing.len() + found.damaged.len();
            assert_eq!(told, found.units, "every unit is done or to be computed");
            assert!(merge(folder, true).is_err(), "no unit is there");
        }
    };
    with(&bytes[..split]);
    if let Some(signed) = signed_plan(&bytes[..split]) {
        with(&signed);
    }
}
