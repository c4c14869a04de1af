//! What can be asked of `chanscope filters`.

use super::weights::Weights;
use crate::cli::Common;
use crate::cli::error::{Error, Result};
use chanscope::io::sink::{Output, check_file};
use chanscope::measure::filters::Optimizer;
use chanscope::measure::{Context, FiltersOptions, MinimizeOptions};
use chanscope::ops::filters::{FilterParams, InputChannels, Pairs};
use chanscope::report::folder::ResultsFolder;
use std::path::{Path, PathBuf};

/// Compare the filters of every convolution by their Convolutional Similarity, and minimise it
#[derive(clap::Args)]
#[command(
    after_help = "Example:  chanscope filters lenet5.safetensors --minimize 200 --keep-norm --write new.safetensors"
)]
pub struct Args {
    /// Weights: a .safetensors file (every 4-D tensor of floats is a convolution) or an ONNX model
    #[arg(value_name = "WEIGHTS", required_unless_present = "study")]
    pub weights: Option<PathBuf>,
    /// Pairs of filters that count for the gradient and for --minimize: all, or adjacent (filters i and i + 1)
    #[arg(long, default_value = "all", value_name = "PAIRS")]
    pairs: String,
    /// How correlations of input channels count: separate (squared, then summed) or summed (summed, then
    /// squared)
    #[arg(long, default_value = "separate", value_name = "HOW")]
    input_channels: String,
    /// Write the gradient of every layer
    #[arg(long)]
    pub gradient: bool,
    /// Write the matrices of all pairs also for layers of more than 1024 filters
    #[arg(long)]
    pub pair_matrix: bool,
    /// Minimise the similarity for this many steps
    #[arg(long, value_name = "STEPS")]
    minimize: Option<usize>,
    /// Rule of a step: adam or sgd, as PyTorch defines them
    #[arg(
        long,
        default_value = "adam",
        value_name = "RULE",
        requires = "minimize"
    )]
    optimizer: String,
    /// Learning rate [default: 0.002 with adam, as the paper's code; 0.001 with sgd]
    #[arg(
        long,
        value_name = "X",
        requires = "minimize",
        allow_negative_numbers = true
    )]
    lr: Option<f64>,
    /// Momentum of sgd
    #[arg(long, default_value_t = 0.0, value_name = "X", requires = "minimize")]
    momentum: f64,
    /// Use Nesterov's form of momentum
    #[arg(long, requires = "minimize")]
    nesterov: bool,
    /// Keep the norm of every filter, so that only its direction changes
    #[arg(long, requires = "minimize")]
    keep_norm: bool,
    /// Copy WEIGHTS (.safetensors) to this file, with the minimised filters in it and every other byte as it was
    #[arg(long, value_name = "NEW.safetensors", requires = "minimize")]
    pub write: Option<PathBuf>,
    /// List layers whose weights cannot be read, or are not finite, as skipped, and measure the others
    #[arg(long)]
    pub skip_unreadable: bool,
    /// Repeat the paper's 1-D experiment in place of measuring weights, and print what it found
    #[arg(long, conflicts_with_all = ["weights", "minimize", "gradient", "pair_matrix"])]
    study: bool,
}

/// The options in the library's terms.
pub struct Options {
    pub filters: FiltersOptions,
    pub minimization: Option<MinimizeOptions>,
}

impl Args {
    /// # Errors
    /// [`Error::Usage`] on values out of their range.
    pub fn parse(&self) -> Result<Options> {
        let params = FilterParams {
            pairs: named(
                &self.pairs,
                "--pairs",
                [Pairs::All, Pairs::Adjacent],
                Pairs::name,
            )?,
            input_channels: named(
                &self.input_channels,
                "--input-channels",
                [InputChannels::Separate, InputChannels::Summed],
                InputChannels::name,
            )?,
        };
        let minimization = match self.minimize {
            None => None,
            Some(0) => {
                return Err(Error::Usage("--minimize needs at least 1 step".into()));
            }
            Some(steps) => {
                let optimizer = self.optimizer()?;
                optimizer.check()?;
                let options = MinimizeOptions::default()
                    .with_steps(steps)
                    .with_optimizer(optimizer)
                    .with_params(params)
                    .with_keep_norm(self.keep_norm);
                Some(options)
            }
        };
        Ok(Options {
            filters: FiltersOptions::default()
                .with_params(params)
                .with_gradient(self.gradient)
                .with_matrices(self.pair_matrix),
            minimization,
        })
    }

    fn optimizer(&self) -> Result<Optimizer> {
        match self.optimizer.as_str() {
            "adam" if self.momentum != 0.0 || self.nesterov => Err(Error::Usage(
                "--momentum and --nesterov belong to --optimizer sgd".into(),
            )),
            "adam" => Ok(Optimizer::adam(self.lr.unwrap_or(0.002))),
            "sgd" => Ok(Optimizer::Sgd {
                lr: self.lr.unwrap_or(0.001),
                momentum: self.momentum,
                nesterov: self.nesterov,
            }),
            other => Err(Error::Usage(format!(
                "unknown optimizer '{other}': use adam or sgd"
            ))),
        }
    }

    /// Refuses weights that do not fit under the memory cap, before anything is computed.
    pub fn check_memory(&self, weights: &Weights, memory: u64) -> Result<()> {
        let sizes = weights.sizes();
        // Gradient; of a minimisation a copy, its gradient, two moments, and the best so far.
        let copies = 1 + u64::from(self.gradient) + if self.minimize.is_some() { 5 } else { 0 };
        let kept: usize = match self.write {
            Some(_) => sizes.iter().map(|(_, size)| size).sum(),
            None => 0,
        };
        for (name, size) in sizes {
            let needed = 4 * (size as u64 * copies + kept as u64);
            if needed > memory {
                return Err(Error::Library(chanscope::Error::Memory {
                    what: format!("the {size} weights of {name}"),
                    needed,
                    cap: memory,
                }));
            }
        }
        Ok(())
    }

    /// Refuses a file that could not be written, before anything is computed.
    pub fn check_target(&self, weights: &Weights, path: &Path, common: &Common) -> Result<()> {
        let Some(target) = &self.write else {
            return Ok(());
        };
        if !weights.can_be_copied() {
            return Err(Error::Usage(
                "--write copies a .safetensors with new filters in it; WEIGHTS is a model, save its weights \
                 as .safetensors"
                    .into(),
            ));
        }
        Output::check_file_apart(common.out(), target, &[path])?;
        check_file(target, common.force)?;
        Ok(())
    }
}

impl Options {
    /// Records the options as they are used.
    pub fn describe(&self, args: &Args, folder: &ResultsFolder, ctx: &Context<'_>) {
        folder.filters_parameters(ctx, &self.filters, self.minimization.as_ref());
        folder.parameter("skip-unreadable", args.skip_unreadable);
        if self.minimization.is_some() {
            let target = args.write.as_ref().map(|p| p.display().to_string());
            folder.parameter("write", target);
        }
    }
}

/// The choice of that name.
fn named<T: Copy>(
    text: &str,
    option: &str,
    choices: [T; 2],
    name: impl Fn(T) -> &'static str,
) -> Result<T> {
    let found = choices.into_iter().find(|&c| name(c) == text);
    found.ok_or_else(|| {
        let [a, b] = choices.map(name);
        Error::Usage(format!("unknown {option} '{text}': use {a} or {b}"))
    })
}
