//! The shaders of the solver, what they share with the host, and what they need in memory.

use crate::gpu::context::Context;
use crate::gpu::knn::{Entry, RowNorm};
use crate::gpu::shader::Definition::{Flag, OneOf};
use crate::gpu::shader::{
    Define, Shader, Threads, WIDE, WideBits, file, reads, reads_structs, shader_params,
    shader_struct, writes, writes_structs,
};
use crate::ops::MAX_K;

/// Bytes of kernel matrices, working memory and results per pass: about a wave of workgroups of a small GPU at 50
/// candidates, and four of a large one.
const SCRATCH: u64 = 64 << 20;
const CARD_SCRATCH: u64 = 256 << 20;
/// Most bytes of vectors that are brought to the host at a time, for queries that it solves, unless those of a single query
/// take more.
pub(super) const NEAR_BYTES: u64 = 8 << 20;
/// Rows and columns of a block of a kernel matrix that one workgroup computes.
pub(super) const SIDE: usize = 32;
/// Rows and columns of such a block of a polytope's matrix.
pub(super) const POLYTOPE_SIDE: usize = 16;
/// Workgroup memory that the solver's vectors and factor may occupy. With more, the device could hold
/// only few workgroups at a time.
const LOCAL_BYTES: usize = 20 << 10;
/// Jacobi sweeps after which the eigenvalues are accepted as they are; ten are rarely needed.
pub(super) const SWEEPS: u32 = 20;

/// Operations of one matrix in one dispatch of `nnk_pca`: 0.2 s of the slowest GPU's workgroup, if all candidates have
/// weight.
pub(super) const PCA_WORK: u64 = 500_000_000;

/// States of an outcome.
pub(super) const SOLVED: u32 = 0;
/// The query has no graph.
pub(super) const DEGENERATE: u32 = 1;
/// A candidate is not in the block of points.
pub(super) const MISSING: u32 = 2;
/// The solver used its quota of linear systems.
pub(super) const UNFINISHED: u32 = 3;
/// The support is larger than the adapter can factorise.
pub(super) const TOO_LARGE: u32 = 4;

/// The host has to solve the query.
pub(super) const NEAR: u32 = 5;

/// Flag of an [`Outcome`]; `shaders/shared/nnk_common.wgsl` explains it.
pub(super) const NOT_UNIQUE: u32 = 1;

const CONSTANTS: &[(&str, u32)] = &[
    ("SOLVED", SOLVED),
    ("DEGENERATE", DEGENERATE),
    ("MISSING", MISSING),
    ("UNFINISHED", UNFINISHED),
    ("TOO_LARGE", TOO_LARGE),
    ("NEAR", NEAR),
    ("NOT_UNIQUE", NOT_UNIQUE),
];

shader_params! {
    /// Parameters of all kernels of the solver; `shaders/shared/nnk_common.wgsl` explains the fields.
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
        pub(super) equal: f32,
        pub(super) near: f32,
        pub(super) first: u32,
        pub(super) workgroups: u32,
        pub(super) zero: u32,
    }
}

shader_struct! {
    /// Of a group: the factor of a given bandwidth, and the scale of its distances.
    pub(super) struct Unit {
        pub(super) factor: WideBits,
        pub(super) scale: f32,
        pub(super) unused: u32,
    }
}

shader_struct! {
    /// Which candidates of a query are used, and its bandwidth. Only shaders read and write it.
    pub(super) struct Problem {
        factor: WideBits,
        skip: u32,
        count: u32,
        state: u32,
        unused: u32,
    }
}

shader_struct! {
    /// What the solver found for a query.
    pub(super) struct Outcome {
        pub(super) objective: WideBits,
        pub(super) residual: f32,
        pub(super) state: u32,
        pub(super) dimension: u32,
        pub(super) support: u32,
        pub(super) systems: u32,
        pub(super) flags: u32,
    }
}

pub(super) static PREPARE: Shader = Shader::new::<NnkParams>(
    "nnk_prepare",
    file!("nnk_prepare"),
    Threads::Fixed(64),
    &[
        reads_structs::<Entry>("entries"),
        reads_structs::<Unit>("units"),
        writes_structs::<Problem>("problems"),
    ],
)
.define(&[Flag("COSINE"), WIDE])
.constants(CONSTANTS);

pub(super) static GRAM: Shader = Shader::new::<NnkParams>(
    "nnk_gram",
    file!("nnk_gram"),
    Threads::Fixed(64),
    &[
        reads_structs::<Entry>("entries"),
        reads("vectors", "f32"),
        reads_structs::<RowNorm>("norms"),
        reads_structs::<Unit>("units"),
        reads_structs::<Problem>("problems"),
        writes("kernels", "wide"),
    ],
)
.define(&[Flag("COSINE"), OneOf(|| vec![gram_defines()]), WIDE])
.constants(CONSTANTS);

pub(super) static SOLVE: Shader = Shader::new::<NnkParams>(
    "nnk",
    file!("nnk"),
    Threads::Times(1, "WIDTH"),
    &[
        reads_structs::<Entry>("entries"),
        reads_structs::<Problem>("problems"),
        reads("kernels", "wide"),
        writes("spill", "wide"),
        writes("weights", "f32"),
        writes_structs::<Outcome>("outcomes"),
        writes("supports", "u32"),
        writes("paused", "u32"),
    ],
)
.define(&[Flag("COSINE"), OneOf(all_solver_defines), WIDE])
.constants(CONSTANTS);

pub(super) static POLYTOPE: Shader = Shader::new::<NnkParams>(
    "nnk_polytope",
    file!("nnk_polytope"),
    Threads::Fixed(64),
    &[
        reads_structs::<Entry>("entries"),
        reads("queries", "f32"),
        reads("vectors", "f32"),
        reads_structs::<Unit>("units"),
        reads_structs::<Outcome>("outcomes"),
        reads("supports", "u32"),
        writes("matrices", "wide"),
        reads_structs::<RowNorm>("norms"),
    ],
)
.define(&[Flag("COSINE"), OneOf(|| vec![polytope_defines()]), WIDE])
.constants(CONSTANTS);

pub(super) static PCA: Shader = Shader::new::<NnkParams>(
    "nnk_pca",
    file!("nnk_pca"),
    Threads::Times(1, "WIDTH"),
    &[
        writes("spill", "wide"),
        writes_structs::<Outcome>("outcomes"),
    ],
)
.define(&[OneOf(|| (1..=MAX_K).map(pca_defines).collect()), WIDE])
.constants(CONSTANTS);

/// Shaders of this module.
pub(in crate::gpu) static SHADERS: &[&Shader] = &[&PREPARE, &GRAM, &SOLVE, &POLYTOPE, &PCA];

pub(super) fn gram_defines() -> Vec<Define> {
    vec![("SIDE", Some(SIDE as u32))]
}

pub(super) fn polytope_defines() -> Vec<Define> {
    vec![("SIDE", Some(POLYTOPE_SIDE as u32))]
}

/// What is defined for `k` candidates, whose solver's working memory is in workgroup memory (`local`) or
/// not.
pub(super) fn solver_defines(k: usize, local: bool) -> Vec<Define> {
    let across = match width(k) {
        256 => 16,
        width => width as u32 / 8,
    };
    let mut defines = sizes(k, local);
    defines.push(("MEMORY", Some(work(k) as u32)));
    defines.push(("ACROSS", Some(across)));
    defines
}

fn all_solver_defines() -> Vec<Vec<Define>> {
    // How much workgroup memory there is depends on the device.
    let local = (1..=MAX_K).filter(|&k| is_local(k, u32::MAX));
    let all = (1..=MAX_K).map(|k| solver_defines(k, false));
    all.chain(local.map(|k| solver_defines(k, true))).collect()
}

/// Whether a polytope's matrix is diagonalised in workgroup memory.
pub(super) const fn is_pca_local(k: usize) -> bool {
    k * k * 8 <= LOCAL_BYTES * 2 / 3
}

/// What is defined for the principal components of up to `k` neighbours.
pub(super) fn pca_defines(k: usize) -> Vec<Define> {
    let mut defines = sizes(k, is_pca_local(k));
    defines.push(("MEMORY", Some((k * k) as u32)));
    defines
}

/// Working memory of the solver for `k` candidates, in wide numbers: `WORK` in the shader.
pub(super) const fn work(k: usize) -> usize {
    4 * k + k * (k + 3) / 2
}

/// Whether the solver's working memory can be workgroup memory, besides what else it keeps there.
pub(super) fn is_local(k: usize, workgroup_bytes: u32) -> bool {
    let bytes = work(k) * 8;
    bytes <= LOCAL_BYTES && bytes + 8 * k + 12 * width(k) + 128 <= workgroup_bytes as usize
}

/// Threads that solve one query.
const fn width(k: usize) -> usize {
    match k {
        0..=64 => 32,
        65..=256 => 64,
        _ => 256,
    }
}

/// Scratch bytes of one query.
pub(super) fn per_list(k: usize) -> u64 {
    let results = 2 * list_bytes(k) as u64;
    let (k, work) = (k as u64, work(k) as u64);
    8 * k * k + 8 * work + 16 * k + 128 + results
}

/// Bytes of a list's results: its outcome, entries and weights.
pub(super) const fn list_bytes(k: usize) -> usize {
    size_of::<Outcome>() + k * (size_of::<Entry>() + 4)
}

/// Scratch bytes of a pass.
pub(super) const fn scratch(context: &Context) -> u64 {
    match context.shares_host_memory {
        true => SCRATCH,
        false => CARD_SCRATCH,
    }
}

/// Device bytes of a solve of `lists` queries: scratch of one pass, the norms that gathered vectors have for the
/// cosine kernel, and the vectors of queries that the host solves.
pub(in crate::gpu) fn scratch_bytes(context: &Context, lists: usize, k: usize, dim: usize) -> u64 {
    let (lists, near) = (lists as u64, per_near(k, dim));
    let pass = (lists * per_list(k)).min(scratch(context).max(per_list(k)));
    // The vectors, and the copy that the host reads.
    let near = 2 * (lists * near).min(NEAR_BYTES.max(near));
    pass + lists * 16 * k as u64 + near
}

/// Bytes of the vectors of a query and its candidates, for a query that the host solves.
pub(super) const fn per_near(k: usize, dim: usize) -> u64 {
    4 * (k as u64 + 1) * dim as u64
}

fn sizes(k: usize, local: bool) -> Vec<Define> {
    let mut defines = vec![("K", Some(k as u32)), ("WIDTH", Some(width(k) as u32))];
    if local {
        defines.push(("LOCAL", None));
    }
    defines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::shader::{constant, module, workgroup_bytes};

    #[test]
    fn the_working_memory_has_the_size_that_the_shader_uses() {
        for k in [1, 2, 3, 64, 65, MAX_K] {
            let solver = module(&SOLVE, &solver_defines(k, is_local(k, u32::MAX)));
            assert_eq!(constant(&solver, "WORK"), work(k) as u32, "k = {k}");
        }
    }

    #[test]
    fn local_memory_fits_the_workgroup() {
        for k in (1..MAX_K).step_by(31).chain([MAX_K]) {
            let solver = module(&SOLVE, &solver_defines(k, false));
            let rest = workgroup_bytes(&solver) as usize;
            assert!(rest <= 8 * k + 12 * width(k) + 128, "k = {k}: {rest} bytes");
        }
    }
}
