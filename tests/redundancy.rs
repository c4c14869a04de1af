//! The whole measure against the definitions, and equal to the bit however it is cut up.

mod across;
mod bytes;
mod halves;
mod queries;
mod reads;
mod strongest;

use crate::oracle::redundancy::{self as oracle, Graph, Row};
use crate::oracle::{knn, nnk};
use crate::support::runs::{labels, measure, options, relu_layer, run, run_in, same};
use chanscope::Error;
use chanscope::control::Progress;
use chanscope::device::{Device, DeviceChoice};
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::measure::redundancy::{Arrays, LayerRedundancy, NonFinite, symmetric_graph};
use chanscope::measure::{Context, RedundancyInput, RedundancyOptions, redundancy};
use chanscope::ops::{Backend, Identical, Kernel, Sigma};
use ndarray::{Array4, Axis, s};
use proptest::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

fn cpu() -> Device {
    Device::open(&DeviceChoice::Cpu, 2).unwrap()
}

/// The graph of points `[n, dim]` from the definitions alone.
fn oracle_graph(x: &[f32], dim: usize, kernel: Kernel, k: usize) -> Graph {
    let row = |i: usize| &x[i * dim..(i + 1) * dim];
    (0..x.len() / dim)
        .map(|query| {
            let mut near = knn::neighbors(x, dim, query, kernel, Identical::Keep);
            near.truncate(k);
            let neighbors: Vec<usize> = near.iter().map(|n| n.1).collect();
            let zero = row(query).iter().all(|&v| v == 0.0);
            let kind = match (kernel, near.last()) {
                (Kernel::Gaussian, Some(&(d, _))) if d > 0.0 => {
                    nnk::Kernel::Gaussian(d.sqrt() / 3.0)
                }
                (Kernel::Cosine, Some(_)) if !zero => nnk::Kernel::Cosine,
                _ => {
                    let theta = vec![0.0; neighbors.len()];
                    return Row {
                        neighbors,
                        theta,
                        degenerate: true,
                    };
                }
            };
            let candidates: Vec<&[f32]> = neighbors.iter().map(|&j| row(j)).collect();
            let (matrix, b) = nnk::problem(kind, row(query), &candidates);
            let theta = nnk::lawson_hanson(&matrix, &b).theta;
            Row {
                neighbors,
                theta,
                degenerate: false,
            }
        })
        .collect()
}

/// Points of one channel, `[n, dim]`.
fn channel(a: &Array4<f32>, c: usize) -> Vec<f32> {
    a.index_axis(Axis(1), c).iter().copied().collect()
}

/// The graph that was found, in the oracle's form.
fn found_graph(arrays: &Arrays, space: usize) -> Graph {
    let queries = arrays.degenerate.shape()[1];
    (0..queries)
        .map(|q| {
            let slots = arrays.neighbors.slice(s![space, q, ..]);
            let weights = arrays.weights.slice(s![space, q, ..]);
            let used = slots.iter().zip(weights).filter(|(i, _)| **i >= 0);
            let (neighbors, theta) = used.map(|(&i, &w)| (i as usize, f64::from(w))).unzip();
            Row {
                neighbors,
                theta,
                degenerate: arrays.degenerate[[space, q]],
            }
        })
        .collect()
}

fn close(a: Option<f64>, b: f64) {
    let a = a.unwrap_or(f64::NAN);
    assert!(
        (a - b).abs() <= 1e-6 * (1.0 + b.abs()) || (a.is_nan() && b.is_nan()),
        "{a} is not {b}"
    );
}

/// Every figure follows from the graphs by the definitions.
fn check_figures(found: &LayerRedundancy, graphs: &[Graph], aggregate: &Graph, labels: &[u32]) {
    let live: Vec<usize> = (0..graphs.len()).filter(|&c| !found.dead[c]).collect();
    for &c in &live {
        let space = &found.per_channel[c];
        close(space.neighbors_mean, oracle::neighbors_mean(&graphs[c]));
        let (hard, soft) = oracle::label_errors(&graphs[c], labels);
        close(space.loo_error, hard);
        close(space.loo_soft_error, soft);
        for &e in &live {
            close(
                Some(found.overlap[[c, e]]),
                oracle::overlap(&graphs[c], &graphs[e]),
            );
            close(
                Some(found.jaccard[[c, e]]),
                oracle::jaccard(&graphs[c], &graphs[e]),
            );
        }
    }
    close(found.redundancy, oracle::redundancy(graphs));
    close(found.recall, oracle::recall(aggregate, graphs));
    close(
        found.aggregate.as_ref().and_then(|a| a.neighbors_mean),
        oracle::neighbors_mean(aggregate),
    );
}

#[test]
fn figures_follow_from_the_graphs() {
    let a = relu_layer(90, 4, 3, 1);
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let (found, channels, aggregate) = run(&cpu(), &a, &options(kernel, 12)).unwrap();
        let graphs: Vec<Graph> = (0..4).map(|c| found_graph(&channels, c)).collect();
        check_figures(&found, &graphs, &found_graph(&aggregate, 0), &labels(90));
        assert_eq!(found.dead, [false, false, false, true]);
        assert!(found.per_channel[3].neighbors_mean.is_none());
        assert_eq!(found.per_channel[3].degenerate_queries, 90);
        assert!(found.jaccard.row(3).iter().all(|v| v.is_nan()));
    }
}

/// Without duplicates the optimum is unique, and everything must equal the oracle's own graphs.
#[test]
fn figures_equal_the_definitions_from_the_activations_on() {
    let mut a = relu_layer(70, 3, 3, 9);
    let mut bump = 0.0;
    a.slice_mut(s![.., ..2, .., ..]).mapv_inplace(|v| {
        bump += 1e-4;
        v + (bump * 37.0_f32).sin().abs() * 0.05
    });
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let (found, channels, _) = run(&cpu(), &a, &options(kernel, 10)).unwrap();
        let graphs: Vec<Graph> = (0..3)
            .map(|c| oracle_graph(&channel(&a, c), 9, kernel, 10))
            .collect();
        let all: Vec<f32> = a.iter().copied().collect();
        check_figures(
            &found,
            &graphs,
            &oracle_graph(&all, 27, kernel, 10),
            &labels(70),
        );
        for (c, graph) in graphs.iter().enumerate().take(2) {
            let mine = found_graph(&channels, c);
            for (x, y) in mine.iter().zip(graph) {
                assert_eq!(x.support(), y.support());
            }
        }
    }
}

#[test]
fn memory_and_threads_do_not_change_a_bit() {
    let a = relu_layer(1500, 5, 4, 3);
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let options = options(kernel, 15);
        let reference = run(&cpu(), &a, &options).unwrap();
        let one = Device::open(&DeviceChoice::Cpu, 1).unwrap();
        // From whole channels at once down to channels in blocks of points.
        let mut blocks_seen = false;
        for memory in [64 << 20, 4 << 20, 2 << 20, 1 << 20, 700 << 10] {
            let ctx = Context::new(&one).with_memory(memory);
            match run_in(&ctx, &a, &options) {
                Ok(other) => same(&reference, &other),
                Err(Error::Memory { .. }) => break,
                Err(e) => panic!("{e}"),
            }
            blocks_seen |= memory <= 1 << 20;
        }
        assert!(blocks_seen, "no run was small enough to stream its points");
    }
}

#[test]
fn selected_channels_keep_their_order_and_their_figures() {
    let a = relu_layer(80, 5, 2, 4);
    let mut options = options(Kernel::Gaussian, 8);
    let all = run(&cpu(), &a, &options).unwrap();
    options.channels = Some(vec![3, 0, 2]);
    let some = run(&cpu(), &a, &options).unwrap();
    for (i, c) in [3, 0, 2].into_iter().enumerate() {
        assert_eq!(some.0.per_channel[i], all.0.per_channel[c]);
        for (j, e) in [3, 0, 2].into_iter().enumerate() {
            assert_eq!(
                some.0.jaccard[[i, j]].to_bits(),
                all.0.jaccard[[c, e]].to_bits()
            );
        }
    }
}

#[test]
fn samples_that_are_not_finite_are_refused_or_left_out() {
    let mut a = relu_layer(60, 3, 2, 5);
    a[[7, 1, 1, 0]] = f32::NAN;
    a[[9, 0, 0, 1]] = f32::INFINITY;
    let mut options = options(Kernel::Gaussian, 6);
    let message = run(&cpu(), &a, &options).unwrap_err().to_string();
    for part in ["1 NaN", "1 infinite", "skip these samples", "7"] {
        assert!(message.contains(part), "{message}");
    }
    // Only the channels asked for count.
    options.channels = Some(vec![2]);
    assert!(run(&cpu(), &a, &options).is_ok());
    options.channels = None;
    options.non_finite = NonFinite::Skip;
    let (found, graphs, _) = run(&cpu(), &a, &options).unwrap();
    assert_eq!(found.samples_skipped, [7, 9]);
    // Rows are the samples that remain, indices those of the file.
    assert_eq!(graphs.neighbors.shape(), [3, 58, 6]);
    let listed = |i: i32| graphs.neighbors.iter().any(|&n| n == i);
    assert!(listed(59) && !listed(7) && !listed(9));
    let mut clean = a.clone();
    let keep: Vec<usize> = (0..60).filter(|i| ![7, 9].contains(i)).collect();
    clean = clean.select(Axis(0), &keep);
    let layer = ArrayLayer::from_array("clean", clean.view()).unwrap();
    let labels: Vec<u32> = keep.iter().map(|&i| labels(60)[i]).collect();
    let device = cpu();
    let other = measure(&Context::new(&device), &layer, Some(&labels), &options).unwrap();
    assert_eq!(found.per_channel, other.per_channel);
}

#[test]
fn a_dead_channel_is_dead_under_a_fixed_bandwidth_too() {
    let a = relu_layer(40, 2, 2, 6);
    let mut options = options(Kernel::Gaussian, 5);
    options.graph.sigma = Sigma::Fixed(0.5);
    let (found, channels, _) = run(&cpu(), &a, &options).unwrap();
    assert_eq!(found.per_channel[1].degenerate_queries, 40);
    assert!(
        channels
            .weights
            .slice(s![1, .., ..])
            .iter()
            .all(|&w| w == 0.0)
    );
    // The candidates stay as found: the lowest indices, the query left out.
    let first: Vec<i32> = channels.neighbors.slice(s![1, 0, ..]).to_vec();
    assert_eq!(first, [1, 2, 3, 4, 5]);
}

#[test]
fn wrong_parameters_are_told_in_one_line() {
    let a = relu_layer(20, 3, 2, 7);
    let check = |change: &dyn Fn(&mut RedundancyOptions), expected: &str| {
        let mut options = options(Kernel::Gaussian, 5);
        change(&mut options);
        let error = run(&cpu(), &a, &options).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    };
    check(&|o| o.graph.k = 0, "expected 1 to 1024");
    check(&|o| o.graph.k = 1025, "expected 1 to 1024");
    check(&|o| o.graph.sigma = Sigma::Fixed(-1.0), "positive");
    check(&|o| o.graph.sigma = Sigma::Fixed(f64::NAN), "positive");
    check(
        &|o| o.channels = Some(vec![0, 3]),
        "channel 3 does not exist",
    );
    check(&|o| o.channels = Some(vec![1, 1]), "twice");
    check(&|o| o.channels = Some(vec![]), "at least one channel");
    let device = cpu();
    let little = Context::new(&device).with_memory(1 << 10);
    let error = run_in(&little, &a, &options(Kernel::Gaussian, 5)).unwrap_err();
    assert!(matches!(error, Error::Memory { cap: 1024, .. }), "{error}");
    let one = relu_layer(1, 2, 2, 8);
    let error = run(&cpu(), &one, &options(Kernel::Gaussian, 5)).unwrap_err();
    assert!(error.to_string().contains("at least 2"), "{error}");
}

#[test]
fn labels_of_another_length_are_refused_and_cancelling_works() {
    let a = relu_layer(30, 2, 2, 2);
    let layer = ArrayLayer::from_array("layer", a.view()).unwrap();
    let options = options(Kernel::Gaussian, 5);
    let device = cpu();
    let ctx = Context::new(&device);
    let error = measure(&ctx, &layer, Some(&[1, 2]), &options).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has 30 samples, the list of labels has 2"),
        "{error}"
    );
    let stop = AtomicBool::new(true);
    let error = measure(&ctx.with_cancel(&stop), &layer, None, &options).unwrap_err();
    assert!(matches!(error, Error::Cancelled));
}

/// One job with all its layers and stages, of which some samples are skipped.
#[test]
fn progress_never_falls_and_ends_with_the_job() {
    let mut a = relu_layer(60, 4, 3, 5);
    a[[7, 1, 1, 0]] = f32::NAN;
    let b = relu_layer(60, 3, 2, 6);
    let layers = [
        ArrayLayer::from_array("a", a.view()).unwrap(),
        ArrayLayer::from_array("b", b.view()).unwrap(),
    ];
    let layers = [&layers[0] as &dyn Layer, &layers[1]];
    let shares = Mutex::new(Vec::new());
    let show = |p: Progress<'_>| shares.lock().unwrap().push((p.stage.to_string(), p.share));
    let device = cpu();
    let ctx = Context::new(&device).with_progress(&show);
    let mut options = options(Kernel::Gaussian, 5);
    options.non_finite = NonFinite::Skip;
    redundancy(&ctx, &RedundancyInput::new(&layers), &options).unwrap();
    let shares = shares.into_inner().unwrap();
    assert!(
        shares.windows(2).all(|w| w[0].1 <= w[1].1 + 1e-12),
        "{shares:?}"
    );
    assert!((shares.last().unwrap().1 - 1.0).abs() < 1e-9, "{shares:?}");
    for stage in ["a: graphs", "b: aggregate graph", "b: overlap"] {
        assert!(shares.iter().any(|s| s.0 == stage), "{shares:?}");
    }
}

proptest! {
    /// peers.md 6 and 7: no phantom neighbours, no silent class 0, whatever the shape.
    #[test]
    fn graphs_are_sound_for_any_shape(samples in 2usize..40, channels in 1usize..4, side in 1usize..4, k in 1usize..60, seed: u64) {
        let a = relu_layer(samples, channels, side, seed);
        let (found, arrays, _) = run(&cpu(), &a, &options(Kernel::Cosine, k)).unwrap();
        for ((c, q), &degenerate) in arrays.degenerate.indexed_iter() {
            let neighbors = arrays.neighbors.slice(s![c, q, ..]);
            let count = neighbors.iter().filter(|&&i| i >= 0).count();
            prop_assert!(count < samples);
            prop_assert!(neighbors.iter().skip(count).all(|&i| i == -1));
            prop_assert!(neighbors.iter().all(|&i| i != q as i32 && (i as i64) < samples as i64));
            let weights = arrays.weights.slice(s![c, q, ..]);
            prop_assert!(weights.iter().all(|w| w.is_finite() && *w >= 0.0));
            prop_assert!(weights.iter().skip(count).all(|&w| w == 0.0));
            prop_assert!(!degenerate || weights.iter().all(|&w| w == 0.0));
        }
        for space in &found.per_channel {
            prop_assert!(space.kkt_residual_max < 1e-6);
        }
        // A channel of zeros predicts nothing.
        prop_assert_eq!(found.per_channel[channels - 1].loo_error, None);
    }
}

/// "where both directions exist keep the one with the smaller error; W = max(W, W')".
#[test]
fn symmetric_edges_follow_the_better_query() {
    let neighbors = ndarray::array![[1, 2], [0, -1], [0, 1]];
    let weights = ndarray::array![[0.5f32, 0.0], [0.7, 0.0], [0.2, 0.3]];
    let edges = symmetric_graph(neighbors.view(), weights.view(), &[-0.1, -0.4, -0.2]);
    let edges: Vec<(usize, usize, f32)> = edges.iter().map(|e| (e.low, e.high, e.weight)).collect();
    assert_eq!(edges, [(0, 1, 0.7), (0, 2, 0.2), (1, 2, 0.3)]);
}

/// The backend trait is reachable without a file, for those who embed it.
#[test]
fn a_device_says_what_it_is() {
    match cpu() {
        Device::Cpu(cpu) => assert_eq!(cpu.info().backend, "cpu"),
        Device::Gpu(_) => panic!("asked for the CPU"),
    }
}
