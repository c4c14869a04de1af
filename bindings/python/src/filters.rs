//! `filters`: Convolutional Similarity of filters, and minimising it.

use crate::call::{Settings, long, still_wanted};
use crate::cli::error::{Error as CommandError, in_file};
use crate::cli::filters::weights::Weights as WeightFile;
use crate::error::usage;
use crate::output::{Block, Finished, Found};
use crate::redundancy::unknown;
use chanscope::io::sink::{Output, check_file};
use chanscope::measure::filters::{Filters, Optimizer};
use chanscope::measure::{
    Context, FilterBank, FiltersOptions, MinimizeOptions, Minimized, filters as measure, minimize,
};
use chanscope::ops::filters::{FilterParams, FilterShape, InputChannels, Pairs};
use chanscope::report::folder::{MATRICES_UP_TO, ResultsFolder};
use chanscope::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::PathBuf;

/// Options of `filters`, as Python gives them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Arguments {
    pairs: String,
    input_channels: String,
    gradient: bool,
    pair_matrix: bool,
    minimize: Option<usize>,
    optimizer: String,
    lr: Option<f64>,
    momentum: f64,
    nesterov: bool,
    keep_norm: bool,
    skip_unreadable: bool,
    write: Option<PathBuf>,
}

/// Weights: a file, or name, shape and the bytes of float32 of every layer.
#[derive(FromPyObject)]
pub enum Weights<'py> {
    File(PathBuf),
    Arrays(Vec<(String, Vec<usize>, Bound<'py, PyBytes>)>),
}

/// The filters of a layer in memory.
struct Bank {
    name: String,
    shape: FilterShape,
    weights: Vec<f32>,
}

/// The options in the library's terms.
struct Options {
    filters: FiltersOptions,
    minimization: Option<MinimizeOptions>,
    pair_matrix: bool,
}

impl Arguments {
    fn options(&self, py: Python<'_>) -> PyResult<Options> {
        let params = FilterParams {
            pairs: match self.pairs.as_str() {
                "all" => Pairs::All,
                "adjacent" => Pairs::Adjacent,
                other => return Err(unknown(py, "pairs", other, "all or adjacent")),
            },
            input_channels: match self.input_channels.as_str() {
                "separate" => InputChannels::Separate,
                "summed" => InputChannels::Summed,
                other => return Err(unknown(py, "input_channels", other, "separate or summed")),
            },
        };
        let optimizer = match self.optimizer.as_str() {
            "adam" if self.momentum != 0.0 || self.nesterov => {
                let text = "momentum and nesterov belong to optimizer=\"sgd\"";
                return Err(usage(py, text));
            }
            "adam" => Optimizer::adam(self.lr.unwrap_or(0.002)),
            "sgd" => Optimizer::Sgd {
                lr: self.lr.unwrap_or(0.001),
                momentum: self.momentum,
                nesterov: self.nesterov,
            },
            other => return Err(unknown(py, "optimizer", other, "adam or sgd")),
        };
        optimizer
            .check()
            .map_err(|e| crate::error::raised(py, &e))?;
        Ok(Options {
            filters: FiltersOptions::default()
                .with_params(params)
                .with_gradient(self.gradient)
                .with_matrices(self.pair_matrix),
            minimization: self.minimize.map(|steps| {
                MinimizeOptions::default()
                    .with_steps(steps)
                    .with_optimizer(optimizer)
                    .with_params(params)
                    .with_keep_norm(self.keep_norm)
            }),
            pair_matrix: self.pair_matrix,
        })
    }
}

impl Options {
    /// Refuses weights that do not fit under the memory cap.
    fn check_memory(&self, name: &str, size: usize, memory: u64) -> Result<()> {
        // Gradient; of a minimisation a copy, its gradient, two moments, and the best so far.
        let copies =
            1 + u64::from(self.filters.gradient) + if self.minimization.is_some() { 5 } else { 0 };
        let needed = 4 * size as u64 * copies;
        match needed > memory {
            true => Err(Error::Memory {
                what: format!("the {size} weights of {name}"),
                needed,
                cap: memory,
            }),
            false => Ok(()),
        }
    }

    fn measure(
        &self,
        ctx: &Context<'_>,
        bank: &FilterBank<'_>,
    ) -> Result<(Filters, Option<Minimized>)> {
        let small = bank.shape.filters <= MATRICES_UP_TO;
        let measured = self.filters.with_matrices(self.pair_matrix || small);
        let found = measure(ctx, bank, &measured)?;
        let after = self.minimization.as_ref();
        let after = after.map(|options| minimize(ctx, bank, options));
        Ok((found, after.transpose()?))
    }
}

/// Minimised weights: name, shape, values.
type Changed = Vec<(String, Vec<usize>, Vec<f32>)>;

/// Measures every layer, and minimises it where that is asked for: what was found, and the minimised weights by name.
#[pyfunction]
pub fn filters(
    py: Python<'_>,
    weights: Weights<'_>,
    arguments: Arguments,
    settings: Settings,
) -> PyResult<(Found, Vec<(String, Block)>)> {
    let options = arguments.options(py)?;
    let target = settings.target();
    let (finished, changed) = match weights {
        Weights::File(path) => long(py, settings, move |ctx| {
            let weights = WeightFile::open(&path)?;
            for (name, size) in weights.sizes() {
                options.check_memory(name, size, ctx.memory())?;
            }
            if let Some(write) = &arguments.write {
                if !weights.can_be_copied() {
                    let text = "write= copies a .safetensors with new filters in it; weights is a model, save its weights \
                                as .safetensors";
                    return Err(CommandError::Usage(text.into()));
                }
                if let Some(folder) = &target.out {
                    Output::check_file_apart(folder, write, &[&path])?;
                }
                check_file(write, target.force)?;
            }
            let folder = ResultsFolder::begin(target.output(&[&path])?, "filters");
            let ctx = ctx.clone().with_scratch(folder.scratch());
            describe(&folder, &ctx, &options, &arguments);
            weights.describe(&folder)?;
            let (mut changed, mut replaced, mut measured) = (Changed::new(), Vec::new(), 0);
            let mut first_failure = None;
            for at in 0..weights.len() {
                let layer = match weights.read(at) {
                    Err(e) if arguments.skip_unreadable && e != Error::Cancelled => {
                        folder.skip(weights.unreadable(at, &e));
                        first_failure.get_or_insert(e);
                        continue;
                    }
                    layer => layer?,
                };
                let bank = layer.filters();
                let found = options
                    .measure(&ctx, &bank)
                    .map_err(|e| in_file(&path, e))?;
                finish(&folder, &bank, found, &mut changed)?;
                measured += 1;
                replaced.push((layer.key.clone(), layer.name.clone()));
            }
            if let (0, Some(error)) = (measured, first_failure) {
                return Err(error.into());
            }
            still_wanted(&ctx)?;
            if let Some(write) = &arguments.write {
                let values = |name: &String| changed.iter().find(|(other, _, _)| other == name);
                let mut replacements = Vec::new();
                for (key, name) in &replaced {
                    let Some((_, _, values)) = values(name) else {
                        return Err(CommandError::Failed(format!(
                            "{}: layer '{name}' diverged, so nothing was written; choose a smaller lr, or keep_norm=True",
                            path.display()
                        )));
                    };
                    replacements.push(chanscope::io::safetensors::Replacement { key, values });
                }
                weights.write(write, target.force, &replacements)?;
            }
            Ok((Finished::of(folder, &target, true)?, changed))
        })?,
        Weights::Arrays(arrays) => {
            if arguments.write.is_some() {
                let text = "write= copies a .safetensors file; take the arrays from `minimized`";
                return Err(usage(py, text));
            }
            let banks = arrays.into_iter().map(|(name, shape, bytes)| {
                let (values, _) = bytes.as_bytes().as_chunks::<4>();
                Ok(Bank {
                    name,
                    shape: FilterShape::new(&shape)?,
                    weights: values.iter().map(|&v| f32::from_ne_bytes(v)).collect(),
                })
            });
            let banks = banks.collect::<Result<Vec<Bank>>>();
            let banks = banks.map_err(|e| crate::error::raised(py, &e))?;
            long(py, settings, move |ctx| {
                for bank in &banks {
                    options.check_memory(&bank.name, bank.weights.len(), ctx.memory())?;
                    bank.filters().check()?;
                }
                let folder = ResultsFolder::begin(target.output(&[])?, "filters");
                let ctx = ctx.clone().with_scratch(folder.scratch());
                describe(&folder, &ctx, &options, &arguments);
                let mut changed = Changed::new();
                for bank in &banks {
                    let bank = bank.filters();
                    let found = options.measure(&ctx, &bank)?;
                    finish(&folder, &bank, found, &mut changed)?;
                }
                still_wanted(&ctx)?;
                Ok((Finished::of(folder, &target, true)?, changed))
            })?
        }
    };
    let block = |(name, shape, values): (String, Vec<usize>, Vec<f32>)| {
        let bytes = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
        (name, Block::new("f4", shape, bytes))
    };
    Ok((
        finished.into_found(py)?,
        changed.into_iter().map(block).collect(),
    ))
}

impl Bank {
    fn filters(&self) -> FilterBank<'_> {
        FilterBank {
            name: &self.name,
            shape: self.shape,
            weights: &self.weights,
        }
    }
}

fn describe(folder: &ResultsFolder, ctx: &Context<'_>, options: &Options, arguments: &Arguments) {
    folder.filters_parameters(ctx, &options.filters, options.minimization.as_ref());
    folder.parameter("skip-unreadable", arguments.skip_unreadable);
    if options.minimization.is_some() {
        let write = arguments.write.as_ref().map(|p| p.display().to_string());
        folder.parameter("write", write);
    }
}

fn finish(
    folder: &ResultsFolder,
    bank: &FilterBank<'_>,
    (found, after): (Filters, Option<Minimized>),
    changed: &mut Changed,
) -> Result<()> {
    folder.filters(bank, &found, after.as_ref())?;
    folder.stage(bank.name.to_string());
    let s = bank.shape;
    if let Some(weights) = after.and_then(|m| m.weights) {
        let shape = vec![s.filters, s.channels, s.height, s.width];
        changed.push((bank.name.to_string(), shape, weights));
    }
    Ok(())
}

/// The name that weights called `key` are given in results.
#[pyfunction]
pub fn filters_name(key: &str) -> String {
    chanscope::io::names::Namer::new().module(key)
}
