//! `chanscope ablate`: accuracy without the channels that come last in rankings.

use super::error::{Error, Result, in_file};
use super::network::{choose, open_data, open_model, record_inputs};
use super::progress::Reporter;
use super::table::{Column, Table};
use super::{Common, output};
use chanscope::io::labels::{read_labels, read_ranking};
use chanscope::measure::ablate::{Criterion, Dropped, GivenRanking, ablate};
use chanscope::measure::rank::Similarity;
use chanscope::measure::shuffle::check_labels;
use chanscope::measure::{AblateInput, AblateOptions, Context};
use chanscope::model::graph::Graph;
use chanscope::model::layers::{ConvLayer, Tap};
use chanscope::model::node::ValueId;
use chanscope::report::folder::ResultsFolder;
use chanscope::report::results::{AblationCurve, Results, Skipped};
use std::fmt::Write as _;
use std::iter;
use std::path::{Path, PathBuf};

/// Drop the last channels of rankings, and measure the accuracy that is left
#[derive(clap::Args)]
#[command(
    after_help = "Example:  chanscope ablate lenet5.onnx images.npy --labels labels.npy --rankings jaccard,l1,random --out ablated"
)]
pub struct Args {
    /// The network: an ONNX file of opset 7 to 23
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Its input, an .npy of [N,C,H,W], or of [N,H,W,C] for a network that takes images so
    #[arg(value_name = "DATA.npy")]
    data: PathBuf,
    /// Class of every sample, an .npy of integers
    #[arg(long, value_name = "L.npy")]
    labels: PathBuf,
    /// Which of several outputs holds the classes
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
    /// Layers whose channels are dropped, at their activation [default: all that the output depends on]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    layers: Vec<String>,
    /// Shares of the channels that are kept
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "SHARE,...",
        default_value = "0.9,0.8,0.7,0.6,0.5,0.4,0.3,0.2,0.1"
    )]
    keep: Vec<f64>,
    /// What replaces a dropped channel: zero, mean (its mean) or merge (a multiple of the kept channel that represents it,
    /// plus a constant, fitted on the calibration part)
    #[arg(long, default_value = "zero", value_name = "BY")]
    dropped: String,
    /// Rankings to compare: jaccard, filters, impulse, pearson, l1, fpgm, mean, apoz, random, given [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    rankings: Vec<String>,
    /// A ranking of a layer, an .npy of all its channels, first kept first; the layer is that of the file's name. Give
    /// one for every layer
    #[arg(long, value_name = "[LAYER=]R.npy")]
    ranking: Vec<String>,
    /// Number of samples of the calibration part, on which accuracy is not measured [default: a quarter, at most 1024]
    #[arg(long, value_name = "N")]
    calibration: Option<usize>,
    /// Candidates per query of the graphs behind the ranking jaccard
    #[arg(short, default_value_t = 25, value_name = "K")]
    k: usize,
}

impl Args {
    /// The options, but for rankings that a network does not have.
    fn options(&self, seed: u64) -> Result<AblateOptions> {
        let mut rankings = match self.rankings.is_empty() {
            true => Criterion::computed(),
            false => (self.rankings.iter())
                .map(|name| name.parse())
                .collect::<chanscope::Result<Vec<Criterion>>>()?,
        };
        match (
            rankings.contains(&Criterion::Given),
            self.ranking.is_empty(),
        ) {
            (false, false) => rankings.push(Criterion::Given),
            (true, true) => {
                let text = "--rankings given needs the rankings: give a file for every layer with --ranking";
                return Err(Error::Usage(text.into()));
            }
            _ => {}
        }
        Ok(AblateOptions::default()
            .with_keep(self.keep.clone())
            .with_dropped(self.dropped.parse::<Dropped>()?)
            .with_rankings(rankings)
            .with_calibration(self.calibration)
            .with_k(self.k)
            .with_seed(seed))
    }

    /// The files of `--ranking`, with the layer that each is of.
    fn given(&self, graph: &Graph, layers: &[ConvLayer]) -> Result<Vec<(PathBuf, GivenRanking)>> {
        let mut found: Vec<(PathBuf, GivenRanking)> = Vec::new();
        for text in &self.ranking {
            let (name, path) = match text.split_once('=') {
                Some((name, path)) => (name.to_string(), Path::new(path)),
                None => {
                    let path = Path::new(text);
                    let stem = path.file_stem().unwrap_or_default();
                    (stem.to_string_lossy().into_owned(), path)
                }
            };
            let Some(layer) = layers.iter().find(|l| l.name == name) else {
                let names: Vec<&str> = layers.iter().map(|l| l.name.as_str()).collect();
                return Err(Error::Usage(format!(
                    "--ranking {text}: '{name}' is none of the layers {}; name the layer as LAYER={}",
                    names.join(", "),
                    path.display()
                )));
            };
            if found.iter().any(|(_, g)| g.layer == name) {
                let text = format!("--ranking {text}: layer '{name}' has a ranking already");
                return Err(Error::Usage(text));
            }
            let order = read_ranking(path)?;
            let layer_channels = graph.value(layer.activation).shape[0];
            let ranking = GivenRanking { layer: name, order };
            ranking
                .check(layer_channels)
                .map_err(|e| in_file(path, e))?;
            found.push((path.to_path_buf(), ranking));
        }
        Ok(found)
    }
}

/// The layers of these names that are ablated, all that the output depends on where there are no names; and what is left out,
/// with the reason.
pub fn layers(
    graph: &Graph,
    scores: ValueId,
    names: &[String],
    option: &str,
) -> Result<(Vec<ConvLayer>, Vec<Skipped>)> {
    let chosen = choose(graph, Tap::Activation, names, option)?;
    let (mut layers, mut left_out) = (Vec::new(), Vec::new());
    for layer in chosen.layers {
        let reached = graph.dependents(layer.activation)[scores.index()];
        if reached && layer.activation != scores {
            layers.push(layer);
            continue;
        }
        let reason = "the output does not depend on it".to_string();
        if !names.is_empty() {
            let text = format!("{option}: layer '{}': {reason}", layer.name);
            return Err(Error::Usage(text));
        }
        left_out.push(Skipped {
            name: layer.name,
            reason,
        });
    }
    left_out.extend(chosen.left_out.into_iter().map(|l| Skipped {
        name: l.name,
        reason: l.reason,
    }));
    if layers.is_empty() {
        return Err(Error::Usage(
            "the model has no convolution that the output depends on".into(),
        ));
    }
    Ok((layers, left_out))
}

/// All rankings that this network has, and what is left out.
pub fn all_rankings(graph: &Graph) -> (Vec<Criterion>, Vec<Skipped>) {
    let (mut rankings, mut left_out) = (Criterion::computed(), Vec::new());
    if graph.image_shape().is_err() {
        rankings.retain(|&r| r != Criterion::Similar(Similarity::Impulse));
        left_out.push(Skipped {
            name: "ranking impulse".into(),
            reason: "the network takes no images whose channels are known".into(),
        });
    }
    (rankings, left_out)
}

/// Ablates every layer asked for.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let mut options = args.options(common.seed)?;
    let memory = common.memory()?;
    let data = open_data(&args.data)?;
    let samples = data.shape().samples;
    let graph = open_model(&args.model, data.as_ref())?;
    let labels = read_labels(&args.labels, samples)?;
    let scores = graph.output(args.output.as_deref());
    let scores = scores.map_err(|e| in_file(&args.model, e))?;
    let shape = &graph.value(scores).shape;
    check_labels(&labels, samples, shape).map_err(|e| in_file(&args.labels, e))?;
    let (layers, mut left_out) = layers(&graph, scores, &args.layers, "--layers")?;
    if args.rankings.is_empty() {
        let (rankings, missing) = all_rankings(&graph);
        options
            .rankings
            .retain(|r| *r == Criterion::Given || rankings.contains(r));
        left_out.extend(missing);
    }
    let (files, given): (Vec<_>, Vec<_>) = args.given(&graph, &layers)?.into_iter().unzip();
    let mut inputs = vec![
        Some(args.model.as_path()),
        Some(args.data.as_path()),
        Some(args.labels.as_path()),
    ];
    inputs.extend(files.iter().map(|f| Some(f.as_path())));
    let output = common.output(&inputs)?;
    let device = common.open_device()?;
    let folder = ResultsFolder::begin(output, "ablate");
    let ctx = Context::new(&device)
        .with_memory(memory)
        .with_scratch(folder.scratch());
    folder.ablate_parameters(&ctx, &options);
    folder.parameter("layers", args.layers.clone());
    folder.parameter("ranking", args.ranking.clone());
    folder.parameter("output", args.output.clone());
    record_inputs(
        &folder,
        &args.model,
        &graph,
        Some(data.as_ref()),
        Some(&args.labels),
    )?;
    for (file, given) in files.iter().zip(&given) {
        folder.input_file(file, &[given.order.len() as u64], "ranking")?;
    }
    left_out.into_iter().for_each(|l| folder.skip(l));
    let input = AblateInput::new(&graph, data.as_ref(), &labels, &layers)
        .with_output(Some(scores))
        .with_given(&given);
    let found = Reporter::new(common.quiet)
        .run(|control| ablate(&ctx.with_control(*control), &input, &options))?;
    data.check_unchanged()?;
    folder.stage("ablation");
    folder.ablation(&found, options.dropped)?;
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

/// A table per layer.
fn summary(results: &Results) -> String {
    let mut text = String::new();
    let Some(ablation) = &results.ablation else {
        return text;
    };
    let percent = |x: Option<f64>| x.map_or("-".into(), |x| format!("{:.2}", 100.0 * x));
    let _ = writeln!(
        text,
        "Accuracy of the intact network on {} samples: {} ± {} %. Below: accuracy in % with the first channels of a ranking kept, \
         the others replaced by {}.",
        ablation.samples,
        percent(ablation.accuracy),
        percent(ablation.standard_error),
        ablation.dropped
    );
    let mut table = Table::new(&[Column::Name, Column::Right]);
    let mut block = |title: String, curves: &[AblationCurve]| {
        let points = curves.first().map_or(&[][..], |c| &c.points);
        let shares = points
            .iter()
            .map(|p| format!("{:.4} %", 100.0 * p.share).replace(".0000", ""));
        table.row([""; 0]);
        table.row(iter::once(title).chain(shares));
        for curve in curves {
            let accuracies = curve
                .points
                .iter()
                .map(|p| format!("{} ± {}", percent(p.accuracy), percent(p.standard_error)));
            table.row(iter::once(format!("  {}", curve.ranking)).chain(accuracies));
        }
    };
    if let Some(curves) = &ablation.together {
        block("all layers at once".into(), curves);
    }
    for layer in &ablation.layers {
        block(
            format!("{} ({})", layer.name, layer.channels),
            &layer.curves,
        );
    }
    text + &table.to_string()
}
