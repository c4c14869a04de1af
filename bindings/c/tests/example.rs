//! The C program in `examples/` compiles without warnings, and prints what the library measures.
#![cfg(unix)]

use chanscope::device::{Device, DeviceChoice};
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::measure::redundancy::GraphArrays;
use chanscope::measure::{
    Context, FilterBank, FiltersOptions, RedundancyInput, RedundancyOptions, filters, redundancy,
};
use chanscope::ops::Kernel;
use chanscope::ops::filters::FilterShape;
use chanscope::tensor::LayerShape;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a program against the library that was built for this test.
fn compile(compiler: &str, flags: &[&str], folder: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libraries = std::env::current_exe().expect("this test");
    let libraries = libraries.parent().expect("a folder");
    let program = folder.join(compiler);
    let output = Command::new(compiler)
        .args(flags)
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .arg("-I")
        .arg(root.join("include"))
        .arg(root.join("examples/redundancy.c"))
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(libraries)
        .args(["-lchanscope_c", "-lm"])
        .arg(format!("-Wl,-rpath,{}", libraries.display()))
        .output()
        .unwrap_or_else(|e| panic!("{compiler}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler}: {errors}");
    program
}

/// C's `%.17g`, which prints enough digits for every double to be read back.
fn same(text: &str, value: f64) -> bool {
    text.parse::<f64>()
        .is_ok_and(|read| read.to_bits() == value.to_bits())
}

/// The numbers in a text.
fn numbers(text: &str) -> Vec<&str> {
    text.split([' ', ',', ':', '\n'])
        .filter(|w| w.parse::<f64>().is_ok())
        .collect()
}

#[test]
fn the_example_prints_what_the_library_measures() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = compile("cc", &["-std=c99"], folder.path());
    let output = Command::new(program).output().expect("the program");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines: Vec<&str> = text.lines().collect();

    let speed = [0.123f32, 0.271, 0.131];
    let value = |i: usize, c: usize, p: usize| {
        let x = (i as f32 * speed[c] + p as f32 * 0.5) % 4.0;
        if x < 2.0 { x } else { 4.0 - x }
    };
    let values: Vec<f32> = (0..200 * 27)
        .map(|at| value(at / 27, at / 9 % 3, at % 9))
        .collect();
    let labels: Vec<u32> = (0..200).map(|i| i / 50).collect();
    let device = Device::open(&DeviceChoice::Cpu, 1).expect("the CPU");
    let ctx = Context::new(&device);
    let measure = |shape: LayerShape, k: usize, kernel: Kernel, graphs: Option<&GraphArrays>| {
        let layer = ArrayLayer::new("a", shape, &values[..]).expect("a layer");
        let layers = [&layer as &dyn Layer];
        let mut options = RedundancyOptions::default().with_aggregate(true);
        options.graph.k = k;
        options.graph.kernel = kernel;
        let input = RedundancyInput::new(&layers).with_labels(Some(&labels));
        let input = input.with_graphs(graphs.map(|g| g as _));
        redundancy(&ctx, &input, &options)
            .expect("a result")
            .layers
            .remove(0)
    };

    let found = measure(
        LayerShape::new(200, 3, 3, 3).expect("a shape"),
        10,
        Kernel::Gaussian,
        None,
    );
    assert!(
        same(numbers(lines[0])[0], found.redundancy.expect("a value")),
        "{}",
        lines[0]
    );
    for (line, channel) in lines[1..4].iter().zip(&found.per_channel) {
        let shown = numbers(line);
        assert!(
            same(shown[1], channel.neighbors_mean.expect("a value")),
            "{line}"
        );
        assert!(
            same(shown[2], channel.loo_error.expect("a value")),
            "{line}"
        );
    }
    assert!(
        same(numbers(lines[4])[2], found.jaccard[[0, 2]]),
        "{}",
        lines[4]
    );

    let graph = |kernel| {
        let graphs = GraphArrays::default();
        let line = LayerShape::new(200, 1, 1, 27).expect("a shape");
        measure(line, 5, kernel, Some(&graphs));
        graphs.into_layers().remove(0).channels
    };
    let gaussian = graph(Kernel::Gaussian);
    let shown = numbers(lines[5]);
    assert_eq!(
        shown[1],
        gaussian.neighbors[[0, 7, 0]].to_string(),
        "{}",
        lines[5]
    );
    let weight: f32 = shown[2].parse().expect("a number");
    assert_eq!(
        weight.to_bits(),
        gaussian.weights[[0, 7, 0]].to_bits(),
        "{}",
        lines[5]
    );
    let cosine = graph(Kernel::Cosine);
    assert!(
        same(numbers(lines[6])[1], cosine.sq_distances[[0, 7, 0]]),
        "{}",
        lines[6]
    );

    let weights: Vec<f32> = (0..72).map(|i| (i * 7 % 11) as f32 * 0.125 - 0.5).collect();
    let bank = FilterBank {
        name: "a",
        shape: FilterShape::new(&[4, 2, 3, 3]).expect("a shape"),
        weights: &weights,
    };
    let similarity = filters(&ctx, &bank, &FiltersOptions::default()).expect("a result");
    assert!(same(numbers(lines[7])[0], similarity.value), "{}", lines[7]);
    assert_eq!(lines[8], "refused: k is 0, expected 1 to 1024");
    assert_eq!(lines[9], "progress was reported: yes");
}

#[test]
fn the_header_is_valid_cpp() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("a.cpp");
    std::fs::write(
        &program,
        "#include \"chanscope.h\"\nint main() { return chanscope_version() == nullptr; }\n",
    )
    .expect("write");
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut command = Command::new("c++");
    command.args([
        "-std=c++11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fsyntax-only",
        "-I",
    ]);
    let output = command.arg(include).arg(&program).output().expect("c++");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
