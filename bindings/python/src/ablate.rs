//! `ablate`: accuracy without the channels that come last in rankings.

use crate::call::{Settings, long, still_wanted};
use crate::cli::ablate::{all_rankings, layers};
use crate::cli::error::in_file;
use crate::cli::network::record_inputs;
use crate::error::usage;
use crate::input::Input;
use crate::network::{images, parsed, split};
use crate::output::{Finished, Found};
use crate::redundancy::Labels;
use chanscope::io::labels::read_labels;
use chanscope::measure::ablate::{Criterion, Dropped, GivenRanking, ablate as measure};
use chanscope::measure::shuffle::check_labels;
use chanscope::measure::{AblateInput, AblateOptions};
use chanscope::model::onnx;
use chanscope::report::folder::ResultsFolder;
use pyo3::prelude::*;
use std::path::{Path, PathBuf};

/// Options of `ablate`, as Python gives them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct AblateArguments {
    output: Option<String>,
    layers: Vec<String>,
    keep: Vec<f64>,
    dropped: String,
    /// `None`: all that the network has.
    rankings: Option<Vec<String>>,
    /// Name of a layer, and its channels, first kept first.
    given: Vec<(String, Vec<i64>)>,
    calibration: Option<usize>,
    k: usize,
    seed: u64,
}

/// Accuracy of a network without the last channels of rankings.
#[pyfunction]
#[pyo3(signature = (model, input, labels, arguments, settings))]
pub fn ablate(
    py: Python<'_>,
    model: PathBuf,
    input: &Input,
    labels: Labels<'_>,
    arguments: AblateArguments,
    settings: Settings,
) -> PyResult<Found> {
    let mut options = AblateOptions::default()
        .with_keep(arguments.keep)
        .with_dropped(parsed::<Dropped>(py, &arguments.dropped)?)
        .with_calibration(arguments.calibration)
        .with_k(arguments.k)
        .with_seed(arguments.seed);
    let named = (arguments.rankings.iter().flatten())
        .map(|name| parsed::<Criterion>(py, name))
        .collect::<PyResult<Vec<_>>>()?;
    let all = arguments.rankings.is_none();
    let given: Vec<GivenRanking> = (arguments.given.into_iter())
        .map(|(layer, order)| GivenRanking { layer, order })
        .collect();
    if given.is_empty() && named.contains(&Criterion::Given) {
        let text = "rankings=[\"given\"] needs the rankings: give them as given=";
        return Err(usage(py, text));
    }
    let data = images(py, input)?;
    let (label_file, numbers) = split(Some(labels));
    let mut paths = vec![model.clone()];
    paths.extend(data.path().map(Path::to_path_buf));
    paths.extend(label_file.clone());
    let target = settings.target();
    let found = long(py, settings, move |ctx| {
        let (data, s) = (data.as_ref(), data.shape());
        let graph = onnx::load(&model, Some(&[s.channels, s.height, s.width]))?;
        let labels = match &label_file {
            Some(path) => read_labels(path, s.samples)?,
            None => numbers.unwrap_or_default(),
        };
        let scores = graph.output(arguments.output.as_deref());
        let scores = scores.map_err(|e| in_file(&model, e))?;
        let shape = &graph.value(scores).shape;
        check_labels(&labels, s.samples, shape).map_err(|e| match &label_file {
            Some(path) => in_file(path, e),
            None => e,
        })?;
        let (layers, mut left_out) = layers(&graph, scores, &arguments.layers, "layers")?;
        let names: Vec<&str> = layers.iter().map(|l| l.name.as_str()).collect();
        if let Some(other) = given.iter().find(|g| !names.contains(&g.layer.as_str())) {
            let got = format!("one of \'{}\'", other.layer);
            let expected = format!("rankings of the layers {}", names.join(", "));
            return Err(chanscope::Error::argument("given", got, expected).into());
        }
        options.rankings = named;
        if all {
            let (rankings, missing) = all_rankings(&graph);
            options.rankings = rankings;
            left_out.extend(missing);
        }
        if !given.is_empty() && !options.rankings.contains(&Criterion::Given) {
            options.rankings.push(Criterion::Given);
        }
        let inputs: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        let folder = ResultsFolder::begin(target.output(&inputs)?, "ablate");
        let ctx = ctx.clone().with_scratch(folder.scratch());
        folder.ablate_parameters(&ctx, &options);
        folder.parameter("layers", arguments.layers.clone());
        folder.parameter("output", arguments.output.clone());
        record_inputs(&folder, &model, &graph, Some(data), label_file.as_deref())?;
        left_out.into_iter().for_each(|l| folder.skip(l));
        let input = AblateInput::new(&graph, data, &labels, &layers)
            .with_output(Some(scores))
            .with_given(&given);
        let found = measure(&ctx, &input, &options)?;
        data.check_unchanged()?;
        folder.stage("ablation");
        folder.ablation(&found, options.dropped)?;
        still_wanted(&ctx)?;
        Ok(Finished::of(folder, &target, true)?)
    });
    found.map_err(|e| input.blame(e))?.into_found(py)
}
