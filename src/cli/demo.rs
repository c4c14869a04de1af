//! `chanscope demo`: the main job on data inside the binary.
//!
//! Two LeNets, one with ten times the channels of the other, look at the same handwritten digits. The layers of the wide one
//! are compared with each other, and it is measured with fewer channels.

mod summary;

use super::network::on_device;
use super::progress::Reporter;
use super::{Common, error, output};
use chanscope::control::{Control, Step};
use chanscope::io::array::ArrayLayer;
use chanscope::io::kept::Kept;
use chanscope::io::layer::Layer;
use chanscope::io::names::module_path;
use chanscope::measure::ablate::Criterion;
use chanscope::measure::filters::Optimizer;
use chanscope::measure::rank::Similarity;
use chanscope::measure::redundancy::LayerRedundancy;
use chanscope::measure::shuffle::Tapped;
use chanscope::measure::{
    self, AblateInput, AblateOptions, Context, FilterBank, FiltersOptions, ImpulseOptions,
    MinimizeOptions, RedundancyInput, RedundancyOptions, ShuffleInput, ShuffleOptions,
};
use chanscope::model::forward::Session;
use chanscope::model::graph::Graph;
use chanscope::model::layers::ConvLayer;
use chanscope::model::lenet::{Weight, lenet, weights};
use chanscope::model::resize::bilinear;
use chanscope::ops::filters::FilterShape;
use chanscope::ops::net::NetOps;
use chanscope::report::folder::ResultsFolder;
use chanscope::report::results::{Input, Network};
use chanscope::tensor::LayerShape;
use chanscope::{Error, Result};

/// Run the main job on data inside the binary: two networks on handwritten digits, one report
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
/// The network with many channels: its layers are compared with each other, and its channels are dropped.
const WIDE: &str = "lenet5x10";
/// Digits, of which the first ones trained the networks, and their side before and after resizing.
const DIGITS: usize = 1797;
const TRAINED_ON: usize = 1437;
const SIDE: usize = 8;
const RESIZED: usize = 28;
/// Least memory for the measures, beside the activations.
const LEAST: u64 = 64 << 20;
/// Samples per forward pass.
const BATCH: usize = 128;
/// Learning rate of the minimisation: that of the paper's code.
const LEARNING_RATE: f64 = 0.002;

/// Shares of the channels that are kept.
const KEEP: [f64; 4] = [0.8, 0.6, 0.4, 0.2];
/// Digits of the calibration part, of those that the networks were not trained on.
const CALIBRATION: usize = 120;

/// What is computed of both networks, and of the wide one.
struct Options {
    redundancy: RedundancyOptions,
    filters: FiltersOptions,
    /// As the paper's code does, with norms kept so that it is not for shrinking filters.
    minimize: MinimizeOptions,
    shuffle: ShuffleOptions,
    impulse: ImpulseOptions,
    ablate: AblateOptions,
}

impl Options {
    fn new(seed: u64) -> Self {
        Self {
            redundancy: RedundancyOptions::default()
                .with_aggregate(true)
                .with_strongest(true),
            filters: FiltersOptions::default().with_matrices(true),
            minimize: MinimizeOptions::default()
                .with_steps(200)
                .with_optimizer(Optimizer::adam(LEARNING_RATE))
                .with_keep_norm(true),
            shuffle: ShuffleOptions::default().with_seed(seed),
            impulse: ImpulseOptions::default(),
            ablate: AblateOptions::default()
                .with_keep(KEEP.to_vec())
                .with_rankings(vec![
                    Criterion::Similar(Similarity::Jaccard),
                    Criterion::L1,
                    Criterion::Fpgm,
                ])
                .with_calibration(Some(CALIBRATION))
                .with_seed(seed),
        }
    }

    fn describe(&self, folder: &ResultsFolder, memory: u64, common: &Common) {
        folder.parameter("k", self.redundancy.graph.k);
        folder.parameter("kernel", "gaussian");
        folder.parameter("sigma", "kth/3");
        folder.parameter("identical", "keep");
        folder.parameter("aggregate", self.redundancy.aggregate);
        folder.parameter("across", WIDE);
        folder.parameter("strongest", self.redundancy.strongest);
        folder.parameter("ablate", WIDE);
        let rankings: Vec<&str> = self.ablate.rankings.iter().map(|r| r.name()).collect();
        folder.parameter("rankings", rankings);
        folder.parameter("keep", self.ablate.keep.clone());
        folder.parameter("dropped", self.ablate.dropped.name());
        folder.parameter("calibration", self.ablate.calibration);
        folder.parameter("tap", self.impulse.tap.name());
        folder.parameter("mode", self.shuffle.mode.name());
        folder.parameter("batch", self.shuffle.batch);
        folder.parameter("bias", self.impulse.bias.name());
        folder.parameter("threshold", self.impulse.threshold);
        folder.parameter("minimize", self.minimize.steps);
        folder.parameter("optimizer", "adam");
        folder.parameter("lr", LEARNING_RATE);
        folder.parameter("keep-norm", self.minimize.keep_norm);
        folder.parameter("pairs", self.minimize.params.pairs.name());
        let input_channels = self.minimize.params.input_channels.name();
        folder.parameter("input-channels", input_channels);
        folder.parameter("seed", self.shuffle.seed);
        folder.parameter("memory", memory);
        folder.parameter("threads", common.threads());
        folder.input(Input {
            path: "builtin:digits".into(),
            shape: [DIGITS, 1, SIDE, SIDE].map(|d| d as u64).to_vec(),
            dtype: "u8".into(),
            fingerprint: format!("blake3:{}", blake3::hash(IMAGES).to_hex()),
        });
    }
}

/// Runs the demo.
pub fn run(_args: &Args, common: &Common) -> error::Result<()> {
    let memory = common.memory()?;
    let held = held_bytes()?;
    if memory < held + LEAST {
        return Err(error::Error::Library(Error::Memory {
            what: "the demo, which holds the activations of a network".into(),
            needed: held + LEAST,
            cap: memory,
        }));
    }
    let output = common.output(&[])?;
    let device = common.open_device()?;
    let folder = ResultsFolder::begin(output, "demo");
    folder.device(&device);
    let options = Options::new(common.seed);
    options.describe(&folder, memory, common);
    let (small, images, labels) = digits()?;
    let demo = Demo {
        ctx: Context::new(&device)
            .with_memory(memory - held)
            .with_scratch(folder.scratch()),
        images,
        labels,
        options,
        folder: &folder,
        reporter: Reporter::new(common.quiet),
    };
    for (name, bytes) in NETWORKS {
        demo.network(name, bytes)?;
    }
    folder.images(&small)?;
    let report = folder.path().join("report.html");
    let results = folder.finish()?;
    if common.json {
        return output::json(&results);
    }
    let mut text = summary::summary(&results);
    text += &format!("\nOpen {} in a browser.\n", report.display());
    output::print(&text)
}

/// What all networks of the demo share.
struct Demo<'a> {
    ctx: Context<'a>,
    images: ArrayLayer<'static>,
    labels: Vec<u32>,
    options: Options,
    folder: &'a ResultsFolder,
    reporter: Reporter,
}

impl Demo<'_> {
    /// Runs `work` with a context that shows progress and stops at signals.
    fn watched<T>(&self, work: impl FnOnce(&Context<'_>) -> Result<T>) -> Result<T> {
        self.reporter
            .run(|control| work(&self.ctx.clone().with_control(*control)))
    }

    fn network(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let weights = weights(bytes)?;
        let graph = lenet(&weights)?;
        let layers = graph.layers();
        let (taps, logits) = self.watched(|ctx| {
            on_device!(ctx.device(), |backend| activations(
                backend,
                name,
                &graph,
                &self.images,
                ctx.control()
            ))
        })?;
        self.folder.network(Network {
            name: name.to_string(),
            accuracy: Some(accuracy(&logits, &self.labels)),
            parameters: Some(weights.iter().map(|w| w.data.len() as u64).sum()),
        });
        self.folder.stage(format!("{name}: forward pass"));
        match name == WIDE {
            true => {
                self.redundancy(&taps, true)?;
                self.folder.stage(format!("{name}: across layers"));
            }
            false => (taps.chunks(1)).try_for_each(|tap| self.redundancy(tap, false))?,
        }
        drop(taps);
        self.filters(name, &weights)?;
        self.shuffle(name, &graph, &layers)?;
        self.impulse(name, &graph)?;
        match name == WIDE {
            true => self.ablate(name, &graph, &layers),
            false => Ok(()),
        }
    }

    /// The channels of layers, and what those of different layers have in common if `across` is set.
    fn redundancy(&self, taps: &[ArrayLayer<'_>], across: bool) -> Result<()> {
        let layers: Vec<&dyn Layer> = taps.iter().map(|tap| tap as &dyn Layer).collect();
        let input = RedundancyInput::new(&layers).with_labels(Some(&self.labels));
        let options = self.options.redundancy.clone().with_across(across);
        let folder = self.folder;
        let take = |found: LayerRedundancy| {
            folder.redundancy_layer(&found)?;
            folder.stage(format!("{}: redundancy", found.name));
            Ok(())
        };
        let found = self.watched(|ctx| measure::redundancy_each(ctx, &input, &options, take))?;
        folder.compared(&found)
    }

    /// Convolutional Similarity of every convolution's filters, and how far a minimisation takes it.
    fn filters(&self, name: &str, weights: &[Weight]) -> Result<()> {
        for weight in weights.iter().filter(|w| w.shape.len() == 4) {
            let layer = format!("{name}.{}", module_path(&weight.name));
            let bank = FilterBank {
                name: &layer,
                shape: FilterShape::new(&weight.shape)?,
                weights: &weight.data,
            };
            let (found, after) = self.watched(|ctx| {
                let found = measure::filters(ctx, &bank, &self.options.filters)?;
                Ok((
                    found,
                    measure::minimize(ctx, &bank, &self.options.minimize)?,
                ))
            })?;
            self.folder.filters(&bank, &found, Some(&after))?;
        }
        self.folder.stage(format!("{name}: filters"));
        Ok(())
    }

    /// Channel shuffling of what every convolution but the last passes on.
    fn shuffle(&self, name: &str, graph: &Graph, layers: &[ConvLayer]) -> Result<()> {
        let tapped = |layer: &ConvLayer, value| Tapped {
            name: format!("{name}.{}", layer.name),
            value,
        };
        let observe: Vec<Tapped> = layers.iter().map(|l| tapped(l, l.activation)).collect();
        for layer in &layers[..layers.len().saturating_sub(1)] {
            let tensor = tapped(layer, layer.consumed);
            let input = ShuffleInput::new(graph, &self.images, &tensor, &observe)
                .with_labels(Some(&self.labels));
            let options = &self.options.shuffle;
            let found = self.watched(|ctx| measure::shuffle(ctx, &input, options))?;
            self.folder.shuffle(&found)?;
            self.folder.stage(format!("{}: shuffling", tensor.name));
        }
        Ok(())
    }

    fn impulse(&self, name: &str, graph: &Graph) -> Result<()> {
        let options = &self.options.impulse;
        let found = self.watched(|ctx| measure::impulse(ctx, graph, options))?;
        self.folder.impulse(&format!("{name}."), &found, options)?;
        self.folder.stage(format!("{name}: impulse responses"));
        Ok(())
    }

    /// Accuracy with some of the channels, on digits that the network was not trained on.
    fn ablate(&self, name: &str, graph: &Graph, layers: &[ConvLayer]) -> Result<()> {
        let images = Kept::new(&self.images, (TRAINED_ON..DIGITS).collect())?;
        let layers: Vec<ConvLayer> = (layers.iter().cloned())
            .map(|layer| ConvLayer {
                name: format!("{name}.{}", layer.name),
                ..layer
            })
            .collect();
        let input = AblateInput::new(graph, &images, &self.labels[TRAINED_ON..], &layers);
        let options = &self.options.ablate;
        let found = self.watched(|ctx| measure::ablate(ctx, &input, options))?;
        self.folder.ablation(&found, options.dropped)?;
        self.folder.stage(format!("{name}: ablation"));
        Ok(())
    }
}

/// Bytes of the activations that are held, of the network that has most.
fn held_bytes() -> Result<u64> {
    let mut most = 0;
    for (_, bytes) in NETWORKS {
        let graph = lenet(&weights(bytes)?)?;
        let layers = graph.layers().into_iter();
        let values: usize = layers.map(|l| graph.value(l.activation).len()).sum();
        most = most.max(4 * (DIGITS * values) as u64);
    }
    Ok(most)
}

/// The digits as they are, resized as the networks were trained on them, and their classes.
fn digits() -> Result<(ArrayLayer<'static>, ArrayLayer<'static>, Vec<u32>)> {
    // The assets are .npy files written by this project: a header, then the bytes.
    let pixels = &IMAGES[IMAGES.len() - DIGITS * SIDE * SIDE..];
    let small: Vec<f32> = pixels.iter().map(|&p| f32::from(p) / 16.0).collect();
    let images = bilinear(&small, [SIDE, SIDE], [RESIZED, RESIZED])?;
    let shape = LayerShape::new(DIGITS, 1, RESIZED, RESIZED)?;
    let labels = LABELS[LABELS.len() - DIGITS..]
        .iter()
        .map(|&l| u32::from(l));
    let small = ArrayLayer::new("digits", LayerShape::new(DIGITS, 1, SIDE, SIDE)?, small)?;
    let images = ArrayLayer::new("digits", shape, images)?;
    Ok((small, images, labels.collect()))
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
        control.report(Step {
            stage: &stage,
            done: rows.end as u64,
            total: DIGITS as u64,
            unit: "images",
        });
    }
    let logits = values.pop().unwrap_or_default();
    let taps = layers.iter().zip(values).map(|(layer, data)| {
        let &[channels, height, width] = graph.value(layer.activation).shape.as_slice() else {
            return Err(Error::network(format!("layer {} has no maps", layer.name)));
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
