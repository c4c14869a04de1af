//! WGSL backend through wgpu. One stem per kernel, as in `cpu/` and `shaders/`.

use crate::device::{
    Backend, Conv2dParams, DeviceInfo, GramKind, GraphBlock, GraphParams, Kernel, Limits,
    OverlapSums, PointsBlock, Supports, Vectors,
};
use crate::{Error, Result};
use std::ops::Range;

/// The GPU backend: one adapter, its device and queue, cached pipelines.
pub struct Gpu {
    info: DeviceInfo,
}

/// Dense tensor on the device.
pub struct Tensor {
    shape: Vec<usize>,
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
    /// [`Error::NoAdapter`].
    pub fn open(_name: Option<&str>) -> Result<Self> {
        missing()
    }
}

impl Backend for Gpu {
    type Tensor = Tensor;
    type Points = Points;
    type Candidates = Candidates;
    fn info(&self) -> &DeviceInfo {
        &self.info
    }
    fn limits(&self) -> Limits {
        Limits {
            max_block_bytes: 0,
            shares_host_memory: false,
        }
    }
    fn points_bytes(&self, _: usize, _: usize, _: usize) -> u64 {
        0
    }
    fn graph_bytes(&self, _: usize, _: usize, _: usize, _: usize) -> u64 {
        0
    }
    fn upload(&self, _: &[usize], _: &[f32]) -> Result<Tensor> {
        missing()
    }
    fn shape<'a>(&self, tensor: &'a Tensor) -> &'a [usize] {
        &tensor.shape
    }
    fn download(&self, _: &Tensor) -> Result<Vec<f32>> {
        missing()
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
    fn zeros(&self, _: &[usize]) -> Result<Tensor> {
        missing()
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
    fn gram(&self, _: &Tensor, _: GramKind) -> Result<Tensor> {
        missing()
    }
    fn conv2d(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: Option<&Tensor>,
        _: &Conv2dParams,
    ) -> Result<Tensor> {
        missing()
    }
}
