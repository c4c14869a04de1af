//! One binary for all benchmarks, a module a stem: `cargo bench --bench main -- knn`.

mod conv2d;
mod correlate;
mod data;
mod filters;
mod gram;
mod knn;
mod linear;
mod nnk;
mod overlap;
mod pointwise;
mod pool2d;
mod reduce;
mod resample;
mod shuffle;
mod strided;
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
    overlap::bench,
    linear::bench,
    pointwise::bench,
    pool2d::bench,
    reduce::bench,
    resample::bench,
    shuffle::bench,
    strided::bench
);
criterion_main!(benches);
