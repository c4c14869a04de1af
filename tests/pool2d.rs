//! Pooling against plain loops: odd sizes, windows that leave the map, dilation, rounding up.

use crate::oracle::net::{Pool, pool2d};
use chanscope::cpu::Cpu;
use chanscope::ops::Backend;
use chanscope::ops::net::{NetOps, Pool2dParams, PoolKind};
use proptest::prelude::*;

const KINDS: [(PoolKind, Pool); 4] = [
    (PoolKind::Max, Pool::Max),
    (PoolKind::Average, Pool::Average),
    (PoolKind::AveragePadded, Pool::AveragePadded),
    (PoolKind::First, Pool::First),
];

fn axis() -> impl Strategy<Value = (usize, usize, usize, usize, usize, usize, usize)> {
    // size, kernel, stride, dilation, before, after, and the rows rounding up adds (0 or 1)
    (1usize..12, 1usize..5, 1usize..4, 1usize..3).prop_flat_map(|(size, k, s, d)| {
        (Just(size), Just(k), Just(s), Just(d), 0..k, 0..k, 0usize..2)
    })
}

proptest! {
    #[test]
    fn agrees_with_plain_loops(
        y in axis(), x in axis(), maps in 1usize..4, seed in any::<u32>(), kind in 0usize..4,
    ) {
        let output = |(size, k, s, d, before, after, up): (usize, usize, usize, usize, usize, usize, usize)| {
            let room = (size + before + after).checked_sub(d * (k - 1) + 1)?;
            // A window added by rounding up must start inside the map.
            let extra = up == 1 && (room / s + 1) * s < size + before;
            Some(room / s + 1 + usize::from(extra))
        };
        let (Some(oh), Some(ow)) = (output(y), output(x)) else { return Ok(()) };
        let values: Vec<f32> = (0..maps * y.0 * x.0)
            .map(|i| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / 1e6 - 8.0)
            .collect();
        let (kind, plain) = KINDS[kind];
        let p = Pool2dParams {
            kind, kernel: [y.1, x.1], stride: [y.2, x.2], dilation: [y.3, x.3],
            padding: [y.4, x.4, y.5, x.5], output: [oh, ow],
        };
        let wide: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
        // Windows without any element of the map (possible with dilation) are no case the definition covers.
        let empty = pool2d(&wide, [y.0, x.0], Pool::Average, p.kernel, p.stride, p.padding, p.dilation, p.output)
            .iter().any(|v| v.is_nan());
        prop_assume!(!empty);
        let want = pool2d(&wide, [y.0, x.0], plain, p.kernel, p.stride, p.padding, p.dilation, p.output);
        let cpu = Cpu::new(1).unwrap();
        let t = cpu.upload(&[1, maps, y.0, x.0], &values).unwrap();
        let got = cpu.download(&cpu.pool2d(&t, &p).unwrap()).unwrap();
        prop_assert_eq!(got.len(), want.len());
        for (g, w) in got.iter().zip(&want) {
            prop_assert!((f64::from(*g) - w).abs() < 1e-5, "{} for {} under {:?}", g, w, p);
        }
    }
}

#[test]
fn a_nan_stays_visible() {
    let cpu = Cpu::new(1).unwrap();
    for kind in [PoolKind::Max, PoolKind::Average] {
        let x = cpu
            .upload(&[1, 1, 2, 2], &[1.0, f32::NAN, 3.0, 2.0])
            .unwrap();
        let p = Pool2dParams {
            kind,
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0; 4],
            dilation: [1, 1],
            output: [1, 1],
        };
        assert!(cpu.pool2d(&x, &p).unwrap().data()[0].is_nan(), "{kind:?}");
    }
}
