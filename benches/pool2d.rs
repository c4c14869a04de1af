//! Pooling of real layers: elements read per second.

use crate::data::noise;
use crate::shapes::POOLS;
use chanscope::cpu::Cpu;
use chanscope::ops::Backend;
use chanscope::ops::net::{NetOps, Pool2dParams, PoolKind};
use criterion::{Criterion, Throughput};

pub fn bench(c: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads start");
    let mut group = c.benchmark_group("pool2d");
    group.sample_size(10);
    for &(name, shape, [window, step, padding]) in POOLS {
        let size: usize = shape.iter().product();
        let x = cpu.upload(&shape, &noise(size)).expect("shape fits");
        let side = |length: usize| (length + 2 * padding - window) / step + 1;
        for kind in [PoolKind::Max, PoolKind::Average] {
            let params = Pool2dParams {
                kind,
                kernel: [window; 2],
                stride: [step; 2],
                padding: [padding; 4],
                dilation: [1, 1],
                output: [side(shape[2]), side(shape[3])],
            };
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(format!("{name} {shape:?} {kind:?}"), |b| {
                b.iter(|| cpu.pool2d(&x, &params).expect("shapes agree"));
            });
        }
    }
}
