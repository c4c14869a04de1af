//! Means over maps and softmax over channels: elements per second.

use crate::data::noise;
use crate::shapes::MAPS;
use chanscope::cpu::Cpu;
use chanscope::ops::Backend;
use chanscope::ops::net::{NetOps, Reduction};
use criterion::{Criterion, Throughput};

pub fn bench(c: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads start");
    let mut group = c.benchmark_group("reduce");
    group.sample_size(10);
    for &(name, shape) in MAPS {
        let size: usize = shape.iter().product();
        let x = cpu.upload(&shape, &noise(size)).expect("shape fits");
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(format!("{name} {shape:?} mean"), |b| {
            b.iter(|| {
                cpu.reduce(&x, Reduction::Mean, 2..4, &shape[..2])
                    .expect("shapes agree")
            });
        });
        group.bench_function(format!("{name} {shape:?} softmax"), |b| {
            b.iter(|| cpu.softmax(&x, 1).expect("shapes agree"));
        });
    }
}
