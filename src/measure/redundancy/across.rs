//! Channels of different layers that pick the same neighbours (docs/definitions.md#across-layers).
//!
//! The live channels of all layers are one list, whose supports the overlap stage compares as it compares those of one layer.
//! Up to [`TOGETHER`] channels, if their sums fit under the memory cap, that is one call, and the whole matrix is kept. Above,
//! it is one call for every two layers, and only what is reported of their pairs stays. All sums are integers, so that both
//! ways give the same bits; calls for two layers compare each layer with itself again, and take up to twice the time.
//!
//! The layers of two runs are compared in the same way ([`super::between`]): then only pairs with a layer of each are wanted.

use super::matches::{Match, Place, Summary};
use super::overlap::{OverlapStage, SupportSource, check_overlap_memory};
use crate::Result;
use crate::control::Control;
use crate::device::on_backend;
use crate::io::spill::SupportBlock;
use crate::measure::Context;
use crate::ops::Backend;
use ndarray::{Array2, s};
use std::ops::Range;

/// Channels of all layers up to which the whole matrix is found.
pub const TOGETHER: usize = 4096;

/// What the channels of several layers have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Across {
    /// Layers, in the order of the input.
    pub layers: Vec<String>,
    /// `[C]`: the live channels of all layers, layer by layer.
    pub channels: Vec<Place>,
    /// `[L, L]`: mean Jaccard index over the pairs of different channels of two layers; NaN where no pair has one.
    pub mean: Array2<f64>,
    /// `[L, L]`: mean over the channels of layer `l` of the largest Jaccard index with a (different) channel of layer `m`;
    /// NaN where there is none.
    pub best_match: Array2<f64>,
    /// `[C]`: the most similar channel of any other layer, of equal ones that of the first layer and channel.
    pub matches: Vec<Option<Match>>,
    /// `[C, C]`, up to [`TOGETHER`] channels, if the memory cap allows it.
    pub jaccard: Option<Array2<f64>>,
}

impl Across {
    /// What was found between all layers.
    pub(super) fn of(
        layers: &[SideLayer<'_>],
        found: Summary,
        jaccard: Option<Array2<f64>>,
    ) -> Self {
        let others = |l: usize| (0..layers.len()).filter(move |&m| m != l);
        Self {
            layers: layers.iter().map(|l| l.name.to_string()).collect(),
            mean: found.mean().clone(),
            best_match: found.best_match(),
            matches: (0..found.places().len())
                .map(|c| found.best_among(c, others(found.places()[c].layer)))
                .collect(),
            channels: found.places().to_vec(),
            jaccard,
        }
    }
}

/// What [`across`] is given: the layers of a run, which have the same queries.
#[derive(Clone, Copy)]
pub struct AcrossInput<'a> {
    /// Layers.
    pub layers: &'a [SideLayer<'a>],
    /// Queries of every layer.
    pub queries: usize,
    /// Samples, among which the members of supports are.
    pub samples: usize,
    /// Most members of a support.
    pub k: usize,
}

/// Compares the channels of all layers of a run whose supports are kept: what [`redundancy`](super::redundancy()) finds with
/// [`super::RedundancyOptions::across`].
///
/// # Errors
/// [`crate::Error::Memory`], [`crate::Error::Cancelled`], and what the supports and the device report.
pub fn across(ctx: &Context<'_>, input: &AcrossInput<'_>) -> Result<Across> {
    let (found, jaccard) = ctx.run(|| {
        on_backend!(ctx.device(), |backend| {
            let stage = AcrossStage {
                backend,
                layers: input.layers,
                split: None,
                queries: input.queries,
                samples: input.samples,
                k: input.k,
                memory: ctx.memory(),
                control: ctx.control(),
            };
            stage.run()
        })
    })?;
    Ok(Across::of(input.layers, found, jaccard))
}

/// A layer of a run, with the supports of its channels.
#[derive(Clone, Copy)]
pub struct SideLayer<'a> {
    /// Layer.
    pub name: &'a str,
    /// `[C]`: the channels that were measured, by their index in the layer.
    pub channels: &'a [usize],
    /// `[C]`: those that are zero on every sample.
    pub dead: &'a [bool],
    /// Supports of these channels.
    pub supports: &'a dyn SupportSource,
}

impl SideLayer<'_> {
    /// The live channels, by their index in the layer.
    fn live_channels(&self) -> Vec<usize> {
        self.live().into_iter().map(|c| self.channels[c]).collect()
    }

    /// Positions of the live channels in the supports.
    fn live(&self) -> Vec<usize> {
        (0..self.channels.len())
            .filter(|&c| !self.dead[c])
            .collect()
    }
}

/// How the supports of layers are compared.
pub(super) struct AcrossStage<'a, B: Backend> {
    pub backend: &'a B,
    pub layers: &'a [SideLayer<'a>],
    /// The layers before this one are compared with the others, and none with another of its side. `None`: all with all.
    pub split: Option<usize>,
    /// Queries of every layer.
    pub queries: usize,
    /// All samples, among which the members of supports are.
    pub samples: usize,
    pub k: usize,
    pub memory: u64,
    pub control: &'a Control<'a>,
}

/// The live channels of some layers as one list.
struct List<'a> {
    k: usize,
    /// Layers, and positions of their live channels in their supports.
    layers: Vec<(&'a dyn SupportSource, Vec<usize>)>,
}

impl SupportSource for List<'_> {
    fn get(&self, queries: Range<usize>) -> Result<SupportBlock> {
        let mut all = SupportBlock::default();
        for (source, live) in &self.layers {
            let block = source.get(queries.clone())?;
            let (queries, slots) = (queries.len(), queries.len() * self.k);
            for &c in live {
                all.indices
                    .extend_from_slice(&block.indices[c * slots..][..slots]);
                all.degenerate
                    .extend_from_slice(&block.degenerate[c * queries..][..queries]);
            }
        }
        Ok(all)
    }
}

impl<B: Backend> AcrossStage<'_, B> {
    /// Compares all pairs of layers that are wanted. Returns what is found, and the whole matrix where it was kept.
    pub fn run(&self) -> Result<(Summary, Option<Array2<f64>>)> {
        let live = self.layers.iter().map(SideLayer::live_channels);
        let mut found = Summary::new(&live.collect::<Vec<_>>());
        let all: Vec<usize> = (0..self.layers.len()).collect();
        let fits = |channels| check_overlap_memory(channels, self.k, false, self.memory);
        let channels = found.places().len();
        if channels <= TOGETHER && fits(channels).is_ok() {
            let matrix = self.compare(&all, self.control)?;
            for l in 0..all.len() {
                for m in (l..all.len()).filter(|&m| self.wanted(l, m)) {
                    let block = s![found.range(l), found.range(m)];
                    found.add(l, m, matrix.slice(block));
                }
            }
            return Ok((found, Some(matrix)));
        }
        let pairs = || (1..all.len()).flat_map(|m| (0..m).map(move |l| (l, m)));
        let pairs: Vec<(usize, usize)> = pairs().filter(|&(l, m)| self.wanted(l, m)).collect();
        for &(l, m) in &pairs {
            fits(found.range(l).len() + found.range(m).len())?;
        }
        let count = pairs.len() as f64;
        for (done, (l, m)) in pairs.into_iter().enumerate() {
            let done = done as f64;
            let control = self.control.part(done / count, (done + 1.0) / count);
            let matrix = self.compare(&[l, m], &control)?;
            let (a, b) = (0..found.range(l).len(), found.range(l).len()..);
            // The first call that meets a layer compares it with itself, too.
            if (l, m) == (0, 1) && self.wanted(0, 0) {
                found.add(0, 0, matrix.slice(s![a.clone(), a.clone()]));
            }
            if l == 0 && self.wanted(m, m) {
                found.add(m, m, matrix.slice(s![b.clone(), b.clone()]));
            }
            found.add(l, m, matrix.slice(s![a, b]));
        }
        Ok((found, None))
    }

    /// Whether two layers, the first of which comes first or is the same, are compared.
    fn wanted(&self, l: usize, m: usize) -> bool {
        self.split.is_none_or(|split| l < split && m >= split)
    }

    /// The Jaccard index of the live channels of some layers, as one list.
    fn compare(&self, layers: &[usize], control: &Control<'_>) -> Result<Array2<f64>> {
        let list = List {
            k: self.k,
            layers: (layers.iter())
                .map(|&l| (self.layers[l].supports, self.layers[l].live()))
                .collect(),
        };
        let channels = list.layers.iter().map(|(_, live)| live.len()).sum();
        let name = |&l: &usize| self.layers[l].name;
        let stage = match layers {
            &[l, m] => format!("{} and {}: overlap", name(&l), name(&m)),
            _ => "overlap across layers".to_string(),
        };
        let stage = OverlapStage {
            backend: self.backend,
            channels,
            samples: self.samples,
            queries: 0..self.queries,
            sampled: false,
            k: self.k,
            supports: &list,
            aggregate: None,
            memory: self.memory,
            control,
            stage,
        };
        Ok(stage.run()?.finish(channels, None).jaccard)
    }
}
