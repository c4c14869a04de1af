//! Sampled queries: which they are, that their graphs are exact, and what their standard errors promise.

use super::{cpu, found_graph};
use crate::oracle::redundancy::{self as oracle, Graph};
use crate::support::runs::{labels, options, relu_layer, run, run_in, same};
use chanscope::Error;
use chanscope::device::{Device, DeviceChoice};
use chanscope::measure::Context;
use chanscope::measure::redundancy::{LayerRedundancy, NonFinite, Sampled};
use chanscope::ops::Kernel;
use ndarray::Axis;

/// The first number of SplitMix64 from a seed.
fn split_mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The draw as docs/definitions.md#sampled-queries has it.
fn drawn(samples: &[usize], count: usize, seed: u64) -> Vec<usize> {
    let key = |i: &usize| split_mix(split_mix(seed) ^ *i as u64);
    let mut order = samples.to_vec();
    order.sort_by_key(key);
    order.truncate(count);
    order.sort_unstable();
    order
}

fn sampled(found: &LayerRedundancy) -> &Sampled {
    found.sampled.as_ref().expect("drawn queries")
}

/// Equal up to the rounding of fixed-point sums. No value is NaN.
fn close(got: Option<f64>, want: f64) {
    let got = got.unwrap_or(f64::NAN);
    let near = (got - want).abs() <= 1e-6 * (1.0 + want.abs());
    assert!(
        near || (got.is_nan() && want.is_nan()),
        "{got} is not {want}"
    );
}

#[test]
fn graphs_of_sampled_queries_are_those_of_all_queries() {
    let (n, m) = (90, 31);
    let a = relu_layer(n, 4, 3, 1);
    let labels = labels(n);
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let all = options(kernel, 12);
        let (_, channels, aggregate) = run(&cpu(), &a, &all).unwrap();
        let (found, some, whole) =
            run(&cpu(), &a, &all.clone().with_queries(Some(m)).with_seed(5)).unwrap();
        let errors = sampled(&found);
        let every: Vec<usize> = (0..n).collect();
        assert_eq!(errors.queries, drawn(&every, m, 5));
        for (all, some) in [(&channels, &some), (&aggregate, &whole)] {
            let rows = &errors.queries;
            assert_eq!(all.neighbors.select(Axis(1), rows), some.neighbors);
            assert_eq!(all.sq_distances.select(Axis(1), rows), some.sq_distances);
            assert_eq!(all.weights.select(Axis(1), rows), some.weights);
            assert_eq!(all.objective.select(Axis(1), rows), some.objective);
            assert_eq!(all.degenerate.select(Axis(1), rows), some.degenerate);
        }
        let graphs: Vec<Graph> = (0..4).map(|c| found_graph(&some, c)).collect();
        let own: Vec<u32> = errors.queries.iter().map(|&i| labels[i]).collect();
        let check = |got: Option<f64>, error: Option<f64>, terms: &[f64]| {
            let mean = terms.iter().sum::<f64>() / terms.len() as f64;
            close(got, mean);
            close(error, oracle::standard_error(terms, m, n));
        };
        for (c, graph) in graphs.iter().enumerate().take(3) {
            let space = &found.per_channel[c];
            let error = space.errors.as_ref().unwrap();
            let sizes = oracle::sizes(graph);
            check(space.neighbors_mean, error.neighbors_mean, &sizes);
            let (hard, soft) = oracle::label_terms(graph, &own, &labels);
            check(space.loo_error, error.loo_error, &hard);
            check(space.loo_soft_error, error.loo_soft_error, &soft);
            assert!(error.pca_dimension_mean.unwrap() > 0.0);
            for (e, other) in graphs.iter().enumerate().take(3) {
                let (at, terms) = ([c, e], oracle::overlaps(graph, other));
                check(Some(found.overlap[at]), Some(errors.overlap[at]), &terms);
                let terms = oracle::jaccards(graph, other);
                check(Some(found.jaccard[at]), Some(errors.jaccard[at]), &terms);
            }
        }
        let over_pairs = |terms: fn(&Graph, &Graph) -> Vec<f64>| {
            oracle::standard_error(&oracle::over_pairs(&graphs, terms), m, n)
        };
        close(errors.overlap_mean, over_pairs(oracle::overlaps));
        close(errors.jaccard_mean, over_pairs(oracle::jaccards));
        let terms = oracle::redundancies(&graphs);
        check(found.redundancy, errors.redundancy, &terms);
        let terms = oracle::recalls(&found_graph(&whole, 0), &graphs);
        check(found.recall, errors.recall, &terms);
        // The dead channel.
        assert!(errors.jaccard.row(3).iter().all(|v| v.is_nan()));
        assert_eq!(found.per_channel[3].degenerate_queries, m as u64);
    }
}

#[test]
fn as_many_queries_as_samples_are_all_of_them() {
    let a = relu_layer(40, 3, 2, 2);
    let all = options(Kernel::Gaussian, 6);
    let reference = run(&cpu(), &a, &all).unwrap();
    for count in [40, 41, usize::MAX] {
        let found = run(&cpu(), &a, &all.clone().with_queries(Some(count))).unwrap();
        same(&reference, &found);
        assert!(found.0.sampled.is_none());
    }
    // A single query has a mean, but no standard error.
    let (found, _, _) = run(&cpu(), &a, &all.clone().with_queries(Some(1))).unwrap();
    assert_eq!(sampled(&found).queries.len(), 1);
    assert_eq!(sampled(&found).redundancy, None);
    let error = run(&cpu(), &a, &all.with_queries(Some(0))).unwrap_err();
    assert!(error.to_string().contains("queries"), "{error}");
}

#[test]
fn memory_and_threads_change_no_bit_of_sampled_queries() {
    let a = relu_layer(1200, 4, 4, 3);
    let options = options(Kernel::Gaussian, 10).with_queries(Some(150));
    let reference = run(&cpu(), &a, &options).unwrap();
    let one = Device::open(&DeviceChoice::Cpu, 1).unwrap();
    let mut runs = 0;
    for memory in [64 << 20, 1 << 20, 500 << 10, 300 << 10] {
        let ctx = Context::new(&one).with_memory(memory);
        match run_in(&ctx, &a, &options) {
            Ok(other) => same(&reference, &other),
            Err(Error::Memory { .. }) => break,
            Err(e) => panic!("{e}"),
        }
        runs += 1;
    }
    assert!(runs >= 3, "no run was small enough to stream its points");
}

#[test]
fn samples_that_are_left_out_are_not_drawn() {
    let mut a = relu_layer(60, 3, 2, 5);
    let options = options(Kernel::Gaussian, 6)
        .with_queries(Some(20))
        .with_seed(9);
    let every: Vec<usize> = (0..60).collect();
    let bad = drawn(&every, 20, 9)[3];
    a[[bad, 1, 1, 0]] = f32::NAN;
    let mut skipping = options.clone();
    skipping.non_finite = NonFinite::Skip;
    let (found, _, _) = run(&cpu(), &a, &skipping).unwrap();
    let kept: Vec<usize> = every.into_iter().filter(|&i| i != bad).collect();
    assert_eq!(sampled(&found).queries, drawn(&kept, 20, 9));
}

/// Two standard errors on either side hold the figure of all queries about 95 times in 100. Half of the samples are
/// queries, so that without the factor for that it would be 99.5 times.
#[test]
fn error_bars_hold_the_exact_values_as_often_as_they_say() {
    let a = relu_layer(240, 4, 2, 11);
    let all = options(Kernel::Gaussian, 8);
    let figures = |found: &LayerRedundancy| {
        let mut figures = Vec::new();
        for space in found.per_channel[..3].iter().chain(&found.aggregate) {
            let error = space.errors.unwrap_or_default();
            figures.extend([
                (space.neighbors_mean, error.neighbors_mean),
                (space.pca_dimension_mean, error.pca_dimension_mean),
                (
                    space.reconstruction_error_mean,
                    error.reconstruction_error_mean,
                ),
                (space.loo_error, error.loo_error),
                (space.loo_soft_error, error.loo_soft_error),
            ]);
        }
        let sampled = found.sampled.as_ref();
        for at in [[0, 1], [0, 2], [1, 2]] {
            figures.push((Some(found.overlap[at]), sampled.map(|s| s.overlap[at])));
            figures.push((Some(found.jaccard[at]), sampled.map(|s| s.jaccard[at])));
        }
        let error = |of: fn(&Sampled) -> Option<f64>| sampled.and_then(of);
        figures.extend([
            (found.overlap_mean, error(|s| s.overlap_mean)),
            (found.jaccard_mean, error(|s| s.jaccard_mean)),
            (found.redundancy, error(|s| s.redundancy)),
            (found.recall, error(|s| s.recall)),
        ]);
        figures
    };
    let exact = figures(&run(&cpu(), &a, &all).unwrap().0);
    let seeds = 100;
    let mut held = vec![0; exact.len()];
    for seed in 0..seeds {
        let options = all.clone().with_queries(Some(120)).with_seed(seed);
        let found = figures(&run(&cpu(), &a, &options).unwrap().0);
        for ((held, exact), (mean, error)) in held.iter_mut().zip(&exact).zip(found) {
            let off = (mean.unwrap() - exact.0.unwrap()).abs();
            *held += u64::from(off <= 2.0 * error.unwrap());
        }
    }
    let share = |held: u64| held as f64 / seeds as f64;
    let overall = share(held.iter().sum()) / held.len() as f64;
    // The figures are of the same draws, so their shares vary together: by 1 % or so.
    assert!((0.92..=0.98).contains(&overall), "{overall}: {held:?}");
    // Each by itself: three standard deviations of a share of 95 %, and a margin for skewed values.
    assert!(held.iter().all(|&h| share(h) >= 0.85), "{held:?}");
}
