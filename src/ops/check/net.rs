//! Arguments of the operations of a network.

use super::{check_count, check_length};
use crate::error::dims;
use crate::ops::net::{MAX_RANK, Pool2dParams, Reduction, Resampling, Shuffle, StridedCopy};
use crate::{Error, Result};
use std::ops::Range;

/// Whether a tensor can have another shape.
pub(crate) fn check_reshape(from: &[usize], to: &[usize]) -> Result<()> {
    let (has, takes) = (check_count("x", from)?, check_count("shape", to)?);
    check_length("shape", has, takes)
}

/// `[N, C, H, W]` of the operand of a pooling.
pub(crate) fn check_pool2d(x: &[usize], params: &Pool2dParams) -> Result<[usize; 4]> {
    let &[n, c, h, w] = x else {
        return Err(Error::wrong_shape("x", dims!["N", "C", "H", "W"], x));
    };
    let Pool2dParams {
        kernel,
        stride,
        dilation,
        ..
    } = *params;
    for (name, sizes) in [
        ("kernel", kernel),
        ("stride", stride),
        ("dilation", dilation),
    ] {
        if sizes.contains(&0) {
            return Err(Error::argument(name, format!("{sizes:?}"), "at least 1"));
        }
    }
    Ok([n, c, h, w])
}

/// Whether neighbouring axes can be reduced so that `shape` is what remains.
pub(crate) fn check_reduce(
    x: &[usize],
    kind: Reduction,
    axes: &Range<usize>,
    shape: &[usize],
) -> Result<()> {
    if axes.start > axes.end || axes.end > x.len() {
        return Err(Error::OutOfRange {
            name: "axes",
            got: axes.clone(),
            len: x.len(),
        });
    }
    let kept = x[..axes.start].iter().chain(&x[axes.end..]).product();
    check_length("shape", kept, check_count("shape", shape)?)?;
    let none = x[axes.clone()].contains(&0) && kept > 0;
    match kind {
        Reduction::Max | Reduction::Min | Reduction::ArgMax if none => {
            let expected = "axes with at least one element";
            Err(Error::argument("axes", format!("{axes:?}"), expected))
        }
        _ => Ok(()),
    }
}

/// Whether a tensor consists of whole runs of `len` elements.
pub(crate) fn check_normalise(x: &[usize], len: usize) -> Result<()> {
    match len > 0 && check_count("x", x)?.is_multiple_of(len) {
        true => Ok(()),
        false => {
            let expected = format!("a divisor of the number of elements of {x:?}");
            Err(Error::argument("len", len, expected))
        }
    }
}

/// Shape of the result of a resampling whose indices lie within the axis.
pub(crate) fn check_resample(x: &[usize], axis: usize, by: &Resampling) -> Result<Vec<usize>> {
    check_softmax(x, axis)?;
    if by.terms == 0 || !by.index.len().is_multiple_of(by.terms) {
        let expected = "a divisor of the number of indices";
        return Err(Error::argument("terms", by.terms, expected));
    }
    check_length("weight", by.index.len(), by.weight.len())?;
    if let Some(&i) = by.index.iter().find(|&&i| i as usize >= x[axis]) {
        return Err(Error::OutOfRange {
            name: "index",
            got: i as usize..i as usize + 1,
            len: x[axis],
        });
    }
    let mut shape = x.to_vec();
    shape[axis] = by.len();
    Ok(shape)
}

/// Whether a tensor has an axis.
pub(crate) fn check_softmax(x: &[usize], axis: usize) -> Result<()> {
    match axis < x.len() {
        true => Ok(()),
        false => Err(Error::OutOfRange {
            name: "axis",
            got: axis..axis.saturating_add(1),
            len: x.len(),
        }),
    }
}

/// `[R, K, M]` of `x [R, K]`, `weight [K, M]`, `bias [M]`, with a `K` of at least 1.
pub(crate) fn check_linear(
    x: &[usize],
    weight: &[usize],
    bias: Option<&[usize]>,
) -> Result<[usize; 3]> {
    let (rows, k) = match *x {
        [rows, k] if k > 0 => (rows, k),
        _ => return Err(Error::wrong_shape("x", dims!["R", "K"], x)),
    };
    let m = match *weight {
        [kw, m] if kw == k => m,
        _ => return Err(Error::wrong_shape("weight", dims![k, "M"], weight)),
    };
    match bias {
        Some(bias) if bias != [m] => Err(Error::wrong_shape("bias", dims![m], bias)),
        _ => Ok([rows, k, m]),
    }
}

/// Samples, channels and elements per channel of `[N, C, ...]`.
fn split(name: &'static str, shape: &[usize]) -> Result<[usize; 3]> {
    match shape {
        [n, c, rest @ ..] => Ok([*n, *c, rest.iter().product()]),
        _ => Err(Error::wrong_shape(name, dims!["N", "C", "..."], shape)),
    }
}

/// `[N, C, d]` of the operand of a shuffle whose permutation fits.
pub(crate) fn check_shuffle(shape: &[usize], how: Shuffle<'_>) -> Result<[usize; 3]> {
    let [n, c, d] = split("x", shape)?;
    let (index, wanted, limit) = match how {
        Shuffle::Samples(index) => (index, n, n),
        Shuffle::Pixels(index) => (index, n * d, d),
    };
    check_length("index", wanted, index.len())?;
    match index.iter().find(|&&i| i as usize >= limit) {
        Some(&i) => Err(Error::OutOfRange {
            name: "index",
            got: i as usize..i as usize + 1,
            len: limit,
        }),
        None => Ok([n, c, d]),
    }
}

/// `[N, C, d]` of two operands of which channels can be exchanged.
pub(crate) fn check_substitute(
    shape: &[usize],
    other: &[usize],
    channels: &Range<usize>,
) -> Result<[usize; 3]> {
    let [n, c, d] = split("x", shape)?;
    if shape != other {
        let expected = shape.iter().map(|&d| d.into()).collect();
        return Err(Error::wrong_shape("other", expected, other));
    }
    if channels.end > c || channels.is_empty() {
        return Err(Error::OutOfRange {
            name: "channels",
            got: channels.clone(),
            len: c,
        });
    }
    Ok([n, c, d])
}

/// `[N, M, d]` and the variants per sample of values and their variants.
pub(crate) fn check_variants(shape: &[usize], variants: &[usize]) -> Result<[usize; 4]> {
    let [n, m, d] = split("x", shape)?;
    let [rows, channels, dim] = split("y", variants)?;
    if n == 0 || rows % n != 0 || channels != m || dim != d {
        return Err(Error::mismatch(
            "channel_dots",
            &[shape, variants],
            "the second holds as many variants of every sample of the first",
        ));
    }
    Ok([n, m, d, rows / n])
}

/// `[P, I, h, w]` of both operands of a correlation.
pub(crate) fn check_correlate(x: &[usize], y: &[usize]) -> Result<[[usize; 4]; 2]> {
    let maps = |name, s: &[usize]| match *s {
        [p, i, h, w] if i * h * w > 0 => Ok([p, i, h, w]),
        _ => Err(Error::wrong_shape(name, dims!["P", "I", "h", "w"], s)),
    };
    let (x, y) = (maps("x", x)?, maps("y", y)?);
    match x[1] == y[1] {
        true => Ok([x, y]),
        false => Err(Error::wrong_shape("y", dims!["Q", x[1], "h", "w"], &y)),
    }
}

/// Whether a copy stays inside tensors of `src` and `dst` elements. A box without elements always does.
pub(crate) fn check_strided(copy: &StridedCopy, src: usize, dst: usize) -> Result<()> {
    let rank = copy.extents.len();
    if rank > MAX_RANK {
        return Err(Error::argument(
            "extents",
            format!("{:?}", copy.extents),
            format!("at most {MAX_RANK} axes"),
        ));
    }
    check_length("src_strides", rank, copy.src_strides.len())?;
    check_length("dst_strides", rank, copy.dst_strides.len())?;
    if copy.extents.contains(&0) || copy.fits(src, dst) {
        return Ok(());
    }
    Err(Error::argument(
        "copy",
        format!("{copy:?}"),
        format!("a box inside tensors of {src} and {dst} elements"),
    ))
}

impl StridedCopy {
    /// Whether a box with elements stays inside tensors of `src` and `dst` elements.
    fn fits(&self, src: usize, dst: usize) -> bool {
        let (mut low, mut high) = (self.src_offset as isize, self.src_offset as isize);
        for (&n, &s) in self.extents.iter().zip(&self.src_strides) {
            let reach = (n as isize - 1) * s;
            low += reach.min(0);
            high += reach.max(0);
        }
        low >= 0 && high < src as isize && self.dst_offset + self.dst_span() < dst
    }

    /// Distance from the first element written to the last.
    pub(crate) fn dst_span(&self) -> usize {
        let axes = self.extents.iter().zip(&self.dst_strides);
        axes.map(|(n, s)| (n - 1) * s).sum()
    }
}
