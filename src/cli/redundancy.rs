//! `chanscope redundancy`: channel-wise NNK graphs of dumped activations.

use super::error::{Error, Result};
use super::network::skipped;
use super::progress::Reporter;
use super::{Common, output, samples};
use chanscope::io::labels::read_labels;
use chanscope::io::layer::Layer;
use chanscope::io::open::open_dump_with;
use chanscope::measure::redundancy::{GraphSink, NonFinite, redundancy_each};
use chanscope::measure::{Context, RedundancyInput, RedundancyOptions};
use chanscope::ops::{GraphParams, Identical, Kernel, Sigma};
use chanscope::report::folder::ResultsFolder;
use chanscope::report::results::{Results, Skipped};
use clap::ValueEnum;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Measure how redundant the channels of dumped activations are, by channel-wise NNK graphs
#[derive(clap::Args)]
#[command(
    after_help = "Example:  chanscope redundancy activations/ --labels labels.npy -k 25 --aggregate --out results"
)]
pub struct Args {
    /// Activations [N,C,H,W], [N,C,L] or [N,D]: .npy or .safetensors files, or folders of them
    #[arg(required = true, value_name = "DUMP")]
    dumps: Vec<PathBuf>,
    /// Class of every sample, an .npy of integers; adds label errors [default: labels.npy in the folder, if it
    /// is there]
    #[arg(long, value_name = "L.npy")]
    labels: Option<PathBuf>,
    /// Number of candidates per query, from 1 to 1024
    #[arg(short, default_value_t = 25, value_name = "K")]
    k: usize,
    /// Kernel that measures how similar two activations are
    #[arg(long, value_enum, default_value_t = KernelArg::Gaussian)]
    kernel: KernelArg,
    /// Bandwidth of the Gaussian kernel: kth/3 (a third of the distance to the last candidate, per query) or
    /// a number
    #[arg(long, default_value = "kth/3", value_name = "SIGMA")]
    sigma: String,
    /// What to do with samples at distance 0 from the query
    #[arg(long, value_enum, default_value_t = IdenticalArg::Keep)]
    identical: IdenticalArg,
    /// Build also the graph of all channels taken as one vector per sample
    #[arg(long)]
    aggregate: bool,
    /// Use only these channels, in this order, such as 0,3,8-15 [default: all]
    #[arg(long, value_name = "LIST")]
    channels: Option<String>,
    /// What to do with samples that hold NaN or infinities
    #[arg(long, value_enum, default_value_t = NanArg::Reject)]
    nan: NanArg,
    /// List files that cannot be read as skipped, with the reason, and measure the others
    #[arg(long)]
    skip_unreadable: bool,
    /// Number of samples drawn as queries, by --seed; candidates still come from all. Means then have standard
    /// errors [default: all]
    #[arg(long, value_name = "M")]
    queries: Option<usize>,
    /// Write the graphs too: neighbors, squared distances, weights, objective
    #[arg(long)]
    save_graph: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum KernelArg {
    Gaussian,
    Cosine,
}

#[derive(Clone, Copy, ValueEnum)]
enum IdenticalArg {
    Keep,
    Drop,
    Replace,
}

#[derive(Clone, Copy, ValueEnum)]
enum NanArg {
    Reject,
    Skip,
}

impl Args {
    /// Records the options as they were written on the command line.
    fn describe(&self, folder: &ResultsFolder, ctx: &Context<'_>, options: &RedundancyOptions) {
        folder.redundancy_parameters(ctx, options, self.save_graph);
        folder.parameter("sigma", self.sigma.as_str());
        folder.parameter("channels", self.channels.as_deref());
        folder.parameter("skip-unreadable", self.skip_unreadable);
    }

    fn options(&self, seed: u64) -> Result<RedundancyOptions> {
        let graph = GraphParams {
            k: self.k,
            kernel: match self.kernel {
                KernelArg::Gaussian => Kernel::Gaussian,
                KernelArg::Cosine => Kernel::Cosine,
            },
            sigma: parse_sigma(&self.sigma)?,
            identical: match self.identical {
                IdenticalArg::Keep => Identical::Keep,
                IdenticalArg::Drop => Identical::Drop,
                IdenticalArg::Replace => Identical::Replace,
            },
            pca_dimension: true,
        };
        check_queries(self.queries)?;
        Ok(RedundancyOptions::default()
            .with_graph(graph)
            .with_aggregate(self.aggregate)
            .with_channels(self.channels.as_deref().map(parse_channels).transpose()?)
            .with_non_finite(match self.nan {
                NanArg::Reject => NonFinite::Reject,
                NanArg::Skip => NonFinite::Skip,
            })
            .with_queries(self.queries)
            .with_seed(seed))
    }
}

/// Measures every layer of the dumps.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    // Wrong options first, then wrong files; only then is a folder made.
    let memory = common.memory()?;
    let options = args.options(common.seed)?;
    let dump = open_dump_with(&args.dumps, samples::unreadable(args.skip_unreadable))?;
    let label_file = args.labels.clone().or(dump.labels);
    let mut inputs: Vec<Option<&Path>> = args.dumps.iter().map(|d| Some(d.as_path())).collect();
    inputs.push(label_file.as_deref());
    let output = common.output(&inputs)?;
    let device = common.open_device()?;
    let folder = ResultsFolder::begin(output, "redundancy");
    let ctx = Context::new(&device)
        .with_memory(memory)
        .with_scratch(folder.scratch());
    args.describe(&folder, &ctx, &options);
    for (name, reason) in dump.left_out {
        folder.skip(Skipped { name, reason });
    }
    let layers: Vec<&dyn Layer> = dump.layers.iter().map(AsRef::as_ref).collect();
    let mut labels = None;
    for layer in &layers {
        folder.input_layer(*layer)?;
        if let Some(path) = &label_file {
            labels = Some(read_labels(path, layer.shape().samples)?);
        }
    }
    if let Some(path) = &label_file {
        let samples = layers.first().map_or(0, |l| l.shape().samples as u64);
        folder.input_file(path, &[samples], "labels")?;
    }
    let graphs = folder.graphs();
    let input = RedundancyInput::new(&layers)
        .with_labels(labels.as_deref())
        .with_graphs(args.save_graph.then_some(&graphs as &dyn GraphSink));
    let cka = Reporter::new(common.quiet).run(|control| {
        let ctx = ctx.with_control(*control);
        redundancy_each(&ctx, &input, &options, |found| {
            folder.redundancy_layer(&found)?;
            folder.stage(found.name);
            Ok(())
        })
    })?;
    drop(graphs);
    if let Some(reason) = samples::unequal(&layers) {
        folder.skip(Skipped {
            name: "CKA between layers".into(),
            reason,
        });
    }
    if let Some(cka) = &cka {
        folder.cka(cka);
    }
    let path = folder.path().join("report.html");
    let results = folder.finish()?;
    if common.json {
        return output::json(&results);
    }
    let mut text = summary(&results);
    for layer in &layers {
        if let Some(note) = samples::lines(*layer) {
            let _ = writeln!(text, "note {}: {note}", layer.name());
        }
    }
    text += &skipped(&results);
    let _ = writeln!(text, "\nReport: {}", path.display());
    output::print(&text)
}

/// A few lines per layer.
pub fn summary(results: &Results) -> String {
    let mut text = String::new();
    let number = |x: Option<f64>| x.map_or("-".into(), |x| format!("{x:.3}"));
    let mean = |xs: &[Option<f64>]| {
        let live: Vec<f64> = xs.iter().copied().flatten().collect();
        (!live.is_empty()).then(|| live.iter().sum::<f64>() / live.len() as f64)
    };
    let _ = writeln!(
        text,
        "{:<20} {:>8} {:>5} {:>10} {:>8} {:>8} {:>10} {:>9}",
        "layer", "channels", "dead", "neighbours", "overlap", "Jaccard", "redundancy", "LOO error"
    );
    for layer in results.redundancy.iter().flat_map(|r| &r.layers) {
        let _ = writeln!(
            text,
            "{:<20} {:>8} {:>5} {:>10} {:>8} {:>8} {:>10} {:>9}",
            layer.name,
            layer.neighbors_mean.len(),
            layer.dead_channels.len(),
            number(mean(&layer.neighbors_mean)),
            number(layer.overlap_mean),
            number(layer.jaccard_mean),
            number(layer.redundancy),
            number(layer.loo_error.as_deref().and_then(mean)),
        );
        if let Some(a) = &layer.aggregate {
            let _ = writeln!(
                text,
                "{:<20} {:>8} {:>5} {:>10} {:>8} {:>8} {:>10} {:>9}  recall {}",
                "  aggregate",
                1,
                "",
                number(a.neighbors_mean),
                "",
                "",
                "",
                number(a.loo_error),
                number(a.recall)
            );
        }
    }
    text
}

/// Refuses a run without queries.
pub fn check_queries(queries: Option<usize>) -> Result<()> {
    match queries {
        Some(0) => Err(Error::Usage(
            "--queries must be at least 1; leave it out to take all samples".into(),
        )),
        _ => Ok(()),
    }
}

fn parse_sigma(text: &str) -> Result<Sigma> {
    if text == "kth/3" {
        return Ok(Sigma::KthThird);
    }
    match text.parse::<f64>() {
        Ok(s) if s.is_finite() && s > 0.0 => Ok(Sigma::Fixed(s)),
        _ => Err(Error::Usage(format!(
            "--sigma '{text}' is neither kth/3 nor a positive number"
        ))),
    }
}

/// `0,3,8-15` as a list, order kept.
fn parse_channels(text: &str) -> Result<Vec<usize>> {
    let wrong = || {
        Error::Usage(format!(
            "--channels '{text}' is not a list of channels such as 0,3,8-15"
        ))
    };
    let number = |s: &str| s.trim().parse::<usize>().map_err(|_| wrong());
    let mut channels = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => channels.push(number(part)?),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                // No layer has a million channels; a typo must not fill memory.
                if first > last || last - first >= 1 << 20 {
                    return Err(wrong());
                }
                channels.extend(first..=last);
            }
        }
    }
    Ok(channels)
}
