//! Options in the words of `results.json`, which are those of the command line.

use super::ResultsFolder;
use crate::measure::Context;
use crate::measure::ablate::AblateOptions;
use crate::measure::filters::{FiltersOptions, MinimizeOptions, Optimizer};
use crate::measure::impulse::ImpulseOptions;
use crate::measure::rank::Similarity;
use crate::measure::redundancy::{NonFinite, RedundancyOptions};
use crate::measure::shuffle::ShuffleOptions;
use crate::ops::{Identical, Kernel, Sigma};
use serde_json::{Map, Value};

impl ResultsFolder {
    /// Records the device and the bounds of a context.
    fn context(&self, ctx: &Context<'_>) {
        self.device(ctx.device());
        self.parameter("memory", ctx.memory());
        self.parameter("threads", ctx.threads());
    }

    /// Records context and options of [`crate::measure::redundancy()`], and whether the graphs are written
    /// ([`ResultsFolder::graphs`]).
    pub fn redundancy_parameters(
        &self,
        ctx: &Context<'_>,
        options: &RedundancyOptions,
        save_graph: bool,
    ) {
        self.device(ctx.device());
        for (name, value) in redundancy_parameters(ctx, options, save_graph) {
            self.parameter(&name, value);
        }
    }

    /// Records context and options of [`crate::measure::filters()`], and of a minimisation.
    pub fn filters_parameters(
        &self,
        ctx: &Context<'_>,
        options: &FiltersOptions,
        minimize: Option<&MinimizeOptions>,
    ) {
        self.context(ctx);
        self.parameter("skip-unreadable", false);
        self.parameter("pairs", options.params.pairs.name());
        self.parameter("input-channels", options.params.input_channels.name());
        self.parameter("gradient", options.gradient);
        self.parameter("pair-matrix", options.matrices);
        if let Some(options) = minimize {
            self.minimize_parameters(options);
        }
    }

    /// Records the options of [`crate::measure::minimize`].
    pub fn minimize_parameters(&self, options: &MinimizeOptions) {
        self.parameter("minimize", options.steps);
        self.parameter("keep-norm", options.keep_norm);
        match options.optimizer {
            Optimizer::Adam { lr, betas, epsilon } => {
                self.parameter("optimizer", "adam");
                self.parameter("lr", lr);
                self.parameter("betas", betas.to_vec());
                self.parameter("epsilon", epsilon);
            }
            Optimizer::Sgd {
                lr,
                momentum,
                nesterov,
            } => {
                self.parameter("optimizer", "sgd");
                self.parameter("lr", lr);
                self.parameter("momentum", momentum);
                self.parameter("nesterov", nesterov);
            }
        }
    }

    /// Records context and options of [`crate::measure::shuffle()`].
    pub fn shuffle_parameters(&self, ctx: &Context<'_>, options: &ShuffleOptions) {
        self.context(ctx);
        self.parameter("mode", options.mode.name());
        self.parameter("cosine", options.cosine.name());
        self.parameter("batch", options.batch);
        self.parameter("seed", options.seed);
    }

    /// Records context and options of [`crate::measure::ablate()`].
    pub fn ablate_parameters(&self, ctx: &Context<'_>, options: &AblateOptions) {
        self.context(ctx);
        self.parameter("keep", options.keep.clone());
        self.parameter("dropped", options.dropped.name());
        let rankings: Vec<&str> = options.rankings.iter().map(|r| r.name()).collect();
        self.parameter("rankings", rankings);
        self.parameter("calibration", options.calibration);
        self.parameter("k", options.k);
        self.parameter("seed", options.seed);
    }

    /// Records context and options of [`crate::measure::rank()`].
    pub fn rank_parameters(&self, ctx: &Context<'_>, by: Similarity) {
        self.context(ctx);
        self.parameter("by", by.name());
    }

    /// Records the context of [`crate::measure::compare()`].
    pub fn compare_parameters(&self, ctx: &Context<'_>) {
        self.context(ctx);
    }

    /// Records context and options of [`crate::measure::impulse()`].
    pub fn impulse_parameters(&self, ctx: &Context<'_>, options: &ImpulseOptions) {
        self.context(ctx);
        self.parameter("at", options.at.map(|[y, x]| format!("{y},{x}")));
        self.parameter("bias", options.bias.name());
        self.parameter("linear", options.linear);
        self.parameter("tap", options.tap.name());
        self.parameter("centred", options.centred);
        self.parameter("threshold", options.threshold);
    }
}

/// Channels as on the command line: `0,3,8-15`.
fn channel_list(channels: &[usize]) -> String {
    let runs = channels.chunk_by(|&a, &b| b == a + 1).map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        [one] => one.to_string(),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(",")
}

/// Bounds of a context and options of [`crate::measure::redundancy()`] as [`ResultsFolder::redundancy_parameters`] records
/// them.
pub(crate) fn redundancy_parameters(
    ctx: &Context<'_>,
    options: &RedundancyOptions,
    save_graph: bool,
) -> Map<String, Value> {
    let mut parameters = Map::new();
    let mut put = |name: &str, value: Value| {
        parameters.insert(name.into(), value);
    };
    put("memory", ctx.memory().into());
    put("threads", ctx.threads().into());
    let graph = &options.graph;
    // Of files, which the library does not open: the command line says otherwise.
    put("skip-unreadable", false.into());
    put("k", graph.k.into());
    let kernel = match graph.kernel {
        Kernel::Gaussian => "gaussian",
        Kernel::Cosine => "cosine",
    };
    put("kernel", kernel.into());
    let sigma = match graph.sigma {
        Sigma::KthThird => "kth/3".to_string(),
        Sigma::Fixed(sigma) => sigma.to_string(),
    };
    put("sigma", sigma.into());
    let identical = match graph.identical {
        Identical::Keep => "keep",
        Identical::Drop => "drop",
        Identical::Replace => "replace",
    };
    put("identical", identical.into());
    put("aggregate", options.aggregate.into());
    put(
        "channels",
        options.channels.as_deref().map(channel_list).into(),
    );
    let nan = match options.non_finite {
        NonFinite::Reject => "reject",
        NonFinite::Skip => "skip",
    };
    put("nan", nan.into());
    put("across", options.across.into());
    put("strongest", options.strongest.into());
    // A file, as above.
    put("images", Value::Null);
    put("no-baselines", (!options.baselines).into());
    put("queries", options.queries.into());
    put("seed", options.seed.into());
    put("save-graph", save_graph.into());
    // Supports are for runs in folders: the command line says otherwise.
    put("no-supports", true.into());
    parameters
}
