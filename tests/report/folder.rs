//! A program that embeds the library writes the folder that the command line writes, byte for byte.

use crate::formats::{f32_bytes, npy_bytes};
use assert_cmd::Command;
use chanscope::device::{Device, DeviceChoice};
use chanscope::io::labels::read_labels;
use chanscope::io::layer::Layer;
use chanscope::io::open::open_dump;
use chanscope::io::sink::Output;
use chanscope::measure::redundancy::NonFinite;
use chanscope::measure::shuffle::Tapped;
use chanscope::measure::{
    Context, FilterBank, FiltersOptions, ImpulseOptions, MinimizeOptions, RedundancyInput,
    RedundancyOptions, ShuffleInput, ShuffleOptions, filters, impulse, minimize, redundancy,
    shuffle,
};
use chanscope::model::onnx;
use chanscope::ops::filters::FilterShape;
use chanscope::report::arrays::Folder;
use chanscope::report::folder::ResultsFolder;
use chanscope::report::html;
use chanscope::report::results::{Results, Timing};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const MEMORY: u64 = 256 << 20;
const THREADS: usize = 2;

/// Runs the command line and the library, each into a folder of its own, and compares the folders.
fn compare(dir: &TempDir, args: &[&str], by_library: impl FnOnce(&Context<'_>, &ResultsFolder)) {
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    let mut command = Command::cargo_bin("chanscope").expect("binary");
    command
        .args(["--device", "cpu", "--quiet", "--memory", "256MiB"])
        .args(["--threads", "2", "--out"])
        .arg(&one)
        .args(args)
        .assert()
        .success();
    let device = Device::open(&DeviceChoice::Cpu, THREADS).expect("threads");
    let output = Output::create(&other, false).expect("folder");
    let folder = ResultsFolder::begin(output, args[0]);
    let ctx = Context::new(&device)
        .with_memory(MEMORY)
        .with_scratch(folder.scratch())
        .with_threads(THREADS)
        .expect("threads");
    by_library(&ctx, &folder);
    folder.finish().expect("finished");
    let (one, other) = (contents(&one), contents(&other));
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    for (name, bytes) in &one {
        assert!(bytes == &other[name], "{} differs", name.display());
    }
    assert!(one.len() >= 4, "{:?}", names(&one));
}

/// The files of a folder, the results and the report without what they say about time.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("a folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("inside").to_path_buf();
                files.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    let name = Path::new("results.json");
    let mut results = Results::from_json(name, &files[name]).expect("results");
    // The writer adds the list of files after the report is made, whose nonce is a hash of the results.
    let listed = results.other.remove("files").expect("a list of files");
    let report = html::render(&results, &Folder::new(folder)).expect("report");
    let page = files.get(Path::new("report.html")).expect("a report");
    assert!(
        report.html.as_bytes() == page,
        "the report is of other results"
    );
    results.timing = Timing::default();
    let report = html::render(&results, &Folder::new(folder)).expect("report");
    files.insert("report.html".into(), report.html.into_bytes());
    results.other.insert("files".into(), listed);
    let text = results.to_json(name).expect("JSON");
    files.insert(name.into(), text.into_bytes());
    files
}

fn write_dump(dir: &Path, name: &str, [n, c, side]: [usize; 3], seed: u64, bad: Option<usize>) {
    let mut next = crate::support::noise(seed);
    let mut values: Vec<f32> = (0..n * c * side * side).map(|_| next().max(0.0)).collect();
    if let Some(at) = bad {
        values[at] = f32::NAN;
    }
    let shape = format!("({n}, {c}, {side}, {side})");
    let file = npy_bytes("<f4", &shape, &f32_bytes(&values));
    std::fs::write(dir.join(name), file).expect("write");
}

#[test]
fn redundancy_writes_the_same_folder() {
    let dir = TempDir::new().expect("folder");
    let dump = dir.path().join("dump");
    std::fs::create_dir(&dump).expect("folder");
    write_dump(&dump, "a.npy", [300, 4, 3], 1, None);
    write_dump(&dump, "b.npy", [300, 3, 2], 2, Some(500));
    let labels: Vec<u8> = (0..300u32).map(|i| (i % 7) as u8).collect();
    let file = npy_bytes("|u1", "(300,)", &labels);
    let label_file = dump.join("labels.npy");
    std::fs::write(&label_file, file).expect("write");
    let args = [
        "redundancy",
        dump.to_str().expect("path"),
        "--aggregate",
        "--save-graph",
        "--nan",
        "skip",
        "-k",
        "9",
        "--channels",
        "2,0-1",
    ];
    compare(&dir, &args, |ctx, folder| {
        let dump = open_dump(&[&dump]).expect("dump");
        let layers: Vec<&dyn Layer> = dump.layers.iter().map(AsRef::as_ref).collect();
        let labels = read_labels(&label_file, 300).expect("labels");
        let mut options = RedundancyOptions::default()
            .with_aggregate(true)
            .with_channels(Some(vec![2, 0, 1]))
            .with_non_finite(NonFinite::Skip);
        options.graph.k = 9;
        folder.redundancy_parameters(ctx, &options, true);
        for layer in &layers {
            folder.input_layer(*layer).expect("input");
        }
        folder
            .input_file(&label_file, &[300], "labels")
            .expect("input");
        folder.parameter("no-supports", false);
        folder.samples(Some(&labels), None).expect("samples");
        let (graphs, supports) = (folder.graphs(), folder.supports());
        let input = RedundancyInput::new(&layers)
            .with_labels(Some(&labels))
            .with_graphs(Some(&graphs))
            .with_supports(Some(&supports));
        let found = redundancy(ctx, &input, &options).expect("measured");
        folder.redundancy(&found).expect("written");
    });
}

#[test]
fn measures_of_networks_write_the_same_folder() {
    let model = "tests/data/onnx/residual/model.onnx";
    let graph = || onnx::load(model, None).expect("model");
    let shape: Vec<u64> = graph().input_shape().iter().map(|&d| d as u64).collect();

    let dir = TempDir::new().expect("folder");
    let args = ["impulse", model, "--at", "1,2", "--tap", "conv"];
    compare(&dir, &args, |ctx, folder| {
        let options = ImpulseOptions::default()
            .with_at(Some([1, 2]))
            .with_tap("conv".parse().expect("tap"));
        folder.impulse_parameters(ctx, &options);
        for option in ["size", "layout"] {
            folder.parameter(option, None::<String>);
        }
        folder
            .input_file(Path::new(model), &shape, "onnx")
            .expect("input");
        let found = impulse(ctx, &graph(), &options).expect("measured");
        folder.impulse("", &found, &options).expect("written");
    });

    let dir = TempDir::new().expect("folder");
    let args = [
        "filters",
        model,
        "--gradient",
        "--minimize",
        "3",
        "--keep-norm",
    ];
    compare(&dir, &args, |ctx, folder| {
        let options = FiltersOptions::default().with_gradient(true);
        let minimization = MinimizeOptions::default()
            .with_steps(3)
            .with_keep_norm(true);
        folder.filters_parameters(ctx, &options, Some(&minimization));
        folder.parameter("write", None::<String>);
        folder
            .input_file(Path::new(model), &[], "onnx")
            .expect("input");
        let found = onnx::filters(Path::new(model)).expect("model");
        for (name, reason) in found.skipped {
            folder.skip(chanscope::report::results::Skipped { name, reason });
        }
        for layer in &found.layers {
            let bank = FilterBank {
                name: &layer.name,
                shape: FilterShape::new(&layer.shape).expect("shape"),
                weights: &layer.weights.read().expect("weights"),
            };
            // Few filters: the command line computes the matrices without being asked to.
            let found = filters(ctx, &bank, &options.with_matrices(true)).expect("measured");
            let after = minimize(ctx, &bank, &minimization).expect("minimised");
            folder
                .filters(&bank, &found, Some(&after))
                .expect("written");
        }
    });

    let dir = TempDir::new().expect("folder");
    let [c, h, w] = shape[..] else {
        panic!("images")
    };
    assert_eq!(h, w);
    write_dump(dir.path(), "x.npy", [6, c as usize, h as usize], 3, None);
    let data = dir.path().join("x.npy");
    let layers = graph().layers();
    let tensor = Tapped {
        name: layers[0].name.clone(),
        value: layers[0].consumed,
    };
    let args = [
        "shuffle",
        model,
        data.to_str().expect("path"),
        "--batch",
        "4",
        "--tensor",
        &tensor.name,
    ];
    compare(&dir, &args, |ctx, folder| {
        let options = ShuffleOptions::default().with_batch(4);
        folder.shuffle_parameters(ctx, &options);
        folder.parameter("tensor", vec![tensor.name.clone()]);
        folder.parameter("observe", Vec::<String>::new());
        folder.parameter("permutation", None::<String>);
        folder.parameter("output", None::<String>);
        let images = open_dump(&[&data]).expect("images").layers.remove(0);
        folder
            .input_file(Path::new(model), &shape, "onnx")
            .expect("input");
        folder.input_layer(images.as_ref()).expect("input");
        let graph = graph();
        let observe: Vec<Tapped> = (graph.layers().iter())
            .map(|l| Tapped {
                name: l.name.clone(),
                value: l.activation,
            })
            .collect();
        let input = ShuffleInput::new(&graph, images.as_ref(), &tensor, &observe);
        let found = shuffle(ctx, &input, &options).expect("measured");
        folder.shuffle(&found).expect("written");
    });
}
