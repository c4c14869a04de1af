//! LeNet-5 in any width, from its weights.

use super::graph::Graph;
use super::node::{Op, ValueId};
use crate::ops::net::{Pool2dParams, PoolKind, Unary};
use crate::ops::{Activation, Conv2dParams};
use crate::{Error, Result};

/// A named tensor of weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// `conv1.weight`, `fc1.bias`, ...
    pub name: String,
    /// Shape, PyTorch's layout.
    pub shape: Vec<usize>,
    /// Elements, C order.
    pub data: Vec<f32>,
}

/// Height and width of the input.
const SIDE: usize = 28;

/// Builds the network for `[N, C, 28, 28]`: `conv1`, `conv2` (each with ReLU and 2x2 max pooling),
/// `fc1`, `fc2` (with ReLU), `fc3`. Kernel sizes and channel counts are those of the weights; each
/// layer needs a `.weight` and a `.bias`.
///
/// # Errors
/// [`Error::Network`] names a tensor that is missing or does not fit.
pub fn lenet(weights: &[Weight]) -> Result<Graph> {
    let first = find(weights, "conv1.weight")?;
    let &[_, channels, _, _] = first.shape.as_slice() else {
        return Err(Error::network(format!(
            "'conv1.weight' has shape {:?}, not [M, C, kh, kw]",
            first.shape
        )));
    };
    let mut graph = Graph::new("input", &[channels, SIDE, SIDE])?;
    let mut x = graph.input();
    for name in ["conv1", "conv2"] {
        x = conv(&mut graph, weights, name, x)?;
        x = relu(&mut graph, name, x)?;
        x = max_pool(&mut graph, name, x)?;
    }
    let flat = vec![graph.value(x).len()];
    x = graph.push("flatten", "flatten", Op::Reshape(flat), &[x])?;
    for name in ["fc1", "fc2", "fc3"] {
        x = linear(&mut graph, weights, name, x)?;
        if name != "fc3" {
            x = relu(&mut graph, name, x)?;
        }
    }
    graph.set_outputs(&[x]);
    Ok(graph)
}

/// Reads the weights of a .safetensors file in memory (f16 or f32, widened), ordered by name.
///
/// # Errors
/// [`Error::Network`] where the file or an element type cannot be used.
pub fn weights(bytes: &[u8]) -> Result<Vec<Weight>> {
    let file = safetensors::SafeTensors::deserialize(bytes)
        .map_err(|e| Error::network(format!("the weights are not a .safetensors file: {e}")))?;
    // The parser keeps its tensors in a hash table, whose order changes from run to run.
    let mut tensors: Vec<_> = file.iter().collect();
    tensors.sort_by(|a, b| a.0.cmp(b.0));
    (tensors.into_iter())
        .map(|(name, view)| {
            let bytes = view.data();
            let data = match view.dtype() {
                safetensors::Dtype::F16 => (bytes.as_chunks().0.iter())
                    .map(|&b| half::f16::from_le_bytes(b).to_f32())
                    .collect(),
                safetensors::Dtype::F32 => {
                    let values = bytes.as_chunks().0.iter();
                    values.map(|&b| f32::from_le_bytes(b)).collect()
                }
                other => {
                    return Err(Error::network(format!(
                        "'{name}' holds {other:?}, not F16 or F32"
                    )));
                }
            };
            Ok(Weight {
                name: name.into(),
                shape: view.shape().to_vec(),
                data,
            })
        })
        .collect()
}

fn find<'a>(weights: &'a [Weight], name: &str) -> Result<&'a Weight> {
    (weights.iter())
        .find(|w| w.name == name)
        .ok_or_else(|| Error::network(format!("the weights hold no '{name}'")))
}

fn constant(graph: &mut Graph, weights: &[Weight], name: &str) -> Result<ValueId> {
    let w = find(weights, name)?;
    graph.constant(name, &w.shape, w.data.as_slice())
}

fn conv(graph: &mut Graph, weights: &[Weight], name: &str, x: ValueId) -> Result<ValueId> {
    let weight = constant(graph, weights, &format!("{name}.weight"))?;
    let bias = constant(graph, weights, &format!("{name}.bias"))?;
    let params = Conv2dParams {
        stride: [1, 1],
        padding: [0; 4],
        dilation: [1, 1],
        groups: 1,
        activation: Activation::Identity,
    };
    graph.push(name, name, Op::Conv(params), &[x, weight, bias])
}

fn relu(graph: &mut Graph, name: &str, x: ValueId) -> Result<ValueId> {
    let name = format!("{name}.relu");
    let op = Op::Unary(Unary::Activation(Activation::Relu));
    graph.push(&name, &name, op, &[x])
}

fn max_pool(graph: &mut Graph, name: &str, x: ValueId) -> Result<ValueId> {
    let name = format!("{name}.pool");
    let &[_, h, w] = graph.value(x).shape.as_slice() else {
        return Err(Error::network(format!("'{name}' has no map to pool")));
    };
    let params = Pool2dParams {
        kind: PoolKind::Max,
        kernel: [2, 2],
        stride: [2, 2],
        padding: [0; 4],
        dilation: [1, 1],
        output: [h / 2, w / 2],
    };
    graph.push(&name, &name, Op::Pool(params), &[x])
}

fn linear(graph: &mut Graph, weights: &[Weight], name: &str, x: ValueId) -> Result<ValueId> {
    let key = format!("{name}.weight");
    let w = find(weights, &key)?;
    let &[m, k] = w.shape.as_slice() else {
        return Err(Error::network(format!(
            "'{key}' has shape {:?}, not [out, in]",
            w.shape
        )));
    };
    if w.data.len() != m * k {
        return Err(Error::network(format!("'{key}' does not fill its shape")));
    }
    let transposed: Vec<f32> = (0..k * m).map(|i| w.data[i % m * k + i / m]).collect();
    let weight = graph.constant(&key, &[k, m], transposed)?;
    let bias = constant(graph, weights, &format!("{name}.bias"))?;
    graph.push(
        name,
        name,
        Op::Linear(Activation::Identity),
        &[x, weight, bias],
    )
}
