//! ONNX import: protobuf to [`Graph`], opset 7 to 23, the operators that networks on images use.
//!
//! The file is data from anywhere: it is checked before it is decoded, nothing it says sets a size that
//! is not backed by its own bytes, and a node that cannot be computed stops only what needs it.
//!
//! `scan` checks the bytes and leaves the elements of tensors where they are, and `proto` decodes the rest; `input` finds the input and its layout. `convert` goes
//! through the nodes in order: a node with a computed input becomes nodes of the graph, by its entry in
//! `operators`; a node on constants alone is computed at once, by its entry in `fold`. Both see the graph and
//! the names of the file through `context`, and the node's parameters through `attributes` or, where the
//! standard has made inputs of them, `parameters`. Constants are `tensor`s, which `reader` takes from the file
//! and from files beside it; the weights of convolutions and linear layers stay there until a device takes them
//! ([`Data`](super::data::Data)). `filters` reads the weights of convolutions without building a graph.

mod attributes;
mod context;
mod convert;
mod fault;
mod filters;
mod fold;
mod input;
mod operators;
mod parameters;
mod proto;
mod reader;
mod scan;
mod tensor;

pub use filters::{ConvFilters, ModelFilters, filters};

use super::graph::Graph;
use super::parts::Layout;
use crate::Result;
use crate::io::file::DataFile;
use convert::Importer;
use fault::Fault;
use input::Refusal;
use prost::Message;
use prost::bytes::Bytes;
use proto::{GraphProto, ModelProto};
use std::path::Path;
use std::sync::Arc;

/// Operator sets understood.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=23;

/// What the file does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportOptions<'a> {
    /// Shape of one sample of the data: dimensions that the input leaves open take its sizes.
    pub sample: Option<&'a [usize]>,
    /// Height and width of the images, where the input leaves them open.
    pub size: Option<[usize; 2]>,
    /// Layout of the input; found from the graph where it is not given.
    pub layout: Option<Layout>,
}

impl<'a> ImportOptions<'a> {
    /// Sets `sample`.
    #[must_use]
    pub const fn with_sample(mut self, sample: Option<&'a [usize]>) -> Self {
        self.sample = sample;
        self
    }

    /// Sets `size`.
    #[must_use]
    pub const fn with_size(mut self, size: Option<[usize; 2]>) -> Self {
        self.size = size;
        self
    }

    /// Sets `layout`.
    #[must_use]
    pub const fn with_layout(mut self, layout: Option<Layout>) -> Self {
        self.layout = layout;
        self
    }
}

/// Reads a model. Dimensions of the input that the model leaves open take those of `sample`, the shape
/// of one sample of the data, if there is one.
///
/// # Errors
/// As [`load_with`].
pub fn load(path: impl AsRef<Path>, sample: Option<&[usize]>) -> Result<Graph> {
    load_with(path, &ImportOptions::default().with_sample(sample))
}

/// Reads a model. Nodes that cannot be computed, and what needs them, are left out of the graph, which lists
/// them ([`Graph::left_out`]).
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) and [`Error::File`](crate::Error::File) for what is no regular file;
/// [`Error::Network`](crate::Error::Network) for a file that is damaged or of which nothing can be computed:
/// what, and at which node; [`Error::OpenSize`](crate::Error::OpenSize),
/// [`Error::NoLayout`](crate::Error::NoLayout) and [`Error::Argument`](crate::Error::Argument) for options that
/// are missing or do not fit.
pub fn load_with(path: impl AsRef<Path>, options: &ImportOptions<'_>) -> Result<Graph> {
    let path = path.as_ref();
    let (model, file) = decode(path)?;
    let fail = |fault: Fault| fault.in_file(path);
    let opset = opset(&model).map_err(|e| fail(e.into()))?;
    let proto = (model.graph).ok_or_else(|| fail(NO_GRAPH.into()))?;
    let input = input::find(&proto, path, options).map_err(|refusal| match refusal {
        Refusal::File(what) => fail(what.into()),
        Refusal::Caller(error) => error,
    })?;
    let layout = input.layout;
    let mut importer = Importer::new(Arc::clone(&file), opset, input.name, &input.shape)
        .map_err(|e| fail(e.into()))?;
    let GraphProto {
        node,
        initializer,
        output,
        ..
    } = proto;
    let import = || {
        importer.constants(initializer)?;
        for node in &node {
            importer.node(node)?;
        }
        importer.finish(output.iter().map(|o| o.name.as_str()))
    };
    let mut graph = import().map_err(fail)?;
    file.check_unchanged()?;
    graph.parts.layout = layout;
    Ok(graph)
}

const NO_GRAPH: &str = "is not an ONNX model: it holds no graph";

/// Decodes a file but for the long elements of its tensors, which are left in it.
fn decode(path: &Path) -> Result<(ModelProto, Arc<DataFile>)> {
    let file = DataFile::open(path)?;
    let fail = |what: String| Fault::from(what).in_file(path);
    if file.len() == 0 {
        return Err(fail("is empty, not an ONNX model".into()));
    }
    let outline = scan::outline(&file).map_err(|refusal| match refusal {
        Refusal::File(what) => fail(what),
        Refusal::Caller(error) => error,
    })?;
    let model = ModelProto::decode(Bytes::from(outline))
        .map_err(|e| fail(format!("is not an ONNX model ({e})")))?;
    Ok((model, Arc::new(file)))
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
