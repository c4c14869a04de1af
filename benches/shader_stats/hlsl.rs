//! The kernels as HLSL, which wgpu makes of them for DirectX.

#[path = "../../src/gpu/shader/hlsl.rs"]
mod writer;

use crate::is_plain;
use crate::vulkan::validated;
use chanscope::internals::{Source, sources};
use std::collections::HashSet;
use std::path::Path;
use wgpu::naga::back::hlsl::ShaderModel;

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
    let model = ShaderModel::V5_1;
    match writer::translated(&module, &info, source.entry, model, false)? {
        (text, name) if name == source.entry => Ok(text),
        (_, name) => Err(format!("its entry point became '{name}'")),
    }
}
