//! The GPU backend, in WGSL through wgpu. It has one stem per kernel, as `cpu/` and `shaders/` do.
//!
//! * `adapter`, `visible`, `missing`, `open`: choosing an adapter among those that a scheduler assigned, why one may be
//!   missing, and opening it;
//! * `context`, `guard`, `calls`, `wait`: the device that all kernels share, its failures as errors, and waiting for it;
//!   `fault`: failures that tests ask for, `tally`: counts for tests;
//! * `shader`: what the host knows about every shader, checked against the WGSL by tests;
//! * `pipeline`, `record`, `pace`, `each`, `profile`: compiling, dispatching and timing kernels;
//! * `memory`, `tensor`, `upload`, `wide`: buffers, copies from and to the host, numbers of the exact steps;
//! * `cooperative`: matrix units (tensor cores), where the adapter has them;
//! * all others: one kernel each. A kernel declares its parameters and its `SHADERS`, checks its
//!   arguments, and records dispatches of bounded length. `knn` and `nnk` describe how a query passes
//!   through theirs.
//!
//! Only this folder knows wgpu.

mod adapter;
mod calls;
mod ceiling;
mod context;
mod conv2d;
mod cooperative;
mod correlate;
mod each;
#[cfg(feature = "internals")]
mod fault;
mod filters;
mod gram;
mod guard;
mod knn;
mod linear;
mod memory;
mod missing;
mod net;
mod nnk;
mod open;
mod overlap;
mod pace;
mod pipeline;
mod pointwise;
mod pool2d;
mod profile;
mod record;
mod reduce;
mod resample;
// What only the tests compare with the shaders is dead code elsewhere.
#[cfg_attr(not(test), allow(dead_code))]
mod shader;
mod shuffle;
mod strided;
#[cfg(feature = "internals")]
mod tally;
mod tensor;
mod upload;
mod visible;
mod wait;
mod wide;

#[cfg(feature = "internals")]
pub use calls::{Call, Failure};
#[cfg(feature = "internals")]
pub use fault::Fault;
#[cfg(feature = "internals")]
pub(crate) use shader::listing;
#[cfg(feature = "internals")]
pub use tally::Launch;

/// Without the feature for tests no call is ever made to fail.
#[cfg(not(feature = "internals"))]
mod fault {
    use super::calls::{Call, Failure};

    #[derive(Default)]
    pub(super) struct Faults {}

    impl Faults {
        pub(super) const fn meet(&self, _: Call, _: u64) -> Option<Failure> {
            None
        }
    }
}

pub use adapter::{Adapter, adapters, preferred};
pub use context::Options;
pub use guard::{hush_losses, is_loss};
pub use knn::{Analysis, Candidates, Points};
pub use missing::{Missing, missing};
pub use profile::KernelTime;
pub use tensor::Tensor;
pub use visible::Visibility;
#[cfg(target_family = "wasm")]
pub use wait::{Suspension, suspend_by};
pub use wide::Wide;

use crate::Result;
use crate::ops::{
    Backend, Conv2dParams, DeviceInfo, DotRows, GramKind, GraphBlock, GraphParams, Kernel, Limits,
    OverlapSums, PointsBlock, Supports, Vectors,
};
use crate::tensor::ValueType;
use context::Context;
use shader::Shader;
use std::collections::BTreeMap;
use std::ops::Range;

/// Every shader, by the modules that run them. A pipeline of any other is refused in development builds.
static SHADERS: &[&[&Shader]] = &[
    ceiling::SHADERS,
    conv2d::SHADERS,
    correlate::SHADERS,
    filters::SHADERS,
    gram::SHADERS,
    knn::SHADERS,
    nnk::SHADERS,
    overlap::SHADERS,
    pointwise::SHADERS,
    pool2d::SHADERS,
    reduce::SHADERS,
    resample::SHADERS,
    shuffle::SHADERS,
    strided::SHADERS,
];

/// The GPU backend on one adapter.
pub struct Gpu {
    context: Context,
}

impl Gpu {
    /// Opens an adapter by its index or a part of its name; without a name, the first real GPU.
    ///
    /// # Errors
    /// [`crate::Error::NoAdapter`] lists what was found; [`crate::Error::Device`] if it refuses to open.
    pub fn open(name: Option<&str>) -> Result<Self> {
        Self::open_with(name, &Options::default())
    }

    /// Opens an adapter with options.
    ///
    /// # Errors
    /// As [`Gpu::open`]; also if the adapter lacks what the options ask for.
    pub fn open_with(name: Option<&str>, options: &Options) -> Result<Self> {
        let context = open::open(name, options)?;
        Ok(Self { context })
    }

    /// Uses a device that the caller opened. Its error and device-lost callbacks are left alone; errors
    /// of this crate's work are caught in error scopes.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device lacks what the options ask for.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue, options: &Options) -> Result<Self> {
        let context = Context::new(device, queue, options, None)?;
        Ok(Self { context })
    }

    /// Arithmetic of the steps whose rounding could change a result.
    pub const fn wide(&self) -> Wide {
        self.context.wide
    }

    /// Side of the cooperative matrices that products are computed on; `None` if none are used.
    pub fn cooperative_matrix(&self) -> Option<u32> {
        self.context.cooperative.map(|c| c.side)
    }

    /// Copies candidate lists to the host: sample indices (-1 past the end of a list) and squared
    /// distances, each `[groups, queries, k]`. `queries` is the block whose neighbours were searched.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device fails.
    pub fn candidate_lists(
        &self,
        candidates: &Candidates,
        queries: &Points,
    ) -> Result<(Vec<i32>, Vec<f64>)> {
        let context = &self.context;
        context.guarded("candidate_lists", || {
            knn::lists(context, candidates, queries)
        })
    }

    /// Device time of each kernel since the last call; empty without [`Options::profile`].
    pub fn kernel_times(&self) -> BTreeMap<&'static str, KernelTime> {
        self.context
            .profiler
            .as_ref()
            .map_or_else(BTreeMap::new, profile::Profiler::take)
    }

    /// Makes calls of the device fail from now on, or none, and frees all buffers that are not in use. Gives back how many calls of each kind there were since the
    /// last time, in the order of [`Call::ALL`].
    #[cfg(feature = "internals")]
    pub fn fail(&self, fault: Option<Fault>) -> [u64; Call::ALL.len()] {
        self.context.pool.clear();
        self.context.guard.faults.set(fault)
    }

    /// How many calls of each kind there were since the last time, in the order of [`Call::ALL`].
    #[cfg(feature = "internals")]
    pub fn calls(&self) -> [u64; Call::ALL.len()] {
        self.context.guard.faults.set(None)
    }

    /// Kernels that were run since the last call.
    #[cfg(feature = "internals")]
    pub fn launches(&self) -> Vec<Launch> {
        self.context.tally.take()
    }

    /// Bytes that were copied to the device since the last call.
    #[cfg(feature = "internals")]
    pub fn uploaded(&self) -> u64 {
        self.context.tally.take_uploaded()
    }

    /// Blocks that were analysed beforehand since the last call.
    #[cfg(feature = "internals")]
    pub fn analysed(&self) -> u64 {
        self.context.tally.take_analysed()
    }

    /// Sizes dispatches as for a device that does `rate` operations a second.
    #[cfg(feature = "internals")]
    pub fn pretend(&mut self, rate: f64) {
        self.context.pace = pace::Pace::of(rate);
    }

    /// Waits until all submitted work is done, for callers that measure time.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device does not answer.
    pub fn wait(&self) -> Result<()> {
        self.context.wait(None)
    }
}

impl Backend for Gpu {
    type Tensor = Tensor;
    type Points = Points;
    type Analysis = Analysis;
    type Candidates = Candidates;
    type Gathered = Tensor;

    fn info(&self) -> &DeviceInfo {
        &self.context.info
    }

    fn limits(&self) -> Limits {
        Limits {
            max_block_bytes: self.context.max_buffer,
            shares_host_memory: self.context.shares_host_memory,
        }
    }

    fn points_bytes(&self, groups: usize, rows: usize, dim: usize, values: ValueType) -> u64 {
        knn::points_bytes(&self.context, groups, rows, dim, values)
    }

    fn row_bytes(&self, dim: usize) -> u64 {
        knn::padded_bytes(dim)
    }

    fn graph_bytes(&self, groups: usize, queries: usize, k: usize, dim: usize) -> u64 {
        knn::state_bytes(&self.context, groups, queries, k, dim)
            + nnk::scratch_bytes(&self.context, groups * queries, k, dim)
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

    fn points(&self, block: PointsBlock<'_>, kernel: Kernel) -> Result<Points> {
        let context = &self.context;
        context.guarded("points", || Points::new(context, block, kernel))
    }

    fn analysis_bytes(&self, groups: usize, rows: usize, dim: usize) -> Option<u64> {
        // A browser has no other thread.
        (!cfg!(target_family = "wasm")).then(|| knn::analysis_bytes(groups, rows, dim))
    }

    fn analyse(&self, block: PointsBlock<'_>, kernel: Kernel) -> Option<Analysis> {
        let analysis = knn::analyse(block, kernel)?;
        #[cfg(feature = "internals")]
        self.context.tally.add_analysed();
        Some(analysis)
    }

    fn analysed_points(
        &self,
        block: PointsBlock<'_>,
        kernel: Kernel,
        analysis: Analysis,
    ) -> Result<Points> {
        let context = &self.context;
        let make = || Points::analysed(context, block, kernel, analysis);
        context.guarded("points", make)
    }

    fn queries(&self, block: PointsBlock<'_>, samples: &[u32], kernel: Kernel) -> Result<Points> {
        let context = &self.context;
        let make = || Points::queries(context, block, samples, kernel);
        context.guarded("queries", make)
    }

    fn candidates(&self, groups: usize, queries: usize, k: usize) -> Result<Candidates> {
        let context = &self.context;
        context.guarded("candidates", || {
            Candidates::new(context, groups, queries, k)
        })
    }

    fn knn(
        &self,
        queries: &Points,
        rows: Range<usize>,
        points: &Points,
        params: &GraphParams,
        state: &mut Candidates,
    ) -> Result<()> {
        let context = &self.context;
        context.guarded("knn", || {
            knn::search(context, queries, rows, points, params, state)
        })
    }

    fn part(&self, candidates: &Candidates, part: Range<usize>) -> Result<Candidates> {
        let context = &self.context;
        context.guarded("part", || candidates.part(context, part.clone()))
    }

    fn numbered(&self, candidates: &Candidates) -> Result<(Vec<usize>, Candidates)> {
        let context = &self.context;
        context.guarded("part", || candidates.numbered(context))
    }

    fn zeros(&self, shape: &[usize]) -> Result<Tensor> {
        let context = &self.context;
        context.guarded("zeros", || context.zeros(shape))
    }

    fn gathered(&self, shape: [usize; 4], _values: ValueType) -> Result<Tensor> {
        self.zeros(&shape)
    }

    fn gather(&self, points: &Points, candidates: &Candidates, into: &mut Tensor) -> Result<()> {
        let context = &self.context;
        context.guarded("gather", || knn::gather(context, points, candidates, into))
    }

    fn nearest(&self, queries: &Points, candidates: &Candidates) -> Result<(Vec<i32>, Vec<f64>)> {
        self.candidate_lists(candidates, queries)
    }

    fn nnk_into(
        &self,
        queries: &Points,
        rows: Range<usize>,
        candidates: &Candidates,
        vectors: Vectors<'_, Self>,
        params: &GraphParams,
        block: &mut GraphBlock,
    ) -> Result<()> {
        let context = &self.context;
        let source = match vectors {
            Vectors::Points(points) => nnk::Source::Points(points),
            Vectors::Gathered(tensor) => nnk::Source::Gathered(tensor),
        };
        context.guarded("nnk", || {
            nnk::solve(context, queries, rows, candidates, source, params, block)
        })
    }

    fn overlap(&self, supports: Supports<'_>, sums: &mut OverlapSums) -> Result<()> {
        let context = &self.context;
        context.guarded("overlap", || overlap::accumulate(context, supports, sums))
    }

    fn add_dots(&self, x: &DotRows, out: &mut [f64]) -> Result<()> {
        // On the host: see the trait.
        crate::ops::add_dots(x, out, crate::simd::InstructionSet::detect())
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
