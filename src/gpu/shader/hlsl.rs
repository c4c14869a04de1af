//! Translates a kernel to HLSL as wgpu does for DirectX. `benches/shader_stats` compiles this file too.

use wgpu::naga::back::hlsl::{BindTarget, Options, PipelineOptions, ShaderModel, Writer};
use wgpu::naga::valid::ModuleInfo;
use wgpu::naga::{Module, ResourceBinding, ShaderStage};

/// The text, and the name that the entry point has in it. Buffers have a register each, in the order of their bindings.
/// `checks`: with checks of bounds, as in development builds.
pub(super) fn translated(
    module: &Module,
    info: &ModuleInfo,
    entry: &str,
    shader_model: ShaderModel,
    checks: bool,
) -> Result<(String, String), String> {
    let register = |binding: ResourceBinding| {
        let target = BindTarget {
            register: binding.binding,
            restrict_indexing: true,
            ..BindTarget::default()
        };
        (binding, target)
    };
    let variables = module.global_variables.iter();
    let options = Options {
        shader_model,
        binding_map: variables
            .filter_map(|(_, v)| v.binding)
            .map(register)
            .collect(),
        fake_missing_bindings: false,
        // wgpu gives the number of workgroups to shaders that ask for it.
        special_constants_binding: Some(BindTarget {
            space: 1,
            ..BindTarget::default()
        }),
        zero_initialize_workgroup_memory: false,
        restrict_indexing: checks,
        force_loop_bounding: false,
        ..Options::default()
    };
    let pipeline = PipelineOptions {
        entry_point: Some((ShaderStage::Compute, entry.into())),
    };
    let mut text = String::new();
    let made = Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .map_err(|e| e.to_string())?;
    match <[_; 1]>::try_from(made.entry_point_names) {
        Ok([Ok(name)]) => Ok((text, name)),
        Ok([Err(e)]) => Err(e.to_string()),
        Err(names) => Err(format!("{} entry points", names.len())),
    }
}
