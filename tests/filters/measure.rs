//! What is reported of a layer, against the definitions.

use super::{exact, random};
use chanscope::Error;
use chanscope::cpu::Cpu;
use chanscope::device::Device;
use chanscope::measure::filters::{Regularized, Regularizer};
use chanscope::measure::{Context, FilterBank, Filters, FiltersOptions, filters};
use chanscope::ops::filters::{FilterParams, FilterShape, InputChannels, Pairs};

fn measure(shape: [usize; 4], k: &[f32], options: &FiltersOptions) -> chanscope::Result<Filters> {
    measure_within(1 << 30, shape, k, options)
}

fn measure_within(
    memory: u64,
    shape: [usize; 4],
    k: &[f32],
    options: &FiltersOptions,
) -> chanscope::Result<Filters> {
    let bank = FilterBank {
        name: "conv",
        shape: FilterShape::new(&shape)?,
        weights: k,
    };
    let device = Device::Cpu(Cpu::new(2)?);
    filters(&Context::new(&device).with_memory(memory), &bank, options)
}

fn everything(pairs: Pairs, input_channels: InputChannels) -> FiltersOptions {
    FiltersOptions::default()
        .with_params(FilterParams {
            pairs,
            input_channels,
        })
        .with_gradient(true)
        .with_matrices(true)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn every_figure_equals_its_definition() {
    for shape in [[6, 3, 3, 3], [5, 1, 1, 1], [4, 7, 2, 5], [12, 1, 3, 3]] {
        let [m, c, h, w] = shape;
        let size = c * h * w;
        let mut k = random(m, c, h, w, 11);
        // Far scales, a zero filter, and two that are the same up to sign.
        k[..size].iter_mut().for_each(|k| *k *= 1e4);
        k[size..2 * size].fill(0.0);
        let copy: Vec<f32> = k[2 * size..3 * size].iter().map(|k| -k).collect();
        k[3 * size..4 * size].copy_from_slice(&copy);
        let f = exact(shape, &k);
        for input_channels in [InputChannels::Separate, InputChannels::Summed] {
            let summed = input_channels == InputChannels::Summed;
            for pairs in [Pairs::All, Pairs::Adjacent] {
                let found = measure(shape, &k, &everything(pairs, input_channels)).expect("runs");
                let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.abs();
                assert!(close(found.value, f.value(false, summed)));
                assert!(close(found.value_adjacent, f.value(true, summed)));
                assert_eq!(found.zero_filters, [1]);
                let gradient = found.gradient.expect("asked for");
                let wanted = f.gradient(pairs == Pairs::Adjacent, summed);
                for (g, e) in gradient.chunks(size).zip(wanted.chunks(size)) {
                    let scale = e.iter().fold(0.0f64, |m, x| m.max(x.abs()));
                    assert!(
                        g.iter()
                            .zip(e)
                            .all(|(&g, e)| (f64::from(g) - e).abs() <= 1e-6 * scale)
                    );
                }
                let (matrix, cosines) = (found.pairs.expect("P"), found.cosine.expect("cosines"));
                let (mut sum, mut cosine_sum, mut count) = (0.0, 0.0, 0.0);
                for i in 0..m {
                    for j in 0..m {
                        let p = f.pair(i, j, summed);
                        let scale = (f.pair(i, i, summed) * f.pair(j, j, summed)).sqrt();
                        assert!((matrix[[i, j]] - p).abs() <= 1e-6 * p + 1e-14 * scale);
                        if i == 1 || j == 1 {
                            assert!(cosines[[i, j]].is_nan());
                            continue;
                        }
                        let e = cosine(&k[i * size..][..size], &k[j * size..][..size]);
                        assert!((cosines[[i, j]] - e).abs() <= 1e-6, "{i} {j}");
                        if i != j {
                            sum += p / scale;
                            cosine_sum += e.abs();
                            count += 1.0;
                        }
                    }
                }
                assert!(close(found.normalized_mean.expect("pairs"), sum / count));
                assert!((found.cosine_mean.expect("pairs") - cosine_sum / count).abs() <= 1e-6);
                assert!(matrix[[2, 3]] > 0.0);
                assert!((cosines[[2, 3]] + 1.0).abs() <= 1e-6);
            }
        }
    }
}

#[test]
fn fewer_than_two_filters_have_no_pairs() {
    let options = everything(Pairs::All, InputChannels::Separate);
    let single = measure([1, 2, 3, 3], &random(1, 2, 3, 3, 1), &options).expect("defined");
    assert_eq!((single.value, single.value_adjacent), (0.0, 0.0));
    assert_eq!((single.normalized_mean, single.cosine_mean), (None, None));
    assert!(
        single
            .gradient
            .expect("asked for")
            .iter()
            .all(|&g| g == 0.0)
    );
    let zero = measure([3, 2, 3, 3], &[0.0; 54], &options).expect("defined");
    assert_eq!(zero.zero_filters, [0, 1, 2]);
    assert_eq!(
        (zero.value, zero.normalized_mean, zero.cosine_mean),
        (0.0, None, None)
    );
    // One filter that is not zero has nothing to be compared with either.
    let mut k = [0.0; 54];
    k[20] = 2.0;
    let lone = measure([3, 2, 3, 3], &k, &options).expect("defined");
    assert_eq!((lone.normalized_mean, lone.cosine_mean), (None, None));
}

#[test]
fn weights_of_any_size_are_compared() {
    let k = random(4, 2, 3, 3, 8);
    let options = everything(Pairs::All, InputChannels::Separate).with_gradient(false);
    let wanted = measure([4, 2, 3, 3], &k, &options).expect("runs");
    for scale in [1e-30f32, 1e30] {
        let scaled: Vec<f32> = k.iter().map(|k| k * scale).collect();
        let found = measure([4, 2, 3, 3], &scaled, &options).expect("runs");
        let close = |a: Option<f64>, b: Option<f64>| (a.expect("a") - b.expect("b")).abs() <= 1e-6;
        assert!(close(found.normalized_mean, wanted.normalized_mean));
        assert!(close(found.cosine_mean, wanted.cosine_mean));
    }
    // The gradient of the large ones is no f32.
    let large: Vec<f32> = k.iter().map(|k| k * 1e30).collect();
    let options = options.with_gradient(true);
    let e = measure([4, 2, 3, 3], &large, &options).expect_err("too large");
    assert!(e.to_string().contains("scale the weights down"), "{e}");
}

#[test]
fn weights_that_are_not_finite_are_named() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut k = random(4, 2, 3, 5, 1);
        k[2 * 30 + 15 + 5 + 4] = bad;
        let options = everything(Pairs::All, InputChannels::Separate);
        let e = measure([4, 2, 3, 5], &k, &options).expect_err("refused");
        let Error::NonFinite { what, at, .. } = e else {
            panic!("{e}");
        };
        assert!(what.contains("'conv'"), "{what}");
        assert_eq!(at, [2, 1, 1, 4]);
    }
}

#[test]
fn many_filters_are_compared_in_blocks() {
    let shape = [1030, 1, 1, 2];
    let k = random(1030, 1, 1, 2, 3);
    let options = everything(Pairs::All, InputChannels::Separate);
    let found = measure(shape, &k, &options).expect("runs");
    let cosines = found.cosine.expect("cosines");
    let (mut sum, mut count) = (0.0, 0.0);
    for i in 0..1030 {
        for j in 0..1030 {
            let e = cosine(&k[2 * i..][..2], &k[2 * j..][..2]);
            assert!((cosines[[i, j]] - e).abs() <= 1e-6, "{i} {j}");
            if i != j {
                sum += e.abs();
                count += 1.0;
            }
        }
    }
    assert!((found.cosine_mean.expect("pairs") - sum / count).abs() <= 1e-6);
    let e = measure_within(1 << 20, shape, &k, &options).expect_err("does not fit");
    assert!(matches!(e, Error::Memory { .. }));
    let without = options.with_matrices(false);
    let without = measure_within(1 << 20, shape, &k, &without).expect("no matrix, no limit");
    assert_eq!(without.cosine_mean, found.cosine_mean);
    assert_eq!(without.normalized_mean, found.normalized_mean);
}

#[test]
fn a_trainer_gets_all_layers_in_one_call() {
    let shapes = [[4, 3, 3, 3], [6, 4, 1, 1], [2, 6, 5, 5]];
    let weights = shapes.map(|[m, c, h, w]| random(m, c, h, w, 2));
    let mut gradients = weights.clone();
    let cpu = Cpu::new(2).expect("threads");
    let mut regularizer = Regularizer::new(FilterParams::default());
    // Twice: what was left from the first call must not matter.
    for _ in 0..2 {
        let mut layers: Vec<Regularized<'_>> = (shapes.iter().zip(&weights))
            .zip(&mut gradients)
            .map(|((shape, weights), gradient)| Regularized {
                shape: FilterShape::new(shape).expect("shape"),
                weights,
                gradient,
            })
            .collect();
        let sum = regularizer.evaluate(&cpu, &mut layers).expect("runs");
        assert!((sum - regularizer.values().iter().sum::<f64>()).abs() <= 1e-12 * sum);
    }
    for (((shape, weights), gradient), value) in (shapes.iter().zip(&weights))
        .zip(&gradients)
        .zip(regularizer.values())
    {
        let options = everything(Pairs::All, InputChannels::Separate);
        let alone = measure(*shape, weights, &options).expect("runs");
        assert_eq!(alone.value, *value);
        assert_eq!(alone.gradient.as_ref(), Some(gradient));
    }
    // Weights that have run away.
    let mut gradient = vec![0.0; 2];
    let mut layers = [Regularized {
        shape: FilterShape::new(&[2, 1, 1, 1]).expect("shape"),
        weights: &[f32::NAN, 1.0],
        gradient: &mut gradient,
    }];
    let e = regularizer
        .evaluate(&cpu, &mut layers)
        .expect_err("refused");
    assert!(e.to_string().contains("diverged"), "{e}");
}
