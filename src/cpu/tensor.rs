//! Dense `f32` tensor in host memory.

use crate::tensor::checked_product;
use crate::{Error, Result};

/// Dense `f32` tensor, C order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// Takes `data` as a tensor of `shape`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths differ.
    pub fn new(shape: &[usize], data: Vec<f32>) -> Result<Self> {
        if Self::count(shape)? != data.len() {
            return Err(Error::Shape(format!(
                "shape {shape:?} does not hold {} values",
                data.len()
            )));
        }
        Ok(Self {
            shape: shape.to_vec(),
            data,
        })
    }

    /// Zeros.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shape is too large to address.
    pub fn zeros(shape: &[usize]) -> Result<Self> {
        let len = Self::count(shape)?;
        Ok(Self {
            shape: shape.to_vec(),
            data: vec![0.0; len],
        })
    }

    fn count(shape: &[usize]) -> Result<usize> {
        let dims: Vec<u64> = shape.iter().map(|&d| d as u64).collect();
        checked_product(&dims)
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| n.checked_mul(4).is_some())
            .ok_or_else(|| Error::Shape(format!("shape {shape:?} is too large to address")))
    }

    /// The same values under another shape.
    ///
    /// # Errors
    /// [`Error::Shape`] if the sizes differ.
    pub fn reshaped(self, shape: &[usize]) -> Result<Self> {
        Self::new(shape, self.data)
    }

    /// Shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Values, C order.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Values, C order, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }
}
