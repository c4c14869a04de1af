//! `chanscope demo`: the main job on data inside the binary.
//!
//! Two LeNets, one with ten times the channels of the other, look at the same handwritten digits.

use super::network::on_device;
use super::progress::Reporter;
use super::save::{Record, redundancy_layer};
use super::{Common, baselines, filters, impulse, output, redundancy, shuffle};
use chanscope::control::{Control, Progress};
use chanscope::device::Device;
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::io::names::module_path;
use chanscope::io::sink::Output;
use chanscope::measure::filters::{self as similarity, Minimization, Optimizer};
use chanscope::measure::impulse::{self as response, Bias};
use chanscope::measure::redundancy::{RedundancyOptions, redundancy as measure};
use chanscope::measure::shuffle::{self as shuffling, Cosine, Mode, Tapped};
use chanscope::model::forward::Session;
use chanscope::model::graph::Graph;
use chanscope::model::layers::{ConvLayer, Tap};
use chanscope::model::lenet::{Weight, lenet, weights};
use chanscope::model::resize::bilinear;
use chanscope::ops::filters::{FilterParams, FilterShape, InputChannels, Pairs};
use chanscope::ops::net::NetOps;
use chanscope::report::results::{Filters, Impulse, Input, Network, Redundancy, Shuffle};
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
/// Samples of a mini-batch of the shuffling paper.
const SHUFFLE_BATCH: usize = 256;
/// Correlation from which impulse responses count as alike.
const ALIKE: f64 = 0.95;
/// How Convolutional Similarity is minimised: as the paper's code does, with norms kept so that it is not
/// for shrinking filters.
const MINIMIZATION: Minimization = Minimization {
    steps: 200,
    optimizer: Optimizer::adam(LEARNING_RATE),
    params: FilterParams {
        pairs: Pairs::All,
        input_channels: InputChannels::Separate,
    },
    keep_norm: true,
};
const LEARNING_RATE: f64 = 0.002;

/// Runs the demo.
pub fn run(_args: &Args, common: &Common) -> Result<()> {
    let memory = common.memory()?;
    let output = Output::create(&common.out, common.force)?;
    let device = common.open_device()?;
    let options = RedundancyOptions {
        aggregate: true,
        memory,
        scratch: output.scratch().to_path_buf(),
        ..RedundancyOptions::default()
    };
    let mut record = Record::new("demo", device.info());
    describe(&mut record, &options, common);
    let (images, labels) = digits()?;
    let mut demo = Demo {
        device,
        images,
        labels,
        options,
        seed: common.seed,
        output,
        reporter: Reporter::new(common.quiet),
        record,
    };
    for (name, bytes) in NETWORKS {
        demo.network(name, bytes)?;
    }
    let report = demo.output.folder().join("report.html");
    let results = demo.record.finish(demo.output)?;
    if common.json {
        return output::json(&results);
    }
    let mut text = redundancy::summary(&results);
    let _ = write!(
        text,
        "\n{}\n{}\n{}",
        filters::summary(&results),
        shuffle::summary(&results),
        impulse::summary(&results)
    );
    let _ = writeln!(text, "\nOpen {} in a browser.", report.display());
    output::print(&text)
}

/// What all networks of the demo share.
struct Demo {
    device: Device,
    images: ArrayLayer<'static>,
    labels: Vec<u32>,
    options: RedundancyOptions,
    seed: u64,
    output: Output,
    reporter: Reporter,
    record: Record,
}

impl Demo {
    fn network(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let weights = weights(bytes)?;
        let graph = lenet(&weights)?;
        let layers = graph.layers();
        let (taps, logits) = self.reporter.run(|control| {
            on_device!(&self.device, |backend| activations(
                backend,
                name,
                &graph,
                &self.images,
                control
            ))
        })?;
        self.record.results.networks.push(Network {
            name: name.to_string(),
            accuracy: Some(accuracy(&logits, &self.labels)),
            parameters: Some(weights.iter().map(|w| w.data.len() as u64).sum()),
        });
        self.record.stage(format!("{name}: forward pass"));
        for tap in &taps {
            self.redundancy(tap)?;
        }
        self.filters(name, &weights)?;
        self.shuffle(name, &graph, &layers)?;
        self.impulse(name, &graph)
    }

    fn redundancy(&mut self, layer: &ArrayLayer<'_>) -> Result<()> {
        let labels = Some(self.labels.as_slice());
        let found = self
            .reporter
            .run(|control| measure(&self.device, layer, labels, &self.options, None, control))?;
        let similar = (self.reporter)
            .run(|control| baselines::channels(layer, &found, self.options.memory, control))?;
        let entry = redundancy_layer(&self.output, &found, &similar)?;
        let all = &mut self.record.results.redundancy;
        all.get_or_insert_with(Redundancy::default)
            .layers
            .push(entry);
        self.record.stage(format!("{}: redundancy", layer.name()));
        Ok(())
    }

    /// Convolutional Similarity of every convolution's filters, and how far a minimisation takes it.
    fn filters(&mut self, name: &str, weights: &[Weight]) -> Result<()> {
        let job = similarity::Job {
            params: MINIMIZATION.params,
            gradient: false,
            matrices: true,
            memory: self.options.memory,
        };
        for weight in weights.iter().filter(|w| w.shape.len() == 4) {
            let layer = format!("{name}.{}", module_path(&weight.name));
            let bank = similarity::Filters {
                name: &layer,
                shape: FilterShape::new(&weight.shape)?,
                weights: &weight.data,
            };
            let (found, after) = self.reporter.run(|control| {
                on_device!(&self.device, |backend| {
                    let room = &mut Default::default();
                    let found = similarity::similarity(backend, &bank, &job, room, control)?;
                    let after = similarity::minimize(backend, &bank, &MINIMIZATION, room, control)?;
                    Ok::<_, Error>((found, after))
                })
            })?;
            let entry = filters::save(&self.output, &bank, &found, Some(&after))?;
            let all = &mut self.record.results.filters;
            all.get_or_insert_with(Filters::default).layers.push(entry);
        }
        self.record.stage(format!("{name}: filters"));
        Ok(())
    }

    /// Channel shuffling of what every convolution but the last passes on.
    fn shuffle(&mut self, name: &str, graph: &Graph, layers: &[ConvLayer]) -> Result<()> {
        let job = shuffling::Job {
            graph,
            data: &self.images,
            labels: Some(&self.labels),
            mode: Mode::Channel,
            cosine: Cosine::Sample,
            batch: SHUFFLE_BATCH,
            seed: self.seed,
            permutation: None,
            memory: self.options.memory,
        };
        let tapped = |layer: &ConvLayer, value| Tapped {
            name: format!("{name}.{}", layer.name),
            value,
        };
        let observe: Vec<Tapped> = layers.iter().map(|l| tapped(l, l.activation)).collect();
        for layer in &layers[..layers.len().saturating_sub(1)] {
            let tensor = tapped(layer, layer.consumed);
            let effect = self.reporter.run(|control| {
                on_device!(&self.device, |backend| shuffling::shuffle(
                    backend, &job, &tensor, &observe, control
                ))
            })?;
            let entry = shuffle::save(&self.output, &tensor.name, Mode::Channel, &effect)?;
            let all = &mut self.record.results.shuffle;
            all.get_or_insert_with(Shuffle::default).tensors.push(entry);
            self.record.stage(format!("{}: shuffling", tensor.name));
        }
        Ok(())
    }

    fn impulse(&mut self, name: &str, graph: &Graph) -> Result<()> {
        let job = response::Job {
            at: None,
            bias: Bias::Subtract,
            linear: false,
            tap: Tap::Activation,
            memory: self.options.memory,
        };
        let settings = response::Settings {
            centred: false,
            threshold: ALIKE,
        };
        let (found, findings) = self.reporter.run(|control| {
            on_device!(&self.device, |backend| {
                let found = response::responses(backend, graph, &job)?;
                let findings = response::compare(backend, &found, &settings, control)?;
                Ok::<_, Error>((found, findings))
            })
        })?;
        let prefix = format!("{name}.");
        let (part, skipped) =
            impulse::save(&self.output, &prefix, &found, &findings, job.tap, &settings)?;
        let all = self
            .record
            .results
            .impulse
            .get_or_insert_with(Impulse::default);
        all.match_threshold = part.match_threshold;
        all.layers.extend(part.layers);
        all.matches.extend(part.matches);
        all.groups.extend(part.groups);
        self.record.results.skipped.extend(skipped);
        self.record.stage(format!("{name}: impulse responses"));
        Ok(())
    }
}

fn describe(record: &mut Record, options: &RedundancyOptions, common: &Common) {
    record.parameter("k", options.graph.k);
    record.parameter("kernel", "gaussian");
    record.parameter("sigma", "kth/3");
    record.parameter("identical", "keep");
    record.parameter("aggregate", true);
    record.parameter("tap", Tap::Activation.name());
    record.parameter("mode", Mode::Channel.name());
    record.parameter("batch", SHUFFLE_BATCH);
    record.parameter("bias", Bias::Subtract.name());
    record.parameter("threshold", ALIKE);
    record.parameter("minimize", MINIMIZATION.steps);
    record.parameter("optimizer", "adam");
    record.parameter("lr", LEARNING_RATE);
    record.parameter("keep-norm", MINIMIZATION.keep_norm);
    record.parameter("pairs", MINIMIZATION.params.pairs.name());
    record.parameter("input-channels", MINIMIZATION.params.input_channels.name());
    record.parameter("seed", common.seed);
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
fn digits() -> Result<(ArrayLayer<'static>, Vec<u32>)> {
    // The assets are .npy files written by this project: a header, then the bytes.
    let pixels = &IMAGES[IMAGES.len() - DIGITS * SIDE * SIDE..];
    let small: Vec<f32> = pixels.iter().map(|&p| f32::from(p) / 16.0).collect();
    let images = bilinear(&small, [SIDE, SIDE], [RESIZED, RESIZED])?;
    let shape = LayerShape::new(DIGITS, 1, RESIZED, RESIZED)?;
    let labels = LABELS[LABELS.len() - DIGITS..]
        .iter()
        .map(|&l| u32::from(l));
    Ok((ArrayLayer::new("digits", shape, images)?, labels.collect()))
}

/// Runs a network over all digits; the activations of its convolutions, and its outputs `[N, 10]`.
fn activations<B: NetOps>(
    backend: &B,
    name: &str,
    graph: &Graph,
    images: &ArrayLayer<'_>,
    control: &Control<'_>,
) -> Result<(Vec<ArrayLayer<'static>>, Vec<f32>)> {
    let layers = graph.layers();
    let mut wanted: Vec<_> = layers.iter().map(|l| l.activation).collect();
    wanted.extend(graph.outputs());
    let session = Session::new(backend, graph, &[graph.input()], &wanted)?;
    let mut values = vec![Vec::new(); wanted.len()];
    let stage = format!("{name}: forward pass");
    let mut batch = vec![0.0; BATCH * RESIZED * RESIZED];
    for start in (0..DIGITS).step_by(BATCH) {
        control.check()?;
        let rows = start..(start + BATCH).min(DIGITS);
        let batch = &mut batch[..rows.len() * RESIZED * RESIZED];
        images.read_rows(rows.clone(), &[0], batch)?;
        let input = backend.upload(&[rows.len(), 1, RESIZED, RESIZED], batch)?;
        for (all, tensor) in values.iter_mut().zip(session.run(&[&input])?) {
            all.extend(backend.download(&tensor)?);
        }
        control.report(Progress {
            stage: &stage,
            done: rows.end as u64,
            total: DIGITS as u64,
            unit: "images",
        });
    }
    let logits = values.pop().unwrap_or_default();
    let taps = layers.iter().zip(values).map(|(layer, data)| {
        let &[channels, height, width] = graph.value(layer.activation).shape.as_slice() else {
            return Err(Error::Model(format!("layer {} has no maps", layer.name)));
        };
        let shape = LayerShape::new(DIGITS, channels, height, width)?;
        ArrayLayer::new(format!("{name}.{}", layer.name), shape, data)
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
