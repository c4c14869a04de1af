//! The house rules that a reader relies on: where things are, and what knows what.

use std::fs;
use std::path::{Path, PathBuf};

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

/// Lines of code of `folder` that mention one of `words`.
fn mentions(folder: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in files(folder, "rs") {
        let text = fs::read_to_string(&path).expect("source");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|w| code.contains(w)) {
                found.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    found
}

#[test]
fn dependencies_point_one_way() {
    let never: &[(&str, &[&str])] = &[
        (
            "src/cpu",
            &[
                "crate::io",
                "crate::stream",
                "crate::measure",
                "crate::model",
                "crate::report",
                "wgpu",
            ],
        ),
        (
            "src/gpu",
            &[
                "crate::io",
                "crate::stream",
                "crate::measure",
                "crate::model",
                "crate::report",
            ],
        ),
        (
            "src/io",
            &[
                "crate::device",
                "crate::cpu",
                "crate::gpu",
                "crate::measure",
                "crate::report",
                "wgpu",
            ],
        ),
        ("src/stream", &["crate::measure", "crate::report", "wgpu"]),
        (
            "src/measure",
            &[
                "crate::report",
                "crate::io::npy",
                "crate::io::safetensors",
                "wgpu",
            ],
        ),
        ("src/report", &["wgpu"]),
        ("src/cli", &["wgpu"]),
    ];
    for (folder, words) in never {
        let found = mentions(folder, words);
        assert!(
            found.is_empty(),
            "{folder} knows too much:\n{}",
            found.join("\n")
        );
    }
}

#[test]
fn the_oracle_shares_no_code_with_the_product() {
    // Parameters are named with the product's types; what is computed is not taken from it.
    let found = mentions(
        "tests/oracle",
        &["chanscope::cpu", "chanscope::gpu", "chanscope::measure"],
    );
    assert!(found.is_empty(), "{}", found.join("\n"));
}
