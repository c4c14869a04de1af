//! The input of a model: its name, its shape, and the layout of its axes.

use super::ImportOptions;
use super::attributes::Attributes;
use super::proto::{GraphProto, NodeProto, ValueInfoProto, data_type};
use crate::Error;
use crate::model::parts::Layout;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// The one input that is no constant.
pub(super) struct Input<'a> {
    pub(super) name: &'a str,
    /// Shape of one sample.
    pub(super) shape: Vec<usize>,
    pub(super) layout: Option<Layout>,
}

/// Why there is no usable input.
pub(super) enum Refusal {
    /// What is wrong with the file.
    File(String),
    /// What has to be given, or does not fit.
    Caller(Error),
}

impl From<String> for Refusal {
    fn from(what: String) -> Self {
        Self::File(what)
    }
}

/// Finds the input. Dimensions that it leaves open are those of the sample or of the size asked for.
pub(super) fn find<'a>(
    graph: &'a GraphProto,
    path: &Path,
    options: &ImportOptions<'_>,
) -> Result<Input<'a>, Refusal> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs: Vec<&ValueInfoProto> = (graph.input.iter())
        .filter(|i| !constants.contains(i.name.as_str()))
        .collect();
    let &[input] = inputs.as_slice() else {
        let what = format!("has {} inputs; one is needed, the images", inputs.len());
        return Err(what.into());
    };
    let tensor = (input.r#type.as_ref())
        .and_then(|t| t.tensor_type.as_ref())
        .ok_or_else(|| format!("input '{}' is no tensor", input.name))?;
    if ![data_type::FLOAT, data_type::FLOAT16].contains(&tensor.elem_type) {
        let what = format!(
            "the elements of input '{}' are {}; export the model with a float32 input",
            input.name,
            data_type::name(tensor.elem_type)
        );
        return Err(what.into());
    }
    let dims = tensor.shape.as_ref().map(|s| s.dim.as_slice());
    let dims = dims
        .filter(|d| d.len() >= 2)
        .ok_or_else(|| format!("input '{}' has no shape [N, C, ...]", input.name))?;
    let layout = (options.layout).or_else(|| layout(&graph.node, &input.name, dims.len()));
    let known = (dims[1..].iter())
        .map(|d| match d.dim_value {
            Some(v) if v > 0 => usize::try_from(v).map(Some).map_err(|e| e.to_string()),
            _ => Ok(None),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut shape = known.clone();
    let sample = options.sample.filter(|s| s.len() == shape.len());
    for (d, &size) in shape.iter_mut().zip(sample.into_iter().flatten()) {
        *d = d.or(Some(size));
    }
    if let Some(size) = options.size {
        sized(&mut shape, size, layout).map_err(Refusal::Caller)?;
    }
    let shape: Option<Vec<usize>> = shape.iter().copied().collect();
    let shape = shape.ok_or_else(|| {
        let open = known.iter().position(Option::is_none).unwrap_or_default();
        let channels = layout.map(|l| l.axes()[0]);
        if known.len() == 3 && channels.is_none_or(|c| known[c].is_some()) {
            return Refusal::Caller(Error::OpenSize {
                path: path.to_path_buf(),
                input: super::fault::plain(&input.name),
                dimension: open + 1,
            });
        }
        Refusal::File(format!(
            "input '{}' leaves dimension {} open ('{}'); export the model with a fixed size, only the batch may \
             be free",
            input.name,
            open + 1,
            dims[open + 1].dim_param.as_deref().unwrap_or("?")
        ))
    })?;
    Ok(Input {
        name: &input.name,
        shape,
        layout,
    })
}

/// Enters a height and a width into the shape of a sample.
fn sized(
    shape: &mut [Option<usize>],
    size: [usize; 2],
    layout: Option<Layout>,
) -> Result<(), Error> {
    let named = format!("{}x{}", size[0], size[1]);
    if shape.len() != 3 {
        let expected = "nothing: the network's input is no image";
        return Err(Error::argument("image_size", named, expected));
    }
    let [_, y, x] = layout.ok_or(Error::NoLayout { shape: vec![] })?.axes();
    for (axis, size) in [y, x].into_iter().zip(size) {
        if *shape[axis].get_or_insert(size) != size {
            let fixed = [y, x].map(|a| shape[a].map_or("?".into(), |d| d.to_string()));
            let expected = format!("the size that the model has, {}", fixed.join("x"));
            return Err(Error::argument("image_size", named, expected));
        }
    }
    Ok(())
}

/// Operators that keep the axes of their first input, or of any input, where they are.
const KEEP: [&str; 24] = [
    "Add",
    "Cast",
    "Clip",
    "Concat",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "Exp",
    "Gather",
    "Identity",
    "LeakyRelu",
    "Log",
    "Mul",
    "Neg",
    "Pad",
    "Pow",
    "QuantizeLinear",
    "Relu",
    "Resize",
    "Slice",
    "Split",
    "Sqrt",
    "Sub",
    "Upsample",
];

/// Operators that take channels on axis 1.
const IMAGES: [&str; 15] = [
    "AveragePool",
    "BatchNormalization",
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "DepthToSpace",
    "FusedConv",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GroupNormalization",
    "InstanceNormalization",
    "LRN",
    "MaxPool",
    "QLinearConv",
    "SpaceToDepth",
];

/// The layout of the input, told by the first operator on images that it reaches, through operators that keep
/// its axes and through transpositions; `None` where there is none.
fn layout(nodes: &[NodeProto], input: &str, rank: usize) -> Option<Layout> {
    if rank != 4 {
        return None;
    }
    // Which axis of the input each axis of a value is.
    let mut axes = HashMap::from([(input, [0, 1, 2, 3])]);
    for node in nodes {
        let operator = node.op_type.as_str();
        let mut inputs = node.input.iter();
        let Some(&from) = inputs.find_map(|i| axes.get(i.as_str())) else {
            continue;
        };
        if IMAGES.contains(&operator) {
            return match from {
                [0, 1, 2, 3] => Some(Layout::Nchw),
                [0, 3, 1, 2] => Some(Layout::Nhwc),
                _ => None,
            };
        }
        let attributes = Attributes(node);
        let to = match operator {
            "Transpose" => {
                let perm = attributes.ints("perm").unwrap_or(&[3, 2, 1, 0]);
                let axis = |a: &i64| usize::try_from(*a).ok().and_then(|a| from.get(a));
                let to: Option<Vec<usize>> = perm.iter().map(|a| axis(a).copied()).collect();
                to.and_then(|to| <[usize; 4]>::try_from(to).ok())
            }
            operator => KEEP.contains(&operator).then_some(from),
        };
        if let Some(to) = to {
            axes.extend(node.output.iter().map(|o| (o.as_str(), to)));
        }
    }
    None
}
