//! Many points, long rows, and data that a filter of neighbours may stumble over; arguments and sizes that are refused.

use super::*;

/// Several tiles, several sizes of k.
pub fn many_points(devices: &Devices) {
    for (groups, n, dim, k) in [(1, 9000, 16, 25), (1, 1500, 3, 1024), (3, 1300, 5, 300)] {
        let data = Data::random(groups, n, dim, 5);
        let params = params(k, Kernel::Gaussian, Identical::Keep);
        check_some(devices, &data, &params, &[0..3, 700..707]);
    }
}

/// Each tile beats everything before it: far more points pass the filter than there is room for.
pub fn sorted_points_overflow(devices: &Devices) {
    let n = 4000;
    let data = Data {
        x: (0..n).map(|i| ((n - i) as f32).sqrt()).collect(),
        groups: 1,
        n,
        dim: 1,
    };
    let params = params(7, Kernel::Gaussian, Identical::Keep);
    check_some(devices, &data, &params, &[0..2, 2000..2002, 3998..4000]);
}

pub fn long_rows(devices: &Devices) {
    for dim in [127, 128, 129, 1025] {
        for kernel in KERNELS {
            let data = Data::random(1, 70, dim, 3);
            check_all(devices, &data, &params(9, kernel, Identical::Keep), false);
        }
    }
    // As long as a software adapter can, in more than one tile there.
    for kernel in KERNELS {
        let data = Data::random(1, 130, 29_000, 3);
        let params = params(3, kernel, Identical::Keep);
        let lists = search_ranges(
            devices.gpu(),
            &data,
            &params,
            std::slice::from_ref(&(0..3)),
            &[],
            true,
        );
        let want = oracle::knn::neighbors(&data.x, data.dim, 2, kernel, Identical::Keep);
        let index = |l: &[(f64, usize)]| l.iter().map(|(_, j)| *j).collect::<Vec<_>>();
        assert_eq!(index(&lists[2]), index(&want[..3]));
    }
}

/// A ReLU channel: most samples are all-zero.
pub fn dead_samples(devices: &Devices) {
    let mut data = Data::random(1, 6000, 4, 9);
    for (i, row) in data.x.chunks_mut(4).enumerate() {
        match i % 8 {
            0 => row.iter_mut().for_each(|v| *v = (*v * 8.0).round()),
            _ => row.fill(0.0),
        }
    }
    for gpu in devices.all() {
        for identical in [Identical::Keep, Identical::Replace] {
            let params = params(30, Kernel::Gaussian, identical);
            let queries = [0..4, 29..33, 3000..3009, 5999..6000];
            let lists = search_ranges(gpu, &data, &params, &queries, &[], false);
            for query in queries.into_iter().flatten() {
                let want = oracle::knn::neighbors(&data.x, 4, query, params.kernel, identical);
                assert_eq!(lists[query], want[..30], "query {query}");
            }
        }
    }
}

/// Squares beyond the range of f32, one of them alone, and nothing but equal rows.
pub fn huge_and_constant_values(devices: &Devices) {
    for factor in [1e37, 1e-30] {
        let mut data = Data::random(1, 300, 7, 11);
        data.x.iter_mut().for_each(|v| *v *= factor);
        check_all(
            devices,
            &data,
            &params(12, Kernel::Gaussian, Identical::Keep),
            false,
        );
        check_all(
            devices,
            &data,
            &params(12, Kernel::Cosine, Identical::Keep),
            false,
        );
    }
    let mut outlier = Data::random(1, 300, 7, 11);
    outlier.x[3 * 7] = 3e38;
    outlier.x[50 * 7 + 1] = -3e38;
    // Pairs of f32 cannot tell how far the two are from the others, float64 can.
    let float64: Vec<&Gpu> = devices
        .all()
        .iter()
        .filter(|g| g.wide() == Wide::Float64)
        .collect();
    for kernel in KERNELS {
        for gpu in &float64 {
            let params = params(12, kernel, Identical::Keep);
            let lists = search(gpu, &outlier, &params, &[], &[], false);
            check(gpu, &outlier, &params, &lists, false);
        }
    }
    let params = params(12, Kernel::Gaussian, Identical::Keep);
    for gpu in devices.all() {
        let lists = search(gpu, &outlier, &params, &[], &[], false);
        for query in [0, 4, 100, 299] {
            let want =
                oracle::knn::neighbors(&outlier.x, 7, query, params.kernel, params.identical);
            let index = |l: &[(f64, usize)]| l.iter().map(|(_, j)| *j).collect::<Vec<_>>();
            assert_eq!(index(&lists[query]), index(&want[..12]));
        }
    }
    let constant = Data {
        x: vec![2.5; 500 * 5],
        groups: 1,
        n: 500,
        dim: 5,
    };
    for kernel in KERNELS {
        let params = |identical| GraphParams {
            kernel,
            identical,
            ..params
        };
        check_all(devices, &constant, &params(Identical::Keep), true);
        check_all(devices, &constant, &params(Identical::Replace), true);
    }
}

pub fn few_samples(devices: &Devices) {
    for n in [1, 2, 3] {
        for kernel in KERNELS {
            let data = Data::random(2, n, 5, 1);
            check_all(devices, &data, &params(25, kernel, Identical::Keep), false);
        }
    }
}

pub fn refused(devices: &Devices) {
    let gpu = devices.gpu();
    assert!(gpu.candidates(1, 3, 0).is_err());
    assert!(gpu.candidates(1, 3, 1025).is_err());
    let data = Data::random(1, 10, 3, 1);
    let points = data.points(gpu, 0..10, Kernel::Gaussian);
    let good = params(4, Kernel::Gaussian, Identical::Keep);
    let mut state = gpu.candidates(1, 10, 4).unwrap();
    let wrong = params(4, Kernel::Cosine, Identical::Keep);
    assert!(
        gpu.knn(&points, 0..10, &points, &wrong, &mut state)
            .is_err()
    );
    assert!(gpu.knn(&points, 0..9, &points, &good, &mut state).is_err());
    assert!(gpu.knn(&points, 1..11, &points, &good, &mut state).is_err());
    let other = Data::random(1, 10, 4, 1).points(gpu, 0..10, Kernel::Gaussian);
    assert!(gpu.knn(&points, 0..10, &other, &good, &mut state).is_err());
    assert!(gpu.knn(&points, 0..10, &points, &good, &mut state).is_ok());
}

/// Short rows are padded to whole vectors, which one buffer has to hold. Planning counts that; who does not plan is told.
pub fn padded_rows_fit_a_buffer(devices: &Devices) {
    let gpu = devices.reopen(&chanscope::gpu::Options {
        max_buffer_bytes: Some(1 << 16),
        ..Default::default()
    });
    let limit = gpu.limits().max_block_bytes;
    for dim in [1, 5, 47] {
        assert_eq!(gpu.row_bytes(dim), dim.div_ceil(4) as u64 * 16);
        let most = (limit / gpu.row_bytes(dim)) as usize;
        // Twice the largest number of rows have room unpadded, where rows are short.
        for n in [most, most + 1] {
            let data = Data::random(1, n, dim, 3);
            let points = data.points(&gpu, 0..n, Kernel::Gaussian);
            let params = params(3, Kernel::Gaussian, Identical::Keep);
            let mut found = gpu.candidates(1, 5, 3).unwrap();
            let searched = gpu.knn(&points, 0..5, &points, &params, &mut found);
            match searched {
                Ok(()) => assert_eq!(n, most, "{dim}"),
                Err(e) => {
                    let text = e.to_string();
                    assert!(
                        n > most && text.contains("smaller batches"),
                        "{dim}: {text}"
                    );
                }
            }
        }
    }
}
