//! `chanscope run`: forward pass, activations written as a dump.

pub mod writer;

use super::network::{choose, on_device, open_data, open_model, record_inputs, skip};
use super::progress::Reporter;
use super::table::{Column, Table};
use super::{Common, error, output};
use chanscope::io::names::Namer;
use chanscope::model::dump::activations;
use chanscope::model::graph::Graph;
use chanscope::model::layers::Tap;
use chanscope::model::node::ValueId;
use chanscope::model::parts::LeftOut;
use chanscope::report::folder::ResultsFolder;
use chanscope::report::results::Skipped;
use clap::ValueEnum;
use std::fmt::Write as _;
use std::path::PathBuf;
use writer::{Half, Writer};

/// Run a network and write its activations as a dump that `redundancy` reads
#[derive(clap::Args)]
#[command(
    after_help = "Example:  chanscope run lenet5.onnx images.npy --tap activation --dump activations"
)]
pub struct Args {
    /// The network: an ONNX file of opset 7 to 23
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Its input, an .npy of [N,C,H,W], or of [N,H,W,C] for a network that takes images so
    #[arg(value_name = "DATA.npy")]
    data: PathBuf,
    /// Folder for the activations: NAME.npy per layer, and output.npy, or NAME.npy for each of several outputs
    #[arg(long, value_name = "DIR")]
    dump: PathBuf,
    /// Where each convolution is observed: conv (its output), activation (after batch normalisation and
    /// activation) or pool (after pooling)
    #[arg(long, default_value = "activation", value_name = "TAP")]
    tap: String,
    /// Write only these layers [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    layers: Vec<String>,
    /// Element type of the dump; f16 is refused for layers of which a value is too large for it, or all are too small
    #[arg(long, value_enum, default_value_t = DType::F32)]
    dtype: DType,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DType {
    F32,
    F16,
}

/// Runs the network.
pub fn run(args: &Args, common: &Common) -> error::Result<()> {
    let tap: Tap = args.tap.parse()?;
    let memory = common.memory()?;
    let data = open_data(&args.data)?;
    let graph = open_model(&args.model, data.as_ref())?;
    let mut chosen = choose(&graph, tap, &args.layers, "--layers")?;
    let mut taps: Vec<(String, ValueId)> = (chosen.layers.iter())
        .map(|l| (l.name.clone(), l.tap(tap)))
        .collect();
    add_outputs(&graph, &mut taps, &mut chosen.left_out);
    if taps.is_empty() {
        let why = chosen.left_out.first();
        let why = why.map_or_else(String::new, |l| format!(": {}: {}", l.name, l.reason));
        let model = args.model.display();
        return Err(error::Error::Failed(format!(
            "{model}: neither a layer at this tap nor an output can be computed{why}"
        )));
    }
    let output = common.output_in(&args.dump, &[Some(&args.model), Some(&args.data)])?;
    let samples = data.shape().samples;
    let mut writers = vec![];
    for (i, (name, value)) in taps.iter().enumerate() {
        let shape = match graph.value(*value).shape.as_slice() {
            // Lines are images of height 1.
            &[m, l] if i < chosen.layers.len() => vec![samples, m, 1, l],
            shape => [&[samples], shape].concat(),
        };
        let file = format!("{name}.npy");
        writers.push(match args.dtype {
            DType::F32 => Writer::F32(output.array_writer(&file, &shape)?),
            DType::F16 => {
                let file = output.array_writer(&file, &shape)?;
                Writer::F16(Half::new(file, &graph.value(*value).shape))
            }
        });
    }
    let device = common.open_device()?;
    let folder = ResultsFolder::begin(output, "run");
    folder.device(&device);
    folder.parameter("tap", tap.name());
    folder.parameter("layers", args.layers.clone());
    folder.parameter(
        "dtype",
        if args.dtype == DType::F32 {
            "f32"
        } else {
            "f16"
        },
    );
    folder.parameter("memory", memory);
    folder.parameter("threads", common.threads());
    record_inputs(&folder, &args.model, &graph, Some(data.as_ref()), None)?;
    skip(&folder, &chosen.left_out);
    let values: Vec<ValueId> = taps.iter().map(|t| t.1).collect();
    let take = |place: usize, first: usize, elements: &[f32]| {
        let (name, value) = &taps[place];
        writers[place].write(first * graph.value(*value).len(), elements, name)
    };
    Reporter::new(common.quiet).run(|control| {
        on_device!(&device, |backend| activations(
            backend,
            &graph,
            data.as_ref(),
            &values,
            memory,
            control,
            take
        ))
    })?;
    data.check_unchanged()?;
    for (writer, (name, _)) in writers.into_iter().zip(&taps) {
        if let Some(reason) = writer.finish(name)? {
            let name = name.clone();
            folder.skip(Skipped { name, reason });
        }
    }
    folder.stage("forward pass");
    let path = folder.path().to_path_buf();
    let results = folder.finish_without_report()?;
    if common.json {
        return output::json(&results);
    }
    let mut table = Table::new(&[Column::Name, Column::Left]);
    for (name, value) in &taps {
        let shape = &graph.value(*value).shape;
        table.row([name, &format!("{samples} x {shape:?}")]);
    }
    let mut text = table.to_string();
    text += &output::skipped(&results);
    let _ = writeln!(text, "\nDump: {}", path.display());
    output::print(&text)
}

/// Adds the outputs: one as `output`, several by their names.
pub fn add_outputs(graph: &Graph, taps: &mut Vec<(String, ValueId)>, left_out: &mut Vec<LeftOut>) {
    let mut namer = Namer::new();
    for (name, _) in taps.iter() {
        namer.reserve(name);
    }
    let single = graph.named_outputs().len() == 1;
    for output in graph.named_outputs() {
        let name = match single {
            true => "output".into(),
            false => namer.name(&output.name),
        };
        match &output.value {
            Ok(value) => taps.push((name, *value)),
            Err(reason) => left_out.push(LeftOut {
                name,
                reason: reason.clone(),
            }),
        }
    }
}
