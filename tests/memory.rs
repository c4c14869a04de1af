//! `--memory` bounds what a network takes, and no setting changes a bit of what it computes.

use crate::support::model::{Attribute, Model, Node, tensor};
use assert_cmd::cargo::CommandCargoExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const SIDE: i64 = 64;
const CHANNELS: i64 = 48;
/// Activations of all of these would be 72 MiB a layer, two at a time.
const SAMPLES: usize = 96;

/// A network whose activations are large and whose work is small: 1x1, depthwise, 1x1.
fn write_net(path: &Path) {
    let mut next = crate::support::noise(1);
    let mut weights = |n: i64| (0..n).map(|_| next()).collect::<Vec<f32>>();
    let mut m = Model::new(&[1, SIDE, SIDE]);
    m.constant("wide.weight", &[CHANNELS, 1, 1, 1], &weights(CHANNELS));
    m.constant("deep.weight", &[CHANNELS, 1, 3, 3], &weights(9 * CHANNELS));
    m.constant("last.weight", &[3, CHANNELS, 1, 1], &weights(3 * CHANNELS));
    m.node(Node::new("Conv", "wide", &["input", "wide.weight"], "a"));
    m.node(Node::new("Relu", "r", &["a"], "b"));
    let mut deep = Node::new("Conv", "deep", &["b", "deep.weight"], "c");
    deep.attributes = vec![
        Attribute::int("group", CHANNELS),
        Attribute::ints("pads", &[1; 4]),
    ];
    m.node(deep);
    m.node(Node::new("Tanh", "t", &["c"], "d"));
    m.node(Node::new("Conv", "last", &["d", "last.weight"], "e"));
    m.node(Node::new("GlobalAveragePool", "pool", &["e"], "f"));
    m.node(Node::new("Flatten", "flat", &["f"], "g"));
    m.output("g");
    std::fs::write(path, m.encode()).expect("write");
}

/// Runs to the end: whether it succeeded, what it said on stderr, and the largest resident memory seen on
/// the way in bytes (0 where the system does not say).
fn run(dir: &TempDir, args: &[&str]) -> (bool, String, u64) {
    let mut child = Command::cargo_bin("chanscope")
        .expect("binary")
        .current_dir(dir.path())
        .args(["--device", "cpu", "--quiet"])
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let succeeded = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) << 10);
        if let Some(status) = child.try_wait().expect("wait") {
            break status.success();
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    let mut said = String::new();
    let mut stderr = child.stderr.take().expect("pipe");
    std::io::Read::read_to_string(&mut stderr, &mut said).expect("text");
    (succeeded, said, peak)
}

#[test]
fn a_cap_holds_and_changes_no_bit() {
    let dir = TempDir::new().expect("folder");
    write_net(&dir.path().join("net.onnx"));
    let mut next = crate::support::noise(2);
    let pixels = SAMPLES * (SIDE * SIDE) as usize;
    let images: Vec<u8> = (0..pixels).flat_map(|_| next().to_le_bytes()).collect();
    let header = format!("({SAMPLES}, 1, {SIDE}, {SIDE})");
    let file = crate::formats::npy_bytes("<f4", &header, &images);
    std::fs::write(dir.path().join("x.npy"), file).expect("write");
    let labels: Vec<u8> = (0..SAMPLES).map(|i| (i % 3) as u8).collect();
    let file = crate::formats::npy_bytes("|u1", &format!("({SAMPLES},)"), &labels);
    std::fs::write(dir.path().join("y.npy"), file).expect("write");

    let forward = ["run", "net.onnx", "x.npy", "--layers", "last", "--dump"];
    let shuffle = [
        "shuffle", "net.onnx", "x.npy", "--labels", "y.npy", "--tensor", "deep", "--batch", "16",
        "--out",
    ];
    let cap = 64 << 20;
    for (command, files) in [
        (&forward[..], ["last.npy", "output.npy"]),
        (
            &shuffle[..],
            ["shuffle/deep/last.cosine.npy", "shuffle/deep/accuracy.npy"],
        ),
    ] {
        let out = |threads: &str, memory: &str| format!("{}-{threads}-{memory}", command[0]);
        let peak = |threads: &str, memory: &str| {
            let folder = out(threads, memory);
            let options = [folder.as_str(), "--threads", threads, "--memory", memory];
            let (succeeded, said, peak) = run(&dir, &[command, &options].concat());
            assert!(succeeded, "{said}");
            peak
        };
        for threads in ["1", "3"] {
            let most = peak(threads, "64MiB");
            assert!(most <= cap, "{command:?}, {threads} threads: {most} bytes");
        }
        peak("2", "2GiB");
        for file in files {
            let read = |threads: &str, memory: &str| {
                std::fs::read(dir.path().join(out(threads, memory)).join(file)).expect(file)
            };
            let want = read("2", "2GiB");
            assert!(want == read("1", "64MiB"), "{file}: 1 thread");
            assert!(want == read("3", "64MiB"), "{file}: 3 threads");
        }
    }
}

#[test]
fn models_that_ask_for_more_than_they_hold_get_nothing() {
    let dir = TempDir::new().expect("folder");
    let conv = || {
        let mut m = Model::new(&[1, 8, 8]);
        m.constant("c.weight", &[1, 1, 1, 1], &[1.0]);
        m.node(Node::new("Conv", "c", &["input", "c.weight"], "a"));
        m.output("a");
        m
    };
    let mut shape = conv();
    shape
        .constants
        .push(tensor("huge", &[1 << 20, 1 << 15], &[1.0]));
    // 40,000 pixels of padding on each side of 8x8.
    let mut padded = conv();
    let mut wide = Node::new("MaxPool", "p", &["a"], "b");
    wide.attributes = vec![
        Attribute::ints("kernel_shape", &[40_001, 40_001]),
        Attribute::ints("pads", &[40_000; 4]),
    ];
    padded.node(wide);
    padded.node(Node::new("Conv", "d", &["b", "c.weight"], "e"));
    padded.output("e");
    // Two bytes a node in the file.
    let nodes = 20_000_000;
    let mut many = vec![0x3a];
    many.extend(crate::support::model::varint(2 * nodes));
    many.extend((0..nodes).flat_map(|_| [0x0a, 0x00]));
    for (name, bytes) in [
        ("shape", shape.encode()),
        ("padded", padded.encode()),
        ("many", many),
    ] {
        let file = format!("{name}.onnx");
        std::fs::write(dir.path().join(&file), &bytes).expect("write");
        let (succeeded, said, most) = run(&dir, &["impulse", &file, "--memory", "64MiB"]);
        assert!(!succeeded && said.lines().count() == 1, "{name}: {said}");
        // The program itself takes some 10 MiB.
        let bound = (24 << 20) + 2 * bytes.len() as u64;
        assert!(most <= bound, "{name}: {most} bytes for {}", bytes.len());
    }
}

/// A network that is all weights: two matrices of 24 MiB and a convolution of 16 MiB on images of two pixels.
fn write_heavy_net(path: &Path) {
    let (side, wide) = (2048, 3072);
    let mut next = crate::support::noise(3);
    let mut weights = |n: i64| (0..n).map(|_| next()).collect::<Vec<f32>>();
    let mut m = Model::new(&[side, 1, 1]);
    m.constant("c.weight", &[side, side, 1, 1], &weights(side * side));
    m.constant("up.weight", &[wide, side], &weights(wide * side));
    m.constant("down.weight", &[wide, side], &weights(wide * side));
    m.node(Node::new("Conv", "c", &["input", "c.weight"], "a"));
    m.node(Node::new("Flatten", "flat", &["a"], "b"));
    let turned = Node::new("Gemm", "up", &["b", "up.weight"], "d");
    m.node(turned.with(Attribute::int("transB", 1)));
    m.node(Node::new("MatMul", "down", &["d", "down.weight"], "e"));
    m.output("e");
    std::fs::write(path, m.encode()).expect("write");
}

#[test]
fn weights_are_in_memory_once() {
    let dir = TempDir::new().expect("folder");
    let path = dir.path().join("heavy.onnx");
    write_heavy_net(&path);
    let file = std::fs::metadata(&path).expect("size").len();
    let pixels: Vec<u8> = (0..4 * 2048).flat_map(|_| 1.0f32.to_le_bytes()).collect();
    let data = crate::formats::npy_bytes("<f4", "(4, 2048, 1, 1)", &pixels);
    std::fs::write(dir.path().join("x.npy"), data).expect("write");
    let rest = 32 << 20;
    let forward = ["run", "heavy.onnx", "x.npy", "--dump"];
    let with = |more: &[&'static str]| [&forward[..], more].concat();
    for (args, succeeds, bound) in [
        (vec!["inspect", "heavy.onnx"], true, rest),
        (with(&["a", "--memory", "1GiB"]), true, file + (40 << 20)),
        (with(&["b", "--memory", "72MiB"]), false, rest),
        (
            vec!["impulse", "heavy.onnx", "--memory", "72MiB"],
            false,
            rest,
        ),
    ] {
        let (succeeded, said, most) = run(&dir, &args);
        assert_eq!(succeeded, succeeds, "{args:?}: {said}");
        assert!(succeeds || said.contains("at least"), "{args:?}: {said}");
        assert!(most <= bound, "{args:?}: {most} bytes for {file}");
    }
}

/// A convolution with one output along an axis never makes its step there, however long that is.
#[test]
fn a_step_that_is_never_made_takes_no_memory() {
    let dir = TempDir::new().expect("folder");
    let mut m = Model::new(&[1, 5, 5]);
    m.constant("c.weight", &[2, 1, 3, 3], &[0.25; 18]);
    let mut conv = Node::new("Conv", "c", &["input", "c.weight"], "a");
    conv.attributes = vec![Attribute::ints("strides", &[1 << 31, 1 << 31])];
    m.node(conv);
    m.output("a");
    std::fs::write(dir.path().join("n.onnx"), m.encode()).expect("write");
    let pixels: Vec<u8> = (0..50).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let data = crate::formats::npy_bytes("<f4", "(2, 1, 5, 5)", &pixels);
    std::fs::write(dir.path().join("x.npy"), data).expect("write");
    let args = ["run", "n.onnx", "x.npy", "--dump", "d", "--memory", "64MiB"];
    let (succeeded, said, most) = run(&dir, &args);
    assert!(succeeded, "{said}");
    assert!(most <= 64 << 20, "{most} bytes");
    let out = std::fs::read(dir.path().join("d/c.npy")).expect("c.npy");
    let first = f32::from_le_bytes(out[out.len() - 16..][..4].try_into().expect("4 bytes"));
    // The mean of the first nine pixels by rows, times nine, over four.
    assert_eq!(
        first,
        0.25 * (0..9).map(|i| (i / 3 * 5 + i % 3) as f32).sum::<f32>()
    );
}
