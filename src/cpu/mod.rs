//! The CPU backend: multithreaded, and vectorised for the processor it runs on. Kernels have the same stems as in
//! `gpu/`.
//!
//! | module | what |
//! |---|---|
//! | `knn`, `nnk` | exact nearest neighbours; non-negative kernel regression on them |
//! | `gram`, `overlap`, `filters`, `correlate` | Gram matrices; overlaps of supports; Convolutional Similarity; cross-correlation |
//! | `conv2d`, `linear`, `pool2d`, `pointwise`, `reduce`, `resample`, `shuffle`, `strided` | the operations of a network, collected in `net` |
//! | `gemm`, `transpose` | register tiles of matrix products; transposition |
//! | `tensor`, `pages`, `disjoint` | tensors; large arrays; slices that many threads write |
//! | `ceiling` | what the processor can do at best, for `chanscope bench` |
//!
//! Each kernel is written once, generic over the instruction set, with the vectors of `src/simd`.

mod ceiling;
mod conv2d;
mod correlate;
mod disjoint;
mod filters;
mod gemm;
mod gram;
mod knn;
mod linear;
mod net;
mod nnk;
mod overlap;
mod pages;
mod pointwise;
mod pool2d;
mod reduce;
mod resample;
mod shuffle;
mod strided;
mod tensor;
mod transpose;

pub use crate::simd::InstructionSet;
pub use filters::FilterScratch;
pub use knn::{Candidate, Candidates, Gathered, Points};
pub use tensor::Tensor;

use crate::error::DeviceProblem;
use crate::ops::{
    Backend, Conv2dParams, DeviceInfo, DotRows, GramKind, GraphBlock, GraphParams, Kernel, Limits,
    OverlapSums, PointsBlock, PointsBytes, PointsSize, Supports, Vectors,
};
use crate::tensor::{ValueBuffer, ValueType};
use crate::{Error, Result};
use std::ops::Range;

/// Tests for `crate::internals`.
#[cfg(feature = "internals")]
pub(crate) mod internals {
    pub use super::knn::internals::*;
    pub use super::nnk::internals::*;
}

/// The CPU backend with its own thread pool.
pub struct Cpu {
    info: DeviceInfo,
    pool: rayon::ThreadPool,
    set: InstructionSet,
}

impl Cpu {
    /// Starts a pool of `threads` threads, or one thread per core if `threads` is 0.
    ///
    /// # Errors
    /// [`Error::Device`] if the threads cannot be started.
    pub fn new(threads: usize) -> Result<Self> {
        Self::with_instruction_set(threads, InstructionSet::detect())
    }

    /// As [`Cpu::new`], with an instruction set of the caller's choice.
    ///
    /// # Errors
    /// [`Error::Argument`] if this processor does not have it, [`Error::Device`] as for [`Cpu::new`].
    pub fn with_instruction_set(threads: usize, set: InstructionSet) -> Result<Self> {
        if !set.is_available() {
            let expected = "an instruction set that this processor has";
            return Err(Error::argument("set", set, expected));
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("chanscope-{i}"))
            .build()
            .map_err(|e| Error::Device {
                device: "cpu".into(),
                problem: DeviceProblem::Threads {
                    // 0 is one for each core.
                    threads: match threads {
                        0 => std::thread::available_parallelism().map_or(1, usize::from),
                        threads => threads,
                    },
                    reason: e.to_string(),
                },
            })?;
        let info = DeviceInfo {
            name: processor_name(),
            backend: "cpu".into(),
            driver: set.to_string(),
        };
        Ok(Self { info, pool, set })
    }
}

/// The processor's name if the system tells it, else its architecture.
fn processor_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or_else(
            || std::env::consts::ARCH.into(),
            |(_, name)| name.trim().into(),
        )
}

impl Backend for Cpu {
    type Tensor = Tensor;
    type Points = Points;
    // Rows are packed by all cores, which are the device.
    type Analysis = std::convert::Infallible;
    type Candidates = Candidates;
    type Gathered = Gathered;

    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn limits(&self) -> Limits {
        Limits {
            max_block_bytes: u64::MAX,
            shares_host_memory: true,
        }
    }

    fn points_bytes(&self, groups: usize, rows: usize, dim: usize, values: ValueType) -> u64 {
        knn::points_bytes(groups, rows, dim, values)
    }

    fn usual_bytes(&self, of: &PointsSize) -> PointsBytes {
        let byte_products = self.set.byte_products().is_some();
        knn::usual_bytes(of, byte_products, self.pool.current_num_threads())
    }

    fn rows_bytes(&self, groups: usize, rows: usize, dim: usize, values: ValueType) -> u64 {
        knn::rows_bytes(groups, rows, dim, values)
    }

    fn graph_bytes(&self, groups: usize, queries: usize, k: usize, dim: usize) -> u64 {
        let threads = self.pool.current_num_threads();
        // Queries are solved after their search.
        let scratch = knn::scratch_bytes(threads, k, dim);
        knn::state_bytes(groups, queries, k) + scratch.max(nnk::scratch_bytes(threads, k, dim))
    }

    fn upload(&self, shape: &[usize], data: &[f32]) -> Result<Tensor> {
        Tensor::new(shape, data.to_vec())
    }

    fn take(&self, shape: &[usize], data: Vec<f32>) -> Result<Tensor> {
        Tensor::new(shape, data)
    }

    fn shape<'a>(&self, tensor: &'a Tensor) -> &'a [usize] {
        tensor.shape()
    }

    fn download(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        Ok(tensor.data().to_vec())
    }

    fn points(&self, block: PointsBlock<'_>, kernel: Kernel) -> Result<Points> {
        self.points_for(block, kernel, block.rows)
    }

    fn points_for(&self, block: PointsBlock<'_>, kernel: Kernel, queries: usize) -> Result<Points> {
        self.pool
            .install(|| Points::new(block, kernel, queries, self.set))
    }

    fn analysed_points(
        &self,
        _: PointsBlock<'_>,
        _: Kernel,
        analysis: Self::Analysis,
    ) -> Result<Points> {
        match analysis {}
    }

    fn rows(
        &self,
        data: ValueBuffer,
        groups: usize,
        dim: usize,
        first: usize,
        kernel: Kernel,
    ) -> Result<Points> {
        self.pool
            .install(|| Points::only_rows(data, groups, dim, first, kernel))
    }

    fn queries(&self, block: PointsBlock<'_>, samples: &[u32], kernel: Kernel) -> Result<Points> {
        let make = || Points::queries(block, samples, kernel);
        self.pool.install(make)
    }

    fn candidates(&self, groups: usize, queries: usize, k: usize) -> Result<Candidates> {
        Candidates::new(groups, queries, k)
    }

    fn part(&self, candidates: &Candidates, part: Range<usize>) -> Result<Candidates> {
        candidates.part(part)
    }

    fn numbered(&self, candidates: &Candidates) -> Result<(Vec<usize>, Candidates)> {
        candidates.numbered()
    }

    fn knn(
        &self,
        queries: &Points,
        rows: Range<usize>,
        points: &Points,
        params: &GraphParams,
        state: &mut Candidates,
    ) -> Result<()> {
        self.pool
            .install(|| knn::search(queries, rows, points, params, state, self.set))
    }

    fn zeros(&self, shape: &[usize]) -> Result<Tensor> {
        Tensor::zeros(shape)
    }

    fn nearest(&self, _queries: &Points, candidates: &Candidates) -> Result<(Vec<i32>, Vec<f64>)> {
        Ok(candidates.flat())
    }

    fn fetched_bytes(&self, dim: usize, values: ValueType) -> u64 {
        (values.size() * dim) as u64
    }

    fn gathered(&self, shape: [usize; 4], values: ValueType) -> Result<Gathered> {
        Gathered::zeros(shape, values)
    }

    fn gather(&self, points: &Points, candidates: &Candidates, into: &mut Gathered) -> Result<()> {
        self.pool.install(|| knn::gather(points, candidates, into))
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
        self.pool
            .install(|| nnk::solve(queries, rows, candidates, vectors, params, self.set, block))
    }

    fn overlap(&self, supports: Supports<'_>, sums: &mut OverlapSums) -> Result<()> {
        self.pool
            .install(|| overlap::accumulate(supports, sums, self.set))
    }

    fn add_dots(&self, x: &DotRows, out: &mut [f64]) -> Result<()> {
        self.pool.install(|| crate::ops::add_dots(x, out, self.set))
    }

    fn gram(&self, x: &Tensor, kind: GramKind) -> Result<Tensor> {
        self.pool.install(|| gram::gram(x, kind, self.set))
    }

    fn conv2d(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        params: &Conv2dParams,
    ) -> Result<Tensor> {
        self.pool
            .install(|| conv2d::conv2d(x, weight, bias, params, conv2d::Sums::Plain, self.set))
    }
}
