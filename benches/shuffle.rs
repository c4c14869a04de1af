//! Exchanged samples and pixels, and channels put in another sample's place: elements per second.

use crate::data::noise;
use crate::shapes::MAPS;
use chanscope::cpu::Cpu;
use chanscope::ops::Backend;
use chanscope::ops::net::{NetOps, Shuffle};
use criterion::{Criterion, Throughput};

/// Channels exchanged one at a time.
const CHANNELS: usize = 8;

pub fn bench(c: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads start");
    let mut group = c.benchmark_group("shuffle");
    group.sample_size(10);
    for &(name, shape) in MAPS {
        let size: usize = shape.iter().product();
        let x = cpu.upload(&shape, &noise(size)).expect("shape fits");
        let [samples, _, h, w] = shape.map(|n| n as u32);
        // Steps prime to the sizes visit every place once.
        let others: Vec<u32> = (0..samples).map(|i| (i * 5 + 3) % samples).collect();
        let pixels: Vec<u32> = (0..samples * h * w).map(|i| i * 11 % (h * w)).collect();
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(format!("{name} {shape:?} samples"), |b| {
            b.iter(|| {
                cpu.shuffle(&x, Shuffle::Samples(&others))
                    .expect("in range")
            });
        });
        group.bench_function(format!("{name} {shape:?} pixels"), |b| {
            b.iter(|| cpu.shuffle(&x, Shuffle::Pixels(&pixels)).expect("in range"));
        });
        group.throughput(Throughput::Elements((size * CHANNELS) as u64));
        group.bench_function(format!("{name} {shape:?}, {CHANNELS} channels"), |b| {
            b.iter(|| cpu.substitute(&x, &x, 0..CHANNELS).expect("in range"));
        });
    }
}
