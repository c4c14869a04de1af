//! How large the pieces are that the device is given, on any adapter. `scripts/shader-stats --host` counts them where runs
//! of full size take no time.

use crate::data::Random;
use crate::knn::{Data, params};
use crate::nnk::graph;
use crate::{Devices, Test};
use chanscope::gpu::{Call, Options};
use chanscope::ops::{Backend, GraphBlock, Identical, Kernel, Vectors};

pub const TESTS: &[Test] = &[
    ("launches::long_rows_fill_a_card", long_rows_fill_a_card),
    (
        "launches::a_pass_is_one_submission",
        a_pass_is_one_submission,
    ),
];

/// Workgroups that fill a card of 132 units, and operations of its dispatches: 0.1 s at a quarter of 60 Tflop/s.
const FULL: u64 = 4 * 132;
const DISPATCH: u64 = 1_500_000_000_000;

/// Of no kernel of a search or a solve are workgroups so large that a dispatch of bounded time holds too few of them. What a
/// workgroup does grows with the length of rows; what it does at 100,352 numbers is computed from it.
fn long_rows_fill_a_card(devices: &Devices) {
    let gpu = devices.reopen(&Options::default());
    let dim = 20_000;
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let data = Data {
            x: Random(4).signed_vec(70 * dim),
            groups: 1,
            n: 70,
            dim,
        };
        gpu.launches();
        graph(
            &gpu,
            &data,
            &params(50, kernel, Identical::Keep),
            0..3,
            false,
        );
        let launches = gpu.launches();
        for stem in [
            "knn_norms",
            "knn_framed",
            "knn_merge",
            "nnk_gram",
            "nnk_polytope",
        ] {
            assert!(launches.iter().any(|l| l.kernel == stem), "{stem}");
        }
        for launch in launches {
            let at_most = launch.work.div_ceil(dim as u64) * 100_352;
            assert!(at_most * FULL <= DISPATCH, "{launch:?}");
        }
    }
}

/// A pass of the solver is one submission, and the host waits for none but those before it.
fn a_pass_is_one_submission(devices: &Devices) {
    let gpu = devices.reopen(&Options {
        max_buffer_bytes: Some(1 << 18),
        ..Options::default()
    });
    let (n, k) = (900, 9);
    let data = Data::random(1, n, 6, 4);
    let params = params(k, Kernel::Gaussian, Identical::Keep);
    let points = data.points(&gpu, 0..n, params.kernel);
    let mut found = gpu.candidates(1, n, k).unwrap();
    gpu.knn(&points, 0..n, &points, &params, &mut found)
        .unwrap();
    let mut block = GraphBlock::default();
    let mut solve = || {
        let vectors = Vectors::Points(&points);
        gpu.nnk_into(&points, 0..n, &found, vectors, &params, &mut block)
            .unwrap();
    };
    solve();
    gpu.wait().unwrap();
    gpu.calls();
    gpu.launches();
    solve();
    let passes = gpu.launches().iter().filter(|l| l.kernel == "nnk").count() as u64;
    let calls = gpu.calls();
    assert!(passes > 3, "{passes}");
    assert_eq!(calls[Call::Submit as usize], passes);
    // One for the results of a pass, and one that keeps few submissions in flight.
    assert!(calls[Call::Wait as usize] <= 2 * passes, "{calls:?}");
}
