//! Convolutions of real networks: floating-point operations per second.

use crate::data::noise;
use crate::shapes::CONVS;
use chanscope::cpu::Cpu;
use chanscope::ops::{Activation, Backend, Conv2dParams};
use criterion::{Criterion, Throughput};

pub fn bench(c: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads start");
    let mut group = c.benchmark_group("conv2d");
    group.sample_size(10);
    for conv in CONVS {
        let tensor = |shape: &[usize]| {
            cpu.upload(shape, &noise(shape.iter().product()))
                .expect("shape fits")
        };
        let x = tensor(&[conv.batch, conv.channels, conv.size, conv.size]);
        let per_group = conv.channels / conv.groups;
        let weight = tensor(&[conv.filters, per_group, conv.kernel, conv.kernel]);
        let bias = tensor(&[conv.filters]);
        let params = Conv2dParams {
            stride: [conv.stride; 2],
            padding: [conv.kernel / 2; 4],
            dilation: [1, 1],
            groups: conv.groups,
            activation: Activation::Relu,
        };
        group.throughput(Throughput::Elements(conv.flops()));
        group.bench_function(conv.name, |b| {
            b.iter(|| {
                cpu.conv2d(&x, &weight, Some(&bias), &params)
                    .expect("shapes agree")
            });
        });
    }
}
