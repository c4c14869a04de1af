//! Convolutional Similarity: filters per second. Time is linear in their number but for `pairs` and `summed`.

use crate::data::noise;
use crate::shapes::FILTERS;
use chanscope::cpu::Cpu;
use chanscope::ops::filters::{FilterOps, FilterParams, FilterShape, InputChannels, Pairs};
use criterion::{Criterion, Throughput};

/// Pairs of filters times weights of a filter beyond which a quadratic kernel takes too long to repeat.
const QUADRATIC_UP_TO: usize = 1 << 31;

pub fn bench(c: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads start");
    let mut group = c.benchmark_group("filters");
    group.sample_size(10);
    for &(name, dims) in FILTERS {
        let shape = FilterShape::new(&dims).expect("no zero");
        let weights = noise(shape.len());
        let mut gradient = vec![0.0; weights.len()];
        let mut scratch = Default::default();
        group.throughput(Throughput::Elements(dims[0] as u64));
        let separate = FilterParams::default();
        let adjacent = FilterParams {
            pairs: Pairs::Adjacent,
            ..separate
        };
        let summed = FilterParams {
            input_channels: InputChannels::Summed,
            ..separate
        };
        let quadratic = dims[0] * shape.len() <= QUADRATIC_UP_TO;
        for (kind, params, runs) in [
            ("all", separate, true),
            ("adjacent", adjacent, true),
            ("summed", summed, quadratic),
        ] {
            if !runs {
                continue;
            }
            group.bench_function(
                format!("{kind}, value and gradient, {name} {dims:?}"),
                |b| {
                    b.iter(|| {
                        let gradient = Some(gradient.as_mut_slice());
                        cpu.similarity(&weights, shape, params, gradient, &mut scratch)
                            .expect("shapes agree")
                    });
                },
            );
        }
        if quadratic {
            group.bench_function(format!("pairs, {name} {dims:?}"), |b| {
                b.iter(|| {
                    cpu.similarity_pairs(&weights, shape, InputChannels::Separate)
                        .expect("shapes agree")
                });
            });
        }
    }
}
