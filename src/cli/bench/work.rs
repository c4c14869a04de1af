//! The kernels at a few shapes of real layers, with the least work that each shape asks for.

use super::job::{Job, Visit, clusters, noise};
use super::layers;
use super::shapes::{CHANNELS, CONVS, Channel, Conv, FILTERS, GRAMS, RESPONSES, SUPPORTS};
use chanscope::Result;
use chanscope::ops::ceiling::Ceilings;
use chanscope::ops::filters::{FilterOps, FilterParams, FilterShape};
use chanscope::ops::net::NetOps;
use chanscope::ops::{
    Activation, Conv2dParams, GramKind, GraphBlock, GraphParams, Identical, Kernel, OverlapSums,
    PointsBlock, Sigma, Supports, Vectors,
};
use chanscope::tensor::Values;
use serde_json::json;

/// Shapes measured, by name: small enough for a device of a tenth of a teraflop.
const CONV_NAMES: [&str; 5] = [
    "lenet5x10/conv2",
    "resnet18/layer1",
    "resnet18/layer3",
    "resnet50/layer2.1x1",
    "mobilenetv2/depthwise",
];
const CHANNEL_NAMES: [&str; 3] = ["lenet5/conv2.pool", "64-d", "resnet/layer3"];
const FILTER_NAMES: [&str; 2] = ["lenet5x10/conv2", "resnet/layer4"];
/// Queries of a search, and of the problems solved.
const QUERIES: usize = 2048;

/// Goes through all jobs on a device.
pub fn visit<B: NetOps + FilterOps + Ceilings>(
    backend: &B,
    visitor: &mut impl Visit,
) -> Result<()> {
    if visitor.wants("conv2d") {
        for conv in CONVS.iter().filter(|c| CONV_NAMES.contains(&c.name)) {
            convolution(backend, visitor, conv)?;
        }
    }
    if visitor.wants("gram") {
        for (name, shape) in GRAMS {
            for half in [false, true] {
                gram(backend, visitor, name, *shape, half)?;
            }
        }
    }
    for channel in CHANNELS.iter().filter(|c| CHANNEL_NAMES.contains(&c.name)) {
        if visitor.wants("knn") || visitor.wants("nnk") {
            for kernel in [Kernel::Gaussian, Kernel::Cosine] {
                graph(backend, visitor, channel, kernel)?;
            }
        }
    }
    if visitor.wants("overlap") {
        overlap(backend, visitor)?;
    }
    if visitor.wants("correlate") {
        let (name, shape) = RESPONSES[0];
        let x = backend.upload(&shape, &noise(shape.iter().product()))?;
        let [maps, inputs, h, w] = shape;
        let pairs = maps * (maps + 1) / 2;
        let job = Job {
            kernel: "correlate",
            half: false,
            shape: format!("{name} {h}x{w}"),
            sizes: json!({ "shape": shape }),
            // By FFT, a product and a transform back per pair; directly it would be more.
            flops: (pairs * inputs * (2 * h * 2 * w) * (3 + 5 * (4 * h * w).ilog2() as usize))
                as u64,
            bytes: 4 * (maps * inputs * h * w + 3 * pairs) as u64,
            items: pairs as u64,
            unit: "pairs",
        };
        visitor.job(job, &mut || backend.correlate(&x, None).map(drop))?;
    }
    if visitor.wants("filters") {
        for (name, shape) in FILTERS
            .iter()
            .filter(|(name, _)| FILTER_NAMES.contains(name))
        {
            filters(backend, visitor, name, *shape)?;
        }
    }
    layers::visit(backend, visitor)
}

fn convolution<B: Ceilings>(backend: &B, visitor: &mut impl Visit, conv: &Conv) -> Result<()> {
    let tensor = |shape: &[usize]| backend.upload(shape, &noise(shape.iter().product()));
    let input = [conv.batch, conv.channels, conv.size, conv.size];
    let filter = [
        conv.filters,
        conv.channels / conv.groups,
        conv.kernel,
        conv.kernel,
    ];
    let (x, weight, bias) = (tensor(&input)?, tensor(&filter)?, tensor(&[conv.filters])?);
    let params = Conv2dParams {
        stride: [conv.stride; 2],
        padding: [conv.kernel / 2; 4],
        dilation: [1, 1],
        groups: conv.groups,
        activation: Activation::Relu,
    };
    let output = conv.batch * conv.filters * conv.out() * conv.out();
    let numbers = |shape: [usize; 4]| shape.iter().product::<usize>();
    let job = Job {
        kernel: "conv2d",
        half: false,
        shape: format!("{} x{}", conv.name, conv.batch),
        sizes: json!({
            "batch": conv.batch, "channels": conv.channels, "size": conv.size,
            "filters": conv.filters, "kernel": conv.kernel, "stride": conv.stride,
            "groups": conv.groups,
        }),
        flops: conv.flops(),
        bytes: 4 * (numbers(input) + numbers(filter) + output) as u64,
        items: conv.batch as u64,
        unit: "samples",
    };
    visitor.job(job, &mut || {
        let out = backend.conv2d(&x, &weight, Some(&bias), &params)?;
        backend.finish()?;
        drop(out);
        Ok(())
    })
}

fn gram<B: Ceilings>(
    backend: &B,
    visitor: &mut impl Visit,
    name: &str,
    shape: [usize; 3],
    half: bool,
) -> Result<()> {
    let [groups, n, dim] = shape;
    let mut values = noise(groups * n * dim);
    if half {
        // As activations that were kept in half precision.
        values
            .iter_mut()
            .for_each(|v| *v = (*v * 1024.0).round() / 1024.0);
    }
    let x = backend.upload(&shape, &values)?;
    let job = Job {
        kernel: if half { "gram f16" } else { "gram" },
        // Fewer rows do not fill a block of matrices.
        half: half && n >= 64,
        shape: format!("{name} {groups}x{n}x{dim}"),
        sizes: json!({ "groups": groups, "n": n, "dim": dim }),
        flops: (groups * n * (n + 1) * dim) as u64,
        bytes: 4 * (groups * n * (n + dim)) as u64,
        items: (groups * n * n) as u64,
        unit: "elements",
    };
    visitor.job(job, &mut || {
        let out = backend.gram(&x, GramKind::Linear)?;
        backend.finish()?;
        drop(out);
        Ok(())
    })
}

/// Search and solve of the same queries.
fn graph<B: Ceilings>(
    backend: &B,
    visitor: &mut impl Visit,
    channel: &Channel,
    kernel: Kernel,
) -> Result<()> {
    let (n, dim, k) = (channel.samples, channel.dim, channel.k);
    let queries = QUERIES.min(n);
    let data = clusters(n, dim);
    let block = PointsBlock {
        data: Values::F32(&data),
        groups: 1,
        rows: n,
        dim,
        first: 0,
    };
    let params = GraphParams {
        k,
        kernel,
        sigma: Sigma::KthThird,
        identical: Identical::Keep,
        pca_dimension: true,
    };
    let points = backend.points(block, kernel)?;
    let search = || {
        let mut found = backend.candidates(1, queries, k)?;
        backend.knn(&points, 0..queries, &points, &params, &mut found)?;
        backend.finish()?;
        Ok(found)
    };
    let name = match kernel {
        Kernel::Gaussian => "gaussian",
        Kernel::Cosine => "cosine",
    };
    let shape = format!("{} {name}, N {n}, d {dim}, k {k}", channel.name);
    let sizes = json!({ "n": n, "dim": dim, "k": k, "queries": queries, "kernel": name });
    if visitor.wants("knn") {
        let job = Job {
            kernel: "knn",
            half: dim >= 16,
            shape: shape.clone(),
            sizes: sizes.clone(),
            flops: 2 * (queries * n * dim) as u64,
            bytes: 4 * ((queries + n) * dim + 2 * queries * k) as u64,
            items: queries as u64,
            unit: "queries",
        };
        visitor.job(job, &mut || search().map(drop))?;
    }
    if visitor.wants("nnk") {
        let found = search()?;
        let job = Job {
            kernel: "nnk",
            half: false,
            shape,
            sizes,
            // The kernel matrix and one product with it.
            flops: (queries * k * (k + 1) * (dim + 1)) as u64,
            bytes: 4 * (queries * k * (dim + 3)) as u64,
            items: queries as u64,
            unit: "queries",
        };
        let mut block = GraphBlock::default();
        visitor.job(job, &mut || {
            let vectors = Vectors::Points(&points);
            backend.nnk_into(&points, 0..queries, &found, vectors, &params, &mut block)
        })?;
    }
    Ok(())
}

fn overlap<B: Ceilings>(backend: &B, visitor: &mut impl Visit) -> Result<()> {
    let (name, channels, queries) = SUPPORTS[0];
    let k = 16;
    // Every support eight neighbours of its own query, more or less.
    let indices: Vec<i32> = (0..channels * queries * k)
        .map(|i| {
            let (query, slot) = (i / k % queries, i % k);
            let neighbour = query * 16 + slot + i / (k * queries) % 8;
            if slot % 2 == 0 { neighbour as i32 } else { -1 }
        })
        .collect();
    let degenerate = vec![false; channels * queries];
    let supports = Supports {
        indices: &indices,
        degenerate: &degenerate,
        channels,
        queries,
        k,
    };
    let pairs = channels * (channels + 1) / 2;
    let zeros = vec![0; channels * channels];
    let job = Job {
        kernel: "overlap",
        half: false,
        shape: format!("{name}, {channels} channels, {queries} queries, k {k}"),
        sizes: json!({ "channels": channels, "queries": queries, "k": k }),
        // Sorted supports are compared in one walk along both.
        flops: (pairs * queries * k) as u64,
        bytes: 4 * (channels * queries * k) as u64,
        items: (pairs * queries) as u64,
        unit: "pairs",
    };
    visitor.job(job, &mut || {
        let mut sums = OverlapSums {
            intersection: zeros.clone(),
            jaccard_q40: zeros.clone(),
            queries: zeros.clone(),
            unions: zeros.clone(),
        };
        backend.overlap(supports, &mut sums)
    })
}

/// Value and gradient of all pairs.
fn filters<B: FilterOps>(
    backend: &B,
    visitor: &mut impl Visit,
    name: &str,
    shape: [usize; 4],
) -> Result<()> {
    let shape = FilterShape::new(&shape)?;
    let k = noise(shape.len());
    let (mut gradient, mut scratch) = (vec![0.0; k.len()], B::FilterScratch::default());
    let (maps, area) = (shape.filters * shape.channels, shape.area());
    let lags = ((2 * shape.height - 1) * (2 * shape.width - 1)).div_ceil(2);
    let job = Job {
        kernel: "filters",
        half: false,
        shape: format!(
            "{name} {}x{}x{}x{} with gradient",
            shape.filters, shape.channels, shape.height, shape.width
        ),
        sizes: json!({ "shape": [shape.filters, shape.channels, shape.height, shape.width] }),
        // Half of an autocorrelation, sums from both ends, a correlation for the gradient.
        flops: (maps * (area * (area + 1) + 4 * lags + 2 * area * area)) as u64,
        bytes: 8 * k.len() as u64,
        items: (shape.filters * (shape.filters - 1) / 2) as u64,
        unit: "pairs",
    };
    visitor.job(job, &mut || {
        let params = FilterParams::default();
        let gradient = Some(gradient.as_mut_slice());
        backend
            .similarity(&k, shape, params, gradient, &mut scratch)
            .map(drop)
    })
}
