//! Functions of one and two numbers: elements per second.

use crate::data::noise;
use crate::shapes::MAPS;
use chanscope::cpu::Cpu;
use chanscope::ops::net::{Binary, NetOps, Unary};
use chanscope::ops::{Activation, Backend};
use criterion::{Criterion, Throughput};

pub fn bench(c: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads start");
    let mut group = c.benchmark_group("pointwise");
    group.sample_size(10);
    for &(name, shape) in MAPS {
        let size: usize = shape.iter().product();
        let tensor = |shape: &[usize]| {
            cpu.upload(shape, &noise(shape.iter().product()))
                .expect("shape fits")
        };
        let (x, y, scale) = (tensor(&shape), tensor(&shape), tensor(&[shape[1], 1, 1]));
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(format!("{name} {shape:?} residual"), |b| {
            b.iter(|| {
                cpu.binary(&x, &y, Binary::Add, Activation::Relu)
                    .expect("shapes agree")
            });
        });
        group.bench_function(format!("{name} {shape:?} scaled channels"), |b| {
            b.iter(|| {
                cpu.binary(&x, &scale, Binary::Mul, Activation::Identity)
                    .expect("shapes agree")
            });
        });
        group.bench_function(format!("{name} {shape:?} gelu"), |b| {
            b.iter(|| cpu.unary(&x, Unary::Gelu).expect("shapes agree"));
        });
    }
}
