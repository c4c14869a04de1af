//! `chanscope shuffle`: channel and pixel shuffling.

use super::error::{Error, Result, in_file};
use super::network::{choose, open_data, open_labels, open_model, record_inputs, skip};
use super::progress::Reporter;
use super::table::{Column, Table};
use super::{Common, output};
use chanscope::io::labels::read_indices;
use chanscope::measure::shuffle::{Cosine, Mode, Tapped, check_labels, check_permutation, shuffle};
use chanscope::measure::{Context, ShuffleInput, ShuffleOptions};
use chanscope::model::layers::{ConvLayer, Tap};
use chanscope::report::folder::ResultsFolder;
use chanscope::report::results::{Results, Skipped};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Shuffle one channel at a time, and measure the effect on later layers and on the accuracy
#[derive(clap::Args)]
#[command(
    after_help = "Example:  chanscope shuffle lenet5.onnx images.npy --labels labels.npy --mode channel --out shuffled"
)]
pub struct Args {
    /// The network: an ONNX file of opset 7 to 23
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Its input, an .npy of [N,C,H,W], or of [N,H,W,C] for a network that takes images so
    #[arg(value_name = "DATA.npy")]
    data: PathBuf,
    /// Class of every sample, an .npy of integers; adds accuracies
    #[arg(long, value_name = "L.npy")]
    labels: Option<PathBuf>,
    /// Which of several outputs holds the classes
    #[arg(long, value_name = "NAME", requires = "labels")]
    output: Option<String>,
    /// Layers whose channels are shuffled, after activation and pooling [default: all but the last]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    tensor: Vec<String>,
    /// Layers that are compared, at their activation [default: all later ones]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    observe: Vec<String>,
    /// What is shuffled: channel (maps across the samples of a mini-batch) or pixel (pixels inside each map)
    #[arg(long, default_value = "channel", value_name = "MODE")]
    mode: String,
    /// What a cosine is taken over: sample (each sample's map, then the mean) or batch (the maps of all samples
    /// as one vector)
    #[arg(long, default_value = "sample", value_name = "OVER")]
    cosine: String,
    /// Number of samples in a mini-batch
    #[arg(long, default_value_t = 256, value_name = "N")]
    batch: usize,
    /// Sample indices to use in place of seeded permutations, A'[i] = A[P[i]]
    #[arg(long, value_name = "P.npy")]
    permutation: Option<PathBuf>,
}

impl Args {
    /// Records the options as they were written on the command line.
    fn describe(&self, folder: &ResultsFolder, ctx: &Context<'_>, options: &ShuffleOptions) {
        folder.shuffle_parameters(ctx, options);
        folder.parameter("tensor", self.tensor.clone());
        folder.parameter("observe", self.observe.clone());
        let file = self.permutation.as_ref().map(|p| p.display().to_string());
        folder.parameter("permutation", file);
        folder.parameter("output", self.output.clone());
    }
}

/// Shuffles every tensor asked for.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let mode: Mode = args.mode.parse()?;
    let cosine: Cosine = args.cosine.parse()?;
    if args.batch == 0 {
        return Err(Error::Usage("--batch must be at least 1".into()));
    }
    if args.permutation.is_some() && mode == Mode::Pixel {
        let text = "a permutation of samples needs --mode channel";
        return Err(Error::Usage(text.into()));
    }
    let memory = common.memory()?;
    let data = open_data(&args.data)?;
    let samples = data.shape().samples;
    let graph = open_model(&args.model, data.as_ref())?;
    let labels = open_labels(args.labels.as_deref(), data.as_ref())?;
    let mut classes = None;
    if let (Some(labels), Some(path)) = (&labels, &args.labels) {
        let scores = graph.output(args.output.as_deref());
        let scores = scores.map_err(|e| in_file(&args.model, e))?;
        let shape = &graph.value(scores).shape;
        check_labels(labels, samples, shape).map_err(|e| in_file(path, e))?;
        classes = Some(scores);
    }
    let permutation = (args.permutation.as_ref())
        .map(|p| {
            read_indices(p, samples).and_then(|i| {
                check_permutation(&i, samples, args.batch).map_err(|e| in_file(p, e))?;
                Ok(i)
            })
        })
        .transpose()?;
    let chosen = choose(&graph, Tap::Activation, &args.tensor, "--tensor")?;
    let mut tensors = chosen.layers;
    if args.tensor.is_empty() && chosen.left_out.is_empty() {
        tensors.pop();
    }
    if tensors.is_empty() {
        return Err(Error::Usage(
            "the model has fewer than two convolutions; name the layer to shuffle with --tensor"
                .into(),
        ));
    }
    let tapped = |l: &ConvLayer| Tapped {
        name: l.name.clone(),
        value: l.activation,
    };
    let observe: Vec<Tapped> = choose(&graph, Tap::Activation, &args.observe, "--observe")?
        .layers
        .iter()
        .map(tapped)
        .collect();
    let watched = |layer: &ConvLayer| {
        let reached = graph.dependents(layer.consumed);
        (observe.iter()).any(|t| reached[t.value.index()] && t.value != layer.consumed)
    };
    if labels.is_none() && !tensors.iter().any(watched) {
        return Err(Error::Usage(
            "none of the observed layers depends on a shuffled one: give --labels, or a later layer to --observe"
                .into(),
        ));
    }
    let options = ShuffleOptions::default()
        .with_mode(mode)
        .with_cosine(cosine)
        .with_batch(args.batch)
        .with_seed(common.seed);
    let output = common.output(&[
        Some(&args.model),
        Some(&args.data),
        args.labels.as_deref(),
        args.permutation.as_deref(),
    ])?;
    let device = common.open_device()?;
    let folder = ResultsFolder::begin(output, "shuffle");
    let ctx = Context::new(&device)
        .with_memory(memory)
        .with_scratch(folder.scratch());
    args.describe(&folder, &ctx, &options);
    record_inputs(
        &folder,
        &args.model,
        &graph,
        Some(data.as_ref()),
        args.labels.as_deref(),
    )?;
    skip(&folder, &chosen.left_out);
    let reporter = Reporter::new(common.quiet);
    for layer in &tensors {
        if labels.is_none() && args.tensor.is_empty() && !watched(layer) {
            folder.skip(Skipped {
                name: layer.name.clone(),
                reason: "no observed layer depends on it".into(),
            });
            continue;
        }
        let tensor = Tapped {
            name: layer.name.clone(),
            value: layer.consumed,
        };
        let input = ShuffleInput::new(&graph, data.as_ref(), &tensor, &observe)
            .with_labels(labels.as_deref())
            .with_output(classes)
            .with_permutation(permutation.as_deref());
        let found = reporter.run(|control| {
            let ctx = ctx.clone().with_control(*control);
            shuffle(&ctx, &input, &options)
        })?;
        data.check_unchanged()?;
        folder.shuffle(&found)?;
        folder.stage(layer.name.clone());
    }
    let path = folder.path().join("report.html");
    let results = folder.finish()?;
    if common.json {
        return output::json(&results);
    }
    let mut text = summary(&results);
    text += &output::skipped(&results);
    let _ = writeln!(text, "\nReport: {}", path.display());
    output::print(&text)
}

/// A few lines per tensor.
pub fn summary(results: &Results) -> String {
    let mut text = String::new();
    for t in results.shuffle.iter().flat_map(|s| &s.tensors) {
        let _ = writeln!(text, "{} ({} shuffle)", t.name, t.mode);
        let mut table = Table::new(&[Column::Name, Column::Left]);
        for o in &t.observed {
            let known: Vec<f64> = o.cosine_mean.iter().flatten().copied().collect();
            let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
            let least = known.iter().copied().fold(f64::INFINITY, f64::min);
            let found = format!(
                "cosine similarity: mean {mean:.4}, least {least:.4} over {} channels",
                known.len()
            );
            table.row([format!("  {}", o.name), found]);
        }
        text += &table.to_string();
        if let (Some(base), Some(accuracy)) = (t.baseline_accuracy, &t.accuracy) {
            let known: Vec<f64> = accuracy.iter().flatten().copied().collect();
            let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
            let least = known.iter().copied().fold(f64::INFINITY, f64::min);
            let _ = writeln!(
                text,
                "  accuracy {base:.4}, with a channel shuffled: mean {mean:.4}, least {least:.4}"
            );
        }
    }
    text
}
