//! Checks of the arguments of every operation, shared by both backends so that they refuse the same
//! arguments with the same error. What only one device cannot do, such as an array larger than its
//! buffers, is refused there, after these checks.

mod conv2d;
mod graph;
mod net;

pub(crate) use conv2d::{Conv2dSizes, check_conv2d};
pub(crate) use graph::{
    ListsShape, PointsShape, VectorsShape, check_gather, check_lists, check_nnk, check_overlap,
    check_part, check_points, check_queries, check_search, missing_vectors,
};
pub(crate) use net::{
    check_correlate, check_linear, check_normalise, check_pool2d, check_reduce, check_resample,
    check_reshape, check_shuffle, check_softmax, check_strided, check_substitute, check_variants,
};

use super::GramKind;
use crate::error::dims;
use crate::tensor::checked_product;
use crate::{Error, Result};

/// Number of elements of a `f32` tensor whose bytes can be addressed.
pub(crate) fn check_count(name: &'static str, shape: &[usize]) -> Result<usize> {
    let dims: Vec<u64> = shape.iter().map(|&d| d as u64).collect();
    checked_product(&dims)
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| n.checked_mul(4).is_some_and(|b| isize::try_from(b).is_ok()))
        .ok_or(Error::TooLarge { name, shape: dims })
}

/// Number of elements of a tensor of `shape` that `len` elements fill.
pub(crate) fn check_data(shape: &[usize], len: usize) -> Result<usize> {
    let count = check_count("data", shape)?;
    check_length("data", count, len)?;
    Ok(count)
}

/// Whether a list has as many elements as it needs.
pub(crate) fn check_length(name: &'static str, expected: usize, got: usize) -> Result<()> {
    match got == expected {
        true => Ok(()),
        false => Err(Error::WrongLength {
            name,
            expected,
            got,
        }),
    }
}

/// Whether two tensors have the same shape.
pub(crate) fn check_same_shape(from: &[usize], to: &[usize]) -> Result<()> {
    match from == to {
        true => Ok(()),
        false => {
            let expected = from.iter().map(|&d| d.into()).collect();
            Err(Error::wrong_shape("to", expected, to))
        }
    }
}

/// Whether the bandwidth of a Gaussian kernel is positive and finite.
pub(crate) fn check_sigma(sigma: f64) -> Result<()> {
    match sigma > 0.0 && sigma.is_finite() {
        true => Ok(()),
        false => Err(Error::argument("sigma", sigma, "a positive number")),
    }
}

/// `[groups, n, dim]` of the operand of a Gram matrix.
pub(crate) fn check_gram(x: &[usize], kind: GramKind) -> Result<[usize; 3]> {
    let &[groups, n, dim] = x else {
        return Err(Error::wrong_shape("x", dims!["groups", "n", "dim"], x));
    };
    if let GramKind::Gaussian(sigma) = kind {
        check_sigma(sigma)?;
    }
    Ok([groups, n, dim])
}
