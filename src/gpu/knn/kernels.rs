//! The shaders of the search, and what they share with the host.

use crate::gpu::cooperative::{self, Cooperative};
use crate::gpu::shader::Definition::{Flag, OneOf};
use crate::gpu::shader::{
    Define, Shader, Storage, Threads, WIDE, WideBits, file, reads, reads_structs, shader_params,
    shader_struct, writes, writes_structs,
};
use crate::ops::{Kernel, MAX_K};

shader_params! {
    /// Parameters of `knn_filter` and `knn_merge`; `shaders/shared/knn_search.wgsl` explains the fields.
    pub(super) struct KnnParams {
        pub(super) dim: u32,
        pub(super) k: u32,
        pub(super) group_first: u32,
        pub(super) group_count: u32,
        pub(super) query_rows: u32,
        pub(super) query_first: u32,
        pub(super) query_count: u32,
        pub(super) list_first: u32,
        pub(super) list_count: u32,
        pub(super) point_rows: u32,
        pub(super) point_first: u32,
        pub(super) point_count: u32,
        pub(super) point_sample: u32,
        pub(super) capacity: u32,
        pub(super) direct: u32,
        pub(super) distinct: u32,
        pub(super) shrink: f32,
        pub(super) strip: u32,
        pub(super) first: u32,
        pub(super) workgroups: u32,
        pub(super) zero: u32,
    }
}

shader_params! {
    /// Parameters of `knn_norms` and `knn_gather`; `shaders/shared/knn_rows_params.wgsl` explains the
    /// fields.
    pub(super) struct RowsParams {
        pub(super) dim: u32,
        pub(super) rows: u32,
        pub(super) row_first: u32,
        pub(super) row_count: u32,
        pub(super) group_first: u32,
        pub(super) group_count: u32,
        pub(super) k: u32,
        pub(super) list_count: u32,
        pub(super) sample: u32,
        pub(super) first: u32,
        pub(super) workgroups: u32,
        pub(super) zero: u32,
    }
}

shader_params! {
    /// Parameters of `knn_framed` and `knn_pack`; `shaders/shared/knn_pack_params.wgsl` explains the fields.
    pub(super) struct PackParams {
        pub(super) dim: u32,
        pub(super) rows: u32,
        pub(super) row_first: u32,
        pub(super) row_count: u32,
        pub(super) group_first: u32,
        pub(super) group_count: u32,
        pub(super) pitch: u32,
        pub(super) first: u32,
        pub(super) workgroups: u32,
    }
}

shader_params! {
    /// Parameters of `knn_widen`, which explains the fields.
    pub(super) struct WidenParams {
        pub(super) words: u32,
        pub(super) to: u32,
        pub(super) first: u32,
        pub(super) workgroups: u32,
    }
}

shader_params! {
    /// Parameters of `knn_half` and `knn_overflow`; `shaders/shared/knn_half_params.wgsl` explains the
    /// fields.
    pub(super) struct HalfParams {
        pub(super) pitch: u32,
        pub(super) group_first: u32,
        pub(super) query_count: u32,
        pub(super) list_first: u32,
        pub(super) list_count: u32,
        pub(super) point_rows: u32,
        pub(super) point_first: u32,
        pub(super) point_count: u32,
        pub(super) point_sample: u32,
        pub(super) capacity: u32,
        pub(super) shrink: f32,
        pub(super) gamma: f32,
        pub(super) first: u32,
        pub(super) workgroups: u32,
    }
}

shader_struct! {
    /// One entry of a candidate list.
    pub(in crate::gpu) struct Entry {
        pub(super) distance: WideBits,
        pub(super) sample: u32,
        pub(super) unused: u32,
    }
}

shader_struct! {
    /// State of a query's search between kernels. The host writes it once, before the first tile.
    pub(super) struct Progress {
        pub(super) threshold: f32,
        pub(super) noted: u32,
        /// Index of the query among all samples.
        pub(super) own: u32,
    }
}

shader_struct! {
    /// Norm of a row. Only shaders read and write it.
    pub(in crate::gpu) struct RowNorm {
        norm: f32,
        power: f32,
        inverse: WideBits,
    }
}

const FILTERED: &[Storage] = &[
    reads("queries", "vec4<f32>"),
    reads("points", "vec4<f32>"),
    reads_structs::<RowNorm>("query_norms"),
    reads_structs::<RowNorm>("point_norms"),
    writes_structs::<Progress>("progress"),
    writes("survivors", "u32"),
];

const MERGED: &[Storage] = &[
    reads("queries", "f32"),
    reads("points", "f32"),
    reads("frames", "f32"),
    reads_structs::<RowNorm>("query_norms"),
    reads_structs::<RowNorm>("point_norms"),
    writes_structs::<Progress>("progress"),
    writes("survivors", "u32"),
    writes_structs::<Entry>("entries"),
];

pub(super) static FILTER: Shader = Shader::new::<KnnParams>(
    "knn_filter",
    file!("knn_filter"),
    Threads::Fixed(64),
    FILTERED,
)
.define(&[Flag("COSINE"), Flag("RETRY"), WIDE])
.constants(&[("TILE", TILE)]);

pub(super) static MERGE: Shader = Shader::new::<KnnParams>(
    "knn_merge",
    file!("knn_merge"),
    Threads::Times(1, "WIDTH"),
    MERGED,
)
.define(&[Flag("COSINE"), OneOf(all_merge_defines), WIDE]);

pub(super) static NORMS: Shader = Shader::new::<RowsParams>(
    "knn_norms",
    file!("knn_norms"),
    Threads::Fixed(64),
    &[
        reads("rows", "f32"),
        reads("frames", "f32"),
        reads("copies", "u32"),
        writes_structs::<RowNorm>("norms"),
    ],
)
.define(&[Flag("COSINE"), WIDE]);

pub(super) static GATHER: Shader = Shader::new::<RowsParams>(
    "knn_gather",
    file!("knn_gather"),
    Threads::Fixed(64),
    &[
        reads("rows", "f32"),
        reads_structs::<Entry>("entries"),
        writes("gathered", "f32"),
    ],
)
.define(&[WIDE]);

pub(super) static FRAMED: Shader = Shader::new::<PackParams>(
    "knn_framed",
    file!("knn_framed"),
    Threads::Fixed(64),
    &[
        reads("rows", "f32"),
        reads("frames", "f32"),
        reads_structs::<RowNorm>("norms"),
        writes("framed", "vec4<f32>"),
    ],
)
.define(&[Flag("COSINE"), WIDE]);

pub(super) static PACK: Shader = Shader::new::<PackParams>(
    "knn_pack",
    file!("knn_pack"),
    Threads::Fixed(64),
    &[
        reads("rows", "f32"),
        reads("frames", "f32"),
        reads_structs::<RowNorm>("norms"),
        writes("halves", "vec4<f16>"),
        writes("bounds", "vec4<f32>"),
    ],
)
.define(&[Flag("COSINE"), WIDE])
.requires(wgpu::Features::SHADER_F16);

pub(super) static HALF: Shader = Shader::new::<HalfParams>(
    "knn_half",
    file!("knn_half"),
    cooperative::THREADS,
    &[
        reads("left", "vec4<f16>"),
        reads("right", "vec4<f16>"),
        reads("query_bounds", "vec4<f32>"),
        reads("point_bounds", "vec4<f32>"),
        writes_structs::<Progress>("progress"),
        writes("survivors", "u32"),
    ],
)
.define(&[OneOf(Cooperative::all_defines)])
.requires(cooperative::FEATURES);

pub(super) static OVERFLOW: Shader = Shader::new::<HalfParams>(
    "knn_overflow",
    file!("knn_overflow"),
    Threads::Fixed(64),
    &[writes_structs::<Progress>("progress")],
);

pub(super) static WIDEN: Shader = Shader::new::<WidenParams>(
    "knn_widen",
    file!("knn_widen"),
    Threads::Fixed(64),
    &[reads("halves", "u32"), writes("rows", "f32")],
);

/// Shaders of this module.
pub(in crate::gpu) static SHADERS: &[&Shader] = &[
    &FILTER, &MERGE, &NORMS, &GATHER, &FRAMED, &PACK, &HALF, &OVERFLOW, &WIDEN,
];

/// Queries and points of a tile of the filter.
pub(super) const TILE: u32 = 64;

/// Entries that the merge sorts at a time.
pub(super) fn sort_size(k: usize) -> usize {
    (2 * k.next_power_of_two()).max(256)
}

/// Threads that merge one list.
pub(super) fn width(k: usize) -> usize {
    if sort_size(k) > 512 { 256 } else { 64 }
}

/// Threads that share the terms of one distance.
pub(super) const fn lanes(dim: usize) -> usize {
    match dim {
        0..128 => 1,
        128..1024 => 8,
        _ => 64,
    }
}

/// Workgroup memory that the merge needs, bytes: keys and samples of the entries, two sums of each thread, and a
/// counter.
pub(super) fn merge_bytes(k: usize) -> usize {
    sort_size(k) * 12 + width(k) * 16 + 16
}

/// What is defined for a merge into lists of `k` among rows of `dim` numbers.
pub(super) fn merge_defines(k: usize, dim: usize) -> Vec<Define> {
    let lanes = lanes(dim) as u32;
    let mut defines = vec![
        ("SORT", Some(sort_size(k) as u32)),
        ("WIDTH", Some(width(k) as u32)),
        ("LANES", Some(lanes)),
    ];
    if lanes > 1 {
        defines.push(("SHARED_ROWS", None));
    }
    defines
}

fn all_merge_defines() -> Vec<Vec<Define>> {
    let mut all: Vec<_> = (1..=MAX_K)
        .flat_map(|k| [1, 128, 1024].map(|dim| merge_defines(k, dim)))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What is defined for a shader that depends on the similarity, besides `others`.
pub(in crate::gpu) fn with_kernel(others: &[Define], kernel: Kernel) -> Vec<Define> {
    let mut all = others.to_vec();
    if kernel == Kernel::Cosine {
        all.push(("COSINE", None));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::shader::{module, workgroup_bytes};
    use crate::ops::near::PARALLEL;

    #[test]
    fn the_shader_takes_the_same_vectors_for_parallel() {
        let text = include_str!("../../../shaders/shared/distance.wgsl");
        let line = format!("const PARALLEL = {PARALLEL:e};\n");
        assert!(text.contains(&line), "{line}");
    }

    #[test]
    fn the_merge_fits_the_workgroup_memory_that_is_asked_for() {
        for k in [1, 128, 129, 256, 257, MAX_K] {
            for dim in [1, 128, 1024] {
                let defines = with_kernel(&merge_defines(k, dim), Kernel::Cosine);
                let parsed = module(&MERGE, &defines);
                assert!(
                    workgroup_bytes(&parsed) as usize <= merge_bytes(k),
                    "k = {k}"
                );
            }
        }
    }
}
