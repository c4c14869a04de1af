//! The kernels, what they share with the host, and what they need in memory.

use crate::gpu::pipeline::{Access, Define, Kernel as Shader};

pub(super) const GRAM_SOURCE: &str = include_str!("../../../shaders/nnk_gram.wgsl");
pub(super) const GRAM_BUFFERS: &[Access] = &[
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Write,
    Access::Write,
];
pub(super) const PREPARE: Shader = Shader {
    entry: "nnk_prepare",
    source: GRAM_SOURCE,
    buffers: GRAM_BUFFERS,
};
pub(super) const GRAM: Shader = Shader {
    entry: "nnk_gram",
    source: GRAM_SOURCE,
    buffers: GRAM_BUFFERS,
};
pub(super) const SOLVE: Shader = Shader {
    entry: "nnk",
    source: include_str!("../../../shaders/nnk.wgsl"),
    buffers: &[
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Write,
        Access::Write,
        Access::Write,
        Access::Write,
        Access::Write,
    ],
};
pub(super) const POLYTOPE: Shader = Shader {
    entry: "nnk_polytope",
    source: include_str!("../../../shaders/nnk_polytope.wgsl"),
    buffers: &[
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Write,
    ],
};
pub(super) const PCA: Shader = Shader {
    entry: "nnk_pca",
    source: include_str!("../../../shaders/nnk_pca.wgsl"),
    buffers: &[Access::Write, Access::Write],
};

/// Bytes of kernel matrices and working memory per pass.
pub(super) const SCRATCH: u64 = 64 << 20;
/// Rows of a block of a kernel matrix that one workgroup computes.
pub(super) const SIDE: usize = 32;
/// Workgroup memory that the solver's vectors and factor may take: more would leave the device
/// with few queries at a time.
pub(super) const LOCAL_BYTES: usize = 20 << 10;
/// Side of a block of a polytope's matrix.
pub(super) const POLYTOPE_SIDE: usize = 16;
/// Rotations of all pairs before the eigenvalues are taken as they are; ten are rarely needed.
pub(super) const SWEEPS: u32 = 20;
/// States of an outcome besides solved (0) and degenerate (1), as in the shaders.
pub(super) const MISSING: u32 = 2;
pub(super) const UNFINISHED: u32 = 3;
pub(super) const TOO_LARGE: u32 = 4;

/// Parameters of all four kernels, as in the shaders.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct NnkParams {
    pub(super) dim: u32,
    pub(super) k: u32,
    pub(super) list_first: u32,
    pub(super) lists: u32,
    pub(super) list_count: u32,
    pub(super) point_rows: u32,
    pub(super) point_sample: u32,
    pub(super) gathered: u32,
    pub(super) query_rows: u32,
    pub(super) query_first: u32,
    pub(super) drop_identical: u32,
    pub(super) fixed_sigma: u32,
    pub(super) quota: u32,
    pub(super) resumed: u32,
    pub(super) most_members: u32,
    pub(super) first: u32,
    pub(super) workgroups: u32,
    pub(super) zero: u32,
}

/// Scale of a group and the factor of a given bandwidth, as in the shaders.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Unit {
    pub(super) factor: [u32; 2],
    pub(super) scale: f32,
    pub(super) unused: u32,
}

/// What the solver found for a query, as in the shaders.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Outcome {
    pub(super) objective: [u32; 2],
    pub(super) residual: f32,
    pub(super) state: u32,
    pub(super) dimension: u32,
    pub(super) support: u32,
    pub(super) systems: u32,
    pub(super) unused: u32,
}

/// Working memory of the solver for `k` candidates, in wide numbers (`WORK` in the shader).
pub(super) const fn work(k: usize) -> usize {
    4 * k + k * (k + 3) / 2
}

/// Whether the solver's working memory fits the workgroup's: `LOCAL_BYTES`, and room for the rest.
pub(super) fn is_local(k: usize, workgroup_bytes: u32) -> bool {
    let bytes = work(k) * 8;
    bytes <= LOCAL_BYTES && bytes + 8 * k + 12 * width(k) + 128 <= workgroup_bytes as usize
}

pub(super) const fn width(k: usize) -> usize {
    match k {
        0..=64 => 32,
        65..=256 => 64,
        _ => 256,
    }
}

/// Scratch of one query.
pub(super) fn per_list(k: usize) -> u64 {
    let (k, work) = (k as u64, work(k) as u64);
    8 * k * k + 8 * work + 16 * k + 128
}

/// Device bytes of a pass over `lists` queries; cosine on gathered vectors adds their norms.
pub(in crate::gpu) fn scratch_bytes(lists: usize, k: usize) -> u64 {
    let lists = lists as u64;
    (lists * per_list(k)).min(SCRATCH.max(per_list(k))) + lists * 16 * k as u64
}

pub(super) fn sizes(k: usize, local: bool) -> Vec<Define> {
    let mut defines = vec![("K", Some(k as u32)), ("WIDTH", Some(width(k) as u32))];
    if local {
        defines.push(("LOCAL", None));
    }
    defines
}
