//! Dense tensors on the device, and copies from and to the host.

use super::context::Context;
use super::memory::{Buffer, Kind};
use super::record::Recorder;
use crate::Result;
use crate::error::DeviceProblem;
use crate::ops::{check_count, check_data, check_reshape};
use std::sync::Arc;

/// Dense `f32` tensor on the device, C order.
pub struct Tensor {
    shape: Vec<usize>,
    pub(super) buffer: Arc<Buffer>,
}

/// Bytes that are copied from or to the device at a time. It bounds the staging memory.
const CHUNK: usize = 16 << 20;

impl Tensor {
    /// Shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The same buffer with another shape of the same size.
    pub(super) fn reshaped(&self, shape: &[usize]) -> Result<Self> {
        check_reshape(&self.shape, shape)?;
        Ok(Self {
            shape: shape.to_vec(),
            buffer: Arc::clone(&self.buffer),
        })
    }

    /// Number of elements.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Context {
    /// Checks that a tensor fits in one buffer; returns its number of elements.
    pub(super) fn count(&self, shape: &[usize]) -> Result<usize> {
        let len = check_count("shape", shape)?;
        match (len as u64 * 4) <= self.max_buffer {
            true => Ok(len),
            false => Err(self.fail(DeviceProblem::TooLarge {
                what: format!("a tensor of shape {shape:?}"),
                limit: Some(self.max_buffer),
            })),
        }
    }

    /// A tensor with undefined content.
    pub(super) fn empty(&self, shape: &[usize]) -> Result<Tensor> {
        let len = self.count(shape)?;
        Ok(Tensor {
            shape: shape.to_vec(),
            buffer: Arc::new(self.pool.get(Kind::Storage, len as u64 * 4)?),
        })
    }

    pub(super) fn zeros(&self, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.empty(shape)?;
        let mut recorder = Recorder::new(self);
        recorder.clear(&tensor.buffer, tensor.len() as u64 * 4);
        recorder.submit()?;
        Ok(tensor)
    }

    pub(super) fn upload(&self, shape: &[usize], data: &[f32]) -> Result<Tensor> {
        check_data(shape, data.len())?;
        let tensor = self.empty(shape)?;
        self.write(&tensor.buffer, data)?;
        Ok(tensor)
    }

    pub(super) fn download(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        self.read(&tensor.buffer, tensor.len())
    }

    /// Copies the first `len` elements of `buffer` to the host.
    pub(super) fn read<T: bytemuck::Pod>(
        &self,
        buffer: &wgpu::Buffer,
        len: usize,
    ) -> Result<Vec<T>> {
        self.read_from(buffer, 0, len)
    }

    /// Copies `len` elements of `buffer` from element `first` on to the host.
    pub(super) fn read_from<T: bytemuck::Pod>(
        &self,
        buffer: &wgpu::Buffer,
        first: usize,
        len: usize,
    ) -> Result<Vec<T>> {
        let skip = (first * size_of::<T>()) as u64;
        let mut out = vec![T::zeroed(); len];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut out);
        if bytes.is_empty() {
            return Ok(out);
        }
        let staging = self.pool.get(
            Kind::Readback,
            bytes.len().min(CHUNK).next_multiple_of(4) as u64,
        )?;
        for (i, chunk) in bytes.chunks_mut(CHUNK).enumerate() {
            let mut recorder = Recorder::new(self);
            let size = chunk.len().next_multiple_of(4) as u64;
            recorder.copy(buffer, skip + (i * CHUNK) as u64, &staging, size);
            recorder.submit()?;
            self.read_mapped(&staging, chunk)?;
        }
        Ok(out)
    }
}
