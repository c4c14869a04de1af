//! How the time of a run divides among its stages, for progress. Only ratios matter, and roughly: what a run takes on a
//! device is measured by [`super::estimate()`].

use super::RedundancyOptions;
use crate::control::Control;
use crate::measure::Context;
use crate::tensor::LayerShape;
use std::ops::Range;

/// Estimated nanoseconds of the stages of one layer, on two cores.
#[derive(Clone, Copy)]
pub(super) struct Work {
    /// A reading.
    read: f64,
    /// The first reading, with the similarity of channels.
    survey: f64,
    /// The graphs of all channels.
    graphs: f64,
    /// The graph of the aggregate.
    aggregate: f64,
    /// The overlaps.
    overlap: f64,
    queries: f64,
    channels: f64,
}

impl Work {
    /// Of a layer of which `channels` channels are measured.
    pub(super) fn new(shape: LayerShape, channels: usize, options: &RedundancyOptions) -> Self {
        let (n, c, d) = (shape.samples as f64, channels as f64, shape.dim() as f64);
        let k = options.graph.k as f64;
        let queries = options.queries.map_or(n, |queries| n.min(queries as f64));
        // A query: its distances to all samples, its kernel matrix and its solution.
        let query = |d: f64| 0.005 * n * d + 0.1 * k * k * (d + 2.0 * k);
        let products = if options.baselines {
            0.1 * n * c * c * d
        } else {
            0.0
        };
        let read = 2.0 * n * c * d;
        Self {
            read,
            survey: read + products,
            graphs: read + c * queries * query(d),
            aggregate: match options.aggregate {
                true => read + queries * query(c * d),
                false => 0.0,
            },
            overlap: overlap(queries, c, k),
            queries,
            channels: c,
        }
    }

    /// The share of the graphs that a copy of the layer by channels takes, where one is made: about a survey's time.
    pub(super) fn copying(&self) -> f64 {
        self.read / (self.read + self.graphs)
    }

    fn after_survey(&self) -> f64 {
        self.graphs + self.aggregate + self.overlap
    }

    /// The shares of graphs, aggregate and overlaps in what follows the survey.
    pub(super) fn shares(&self) -> [Range<f64>; 3] {
        let all = self.after_survey();
        let (a, b) = (self.graphs / all, (self.graphs + self.aggregate) / all);
        [0.0..a, a..b, b..1.0]
    }
}

/// The overlaps of `c` channels.
fn overlap(queries: f64, c: f64, k: f64) -> f64 {
    queries * (1.2 * c * c + 20.0 * c * k)
}

/// Where the stages of all layers lie in the run: first the surveys, then the layers one after another,
/// then what they have in common.
pub(super) struct Schedule {
    work: Vec<Work>,
    /// The overlaps across layers.
    across: f64,
    total: f64,
}

impl Schedule {
    pub(super) fn new(work: Vec<Work>, options: &RedundancyOptions) -> Self {
        let across = match options.across {
            true => {
                let queries = work.iter().map(|w| w.queries).fold(0.0, f64::max);
                let channels = work.iter().map(|w| w.channels).sum();
                overlap(queries, channels, options.graph.k as f64)
            }
            false => 0.0,
        };
        let layers: f64 = work.iter().map(|w| w.survey + w.after_survey()).sum();
        Self {
            work,
            across,
            total: layers + across,
        }
    }

    /// The survey of a layer.
    pub(super) fn survey(&self, layer: usize) -> Range<f64> {
        let before: f64 = self.work[..layer].iter().map(|w| w.survey).sum();
        before / self.total..(before + self.work[layer].survey) / self.total
    }

    /// The moment when all layers are surveyed.
    pub(super) fn surveyed(&self) -> Range<f64> {
        let all: f64 = self.work.iter().map(|w| w.survey).sum();
        all / self.total..all / self.total
    }

    /// The overlaps across layers.
    pub(super) fn across(&self) -> Range<f64> {
        1.0 - self.across / self.total..1.0
    }

    /// Graphs and overlaps of a layer.
    pub(super) fn layer(&self, layer: usize) -> Range<f64> {
        let before: f64 = self.work[..layer].iter().map(Work::after_survey).sum();
        let start = self.surveyed().start + before / self.total;
        start..start + self.work[layer].after_survey() / self.total
    }
}

/// A context whose progress is that of a part of the job.
pub(super) fn part<'a>(ctx: &Context<'a>, share: &Range<f64>) -> Context<'a> {
    let control: Control<'a> = ctx.control().part(share.start, share.end);
    ctx.clone().with_control(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_fill_the_job_without_gaps() {
        let options = RedundancyOptions::default()
            .with_aggregate(true)
            .with_across(true);
        let work = [(100, 3, 4), (100, 64, 2)].map(|(n, c, side)| {
            let shape = LayerShape::new(n, c, side, side).unwrap();
            Work::new(shape, c, &options)
        });
        let [graphs, aggregate, overlap] = work[0].shares();
        assert_eq!((graphs.start, overlap.end), (0.0, 1.0));
        assert_eq!(
            (graphs.end, aggregate.end),
            (aggregate.start, overlap.start)
        );
        let schedule = Schedule::new(work.to_vec(), &options);
        let parts = [
            schedule.survey(0),
            schedule.survey(1),
            schedule.surveyed(),
            schedule.layer(0),
            schedule.layer(1),
            schedule.across(),
        ];
        assert_eq!(parts[0].start, 0.0);
        for pair in parts.windows(2) {
            assert!((pair[0].end - pair[1].start).abs() < 1e-12, "{parts:?}");
        }
        assert!(parts[5].start < 1.0 && (parts[5].end - 1.0).abs() < 1e-12);
    }
}
