//! What ablation gives: accuracies with their standard errors, from which samples are still classified correctly.

use super::options::Criterion;

/// Accuracy of a network without some of its channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Ablation {
    /// Samples that accuracy is measured on.
    pub samples: usize,
    /// Indices of the samples of the calibration part, ascending.
    pub calibration: Vec<usize>,
    /// Accuracy of the intact network.
    pub accuracy: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// The layers, each ablated by itself, in the order of the input.
    pub layers: Vec<AblatedLayer>,
    /// All of them at once, at equal shares, where that was asked for and there are several: a curve per ranking.
    pub together: Option<Vec<Curve>>,
}

/// A layer ablated by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct AblatedLayer {
    /// Layer.
    pub name: String,
    /// Channels `C`.
    pub channels: usize,
    /// A curve per ranking.
    pub curves: Vec<Curve>,
}

/// Accuracy against the share of channels kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// By what the channels are ranked.
    pub ranking: Criterion,
    /// `[C]` channels, first kept first: the orders that were ablated, several of a random ranking. Empty for all layers at
    /// once.
    pub orders: Vec<Vec<usize>>,
    /// A point per share, in their order.
    pub points: Vec<Point>,
}

/// One share of channels kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The share asked for.
    pub share: f64,
    /// Channels kept, in all layers that are ablated.
    pub kept: usize,
    /// Accuracy, the mean over the orders of a random ranking.
    pub accuracy: f64,
    /// Standard error of the accuracy over samples.
    pub standard_error: f64,
    /// Accuracy less that of the intact network.
    pub change: f64,
    /// Standard error of the change, sample by sample.
    pub change_error: f64,
    /// Accuracy of every order, where there are several.
    pub accuracies: Vec<f64>,
}

/// Mean of `values / scale`, and its standard error: the root of the sample variance divided by the number of samples. Sums
/// are integers, so that no order of adding changes a bit.
fn mean(values: impl Iterator<Item = i64>, scale: usize) -> (f64, f64) {
    let (mut n, mut sum, mut squares) = (0i128, 0i128, 0i128);
    for v in values {
        n += 1;
        sum += i128::from(v);
        squares += i128::from(v * v);
    }
    // n (n - 1) times the sample variance, exactly.
    let spread = n * squares - sum * sum;
    let (n, scale) = (n as f64, scale as f64);
    let error = (spread as f64 / (n - 1.0)).sqrt() / (n * scale);
    (sum as f64 / (n * scale), error)
}

/// Accuracy of the intact network and its standard error; `right` tells which samples it classifies correctly.
pub(super) fn intact(right: &[bool]) -> (f64, f64) {
    mean(right.iter().map(|&r| i64::from(r)), 1)
}

impl Point {
    /// From which samples are classified correctly by the intact network, and with each order.
    pub(super) fn new(share: f64, kept: usize, intact: &[bool], orders: &[&[bool]]) -> Self {
        let scale = orders.len();
        let right = |i: usize| orders.iter().map(|o| i64::from(o[i])).sum::<i64>();
        let samples = 0..intact.len();
        let (accuracy, standard_error) = mean(samples.clone().map(right), scale);
        let change = |i: usize| right(i) - scale as i64 * i64::from(intact[i]);
        let (change, change_error) = mean(samples.map(change), scale);
        let each = orders.iter().map(|o| self::intact(o).0);
        Self {
            share,
            kept,
            accuracy,
            standard_error,
            change,
            change_error,
            accuracies: if scale > 1 { each.collect() } else { vec![] },
        }
    }
}
