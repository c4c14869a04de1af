//! Channels of different layers that pick the same neighbours (docs/definitions.md#across-layers).
//!
//! The live channels of all layers are one list, whose supports the overlap stage compares as it compares those of one layer.
//! Up to [`TOGETHER`] channels, if their sums fit under the memory cap, that is one call, and the whole matrix is kept. Above,
//! it is one call for every two layers, and only what is reported of their pairs stays. All sums are integers, so that both
//! ways give the same bits; calls for two layers compare each layer with itself again, and take up to twice the time.

use super::overlap::{OverlapStage, SupportSource, check_overlap_memory};
use crate::Result;
use crate::control::Control;
use crate::io::spill::{SupportBlock, SupportStore};
use crate::ops::Backend;
use ndarray::{Array2, ArrayView2, s};
use std::ops::Range;

/// Channels of all layers up to which the whole matrix is found.
pub const TOGETHER: usize = 4096;

/// A channel of one of several layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the layer in the input.
    pub layer: usize,
    /// Index of the channel in the layer.
    pub channel: usize,
}

/// The channel of another layer that is most like a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Where it is.
    pub place: Place,
    /// Mean Jaccard index of the neighbours of the two.
    pub jaccard: f64,
}

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

/// The supports of a layer that was measured.
pub(super) struct Supported {
    pub name: String,
    /// `[C]`: the channels in the store, by their index in the layer.
    pub channels: Vec<usize>,
    /// `[C]`.
    pub dead: Vec<bool>,
    pub supports: SupportStore,
}

impl Supported {
    /// Positions of the live channels in the store.
    fn live(&self) -> Vec<usize> {
        (0..self.channels.len())
            .filter(|&c| !self.dead[c])
            .collect()
    }
}

/// How the supports of all layers are compared.
pub(super) struct AcrossStage<'a, B: Backend> {
    pub backend: &'a B,
    pub layers: &'a [Supported],
    /// All samples, among which the members of supports are.
    pub samples: usize,
    pub k: usize,
    pub memory: u64,
    pub control: &'a Control<'a>,
}

/// The live channels of some layers as one list.
struct List<'a> {
    k: usize,
    /// Layers, and positions of their live channels in their stores.
    layers: Vec<(&'a SupportStore, Vec<usize>)>,
}

impl SupportSource for List<'_> {
    fn get(&self, queries: Range<usize>) -> Result<SupportBlock> {
        let mut all = SupportBlock::default();
        for (store, live) in &self.layers {
            let block = store.get(queries.clone())?;
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
    pub fn run(&self) -> Result<Across> {
        let mut found = Summary::new(self.layers);
        let all: Vec<usize> = (0..self.layers.len()).collect();
        let fits = check_overlap_memory(found.places.len(), self.k, false, self.memory).is_ok();
        let mut jaccard = None;
        if found.places.len() <= TOGETHER && fits {
            let matrix = self.compare(&all, self.control)?;
            for l in 0..all.len() {
                for m in l..all.len() {
                    let block = s![found.range(l), found.range(m)];
                    found.add(l, m, matrix.slice(block));
                }
            }
            jaccard = Some(matrix);
        } else {
            let pairs = (all.len() * (all.len() - 1) / 2) as f64;
            let mut done = 0.0;
            for m in 1..all.len() {
                for l in 0..m {
                    let control = self.control.part(done / pairs, (done + 1.0) / pairs);
                    let matrix = self.compare(&[l, m], &control)?;
                    done += 1.0;
                    let (a, b) = (0..found.range(l).len(), found.range(l).len()..);
                    // The first call that meets a layer compares it with itself, too.
                    if (l, m) == (0, 1) {
                        found.add(0, 0, matrix.slice(s![a.clone(), a.clone()]));
                    }
                    if l == 0 {
                        found.add(m, m, matrix.slice(s![b.clone(), b.clone()]));
                    }
                    found.add(l, m, matrix.slice(s![a, b]));
                }
            }
        }
        Ok(found.finish(self.layers, jaccard))
    }

    /// The Jaccard index of the live channels of some layers, as one list.
    fn compare(&self, layers: &[usize], control: &Control<'_>) -> Result<Array2<f64>> {
        let list = List {
            k: self.k,
            layers: (layers.iter())
                .map(|&l| (&self.layers[l].supports, self.layers[l].live()))
                .collect(),
        };
        let channels = list.layers.iter().map(|(_, live)| live.len()).sum();
        let name = |&l: &usize| self.layers[l].name.as_str();
        let stage = match layers {
            &[l, m] => format!("{} and {}: overlap", name(&l), name(&m)),
            _ => "overlap across layers".to_string(),
        };
        let stage = OverlapStage {
            backend: self.backend,
            channels,
            samples: self.samples,
            queries: 0..self.layers.first().map_or(0, |l| l.supports.queries()),
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

/// What is reported of the pairs of channels of all layers.
struct Summary {
    places: Vec<Place>,
    /// Where each layer's channels begin in `places`, and where the last one's end.
    starts: Vec<usize>,
    mean: Array2<f64>,
    /// `[C, L]`: the largest Jaccard index of a channel with those of a layer, and the channel's position in `places`.
    best: Array2<Option<(f64, usize)>>,
}

impl Summary {
    fn new(layers: &[Supported]) -> Self {
        let (mut places, mut starts) = (Vec::new(), vec![0]);
        for (layer, kept) in layers.iter().enumerate() {
            let live = kept.live().into_iter();
            places.extend(live.map(|c| Place {
                layer,
                channel: kept.channels[c],
            }));
            starts.push(places.len());
        }
        let l = layers.len();
        Self {
            mean: Array2::from_elem((l, l), f64::NAN),
            best: Array2::from_elem((places.len(), l), None),
            places,
            starts,
        }
    }

    fn range(&self, layer: usize) -> Range<usize> {
        self.starts[layer]..self.starts[layer + 1]
    }

    /// Takes the Jaccard indices `[C_l, C_m]` of the channels of two layers, `l <= m`, which may be the same.
    fn add(&mut self, l: usize, m: usize, jaccard: ArrayView2<'_, f64>) {
        let (mut sum, mut count) = (0.0, 0u64);
        for ((c, e), &value) in jaccard.indexed_iter() {
            if value.is_nan() || (l == m && c == e) {
                continue;
            }
            sum += value;
            count += 1;
            let (c, e) = (self.starts[l] + c, self.starts[m] + e);
            raise(&mut self.best[[c, m]], value, e);
            if l != m {
                raise(&mut self.best[[e, l]], value, c);
            }
        }
        if count > 0 {
            let mean = sum / count as f64;
            (self.mean[[l, m]], self.mean[[m, l]]) = (mean, mean);
        }
    }

    fn finish(self, layers: &[Supported], jaccard: Option<Array2<f64>>) -> Across {
        let l = layers.len();
        let best_match = Array2::from_shape_fn((l, l), |(l, m)| {
            let found = self.range(l).filter_map(|c| self.best[[c, m]]);
            let (sum, count) = found.fold((0.0, 0u64), |(sum, n), (value, _)| (sum + value, n + 1));
            match count {
                0 => f64::NAN,
                n => sum / n as f64,
            }
        });
        let matches = (0..self.places.len()).map(|c| {
            let mut best = None;
            for m in (0..l).filter(|&m| m != self.places[c].layer) {
                if let Some((value, e)) = self.best[[c, m]] {
                    raise(&mut best, value, e);
                }
            }
            best.map(|(jaccard, e)| Match {
                place: self.places[e],
                jaccard,
            })
        });
        Across {
            layers: layers.iter().map(|l| l.name.clone()).collect(),
            mean: self.mean,
            best_match,
            matches: matches.collect(),
            channels: self.places,
            jaccard,
        }
    }
}

/// Keeps the larger value, and of equal ones the first.
fn raise(best: &mut Option<(f64, usize)>, value: f64, at: usize) {
    if best.is_none_or(|(most, _)| value > most) {
        *best = Some((value, at));
    }
}
