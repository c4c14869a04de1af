//! The house rules that a reader relies on: where things are, and what knows what.

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use tree::{Arrow, Sources, Tree};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a folder that end in `.extension`.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut open = vec![root().join(folder)];
    let mut found = Vec::new();
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a folder of the repository") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder} holds no .{extension}");
    found
}

/// A module: a file or a folder of that name.
fn there(folder: &str, stem: &str) -> bool {
    let base = root().join(folder).join(stem);
    base.with_extension("rs").is_file() || base.is_dir()
}

#[test]
fn every_kernel_has_its_stem_on_both_backends_and_among_tests_and_benchmarks() {
    for shader in fs::read_dir(root().join("shaders")).expect("shaders") {
        let path = shader.expect("entry").path();
        if path.is_dir() {
            continue;
        }
        // A kernel of several passes has a file for each: nnk.wgsl, nnk_gram.wgsl.
        let name = path.file_stem().and_then(|s| s.to_str()).expect("name");
        let stem = name.split('_').next().unwrap_or(name);
        for folder in ["src/gpu", "src/cpu"] {
            assert!(
                there(folder, stem),
                "shaders/{stem}.wgsl has no {folder}/{stem}.rs"
            );
        }
        assert!(
            ["tests", "tests/instruction_sets", "tests/gpu"]
                .iter()
                .any(|folder| there(folder, stem)),
            "shaders/{stem}.wgsl has no tests/{stem}.rs"
        );
        // The ceiling is what `chanscope bench` measures others by.
        assert!(
            stem == "ceiling" || there("benches", stem),
            "shaders/{stem}.wgsl has no benches/{stem}.rs"
        );
    }
}

/// What each part of the crate may import, from the command line down to the errors. A part is a file or folder
/// directly in `src`; where an entry names more (`io/layer`), only that file or folder of it is meant. A part
/// may only import parts below it, so the list itself shows that there is no circle. A new arrow is a decision:
/// it is made here and shown in ARCHITECTURE.md.
const MAP: [(&str, &[&str]); 16] = [
    ("main", &["cli"]),
    // The GPU for `devices` and for the clock of `bench`; everything else runs through `device`.
    (
        "cli",
        &[
            "units", "report", "measure", "model", "stream", "device", "io", "gpu", "ops",
            "control", "tensor", "error",
        ],
    ),
    (
        "units",
        &[
            "report", "measure", "device", "io", "ops", "control", "tensor", "error",
        ],
    ),
    (
        "report",
        &[
            "measure", "model", "stream", "device", "io", "ops", "control", "tensor", "error",
        ],
    ),
    // Measures read layers and write arrays; which format they come from is not theirs to know.
    (
        "measure",
        &[
            "model",
            "stream",
            "device",
            "io/array",
            "io/kept",
            "io/layer",
            "io/names",
            "io/scan",
            "io/sink",
            "io/size",
            "io/spill",
            "io/supports",
            "ops",
            "control",
            "tensor",
            "error",
        ],
    ),
    ("model", &["io", "ops", "control", "tensor", "error"]),
    ("stream", &["io", "control", "tensor", "error"]),
    ("device", &["gpu", "cpu", "ops", "error"]),
    ("io", &["simd", "control", "tensor", "error"]),
    // What a GPU backend computes on the host, it computes with the vectors of the CPU.
    ("gpu", &["ops", "simd", "tensor", "error"]),
    ("cpu", &["ops", "simd", "tensor", "error"]),
    ("ops", &["simd", "tensor", "error"]),
    // Halves are widened by vectors.
    ("tensor", &["simd", "error"]),
    ("simd", &[]),
    // What a caller hands in to watch and stop a computation.
    ("control", &["error"]),
    ("error", &[]),
];

fn parse(path: &Path) -> syn::File {
    let text = fs::read_to_string(path).expect("source");
    syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The sources below `src`.
fn sources() -> Sources {
    let of = |path: PathBuf| {
        let name = path.strip_prefix(root()).expect("below the root").display();
        (name.to_string().replace('\\', "/"), parse(&path))
    };
    files("src", "rs").into_iter().map(of).collect()
}

/// Adds a line to a source.
fn add(sources: &mut Sources, file: &str, line: &str) {
    let more = syn::parse_file(line).expect("Rust").items;
    sources.get_mut(file).expect(file).items.extend(more);
}

fn tree(sources: &Sources) -> Tree {
    Tree::new(sources, "src/lib.rs", "src/main.rs")
}

/// `io/npy` of `src/io/npy/mod.rs`; `None` for a crate outside.
fn place(file: &str) -> Option<&str> {
    let name = file.strip_prefix("src/")?.strip_suffix(".rs")?;
    Some(name.strip_suffix("/mod").unwrap_or(name))
}

/// The file or folder directly in `src`.
fn part(place: &str) -> &str {
    place.split('/').next().unwrap_or(place)
}

/// Arrows that the map does not have.
fn forbidden(sources: &Sources) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = MAP.into_iter().collect();
    let wrong = |arrow: &Arrow| {
        let from = part(place(&arrow.from).expect("a file of the crate"));
        let Some(to) = place(&arrow.to) else {
            return arrow.to == "wgpu" && from != "gpu";
        };
        // lib.rs only names the parts.
        if from == "lib" || to == "lib" || part(to) == from {
            return false;
        }
        let within = |entry: &&str| {
            to == *entry
                || to
                    .strip_prefix(*entry)
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        !allowed
            .get(from)
            .is_some_and(|entries| entries.iter().any(within))
    };
    (tree(sources).touched().iter())
        .filter(|arrow| wrong(arrow))
        .map(|a| format!("{} may not use {} ({})", a.from, a.to, a.path))
        .collect()
}

/// Files that use each other's items in a circle, and what ties them.
///
/// Rust reads a folder as one module whose parent is its `mod.rs` (or the file of its name): the parent declares
/// and uses its children, and children may use what their parent defines for all of them. An arrow from a file to
/// a module that it lies in is therefore none. Everything else counts, inside a folder and across folders.
fn circles(sources: &Sources) -> Vec<String> {
    let below = |place: &str, folder: &str| {
        place
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let counts = |arrow: &Arrow| {
        let (from, to) = (place(&arrow.from), place(&arrow.to));
        let (from, to) = from.zip(to).expect("files of the crate");
        !below(from, to)
    };
    let uses: Vec<Arrow> = (tree(sources).uses().into_iter()).filter(counts).collect();
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for arrow in &uses {
        next.entry(&arrow.from).or_default().insert(&arrow.to);
    }
    let reach = |from| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            let more = next.get(file).into_iter().flatten();
            open.extend(more.filter(|to| seen.insert(**to)));
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|f| (*f, reach(f))).collect();
    let both = |a: &str, b: &str| {
        let leads = |a, b| {
            reached
                .get(a)
                .is_some_and(|r: &BTreeSet<&str>| r.contains(b))
        };
        leads(a, b) && leads(b, a)
    };
    let mut ties: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for arrow in uses.iter().filter(|a| both(&a.from, &a.to)) {
        let names = ties.entry((&arrow.from, &arrow.to)).or_default();
        names.push(&arrow.path);
    }
    (ties.into_iter())
        .map(|((from, to), names)| format!("{from} -> {to}: {}", names.join(", ")))
        .collect()
}

#[test]
fn every_part_imports_only_what_the_map_allows() {
    let found = forbidden(&sources());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_map_names_every_part_and_points_down() {
    let names: Vec<&str> = MAP.iter().map(|(name, _)| *name).collect();
    for (i, (name, entries)) in MAP.iter().enumerate() {
        for entry in *entries {
            let below = names[i + 1..].contains(&part(entry));
            assert!(below, "{name} may use {entry}, which is not below it");
            assert!(there("src", entry), "src/{entry} is not there");
        }
    }
    let parts: BTreeSet<String> = (sources().keys())
        .map(|file| part(place(file).expect("a source")).to_string())
        .collect();
    let named: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
    // The list of parts itself, and tests of private functions.
    let others = ["lib", "internals"].map(String::from).into();
    assert_eq!(
        parts,
        &named | &others,
        "parts of src, and those in the map"
    );
}

#[test]
fn files_form_no_circle() {
    let found = circles(&sources());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The rules above would be worth nothing if they overlooked a way to write an import. Each of these lines is
/// added to a real file, and has to be found.
#[test]
fn a_wrong_arrow_is_found_however_it_is_written() {
    let wrong = [
        (
            "src/io/npy/header.rs",
            "use super::super::super::device::Device;",
        ),
        ("src/io/layer.rs", "pub use crate::gpu::Gpu;"),
        (
            "src/io/layer.rs",
            "fn f() -> usize { crate::measure::redundancy::f() }",
        ),
        (
            "src/io/layer.rs",
            "fn f() { println!(\"{}\", crate::device::f()); }",
        ),
        ("src/io/layer.rs", "use crate::{error, device as chosen};"),
        (
            "src/io/layer.rs",
            "use crate as all; fn f() { all::device::f() }",
        ),
        ("src/io/layer.rs", "use crate::gpu::*;"),
        ("src/measure/mod.rs", "use crate::io::npy::read_array;"),
        ("src/ops/mod.rs", "impl Clone for crate::cpu::Cpu {}"),
        ("src/report/mod.rs", "fn f(x: wgpu::Buffer) {}"),
        ("src/cli/mod.rs", "use chanscope::cpu::Cpu;"),
        (
            "src/model/mod.rs",
            "mod inner { fn f() { super::super::stream::run::f() } }",
        ),
        (
            "src/cpu/mod.rs",
            "macro_rules! m { () => { $crate::gpu::f() } }",
        ),
    ];
    let mut sources = sources();
    let before = forbidden(&sources);
    for (file, line) in wrong {
        let length = sources[file].items.len();
        add(&mut sources, file, line);
        let found = forbidden(&sources);
        assert!(found.len() > before.len(), "in {file}, not found: {line}");
        sources.get_mut(file).expect(file).items.truncate(length);
    }
    // A re-export passes on what lies behind it: `device` may name the backends, the streaming may not.
    add(
        &mut sources,
        "src/device.rs",
        "pub use crate::cpu::Cpu as Host;",
    );
    add(
        &mut sources,
        "src/stream/mod.rs",
        "use crate::device::Host;",
    );
    let found = forbidden(&sources).join("\n");
    let expected = "src/stream/mod.rs may not use src/cpu/mod.rs (crate::device::Host)";
    assert!(found.contains(expected), "{found}");
}

#[test]
fn a_circle_is_found_through_a_re_export() {
    let mut sources = sources();
    // `npy` hands on what `header` defines; `open` uses `npy`.
    add(
        &mut sources,
        "src/io/npy/header.rs",
        "use crate::io::open::Dump;",
    );
    let line = "fn f() { npy::read_header(&file); }";
    add(&mut sources, "src/io/open.rs", line);
    let found = circles(&sources).join("\n");
    assert!(
        found.contains("src/io/npy/header.rs -> src/io/open.rs"),
        "{found}"
    );
}

#[test]
fn the_oracle_shares_no_code_with_the_product() {
    // Parameters are named with the product's types; what is computed is not taken from it.
    for path in files("tests/oracle", "rs") {
        for named in tree::paths(&parse(&path)) {
            let foreign = named[0] == "chanscope" && named.get(1).is_none_or(|m| m != "ops");
            assert!(!foreign, "{}: {}", path.display(), named.join("::"));
        }
    }
}
