//! The cosine kernel at its ends: orthogonal, parallel and nearly parallel vectors.

use crate::data::Random;
use crate::knn::{Data, params, search};
use crate::{Devices, Test};
use chanscope::ops::{Identical, Kernel};

pub const TESTS: &[Test] = &[(
    "cosine::orthogonal_maps_are_exactly_2_apart",
    orthogonal_maps_are_exactly_2_apart,
)];

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
