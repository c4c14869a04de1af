//! The operators that can be imported, a group a file. Each file has a table `OPERATORS` of its own; a new
//! operator is a line in one of them and the function it names.

mod binary;
mod constants;
mod elementwise;
mod functions;
mod layout;
mod linear;
mod normalise;
mod rearrange;
mod reduce;
mod reshape;
mod resize;
mod spatial;
mod transposed;

use super::context::Operator;
use super::proto::NodeProto;

const GROUPS: [&[Operator]; 13] = [
    binary::OPERATORS,
    constants::OPERATORS,
    elementwise::OPERATORS,
    functions::OPERATORS,
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

/// The operator of a node, `None` where it is not supported.
pub(super) fn find(node: &NodeProto) -> Option<&'static Operator> {
    let standard = node.domain.is_empty() || node.domain == "ai.onnx";
    (GROUPS.iter().copied().flatten()).find(|operator| standard && operator.name == node.op_type)
}
