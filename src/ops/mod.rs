//! What a backend must offer: the traits, their parameters and results, and the checks of arguments that
//! both backends share. Nothing here knows a backend.
//!
//! - [`Backend`]: neighbour search, non-negative kernel regression, overlap, Gram matrices, convolution
//! - [`net::NetOps`]: what a network needs beyond convolution
//! - [`filters::FilterOps`]: Convolutional Similarity
//! - [`ceiling::Ceilings`]: what a device can do at most, to measure kernels against
//!
//! Two backends, one meaning: the same ordering rules and formulas, each bit-identical to itself
//! whatever the block size, thread count or memory cap.

pub mod ceiling;
mod check;
mod components;
mod conv2d;
mod dots;
pub mod filters;
mod gram;
mod graph;
mod info;
pub(crate) mod near;
pub mod net;
mod number;
mod overlap;
mod source;

pub(crate) use check::*;
pub(crate) use components::{Components, SHARE, components_bytes, packed};
pub use conv2d::{Activation, Conv2dParams};
pub use dots::DotRows;
pub(crate) use dots::{Products, add_dots};
pub use gram::GramKind;
pub use graph::{
    GraphBlock, GraphParams, Identical, Kernel, MAX_K, PointsBlock, SUPPORT_THRESHOLD, Sigma,
    Vectors,
};
pub use info::{DeviceInfo, Limits, PointsBytes, PointsSize};
pub(crate) use number::number;
pub use overlap::{OverlapSums, Supports};
pub(crate) use source::Source;

use crate::Result;
use crate::tensor::{ValueBuffer, ValueType};
use std::ops::Range;

/// The kernels. Both backends implement all of them with the same meaning.
pub trait Backend: Send + Sync + 'static {
    /// Dense `f32` tensor on the device, C order.
    type Tensor: Send + Sync;
    /// Rows of a few channels prepared for neighbour search.
    type Points: Send + Sync;
    /// What is known of a block before it goes to the device ([`Backend::analyse`]).
    type Analysis: Send;
    /// Running k nearest of a block of queries, `[groups, Q, k]`.
    type Candidates: Send;
    /// Vectors of candidates, `[groups, Q, k, dim]`.
    type Gathered: Send + Sync;

    /// What the results record.
    fn info(&self) -> &DeviceInfo;
    /// What fits.
    fn limits(&self) -> Limits;
    /// Device bytes of a prepared block (raw rows, transposed copies, norms) that is made of `values`. Pure, for planning.
    fn points_bytes(&self, groups: usize, rows: usize, dim: usize, values: ValueType) -> u64;
    /// Device bytes that such a block takes as a rule, where [`Backend::points_bytes`] is the most that it may take: without
    /// copies of the rows that few searches need. Pure, for estimates.
    fn usual_bytes(&self, of: &PointsSize) -> PointsBytes {
        let bytes = self.points_bytes(of.groups, of.rows, of.dim, of.values);
        PointsBytes {
            making: bytes,
            made: bytes,
        }
    }
    /// Device bytes of what [`Backend::rows`] makes. Pure, for planning.
    fn rows_bytes(&self, groups: usize, rows: usize, dim: usize, values: ValueType) -> u64 {
        self.points_bytes(groups, rows, dim, values)
    }
    /// Device bytes of a vector in [`Backend::gathered`]. Pure, for planning.
    fn fetched_bytes(&self, dim: usize, _values: ValueType) -> u64 {
        4 * dim as u64
    }
    /// Bytes of a row in the largest single allocation that a search makes for the rows of one group, which is bounded by
    /// [`Limits::max_block_bytes`]. Pure, for planning.
    fn row_bytes(&self, dim: usize) -> u64 {
        4 * dim as u64
    }
    /// Most bytes of the host's memory that [`Backend::analyse`] takes for a block, with its result; `None` where the backend
    /// does not divide [`Backend::points`], because the host is the device: its cores work on the block before, and the share
    /// of another block would only compete with that for cores and memory. Pure, for planning.
    fn analysis_bytes(&self, _groups: usize, _rows: usize, _dim: usize) -> Option<u64> {
        None
    }
    /// Device bytes that [`Backend::candidates`], [`Backend::knn`] and [`Backend::nnk`] take for a block
    /// of queries, scratch included, the host's [`GraphBlock`] and the gathered vectors not. Pure.
    fn graph_bytes(&self, groups: usize, queries: usize, k: usize, dim: usize) -> u64;

    /// Copies a tensor to the device. `data.len()` is the product of `shape`.
    fn upload(&self, shape: &[usize], data: &[f32]) -> Result<Self::Tensor>;
    /// As [`Backend::upload`], of elements that the host needs no more: a device with the host's memory keeps them.
    fn take(&self, shape: &[usize], data: Vec<f32>) -> Result<Self::Tensor> {
        self.upload(shape, &data)
    }
    /// Shape of a tensor.
    fn shape<'a>(&self, tensor: &'a Self::Tensor) -> &'a [usize];
    /// Copies a tensor back, C order.
    fn download(&self, tensor: &Self::Tensor) -> Result<Vec<f32>>;

    /// Prepares rows for neighbour search under `kernel`. The values must be finite. Halves give the same results as the
    /// same values in `f32`.
    fn points(&self, block: PointsBlock<'_>, kernel: Kernel) -> Result<Self::Points>;
    /// As [`Backend::points`], for rows among which the neighbours of about `queries` queries of each group will be searched,
    /// in all calls together. A backend may leave out what makes a search faster but takes longer than so few searches. Results
    /// have the same bits whatever the number is.
    fn points_for(
        &self,
        block: PointsBlock<'_>,
        kernel: Kernel,
        _queries: usize,
    ) -> Result<Self::Points> {
        self.points(block, kernel)
    }
    /// The host's share of [`Backend::points`], which can be done before it is the block's turn: on any thread, while the
    /// device works. It allocates, copies and submits nothing on the device, so that neither disturbs the other, and has no
    /// errors: `None` where it has to be left to [`Backend::points`], which then says what is wrong with the block.
    fn analyse(&self, _block: PointsBlock<'_>, _kernel: Kernel) -> Option<Self::Analysis> {
        None
    }
    /// As [`Backend::points`], with the same bits and errors, of a block that was analysed for this kernel.
    ///
    /// # Errors
    /// [`crate::Error::Argument`], [`crate::Error::WrongLength`] where the analysis is of another kernel or shape.
    fn analysed_points(
        &self,
        block: PointsBlock<'_>,
        kernel: Kernel,
        analysis: Self::Analysis,
    ) -> Result<Self::Points>;
    /// As [`Backend::points`], for rows `data [groups, rows, dim]` that are searched for or fetched from and never searched
    /// among: a backend may leave out the copies that a search needs, and keep `data` in place of a copy.
    fn rows(
        &self,
        data: ValueBuffer,
        groups: usize,
        dim: usize,
        first: usize,
        kernel: Kernel,
    ) -> Result<Self::Points> {
        let data = data.values();
        let rows = data.len() / (groups * dim).max(1);
        let block = PointsBlock {
            data,
            groups,
            rows,
            dim,
            first,
        };
        self.points(block, kernel)
    }
    /// Prepares rows that are queries only, of the samples listed: row `r` of `block` is sample `samples[r]`, in place of
    /// `block.first + r`. So the queries of a search may be any samples, while its points stay all of them.
    fn queries(
        &self,
        block: PointsBlock<'_>,
        samples: &[u32],
        kernel: Kernel,
    ) -> Result<Self::Points>;
    /// Empty candidate lists for `queries` queries in each of `groups` groups.
    fn candidates(&self, groups: usize, queries: usize, k: usize) -> Result<Self::Candidates>;
    /// Improves the k nearest of the query rows `rows` (relative to `queries`' block) with `points`.
    /// Called once per block of points, in ascending order of their first sample. Exact, ordered by
    /// (distance, index), the query itself left out by index; `k > N - 1` leaves -1 at the end.
    fn knn(
        &self,
        queries: &Self::Points,
        rows: Range<usize>,
        points: &Self::Points,
        params: &GraphParams,
        state: &mut Self::Candidates,
    ) -> Result<()>;
    /// Copies candidate lists to the host: sample indices (-1 past the end of a list) and squared distances, each
    /// `[groups, queries, k]`. `queries` is the block whose neighbours were searched.
    fn nearest(
        &self,
        queries: &Self::Points,
        candidates: &Self::Candidates,
    ) -> Result<(Vec<i32>, Vec<f64>)>;
    /// A copy of the lists of the queries `part`. The lists are of one group.
    fn part(&self, candidates: &Self::Candidates, part: Range<usize>) -> Result<Self::Candidates>;
    /// The samples in lists of one group, ascending, each once; and a copy of the lists that names each sample by its place
    /// among them, for [`Backend::gather`] from these samples alone.
    fn numbered(&self, candidates: &Self::Candidates) -> Result<(Vec<usize>, Self::Candidates)>;
    /// A tensor of zeros.
    fn zeros(&self, shape: &[usize]) -> Result<Self::Tensor>;
    /// Zeroed room for candidate vectors of shape `[groups, Q, k, dim]`, which come from points that were made of `values`.
    fn gathered(&self, shape: [usize; 4], values: ValueType) -> Result<Self::Gathered>;
    /// Copies the vectors of the candidates that lie in `points` to their places in `into`
    /// (`[groups, Q, k, dim]`). Called once per block of points after the last [`Backend::knn`].
    fn gather(
        &self,
        points: &Self::Points,
        candidates: &Self::Candidates,
        into: &mut Self::Gathered,
    ) -> Result<()>;
    /// Solves non-negative kernel regression for every query (docs/definitions.md#nnk) and brings the
    /// graph to the host. `rows` as in [`Backend::knn`].
    fn nnk(
        &self,
        queries: &Self::Points,
        rows: Range<usize>,
        candidates: &Self::Candidates,
        vectors: Vectors<'_, Self>,
        params: &GraphParams,
    ) -> Result<GraphBlock> {
        let mut block = GraphBlock::default();
        self.nnk_into(queries, rows, candidates, vectors, params, &mut block)?;
        Ok(block)
    }
    /// [`Backend::nnk`] in place of what `block` holds, in its memory: for calls one after another, as
    /// fresh memory takes up to a tenth of the time of small problems. After an error `block` holds nothing
    /// of use.
    fn nnk_into(
        &self,
        queries: &Self::Points,
        rows: Range<usize>,
        candidates: &Self::Candidates,
        vectors: Vectors<'_, Self>,
        params: &GraphParams,
        block: &mut GraphBlock,
    ) -> Result<()>;
    /// Adds the overlaps of these queries to `sums` (`[C, C]` each, sized by the caller).
    fn overlap(&self, supports: Supports<'_>, sums: &mut OverlapSums) -> Result<()>;

    /// Adds the inner products `<x_i, x_j>`, `j >= i`, of vectors in float64 to the upper triangle of
    /// `out [rows, rows]`, sized by the caller. What comes to lie below the diagonal is unspecified: rows are taken two
    /// at a time.
    ///
    /// The terms of a product are added in the same order whatever the backend and the number of threads:
    /// the same pieces give the same bits. Shaders cannot compute in float64 on most
    /// adapters, so that the GPU backend computes this on the host, by the same code as the CPU backend.
    ///
    /// # Errors
    /// [`crate::Error::WrongLength`] where `out` does not have that size.
    fn add_dots(&self, x: &DotRows, out: &mut [f64]) -> Result<()>;
    /// Gram matrices `[groups, n, n]` of `x [groups, n, dim]`.
    fn gram(&self, x: &Self::Tensor, kind: GramKind) -> Result<Self::Tensor>;
    /// `x [N, C, H, W]`, `weight [M, C / groups, kh, kw]`, `bias [M]` to `[N, M, H', W']`.
    fn conv2d(
        &self,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: Option<&Self::Tensor>,
        params: &Conv2dParams,
    ) -> Result<Self::Tensor>;
}
