//! The order in which to keep a layer's channels, and the channel that stands for each of the others
//! (docs/definitions.md#representatives).
//!
//! [`rank()`] takes a matrix that another measure found, and orders the channels greedily by facility location: each
//! step keeps the channel that adds most to how well all channels are represented. A gain never grows from one step to
//! the next, so gains of earlier steps are upper bounds, and only those at the top of a heap are computed again
//! (Minoux, *Accelerated greedy algorithms for maximizing submodular set functions*, 1978). Similarities are counted in
//! whole units of 2^-40: sums are exact, and ties are ties.
//!
//! The first step sums all of `S [C, C]`; a later gain costs `C` additions. On measured matrices a step computes a few
//! gains, so the whole costs little more than reading the matrix once.

use super::Context;
use super::setters::setters;
use crate::control::Step;
use crate::error::Dim;
use crate::{Error, Result};
use ndarray::ArrayView2;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;

/// Units of a similarity of 1.
const ONE: f64 = (1u64 << 40) as f64;
/// How far rounding may move a similarity out of its range.
const SLACK: f64 = 1e-9;

/// What makes two channels alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Similarity {
    /// The Jaccard index of their NNK graphs, as [`redundancy`](super::redundancy()) finds it.
    #[default]
    Jaccard,
    /// The normalised Convolutional Similarity of their filters, from the pair matrix that [`filters`](super::filters())
    /// finds.
    Filters,
    /// The largest absolute correlation of their impulse responses, as [`impulse`](super::impulse()) finds it.
    Impulse,
    /// The absolute Pearson correlation, as [`channel_similarity`](super::channel_similarity) finds it.
    Pearson,
}

impl Similarity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Jaccard, Self::Filters, Self::Impulse, Self::Pearson];

    /// Its name in options and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jaccard => "jaccard",
            Self::Filters => "filters",
            Self::Impulse => "impulse",
            Self::Pearson => "pearson",
        }
    }
}

impl fmt::Display for Similarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Similarity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|s| s.name() == text);
        found.ok_or_else(|| {
            Error::unknown("similarity", text, "jaccard, filters, impulse or pearson")
        })
    }
}

/// The channels of a layer.
#[derive(Clone, Copy, Debug)]
pub struct RankInput<'a> {
    /// `[C, C]`, as the measure gives it: symmetric, NaN where there is no value. The pair matrix of filters has each
    /// filter with itself on its diagonal; the diagonals of the others are not read.
    pub matrix: ArrayView2<'a, f64>,
    /// `[C]`: channels that are kept last and represent nothing: dead ones, zero filters, those without a response.
    pub dead: &'a [bool],
}

/// Options of [`rank()`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RankOptions {
    /// What the matrix holds.
    pub similarity: Similarity,
}

setters!(RankOptions {
    with_similarity(similarity: Similarity),
});

/// A channel that stands for another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Representative {
    /// Its index in the matrix.
    pub channel: usize,
    /// How similar the two are, 0 to 1.
    pub similarity: f64,
}

/// The order in which to keep the channels of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// All channels by their index in the matrix, first kept first, dead ones last. The first `m` are the set to keep
    /// for every `m`.
    pub order: Vec<usize>,
    /// Live channels.
    pub live: usize,
    /// `[C]`, in the order of `order`: which channel stands for this one where just those before it are kept. `None` for the
    /// first and for dead channels.
    pub representatives: Vec<Option<Representative>>,
    /// `[live]`: how well the first 1, 2, ... channels represent all live ones: mean over these of their similarity
    /// to the most similar one kept.
    pub coverage: Vec<f64>,
}

/// Orders the channels of a layer by how well the first ones represent all of them.
///
/// # Errors
/// [`Error::WrongShape`] and [`Error::WrongLength`] where matrix and channels do not fit each other,
/// [`Error::Argument`] where the matrix holds what its measure cannot give, [`Error::Cancelled`].
pub fn rank(ctx: &Context<'_>, input: &RankInput<'_>, options: &RankOptions) -> Result<Ranking> {
    let units = Units::new(input, options.similarity)?;
    let (n, live) = (units.channels(), units.live.len());
    let (mut best, mut covered) = (vec![0u64; live], 0u64);
    let mut heap: BinaryHeap<(u64, Reverse<usize>, usize)> = (units.live.iter())
        .map(|&c| (units.gain(c, &best), Reverse(c), 0))
        .collect();
    let mut ranking = Ranking {
        order: Vec::with_capacity(n),
        live,
        representatives: Vec::with_capacity(n),
        coverage: Vec::with_capacity(live),
    };
    while let Some((gain, Reverse(channel), computed)) = heap.pop() {
        let kept = ranking.order.len();
        if computed < kept {
            heap.push((units.gain(channel, &best), Reverse(channel), kept));
            continue;
        }
        ranking
            .representatives
            .push(units.representative(channel, &ranking.order));
        ranking.order.push(channel);
        units.cover(channel, &mut best);
        covered += gain;
        ranking.coverage.push(covered as f64 / (ONE * live as f64));
        ctx.control().report(Step {
            stage: "ranking",
            done: ranking.order.len() as u64,
            total: live as u64,
            unit: "channels",
        });
        ctx.control().check()?;
    }
    let dead = (0..n).filter(|&c| input.dead[c]);
    ranking.order.extend(dead);
    ranking.representatives.resize(n, None);
    Ok(ranking)
}

/// For every channel, which of the `kept` ones (by their index in the matrix, in the order of their ranking) stands for
/// it: the most similar one, of equally similar ones the first. A kept channel stands for itself; `None` for dead channels, and where
/// all of `kept` are dead.
///
/// # Errors
/// As [`rank()`]; [`Error::OutOfRange`] where a kept channel does not exist.
pub fn representatives(
    input: &RankInput<'_>,
    options: &RankOptions,
    kept: &[usize],
) -> Result<Vec<Option<Representative>>> {
    let units = Units::new(input, options.similarity)?;
    let n = units.channels();
    if let Some(&beyond) = kept.iter().find(|&&c| c >= n) {
        return Err(Error::OutOfRange {
            name: "kept",
            got: beyond..beyond + 1,
            len: n,
        });
    }
    let kept: Vec<usize> = kept.iter().copied().filter(|&c| !input.dead[c]).collect();
    let mut found: Vec<Option<Representative>> = vec![None; n];
    for &c in &units.live {
        found[c] = units.representative(c, &kept);
    }
    // Another kept channel may be as similar as a channel is to itself.
    for &channel in &kept {
        let similarity = 1.0;
        found[channel] = Some(Representative {
            channel,
            similarity,
        });
    }
    Ok(found)
}

/// Similarities in units of 2^-40.
struct Units<'a> {
    matrix: ArrayView2<'a, f64>,
    similarity: Similarity,
    /// Live channels, ascending.
    live: Vec<usize>,
    /// Roots of the diagonal, by which pairs of filters are divided.
    roots: Vec<f64>,
}

impl<'a> Units<'a> {
    fn new(input: &RankInput<'a>, similarity: Similarity) -> Result<Self> {
        let (rows, columns) = input.matrix.dim();
        if rows != columns {
            let expected = vec![Dim::Is(rows), Dim::Is(rows)];
            return Err(Error::wrong_shape("matrix", expected, &[rows, columns]));
        }
        if input.dead.len() != rows {
            return Err(Error::WrongLength {
                name: "dead",
                expected: rows,
                got: input.dead.len(),
            });
        }
        let units = Self {
            matrix: input.matrix,
            similarity,
            live: (0..rows).filter(|&c| !input.dead[c]).collect(),
            roots: input.matrix.diag().mapv(f64::sqrt).to_vec(),
        };
        units.check()?;
        Ok(units)
    }

    /// Refuses values between live channels that the measure cannot have given.
    fn check(&self) -> Result<()> {
        for (at, &i) in self.live.iter().enumerate() {
            for &e in &self.live[..at] {
                let (value, mirrored) = (self.value(i, e), self.value(e, i));
                let same = value == mirrored
                    || value.is_nan() && mirrored.is_nan()
                    || (value - mirrored).abs() <= SLACK;
                if !same {
                    let got = format!("{value} at [{i}, {e}] and {mirrored} at [{e}, {i}]");
                    return Err(Error::argument("matrix", got, "a symmetric matrix"));
                }
                if !value.is_nan() && !(-SLACK..=1.0 + SLACK).contains(&value) {
                    let got = format!("{} at [{i}, {e}]", self.matrix[[i, e]]);
                    let expected = format!("values of the measure {}", self.similarity);
                    return Err(Error::argument("matrix", got, expected));
                }
            }
        }
        Ok(())
    }

    fn channels(&self) -> usize {
        self.matrix.nrows()
    }

    /// The similarity of two channels, NaN where there is none.
    fn value(&self, i: usize, e: usize) -> f64 {
        let value = self.matrix[[i, e]];
        match self.similarity {
            Similarity::Jaccard | Similarity::Impulse => value,
            Similarity::Pearson => value.abs(),
            Similarity::Filters => value / (self.roots[i] * self.roots[e]),
        }
    }

    /// The similarity of two live channels in units. No value counts as 0.
    fn units(&self, i: usize, e: usize) -> u64 {
        if i == e {
            return ONE as u64;
        }
        // The same bits for (i, e) and (e, i). The conversion turns NaN into 0, and what is below 0.
        let units = (self.value(i.min(e), i.max(e)) * ONE).round() as u64;
        units.min(ONE as u64)
    }

    /// What all channels gain if `channel` is kept besides those of which `best` holds the largest similarity.
    fn gain(&self, channel: usize, best: &[u64]) -> u64 {
        let live = self.live.iter().zip(best);
        live.map(|(&c, &best)| self.units(c, channel).saturating_sub(best))
            .sum()
    }

    /// Raises `best`, the largest similarity of each live channel to a kept one.
    fn cover(&self, channel: usize, best: &mut [u64]) {
        for (&c, best) in self.live.iter().zip(best) {
            *best = self.units(c, channel).max(*best);
        }
    }

    /// The most similar one of `kept` to a live channel, of equally similar ones the first.
    fn representative(&self, channel: usize, kept: &[usize]) -> Option<Representative> {
        let mut found: Option<(u64, usize)> = None;
        for &k in kept {
            let units = self.units(channel, k);
            if found.is_none_or(|(best, _)| units > best) {
                found = Some((units, k));
            }
        }
        found.map(|(units, channel)| Representative {
            channel,
            similarity: units as f64 / ONE,
        })
    }
}
