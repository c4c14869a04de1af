//! The paper's first experiments: the relation between feature maps and kernels, and what minimising does.

use chanscope::Error;
use chanscope::cpu::Cpu;
use chanscope::device::Device;
use chanscope::measure::Context;
use chanscope::measure::filters::{Padding, Study, StudyOptions};

fn study(options: &StudyOptions) -> chanscope::Result<Study> {
    let device = Device::Cpu(Cpu::new(1).expect("threads"));
    chanscope::measure::filters::study(&Context::new(&device), options)
}

#[test]
fn the_relation_is_exact_for_full_padding_only() {
    for (kernel, input) in [(2, 2), (3, 8), (9, 64), (16, 17)] {
        let options = StudyOptions::default()
            .with_repetitions(5)
            .with_kernel(kernel)
            .with_input(input)
            .with_steps(0);
        let found = study(&options).expect("runs");
        for r in found.relations {
            if r.padding == Padding::Full {
                assert!(r.max_error <= 1e-14, "{kernel} {input}: {r:?}");
            } else {
                assert!(r.mean_error >= 1e-3 && r.max_error >= r.mean_error, "{r:?}");
            }
        }
        // Nothing was minimised.
        assert_eq!(found.reductions(), [0.0, 0.0]);
    }
}

#[test]
fn orthogonal_kernels_do_not_make_feature_maps_dissimilar() {
    let options = StudyOptions::default().with_repetitions(20);
    let found = study(&options).expect("runs");
    assert!(found.cosine_left < 1e-3);
    let [cosine, similarity] = found.reductions();
    assert!(cosine < 0.4 && similarity > 0.7, "{found:?}");
    assert_eq!(found, study(&options).expect("runs"));
}

#[test]
fn senseless_sizes_are_refused() {
    for (repetitions, kernel, input) in [(0, 3, 8), (1, 1, 8), (1, 9, 8)] {
        let options = StudyOptions::default()
            .with_repetitions(repetitions)
            .with_kernel(kernel)
            .with_input(input);
        assert!(matches!(
            study(&options),
            Err(Error::Argument { name: "study", .. })
        ));
    }
}
