//! Correlation of all pairs of maps at all lags: pairs per second.

use crate::data::noise;
use crate::shapes::RESPONSES;
use chanscope::cpu::Cpu;
use chanscope::ops::Backend;
use chanscope::ops::net::NetOps;
use criterion::{Criterion, Throughput};

pub fn bench(c: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads start");
    let mut group = c.benchmark_group("correlate");
    group.sample_size(10);
    for &(name, shape) in RESPONSES {
        let x = cpu
            .upload(&shape, &noise(shape.iter().product()))
            .expect("shape fits");
        let pairs = shape[0] * (shape[0] + 1) / 2;
        group.throughput(Throughput::Elements(pairs as u64));
        group.bench_function(format!("{name} {shape:?}"), |b| {
            b.iter(|| cpu.correlate(&x, None).expect("shapes agree"));
        });
    }
}
