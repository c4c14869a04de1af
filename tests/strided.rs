//! Copies between strided views against plain loops.

use crate::oracle::reduce::position;
use chanscope::cpu::Cpu;
use chanscope::ops::Backend;
use chanscope::ops::net::{NetOps, StridedCopy};
use proptest::prelude::*;

/// The target after the copy, element by element.
fn plain(src: &[f32], mut dst: Vec<f32>, c: &StridedCopy) -> Vec<f32> {
    for at in 0..c.extents.iter().product() {
        let place = position(&c.extents, at);
        let (mut from, mut to) = (c.src_offset as isize, c.dst_offset);
        for (axis, &i) in place.iter().enumerate() {
            from += i as isize * c.src_strides[axis];
            to += i * c.dst_strides[axis];
        }
        dst[to] = src[from as usize];
    }
    dst
}

proptest! {
    /// Axes in any order, backwards, repeated, with gaps and an offset in the target.
    #[test]
    fn boxes_arrive_where_they_should(
        axes in prop::collection::vec((1usize..6, 0usize..3, 0usize..3), 1..5),
        order in any::<prop::sample::Index>(), offset in 0usize..7,
    ) {
        let rank = axes.len();
        let extents: Vec<usize> = axes.iter().map(|a| a.0).collect();
        // The source is dense, its axes rotated against those of the box.
        let turn = order.index(rank);
        let mut src_strides = vec![0isize; rank];
        let mut step = 1;
        for i in (0..rank).rev() {
            let axis = (i + turn) % rank;
            src_strides[axis] = step as isize;
            step *= extents[axis];
        }
        let len = step;
        let mut src_offset = 0;
        for (axis, &(n, _, how)) in axes.iter().enumerate() {
            match how {
                1 => {
                    src_offset += (n - 1) * src_strides[axis] as usize;
                    src_strides[axis] *= -1;
                }
                2 => src_strides[axis] = 0,
                _ => {}
            }
        }
        // The target has gaps, so that its elements are named once.
        let mut dst_strides = vec![0; rank];
        let mut step = 1;
        for axis in (0..rank).rev() {
            dst_strides[axis] = step + axes[axis].1;
            step = extents[axis] * dst_strides[axis];
        }
        let copy = StridedCopy { extents, src_offset, src_strides, dst_offset: offset, dst_strides };
        let src: Vec<f32> = (0..len).map(|i| i as f32).collect();
        let dst: Vec<f32> = (0..offset + step).map(|i| -1.0 - i as f32).collect();
        let cpu = Cpu::new(2).unwrap();
        let from = cpu.upload(&[len], &src).unwrap();
        let mut to = cpu.upload(&[dst.len()], &dst).unwrap();
        cpu.copy(&from, &mut to, &copy).unwrap();
        prop_assert_eq!(to.data(), &plain(&src, dst, &copy)[..], "{:?}", copy);
    }
}

#[test]
fn boxes_that_leave_a_tensor_are_refused_and_write_nothing() {
    let cpu = Cpu::new(1).unwrap();
    let x = cpu.upload(&[6], &[1.0; 6]).unwrap();
    let good = StridedCopy {
        extents: vec![2, 3],
        src_offset: 0,
        src_strides: vec![3, 1],
        dst_offset: 0,
        dst_strides: vec![3, 1],
    };
    let bad = [
        StridedCopy {
            src_offset: 1,
            ..good.clone()
        },
        StridedCopy {
            src_strides: vec![3, -1],
            ..good.clone()
        },
        StridedCopy {
            dst_offset: 1,
            ..good.clone()
        },
        StridedCopy {
            dst_strides: vec![4, 1],
            ..good.clone()
        },
        StridedCopy {
            src_strides: vec![1],
            ..good.clone()
        },
    ];
    for copy in bad {
        let mut to = cpu.zeros(&[6]).unwrap();
        assert!(cpu.copy(&x, &mut to, &copy).is_err(), "{copy:?}");
        assert_eq!(to.data(), [0.0; 6], "{copy:?}");
    }
    let mut to = cpu.zeros(&[6]).unwrap();
    cpu.copy(&x, &mut to, &good).unwrap();
    assert_eq!(to.data(), [1.0; 6]);
}
