//! The strongest samples of channels, against the definition.

use super::cpu;
use crate::support::noise;
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::measure::redundancy::{NonFinite, STRONGEST};
use chanscope::measure::{Context, RedundancyInput, RedundancyOptions, redundancy};
use ndarray::{Array4, Axis};

/// From the definition: all means, sorted.
fn oracle(a: &Array4<f32>, channel: usize) -> Vec<(usize, f64)> {
    let mut found = Vec::new();
    for (i, sample) in a.axis_iter(Axis(0)).enumerate() {
        let map = sample.index_axis(Axis(0), channel);
        if map.iter().any(|v| !v.is_finite()) || map.iter().all(|&v| v == 0.0) {
            continue;
        }
        let sum: f64 = map.iter().map(|&v| f64::from(v)).sum();
        found.push((i, sum / map.len() as f64));
    }
    // Stable: equal means stay in the order of their samples.
    found.sort_by(|x, y| y.1.total_cmp(&x.1));
    found.truncate(8);
    found
}

fn measured(
    a: &Array4<f32>,
    options: &RedundancyOptions,
    ctx: &Context<'_>,
) -> Vec<Vec<(usize, f64)>> {
    let layer = ArrayLayer::from_array("layer", a.view()).unwrap();
    let layers = [&layer as &dyn Layer];
    let found = redundancy(ctx, &RedundancyInput::new(&layers), options).unwrap();
    let strongest = found.layers[0].strongest.clone().expect("asked for");
    let pair = |s: &chanscope::measure::redundancy::Strong| (s.sample, s.mean);
    (strongest.iter())
        .map(|channel| channel.iter().map(pair).collect())
        .collect()
}

fn options() -> RedundancyOptions {
    let mut options = RedundancyOptions::default().with_strongest(true);
    options.graph.k = 3;
    options
}

/// Multiples of 1/16, so that sums are exact and means tie; channel 1 is dead, channel 2 below zero, channel 3 zero on
/// most samples.
fn layer(samples: usize, side: usize) -> Array4<f32> {
    let mut next = noise(samples as u64);
    let mut a = Array4::from_shape_fn((samples, 5, side, side), |(i, c, ..)| {
        let value = (16.0 * next()).round() / 16.0;
        match c {
            1 => 0.0,
            2 => -value.abs() - 0.0625,
            3 if i % 9 != 4 => 0.0,
            _ => value,
        }
    });
    // Two copies, which tie.
    let copy = a.index_axis(Axis(0), 3).to_owned();
    a.index_axis_mut(Axis(0), samples - 1).assign(&copy);
    a
}

#[test]
fn samples_with_the_largest_means_are_found() {
    assert_eq!(STRONGEST, 8);
    let device = cpu();
    for (samples, side) in [(5, 1), (8, 2), (67, 3), (300, 5)] {
        let a = layer(samples, side);
        let expected: Vec<_> = (0..5).map(|c| oracle(&a, c)).collect();
        assert!(expected[1].is_empty() && expected[3].len() < samples);
        for baselines in [true, false] {
            let options = options().with_baselines(baselines);
            let found = measured(&a, &options, &Context::new(&device));
            assert_eq!(found, expected, "{samples} {side} {baselines}");
        }
        let chosen = options().with_channels(Some(vec![4, 0]));
        let found = measured(&a, &chosen, &Context::new(&device));
        assert_eq!(found, [expected[4].clone(), expected[0].clone()]);
    }
}

/// Values whose sums are rounded: the means agree to rounding, and every block size gives the same bits.
#[test]
fn blocks_change_no_bit() {
    let mut next = noise(7);
    let a = Array4::from_shape_fn((400, 6, 11, 13), |_| next());
    let device = cpu();
    let found = measured(&a, &options(), &Context::new(&device));
    for (c, found) in found.iter().enumerate() {
        let expected = oracle(&a, c);
        for (&(_, mean), (_, want)) in found.iter().zip(expected) {
            assert!((mean - want).abs() <= 1e-13, "{mean} {want}");
        }
    }
    let small = Context::new(&device).with_memory(1 << 20);
    assert_eq!(measured(&a, &options(), &small), found);
}

#[test]
fn samples_that_are_left_out_are_not_among_them() {
    let mut a = layer(40, 2);
    a[[7, 0, 0, 0]] = f32::NAN;
    a[[21, 4, 1, 1]] = f32::INFINITY;
    let options = options().with_non_finite(NonFinite::Skip);
    let device = cpu();
    let found = measured(&a, &options, &Context::new(&device));
    // A sample that is not finite in one channel is left out of all.
    a.index_axis_mut(Axis(0), 7).fill(f32::NAN);
    a.index_axis_mut(Axis(0), 21).fill(f32::NAN);
    for (c, found) in found.iter().enumerate() {
        assert_eq!(*found, oracle(&a, c), "channel {c}");
    }
}
