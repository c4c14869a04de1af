//! Choosing a device, and the one trait both backends implement.
//!
//! Two backends, one meaning: the same ordering rules and formulas, each bit-identical to itself
//! whatever the block size, thread count or memory cap. Measures are generic over [`Backend`];
//! [`Device`] is matched once, at the top.

pub mod ceiling;
pub mod filters;
pub mod net;

use crate::{Result, cpu::Cpu, gpu::Gpu};
use std::ops::Range;

/// What the results record about the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Adapter or processor name.
    pub name: String,
    /// `cpu`, `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// Driver and version, or the instruction set used on a CPU.
    pub driver: String,
}

/// Which device to use (`--device`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A real GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first real GPU.
    Gpu,
    /// An adapter by index or part of its name (software adapters too).
    GpuNamed(String),
}

impl std::str::FromStr for DeviceChoice {
    type Err = crate::Error;

    fn from_str(s: &str) -> Result<Self> {
        match s {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu),
            _ => match s.strip_prefix("gpu:") {
                Some(name) if !name.is_empty() => Ok(Self::GpuNamed(name.to_string())),
                _ => Err(crate::Error::Usage(format!(
                    "unknown device '{s}': use auto, cpu, gpu, or gpu:NAME_OR_INDEX"
                ))),
            },
        }
    }
}

/// A device to compute on.
pub enum Device {
    /// Native, multithreaded.
    Cpu(Cpu),
    /// WGSL through wgpu.
    Gpu(Box<Gpu>),
}

impl Device {
    /// Opens the device asked for. `threads` bounds the CPU backend's thread pool (0: all cores).
    ///
    /// # Errors
    /// [`crate::Error::NoAdapter`] lists what was found.
    pub fn open(choice: &DeviceChoice, threads: usize) -> Result<Self> {
        match choice {
            DeviceChoice::Cpu => Ok(Self::Cpu(Cpu::new(threads)?)),
            DeviceChoice::Auto => match Gpu::open(None) {
                Ok(gpu) => Ok(Self::Gpu(Box::new(gpu))),
                Err(crate::Error::NoAdapter { .. }) => Ok(Self::Cpu(Cpu::new(threads)?)),
                // A GPU that is there but does not work: its owner wants to know.
                Err(e) => Err(e),
            },
            DeviceChoice::Gpu => Ok(Self::Gpu(Box::new(Gpu::open(None)?))),
            DeviceChoice::GpuNamed(name) => Ok(Self::Gpu(Box::new(Gpu::open(Some(name))?))),
        }
    }

    /// What the results record.
    pub fn info(&self) -> &DeviceInfo {
        match self {
            Self::Cpu(cpu) => cpu.info(),
            Self::Gpu(gpu) => gpu.info(),
        }
    }
}

/// Similarity between two vectors (definitions, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// `exp(-||x-y||^2 / (2 s^2))`.
    Gaussian,
    /// `1/2 + 1/2 cos(x, y)`; a zero vector has no direction.
    Cosine,
}

/// Bandwidth of the Gaussian kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sigma {
    /// Per query: distance to the last used candidate, divided by 3.
    KthThird,
    /// Shared by all queries; positive and finite.
    Fixed(f64),
}

/// What happens to candidates at distance 0 of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identical {
    /// They are candidates like any other.
    Keep,
    /// Find `k`, then give weight 0 to those at distance 0 unless all are.
    Drop,
    /// The `k` nearest with distance above 0.
    Replace,
}

/// Largest `k`.
pub const MAX_K: usize = 1024;
/// A neighbour belongs to the support when its weight exceeds this (definitions, section 3).
pub const SUPPORT_THRESHOLD: f32 = 1e-6;

/// Parameters of an NNK graph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GraphParams {
    /// Candidates per query, `1..=MAX_K`.
    pub k: usize,
    /// Similarity.
    pub kernel: Kernel,
    /// Gaussian bandwidth.
    pub sigma: Sigma,
    /// Rule for identical points.
    pub identical: Identical,
    /// Whether to count principal components too ([`GraphBlock::pca_dimension`]); a third of the work of
    /// [`Backend::nnk`] on the CPU.
    pub pca_dimension: bool,
}

/// Rows of a few channels on their way to a device: `data` is `[groups, rows, dim]`, C order.
#[derive(Clone, Copy, Debug)]
pub struct PointsBlock<'a> {
    /// Values, finite.
    pub data: &'a [f32],
    /// Channels (or 1 for the aggregate).
    pub groups: usize,
    /// Samples in this block.
    pub rows: usize,
    /// Numbers per sample and channel.
    pub dim: usize,
    /// Index of the first sample among all samples.
    pub first: usize,
}

/// NNK graphs of a block of queries, one per group, on the host. `Q` queries, `k` candidates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GraphBlock {
    /// `[groups, Q, k]` sample indices ordered by (distance, index), -1 where there is none.
    pub neighbors: Vec<i32>,
    /// `[groups, Q, k]` squared distances (`2 - 2 cos` under cosine), 0 where there is none.
    pub sq_distances: Vec<f32>,
    /// `[groups, Q, k]` raw theta, 0 where unused.
    pub weights: Vec<f32>,
    /// `[groups, Q]` objective `J = theta' K theta / 2 - b' theta`, 0 where degenerate.
    pub objective: Vec<f64>,
    /// `[groups, Q]` largest KKT violation, `max(|g_j| where theta_j > 0, max(0, -g_j) elsewhere)`.
    pub kkt_residual: Vec<f32>,
    /// `[groups, Q]` principal components that hold 95 % of the squared norm of
    /// `{x_j - x_i : j in support}` (about `x_i`, not centred); 0 where degenerate, and all 0 unless
    /// [`GraphParams::pca_dimension`] asks for them.
    pub pca_dimension: Vec<u16>,
    /// `[groups, Q]` no usable candidate, zero bandwidth, or a zero vector under cosine.
    pub degenerate: Vec<bool>,
}

impl GraphBlock {
    /// Takes all queries out; the memory stays.
    pub fn clear(&mut self) {
        let Self {
            neighbors,
            sq_distances,
            weights,
            objective,
            kkt_residual,
            pca_dimension,
            degenerate,
        } = self;
        neighbors.clear();
        sq_distances.clear();
        weights.clear();
        objective.clear();
        kkt_residual.clear();
        pca_dimension.clear();
        degenerate.clear();
    }
}

/// Where [`Backend::nnk`] finds the candidates' vectors.
pub enum Vectors<'a, B: Backend + ?Sized> {
    /// All points are in one block that starts at sample 0.
    Points(&'a B::Points),
    /// Gathered by [`Backend::gather`], `[groups, Q, k, dim]`.
    Gathered(&'a B::Tensor),
}

/// Supports of the same queries in every channel, for [`Backend::overlap`].
#[derive(Clone, Copy, Debug)]
pub struct Supports<'a> {
    /// `[channels, queries, k]` sample indices, -1 where a candidate is not in the support
    /// (any order, no index twice).
    pub indices: &'a [i32],
    /// `[channels, queries]` queries left out of every mean of that channel.
    pub degenerate: &'a [bool],
    /// Channels.
    pub channels: usize,
    /// Queries.
    pub queries: usize,
    /// Slots per query.
    pub k: usize,
}

/// Sums over queries of the overlap of all pairs of channels. Integers, so that the order of
/// blocks does not matter and both backends agree to the bit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverlapSums {
    /// `[C, C]` sum of `|S_c ∩ S_e|` over queries degenerate in neither.
    pub intersection: Vec<u64>,
    /// `[C, C]` sum of `floor(2^40 |∩| / |∪|)` over queries degenerate in neither and with a non-empty union.
    pub jaccard_q40: Vec<u64>,
    /// `[C, C]` queries degenerate in neither.
    pub queries: Vec<u64>,
    /// `[C, C]` of those, queries with a non-empty union.
    pub unions: Vec<u64>,
}

/// Activation fused behind a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// None.
    Identity,
    /// `max(0, x)`.
    Relu,
    /// `min(max(x, lo), hi)`.
    Clip(f32, f32),
    /// `x` where positive, else `slope * x`.
    LeakyRelu(f32),
}

/// Geometry of a 2-D convolution (cross-correlation, as in every framework).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2dParams {
    /// Step in y and x.
    pub stride: [usize; 2],
    /// Zeros added at top, left, bottom, right.
    pub padding: [usize; 4],
    /// Distance between taps in y and x.
    pub dilation: [usize; 2],
    /// Groups; input and output channels are multiples of it.
    pub groups: usize,
    /// Applied to the sum and bias.
    pub activation: Activation,
}

/// Which Gram matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GramKind {
    /// `<x, y>`.
    Linear,
    /// `1/2 + 1/2 cos`; rows and columns of zero vectors are 0.
    Cosine,
    /// `exp(-||x-y||^2 / (2 s^2))` with this `s`.
    Gaussian(f64),
}

/// What a device can hold, for planning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest single tensor or prepared block, bytes of its `f32` data.
    pub max_block_bytes: u64,
    /// Whether device memory is the host's (CPU, software adapters): then one cap bounds both.
    pub shares_host_memory: bool,
}

/// The kernels. Both backends implement all of them with the same meaning.
pub trait Backend: Send + Sync + 'static {
    /// Dense `f32` tensor on the device, C order.
    type Tensor: Send + Sync;
    /// Rows of a few channels prepared for neighbour search.
    type Points: Send + Sync;
    /// Running k nearest of a block of queries, `[groups, Q, k]`.
    type Candidates: Send;

    /// What the results record.
    fn info(&self) -> &DeviceInfo;
    /// What fits.
    fn limits(&self) -> Limits;
    /// Device bytes of a prepared block (raw rows, transposed copies, norms). Pure, for planning.
    fn points_bytes(&self, groups: usize, rows: usize, dim: usize) -> u64;
    /// Device bytes that [`Backend::candidates`], [`Backend::knn`] and [`Backend::nnk`] take for a block
    /// of queries, scratch included, the host's [`GraphBlock`] and the gathered vectors not. Pure.
    fn graph_bytes(&self, groups: usize, queries: usize, k: usize, dim: usize) -> u64;

    /// Copies a tensor to the device. `data.len()` is the product of `shape`.
    fn upload(&self, shape: &[usize], data: &[f32]) -> Result<Self::Tensor>;
    /// Shape of a tensor.
    fn shape<'a>(&self, tensor: &'a Self::Tensor) -> &'a [usize];
    /// Copies a tensor back, C order.
    fn download(&self, tensor: &Self::Tensor) -> Result<Vec<f32>>;

    /// Prepares rows for neighbour search under `kernel`. The values must be finite.
    fn points(&self, block: PointsBlock<'_>, kernel: Kernel) -> Result<Self::Points>;
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
    /// Zeroed room for candidate vectors, `[groups, Q, k, dim]`, for [`Backend::gather`].
    fn zeros(&self, shape: &[usize]) -> Result<Self::Tensor>;
    /// Copies the vectors of the candidates that lie in `points` to their places in `into`
    /// (`[groups, Q, k, dim]`). Called once per block of points after the last [`Backend::knn`].
    fn gather(
        &self,
        points: &Self::Points,
        candidates: &Self::Candidates,
        into: &mut Self::Tensor,
    ) -> Result<()>;
    /// Solves non-negative kernel regression for every query (definitions, section 3) and brings the
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
