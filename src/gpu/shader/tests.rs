//! Compares every shader, under every combination of its definitions, with what the host knows about it.
//! Nothing here needs an adapter: shaders are parsed and validated by naga, as wgpu would do it.

use super::preprocess::SHARED;
use super::{Access, Define, Element, Layout, Shader, Threads, expand};
use crate::gpu::SHADERS;
use crate::gpu::cooperative;
use rayon::prelude::*;
use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;
use std::path::Path;
use wgpu::naga;
use wgpu::naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

pub(super) fn shaders() -> impl Iterator<Item = &'static Shader> {
    SHADERS.iter().copied().flatten().copied()
}

/// The sets that are checked of one choice. Of hundreds, which exist for every number of candidates, these
/// are every 61st, the last one, and each one that differs from the one before in more than the number of
/// candidates and the length of an array.
pub(super) fn checked(sets: Vec<Vec<Define>>) -> Vec<Vec<Define>> {
    if sets.len() < 100 {
        return sets;
    }
    let names = |set: &[Define]| set.iter().map(|d| d.0).collect::<Vec<_>>();
    let changes = |i: usize| {
        let (before, set) = (&sets[i - 1], &sets[i]);
        let new = set.iter().filter(|d| !before.contains(d)).count();
        names(before) != names(set) || new > 2
    };
    (0..sets.len())
        .filter(|&i| i % 61 == 0 || i + 1 == sets.len() || changes(i))
        .map(|i| sets[i].clone())
        .collect()
}

pub(super) fn label(shader: &Shader, defines: &[Define]) -> String {
    format!(
        "{} of {}.wgsl with {defines:?}",
        shader.entry, shader.file.name
    )
}

/// What a device needs to be able to do for this combination, and no more.
pub(super) fn capabilities(shader: &Shader, defines: &[Define]) -> Capabilities {
    let mut needed = Capabilities::default();
    if defines.contains(&("WIDE_F64", None)) {
        needed |= Capabilities::FLOAT64;
    }
    if shader.features.contains(wgpu::Features::SHADER_F16) {
        needed |= Capabilities::SHADER_FLOAT16;
    }
    if shader.features.contains(cooperative::FEATURES) {
        needed |= Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP;
    }
    needed
}

/// Parses and validates a shader.
pub(super) fn validated(
    shader: &Shader,
    defines: &[Define],
) -> Result<(naga::Module, ModuleInfo), String> {
    let text = expand(shader.file.text, defines)?;
    let mut options = naga::front::wgsl::Options::new();
    options.capabilities = capabilities(shader, defines);
    let module = naga::front::wgsl::Frontend::new_with_options(options)
        .parse(&text)
        .map_err(|e| e.emit_to_string(&text))?;
    let info = Validator::new(ValidationFlags::all(), capabilities(shader, defines))
        .validate(&module)
        .map_err(|e| e.emit_to_string(&text))?;
    Ok((module, info))
}

/// A valid shader, for tests of other modules.
pub(in crate::gpu) fn module(shader: &Shader, defines: &[Define]) -> naga::Module {
    match validated(shader, defines) {
        Ok((module, _)) => module,
        Err(e) => panic!("{}: {e}", label(shader, defines)),
    }
}

/// Bytes of all workgroup variables of a shader.
pub(in crate::gpu) fn workgroup_bytes(module: &naga::Module) -> u32 {
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).expect("layout");
    let variables = module.global_variables.iter().map(|(_, v)| v);
    variables
        .filter(|v| v.space == naga::AddressSpace::WorkGroup)
        .map(|v| layouter[v.ty].size)
        .sum()
}

/// The value of a constant of a shader.
pub(in crate::gpu) fn constant(module: &naga::Module, name: &str) -> u32 {
    let mut constants = module.constants.iter().map(|(_, c)| c);
    let found = constants.find(|c| c.name.as_deref() == Some(name));
    let found = found.unwrap_or_else(|| panic!("no constant {name}"));
    match module.global_expressions[found.init] {
        naga::Expression::Literal(naga::Literal::U32(value)) => value,
        ref other => panic!("{name} is {other:?}"),
    }
}

/// A type as WGSL writes it, atomic types as what they hold, and the type that `wide` stands for as
/// `wide`.
fn wgsl(module: &naga::Module, ty: naga::Handle<naga::Type>, wide: &str) -> String {
    use naga::TypeInner::{Array, Atomic, Scalar, Vector};
    let scalar = |s: &naga::Scalar| {
        let kind = match s.kind {
            naga::ScalarKind::Uint => "u",
            naga::ScalarKind::Sint => "i",
            naga::ScalarKind::Float => "f",
            _ => "?",
        };
        format!("{kind}{}", s.width * 8)
    };
    let text = match &module.types[ty].inner {
        Scalar(s) | Atomic(s) => scalar(s),
        Vector { size, scalar: s } => format!("vec{}<{}>", *size as u8, scalar(s)),
        Array {
            base,
            size: naga::ArraySize::Constant(n),
            ..
        } => format!("array<{}, {n}>", wgsl(module, *base, wide)),
        other => format!("{other:?}"),
    };
    match text == wide {
        true => "wide".into(),
        false => text,
    }
}

/// Differences between a struct of a shader and its layout on the host.
fn differences(
    module: &naga::Module,
    ty: naga::Handle<naga::Type>,
    layout: &Layout,
    wide: &str,
) -> Vec<String> {
    let ty = &module.types[ty];
    let naga::TypeInner::Struct { members, span } = &ty.inner else {
        return vec![format!("{} is no struct of the shader", layout.name)];
    };
    let mut found = Vec::new();
    if ty.name.as_deref() != Some(layout.name) || *span as usize != layout.size {
        let name = &ty.name;
        let (host, size) = (layout.name, layout.size);
        found.push(format!(
            "{name:?} of {span} bytes, on the host {host} of {size}"
        ));
    }
    let fields: Vec<String> = members
        .iter()
        .map(|m| {
            let ty = wgsl(module, m.ty, wide);
            format!("{} at {}: {ty}", m.name.as_deref().unwrap_or(""), m.offset)
        })
        .collect();
    let wanted: Vec<String> = layout
        .fields
        .iter()
        .map(|f| format!("{} at {}: {}", f.name, f.offset, f.wgsl))
        .collect();
    for i in 0..fields.len().max(wanted.len()) {
        if fields.get(i) != wanted.get(i) {
            let (shader, host) = (fields.get(i), wanted.get(i));
            found.push(format!("{}: {shader:?}, on the host {host:?}", layout.name));
        }
    }
    found
}

/// Everything in which a shader and its description differ.
fn mismatches(shader: &Shader, defines: &[Define]) -> Result<Vec<String>, String> {
    let (module, _) = validated(shader, defines)?;
    let mut found = Vec::new();
    // Only shaders that use wide numbers can have them: elsewhere a pair of f32 is just that.
    let wide = match (shader.is_wide(), defines.contains(&("WIDE_F64", None))) {
        (false, _) => "none",
        (true, true) => "f64",
        (true, false) => "vec2<f32>",
    };
    let mut entries = module.entry_points.iter();
    let Some(entry) = entries.find(|e| e.name == shader.entry) else {
        return Err("no such entry point".into());
    };
    let threads = match shader.threads {
        Threads::Fixed(threads) => threads,
        Threads::Times(times, name) => {
            let value = defines.iter().find(|d| d.0 == name).and_then(|d| d.1);
            times * value.ok_or_else(|| format!("{name} is not defined"))?
        }
    };
    if entry.workgroup_size != [threads, 1, 1] {
        let size = entry.workgroup_size;
        found.push(format!(
            "workgroups of {size:?} threads, on the host of {threads}"
        ));
    }
    for &(name, value) in shader.constants {
        let in_shader = constant(&module, name);
        if in_shader != value {
            found.push(format!("{name} is {in_shader}, on the host {value}"));
        }
    }
    let mut bound = 0;
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = &variable.binding else {
            continue;
        };
        bound += 1;
        let name = variable.name.as_deref().unwrap_or("");
        if binding.group != 0 || binding.binding as usize > shader.storage.len() {
            found.push(format!("{name} at {binding:?} is unknown to the host"));
            continue;
        }
        let Some(index) = (binding.binding as usize).checked_sub(1) else {
            if variable.space != naga::AddressSpace::Uniform {
                found.push(format!("{name} is no uniform buffer"));
            }
            found.extend(differences(&module, variable.ty, &shader.params, wide));
            continue;
        };
        let storage = &shader.storage[index];
        let access = match storage.access {
            Access::Read => naga::StorageAccess::LOAD,
            Access::ReadWrite => naga::StorageAccess::LOAD | naga::StorageAccess::STORE,
        };
        if variable.space != (naga::AddressSpace::Storage { access }) || name != storage.name {
            let (space, wanted) = (variable.space, storage.name);
            found.push(format!(
                "binding {} is {name}, {space:?}; on the host {wanted}, {:?}",
                index + 1,
                storage.access
            ));
        }
        let naga::TypeInner::Array {
            base,
            size: naga::ArraySize::Dynamic,
            ..
        } = module.types[variable.ty].inner
        else {
            found.push(format!("{name} is no runtime-sized array"));
            continue;
        };
        match &storage.element {
            Element::Struct(layout) => found.extend(differences(&module, base, layout, wide)),
            Element::Plain(wanted) => {
                let element = wgsl(&module, base, wide);
                if element != *wanted {
                    found.push(format!("{name} holds {element}, on the host {wanted}"));
                }
            }
        }
    }
    if bound != shader.storage.len() + 1 {
        let wanted = shader.storage.len() + 1;
        found.push(format!("{bound} bindings, on the host {wanted}"));
    }
    Ok(found)
}

#[test]
fn every_shader_is_valid_and_agrees_with_the_host() {
    let all: Vec<(&Shader, Vec<Define>)> = shaders()
        .flat_map(|s| s.combinations_of(checked).into_iter().map(move |c| (s, c)))
        .collect();
    let failures: Vec<String> = all
        .par_iter()
        .filter_map(|(shader, defines)| {
            let found = match mismatches(shader, defines) {
                Ok(found) => found,
                Err(e) => vec![e],
            };
            let named = format!("{}:\n  {}", label(shader, defines), found.join("\n  "));
            (!found.is_empty()).then_some(named)
        })
        .collect();
    let shown = failures.iter().take(10).fold(String::new(), |mut text, f| {
        let _ = writeln!(text, "{f}");
        text
    });
    assert!(
        failures.is_empty(),
        "{} of {} combinations:\n{shown}",
        failures.len(),
        all.len()
    );
}

/// Names of `#ifdef` and `#ifndef` in a file and what it imports, and the words of its code.
fn words(text: &str, directives: &mut BTreeSet<String>, code: &mut BTreeSet<String>) {
    for line in text.lines() {
        let mut parts = line.split_whitespace();
        match (parts.next(), parts.next()) {
            (Some("#ifdef" | "#ifndef"), Some(name)) => {
                directives.insert(name.into());
            }
            (Some("#import"), Some(name)) => {
                let shared = SHARED.iter().find(|(n, _)| *n == name);
                words(shared.expect("a shared file").1, directives, code);
            }
            _ => {
                let line = line.split("//").next().unwrap_or_default();
                let separators = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
                code.extend(line.split(separators).map(String::from));
            }
        }
    }
}

#[test]
fn the_definitions_of_a_shader_are_those_that_its_files_ask_for() {
    for shader in shaders() {
        let (mut directives, mut code) = (BTreeSet::new(), BTreeSet::new());
        words(shader.file.text, &mut directives, &mut code);
        // An entry point with different bindings is described several times.
        let described = shaders().filter(|s| s.entry == shader.entry);
        let all: BTreeSet<Define> = described.flat_map(|s| s.combinations()).flatten().collect();
        let flags = all.iter().filter(|d| d.1.is_none());
        let flags: BTreeSet<String> = flags.map(|d| d.0.into()).collect();
        assert_eq!(
            flags, directives,
            "{} of {}",
            shader.entry, shader.file.name
        );
        for (name, _) in all.iter().filter(|d| d.1.is_some()) {
            assert!(code.contains(*name), "{} does not use {name}", shader.entry);
        }
    }
}

fn stems(folder: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    std::fs::read_dir(folder)
        .expect("shaders")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "wgsl"))
        .map(|path| path.file_stem().expect("name").to_string_lossy().into())
        .collect()
}

#[test]
fn every_file_and_entry_point_is_listed() {
    let files: BTreeSet<String> = shaders().map(|s| s.file.name.into()).collect();
    assert_eq!(files, stems("shaders"));
    let shared: BTreeSet<String> = SHARED.iter().map(|(n, _)| (*n).into()).collect();
    assert_eq!(shared, stems("shaders/shared"));
    for shader in shaders() {
        for entry in module(shader, &shader.combinations()[0]).entry_points {
            let mut same_file = shaders().filter(|s| s.file.name == shader.file.name);
            assert!(
                same_file.any(|s| s.entry == entry.name),
                "{} of {}.wgsl is not listed",
                entry.name,
                shader.file.name
            );
        }
    }
}

#[test]
fn every_shared_file_is_imported() {
    let imported = |text: &str| -> Vec<String> {
        let names = text.lines().filter_map(|l| l.strip_prefix("#import "));
        names.map(String::from).collect()
    };
    let texts = shaders().map(|s| s.file.text);
    let used: HashSet<String> = texts
        .chain(SHARED.iter().map(|s| s.1))
        .flat_map(imported)
        .collect();
    for (name, _) in SHARED {
        assert!(used.contains(*name), "nothing imports shared/{name}.wgsl");
    }
}

#[test]
fn a_pipeline_has_one_description() {
    let mut seen = HashSet::new();
    for shader in shaders() {
        for mut combination in shader.combinations() {
            combination.sort_unstable();
            assert!(
                seen.insert((shader.entry, combination.clone())),
                "{} with {combination:?} is described twice",
                shader.entry
            );
        }
    }
}
