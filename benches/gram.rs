//! Gram matrices: floating-point operations per second, counting the whole square.

use crate::data::noise;
use crate::shapes::GRAMS;
use chanscope::cpu::Cpu;
use chanscope::ops::{Backend, GramKind};
use criterion::{Criterion, Throughput};

pub fn bench(c: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads start");
    let mut group = c.benchmark_group("gram");
    group.sample_size(10);
    for &(name, shape) in GRAMS {
        let x = cpu
            .upload(&shape, &noise(shape.iter().product()))
            .expect("shape fits");
        let [groups, n, dim] = shape;
        group.throughput(Throughput::Elements(2 * (groups * n * n * dim) as u64));
        for (kind_name, kind) in [
            ("linear", GramKind::Linear),
            ("cosine", GramKind::Cosine),
            ("gaussian", GramKind::Gaussian(1.0)),
        ] {
            group.bench_function(format!("{kind_name}, {name} {shape:?}"), |b| {
                b.iter(|| cpu.gram(&x, kind).expect("shapes agree"));
            });
        }
    }
}
