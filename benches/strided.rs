//! Strided copies: maps joined along channels, and axes exchanged; elements per second.

use crate::data::noise;
use crate::shapes::MAPS;
use chanscope::cpu::Cpu;
use chanscope::ops::Backend;
use chanscope::ops::net::{NetOps, StridedCopy};
use criterion::{Criterion, Throughput};

pub fn bench(c: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads start");
    let mut group = c.benchmark_group("strided");
    group.sample_size(10);
    for &(name, shape) in MAPS {
        let [n, channels, h, w] = shape;
        let (sample, map) = (channels * h * w, h * w);
        let x = cpu.upload(&shape, &noise(n * sample)).expect("shape fits");
        let mut joined = cpu.zeros(&[n, 2 * channels, h, w]).expect("shape fits");
        let join = StridedCopy {
            extents: vec![n, sample],
            src_offset: 0,
            src_strides: vec![sample as isize, 1],
            dst_offset: sample,
            dst_strides: vec![2 * sample, 1],
        };
        group.throughput(Throughput::Elements((n * sample) as u64));
        group.bench_function(format!("{name} {shape:?} joined"), |b| {
            b.iter(|| cpu.copy(&x, &mut joined, &join).expect("in range"));
        });
        let mut last = cpu.zeros(&[n, h, w, channels]).expect("shape fits");
        let exchange = StridedCopy {
            extents: vec![n, map, channels],
            src_offset: 0,
            src_strides: vec![sample as isize, 1, map as isize],
            dst_offset: 0,
            dst_strides: vec![sample, channels, 1],
        };
        group.bench_function(format!("{name} {shape:?} channels last"), |b| {
            b.iter(|| cpu.copy(&x, &mut last, &exchange).expect("in range"));
        });
    }
}
