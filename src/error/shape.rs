//! Shapes as an operation expects them.

use std::fmt::{Display, Formatter};

/// One axis of an expected shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Exactly this size.
    Is(usize),
    /// Any size; the name says what the axis counts, as in `[N, C, H, W]`.
    Any(&'static str),
    /// Any number of further axes.
    Rest,
}

impl From<usize> for Dim {
    fn from(size: usize) -> Self {
        Self::Is(size)
    }
}

impl From<&'static str> for Dim {
    /// `"..."` stands for [`Dim::Rest`].
    fn from(name: &'static str) -> Self {
        match name {
            "..." => Self::Rest,
            name => Self::Any(name),
        }
    }
}

impl Display for Dim {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Is(size) => size.fmt(f),
            Self::Any(name) => name.fmt(f),
            Self::Rest => "...".fmt(f),
        }
    }
}

/// An expected shape from sizes and names: `dims!["N", 3, "H", "W"]`, `dims!["N", "C", "..."]`.
macro_rules! dims {
    ($($dim:expr),* $(,)?) => {
        vec![$($crate::error::Dim::from($dim)),*]
    };
}
pub(crate) use dims;

/// `[N, 3, ...]`.
pub(super) fn list(dims: &[Dim]) -> String {
    let names: Vec<String> = dims.iter().map(Dim::to_string).collect();
    format!("[{}]", names.join(", "))
}

/// `[2, 3] and [4]`.
pub(super) fn several(shapes: &[Vec<usize>]) -> String {
    let shapes: Vec<String> = shapes.iter().map(|s| format!("{s:?}")).collect();
    shapes.join(" and ")
}
