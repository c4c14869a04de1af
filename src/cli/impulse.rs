//! `chanscope impulse`: impulse responses and their normalised cross-correlation.

use super::error::{Error, Result};
use super::network::{InputArgs, record_inputs, skip};
use super::progress::Reporter;
use super::table::{Column, Table};
use super::{Common, output};
use chanscope::measure::Context;
use chanscope::measure::impulse::{Bias, ImpulseOptions, impulse};
use chanscope::model::layers::Tap;
use chanscope::report::folder::ResultsFolder;
use chanscope::report::results::Results;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Send a unit impulse through a network and find channels that respond alike
#[derive(clap::Args)]
#[command(after_help = "Example:  chanscope impulse lenet5.onnx --tap pool --out impulse")]
pub struct Args {
    /// The network: an ONNX file of opset 7 to 23
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Row and column of the impulse [default: the middle]
    #[arg(long, value_name = "Y,X")]
    at: Option<String>,
    /// How biases are treated: subtract (the response to zeros is subtracted), zero (biases are set to 0) or keep
    #[arg(long, default_value = "subtract", value_name = "BIAS")]
    bias: String,
    /// Drop nonlinearities: activations do nothing, and max pooling takes the first element
    #[arg(long)]
    linear: bool,
    /// Where each convolution is observed: conv (its output), activation (after batch normalisation and
    /// activation) or pool (after pooling)
    #[arg(long, default_value = "activation", value_name = "TAP")]
    tap: String,
    /// Subtract the mean of each response before correlating
    #[arg(long)]
    centred: bool,
    /// Smallest correlation of channels that are listed as alike
    #[arg(long, default_value_t = 0.95, value_name = "NCC")]
    threshold: f64,
    #[command(flatten)]
    input: InputArgs,
}

/// Measures every layer.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let memory = common.memory()?;
    let options = ImpulseOptions::default()
        .with_at(args.at.as_deref().map(parse_at).transpose()?)
        .with_bias(args.bias.parse::<Bias>()?)
        .with_linear(args.linear)
        .with_tap(args.tap.parse::<Tap>()?)
        .with_centred(args.centred)
        .with_threshold(args.threshold);
    if !(args.threshold > 0.0 && args.threshold <= 1.0) {
        return Err(Error::Usage(format!(
            "--threshold {} is not above 0 and at most 1",
            args.threshold
        )));
    }
    let graph = args.input.open_model(&args.model)?;
    let output = common.output(&[Some(&args.model)])?;
    let device = common.open_device()?;
    let folder = ResultsFolder::begin(output, "impulse");
    let ctx = Context::new(&device)
        .with_memory(memory)
        .with_scratch(folder.scratch());
    folder.impulse_parameters(&ctx, &options);
    folder.parameter("at", args.at.clone());
    args.input.describe(&folder);
    record_inputs(&folder, &args.model, &graph, None, None)?;
    skip(&folder, &graph.layers_at(options.tap).1);
    let found = Reporter::new(common.quiet)
        .run(|control| impulse(&ctx.with_control(*control), &graph, &options))?;
    folder.stage("impulse responses");
    folder.impulse("", &found, &options)?;
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

fn parse_at(text: &str) -> Result<[usize; 2]> {
    let parts: Vec<_> = text.split(',').map(|p| p.trim().parse::<usize>()).collect();
    match parts.as_slice() {
        [Ok(y), Ok(x)] => Ok([*y, *x]),
        _ => Err(Error::Usage(format!(
            "--at '{text}' is not a row and a column such as 14,14"
        ))),
    }
}

/// A line per layer, and how much is alike.
pub fn summary(results: &Results) -> String {
    let mut text = String::new();
    let Some(impulse) = &results.impulse else {
        return text;
    };
    let mut table = Table::new(&[Column::Name, Column::Right]);
    table.row(["layer", "channels", "zero", "mean NCC"]);
    for l in &impulse.layers {
        table.row([
            l.name.clone(),
            l.channels.to_string(),
            l.zero_channels.len().to_string(),
            l.ncc_mean.map_or("-".into(), |v| format!("{v:.4}")),
        ]);
    }
    let _ = writeln!(
        text,
        "{table}Pairs of channels at different depth with an NCC of at least {}: {}. Groups of alike channels: {}.",
        impulse.match_threshold.unwrap_or_default(),
        impulse.matches.len(),
        impulse.groups.len()
    );
    text
}
