//! The kernels as HLSL, which wgpu makes of them for DirectX.

use crate::is_plain;
use crate::vulkan::validated;
use chanscope::internals::{Source, sources};
use std::collections::HashSet;
use std::path::Path;
use wgpu::naga::{ResourceBinding, ShaderStage, back::hlsl};

/// Writes the kernels that DirectX has, `ENTRY_VARIANT.hlsl` each, for shader model 5.1, and of several that become the
/// same only the first. Their entry points have the kernels' names.
pub fn write(folder: &Path) -> Result<(), String> {
    let (mut texts, mut names) = (HashSet::new(), HashSet::new());
    for source in sources()?.into_iter().filter(is_plain) {
        let text = translated(&source).map_err(|e| format!("{}: {e}", source.entry))?;
        let name = format!("{} {}", source.entry, source.variant);
        let file = folder.join(format!("{}.hlsl", name.trim_end().replace(' ', "_")));
        if !texts.insert(text.clone()) {
            continue;
        }
        if !names.insert(name.clone()) {
            return Err(format!("two kernels are named {name}"));
        }
        std::fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(())
}

/// With wgpu's options for release builds of this crate.
fn translated(source: &Source) -> Result<String, String> {
    let (module, info) = validated(source)?;
    let register = |binding: ResourceBinding| {
        let target = hlsl::BindTarget {
            register: binding.binding,
            ..hlsl::BindTarget::default()
        };
        (binding, target)
    };
    let variables = module.global_variables.iter();
    let options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V5_1,
        binding_map: variables
            .filter_map(|(_, v)| v.binding)
            .map(register)
            .collect(),
        fake_missing_bindings: false,
        // Where wgpu puts the number of workgroups.
        special_constants_binding: Some(hlsl::BindTarget {
            space: 1,
            ..hlsl::BindTarget::default()
        }),
        zero_initialize_workgroup_memory: false,
        restrict_indexing: false,
        force_loop_bounding: false,
        ..hlsl::Options::default()
    };
    let pipeline = hlsl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, source.entry.into())),
    };
    let mut text = String::new();
    let made = hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(&module, &info, None)
        .map_err(|e| e.to_string())?;
    match &made.entry_point_names[..] {
        [Ok(name)] if name == source.entry => Ok(text),
        other => Err(format!("its entry point became {other:?}")),
    }
}
