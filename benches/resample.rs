//! Maps made twice as high by linear interpolation: elements of the result per second.

use crate::data::noise;
use crate::shapes::MAPS;
use chanscope::cpu::Cpu;
use chanscope::ops::Backend;
use chanscope::ops::net::{NetOps, Resampling};
use criterion::{Criterion, Throughput};

/// Two elements for each, a quarter of the way to its neighbours.
fn doubled(size: usize) -> Resampling {
    let last = size as u32 - 1;
    let index = (0..=last).flat_map(|i| [i.saturating_sub(1), i, i, (i + 1).min(last)]);
    let weight = (0..size).flat_map(|_| [0.25, 0.75, 0.75, 0.25]);
    Resampling {
        terms: 2,
        index: index.collect(),
        weight: weight.collect(),
    }
}

pub fn bench(c: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads start");
    let mut group = c.benchmark_group("resample");
    group.sample_size(10);
    for &(name, shape) in MAPS {
        let size: usize = shape.iter().product();
        let x = cpu.upload(&shape, &noise(size)).expect("shape fits");
        let by = doubled(shape[2]);
        group.throughput(Throughput::Elements(2 * size as u64));
        group.bench_function(format!("{name} {shape:?} rows"), |b| {
            b.iter(|| cpu.resample(&x, 2, &by).expect("indices fit"));
        });
    }
}
