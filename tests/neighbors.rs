//! Neighbours of plain vectors, against the float64 loops of the oracle and against layers of one channel.

use crate::oracle::knn as oracle;
use chanscope::Error;
use chanscope::device::{Device, DeviceChoice};
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::measure::redundancy::GraphArrays;
use chanscope::measure::{
    Context, Neighbors, NeighborsInput, NeighborsOptions, RedundancyInput, RedundancyOptions,
    neighbors, redundancy,
};
use chanscope::ops::{Identical, Kernel};
use ndarray::{Array2, s};

fn vectors(rows: usize, dim: usize, phase: f32) -> Array2<f32> {
    let value = |(i, j): (usize, usize)| ((i * i) as f32 * 0.37 + j as f32 * 1.9 + phase).sin();
    Array2::from_shape_fn((rows, dim), value)
}

fn options(k: usize, kernel: Kernel, weights: bool) -> NeighborsOptions {
    let mut graph = NeighborsOptions::default().graph;
    graph.k = k;
    graph.kernel = kernel;
    NeighborsOptions::default()
        .with_graph(graph)
        .with_weights(weights)
}

fn find(input: &NeighborsInput<'_>, options: &NeighborsOptions) -> Result<Neighbors, Error> {
    let device = Device::open(&DeviceChoice::Cpu, 2).unwrap();
    neighbors(&Context::new(&device), input, options)
}

#[test]
fn neighbours_are_those_of_the_definition() {
    let points = vectors(70, 3, 0.0);
    let flat = points.as_slice().unwrap();
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let found = find(
            &NeighborsInput::new(points.view()),
            &options(6, kernel, false),
        )
        .unwrap();
        assert!(found.graph.is_none());
        for query in 0..70 {
            let want = oracle::neighbors(flat, 3, query, kernel, Identical::Keep);
            for (slot, &(distance, index)) in want[..6].iter().enumerate() {
                assert_eq!(found.neighbors[[query, slot]], index as i32);
                // Both are float64 sums of three terms of at most 4.
                let got = found.sq_distances[[query, slot]];
                assert!((got - distance).abs() <= 1e-14, "{got} {distance}");
            }
        }
    }
}

#[test]
fn queries_of_their_own_leave_no_point_out() {
    let (points, queries) = (vectors(40, 4, 0.0), vectors(9, 4, 0.5));
    let input = NeighborsInput::new(points.view()).with_queries(Some(queries.view()));
    let found = find(&input, &options(5, Kernel::Gaussian, true)).unwrap();
    for query in 0..9 {
        let mut want: Vec<(f64, usize)> = (0..40)
            .map(|j| {
                let (x, y) = (queries.row(query), points.row(j));
                let (x, y) = (x.as_slice().unwrap(), y.to_slice().unwrap());
                (oracle::distance(x, y, Kernel::Gaussian).unwrap(), j)
            })
            .collect();
        want.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let want: Vec<i32> = want[..5].iter().map(|&(_, j)| j as i32).collect();
        assert_eq!(found.neighbors.row(query).to_vec(), want);
    }
    // A point as a query finds itself, and the whole weight goes there.
    let own = points.slice(s![3..4, ..]);
    let input = NeighborsInput::new(points.view()).with_queries(Some(own));
    let found = find(&input, &options(5, Kernel::Gaussian, true)).unwrap();
    assert_eq!(
        (found.neighbors[[0, 0]], found.sq_distances[[0, 0]]),
        (3, 0.0)
    );
    let weights = found.graph.unwrap().weights;
    assert!((weights[[0, 0]] - 1.0).abs() < 1e-6, "{weights}");
}

#[test]
fn graphs_are_those_of_a_layer_of_one_channel() {
    let points = vectors(90, 4, 0.2);
    let layer = ArrayLayer::from_array("x", points.view()).unwrap();
    let device = Device::open(&DeviceChoice::Cpu, 2).unwrap();
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let given = options(7, kernel, true);
        let found = find(&NeighborsInput::new(points.view()), &given).unwrap();
        let sink = GraphArrays::default();
        let layers = [&layer as &dyn Layer];
        let input = RedundancyInput::new(&layers).with_graphs(Some(&sink));
        let all = RedundancyOptions::default().with_graph(given.graph);
        redundancy(&Context::new(&device), &input, &all).unwrap();
        let want = &sink.into_layers()[0].channels;
        assert_eq!(found.neighbors, want.neighbors.slice(s![0, .., ..]));
        assert_eq!(found.sq_distances, want.sq_distances.slice(s![0, .., ..]));
        let graph = found.graph.unwrap();
        assert_eq!(graph.weights, want.weights.slice(s![0, .., ..]));
        assert_eq!(graph.objective, want.objective.row(0).to_vec());
        assert!(graph.kkt_residual_max < 1e-6);
    }
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let points = vectors(20, 3, 0.0);
    let input = NeighborsInput::new(points.view());
    let refused = |input: &NeighborsInput<'_>, k| {
        find(input, &options(k, Kernel::Gaussian, false)).unwrap_err()
    };
    assert!(matches!(
        refused(&input, 0),
        Error::Argument { name: "k", .. }
    ));
    let other = vectors(5, 4, 0.0);
    let wrong = input.with_queries(Some(other.view()));
    assert!(matches!(
        refused(&wrong, 2),
        Error::WrongShape {
            name: "queries",
            ..
        }
    ));
    let turned = NeighborsInput::new(points.view().reversed_axes());
    assert!(matches!(
        refused(&turned, 2),
        Error::WrongShape { name: "points", .. }
    ));
    let mut bad = points.clone();
    bad[[4, 1]] = f32::NAN;
    match refused(&NeighborsInput::new(bad.view()), 2) {
        Error::NonFinite { at, .. } => assert_eq!(at, [4, 1]),
        other => panic!("{other}"),
    }
    let device = Device::open(&DeviceChoice::Cpu, 1).unwrap();
    let ctx = Context::new(&device).with_memory(1000);
    let found = neighbors(&ctx, &input, &options(2, Kernel::Gaussian, false));
    assert!(matches!(found, Err(Error::Memory { cap: 1000, .. })));
}
