//! The cosine kernel at its ends: orthogonal, parallel and nearly parallel vectors.

use crate::data::Random;
use crate::knn::{Data, params, search};
use crate::nnk::graph;
use crate::{Devices, Test};
use chanscope::ops::{Identical, Kernel};

pub const TESTS: &[Test] = &[
    (
        "cosine::orthogonal_maps_are_exactly_2_apart",
        orthogonal_maps_are_exactly_2_apart,
    ),
    (
        "cosine::what_is_not_resolved_is_counted",
        what_is_not_resolved_is_counted,
    ),
];

/// Maps without a common pixel: ties go to the lower index.
fn orthogonal_maps_are_exactly_2_apart(devices: &Devices) {
    for gpu in devices.all() {
        for pixels in [2, 9] {
            let (n, dim) = (40, 40 * pixels);
            let mut random = Random(8);
            let mut x = vec![0.0; n * dim];
            for (i, row) in x.chunks_exact_mut(dim).enumerate() {
                let own = &mut row[i * pixels..][..pixels];
                own.iter_mut().for_each(|v| *v = 1e-3 * random.signed());
            }
            let data = Data {
                x,
                groups: 1,
                n,
                dim,
            };
            let params = params(6, Kernel::Cosine, Identical::Keep);
            let lists = search(gpu, &data, &params, &[], &[13], false);
            for (query, list) in lists.iter().enumerate() {
                let first = (0..n).filter(|&i| i != query).take(6);
                assert_eq!(list, &first.map(|i| (2.0, i)).collect::<Vec<_>>());
            }
        }
    }
}

/// Nearly parallel vectors are counted as unresolved, parallel candidates as not unique, and others as neither.
fn what_is_not_resolved_is_counted(devices: &Devices) {
    let (n, dim) = (20, 5);
    let mut random = Random(31);
    let apart: Vec<f32> = (0..n * dim).map(|_| random.signed()).collect();
    let data = |x: Vec<f32>| Data {
        groups: 1,
        n: x.len() / dim,
        dim,
        x,
    };
    let with = |factor: &mut dyn FnMut() -> f32| {
        let copies = apart.iter().map(|v| v * factor());
        data(apart.iter().copied().chain(copies).collect())
    };
    let mut parallel = with(&mut || 2.0);
    parallel.x.extend(apart.iter().map(|v| v * 4.0));
    parallel.n = 3 * n;
    let near = with(&mut || 1.0 + 1e-5 * random.signed());
    let params = params(9, Kernel::Cosine, Identical::Keep);
    for gpu in devices.all() {
        let flags = |data: &Data| {
            let found = graph(gpu, data, &params, 0..data.n, false);
            (found.not_unique, found.unresolved)
        };
        let none = (vec![false; n], vec![false; n]);
        assert_eq!(flags(&data(apart.clone())), none);
        let (not_unique, unresolved) = flags(&parallel);
        // Every query is explained by its own direction, which two candidates share.
        assert_eq!(unresolved, vec![false; 3 * n]);
        assert_eq!(not_unique, vec![true; 3 * n]);
        let (not_unique, unresolved) = flags(&near);
        assert_eq!(not_unique, vec![false; 2 * n]);
        assert_eq!(unresolved, vec![true; 2 * n]);
    }
}
