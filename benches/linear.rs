//! Fully connected layers: floating-point operations per second.

use crate::data::noise;
use crate::shapes::LINEARS;
use chanscope::cpu::Cpu;
use chanscope::ops::net::NetOps;
use chanscope::ops::{Activation, Backend};
use criterion::{Criterion, Throughput};

pub fn bench(c: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads start");
    let mut group = c.benchmark_group("linear");
    group.sample_size(10);
    for &(name, [rows, inner, columns]) in LINEARS {
        let tensor = |shape: &[usize]| {
            cpu.upload(shape, &noise(shape.iter().product()))
                .expect("shape fits")
        };
        let x = tensor(&[rows, inner]);
        let weight = tensor(&[inner, columns]);
        let bias = tensor(&[columns]);
        group.throughput(Throughput::Elements((2 * rows * inner * columns) as u64));
        group.bench_function(format!("{name} {rows}x{inner}x{columns}"), |b| {
            b.iter(|| {
                cpu.linear(&x, &weight, Some(&bias), Activation::Relu)
                    .expect("shapes agree")
            });
        });
    }
}
