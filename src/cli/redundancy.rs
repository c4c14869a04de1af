//! `chanscope redundancy`: channel-wise NNK graphs of dumped activations.

mod summary;

pub use summary::{finished, summary};

use super::error::{Error, Result};
use super::progress::Reporter;
use super::{Common, output, samples, signal};
use chanscope::io::labels::read_labels;
use chanscope::io::layer::Layer;
use chanscope::io::open::{ids_of, open_dump_with};
use chanscope::io::sink::{Claim, Output};
use chanscope::io::whole::read_json;
use chanscope::measure::redundancy::{
    GraphSink, NonFinite, SupportSink, estimate, redundancy_each,
};
use chanscope::measure::{Context, RedundancyInput, RedundancyOptions};
use chanscope::ops::{GraphParams, Identical, Kernel, Sigma};
use chanscope::report::folder::ResultsFolder;
use chanscope::report::results::{RESULTS_FILE, Results, Skipped};
use chanscope::units::{Earlier, Request, Selection, earlier, merge_into, plan_in, work};
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// Measure how redundant the channels of dumped activations are, by channel-wise NNK graphs
#[derive(clap::Args)]
#[command(
    after_help = "Example:  chanscope redundancy activations/ --labels labels.npy -k 25 --aggregate --out results"
)]
pub struct Args {
    #[command(flatten)]
    options: Options,
    /// Go on with the run that --out holds: what was finished before is not computed again
    #[arg(long)]
    resume: bool,
    /// Number of units of each stage that the run is cut into, about [default: so that one takes half a minute, and no
    /// units for a run of less than a minute]
    #[arg(long, value_name = "N")]
    units: Option<usize>,
    /// Keep the units beside the results
    #[arg(long)]
    keep_units: bool,
}

/// What to measure and how: also the options of `plan`.
#[derive(clap::Args)]
pub struct Options {
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
    /// Compare also the channels of different layers, which have the same samples
    #[arg(long)]
    across: bool,
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
    /// Find the samples that excite each channel most: the report then has a card of every channel
    #[arg(long)]
    strongest: bool,
    /// The samples as images, an .npy of [N,1,H,W], [N,3,H,W], [N,H,W,1] or [N,H,W,3]: pictures of the strongest
    /// samples stand in the report. Asks for --strongest too
    #[arg(long, value_name = "I.npy")]
    images: Option<PathBuf>,
    /// Leave out the measures by other authors (correlations of channels, TwoNN, CKA): with many channels and few
    /// queries they take most of the time
    #[arg(long)]
    no_baselines: bool,
    /// Write the graphs too: neighbors, squared distances, weights, objective
    #[arg(long)]
    save_graph: bool,
    /// Do not keep the supports, by which `chanscope compare` compares finished runs
    #[arg(long)]
    no_supports: bool,
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

impl Options {
    /// The run that they ask for.
    pub fn request(&self, common: &Common) -> Result<Request> {
        let mut request = Request::new(self.dumps.clone(), self.options(common.seed)?);
        request.labels = self.labels.clone();
        request.images = self.images.clone();
        request.save_graph = self.save_graph;
        request.supports = !self.no_supports;
        request.skip_unreadable = self.skip_unreadable;
        // As they were written on the command line.
        let written = &mut request.as_written;
        written.insert("sigma".into(), self.sigma.as_str().into());
        written.insert("channels".into(), self.channels.as_deref().into());
        Ok(request)
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
            .with_across(self.across)
            .with_channels(self.channels.as_deref().map(parse_channels).transpose()?)
            .with_non_finite(match self.nan {
                NanArg::Reject => NonFinite::Reject,
                NanArg::Skip => NonFinite::Skip,
            })
            .with_baselines(!self.no_baselines)
            .with_strongest(self.strongest || self.images.is_some())
            .with_queries(self.queries)
            .with_seed(seed))
    }
}

/// Runs of fewer multiplications than this take seconds on any processor: they are not estimated, and not cut.
const SHORT: f64 = 5e11;
/// Seconds of a run that is worth cutting, and of a unit.
const LONG: f64 = 60.0;
const UNIT: f64 = 30.0;

/// Measures every layer of the dumps.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    // Wrong options first, then wrong files; only then is a folder made.
    if args.units == Some(0) {
        return Err(Error::Usage("--units must be at least 1".into()));
    }
    let memory = common.memory()?;
    let options = &args.options;
    let request = options.request(common)?;
    let dump = open_dump_with(&options.dumps, samples::unreadable(options.skip_unreadable))?;
    let label_file = options.labels.clone().or(dump.labels);
    let mut inputs: Vec<&Path> = options.dumps.iter().map(PathBuf::as_path).collect();
    inputs.extend(label_file.as_deref());
    inputs.extend(options.images.as_deref());
    let layers: Vec<&dyn Layer> = dump.layers.iter().map(AsRef::as_ref).collect();
    let images = samples::images(options.images.as_deref(), &layers)?;
    let notes: Vec<String> = (layers.iter())
        .filter_map(|l| Some(format!("note {}: {}", l.name(), samples::lines(*l)?)))
        .collect();
    if args.resume {
        let device = common.open_device()?;
        let ctx = Context::new(&device).with_memory(memory);
        match earlier(&ctx, &request, common.out())? {
            Earlier::Nothing => {}
            Earlier::Finished => {
                // A run that was killed at its very end may have left something to remove.
                drop(Claim::new(common.out())?);
                return already(common);
            }
            Earlier::Begun => {
                let output = Output::resume(common.out(), &inputs)?;
                return in_units(&ctx, output, args, common, &notes);
            }
        }
    }
    let inputs: Vec<Option<&Path>> = inputs.into_iter().map(Some).collect();
    let output = common.output(&inputs)?;
    let device = common.open_device()?;
    let ctx = Context::new(&device).with_memory(memory);
    let units = match args.units {
        Some(units) => Some(units),
        None => units(&ctx, &layers, &request)?,
    };
    if let Some(units) = units {
        advise(common);
        Reporter::new(common.quiet).run(|control| {
            plan_in(
                &ctx.clone().with_control(*control),
                &request,
                &output,
                units,
            )
        })?;
        return in_units(&ctx, output, args, common, &notes);
    }
    let folder = ResultsFolder::begin(output, "redundancy");
    let ctx = ctx.with_scratch(folder.scratch());
    folder.redundancy_parameters(&ctx, &request.options, request.save_graph);
    folder.parameter("skip-unreadable", request.skip_unreadable);
    folder.parameter("no-supports", !request.supports);
    for (name, value) in &request.as_written {
        folder.parameter(name, value.clone());
    }
    for (name, reason) in dump.left_out {
        folder.skip(Skipped { name, reason });
    }
    if let Some(reason) = samples::unequal(&layers) {
        folder.skip(Skipped {
            name: "CKA between layers".into(),
            reason,
        });
    }
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
    if let Some(images) = &images {
        folder.parameter("images", images.name());
        folder.input_layer(images.as_ref())?;
    }
    folder.samples(labels.as_deref(), ids_of(&options.dumps).as_deref())?;
    let (graphs, supports) = (folder.graphs(), folder.supports());
    let input = RedundancyInput::new(&layers)
        .with_labels(labels.as_deref())
        .with_graphs(request.save_graph.then_some(&graphs as &dyn GraphSink))
        .with_supports(request.supports.then_some(&supports as &dyn SupportSink));
    let compared = Reporter::new(common.quiet).run(|control| {
        let ctx = ctx.with_control(*control);
        redundancy_each(&ctx, &input, &request.options, |found| {
            folder.redundancy_layer(&found)?;
            folder.stage(found.name);
            Ok(())
        })
    })?;
    drop(graphs);
    folder.compared(&compared)?;
    if let Some(images) = &images {
        folder.images(images.as_ref())?;
    }
    let path = folder.path().to_path_buf();
    finished(&folder.finish()?, &path, common, &notes)
}

/// How many units a run is cut into; `None` where a kill would cost less than a minute anyway.
fn units(ctx: &Context<'_>, layers: &[&dyn Layer], request: &Request) -> Result<Option<usize>> {
    let options = &request.options;
    let work = |layer: &&dyn Layer| {
        let s = layer.shape();
        let channels = options.channels.as_ref().map_or(s.channels, Vec::len);
        let kinds = if options.aggregate { 2.0 } else { 1.0 };
        let queries = options.queries.map_or(s.samples, |m| m.min(s.samples));
        s.samples as f64 * queries as f64 * (channels * s.dim()) as f64 * kinds
    };
    if layers.iter().map(work).sum::<f64>() < SHORT {
        return Ok(None);
    }
    let mut seconds = 0.0;
    for layer in layers {
        seconds += estimate(ctx, *layer, options)?.seconds;
    }
    Ok((seconds > LONG).then(|| (seconds / UNIT).ceil() as usize))
}

fn advise(common: &Common) {
    let dir = common.out().display();
    signal::advise(format!(
        "what is finished is kept in {dir}: go on with the same command and --resume"
    ));
}

/// Computes what is left of the run in the folder, and puts the results together.
fn in_units(
    ctx: &Context<'_>,
    output: Output,
    args: &Args,
    common: &Common,
    notes: &[String],
) -> Result<()> {
    advise(common);
    let folder = output.folder().to_path_buf();
    let scratch = output.scratch().to_path_buf();
    Reporter::new(common.quiet).run(|control| {
        let ctx = ctx.clone().with_scratch(scratch).with_control(*control);
        work(&ctx, &folder, &Selection::default())
    })?;
    finished(
        &merge_into(output, args.keep_units, ctx.memory())?,
        &folder,
        common,
        notes,
    )
}

/// Says that the results are there.
fn already(common: &Common) -> Result<()> {
    let path = common.out().join(RESULTS_FILE);
    if common.json {
        let results = Results::from_json(&path, &read_json(&path, common.memory()?)?)?;
        return output::json(&results);
    }
    output::print(&format!(
        "{} holds the results of this run already\n",
        common.out().display()
    ))
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

fn parse_channels(text: &str) -> Result<Vec<usize>> {
    parse_list("--channels", "channels", text)
}

/// `0,3,8-15` as a list, order kept.
pub fn parse_list(option: &str, what: &str, text: &str) -> Result<Vec<usize>> {
    let wrong = || {
        Error::Usage(format!(
            "{option} '{text}' is not a list of {what} such as 0,3,8-15"
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
