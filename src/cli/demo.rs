//! `chanscope demo`: the main job on data inside the binary.
//!
//! Two LeNets, one with ten times the channels of the other, look at the same handwritten digits.

use super::progress::Reporter;
use super::save::{Record, redundancy_layer};
use super::{Common, output, redundancy};
use chanscope::control::{Control, Progress};
use chanscope::cpu::Cpu;
use chanscope::device::net::NetOps;
use chanscope::io::array::ArrayLayer;
use chanscope::io::sink::Output;
use chanscope::measure::redundancy::{RedundancyOptions, redundancy as measure};
use chanscope::model::forward::Session;
use chanscope::model::graph::Graph;
use chanscope::model::layers::Tap;
use chanscope::model::lenet::{lenet, weights};
use chanscope::model::resize::bilinear;
use chanscope::report::results::{Input, Network, Redundancy, RedundancyLayer};
use chanscope::tensor::LayerShape;
use chanscope::{Error, Result};
use std::fmt::Write as _;

/// The main job on data inside the binary: two networks on handwritten digits, one report
#[derive(clap::Args)]
#[command(after_help = "Example:  chanscope demo --out demo")]
pub struct Args {}

const IMAGES: &[u8] = include_bytes!("../../assets/digits/images.npy");
const LABELS: &[u8] = include_bytes!("../../assets/digits/labels.npy");
const NETWORKS: [(&str, &[u8]); 2] = [
    ("lenet5", include_bytes!("../../assets/lenet5.safetensors")),
    (
        "lenet5x10",
        include_bytes!("../../assets/lenet5x10.safetensors"),
    ),
];
/// Digits, and their side before and after resizing.
const DIGITS: usize = 1797;
const SIDE: usize = 8;
const RESIZED: usize = 28;
/// Samples per forward pass.
const BATCH: usize = 128;

/// Runs the demo.
pub fn run(_args: &Args, common: &Common) -> Result<()> {
    let memory = common.memory()?;
    let output = Output::create(&common.out, common.force)?;
    let device = common.open_device()?;
    let forward = Cpu::new(common.threads())?;
    let mut record = Record::new("demo", device.info());
    let options = RedundancyOptions {
        aggregate: true,
        memory,
        scratch: output.scratch().to_path_buf(),
        ..RedundancyOptions::default()
    };
    describe(&mut record, &options, common);
    let (images, labels) = digits()?;
    let reporter = Reporter::new(common.quiet);
    let mut layers: Vec<RedundancyLayer> = Vec::new();
    for (name, bytes) in NETWORKS {
        let weights = weights(bytes)?;
        let graph = lenet(&weights)?;
        let (taps, logits) =
            reporter.run(|control| activations(&forward, name, &graph, &images, control))?;
        record.stage(format!("{name}: forward pass"));
        record.results.networks.push(Network {
            name: name.to_string(),
            accuracy: Some(accuracy(&logits, &labels)),
            parameters: Some(weights.iter().map(|w| w.data.len() as u64).sum()),
        });
        for tap in taps {
            let layer = ArrayLayer::new(&tap.name, tap.shape, tap.data)?;
            let found = reporter
                .run(|control| measure(&device, &layer, Some(&labels), &options, None, control))?;
            layers.push(redundancy_layer(&output, &found)?);
            record.stage(format!("{}: redundancy", tap.name));
        }
    }
    record.results.redundancy = Some(Redundancy { layers });
    let report = output.folder().join("report.html");
    let results = record.finish(output)?;
    if common.json {
        return output::json(&results);
    }
    let mut text = redundancy::summary(&results);
    let _ = writeln!(text, "\nOpen {} in a browser.", report.display());
    output::print(&text)
}

fn describe(record: &mut Record, options: &RedundancyOptions, common: &Common) {
    record.parameter("k", options.graph.k);
    record.parameter("kernel", "gaussian");
    record.parameter("sigma", "kth/3");
    record.parameter("identical", "keep");
    record.parameter("aggregate", true);
    record.parameter("tap", Tap::Activation.name());
    record.parameter("memory", options.memory);
    record.parameter("threads", common.threads());
    record.results.input.push(Input {
        path: "builtin:digits".into(),
        shape: [DIGITS, 1, SIDE, SIDE].map(|d| d as u64).to_vec(),
        dtype: "u8".into(),
        fingerprint: format!("blake3:{}", blake3::hash(IMAGES).to_hex()),
    });
}

/// The digits resized as the networks were trained on them, and their classes.
fn digits() -> Result<(Vec<f32>, Vec<u32>)> {
    // The assets are .npy files written by this project: a header, then the bytes.
    let pixels = &IMAGES[IMAGES.len() - DIGITS * SIDE * SIDE..];
    let small: Vec<f32> = pixels.iter().map(|&p| f32::from(p) / 16.0).collect();
    let images = bilinear(&small, [SIDE, SIDE], [RESIZED, RESIZED])?;
    let labels = LABELS[LABELS.len() - DIGITS..]
        .iter()
        .map(|&l| u32::from(l));
    Ok((images, labels.collect()))
}

/// Activations of one layer over all digits.
struct Tapped {
    name: String,
    shape: LayerShape,
    data: Vec<f32>,
}

/// Runs a network over all digits; the activations of its convolutions, and its outputs `[N, 10]`.
fn activations<B: NetOps>(
    backend: &B,
    name: &str,
    graph: &Graph,
    images: &[f32],
    control: &Control<'_>,
) -> Result<(Vec<Tapped>, Vec<f32>)> {
    let layers = graph.layers();
    let mut wanted: Vec<_> = layers.iter().map(|l| l.tap(Tap::Activation)).collect();
    wanted.extend(graph.outputs());
    let session = Session::new(backend, graph, &[graph.input()], &wanted)?;
    let mut values = vec![Vec::new(); wanted.len()];
    let stage = format!("{name}: forward pass");
    let mut done = 0;
    for batch in images.chunks(BATCH * RESIZED * RESIZED) {
        control.check()?;
        let samples = batch.len() / (RESIZED * RESIZED);
        let input = backend.upload(&[samples, 1, RESIZED, RESIZED], batch)?;
        for (all, tensor) in values.iter_mut().zip(session.run(&[&input])?) {
            all.extend(backend.download(&tensor)?);
        }
        done += samples as u64;
        control.report(Progress {
            stage: &stage,
            done,
            total: DIGITS as u64,
            unit: "images",
        });
    }
    let logits = values.pop().unwrap_or_default();
    let taps = layers.iter().zip(values).map(|(layer, data)| {
        let &[channels, height, width] = graph.value(layer.activation).shape.as_slice() else {
            return Err(Error::Model(format!("layer {} has no maps", layer.name)));
        };
        Ok(Tapped {
            name: format!("{name}.{}", layer.name),
            shape: LayerShape::new(DIGITS, channels, height, width)?,
            data,
        })
    });
    Ok((taps.collect::<Result<_>>()?, logits))
}

/// Share of samples whose largest output is their class.
fn accuracy(logits: &[f32], labels: &[u32]) -> f64 {
    let classes = logits.len() / labels.len();
    let right = logits.chunks(classes).zip(labels).filter(|(row, label)| {
        let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        best.is_some_and(|(class, _)| class == **label as usize)
    });
    right.count() as f64 / labels.len() as f64
}
