//! The kernels that runs of usual sizes compile, as WGSL. `benches/shader_stats` compiles them for GPUs that this
//! machine does not have.

use super::{Access, Define, Shader, expand};
use crate::gpu::SHADERS;
use crate::gpu::cooperative;

/// Numbers of candidates that stand for all others.
const CANDIDATES: [u32; 3] = [25, 50, 100];
/// Entries that the merge of a search sorts at a time, for up to 128 candidates.
const SORTED: u32 = 256;

/// One kernel with its definitions.
pub struct Source {
    /// Entry point.
    pub entry: &'static str,
    /// Definitions, as in `K=25 COSINE`, but for `WIDE_F64`.
    pub variant: String,
    /// WGSL.
    pub text: String,
    /// For every storage buffer, from binding 1 on, whether the kernel only reads it. Binding 0 is a uniform buffer.
    pub read_only: Vec<bool>,
    /// Whether the arithmetic of the steps that matter is float64 (`true`) or pairs of float32; `None` for kernels
    /// that have no such steps.
    pub float64: Option<bool>,
    /// Whether the kernel uses f16.
    pub f16: bool,
    /// Side and threads of the cooperative matrices that the kernel is made for.
    pub matrices: Option<[u32; 2]>,
}

/// All of them.
///
/// # Errors
/// A shader that cannot be expanded, in words.
pub fn sources() -> Result<Vec<Source>, String> {
    let shaders = SHADERS.iter().copied().flatten().copied();
    let named = shaders.flat_map(|s| s.combinations_of(usual).into_iter().map(move |d| (s, d)));
    named
        .map(|(shader, defines)| source(shader, &defines))
        .collect()
}

/// The sets of definitions that usual sizes lead to.
fn usual(sets: Vec<Vec<Define>>) -> Vec<Vec<Define>> {
    let value = |set: &[Define], name| set.iter().find(|d| d.0 == name).and_then(|d| d.1);
    let is_local = |set: &[Define]| set.contains(&("LOCAL", None));
    let wanted = |set: &[Define]| {
        value(set, "K").is_none_or(|k| CANDIDATES.contains(&k))
            && value(set, "SORT").is_none_or(|n| n == SORTED)
    };
    // Where workgroup memory can be used, it is.
    let better = |set: &[Define]| {
        let same = |other: &&Vec<Define>| value(other, "K") == value(set, "K");
        !is_local(set) && sets.iter().filter(same).any(|other| is_local(other))
    };
    let kept = sets.iter().filter(|set| wanted(set) && !better(set));
    kept.cloned().collect()
}

fn source(shader: &Shader, defines: &[Define]) -> Result<Source, String> {
    let of = |name| defines.iter().find(|d| d.0 == name).and_then(|d| d.1);
    let words = defines.iter().filter(|d| d.0 != "WIDE_F64");
    let words = words.map(|(name, value)| match value {
        Some(value) => format!("{name}={value}"),
        None => (*name).to_string(),
    });
    let uses_matrices = shader.features.contains(cooperative::FEATURES);
    Ok(Source {
        entry: shader.entry,
        variant: words.collect::<Vec<_>>().join(" "),
        text: expand(shader.file.text, defines)?,
        read_only: (shader.storage.iter())
            .map(|buffer| buffer.access == Access::Read)
            .collect(),
        float64: (shader.is_wide()).then(|| defines.contains(&("WIDE_F64", None))),
        f16: shader.features.contains(wgpu::Features::SHADER_F16),
        matrices: of("SIDE")
            .zip(of("SUBGROUP"))
            .map(<[u32; 2]>::from)
            .filter(|_| uses_matrices),
    })
}
