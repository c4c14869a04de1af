//! Compiled shaders, cached by their definitions.

use super::guard::Guard;
use super::shader::{Access, Define, Shader, expand};
use crate::Result;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A compiled shader.
pub(super) struct Pipeline {
    pub(super) shader: &'static Shader,
    pub(super) inner: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

/// Entry point and definitions.
type Key = (&'static str, Vec<Define>);

/// Pipelines compiled so far.
#[derive(Default)]
pub(super) struct Pipelines {
    cache: Mutex<HashMap<Key, Arc<Pipeline>>>,
}

impl Pipelines {
    /// The shader compiled with these definitions, from the cache where possible.
    pub(super) fn get(
        &self,
        guard: &Guard,
        shader: &'static Shader,
        defines: Vec<Define>,
    ) -> Result<Arc<Pipeline>> {
        let key = (shader.entry, defines);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache.get(&key) {
            return Ok(Arc::clone(found));
        }
        let built = Arc::new(compile(guard, shader, &key.1)?);
        cache.insert(key, Arc::clone(&built));
        Ok(built)
    }
}

fn compile(guard: &Guard, shader: &'static Shader, defines: &[Define]) -> Result<Pipeline> {
    let device = &guard.device;
    debug_assert!(
        shader.is_listed_with(defines),
        "{} with {defines:?} is not among the shaders that are checked",
        shader.entry
    );
    debug_assert!(device.features().contains(shader.features));
    let source = expand(shader.file.text, defines)
        .map_err(|e| guard.failed(format!("compiling shader {}", shader.file.name), e))?;
    let mut checks = wgpu::ShaderRuntimeChecks::checked();
    // All loops end by construction, and the loop counters that wgpu would add keep drivers from
    // unrolling the loops over registers. Bounds are checked in development builds only.
    checks.force_loop_bounding = false;
    checks.bounds_checks = cfg!(debug_assertions);
    checks.int_div_checks = cfg!(debug_assertions);
    let desc = wgpu::ShaderModuleDescriptor {
        label: Some(shader.entry),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    };
    guard.run(shader.entry, || {
        // SAFETY: only this crate's own shaders are compiled here. Their loops are bounded, every
        // index is below the length that the host allocates, and divisors are tested before use.
        let module = unsafe { device.create_shader_module_trusted(desc, checks) };
        let layout = layout(device, shader);
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(shader.entry),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let inner = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(shader.entry),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(shader.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        Ok(Pipeline {
            shader,
            inner,
            layout,
        })
    })
}

fn layout(device: &wgpu::Device, shader: &Shader) -> wgpu::BindGroupLayout {
    let storage = shader
        .storage
        .iter()
        .map(|buffer| wgpu::BufferBindingType::Storage {
            read_only: buffer.access == Access::Read,
        });
    let entries: Vec<wgpu::BindGroupLayoutEntry> =
        std::iter::once(wgpu::BufferBindingType::Uniform)
            .chain(storage)
            .zip(0..)
            .map(|(ty, binding)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty,
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(shader.entry),
        entries: &entries,
    })
}
