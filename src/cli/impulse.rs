//! `chanscope impulse`: impulse responses and their normalised cross-correlation.

use super::network::{on_device, open_model, record_inputs};
use super::progress::Reporter;
use super::save::Record;
use super::{Common, output};
use chanscope::io::sink::Output;
use chanscope::measure::impulse::{Bias, Findings, Job, Response, Settings, compare, responses};
use chanscope::model::layers::Tap;
use chanscope::report::results::{
    ChannelRef, Impulse, ImpulseLayer, ImpulseMatch, Results, Skipped,
};
use chanscope::{Error, Result};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Send a unit impulse through a network and find channels that answer alike
#[derive(clap::Args)]
#[command(after_help = "Example:  chanscope impulse lenet5.onnx --tap pool --out impulse")]
pub struct Args {
    /// The network, ONNX of opset 13 to 21
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Row and column of the impulse [default: the middle]
    #[arg(long, value_name = "Y,X")]
    at: Option<String>,
    /// What biases do: subtract (the response to zeros is taken off), zero (set to 0), keep
    #[arg(long, default_value = "subtract", value_name = "BIAS")]
    bias: String,
    /// Drop nonlinearities: activations do nothing, max pooling takes the first element
    #[arg(long)]
    linear: bool,
    /// conv (the convolution's output), activation (after batch-norm and activation), pool (after pooling)
    #[arg(long, default_value = "activation", value_name = "TAP")]
    tap: String,
    /// Take the mean of each response off before correlating
    #[arg(long)]
    centred: bool,
    /// Smallest correlation of channels that are listed as alike
    #[arg(long, default_value_t = 0.95, value_name = "NCC")]
    threshold: f64,
}

/// Measures every layer.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let memory = common.memory()?;
    let job = Job {
        at: args.at.as_deref().map(parse_at).transpose()?,
        bias: args.bias.parse::<Bias>()?,
        linear: args.linear,
        tap: args.tap.parse::<Tap>()?,
        memory,
    };
    if !(args.threshold > 0.0 && args.threshold <= 1.0) {
        return Err(Error::Usage(format!(
            "--threshold {} is not above 0 and at most 1",
            args.threshold
        )));
    }
    let settings = Settings {
        centred: args.centred,
        threshold: args.threshold,
    };
    let graph = open_model(&args.model, None)?;
    let folder = Output::create(&common.out, common.force)?;
    let device = common.open_device()?;
    let mut record = Record::new("impulse", device.info());
    record.parameter("at", args.at.clone());
    record.parameter("bias", job.bias.name());
    record.parameter("linear", args.linear);
    record.parameter("tap", job.tap.name());
    record.parameter("centred", args.centred);
    record.parameter("threshold", args.threshold);
    record.parameter("memory", memory);
    record.parameter("threads", common.threads());
    record_inputs(&mut record, &args.model, &graph, None, None)?;
    let reporter = Reporter::new(common.quiet);
    let (found, findings) = reporter.run(|control| {
        on_device!(&device, |backend| {
            let found = responses(backend, &graph, &job)?;
            let findings = compare(backend, &found, &settings, control)?;
            Ok::<_, Error>((found, findings))
        })
    })?;
    record.stage("impulse responses");
    let (impulse, skipped) = save(&folder, "", &found, &findings, job.tap, &settings)?;
    record.results.impulse = Some(impulse);
    record.results.skipped.extend(skipped);
    let path = folder.folder().join("report.html");
    let results = record.finish(folder)?;
    if common.json {
        return output::json(&results);
    }
    let mut text = summary(&results);
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

/// Writes the arrays of all layers, names starting with `prefix`, and returns the entry in the results.
pub fn save(
    folder: &Output,
    prefix: &str,
    responses: &[Response],
    findings: &Findings,
    tap: Tap,
    settings: &Settings,
) -> Result<(Impulse, Vec<Skipped>)> {
    let mut layers = vec![];
    for (r, ncc) in responses.iter().zip(&findings.within) {
        let [m, inputs, h, w] = r.shape;
        let name = format!("{prefix}{}", r.name);
        let file = |array: &str| format!("impulse/{name}/{array}.npy");
        if inputs == 1 {
            folder.array(&file("response"), &[m, h, w], &r.values)?;
        } else {
            // By input channel first: what an impulse in that channel gives.
            let map = h * w;
            let by_input: Vec<f32> = (0..inputs * m)
                .flat_map(|i| &r.values[(i % m * inputs + i / m) * map..][..map])
                .copied()
                .collect();
            folder.array(&file("response"), &[inputs, m, h, w], &by_input)?;
        }
        let lags: Vec<i32> = ncc.lag.iter().flatten().copied().collect();
        folder.array(&file("ncc"), &[m, m], &ncc.ncc)?;
        folder.array(&file("ncc_abs"), &[m, m], &ncc.ncc_abs)?;
        folder.array(&file("lag"), &[m, m, 2], &lags)?;
        layers.push(ImpulseLayer {
            name,
            tap: tap.name().into(),
            channels: m as u64,
            ncc_mean: ncc.mean(&r.norms),
            zero_channels: (0..m as u64)
                .filter(|&c| r.norms[c as usize] == 0.0)
                .collect(),
        });
    }
    let channel = |c: chanscope::measure::impulse::Similar| ChannelRef {
        layer: format!("{prefix}{}", responses[c.layer].name),
        channel: c.channel as u64,
    };
    let matches = (findings.across.iter())
        .map(|m| ImpulseMatch {
            a: channel(m.a),
            b: channel(m.b),
            ncc: m.ncc,
            lag: m.lag.map(i64::from),
        })
        .collect();
    let groups = (findings.groups.iter())
        .map(|g| g.iter().map(|&c| channel(c)).collect())
        .collect();
    let skipped = (findings.skipped.iter())
        .map(|[a, b]| Skipped {
            name: format!(
                "{prefix}{} and {prefix}{}",
                responses[*a].name, responses[*b].name
            ),
            reason: "too many and too large pairs of channels to correlate across depth".into(),
        })
        .collect();
    let impulse = Impulse {
        layers,
        matches,
        groups,
        match_threshold: Some(settings.threshold),
    };
    Ok((impulse, skipped))
}

/// A line per layer, and how much is alike.
pub fn summary(results: &Results) -> String {
    let mut text = String::new();
    let Some(impulse) = &results.impulse else {
        return text;
    };
    let _ = writeln!(
        text,
        "{:<32} {:>8} {:>6} {:>10}",
        "layer", "channels", "zero", "mean NCC"
    );
    for l in &impulse.layers {
        let mean = l.ncc_mean.map_or("-".into(), |v| format!("{v:.4}"));
        let _ = writeln!(
            text,
            "{:<32} {:>8} {:>6} {mean:>10}",
            l.name,
            l.channels,
            l.zero_channels.len()
        );
    }
    let _ = writeln!(
        text,
        "{} pairs of channels at different depth with NCC of {} or more; {} groups of alike channels",
        impulse.matches.len(),
        impulse.match_threshold.unwrap_or_default(),
        impulse.groups.len()
    );
    text
}
