//! ONNX import: protobuf to [`Graph`], opset 13 to 21, the operators CNN classifiers use.
//!
//! The file is data from anywhere: it is checked before it is decoded, nothing it says sets a size that
//! is not backed by its own bytes, and an operator that is not supported is named before anything runs.
//!
//! `scan` checks the bytes and `proto` decodes them. `convert` goes through the nodes in order: a node with
//! a computed input becomes nodes of the graph, a node on constants alone is evaluated at once, both by its
//! entry in `operators`. Operators see the graph and the names of the file through `context`, the node's
//! parameters through `attributes` and constants through `tensor`. `filters` reads the weights of
//! convolutions without building a graph.

mod attributes;
mod context;
mod convert;
mod fault;
mod filters;
mod operators;
mod proto;
mod scan;
mod tensor;

pub use filters::{ConvFilters, ModelFilters, filters};

use super::graph::Graph;
use crate::{Error, Result};
use attributes::node_name;
use convert::Importer;
use fault::Fault;
use prost::Message;
use prost::bytes::Bytes;
use proto::{GraphProto, ModelProto, ValueInfoProto, data_type};
use std::path::Path;

/// Operator sets understood.
const OPSETS: std::ops::RangeInclusive<i64> = 13..=21;

/// Reads a model. Dimensions of the input that the model leaves open take those of `sample`, the shape
/// of one sample of the data, if there is one.
///
/// # Errors
/// [`Error::Io`]; [`Error::Network`] for anything but a supported model: what, and at which node.
pub fn load(path: impl AsRef<Path>, sample: Option<&[usize]>) -> Result<Graph> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read the model", e))?;
    parse(bytes, path, sample).map_err(|fault| fault.in_file(path))
}

/// Reads a model from memory; `path` is where external data are looked for.
fn parse(bytes: Vec<u8>, path: &Path, sample: Option<&[usize]>) -> Result<Graph, Fault> {
    if bytes.is_empty() {
        return Err("is empty, not an ONNX model".into());
    }
    scan::check(&bytes)?;
    let model = ModelProto::decode(Bytes::from(bytes))
        .map_err(|e| format!("is not an ONNX model ({e})"))?;
    let opset = opset(&model)?;
    let proto = (model.graph).ok_or("is not an ONNX model: it holds no graph")?;
    check_operators(&proto)?;
    let (input, shape) = input(&proto, sample)?;
    let mut importer = Importer::new(path, opset, input, &shape)?;
    let GraphProto {
        node,
        initializer,
        output,
        ..
    } = proto;
    importer.constants(initializer)?;
    for node in &node {
        importer.node(node)?;
    }
    Ok(importer.finish(output.iter().map(|o| o.name.as_str()))?)
}

fn opset(model: &ModelProto) -> Result<i64, String> {
    let set = (model.opset_import.iter()).find(|o| o.domain.is_empty() || o.domain == "ai.onnx");
    match set.map(|o| o.version) {
        Some(v) if OPSETS.contains(&v) => Ok(v),
        Some(v) => Err(format!(
            "opset {v} is not supported: export with opset {} to {}",
            OPSETS.start(),
            OPSETS.end()
        )),
        None => Err("is not an ONNX model: it names no operator set".into()),
    }
}

/// Names the first node that cannot run, and how many others there are.
fn check_operators(graph: &GraphProto) -> Result<(), String> {
    let mut missing = (graph.node.iter()).filter(|n| operators::find(n).is_none());
    let Some(first) = missing.next() else {
        return Ok(());
    };
    let mut others: Vec<&str> = missing.map(|n| n.op_type.as_str()).collect();
    others.sort_unstable();
    others.dedup();
    others.retain(|&o| o != first.op_type);
    let others = match others.len() {
        0 => String::new(),
        n => format!(
            " (and {}{})",
            others[..n.min(5)].join(", "),
            if n > 5 { ", ..." } else { "" }
        ),
    };
    Err(format!(
        "node '{}' uses operator {}{}, which is not supported{others}",
        node_name(first),
        first.op_type,
        if first.domain.is_empty() {
            String::new()
        } else {
            format!(" of domain '{}'", first.domain)
        },
    ))
}

/// Name and shape per sample of the one input that is no constant.
fn input<'a>(
    graph: &'a GraphProto,
    sample: Option<&[usize]>,
) -> Result<(&'a str, Vec<usize>), String> {
    let inputs: Vec<&ValueInfoProto> = (graph.input.iter())
        .filter(|i| graph.initializer.iter().all(|t| t.name != i.name))
        .collect();
    let &[input] = inputs.as_slice() else {
        return Err(format!(
            "has {} inputs; one is needed, the images",
            inputs.len()
        ));
    };
    let tensor = (input.r#type.as_ref())
        .and_then(|t| t.tensor_type.as_ref())
        .ok_or_else(|| format!("input '{}' is no tensor", input.name))?;
    if ![data_type::FLOAT, data_type::FLOAT16].contains(&tensor.elem_type) {
        return Err(format!(
            "input '{}' is {}; export the model with a float32 input",
            input.name,
            data_type::name(tensor.elem_type)
        ));
    }
    let dims = tensor.shape.as_ref().map(|s| s.dim.as_slice());
    let dims = dims
        .filter(|d| d.len() >= 2)
        .ok_or_else(|| format!("input '{}' has no shape [N, C, ...]", input.name))?;
    let shape = (dims[1..].iter().enumerate())
        .map(|(i, d)| match d.dim_value {
            Some(v) if v > 0 => usize::try_from(v).map_err(|e| e.to_string()),
            _ => (sample.filter(|s| s.len() == dims.len() - 1))
                .map(|s| s[i])
                .ok_or_else(|| {
                    format!(
                        "input '{}' leaves dimension {} open ('{}'); export the model with a fixed \
                         size, only the batch may be free",
                        input.name,
                        i + 1,
                        d.dim_param.as_deref().unwrap_or("?")
                    )
                }),
        })
        .collect::<Result<_, _>>()?;
    Ok((&input.name, shape))
}
