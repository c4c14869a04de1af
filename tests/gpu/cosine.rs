//! The cosine kernel at its ends, orthogonal and parallel vectors, and candidates that are equal under either kernel.

use crate::data::Random;
use crate::knn::{Data, params, search};
use crate::near::{Summary, joined, noise, offset_by, same_as_cpu, summary};
use crate::nnk::graph;
use crate::{Devices, Test};
use chanscope::ops::{Identical, Kernel};

pub const TESTS: &[Test] = &[
    (
        "cosine::orthogonal_maps_are_exactly_2_apart",
        orthogonal_maps_are_exactly_2_apart,
    ),
    (
        "cosine::the_longest_of_parallel_candidates_is_the_neighbour",
        parallel_candidates,
    ),
    ("cosine::the_first_of_copies_is_the_neighbour", copies),
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

/// Of parallel candidates the longest has all of their weight, wherever it stands.
fn parallel_candidates(devices: &Devices) {
    let kinds = noise([2, 12, 7], 8);
    // Powers of two, so that no rounding tells them apart.
    let lengths = [1.0, 4.0, 0.5, 2.0];
    let groups = (0..2).flat_map(|g| {
        let of = |&length: &f32| kinds.group(g).iter().map(move |v| v * length);
        lengths.iter().flat_map(of).collect::<Vec<f32>>()
    });
    let data = Data {
        x: groups.collect(),
        n: 48,
        ..kinds.clone()
    };
    let cosine = |k: usize, identical: Identical| params(k, Kernel::Cosine, identical);
    for identical in [Identical::Keep, Identical::Drop, Identical::Replace] {
        same_as_cpu(devices, &data, &cosine(30, identical), 48);
    }
    for gpu in devices.all() {
        let found = graph(gpu, &data, &cosine(47, Identical::Keep), 0..48, false);
        for q in 0..96 {
            let Summary {
                support,
                not_unique,
                ..
            } = summary(&found, q, 47);
            let longest = if q % 48 / 12 == 1 { 3 } else { 1 };
            assert_eq!(support, [(q % 12 + longest * 12) as i32], "query {q}");
            assert!(not_unique);
        }
    }
    // One direction only, as maps of one pixel have.
    let data = offset_by(9.0, [1, 40, 1], 2);
    same_as_cpu(devices, &data, &cosine(6, Identical::Keep), 40);
}

/// The first of several copies has the weight of all.
fn copies(devices: &Devices) {
    let kinds = noise([2, 40, 5], 10);
    let data = joined(&kinds, &kinds);
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        for identical in [Identical::Keep, Identical::Drop, Identical::Replace] {
            same_as_cpu(devices, &data, &params(24, kernel, identical), 80);
        }
        for gpu in devices.all() {
            let params = params(24, kernel, Identical::Replace);
            let found = graph(gpu, &data, &params, 0..80, false);
            for q in 0..160 {
                let Summary {
                    support,
                    not_unique,
                    ..
                } = summary(&found, q, 24);
                assert!(not_unique && support.iter().all(|&i| i < 40), "query {q}");
            }
        }
    }
}
