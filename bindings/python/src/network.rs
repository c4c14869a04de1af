//! What a network is asked: `impulse`, `shuffle` and `run`.

use crate::call::{Settings, long, still_wanted};
use crate::cli::error::{Error as CommandError, in_file};
use crate::cli::network::{choose, on_device, record_inputs, skip};
use crate::cli::run::add_outputs;
use crate::cli::run::writer::{Half, Writer};
use crate::error::{raised, usage};
use crate::input::Input;
use crate::output::{Finished, Found};
use crate::redundancy::{Labels, unknown};
use chanscope::io::labels::{read_indices, read_labels};
use chanscope::io::layer::Layer;
use chanscope::measure::impulse::{Bias, ImpulseOptions, impulse as measure_impulse};
use chanscope::measure::shuffle::{
    Cosine, Mode, Tapped, check_labels, check_permutation, shuffle as measure_shuffle,
};
use chanscope::measure::{ShuffleInput, ShuffleOptions};
use chanscope::model::dump::activations;
use chanscope::model::layers::{ConvLayer, Tap};
use chanscope::model::node::ValueId;
use chanscope::model::onnx;
use chanscope::report::folder::ResultsFolder;
use chanscope::report::results::Skipped;
use pyo3::prelude::*;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// A name of the library, with its error for other names.
pub fn parsed<T: FromStr<Err = chanscope::Error>>(py: Python<'_>, text: &str) -> PyResult<T> {
    text.parse().map_err(|e| raised(py, &e))
}

/// Options of `impulse`, as Python gives them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ImpulseArguments {
    at: Option<[usize; 2]>,
    bias: String,
    linear: bool,
    tap: String,
    centred: bool,
    threshold: f64,
    size: Option<[usize; 2]>,
    layout: Option<String>,
}

/// Impulse responses of a network.
#[pyfunction]
pub fn impulse(
    py: Python<'_>,
    model: PathBuf,
    arguments: ImpulseArguments,
    settings: Settings,
) -> PyResult<Found> {
    let threshold = arguments.threshold;
    if !(threshold > 0.0 && threshold <= 1.0) {
        let text = format!("threshold is {threshold}, expected above 0 and at most 1");
        return Err(usage(py, text));
    }
    let options = ImpulseOptions::default()
        .with_at(arguments.at)
        .with_bias(parsed::<Bias>(py, &arguments.bias)?)
        .with_linear(arguments.linear)
        .with_tap(parsed::<Tap>(py, &arguments.tap)?)
        .with_centred(arguments.centred)
        .with_threshold(threshold);
    let layout = arguments.layout.as_deref();
    let layout = layout.map(|text| parsed(py, text)).transpose()?;
    let target = settings.target();
    let found = long(py, settings, move |ctx| {
        let import = onnx::ImportOptions::default()
            .with_size(arguments.size)
            .with_layout(layout);
        let graph = onnx::load_with(&model, &import)?;
        let folder = ResultsFolder::begin(target.output(&[&model])?, "impulse");
        let ctx = ctx.clone().with_scratch(folder.scratch());
        folder.impulse_parameters(&ctx, &options);
        let size = arguments.size.map(|[h, w]| format!("{h}x{w}"));
        folder.parameter("size", size);
        folder.parameter("layout", arguments.layout);
        record_inputs(&folder, &model, &graph, None, None)?;
        skip(&folder, &graph.layers_at(options.tap).1);
        let found = measure_impulse(&ctx, &graph, &options)?;
        folder.stage("impulse responses");
        folder.impulse("", &found, &options)?;
        still_wanted(&ctx)?;
        Ok(Finished::of(folder, &target, true)?)
    });
    found?.into_found(py)
}

/// Options of `shuffle`, as Python gives them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ShuffleArguments {
    output: Option<String>,
    tensor: Vec<String>,
    observe: Vec<String>,
    mode: String,
    cosine: String,
    batch: usize,
    seed: u64,
}

/// The images of a call.
pub fn images(py: Python<'_>, input: &Input) -> PyResult<Arc<dyn Layer>> {
    match input.collected().layers.as_slice() {
        [one] => Ok(Arc::clone(one)),
        several => {
            let text = format!("X holds {} arrays, expected the images", several.len());
            Err(usage(py, text))
        }
    }
}

/// What shuffling the channels of layers changes.
#[pyfunction]
#[pyo3(signature = (model, input, labels, permutation, arguments, settings))]
pub fn shuffle(
    py: Python<'_>,
    model: PathBuf,
    input: &Input,
    labels: Option<Labels<'_>>,
    permutation: Option<Labels<'_>>,
    arguments: ShuffleArguments,
    settings: Settings,
) -> PyResult<Found> {
    let mode: Mode = parsed(py, &arguments.mode)?;
    let cosine: Cosine = parsed(py, &arguments.cosine)?;
    if permutation.is_some() && mode == Mode::Pixel {
        return Err(usage(py, "a permutation of samples needs mode=\"channel\""));
    }
    if arguments.output.is_some() && labels.is_none() {
        return Err(usage(
            py,
            "output= says where the classes are, so it needs y",
        ));
    }
    let options = ShuffleOptions::default()
        .with_mode(mode)
        .with_cosine(cosine)
        .with_batch(arguments.batch)
        .with_seed(arguments.seed);
    let data = images(py, input)?;
    let (label_file, given) = split(labels);
    let (permutation_file, order) = split(permutation);
    let order: Option<Vec<i64>> = order.map(|order| order.into_iter().map(i64::from).collect());
    let mut paths = vec![model.clone()];
    paths.extend(data.path().map(Path::to_path_buf));
    paths.extend(
        [&label_file, &permutation_file]
            .into_iter()
            .flatten()
            .cloned(),
    );
    let target = settings.target();
    let found = long(py, settings, move |ctx| {
        let (data, s) = (data.as_ref(), data.shape());
        let graph = onnx::load(&model, Some(&[s.channels, s.height, s.width]))?;
        let in_labels = |e| match &label_file {
            Some(path) => in_file(path, e),
            None => e,
        };
        let labels = match &label_file {
            Some(path) => Some(read_labels(path, s.samples)?),
            None => given,
        };
        let mut classes = None;
        if let Some(labels) = &labels {
            let scores = graph.output(arguments.output.as_deref());
            let scores = scores.map_err(|e| in_file(&model, e))?;
            let shape = &graph.value(scores).shape;
            check_labels(labels, s.samples, shape).map_err(in_labels)?;
            classes = Some(scores);
        }
        let permutation = match (&permutation_file, order) {
            (Some(path), _) => {
                let indices = read_indices(path, s.samples)?;
                let checked = check_permutation(&indices, s.samples, options.batch);
                checked.map_err(|e| in_file(path, e))?;
                Some(indices)
            }
            (None, Some(order)) => {
                check_permutation(&order, s.samples, options.batch)?;
                Some(order)
            }
            (None, None) => None,
        };
        let chosen = choose(&graph, Tap::Activation, &arguments.tensor, "tensor")?;
        let mut tensors = chosen.layers;
        if arguments.tensor.is_empty() && chosen.left_out.is_empty() {
            tensors.pop();
        }
        if tensors.is_empty() {
            let text =
                "the model has fewer than two convolutions; name the layer to shuffle with tensor=";
            return Err(CommandError::Usage(text.into()));
        }
        let tapped = |l: &ConvLayer| Tapped {
            name: l.name.clone(),
            value: l.activation,
        };
        let observe = choose(&graph, Tap::Activation, &arguments.observe, "observe")?;
        let observe: Vec<Tapped> = observe.layers.iter().map(tapped).collect();
        let watched = |layer: &ConvLayer| {
            let reached = graph.dependents(layer.consumed);
            (observe.iter()).any(|t| reached[t.value.index()] && t.value != layer.consumed)
        };
        if labels.is_none() && !tensors.iter().any(watched) {
            let text = "none of the observed layers depends on a shuffled one: give y, or a later layer to observe";
            return Err(CommandError::Usage(text.into()));
        }
        let inputs: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        let folder = ResultsFolder::begin(target.output(&inputs)?, "shuffle");
        let ctx = ctx.clone().with_scratch(folder.scratch());
        folder.shuffle_parameters(&ctx, &options);
        folder.parameter("tensor", arguments.tensor.clone());
        folder.parameter("observe", arguments.observe.clone());
        let file = permutation_file.as_ref().map(|p| p.display().to_string());
        folder.parameter("permutation", file);
        folder.parameter("output", arguments.output.clone());
        record_inputs(&folder, &model, &graph, Some(data), label_file.as_deref())?;
        skip(&folder, &chosen.left_out);
        for layer in &tensors {
            if labels.is_none() && arguments.tensor.is_empty() && !watched(layer) {
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
            let input = ShuffleInput::new(&graph, data, &tensor, &observe)
                .with_labels(labels.as_deref())
                .with_output(classes)
                .with_permutation(permutation.as_deref());
            let found = measure_shuffle(&ctx, &input, &options)?;
            data.check_unchanged()?;
            folder.shuffle(&found)?;
            folder.stage(layer.name.clone());
        }
        still_wanted(&ctx)?;
        Ok(Finished::of(folder, &target, true)?)
    });
    found.map_err(|e| input.blame(e))?.into_found(py)
}

/// A file, or the numbers that were given.
pub fn split(labels: Option<Labels<'_>>) -> (Option<PathBuf>, Option<Vec<u32>>) {
    match labels {
        None => (None, None),
        Some(Labels::File(path)) => (Some(path), None),
        Some(Labels::Bytes(bytes)) => {
            use pyo3::types::PyBytesMethods;
            let (numbers, _) = bytes.as_bytes().as_chunks::<4>();
            let numbers = numbers.iter().map(|&b| u32::from_ne_bytes(b));
            (None, Some(numbers.collect()))
        }
    }
}

/// Options of `run`, as Python gives them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct RunArguments {
    tap: String,
    layers: Vec<String>,
    dtype: String,
}

/// Runs a network and writes its activations into the folder `out`.
#[pyfunction]
pub fn run(
    py: Python<'_>,
    model: PathBuf,
    input: &Input,
    arguments: RunArguments,
    settings: Settings,
) -> PyResult<Found> {
    let tap: Tap = parsed(py, &arguments.tap)?;
    let half = match arguments.dtype.as_str() {
        "f32" | "float32" => false,
        "f16" | "float16" => true,
        other => return Err(unknown(py, "dtype", other, "f32 or f16")),
    };
    let data = images(py, input)?;
    let target = settings.target();
    let found = long(py, settings, move |ctx| {
        let (data, s) = (data.as_ref(), data.shape());
        let graph = onnx::load(&model, Some(&[s.channels, s.height, s.width]))?;
        let mut chosen = choose(&graph, tap, &arguments.layers, "layers")?;
        let mut taps: Vec<(String, ValueId)> = (chosen.layers.iter())
            .map(|l| (l.name.clone(), l.tap(tap)))
            .collect();
        add_outputs(&graph, &mut taps, &mut chosen.left_out);
        if taps.is_empty() {
            let why = chosen.left_out.first();
            let why = why.map_or_else(String::new, |l| format!(": {}: {}", l.name, l.reason));
            return Err(CommandError::Failed(format!(
                "{}: neither a layer at this tap nor an output can be computed{why}",
                model.display()
            )));
        }
        let inputs: Vec<&Path> = [Some(model.as_path()), data.path()]
            .into_iter()
            .flatten()
            .collect();
        let output = target.output(&inputs)?;
        let mut writers = vec![];
        for (i, (name, value)) in taps.iter().enumerate() {
            let shape = match graph.value(*value).shape.as_slice() {
                // Lines are images of height 1.
                &[m, l] if i < chosen.layers.len() => vec![s.samples, m, 1, l],
                shape => [&[s.samples], shape].concat(),
            };
            let file = format!("{name}.npy");
            writers.push(match half {
                false => Writer::F32(output.array_writer(&file, &shape)?),
                true => {
                    let file = output.array_writer(&file, &shape)?;
                    Writer::F16(Half::new(file, &graph.value(*value).shape))
                }
            });
        }
        let folder = ResultsFolder::begin(output, "run");
        folder.device(ctx.device());
        folder.parameter("tap", tap.name());
        folder.parameter("layers", arguments.layers.clone());
        folder.parameter("dtype", if half { "f16" } else { "f32" });
        folder.parameter("memory", ctx.memory());
        folder.parameter("threads", ctx.threads());
        record_inputs(&folder, &model, &graph, Some(data), None)?;
        skip(&folder, &chosen.left_out);
        let values: Vec<ValueId> = taps.iter().map(|t| t.1).collect();
        let take = |place: usize, first: usize, elements: &[f32]| {
            let (name, value) = &taps[place];
            writers[place].write(first * graph.value(*value).len(), elements, name)
        };
        let (memory, control) = (ctx.memory(), ctx.control());
        on_device!(ctx.device(), |backend| activations(
            backend, &graph, data, &values, memory, control, take
        ))?;
        data.check_unchanged()?;
        for (writer, (name, _)) in writers.into_iter().zip(&taps) {
            if let Some(reason) = writer.finish(name)? {
                let name = name.clone();
                folder.skip(Skipped { name, reason });
            }
        }
        folder.stage("forward pass");
        still_wanted(ctx)?;
        Ok(Finished::of(folder, &target, false)?)
    });
    found.map_err(|e| input.blame(e))?.into_found(py)
}
