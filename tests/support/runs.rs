//! Whole redundancy measurements, for both backends' tests.

use chanscope::Result;
use chanscope::device::Device;
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::measure::redundancy::{Arrays, GraphArrays, LayerRedundancy};
use chanscope::measure::{Context, RedundancyInput, RedundancyOptions, redundancy};
use chanscope::ops::{GraphParams, Identical, Kernel, Sigma};
use ndarray::{Array4, Axis, s};

/// Activations after a ReLU: many zeros, some dead samples, exact duplicates, one dead channel.
pub fn relu_layer(samples: usize, channels: usize, side: usize, seed: u64) -> Array4<f32> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut next = move || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.4
    };
    let mut a = Array4::from_shape_fn((samples, channels, side, side), |_| next().max(0.0));
    for i in (3..samples).step_by(7) {
        let copy = a.slice(s![i - 2, .., .., ..]).to_owned();
        a.slice_mut(s![i, .., .., ..]).assign(&copy);
    }
    for i in (5..samples).step_by(11) {
        a.slice_mut(s![i, 0, .., ..]).fill(0.0);
    }
    a.index_axis_mut(Axis(1), channels - 1).fill(0.0);
    a
}

/// Five classes.
pub fn labels(samples: usize) -> Vec<u32> {
    (0..samples).map(|i| (i * i % 5) as u32).collect()
}

/// Every figure, `k` candidates.
pub fn options(kernel: Kernel, k: usize) -> RedundancyOptions {
    RedundancyOptions::default()
        .with_graph(GraphParams {
            k,
            kernel,
            sigma: Sigma::KthThird,
            identical: Identical::Keep,
            pca_dimension: true,
        })
        .with_aggregate(true)
}

/// Figures of one layer.
pub fn measure(
    ctx: &Context<'_>,
    layer: &dyn Layer,
    labels: Option<&[u32]>,
    options: &RedundancyOptions,
) -> Result<LayerRedundancy> {
    let layers = [layer];
    let input = RedundancyInput::new(&layers).with_labels(labels);
    Ok(redundancy(ctx, &input, options)?.layers.remove(0))
}

/// Figures and graphs of one layer.
pub fn run(
    device: &Device,
    a: &Array4<f32>,
    options: &RedundancyOptions,
) -> Result<(LayerRedundancy, Arrays, Arrays)> {
    run_in(&Context::new(device), a, options)
}

/// As [`run`], in a context of the caller's.
pub fn run_in(
    ctx: &Context<'_>,
    a: &Array4<f32>,
    options: &RedundancyOptions,
) -> Result<(LayerRedundancy, Arrays, Arrays)> {
    let layer = ArrayLayer::from_array("layer", a.view())?;
    run_layer(ctx, &layer, options)
}

/// As [`run_in`], of any layer.
pub fn run_layer(
    ctx: &Context<'_>,
    layer: &dyn Layer,
    options: &RedundancyOptions,
) -> Result<(LayerRedundancy, Arrays, Arrays)> {
    let labels = labels(layer.shape().samples);
    let graphs = GraphArrays::default();
    let layers = [layer];
    let input = RedundancyInput::new(&layers)
        .with_labels(Some(&labels))
        .with_graphs(Some(&graphs));
    let found = redundancy(ctx, &input, options)?.layers.remove(0);
    let graphs = graphs.into_layers().remove(0);
    Ok((found, graphs.channels, graphs.aggregate))
}

/// Asserts that two runs agree to the bit.
pub fn same(x: &(LayerRedundancy, Arrays, Arrays), y: &(LayerRedundancy, Arrays, Arrays)) {
    let bits = |m: &ndarray::Array2<f64>| m.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&x.0.overlap), bits(&y.0.overlap));
    assert_eq!(bits(&x.0.jaccard), bits(&y.0.jaccard));
    assert_eq!(x.0.per_channel, y.0.per_channel);
    assert_eq!((x.0.redundancy, x.0.recall), (y.0.redundancy, y.0.recall));
    assert_eq!(x.0.aggregate, y.0.aggregate);
    let sampled = |found: &LayerRedundancy| {
        let s = found.sampled.as_ref()?;
        let means = [s.overlap_mean, s.jaccard_mean, s.redundancy, s.recall];
        Some((s.queries.clone(), bits(&s.overlap), bits(&s.jaccard), means))
    };
    assert_eq!(sampled(&x.0), sampled(&y.0));
    for (a, b) in [(&x.1, &y.1), (&x.2, &y.2)] {
        assert_eq!(a.neighbors, b.neighbors);
        assert_eq!(a.weights, b.weights);
        assert_eq!(a.sq_distances, b.sq_distances);
        assert_eq!(a.objective, b.objective);
        assert_eq!(a.degenerate, b.degenerate);
    }
}
