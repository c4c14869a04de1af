use crate::{Devices, Test, data::Random, oracle};
use chanscope::cpu::Cpu;
use chanscope::ops::{Backend, OverlapSums, Supports};

pub const TESTS: &[Test] = &[
    ("overlap::equals_oracle_and_cpu", equals_oracle_and_cpu),
    ("overlap::many_queries_do_not_overflow", many_queries),
    ("overlap::refused", refused),
];

struct Case {
    indices: Vec<i32>,
    degenerate: Vec<bool>,
    shape: [usize; 3],
}

impl Case {
    /// Supports of up to `k` of `n` samples, with gaps, empty ones and degenerate queries among them.
    fn random(channels: usize, queries: usize, k: usize, n: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut below = |n: usize| (random.next() % n as u64) as usize;
        let mut indices = Vec::new();
        let mut degenerate = Vec::new();
        for _ in 0..channels * queries {
            let mut all: Vec<i32> = (0..n as i32).collect();
            let keep = below(5);
            for slot in 0..k {
                let swap = slot % n + below(n - slot % n);
                all.swap(slot % n, swap);
                let chosen = slot < n && below(4) < keep;
                indices.push(if chosen { all[slot] } else { -1 });
            }
            degenerate.push(below(7) == 0);
        }
        let shape = [channels, queries, k];
        Self {
            indices,
            degenerate,
            shape,
        }
    }

    fn supports(&self) -> Supports<'_> {
        Supports {
            indices: &self.indices,
            degenerate: &self.degenerate,
            channels: self.shape[0],
            queries: self.shape[1],
            k: self.shape[2],
        }
    }
}

fn zeros(channels: usize) -> OverlapSums {
    let zeros = vec![0; channels * channels];
    OverlapSums {
        intersection: zeros.clone(),
        jaccard_q40: zeros.clone(),
        queries: zeros.clone(),
        unions: zeros,
    }
}

fn sums<B: Backend>(backend: &B, case: &Case) -> OverlapSums {
    let mut sums = zeros(case.shape[0]);
    backend.overlap(case.supports(), &mut sums).unwrap();
    sums
}

fn equals_oracle_and_cpu(devices: &Devices) {
    let cpu = Cpu::new(1).unwrap();
    for (channels, queries, k, n) in [
        (1, 1, 1, 2),
        (3, 40, 7, 9),
        (19, 33, 25, 40),
        (2, 5, 1024, 1500),
    ] {
        let case = Case::random(channels, queries, k, n, channels as u64);
        let found = sums(devices.gpu(), &case);
        assert_eq!(found, oracle::overlap::overlap(case.supports()));
        assert_eq!(found, sums(&cpu, &case));
        // Sums are added to, and blocks of queries do not matter.
        let mut twice = found.clone();
        devices.gpu().overlap(case.supports(), &mut twice).unwrap();
        assert!(
            twice
                .queries
                .iter()
                .zip(&found.queries)
                .all(|(t, f)| *t == 2 * f)
        );
        assert!(
            twice
                .jaccard_q40
                .iter()
                .zip(&found.jaccard_q40)
                .all(|(t, f)| *t == 2 * f)
        );
    }
}

/// Equal supports everywhere: each query adds 2^40 to the sum.
fn many_queries(devices: &Devices) {
    let queries = 70_000;
    let case = Case {
        indices: vec![5; 2 * queries],
        degenerate: vec![false; 2 * queries],
        shape: [2, queries, 1],
    };
    let found = sums(devices.gpu(), &case);
    assert_eq!(found.jaccard_q40, [(queries as u64) << 40; 4]);
    assert_eq!(found.intersection, [queries as u64; 4]);
}

fn refused(devices: &Devices) {
    let gpu = devices.gpu();
    let mut case = Case::random(2, 3, 4, 9, 1);
    assert!(gpu.overlap(case.supports(), &mut zeros(3)).is_err());
    case.indices.pop();
    assert!(gpu.overlap(case.supports(), &mut zeros(2)).is_err());
    let empty = Case::random(0, 3, 4, 9, 1);
    assert!(gpu.overlap(empty.supports(), &mut zeros(0)).is_ok());
}
