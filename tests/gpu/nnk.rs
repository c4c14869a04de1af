use crate::knn::{Data, params, ranges};
use crate::oracle::{nnk as oracle, pca};
use crate::{Devices, Test, data::Random};
use chanscope::gpu::{Gpu, Wide};
use chanscope::ops::{
    Backend, GraphBlock, GraphParams, Identical, Kernel, SUPPORT_THRESHOLD, Sigma, Vectors,
};

pub const TESTS: &[Test] = &[
    ("nnk::rectified_channels", rectified_channels),
    ("nnk::integer_images", integer_images),
    ("nnk::small_random_problems", small_random_problems),
    ("nnk::every_point_twice", every_point_twice),
    ("nnk::nearly_equal_points", nearly_equal_points),
    (
        "nnk::copies_of_the_query_share_one_weight",
        copies_of_the_query,
    ),
    (
        "nnk::zero_vectors_are_degenerate",
        zero_vectors_are_degenerate,
    ),
    ("nnk::fewer_candidates_than_k", fewer_candidates_than_k),
    ("nnk::fixed_bandwidths", fixed_bandwidths),
    ("nnk::large_k", large_k),
    ("nnk::long_rows", long_rows),
    ("nnk::blocks_and_gathering_give_the_same_bits", same_bits),
    ("nnk::refused", refused),
    (
        "nnk::principal_components_are_counted_when_asked_for",
        principal_components_are_counted_when_asked_for,
    ),
];

const KERNELS: [Kernel; 2] = [Kernel::Gaussian, Kernel::Cosine];

/// Like channels behind a ReLU: mixtures of a few patterns, rectified; some samples all zero, some exact
/// copies of others.
fn relu_like(groups: usize, n: usize, dim: usize, seed: u64) -> Data {
    let mut random = Random(seed);
    let mut normal = move || (0..6).map(|_| random.signed()).sum::<f32>() / 1.5;
    let mut x = Vec::with_capacity(groups * n * dim);
    for g in 0..groups {
        let patterns: Vec<f32> = (0..5 * dim).map(|_| normal()).collect();
        for i in 0..n {
            if i % 17 == 5 {
                x.extend(std::iter::repeat_n(0.0, dim));
            } else if i % 11 == 7 {
                let from = (g * n + i / 2) * dim;
                x.extend_from_within(from..from + dim);
            } else {
                let mix: Vec<f32> = (0..5).map(|_| normal()).collect();
                for t in 0..dim {
                    let v: f32 = (0..5).map(|p| mix[p] * patterns[p * dim + t]).sum();
                    x.push((v + 0.3 * normal()).max(0.0));
                }
            }
        }
    }
    Data { x, groups, n, dim }
}

fn integers(n: usize, dim: usize, levels: u32, seed: u64) -> Data {
    let mut random = Random(seed);
    let x = (0..n * dim)
        .map(|_| (random.next() % u64::from(levels)) as f32)
        .collect();
    Data {
        x,
        groups: 1,
        n,
        dim,
    }
}

/// Graphs of some rows.
pub fn graph(
    gpu: &Gpu,
    data: &Data,
    params: &GraphParams,
    rows: std::ops::Range<usize>,
    gathered: bool,
) -> GraphBlock {
    try_graph(gpu, data, params, rows, gathered).unwrap()
}

/// The same on a device that may fail.
pub fn try_graph(
    gpu: &Gpu,
    data: &Data,
    params: &GraphParams,
    rows: std::ops::Range<usize>,
    gathered: bool,
) -> chanscope::Result<GraphBlock> {
    let points = data.try_points(gpu, 0..data.n, params.kernel)?;
    let mut found = gpu.candidates(data.groups, rows.len(), params.k)?;
    gpu.knn(&points, rows.clone(), &points, params, &mut found)?;
    if !gathered {
        let vectors = Vectors::Points(&points);
        return gpu.nnk(&points, rows, &found, vectors, params);
    }
    let shape = [data.groups, rows.len(), params.k, data.dim];
    let mut into = gpu.zeros(&shape)?;
    // The vectors arrive in blocks.
    for block in ranges(&[data.n / 3], data.n) {
        let block = data.try_points(gpu, block, params.kernel)?;
        gpu.gather(&block, &found, &mut into)?;
    }
    let vectors = Vectors::Gathered(&into);
    gpu.nnk(&points, rows, &found, vectors, params)
}

/// Allowed relative gap of the objective, and KKT residual.
fn precision(gpu: &Gpu) -> (f64, f32) {
    match gpu.wide() {
        Wide::Float64 => (1e-9, 1e-12),
        Wide::DoubleFloat => (1e-8, 1e-10),
    }
}

#[derive(Default, Debug)]
struct Tally {
    solved: usize,
    unique: usize,
    mismatched: usize,
}

fn used_slots(params: &GraphParams, graph: &GraphBlock, q: usize) -> Vec<usize> {
    let slots = q * params.k..(q + 1) * params.k;
    let listed: Vec<usize> = slots.filter(|&s| graph.neighbors[s] >= 0).collect();
    let apart = |s: &usize| graph.sq_distances[*s] > 0.0;
    match params.identical == Identical::Drop && listed.iter().any(apart) {
        true => listed.into_iter().filter(apart).collect(),
        false => listed,
    }
}

/// The oracle's kernel, `None` for a degenerate query.
fn kernel_of(
    data: &Data,
    params: &GraphParams,
    q: usize,
    last: Option<&[f32]>,
) -> Option<oracle::Kernel> {
    let row = &data.group(q / data.n)[q % data.n * data.dim..][..data.dim];
    let last = oracle::sq_distance(last?, row).sqrt();
    match (params.kernel, params.sigma) {
        (Kernel::Cosine, _) => row
            .iter()
            .any(|&v| v != 0.0)
            .then_some(oracle::Kernel::Cosine),
        (_, Sigma::Fixed(s)) => Some(oracle::Kernel::Gaussian(s)),
        _ => (last > 0.0).then_some(oracle::Kernel::Gaussian(last / 3.0)),
    }
}

/// Compares the graph of all rows with the oracle on the candidates it lists.
fn check(gpu: &Gpu, data: &Data, params: &GraphParams, graph: &GraphBlock) -> Tally {
    let (gap, kkt) = precision(gpu);
    let mut tally = Tally::default();
    for q in 0..data.groups * data.n {
        let x = data.group(q / data.n);
        let row = |i: usize| &x[i * data.dim..][..data.dim];
        let query = row(q % data.n);
        let vector = |s: usize| row(graph.neighbors[s] as usize);
        let slots = q * params.k..(q + 1) * params.k;
        let used = used_slots(params, graph, q);
        let Some(kind) = kernel_of(data, params, q, used.last().map(|&s| vector(s))) else {
            assert!(graph.degenerate[q] && graph.weights[slots].iter().all(|&w| w == 0.0));
            let rest = (
                graph.objective[q],
                graph.kkt_residual[q],
                graph.pca_dimension[q],
            );
            assert_eq!(rest, (0.0, 0.0, 0));
            continue;
        };
        assert!(!graph.degenerate[q], "query {q}");
        for s in slots.filter(|s| !used.contains(s)) {
            assert_eq!(graph.weights[s], 0.0);
        }
        // Equal points share their weight in any way; together they are one point.
        let mut vectors: Vec<&[f32]> = Vec::new();
        let mut theta: Vec<f64> = Vec::new();
        for &s in &used {
            let weight = f64::from(graph.weights[s]);
            assert!(weight >= 0.0);
            match vectors.iter().position(|v| *v == vector(s)) {
                Some(at) => theta[at] += weight,
                None => {
                    vectors.push(vector(s));
                    theta.push(weight);
                }
            }
        }
        let (gram, b) = oracle::problem(kind, query, &vectors);
        let best = oracle::lawson_hanson(&gram, &b);
        let scale = best.objective.abs();
        let (found, want) = (graph.objective[q], best.objective);
        assert!(
            (found - want).abs() <= gap * scale + 1e-30,
            "query {q}: {found} {want}"
        );
        let rounded = oracle::objective(&gram, &b, &theta);
        assert!((rounded - want).abs() <= 1e-8 * scale + 1e-30, "query {q}");
        assert!(
            graph.kkt_residual[q] <= kkt,
            "query {q}: {}",
            graph.kkt_residual[q]
        );
        tally.solved += 1;
        if best.unique {
            tally.unique += 1;
            let differs = |(&t, &w): (&f64, &f64)| (t > 1e-6) != (w > f64::from(SUPPORT_THRESHOLD));
            tally.mismatched += usize::from(best.theta.iter().zip(&theta).any(differs));
        }
        let in_support = |s: &&usize| graph.weights[**s] > SUPPORT_THRESHOLD;
        let support: Vec<&[f32]> = used.iter().filter(in_support).map(|&s| vector(s)).collect();
        let (least, most) = pca::dimension(query, &support, 1e-9);
        let dimension = graph.pca_dimension[q];
        assert!(
            (least..=most).contains(&dimension),
            "query {q}: {dimension}, {least} to {most}"
        );
    }
    // At most 0.1 % of queries; these sets are too small for one.
    assert_eq!(tally.mismatched, 0, "{tally:?}");
    tally
}

fn check_all(devices: &Devices, data: &Data, params: &GraphParams) -> Tally {
    let mut tally = Tally::default();
    for gpu in devices.all() {
        let graph = graph(gpu, data, params, 0..data.n, false);
        tally = check(gpu, data, params, &graph);
    }
    tally
}

fn rectified_channels(devices: &Devices) {
    for (dim, seed) in [(16, 1), (25, 2), (4, 3)] {
        let data = relu_like(2, 90, dim, seed);
        for k in [25, 50] {
            for kernel in KERNELS {
                let tally = check_all(devices, &data, &params(k, kernel, Identical::Keep));
                assert!(tally.solved > 140, "{tally:?}");
                // Below, the comparison of supports would say little.
                assert!(tally.unique * 2 > tally.solved || dim == 4, "{tally:?}");
            }
        }
    }
}

fn integer_images(devices: &Devices) {
    let data = integers(130, 64, 17, 9);
    for kernel in KERNELS {
        let tally = check_all(devices, &data, &params(25, kernel, Identical::Keep));
        assert!(tally.unique > 110, "{tally:?}");
    }
    // Few levels, two dimensions: nearly all points have copies.
    let data = integers(100, 2, 5, 10);
    for identical in [Identical::Keep, Identical::Drop, Identical::Replace] {
        for kernel in KERNELS {
            check_all(devices, &data, &params(20, kernel, identical));
        }
    }
}

/// Peers, failure 1: a pruned index is never re-admitted.
fn small_random_problems(devices: &Devices) {
    let mut data = Data::random(40, 12, 3, 4);
    data.x.iter_mut().for_each(|v| *v *= 2.0);
    for kernel in KERNELS {
        check_all(devices, &data, &params(11, kernel, Identical::Keep));
    }
}

/// Peers, failure 2: every neighbour there twice makes the matrix singular.
fn every_point_twice(devices: &Devices) {
    let mut data = relu_like(1, 60, 16, 6);
    data.x.extend_from_within(..);
    data.n *= 2;
    for kernel in KERNELS {
        for k in [24, 50] {
            check_all(devices, &data, &params(k, kernel, Identical::Keep));
        }
    }
}

/// Copies one ulp apart: distinct, but their columns agree to 1e-14.
fn nearly_equal_points(devices: &Devices) {
    let mut data = relu_like(1, 50, 16, 13);
    let nudge = |v: &f32| f32::from_bits(v.to_bits() + u32::from(*v > 0.0));
    let copy: Vec<f32> = data.x.iter().map(nudge).collect();
    data.x.extend(copy);
    data.n *= 2;
    for kernel in KERNELS {
        check_all(devices, &data, &params(30, kernel, Identical::Keep));
    }
}

/// Peers, failure 3: every copy of the query gets weight 1.
fn copies_of_the_query(devices: &Devices) {
    let mut data = relu_like(1, 60, 16, 8);
    for _ in 0..4 {
        data.x.extend_from_within(0..16);
    }
    data.n += 4;
    for gpu in devices.all() {
        for kernel in KERNELS {
            let params = params(20, kernel, Identical::Keep);
            let graph = graph(gpu, &data, &params, 0..1, false);
            let sum: f64 = graph.weights.iter().map(|&w| f64::from(w)).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{kernel:?} {sum}");
            assert!((graph.objective[0] + 0.5).abs() < 1e-12);
        }
    }
}

/// Peers, failures 5 and 6: zero vectors have no direction; their queries are flagged.
fn zero_vectors_are_degenerate(devices: &Devices) {
    let data = relu_like(1, 80, 9, 11);
    let zero = |i: usize| data.x[i * 9..][..9].iter().all(|&v| v == 0.0);
    let dead = Data {
        x: vec![0.0; 90],
        groups: 1,
        n: 30,
        dim: 3,
    };
    for gpu in devices.all() {
        let params = params(12, Kernel::Cosine, Identical::Keep);
        let found = graph(gpu, &data, &params, 0..80, false);
        assert!((0..80).all(|i| found.degenerate[i] == zero(i)) && (0..80).any(zero));
        assert!(
            found
                .neighbors
                .iter()
                .all(|&j| j == -1 || !zero(j as usize))
        );
        for kernel in KERNELS {
            let params = crate::knn::params(4, kernel, Identical::Keep);
            let found = graph(gpu, &dead, &params, 0..30, false);
            assert!(found.degenerate.iter().all(|&d| d), "{kernel:?}");
            assert!(found.weights.iter().all(|&w| w == 0.0));
        }
    }
}

/// Peers, failures 7 and 8: fewer samples than k, down to a pair and a single one.
fn fewer_candidates_than_k(devices: &Devices) {
    for n in [1, 2, 3, 7] {
        let data = integers(n, 5, 9, 12);
        for kernel in KERNELS {
            let params = params(10, kernel, Identical::Keep);
            for gpu in devices.all() {
                for gathered in [false, true] {
                    let graph = graph(gpu, &data, &params, 0..n, gathered);
                    let found = graph.neighbors.iter().filter(|&&j| j >= 0).count();
                    assert_eq!(found, n * (n - 1));
                    check(gpu, &data, &params, &graph);
                }
            }
        }
    }
}

fn fixed_bandwidths(devices: &Devices) {
    let data = relu_like(1, 50, 16, 14);
    for s in [1e-200, 0.05, 0.5, 3.0, 1e3, 1e200] {
        let params = GraphParams {
            sigma: Sigma::Fixed(s),
            ..params(15, Kernel::Gaussian, Identical::Keep)
        };
        for gpu in devices.all() {
            let graph = graph(gpu, &data, &params, 0..50, false);
            assert!(graph.degenerate.iter().all(|&d| !d));
            assert!(graph.weights.iter().all(|w| w.is_finite()));
            if (0.05..=3.0).contains(&s) {
                check(gpu, &data, &params, &graph);
            }
        }
    }
}

/// Past what workgroup memory holds.
fn large_k(devices: &Devices) {
    for (k, n) in [(80, 85), (300, 301)] {
        let data = relu_like(1, n, 40, 15);
        for kernel in KERNELS {
            let params = params(k, kernel, Identical::Keep);
            for gpu in devices.all() {
                let graph = graph(gpu, &data, &params, 0..4, false);
                assert!(graph.kkt_residual.iter().all(|&r| r <= precision(gpu).1));
                // The oracle's cost grows with the fourth power; one query tells.
                let rows = |&j: &i32| &data.x[j as usize * 40..][..40];
                let listed = graph.neighbors[..k].iter().filter(|j| **j >= 0);
                let vectors: Vec<&[f32]> = listed.map(rows).collect();
                let kind = kernel_of(&data, &params, 0, vectors.last().copied()).unwrap();
                let (gram, b) = oracle::problem(kind, rows(&0), &vectors);
                let best = oracle::lawson_hanson(&gram, &b).objective;
                let gap = (graph.objective[0] - best).abs();
                assert!(gap <= precision(gpu).0 * best.abs(), "{gap} {best}");
            }
        }
    }
}

/// An aggregate: all channels of a layer together.
fn long_rows(devices: &Devices) {
    for dim in [200, 3000] {
        let data = relu_like(1, 30, dim, 17);
        for kernel in KERNELS {
            check_all(devices, &data, &params(12, kernel, Identical::Keep));
        }
    }
    // As long as a software adapter can.
    let data = Data::random(1, 4, 29_000, 18);
    for kernel in KERNELS {
        check_all(devices, &data, &params(3, kernel, Identical::Keep));
    }
}

fn same_bits(devices: &Devices) {
    let data = relu_like(2, 131, 16, 16);
    for gpu in devices.all() {
        for kernel in KERNELS {
            let params = params(25, kernel, Identical::Keep);
            let whole = graph(gpu, &data, &params, 0..131, false);
            assert!(graph(gpu, &data, &params, 0..131, true) == whole);
            for rows in [0..7, 7..100, 100..131] {
                let part = graph(gpu, &data, &params, rows.clone(), false);
                for g in 0..2 {
                    let (from, to) = (g * 131 + rows.start, g * 131 + rows.end);
                    let own = g * rows.len()..(g + 1) * rows.len();
                    let slots = own.start * 25..own.end * 25;
                    assert_eq!(part.weights[slots], whole.weights[from * 25..to * 25]);
                    assert_eq!(part.objective[own.clone()], whole.objective[from..to]);
                    assert_eq!(part.kkt_residual[own.clone()], whole.kkt_residual[from..to]);
                    assert_eq!(part.pca_dimension[own], whole.pca_dimension[from..to]);
                }
            }
        }
    }
}

fn principal_components_are_counted_when_asked_for(devices: &Devices) {
    let gpu = devices.gpu();
    let data = relu_like(1, 30, 4, 1);
    let params = params(5, Kernel::Gaussian, Identical::Keep);
    let points = data.points(gpu, 0..30, Kernel::Gaussian);
    let mut found = gpu.candidates(1, 30, 5).unwrap();
    gpu.knn(&points, 0..30, &points, &params, &mut found)
        .unwrap();
    let uncounted = GraphParams {
        pca_dimension: false,
        ..params
    };
    let vectors = || Vectors::Points(&points);
    let mut graph = gpu
        .nnk(&points, 0..30, &found, vectors(), &uncounted)
        .unwrap();
    let counted = gpu.nnk(&points, 0..30, &found, vectors(), &params).unwrap();
    assert!(graph.pca_dimension.iter().all(|&d| d == 0));
    graph.pca_dimension = counted.pca_dimension.clone();
    assert_eq!(graph, counted);
}

fn refused(devices: &Devices) {
    let gpu = devices.gpu();
    let data = relu_like(1, 30, 4, 1);
    let params = params(5, Kernel::Gaussian, Identical::Keep);
    let points = data.points(gpu, 0..30, Kernel::Gaussian);
    let mut found = gpu.candidates(1, 30, 5).unwrap();
    gpu.knn(&points, 0..30, &points, &params, &mut found)
        .unwrap();
    // Not all candidates are in this block.
    let part = data.points(gpu, 0..20, Kernel::Gaussian);
    let error = gpu.nnk(&points, 0..30, &found, Vectors::Points(&part), &params);
    assert!(error.unwrap_err().to_string().contains("every candidate"));
    let zero = GraphParams {
        sigma: Sigma::Fixed(0.0),
        ..params
    };
    assert!(
        gpu.nnk(&points, 0..30, &found, Vectors::Points(&points), &zero)
            .is_err()
    );
    assert!(
        gpu.nnk(&points, 0..29, &found, Vectors::Points(&points), &params)
            .is_err()
    );
    let short = gpu.zeros(&[1, 30, 5, 3]).unwrap();
    assert!(
        gpu.nnk(&points, 0..30, &found, Vectors::Gathered(&short), &params)
            .is_err()
    );
}
