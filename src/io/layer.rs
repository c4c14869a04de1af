//! The trait that measures read through, and the checks that every layer shares.

use super::convert::ReadAs;
use crate::tensor::{DType, LayerShape, ValueType};
use crate::{Error, Result};
use half::f16;
use std::ops::Range;
use std::path::Path;

/// One layer of activations `A[N, C, H, W]`, in a file or in memory.
///
/// Values come out as `f32` whatever the stored type, and `f16` also as it is; a stored finite value that `f32` cannot hold
/// comes out as an infinity; [`Layer::beyond_f32`] counts such values.
pub trait Layer: Send + Sync {
    /// Name of the layer: file stem or tensor key.
    fn name(&self) -> &str;
    /// Shape; 2-D input is one channel, and 3-D input has maps of one row.
    fn shape(&self) -> LayerShape;
    /// Stored element type.
    fn dtype(&self) -> DType;
    /// Reads samples `rows` of `channels` into `out`, channel-major `[channels, rows, H * W]`.
    fn read_channels(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()>;
    /// Reads samples `rows` of `channels` into `out`, sample-major `[rows, channels, H * W]`.
    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()>;
    /// The type that values can be kept in: `f16` where they are stored so and [`Layer::read_channels_f16`] and
    /// [`Layer::read_rows_f16`] read them, else `f32`.
    fn value_type(&self) -> ValueType {
        ValueType::F32
    }
    /// As [`Layer::read_channels`], of a layer whose [`Layer::value_type`] is `f16`, which stay as they are.
    ///
    /// # Errors
    /// As [`Layer::read_channels`]; [`Error::Argument`] where the value type is another one.
    fn read_channels_f16(
        &self,
        _rows: Range<usize>,
        _channels: &[usize],
        _out: &mut [f16],
    ) -> Result<()> {
        Err(not_f16(self.dtype()))
    }
    /// As [`Layer::read_rows`], of a layer whose [`Layer::value_type`] is `f16`, which stay as they are.
    ///
    /// # Errors
    /// As [`Layer::read_rows`]; [`Error::Argument`] where the value type is another one.
    fn read_rows_f16(
        &self,
        _rows: Range<usize>,
        _channels: &[usize],
        _out: &mut [f16],
    ) -> Result<()> {
        Err(not_f16(self.dtype()))
    }
    /// The file it lies in, if any.
    fn path(&self) -> Option<&Path> {
        None
    }
    /// Refuses a layer whose file was changed since it was opened. To be asked after each pass over it.
    ///
    /// # Errors
    /// [`Error::File`] for a changed file; [`Error::Io`] where it is not there any more.
    fn check_unchanged(&self) -> Result<()> {
        Ok(())
    }
    /// Whether stored numbers have their most significant byte first.
    fn big_endian(&self) -> bool {
        false
    }
    /// Dimensions of the array as it is stored: 2 for `[N, D]`, 3 for `[N, C, L]`, whose maps have one row,
    /// 4 for `[N, C, H, W]`.
    fn rank(&self) -> usize {
        4
    }
    /// Counts the stored values of `channels` in samples `rows` that are finite but lie beyond the range of
    /// `f32`. They are read as infinities.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] where the file has become shorter.
    fn beyond_f32(&self, _rows: Range<usize>, _channels: &[usize]) -> Result<u64> {
        Ok(0)
    }
    /// Bytes of the file that are read of every sample for `channels`, with what lies between them where that is cheaper
    /// to read than to skip.
    fn row_bytes(&self, channels: &[usize]) -> u64 {
        (channels.len() * self.shape().dim() * self.dtype().size()) as u64
    }
    /// Bytes of values read from the file since it was opened; 0 for layers in memory.
    fn bytes_read(&self) -> u64 {
        0
    }
    /// Reads samples `rows` of all channels as they are stored: `[rows, C, H * W]` elements of [`Layer::dtype`], in the
    /// byte order that [`Layer::big_endian`] tells. `false` where the layer does not lie in a file; then nothing is read.
    ///
    /// # Errors
    /// As [`Layer::read_rows`].
    fn read_stored(&self, _rows: Range<usize>, _out: &mut [u8]) -> Result<bool> {
        Ok(false)
    }
}

macro_rules! pass_on {
    ($($holder:ty),*) => {$(
        impl<L: Layer + ?Sized> Layer for $holder {
            fn name(&self) -> &str {
                (**self).name()
            }
            fn shape(&self) -> LayerShape {
                (**self).shape()
            }
            fn dtype(&self) -> DType {
                (**self).dtype()
            }
            fn read_channels(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
                (**self).read_channels(rows, channels, out)
            }
            fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
                (**self).read_rows(rows, channels, out)
            }
            fn value_type(&self) -> ValueType {
                (**self).value_type()
            }
            fn read_channels_f16(&self, rows: Range<usize>, channels: &[usize], out: &mut [f16]) -> Result<()> {
                (**self).read_channels_f16(rows, channels, out)
            }
            fn read_rows_f16(&self, rows: Range<usize>, channels: &[usize], out: &mut [f16]) -> Result<()> {
                (**self).read_rows_f16(rows, channels, out)
            }
            fn path(&self) -> Option<&Path> {
                (**self).path()
            }
            fn check_unchanged(&self) -> Result<()> {
                (**self).check_unchanged()
            }
            fn big_endian(&self) -> bool {
                (**self).big_endian()
            }
            fn rank(&self) -> usize {
                (**self).rank()
            }
            fn beyond_f32(&self, rows: Range<usize>, channels: &[usize]) -> Result<u64> {
                (**self).beyond_f32(rows, channels)
            }
            fn row_bytes(&self, channels: &[usize]) -> u64 {
                (**self).row_bytes(channels)
            }
            fn bytes_read(&self) -> u64 {
                (**self).bytes_read()
            }
            fn read_stored(&self, rows: Range<usize>, out: &mut [u8]) -> Result<bool> {
                (**self).read_stored(rows, out)
            }
        }
    )*};
}
pass_on!(&L, Box<L>);

/// A type as which layers are read.
pub(crate) trait LayerValue: ReadAs {
    /// Reads values of this type as [`Layer::read_channels`] does.
    fn read_channels<L: Layer + ?Sized>(
        layer: &L,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [Self],
    ) -> Result<()>;
    /// Reads values of this type as [`Layer::read_rows`] does.
    fn read_rows<L: Layer + ?Sized>(
        layer: &L,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [Self],
    ) -> Result<()>;
}

macro_rules! layer_value {
    ($type:ty, $read_channels:ident, $read_rows:ident) => {
        impl LayerValue for $type {
            fn read_channels<L: Layer + ?Sized>(
                layer: &L,
                rows: Range<usize>,
                channels: &[usize],
                out: &mut [Self],
            ) -> Result<()> {
                layer.$read_channels(rows, channels, out)
            }
            fn read_rows<L: Layer + ?Sized>(
                layer: &L,
                rows: Range<usize>,
                channels: &[usize],
                out: &mut [Self],
            ) -> Result<()> {
                layer.$read_rows(rows, channels, out)
            }
        }
    };
}
layer_value!(f32, read_channels, read_rows);
layer_value!(f16, read_channels_f16, read_rows_f16);

/// The error for reading values of another type as `f16`.
pub(super) fn not_f16(dtype: DType) -> Error {
    Error::argument("layer", dtype.name(), "a layer of f16 in a file")
}

/// Checks that a request lies within a layer of this shape and that `out` has room for exactly what it asks.
pub(super) fn check_request(
    shape: LayerShape,
    rows: &Range<usize>,
    channels: &[usize],
    out: usize,
) -> Result<()> {
    if rows.start > rows.end || rows.end > shape.samples {
        return Err(Error::OutOfRange {
            name: "rows",
            got: rows.clone(),
            len: shape.samples,
        });
    }
    if let Some(c) = channels.iter().copied().find(|&c| c >= shape.channels) {
        return Err(Error::OutOfRange {
            name: "channels",
            got: c..c.saturating_add(1),
            len: shape.channels,
        });
    }
    let wanted = [rows.len(), channels.len(), shape.dim()];
    let needed = wanted.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    match needed {
        Some(needed) if needed == out => Ok(()),
        Some(expected) => Err(Error::WrongLength {
            name: "out",
            expected,
            got: out,
        }),
        None => Err(Error::TooLarge {
            name: "out",
            shape: wanted.map(|d| d as u64).to_vec(),
        }),
    }
}

/// The shape of a layer whose file gives the dimensions `dims`: `[N, C, H, W]`, `[N, C, L]` as maps of one row, or
/// `[N, D]` as one channel.
pub(super) fn layer_shape(path: &Path, what: &str, dims: &[u64]) -> Result<LayerShape> {
    let bad =
        |why: String| Error::unsuitable(path, format!("{what} has shape {}: {why}", tuple(dims)));
    if dims.contains(&0) {
        return Err(bad(
            "a dimension is zero, so there is nothing to measure; dump at least one sample".into(),
        ));
    }
    let mut sizes = [1usize; 4];
    let places: &[usize] = match dims.len() {
        4 => &[0, 1, 2, 3],
        3 => &[0, 1, 3],
        2 => &[0, 3],
        _ => return Err(bad(other_rank(dims))),
    };
    for (&place, &dim) in places.iter().zip(dims) {
        sizes[place] = usize::try_from(dim).map_err(|_| bad("too large to address".into()))?;
    }
    let [n, c, h, w] = sizes;
    LayerShape::new(n, c, h, w).map_err(|_| bad("more elements than can be addressed".into()))
}

/// What to do with an array of a number of dimensions that activations do not have.
pub(super) fn other_rank(dims: &[u64]) -> String {
    let needed = "[N, C, H, W], [N, C, L] or [N, D] is needed";
    match *dims {
        [] => format!("0 dimensions; {needed}: save the values of all samples in one array"),
        [_] => format!(
            "1 dimensions; {needed}: save a.reshape(-1, 1) if it is one value per sample, or name the file labels.npy \
             if it is the classes of the samples"
        ),
        [n, c, ref inner @ .., last] => {
            let rows = inner.iter().fold(1u64, |rows, &d| rows.saturating_mul(d));
            format!(
                "{} dimensions; {needed}: if the first two axes are samples and channels, save a.reshape({n}, {c}, \
                 {rows}, {last})",
                dims.len()
            )
        }
        [_, _] => needed.into(),
    }
}

/// Dimensions as messages show them: `(60, 16, 5, 5)`.
pub(super) fn tuple(dims: &[u64]) -> String {
    let dims: Vec<String> = dims.iter().map(u64::to_string).collect();
    format!("({})", dims.join(", "))
}
