//! Non-negative kernel regression, Gram matrices included, candidates given: queries per second.

use crate::data::{clusters, relu};
use crate::shapes::CHANNELS;
use chanscope::cpu::Cpu;
use chanscope::ops::{
    Backend, GraphBlock, GraphParams, Identical, Kernel, PointsBlock, Sigma, Vectors,
};
use chanscope::tensor::Values;
use criterion::{Criterion, Throughput};

/// Queries of one measurement.
const QUERIES: usize = 2048;
/// Points their candidates are found among: more would only take longer to search.
const POINTS: usize = 10_000;

pub fn bench(c: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads start");
    let mut group = c.benchmark_group("nnk");
    group.sample_size(10);
    for channel in CHANNELS.iter().filter(|c| c.k <= 50 && c.dim <= 1000) {
        let (rows, dim) = (channel.samples.min(POINTS), channel.dim);
        for (name, kernel, data) in [
            ("gaussian", Kernel::Gaussian, clusters(rows, dim)),
            ("cosine", Kernel::Cosine, relu(rows, dim)),
        ] {
            let block = PointsBlock {
                data: Values::F32(&data),
                groups: 1,
                rows,
                dim,
                first: 0,
            };
            let points = cpu.points(block, kernel).expect("rows fit");
            let params = GraphParams {
                k: channel.k,
                kernel,
                sigma: Sigma::KthThird,
                identical: Identical::Keep,
                pca_dimension: true,
            };
            let queries = QUERIES.min(rows);
            let mut found = cpu.candidates(1, queries, channel.k).expect("lists fit");
            cpu.knn(&points, 0..queries, &points, &params, &mut found)
                .expect("shapes agree");
            group.throughput(Throughput::Elements(queries as u64));
            let title = format!("{name}, {}, d {dim}, k {}", channel.name, channel.k);
            let mut block = GraphBlock::default();
            group.bench_function(title, |b| {
                b.iter(|| {
                    cpu.nnk_into(
                        &points,
                        0..queries,
                        &found,
                        Vectors::Points(&points),
                        &params,
                        &mut block,
                    )
                    .expect("shapes agree")
                });
            });
        }
    }
}
