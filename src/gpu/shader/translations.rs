//! Translates every shader, under every combination of its definitions, to the languages of Metal and DirectX, as wgpu
//! does there. Nothing here compiles the translations: `scripts/shader-stats` gives the HLSL to a compiler.

use super::hlsl::translated;
use super::tests::{capabilities, checked, shaders, validated};
use super::{Access, Define, Shader};
use rayon::prelude::*;
use std::collections::BTreeSet;
use wgpu::naga::back::{hlsl, msl};
use wgpu::naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use wgpu::naga::valid::ModuleInfo;
use wgpu::naga::{Module, ResourceBinding, ShaderStage};

/// What a shader is translated to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Language {
    /// MSL 2.4, of macOS 12: the first version with all that the shaders use.
    Metal,
    /// HLSL of shader model 5.1, for the compiler that is part of Windows.
    Hlsl51,
    /// HLSL of shader model 6.0, for DirectX's current compiler.
    Hlsl60,
}

const LANGUAGES: [Language; 3] = [Language::Metal, Language::Hlsl51, Language::Hlsl60];

/// Buffers have a slot each, in the order of their bindings, and the lengths of runtime-sized arrays lie behind them.
fn metal(module: &Module, info: &ModuleInfo, shader: &Shader, checks: bool) -> Result<(), String> {
    let entry = shader.entry;
    let policy = match checks {
        true => BoundsCheckPolicy::Restrict,
        false => BoundsCheckPolicy::Unchecked,
    };
    // Binding 0 is a uniform buffer.
    let written = |binding: u32| {
        let storage = (binding as usize)
            .checked_sub(1)
            .map(|i| &shader.storage[i]);
        storage.is_some_and(|buffer| buffer.access == Access::ReadWrite)
    };
    let slot = |binding: ResourceBinding| {
        let target = msl::BindTarget {
            buffer: Some(u8::try_from(binding.binding).expect("a slot")),
            mutable: written(binding.binding),
            ..msl::BindTarget::default()
        };
        (binding, target)
    };
    let variables = module.global_variables.iter();
    let bindings = variables.filter_map(|(_, v)| v.binding);
    let resources: msl::BindingMap = bindings.map(slot).collect();
    let sizes_buffer = u8::try_from(resources.len()).ok();
    let resources = msl::EntryPointResources {
        resources,
        immediates_buffer: None,
        sizes_buffer,
    };
    let options = msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: [(entry.to_string(), resources)].into(),
        fake_missing_bindings: false,
        bounds_check_policies: BoundsCheckPolicies {
            index: policy,
            buffer: policy,
            image_load: policy,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: false,
        force_loop_bounding: false,
        emit_int_div_checks: checks,
        ..msl::Options::default()
    };
    let pipeline = msl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, entry.into())),
        ..msl::PipelineOptions::default()
    };
    let (text, made) =
        msl::write_string(module, info, &options, &pipeline).map_err(|e| e.to_string())?;
    let [Ok(name)] = &made.entry_point_names[..] else {
        return Err(format!("entry points {:?}", made.entry_point_names));
    };
    has(&text, &format!("kernel void {name}("))
}

fn direct_x(
    module: &Module,
    info: &ModuleInfo,
    entry: &str,
    shader_model: hlsl::ShaderModel,
    checks: bool,
) -> Result<(), String> {
    let (text, name) = translated(module, info, entry, shader_model, checks)?;
    has(&text, &format!("void {name}("))
}

fn has(text: &str, wanted: &str) -> Result<(), String> {
    let found = text.contains(wanted);
    found.then_some(()).ok_or(format!("no '{wanted}' in it"))
}

impl Language {
    /// Whether a device of this language may be given these definitions: Metal's matrices have a side of 8.
    fn may_have(self, defines: &[Define]) -> bool {
        self != Self::Metal || !defines.contains(&("SIDE_16", None))
    }

    /// Translates a shader, with checks of bounds and divisors as in development builds, and without as in others.
    fn translate(self, shader: &Shader, defines: &[Define]) -> Result<(), String> {
        let (module, info) = validated(shader, defines)?;
        let supported = match self {
            Self::Metal => msl::supported_capabilities(),
            Self::Hlsl51 | Self::Hlsl60 => hlsl::supported_capabilities(),
        };
        // As naga tells them apart.
        let missing = capabilities(shader, defines) - supported;
        if !missing.is_empty() {
            return Err(format!("{missing:?}"));
        }
        for checks in [false, true] {
            let entry = shader.entry;
            match self {
                Self::Metal => metal(&module, &info, shader, checks),
                Self::Hlsl51 => direct_x(&module, &info, entry, hlsl::ShaderModel::V5_1, checks),
                Self::Hlsl60 => direct_x(&module, &info, entry, hlsl::ShaderModel::V6_0, checks),
            }?;
        }
        Ok(())
    }
}

/// What does not translate, and which capability naga does not offer in that language. This list is exact: where a language
/// learns one of them, it becomes shorter.
///
/// No device of wgpu's asks for these translations. Metal has no float64, and wgpu offers neither cooperative matrices nor
/// float64 on DirectX; there the kernels compute in pairs of float32, and without matrices.
const REFUSED: [(&[Language], &str, &[&str]); 2] = [
    (
        &[Language::Metal],
        "Capabilities(FLOAT64)",
        &[
            "filters_autocorrelate",
            "filters_correlate",
            "filters_gradient",
            "filters_pairs",
            "filters_rests",
            "filters_spread",
            "filters_squares",
            "knn_filter",
            "knn_framed",
            "knn_gather",
            "knn_merge",
            "knn_norms",
            "knn_pack",
            "nnk",
            "nnk_gram",
            "nnk_pca",
            "nnk_polytope",
            "nnk_prepare",
        ],
    ),
    (
        &[Language::Hlsl51, Language::Hlsl60],
        "Capabilities(COOPERATIVE_MATRIX)",
        &["ceiling_half", "gram_half", "knn_half"],
    ),
];

#[test]
fn every_shader_translates() {
    let all: Vec<(&Shader, Vec<Define>)> = shaders()
        .flat_map(|s| s.combinations_of(checked).into_iter().map(move |c| (s, c)))
        .collect();
    let failures: BTreeSet<(Language, &str, String)> = all
        .par_iter()
        .flat_map_iter(|(shader, defines)| {
            let languages = LANGUAGES.iter().filter(|l| l.may_have(defines));
            languages.filter_map(move |l| {
                let why = l.translate(shader, defines).err()?;
                Some((*l, shader.entry, why))
            })
        })
        .collect();
    let refused: BTreeSet<(Language, &str, String)> = REFUSED
        .iter()
        .flat_map(|(languages, why, entries)| {
            let of = move |l: &Language| {
                entries
                    .iter()
                    .map(|e| (*l, *e, why.to_string()))
                    .collect::<Vec<_>>()
            };
            languages.iter().flat_map(of)
        })
        .collect();
    let (new, gone): (Vec<_>, Vec<_>) = (
        failures.difference(&refused).collect(),
        refused.difference(&failures).collect(),
    );
    assert!(
        new.is_empty() && gone.is_empty(),
        "does not translate: {new:#?}\ntranslates, and is listed in REFUSED: {gone:#?}"
    );
}
