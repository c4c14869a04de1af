use crate::data::Random;
use crate::{Devices, Test};
use chanscope::gpu::Options;
use chanscope::ops::ceiling::Ceilings;
use chanscope::ops::{Backend, GramKind};

pub const TESTS: &[Test] = &[
    ("ceiling::copies_are_copies", copies),
    ("ceiling::kernels_are_timed_on_the_device", timed),
];

fn copies(devices: &Devices) {
    let gpu = devices.gpu();
    for len in [1, 4, 1001, 300_000] {
        let data = Random(5).signed_vec(len);
        let from = gpu.upload(&[len], &data).unwrap();
        let mut to = gpu.zeros(&[len]).unwrap();
        gpu.copy(&from, &mut to).unwrap();
        assert_eq!(gpu.download(&to).unwrap(), data);
    }
    let (a, mut b) = (gpu.zeros(&[2]).unwrap(), gpu.zeros(&[3]).unwrap());
    assert!(gpu.copy(&a, &mut b).is_err());
}

/// Timestamps, where the adapter has them: every kernel by its name, no time without work, and the same
/// results as without.
fn timed(devices: &Devices) {
    let plain = devices.gpu();
    assert!(plain.kernel_times().is_empty());
    let gpu = devices.reopen(&Options {
        profile: true,
        ..Options::default()
    });
    let data = Random(6).signed_vec(300 * 64);
    let gram = |gpu: &chanscope::gpu::Gpu| {
        let x = gpu.upload(&[1, 300, 64], &data).unwrap();
        gpu.download(&gpu.gram(&x, GramKind::Cosine).unwrap())
            .unwrap()
    };
    assert_eq!(gram(&gpu), gram(plain));
    let times = gpu.kernel_times();
    let names = chanscope::gpu::adapters();
    let has = |a: &&chanscope::gpu::Adapter| a.info == *gpu.info();
    let timestamps = names
        .iter()
        .find(has)
        .is_some_and(|a| a.features.contains(&"timestamps"));
    if !timestamps {
        assert!(times.is_empty());
        return;
    }
    let found: Vec<&str> = times.keys().copied().collect();
    // On matrices it takes finding out first which groups they are for.
    let expected: &[&str] = match gpu.cooperative_matrix() {
        None => &["gram", "gram_factors", "gram_rows"],
        Some(_) => &[
            "gram",
            "gram_factors",
            "gram_half",
            "gram_largest",
            "gram_pack",
            "gram_rows",
        ],
    };
    assert_eq!(found, expected);
    for time in times.values() {
        assert!(time.dispatches == 1 && time.seconds.is_finite(), "{time:?}");
    }
    assert!(gpu.kernel_times().is_empty(), "times are taken once");
    gpu.arithmetic().unwrap();
    let once = gpu.kernel_times()["ceiling_arithmetic"];
    for _ in 0..10 {
        gpu.arithmetic().unwrap();
    }
    let tenfold = gpu.kernel_times()["ceiling_arithmetic"];
    assert_eq!(tenfold.dispatches, 10 * once.dispatches);
}
