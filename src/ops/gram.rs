//! Parameter of Gram matrices.

/// Which Gram matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GramKind {
    /// `<x, y>`.
    Linear,
    /// `1/2 + 1/2 cos`; rows and columns of zero vectors are 0.
    Cosine,
    /// `exp(-||x-y||^2 / (2 s^2))` with this `s`.
    Gaussian(f64),
}
