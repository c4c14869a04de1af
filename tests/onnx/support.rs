//! What the tests of the import share.

use crate::support::model::Model;
use chanscope::Result;
use chanscope::cpu::Cpu;
use chanscope::model::forward::Session;
use chanscope::model::graph::Graph;
use chanscope::model::node::ValueId;
use chanscope::model::onnx::{ImportOptions, load_with};
use chanscope::ops::Backend;

/// Loads a model through a temporary file.
pub fn load_model(m: &Model, options: &ImportOptions<'_>) -> Result<Graph> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, m.encode()).unwrap();
    load_with(&path, options)
}

/// Loads a model that is sound.
pub fn load(m: &Model) -> Graph {
    load_model(m, &ImportOptions::default()).unwrap()
}

/// Why a model is refused.
pub fn refused(m: &Model) -> String {
    load_model(m, &ImportOptions::default())
        .unwrap_err()
        .to_string()
}

/// Values of a graph on two samples of numbers around 0.
pub fn run(graph: &Graph, wanted: &[ValueId]) -> Vec<Vec<f32>> {
    let cpu = Cpu::new(1).unwrap();
    let shape = [&[2], graph.input_shape()].concat();
    let x = cpu
        .upload(&shape, &numbers(shape.iter().product(), 3.0))
        .unwrap();
    let session = Session::new(&cpu, graph, &[graph.input()], wanted).unwrap();
    let got = session.run(&[&x]).unwrap();
    got.iter().map(|t| t.data().to_vec()).collect()
}

/// The outputs of a model on these samples.
pub fn outputs(m: &Model) -> Vec<Vec<f32>> {
    let graph = load(m);
    run(&graph, graph.outputs())
}

/// Numbers of either sign up to `size`, in no order.
pub fn numbers(count: usize, size: f32) -> Vec<f32> {
    let number = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
    (0..count).map(|i| size * number(i)).collect()
}
