//! The operators that can be imported, a group a file. Each file has a table `OPERATORS` of its own; a new
//! operator is a line in one of them and the function it names.

mod constants;
mod elementwise;
mod layout;
mod linear;
mod reduce;
mod reshape;
mod spatial;

use super::context::Operator;
use super::proto::NodeProto;

const GROUPS: [&[Operator]; 7] = [
    constants::OPERATORS,
    elementwise::OPERATORS,
    layout::OPERATORS,
    linear::OPERATORS,
    reduce::OPERATORS,
    reshape::OPERATORS,
    spatial::OPERATORS,
];

/// The operator of a node, `None` where it is not supported.
pub(super) fn find(node: &NodeProto) -> Option<&'static Operator> {
    let standard = node.domain.is_empty() || node.domain == "ai.onnx";
    (GROUPS.iter().copied().flatten()).find(|operator| standard && operator.name == node.op_type)
}
