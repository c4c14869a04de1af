//! The graphs of real activations: a trained LeNet-5 on handwritten digits.

use crate::support::{digits, exact};
use chanscope::cpu::Cpu;
use chanscope::ops::Kernel;

#[test]
fn graphs_of_lenet5_are_exact() {
    let cpu = Cpu::new(2).unwrap();
    let data = digits::pool2(&cpu);
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        for k in [25, 50] {
            let tally = exact::measure(&cpu, &data, 100..170, kernel, k);
            assert!(
                tally.gap <= 1e-9 && tally.gap_of_weights <= 1e-9,
                "{tally:?}"
            );
            assert_eq!(tally.mismatched, 0, "{tally:?}");
            assert!(tally.unique > 600, "few supports to compare: {tally:?}");
        }
    }
}
