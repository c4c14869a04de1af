//! Dense `f32` tensors in host memory.

use super::pages;
use crate::Result;
use crate::ops::{check_count, check_data, check_reshape};
use std::mem::MaybeUninit;
use std::sync::Mutex;

/// A dense `f32` tensor in C order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// A tensor of the given shape with the values `data`, in C order.
    ///
    /// # Errors
    /// [`crate::Error::WrongLength`] if the lengths differ.
    pub fn new(shape: &[usize], data: Vec<f32>) -> Result<Self> {
        check_data(shape, data.len())?;
        Ok(Self {
            shape: shape.to_vec(),
            data,
        })
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] if the shape is too large to address.
    pub fn zeros(shape: &[usize]) -> Result<Self> {
        let len = Self::count(shape)?;
        Ok(Self {
            shape: shape.to_vec(),
            data: pages::zeros(len),
        })
    }

    fn count(shape: &[usize]) -> Result<usize> {
        check_count("shape", shape)
    }

    /// A tensor whose values the caller will overwrite: zeros, or the values of a tensor that was dropped.
    pub(super) fn unwritten(shape: &[usize]) -> Result<Self> {
        let len = Self::count(shape)?;
        let data = spare(len).map_or_else(
            || pages::zeros(len),
            |mut data| {
                data.resize(len, 0.0);
                data
            },
        );
        Ok(Self {
            shape: shape.to_vec(),
            data,
        })
    }

    /// A tensor whose values `write` writes to uninitialised memory.
    ///
    /// # Safety
    /// `write` has to write every value.
    pub(super) unsafe fn written(
        shape: &[usize],
        write: impl FnOnce(&mut [MaybeUninit<f32>]),
    ) -> Result<Self> {
        let len = Self::count(shape)?;
        let mut data = pages::room(len);
        write(&mut data.spare_capacity_mut()[..len]);
        // SAFETY: the vector has the capacity, and `write` has written every value, by the caller's contract.
        unsafe { data.set_len(len) };
        Ok(Self {
            shape: shape.to_vec(),
            data,
        })
    }

    /// The same values under another shape.
    ///
    /// # Errors
    /// [`crate::Error::WrongLength`] if the sizes differ.
    pub fn reshaped(mut self, shape: &[usize]) -> Result<Self> {
        check_reshape(&self.shape, shape)?;
        Self::new(shape, std::mem::take(&mut self.data))
    }

    /// The shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values in C order.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The values in C order, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }
}

/// Buffers of tensors that were dropped, for new ones. A network makes and drops tensors of the same few sizes all the
/// time, and mapping fresh pages costs as much as computing the values.
static SPARE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());
/// The largest number of buffers that are kept.
const SPARES: usize = 8;
/// The sizes of buffers that are kept, in values. All buffers together have at most 16 MiB.
const KEPT: std::ops::RangeInclusive<usize> = 1 << 14..=1 << 19;

/// A kept buffer with a capacity of `len` to `2 len` values, if there is one.
fn spare(len: usize) -> Option<Vec<f32>> {
    if !KEPT.contains(&len) {
        return None;
    }
    let mut spares = SPARE.lock().ok()?;
    let place = (spares.iter()).position(|s| (len..=2 * len).contains(&s.capacity()))?;
    Some(spares.swap_remove(place))
}

impl Drop for Tensor {
    fn drop(&mut self) {
        if KEPT.contains(&self.data.capacity())
            && let Ok(mut spares) = SPARE.lock()
        {
            if spares.len() == SPARES {
                spares.remove(0);
            }
            spares.push(std::mem::take(&mut self.data));
        }
    }
}
