//! Operators on constants alone, which are computed while the model is read.
//!
//! Exporters write a network's shape arithmetic, paddings, anchors and rescaled weights as nodes; here they
//! become constants. Each file has a table `FOLDS` of its own. A result takes its room from what the model's
//! own bytes back ([`Context::claim`]) before it is made, so that no chain of nodes can fill the memory.
//!
//! - `make`: constants from nothing, or from a shape
//! - `elementwise`: functions of every element, of one constant or of several; `scalar`: these functions
//! - `layout`: elements moved, selected, joined or repeated
//! - `reduce`: elements combined along axes, and matrix products
//! - `normalise`: weights that a network standardises
//! - `walk`: places of elements in a strided view

mod elementwise;
mod layout;
mod make;
mod normalise;
mod reduce;
mod scalar;
mod walk;

use super::context::Context;
use super::tensor::Constant;

/// An operator on constants, and how its first output is computed. The error says what is wrong with the node.
pub(super) type Fold = (&'static str, fn(&mut Context<'_>) -> Folded);

/// The outputs, in order.
type Folded = Result<Vec<Constant>, String>;

const GROUPS: [&[Fold]; 5] = [
    elementwise::FOLDS,
    layout::FOLDS,
    make::FOLDS,
    normalise::FOLDS,
    reduce::FOLDS,
];

/// How an operator of the standard set is computed from constants, `None` where it is not supported.
pub(super) fn find(operator: &str) -> Option<fn(&mut Context<'_>) -> Folded> {
    let mut all = GROUPS.iter().copied().flatten();
    all.find(|(name, _)| *name == operator).map(|(_, f)| *f)
}

/// A result with one output.
fn one(constant: Constant) -> Folded {
    Ok(vec![constant])
}
