//! One binary for all benchmarks, a module a stem: `cargo bench --bench main -- knn`.

mod conv2d;
mod correlate;
mod data;
mod filters;
mod gram;
mod knn;
mod nnk;
mod overlap;
// What `chanscope bench` measures a part of.
#[path = "../src/cli/bench/shapes.rs"]
mod shapes;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    knn::bench,
    gram::bench,
    conv2d::bench,
    correlate::bench,
    filters::bench,
    nnk::bench,
    overlap::bench
);
criterion_main!(benches);
