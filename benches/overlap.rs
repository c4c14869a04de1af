//! Overlap of the supports of all pairs of channels: queries per second.

use crate::data::noise;
use crate::shapes::SUPPORTS;
use chanscope::cpu::Cpu;
use chanscope::ops::{Backend, OverlapSums, Supports};
use criterion::{Criterion, Throughput};

/// Candidates of a query.
const K: usize = 25;
/// Samples that neighbours are drawn from, as far apart as those of a class.
const SAMPLES: usize = 1000;

/// `[channels, queries, K]` supports, every third candidate in them.
fn supports(channels: usize, queries: usize) -> Vec<i32> {
    let mut indices = Vec::with_capacity(channels * queries * K);
    for (i, v) in noise(channels * queries).into_iter().enumerate() {
        // A stride that the number of samples does not share makes them differ.
        let first = (f64::from(v.abs()) * SAMPLES as f64) as usize;
        let candidates = (0..K).map(|j| (first + 37 * j) % SAMPLES);
        indices.extend(candidates.enumerate().map(|(j, sample)| match (i + j) % 3 {
            0 => sample as i32,
            _ => -1,
        }));
    }
    indices
}

pub fn bench(c: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads start");
    let mut group = c.benchmark_group("overlap");
    group.sample_size(10);
    for &(name, channels, queries) in SUPPORTS {
        let indices = supports(channels, queries);
        let degenerate = vec![false; channels * queries];
        let supports = Supports {
            indices: &indices,
            degenerate: &degenerate,
            channels,
            queries,
            k: K,
        };
        let zeros = || vec![0; channels * channels];
        group.throughput(Throughput::Elements(queries as u64));
        group.bench_function(format!("{name}, {channels} channels, k {K}"), |b| {
            b.iter(|| {
                let mut sums = OverlapSums {
                    intersection: zeros(),
                    jaccard_q40: zeros(),
                    queries: zeros(),
                    unions: zeros(),
                };
                cpu.overlap(supports, &mut sums).expect("shapes agree");
                sums
            });
        });
    }
}
