//! How much work a dispatch and a submission hold. Large cards need large dispatches to be filled; drivers and desktops
//! need short ones, and consider a device hung that takes seconds.

/// Time that a dispatch should take at most, seconds.
const DISPATCH_SECONDS: f64 = 0.1;
/// The share of the measured rate that kernels are expected to reach at least.
const SHARE: f64 = 0.25;
/// Operations of a dispatch for the weakest GPU (0.5 Tflop/s at that share is 160 ms), and more than any card needs.
const FEWEST: u64 = 20_000_000_000;
const MOST: u64 = 2_000_000_000_000;

/// Operations, as the kernels estimate them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Most operations of one dispatch, unless a single workgroup does more.
    pub(super) dispatch: u64,
    /// Operations after which recorded work is submitted, so that no driver considers the device hung, and the memory
    /// that submitted work holds stays bounded.
    pub(super) submit: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self::with(FEWEST)
    }
}

impl Pace {
    /// For a device that does `rate` operations a second where nothing but arithmetic limits it.
    pub(super) fn of(rate: f64) -> Self {
        Self::with((rate * SHARE * DISPATCH_SECONDS) as u64)
    }

    /// Workgroups of a dispatch where a kernel has `workgroups` of them, each of which does `work` operations. All
    /// dispatches of a kernel have about as many, so that the last one fills the device as the others do.
    pub(super) fn step(self, workgroups: u64, work: u64) -> u64 {
        let most = (self.dispatch / work.max(1)).max(1);
        workgroups.div_ceil(workgroups.div_ceil(most).max(1)).max(1)
    }

    fn with(dispatch: u64) -> Self {
        let dispatch = dispatch.clamp(FEWEST, MOST);
        Self {
            dispatch,
            submit: dispatch / 2 * 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispatches_of_a_kernel_are_alike() {
        let pace = Pace::default();
        for (workgroups, work) in [
            (0, 1),
            (1, 1),
            (7, 0),
            (1000, 1 << 26),
            (3, FEWEST),
            (9, MOST),
        ] {
            let step = pace.step(workgroups, work);
            let count = workgroups.div_ceil(step);
            assert!(step == 1 || step * work <= pace.dispatch);
            assert_eq!(
                count,
                workgroups.div_ceil((pace.dispatch / work.max(1)).max(1))
            );
            let last = workgroups - count.saturating_sub(1) * step;
            assert!(
                workgroups == 0 || last > 0 && step - last < count.max(1),
                "{workgroups} {work}"
            );
        }
    }

    #[test]
    fn dispatches_grow_with_the_device() {
        assert_eq!(Pace::of(0.0), Pace::default());
        assert_eq!(Pace::of(f64::INFINITY).dispatch, MOST);
        assert_eq!(Pace::of(10e12).dispatch, 250_000_000_000);
        // At 20,000 numbers a tile of the search's filter is 64 x 64 x 40,016 operations. A card of 132 units and
        // 60 Tflop/s gets at least four tiles a unit in each dispatch.
        assert!(Pace::of(60e12).dispatch / (64 * 64 * 40_016) >= 4 * 132);
    }
}
