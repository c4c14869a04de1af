//! The filters of a model's convolutions, without the rest of the network: any operator set, any other
//! operator, and any size of input will do.

use super::attributes::node_name;
use super::fault::{Fault, plain};
use super::operators::MICROSOFT;
use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use super::reader::{Reader, Source};
use super::tensor::Elements;
use crate::Result;
use crate::io::file::DataFile;
use crate::io::names::module_path;
use crate::model::data::Data;
use crate::model::layers::layer_namer;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Filters of one convolution.
#[derive(Clone, Debug)]
pub struct ConvFilters {
    /// Layer, named as [`crate::model::layers::ConvLayer`] is.
    pub name: String,
    /// `[M, C / groups, h, w]`.
    pub shape: [usize; 4],
    /// Weights, C order, in the file until they are read.
    pub weights: Data,
}

/// What [`filters`] found.
#[derive(Clone, Debug, Default)]
pub struct ModelFilters {
    /// In running order.
    pub layers: Vec<ConvFilters>,
    /// Layers with weights that are no 2-D convolution or cannot be read, and the reason.
    pub skipped: Vec<(String, String)>,
}

/// Finds the filters of every convolution.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io); [`Error::Network`](crate::Error::Network) where the file is damaged or no
/// ONNX model.
pub fn filters(path: impl AsRef<Path>) -> Result<ModelFilters> {
    let path = path.as_ref();
    let (model, file) = super::decode(path)?;
    collect(model, file).map_err(|what| Fault::from(what).in_file(path))
}

fn collect(model: ModelProto, file: Arc<DataFile>) -> Result<ModelFilters, String> {
    let graph = (model.graph).ok_or(super::NO_GRAPH)?;
    let mut constants = Constants::new(&graph, file);
    let mut found = ModelFilters::default();
    let mut namer = layer_namer();
    for node in &graph.node {
        let weight = node.input.get(1).map(String::as_str).unwrap_or_default();
        if let Some(name) = layer_name(node) {
            let name = namer.name(&name);
            match constants.filters(weight)? {
                Ok((shape, weights)) => {
                    found.layers.push(ConvFilters {
                        name,
                        shape,
                        weights,
                    });
                }
                Err(reason) => found.skipped.push((name, reason)),
            }
            continue;
        }
        let standard = is_standard(node);
        let reason = match node.op_type.as_str() {
            "ConvTranspose" if standard => "a transposed convolution".into(),
            "ConvInteger" | "QLinearConv" => "a quantised convolution".into(),
            "Gemm" | "MatMul" if constants.holds(weight) => {
                "a linear layer, not a convolution".into()
            }
            operator if operator.contains("Conv") => format!(
                "operator {}{}, which is not supported",
                plain(operator),
                match standard {
                    true => String::new(),
                    false => format!(" of domain '{}'", plain(&node.domain)),
                }
            ),
            _ => continue,
        };
        found.skipped.push((plain(&module(node)), reason));
    }
    Ok(found)
}

fn is_standard(node: &NodeProto) -> bool {
    node.domain.is_empty() || node.domain == "ai.onnx"
}

/// The name of a convolution's layer before it is made safe and unique; `None` for other nodes.
pub(super) fn layer_name(node: &NodeProto) -> Option<String> {
    let conv = match node.op_type.as_str() {
        "Conv" => is_standard(node),
        "FusedConv" => node.domain == MICROSOFT,
        _ => false,
    };
    conv.then(|| module(node))
}

/// Module path of a node's weight where it has one, else the node's name.
fn module(node: &NodeProto) -> String {
    let weight = node.input.get(1).map(String::as_str).unwrap_or_default();
    match module_path(weight) {
        module if module != weight => module.to_string(),
        _ => node_name(node).to_string(),
    }
}

/// Constants of a model by name, read when they are asked for.
struct Constants<'a> {
    tensors: HashMap<&'a str, &'a TensorProto>,
    makers: HashMap<&'a str, &'a NodeProto>,
    read: HashMap<&'a str, (Vec<usize>, Source)>,
    reader: Reader,
}

/// Longest chain of nodes between a constant and a convolution.
const MAX_CHAIN: usize = 16;

impl<'a> Constants<'a> {
    fn new(graph: &'a GraphProto, file: Arc<DataFile>) -> Self {
        let mut tensors: HashMap<&str, &TensorProto> = (graph.initializer.iter())
            .map(|t| (t.name.as_str(), t))
            .collect();
        let mut makers = HashMap::new();
        for node in &graph.node {
            for output in &node.output {
                makers.insert(output.as_str(), node);
            }
            let value = node.attribute.iter().find(|a| a.name == "value");
            if let ("Constant", Some(output), Some(tensor)) = (
                node.op_type.as_str(),
                node.output.first(),
                value.and_then(|v| v.t.as_ref()),
            ) {
                tensors.insert(output, tensor);
            }
        }
        Self {
            tensors,
            makers,
            read: HashMap::new(),
            reader: Reader::new(file),
        }
    }

    /// The tensor behind a name, through nodes that leave its values as they are.
    fn find(&self, mut name: &'a str) -> Result<(&'a str, &'a TensorProto), &'a str> {
        let mut last = "";
        for _ in 0..MAX_CHAIN {
            if let Some((&key, &tensor)) = self.tensors.get_key_value(name) {
                return Ok((key, tensor));
            }
            let Some(node) = self.makers.get(name) else {
                break;
            };
            last = node.op_type.as_str();
            match (last, node.input.first()) {
                ("Identity" | "Cast", Some(input)) => name = input,
                _ => break,
            }
        }
        Err(last)
    }

    fn holds(&self, name: &'a str) -> bool {
        self.find(name).is_ok()
    }

    /// Shape and weights of a convolution, or why there are none.
    fn filters(&mut self, weight: &'a str) -> Result<Result<([usize; 4], Data), String>, String> {
        let (key, tensor) = match self.find(weight) {
            Ok(found) => found,
            Err("") => return Ok(Err("its weights are not in the file".into())),
            Err(operator) => {
                return Ok(Err(format!("its weights are computed by {operator}")));
            }
        };
        if !self.read.contains_key(key) {
            let constant = (self.reader.find(tensor))
                .map_err(|e| format!("initialiser '{}': {e}", tensor.name))?;
            self.read.insert(key, constant);
        }
        let (shape, source) = &self.read[key];
        Ok(match (shape.as_slice(), source) {
            (&[m, c, h, w], Source::File(data)) => Ok(([m, c, h, w], data.clone())),
            (&[m, c, h, w], Source::Memory(Elements::Float(weights))) => {
                Ok(([m, c, h, w], weights.clone().into()))
            }
            (_, Source::Memory(Elements::Int(_))) => Err("its weights are integers".into()),
            (shape, _) => Err(other_rank(shape.len())),
        })
    }
}

/// Why weights of so many dimensions are skipped.
fn other_rank(rank: usize) -> String {
    format!(
        "a convolution in {} dimensions, not 2",
        rank.saturating_sub(2)
    )
}
