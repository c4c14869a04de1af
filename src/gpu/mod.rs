//! WGSL backend through wgpu. One stem per kernel, as in `cpu/` and `shaders/`.

mod context;
mod conv2d;
mod gram;
mod memory;
mod pipeline;
mod profile;
mod record;
mod tensor;

pub use context::{Adapter, Options, Wide, adapters};
pub use profile::KernelTime;
pub use tensor::Tensor;

use crate::device::{
    Backend, Conv2dParams, DeviceInfo, GramKind, GraphBlock, GraphParams, Kernel, Limits,
    OverlapSums, PointsBlock, Supports, Vectors,
};
use crate::{Error, Result};
use context::Context;
use std::collections::BTreeMap;
use std::ops::Range;

/// The GPU backend: one adapter, its device and queue, cached pipelines.
pub struct Gpu {
    context: Context,
}

/// Rows prepared for neighbour search.
pub struct Points {}
/// Running k nearest.
pub struct Candidates {}

fn missing<T>() -> Result<T> {
    Err(Error::NoAdapter {
        wanted: "for --device gpu".into(),
        found: "none".into(),
    })
}

impl Gpu {
    /// `None`: the first real GPU; else an adapter by index or part of its name.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] lists what was found; [`Error::Device`] if it refuses to open.
    pub fn open(name: Option<&str>) -> Result<Self> {
        Self::open_with(name, &Options::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// As [`Gpu::open`]; also if the adapter lacks what the options ask for.
    pub fn open_with(name: Option<&str>, options: &Options) -> Result<Self> {
        let context = Context::open(name, options)?;
        Ok(Self { context })
    }

    /// Works on a device that the caller opened. Its error and device-lost callbacks are left alone;
    /// errors of this crate's work are caught in error scopes.
    ///
    /// # Errors
    /// [`Error::Device`] if the device lacks what the options ask for.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue, options: &Options) -> Result<Self> {
        let context = Context::adopt(device, queue, options)?;
        Ok(Self { context })
    }

    /// Arithmetic of the steps that decide.
    pub const fn wide(&self) -> Wide {
        self.context.wide
    }

    /// Device time per kernel since the last call; empty without [`Options::profile`].
    pub fn kernel_times(&self) -> BTreeMap<&'static str, KernelTime> {
        self.context
            .profiler
            .as_ref()
            .map_or_else(BTreeMap::new, profile::Profiler::take)
    }

    /// Waits until everything submitted is done, for whoever measures time.
    ///
    /// # Errors
    /// [`Error::Device`] if the device does not answer.
    pub fn wait(&self) -> Result<()> {
        self.context.wait(None)
    }
}

impl Backend for Gpu {
    type Tensor = Tensor;
    type Points = Points;
    type Candidates = Candidates;

    fn info(&self) -> &DeviceInfo {
        &self.context.info
    }

    fn limits(&self) -> Limits {
        Limits {
            max_block_bytes: self.context.max_buffer,
            shares_host_memory: self.context.shares_host_memory,
        }
    }

    fn points_bytes(&self, _: usize, _: usize, _: usize) -> u64 {
        0
    }

    fn graph_bytes(&self, _: usize, _: usize, _: usize, _: usize) -> u64 {
        0
    }

    fn upload(&self, shape: &[usize], data: &[f32]) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("upload", || context.upload(shape, data))
    }

    fn shape<'a>(&self, tensor: &'a Tensor) -> &'a [usize] {
        tensor.shape()
    }

    fn download(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        let context = &self.context;
        context.guarded("download", || context.download(tensor))
    }

    fn points(&self, _: PointsBlock<'_>, _: Kernel) -> Result<Points> {
        missing()
    }

    fn candidates(&self, _: usize, _: usize, _: usize) -> Result<Candidates> {
        missing()
    }

    fn knn(
        &self,
        _: &Points,
        _: Range<usize>,
        _: &Points,
        _: &GraphParams,
        _: &mut Candidates,
    ) -> Result<()> {
        missing()
    }

    fn zeros(&self, shape: &[usize]) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("zeros", || context.zeros(shape))
    }

    fn gather(&self, _: &Points, _: &Candidates, _: &mut Tensor) -> Result<()> {
        missing()
    }

    fn nnk(
        &self,
        _: &Points,
        _: Range<usize>,
        _: &Candidates,
        _: Vectors<'_, Self>,
        _: &GraphParams,
    ) -> Result<GraphBlock> {
        missing()
    }

    fn overlap(&self, _: Supports<'_>, _: &mut OverlapSums) -> Result<()> {
        missing()
    }

    fn gram(&self, x: &Tensor, kind: GramKind) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("gram", || gram::gram(context, x, kind))
    }

    fn conv2d(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        params: &Conv2dParams,
    ) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("conv2d", || {
            conv2d::conv2d(context, x, weight, bias, params)
        })
    }
}
