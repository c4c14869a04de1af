//! `chanscope inspect`: what is in files, and what a run would need. Computes no measure.

pub mod entry;

use super::network::InputArgs;
use super::progress::Reporter;
use super::redundancy::check_queries;
use super::table::{Column, Table};
use super::{Common, error, output, samples};
use chanscope::control::Control;
use chanscope::device::{Device, DeviceChoice};
use chanscope::io::labels::{label_count, read_labels};
use chanscope::io::layer::Layer;
use chanscope::io::open::{open_dump_with, unread};
use chanscope::io::scan::{Scan, scan};
use chanscope::io::size::format_size;
use chanscope::measure::redundancy::{Estimate, estimate};
use chanscope::measure::{Context, RedundancyOptions};
use chanscope::model::layers::Tap;
use chanscope::model::parts::Layout;
use chanscope::{Error, Result};
use entry::{Values, entry};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::{Builder, ScopedJoinHandle};

/// Show shape, type, NaN and dead channels of files, and what a run would need; computes no measure
#[derive(clap::Args)]
#[command(after_help = "Example:  chanscope inspect activations/ --memory 1GiB")]
pub struct Args {
    /// Activations (.npy, .safetensors or folders of them), labels.npy, or models (.onnx)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Number of candidates per query of the run to be estimated
    #[arg(short, default_value_t = 25, value_name = "K")]
    k: usize,
    /// Number of samples drawn as queries in the run to be estimated [default: all]
    #[arg(long, value_name = "M")]
    queries: Option<usize>,
    /// Leave out the baselines in the run to be estimated
    #[arg(long)]
    no_baselines: bool,
    /// Show only what is in the files, without the trial run that the estimate needs
    #[arg(long, conflicts_with_all = ["k", "queries", "no_baselines"])]
    no_estimate: bool,
    /// List files that cannot be read, with the reason, and go on with the others
    #[arg(long)]
    skip_unreadable: bool,
    #[command(flatten)]
    input: InputArgs,
}

/// The run whose needs are estimated.
struct Planned {
    /// Whether it is to be estimated.
    wanted: bool,
    options: RedundancyOptions,
    /// Cap of its working sets, bytes.
    memory: u64,
}

/// Looks into every file.
pub fn run(args: &Args, common: &Common) -> error::Result<()> {
    let mut planned = Planned {
        wanted: !args.no_estimate,
        options: RedundancyOptions::default(),
        memory: common.memory()?,
    };
    planned.options.graph.k = args.k;
    check_queries(args.queries)?;
    planned.options.queries = args.queries;
    planned.options.baselines = !args.no_baselines;
    let found = std::thread::scope(|scope| {
        let mut device = match common.choice()? {
            // Files are read meanwhile: to look for a GPU takes as long as to read some hundred megabytes.
            DeviceChoice::Auto => match Builder::new().spawn_scoped(scope, || common.open_device())
            {
                Ok(thread) => Opening::UnderWay(Some(thread)),
                // The system starts no further thread: before the files, then.
                Err(_) => Opening::Done(common.open_device()?),
            },
            // Who names a device wants to know at once that it is not there.
            _ => Opening::Done(common.open_device()?),
        };
        let found = look(args, common, &planned, &mut device)?;
        device.get()?;
        Ok::<_, error::Error>(found)
    })?;
    if common.json {
        return output::json(&json!({
            "layers": found.layers, "labels": found.label_files, "models": found.models,
            "left_out": found.left_out,
        }));
    }
    output::print(&found.text)
}

/// Everything in the files, in their order.
fn look(
    args: &Args,
    common: &Common,
    planned: &Planned,
    device: &mut Opening<'_>,
) -> error::Result<Found> {
    let reporter = Reporter::new(common.quiet);
    let mut found = Found::default();
    let named = |path: &Path, name: &str| path.file_name().is_some_and(|n| n == name);
    let skip = args.skip_unreadable;
    for path in &args.files {
        if path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("onnx"))
        {
            let result = found.model(path, &args.input);
            found.or_leave_out(path, skip, result)?;
        } else if named(path, "labels.npy") {
            let result = found.labels(path);
            found.or_leave_out(path, skip, result.map_err(Into::into))?;
        } else {
            let dump = match open_dump_with(&[path], samples::unreadable(skip)) {
                Ok(dump) => dump,
                Err(e) => {
                    found.or_leave_out(path, skip, Err(e.into()))?;
                    continue;
                }
            };
            for layer in &dump.layers {
                let result =
                    reporter.run(|control| found.layer(layer.as_ref(), device, planned, control));
                let file = layer.path().unwrap_or(path);
                found.or_leave_out(file, skip, result.map_err(Into::into))?;
            }
            let layers: Vec<&dyn Layer> = dump.layers.iter().map(AsRef::as_ref).collect();
            if let Some(counts) = samples::unequal(&layers) {
                let _ = writeln!(found.text, "Note: {counts}.");
            }
            for (name, reason) in dump.left_out {
                found.leave_out(&name, &reason);
            }
            if let Some(labels) = dump.labels {
                let result = found.labels(&labels);
                found.or_leave_out(&labels, skip, result.map_err(Into::into))?;
            }
        }
    }
    Ok(found)
}

/// A device that another thread may still be opening.
enum Opening<'a> {
    /// None once it has failed.
    UnderWay(Option<ScopedJoinHandle<'a, Result<Device>>>),
    Done(Device),
}

impl Opening<'_> {
    /// The device, waited for if need be. A failure is told once.
    fn get(&mut self) -> Result<&Device> {
        if let Self::UnderWay(thread) = self {
            let thread = thread.take().expect("not asked again after a failure");
            *self = Self::Done(thread.join().unwrap_or_else(|e| resume_unwind(e))?);
        }
        match self {
            Self::Done(device) => Ok(device),
            Self::UnderWay(_) => unreachable!("waited for"),
        }
    }
}

/// What was found, for both kinds of output.
#[derive(Default)]
struct Found {
    text: String,
    layers: Vec<Value>,
    label_files: Vec<Value>,
    models: Vec<Value>,
    left_out: Vec<Value>,
}

impl Found {
    /// Passes a failure on, or lists the file as left out. A path that is not there is a failure always, as is
    /// whatever the files have no part in.
    fn or_leave_out(
        &mut self,
        path: &Path,
        skip: bool,
        result: error::Result<()>,
    ) -> error::Result<()> {
        match result {
            Err(error::Error::Library(e)) if skip && path.exists() && of_the_file(&e) => {
                let (name, reason) = unread(path, &e);
                self.leave_out(&name, &reason);
                Ok(())
            }
            result => result,
        }
    }

    fn leave_out(&mut self, name: &str, reason: &str) {
        let (shown, reason_shown) = (output::plain(name), output::plain(reason));
        let _ = writeln!(self.text, "{shown}  left out: {reason_shown}");
        self.left_out.push(json!({"name": name, "reason": reason}));
    }

    fn layer(
        &mut self,
        layer: &dyn Layer,
        device: &mut Opening<'_>,
        planned: &Planned,
        control: &Control<'_>,
    ) -> Result<()> {
        let channels: Vec<usize> = (0..layer.shape().channels).collect();
        let scan = scan(layer, &channels, planned.memory, control)?;
        control.check()?;
        let device = device.get()?;
        let need = match (planned.wanted, layer.shape().samples) {
            (false, _) => None,
            (true, ..2) => {
                let reason = "a single sample has no neighbours; at least 2 are needed";
                Some(Err(reason.into()))
            }
            (true, _) => {
                let ctx = Context::new(device).with_memory(planned.memory);
                let found = estimate(&ctx, layer, &planned.options);
                Some(found.map_err(|e| error::Error::from(e).to_string()))
            }
        };
        let beyond_f32 = scan.beyond_f32(layer)?;
        self.describe(layer, &scan, beyond_f32);
        if let Some(need) = &need {
            self.need(device, planned, need);
        }
        self.layers
            .push(entry(layer, &scan, beyond_f32, need.as_ref()));
        Ok(())
    }

    /// The values of a layer in words.
    fn describe(&mut self, layer: &dyn Layer, scan: &Scan, beyond_f32: u64) {
        let s = layer.shape();
        let order = if layer.big_endian() {
            "big-endian"
        } else {
            "little-endian"
        };
        let bytes = (s.len() * layer.dtype().size()) as u64;
        let values = Values::of(scan);
        let text = &mut self.text;
        let _ = writeln!(
            text,
            "{}  [{}, {}, {}, {}]  {} {order}, C order, {}",
            layer.name(),
            s.samples,
            s.channels,
            s.height,
            s.width,
            layer.dtype().name(),
            format_size(bytes)
        );
        if let Some(path) = layer.path() {
            let _ = writeln!(text, "    file    {}", shown(path));
        }
        if let Some(note) = samples::lines(layer) {
            let _ = writeln!(text, "    axes    {note}");
        }
        let _ = writeln!(
            text,
            "    values  {} to {}, {:.1} % zeros",
            number(values.min),
            number(values.max),
            100.0 * values.zeros_share
        );
        if let Some(first) = scan.first_bad {
            let _ = writeln!(
                text,
                "    bad     {} NaN, {} infinite, {beyond_f32} beyond the range of float32 in {} of {} samples, the \
                 first at {first}",
                scan.nan(),
                scan.inf() - beyond_f32.min(scan.inf()),
                scan.bad_samples.len(),
                s.samples
            );
        }
        let dead = scan.dead_channels();
        let shown: Vec<String> = dead.iter().take(16).map(usize::to_string).collect();
        let _ = match dead.len() {
            0 => writeln!(text, "    dead    none of {} channels", s.channels),
            n => writeln!(
                text,
                "    dead    {n} of {} channels: {}{}",
                s.channels,
                shown.join(", "),
                if n > 16 { ", ..." } else { "" }
            ),
        };
    }

    /// What a run would need, in words.
    fn need(&mut self, device: &Device, planned: &Planned, need: &Result<Estimate, String>) {
        let text = &mut self.text;
        let _ = match need {
            Err(e) => {
                let e = output::plain(e);
                writeln!(text, "    run     redundancy is not possible: {e}")
            }
            Ok(need) => writeln!(
                text,
                "    run     redundancy -k {}: about {} on {}, {} of {} memory{}, {} read, {} of supports kept",
                planned.options.graph.k,
                duration(need.seconds),
                device.info().name,
                format_size(need.memory_bytes),
                format_size(planned.memory),
                match need.disk_bytes {
                    0 => String::new(),
                    bytes => format!(", {} of temporary files", format_size(bytes)),
                },
                format_size(need.read_bytes),
                format_size(need.supports_bytes)
            ),
        };
    }

    fn labels(&mut self, path: &Path) -> Result<()> {
        let labels = read_labels(path, label_count(path)?)?;
        let mut counts = std::collections::BTreeMap::<u32, u64>::new();
        for &label in &labels {
            *counts.entry(label).or_default() += 1;
        }
        let most = counts.values().max().copied().unwrap_or(0);
        let _ = writeln!(
            self.text,
            "{}  {} labels, {} classes, {:.1} % in the largest",
            shown(path),
            labels.len(),
            counts.len(),
            100.0 * most as f64 / labels.len().max(1) as f64
        );
        self.label_files.push(json!({
            "path": path.display().to_string(), "labels": labels.len(), "classes": counts.len(),
            "largest_class": most,
        }));
        Ok(())
    }

    fn model(&mut self, path: &Path, input: &InputArgs) -> error::Result<()> {
        let graph = input.open_model(path)?;
        let layers = graph.layers();
        let text = &mut self.text;
        let _ = writeln!(
            text,
            "{}  input {:?} per sample{}, {} nodes, {} convolutions",
            shown(path),
            graph.input_shape(),
            match graph.layout() {
                Some(Layout::Nhwc) => " (channels last)",
                _ => "",
            },
            graph.nodes().len(),
            layers.len()
        );
        let mut entries = Vec::new();
        let mut table = Table::new(&[Column::Name, Column::Left]);
        for layer in &layers {
            let shape = &graph.value(layer.activation).shape;
            table.row([format!("    {}", layer.name), format!("{shape:?}")]);
            entries.push(json!({"name": layer.name, "shape": shape}));
        }
        let mut outputs = Vec::new();
        for output in graph.named_outputs() {
            let shape = output.value.as_ref().map(|id| &graph.value(*id).shape);
            let shown = match &shape {
                Ok(shape) => format!("{shape:?}"),
                Err(reason) => format!("not computed: {reason}"),
            };
            table.row([format!("    output {}", output.name), shown]);
            outputs.push(json!({"name": output.name, "shape": shape.ok()}));
        }
        *text += &table.to_string();
        let mut left_out = Vec::new();
        for l in graph
            .left_out()
            .iter()
            .chain(&graph.layers_at(Tap::Activation).1)
        {
            let _ = writeln!(text, "    not computed: {}: {}", l.name, l.reason);
            left_out.push(json!({"name": l.name, "reason": l.reason}));
        }
        self.models.push(json!({
            "path": path.display().to_string(), "input_shape": graph.input_shape(),
            "input_layout": graph.layout().map(Layout::name), "nodes": graph.nodes().len(),
            "layers": entries, "outputs": outputs, "left_out": left_out,
        }));
        Ok(())
    }
}

/// Whether an error is one of a file that is read, and not of the run.
fn of_the_file(error: &Error) -> bool {
    matches!(
        error,
        Error::Io { .. }
            | Error::File { .. }
            | Error::LayerFile { .. }
            | Error::Network { .. }
            | Error::OpenSize { .. }
    )
}

/// A path on one line, whatever its name holds.
fn shown(path: &Path) -> String {
    output::plain(&path.display().to_string())
}

fn number(value: Option<f32>) -> String {
    value.map_or_else(|| "no finite value".into(), |v| format!("{v:.4}"))
}

/// One or two digits are all there is to know.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => "a second".into(),
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h", s / 3600.0),
    }
}
