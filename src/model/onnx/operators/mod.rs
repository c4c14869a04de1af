//! The operators that can be imported, a group a file. Each file has a table `OPERATORS` of its own; a new
//! operator is a line in one of them and the function it names.

mod binary;
mod elementwise;
mod functions;
mod fused;
mod layout;
mod linear;
mod moved;
mod normalise;
mod rearrange;
mod reduce;
pub(super) mod repeated;
mod reshape;
mod resize;
mod spatial;
mod transposed;

use super::context::Operator;
use super::proto::NodeProto;

const GROUPS: [&[Operator]; 13] = [
    binary::OPERATORS,
    elementwise::OPERATORS,
    functions::OPERATORS,
    fused::OPERATORS,
    layout::OPERATORS,
    linear::OPERATORS,
    normalise::OPERATORS,
    rearrange::OPERATORS,
    reduce::OPERATORS,
    reshape::OPERATORS,
    resize::OPERATORS,
    spatial::OPERATORS,
    transposed::OPERATORS,
];

/// Operator set of onnxruntime's own operators.
pub(super) const MICROSOFT: &str = "com.microsoft";

/// The operator of a node, `None` where it is not supported.
pub(super) fn find(node: &NodeProto) -> Option<&'static Operator> {
    let domain = match node.domain.as_str() {
        "ai.onnx" => "",
        other => other,
    };
    let mut all = GROUPS.iter().copied().flatten();
    all.find(|operator| operator.domain == domain && operator.name == node.op_type)
}
