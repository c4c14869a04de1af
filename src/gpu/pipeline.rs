//! Shader source to cached pipelines.
//!
//! Shaders are WGSL with three line directives, resolved here: `#import NAME` (a file of
//! `shaders/shared/`, once), `#ifdef NAME` / `#ifndef NAME` ... `#else` ... `#endif`. Constants given by the
//! host are prepended as `const NAME = VALUEu;`: register tiles need sizes known when compiling. `enable`
//! lines are moved to the start, where the language wants them.

use super::context::{Context, Wide};
use crate::Result;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// How a kernel uses one of its storage buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// One entry point of one shader file. Binding 0 is the parameters, storage buffers follow in order.
pub(super) struct Kernel {
    /// Entry point; also its name in profiles.
    pub(super) entry: &'static str,
    /// Shader file.
    pub(super) source: &'static str,
    /// Storage buffers from binding 1 on.
    pub(super) buffers: &'static [Access],
}

/// A constant for the shader: a value, or (`None`) a name that is only defined.
pub(super) type Define = (&'static str, Option<u32>);

/// A compiled kernel.
pub(super) struct Pipeline {
    pub(super) entry: &'static str,
    pub(super) inner: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

type Key = (&'static str, Vec<Define>);

/// Pipelines compiled so far.
#[derive(Default)]
pub(super) struct Pipelines {
    cache: Mutex<HashMap<Key, Arc<Pipeline>>>,
}

const SHARED: &[(&str, &str)] = &[
    (
        "distance",
        include_str!("../../shaders/shared/distance.wgsl"),
    ),
    ("exp", include_str!("../../shaders/shared/exp.wgsl")),
    (
        "filtered",
        include_str!("../../shaders/shared/filtered.wgsl"),
    ),
    ("filters", include_str!("../../shaders/shared/filters.wgsl")),
    (
        "half_product",
        include_str!("../../shaders/shared/half_product.wgsl"),
    ),
    (
        "half_tile",
        include_str!("../../shaders/shared/half_tile.wgsl"),
    ),
    ("lower", include_str!("../../shaders/shared/lower.wgsl")),
    ("nnk", include_str!("../../shaders/shared/nnk.wgsl")),
    (
        "nnk_block",
        include_str!("../../shaders/shared/nnk_block.wgsl"),
    ),
    (
        "nnk_factor",
        include_str!("../../shaders/shared/nnk_factor.wgsl"),
    ),
    (
        "nnk_memory",
        include_str!("../../shaders/shared/nnk_memory.wgsl"),
    ),
    ("tile", include_str!("../../shaders/shared/tile.wgsl")),
    ("upper", include_str!("../../shaders/shared/upper.wgsl")),
    ("wide", include_str!("../../shaders/shared/wide.wgsl")),
    (
        "workgroup",
        include_str!("../../shaders/shared/workgroup.wgsl"),
    ),
];

/// Resolves the directives. Errors name the line.
pub(super) fn expand(source: &str, defines: &[Define]) -> Result<String, String> {
    let mut out = String::new();
    for (name, value) in defines {
        if let Some(value) = value {
            out += &format!("const {name} = {value}u;\n");
        }
    }
    let mut imported = HashSet::new();
    expand_into(source, defines, &mut imported, &mut out)?;
    let (enables, rest): (Vec<&str>, Vec<&str>) =
        out.lines().partition(|line| line.starts_with("enable "));
    Ok(enables
        .into_iter()
        .chain(rest)
        .flat_map(|line| [line, "\n"])
        .collect())
}

fn expand_into<'a>(
    source: &'a str,
    defines: &[Define],
    imported: &mut HashSet<&'a str>,
    out: &mut String,
) -> Result<(), String> {
    // One entry per open #ifdef: whether the current branch is kept.
    let mut kept: Vec<bool> = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let mut words = line.split_whitespace();
        let word = words.next().unwrap_or("");
        let name = words.next().unwrap_or("");
        let defined = defines.iter().any(|(d, _)| *d == name);
        let alive = kept.iter().all(|&k| k);
        match word {
            "#ifdef" => kept.push(defined),
            "#ifndef" => kept.push(!defined),
            "#else" => match kept.last_mut() {
                Some(last) => *last = !*last,
                None => return Err(format!("line {}: #else without #ifdef", number + 1)),
            },
            "#endif" => {
                kept.pop()
                    .ok_or_else(|| format!("line {}: #endif without #ifdef", number + 1))?;
            }
            "#import" if alive && imported.insert(name) => {
                let shared = SHARED.iter().find(|(n, _)| *n == name);
                let (_, text) = shared
                    .ok_or_else(|| format!("line {}: no shared file '{name}'", number + 1))?;
                expand_into(text, defines, imported, out)?;
            }
            "#import" => {}
            _ if alive => {
                out.push_str(line);
                out.push('\n');
            }
            _ => {}
        }
    }
    match kept.is_empty() {
        true => Ok(()),
        false => Err("#ifdef without #endif".into()),
    }
}

impl Context {
    /// The kernel compiled with these constants, from the cache where possible. Float64 or
    /// double-float arithmetic is decided here.
    pub(super) fn pipeline(&self, kernel: &Kernel, defines: &[Define]) -> Result<Arc<Pipeline>> {
        let mut all = defines.to_vec();
        if self.wide == Wide::Float64 {
            all.push(("WIDE_F64", None));
        }
        let key = (kernel.entry, all);
        let mut cache = self
            .pipelines
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache.get(&key) {
            return Ok(Arc::clone(found));
        }
        let built = Arc::new(self.compile(kernel, &key.1)?);
        cache.insert(key, Arc::clone(&built));
        Ok(built)
    }

    fn compile(&self, kernel: &Kernel, defines: &[Define]) -> Result<Pipeline> {
        let source = expand(kernel.source, defines)
            .map_err(|e| self.failed(format!("compiling kernel {}", kernel.entry), e))?;
        let mut checks = wgpu::ShaderRuntimeChecks::checked();
        // All loops here end by construction; the loop counters that wgpu would add keep drivers
        // from unrolling register tiles. Bounds are kept where they cost little: in development.
        checks.force_loop_bounding = false;
        checks.bounds_checks = cfg!(debug_assertions);
        checks.int_div_checks = cfg!(debug_assertions);
        let desc = wgpu::ShaderModuleDescriptor {
            label: Some(kernel.entry),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        };
        self.guarded(kernel.entry, || {
            // SAFETY: the shaders are this crate's own: loops are bounded, every index is below the
            // length its host code allocates, divisors are tested before use.
            let module = unsafe { self.device.create_shader_module_trusted(desc, checks) };
            let layout = self.layout(kernel);
            let pipeline_layout =
                self.device
                    .create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                        label: Some(kernel.entry),
                        bind_group_layouts: &[Some(&layout)],
                        immediate_size: 0,
                    });
            let inner = self
                .device
                .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(kernel.entry),
                    layout: Some(&pipeline_layout),
                    module: &module,
                    entry_point: Some(kernel.entry),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        zero_initialize_workgroup_memory: false,
                        ..Default::default()
                    },
                    cache: None,
                });
            Ok(Pipeline {
                entry: kernel.entry,
                inner,
                layout,
            })
        })
    }

    fn layout(&self, kernel: &Kernel) -> wgpu::BindGroupLayout {
        let storage = kernel
            .buffers
            .iter()
            .map(|access| wgpu::BufferBindingType::Storage {
                read_only: *access == Access::Read,
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
        self.device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(kernel.entry),
                entries: &entries,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives() {
        let source = "a\n#ifdef X\nb\n#ifndef Y\nc\n#else\nd\n#endif\n#else\ne\n#endif\nf";
        assert_eq!(expand(source, &[]).as_deref(), Ok("a\ne\nf\n"));
        assert_eq!(
            expand(source, &[("X", None)]).as_deref(),
            Ok("a\nb\nc\nf\n")
        );
        let both = expand(source, &[("X", Some(3)), ("Y", None)]);
        assert_eq!(both.as_deref(), Ok("const X = 3u;\na\nb\nd\nf\n"));
        assert!(expand("#ifdef X", &[]).is_err());
        assert!(expand("#endif", &[]).is_err());
        assert!(expand("#import nothing", &[]).is_err());
    }

    #[test]
    fn extensions_come_first() {
        let source = "enable f16;\na\n";
        let expanded = expand(source, &[("X", Some(3))]);
        assert_eq!(expanded.as_deref(), Ok("enable f16;\nconst X = 3u;\na\n"));
    }

    #[test]
    fn imports_once() {
        let twice = expand("#import workgroup\n#import workgroup\n", &[]);
        let once = expand("#import workgroup\n", &[]);
        assert!(once.is_ok() && once == twice);
    }
}
