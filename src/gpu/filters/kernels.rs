//! The shaders of Convolutional Similarity, and what they share with the host.

use crate::gpu::shader::{Shader, Threads, WIDE, file, reads, shader_params, writes};

shader_params! {
    /// Parameters of all kernels; `shaders/shared/filters_pass.wgsl` explains the fields.
    pub(super) struct FilterPass {
        pub(super) filters: u32,
        pub(super) channels: u32,
        pub(super) height: u32,
        pub(super) width: u32,
        pub(super) channel_first: u32,
        pub(super) channel_count: u32,
        pub(super) adjacent: u32,
        pub(super) gradient: u32,
        pub(super) row_first: u32,
        pub(super) row_count: u32,
        pub(super) partners: u32,
        pub(super) which: u32,
        pub(super) first: u32,
        pub(super) len: u32,
        pub(super) zero: u32,
    }
}

/// Which partners `j` of filter `i` count, as the shaders number them.
#[derive(Clone, Copy)]
pub(super) enum Which {
    /// All but `i`.
    Others = 0,
    /// `j > i`.
    Later = 1,
    /// `j >= i`.
    FromItself = 2,
}

const PARTNERS: &[(&str, u32)] = &[
    ("PARTNERS_OTHERS", Which::Others as u32),
    ("PARTNERS_LATER", Which::Later as u32),
    ("PARTNERS_FROM_ITSELF", Which::FromItself as u32),
];

pub(super) static AUTOCORRELATE: Shader = Shader::new::<FilterPass>(
    "filters_autocorrelate",
    file!("filters_autocorrelate"),
    Threads::Fixed(64),
    &[reads("k", "f32"), writes("a", "wide")],
)
.define(&[WIDE]);

pub(super) static RESTS: Shader = Shader::new::<FilterPass>(
    "filters_rests",
    file!("filters_rests"),
    Threads::Fixed(64),
    &[
        reads("a", "wide"),
        writes("rests", "wide"),
        writes("values", "wide"),
    ],
)
.define(&[WIDE]);

pub(super) static GRADIENT: Shader = Shader::new::<FilterPass>(
    "filters_gradient",
    file!("filters_gradient"),
    Threads::Fixed(64),
    &[
        reads("k", "f32"),
        reads("rests", "wide"),
        writes("gradient", "f32"),
    ],
)
.define(&[WIDE]);

pub(super) static PAIRS: Shader = Shader::new::<FilterPass>(
    "filters_pairs",
    file!("filters_pairs"),
    Threads::Fixed(64),
    &[reads("a", "wide"), writes("matrix", "wide")],
)
.define(&[WIDE])
.constants(&[("SIDE", PAIRS_SIDE as u32)]);

pub(super) static CORRELATE: Shader = Shader::new::<FilterPass>(
    "filters_correlate",
    file!("filters_correlate"),
    Threads::Fixed(64),
    &[reads("k", "f32"), writes("r", "wide")],
)
.define(&[WIDE])
.constants(PARTNERS);

pub(super) static SQUARES: Shader = Shader::new::<FilterPass>(
    "filters_squares",
    file!("filters_squares"),
    Threads::Fixed(64),
    &[reads("r", "wide"), writes("squares", "wide")],
)
.define(&[WIDE]);

pub(super) static SPREAD: Shader = Shader::new::<FilterPass>(
    "filters_spread",
    file!("filters_spread"),
    Threads::Fixed(64),
    &[
        reads("k", "f32"),
        reads("r", "wide"),
        writes("gradient", "f32"),
    ],
)
.define(&[WIDE])
.constants(PARTNERS);

/// Shaders of this module.
pub(in crate::gpu) static SHADERS: &[&Shader] = &[
    &AUTOCORRELATE,
    &RESTS,
    &GRADIENT,
    &PAIRS,
    &CORRELATE,
    &SQUARES,
    &SPREAD,
];

/// Rows and columns of the block of pairs that a workgroup of `filters_pairs` computes.
pub(super) const PAIRS_SIDE: usize = 16;
