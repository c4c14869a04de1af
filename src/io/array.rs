//! Layers that are already in memory.

use super::layer::{Layer, check_request};
use crate::error::dims;
use crate::tensor::{DType, LayerShape};
use crate::{Error, Result};
use ndarray::{ArrayView, Dimension};
use std::borrow::Cow;
use std::ops::Range;

/// Activations in memory, borrowed or owned.
///
/// ```
/// use chanscope::io::array::ArrayLayer;
/// use chanscope::io::layer::Layer;
/// use chanscope::tensor::LayerShape;
///
/// let values = vec![0.5f32; 3 * 2 * 4 * 4];
/// let layer = ArrayLayer::new("conv1", LayerShape::new(3, 2, 4, 4)?, &values[..])?;
/// assert_eq!(layer.shape().channels, 2);
/// # Ok::<(), chanscope::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ArrayLayer<'a> {
    name: String,
    shape: LayerShape,
    data: Cow<'a, [f32]>,
}

impl<'a> ArrayLayer<'a> {
    /// `data` is `[N, C, H, W]` in C order, a slice or a vector.
    ///
    /// # Errors
    /// [`Error::WrongLength`] when `data` does not have the shape's size.
    pub fn new(
        name: impl Into<String>,
        shape: LayerShape,
        data: impl Into<Cow<'a, [f32]>>,
    ) -> Result<Self> {
        let (name, data) = (name.into(), data.into());
        if data.len() != shape.len() {
            return Err(Error::WrongLength {
                name: "data",
                expected: shape.len(),
                got: data.len(),
            });
        }
        Ok(Self { name, shape, data })
    }

    /// From an ndarray view `[N, C, H, W]`, `[N, C, L]` as maps of one row, or `[N, D]` as one channel. Copies only what is not in C order.
    ///
    /// # Errors
    /// [`Error::WrongShape`] for other numbers of dimensions and for zero-sized ones.
    pub fn from_array<D: Dimension>(
        name: impl Into<String>,
        array: ArrayView<'a, f32, D>,
    ) -> Result<Self> {
        let shape = match *array.shape() {
            [n, c, h, w] => LayerShape::new(n, c, h, w)?,
            [n, c, l] => LayerShape::new(n, c, 1, l)?,
            [n, d] => LayerShape::new(n, 1, 1, d)?,
            ref other => {
                let expected = dims!["N", "C", "H", "W"];
                return Err(Error::wrong_shape("array", expected, other));
            }
        };
        match array.to_slice() {
            Some(slice) => Self::new(name, shape, slice),
            None => Self::new(name, shape, array.iter().copied().collect::<Vec<_>>()),
        }
    }

    fn map(&self, row: usize, channel: usize) -> &[f32] {
        let dim = self.shape.dim();
        let at = (row * self.shape.channels + channel) * dim;
        &self.data[at..at + dim]
    }
}

impl Layer for ArrayLayer<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn shape(&self) -> LayerShape {
        self.shape
    }

    fn dtype(&self) -> DType {
        DType::F32
    }

    fn read_channels(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        check_request(self.shape, &rows, channels, out.len())?;
        let mut maps = out.chunks_exact_mut(self.shape.dim());
        for &channel in channels {
            for (row, map) in rows.clone().zip(&mut maps) {
                map.copy_from_slice(self.map(row, channel));
            }
        }
        Ok(())
    }

    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        check_request(self.shape, &rows, channels, out.len())?;
        let mut maps = out.chunks_exact_mut(self.shape.dim());
        for row in rows {
            for (&channel, map) in channels.iter().zip(&mut maps) {
                map.copy_from_slice(self.map(row, channel));
            }
        }
        Ok(())
    }
}
