//! Exact k nearest neighbours: queries per second.

use crate::data::{clusters, relu};
use crate::shapes::CHANNELS;
use chanscope::cpu::Cpu;
use chanscope::ops::{Backend, GraphParams, Identical, Kernel, PointsBlock, Sigma};
use chanscope::tensor::Values;
use criterion::{Criterion, Throughput};

/// Queries of one measurement, against all points.
const QUERIES: usize = 2048;

pub fn bench(c: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads start");
    let mut group = c.benchmark_group("knn");
    group.sample_size(10);
    for channel in CHANNELS {
        let variants = [
            ("", Kernel::Gaussian, clusters(channel.samples, channel.dim)),
            (
                ", cosine",
                Kernel::Cosine,
                clusters(channel.samples, channel.dim),
            ),
            (
                ", half dead",
                Kernel::Gaussian,
                relu(channel.samples, channel.dim),
            ),
        ];
        for (variant, kernel, data) in &variants {
            let (rows, dim) = (channel.samples, channel.dim);
            let block = PointsBlock {
                data: Values::F32(data),
                groups: 1,
                rows,
                dim,
                first: 0,
            };
            let points = cpu.points(block, *kernel).expect("rows fit");
            let params = GraphParams {
                k: channel.k,
                kernel: *kernel,
                sigma: Sigma::KthThird,
                identical: Identical::Keep,
                pca_dimension: false,
            };
            let queries = QUERIES.min(rows);
            group.throughput(Throughput::Elements(queries as u64));
            let name = format!(
                "{}, n {rows}, d {dim}, k {}{variant}",
                channel.name, channel.k
            );
            group.bench_function(name, |b| {
                b.iter(|| {
                    let mut state = cpu.candidates(1, queries, channel.k).expect("lists fit");
                    cpu.knn(&points, 0..queries, &points, &params, &mut state)
                        .expect("shapes agree");
                    state
                });
            });
        }
    }
}
