//! Every operation of a backend, called with arguments that do not fit.

use chanscope::ops::filters::{FilterOps, FilterParams, FilterShape, InputChannels};
use chanscope::ops::net::{
    Binary, NetOps, Pool2dParams, PoolKind, Reduction, Resampling, Shuffle, StridedCopy,
};
use chanscope::ops::{
    Activation, Conv2dParams, GramKind, GraphParams, Identical, Kernel, OverlapSums, PointsBlock,
    Sigma, Supports, Vectors,
};
use chanscope::tensor::{ValueType, Values};
use chanscope::{Error, Result};

/// What was wrong, and the error.
pub type Refusals = Vec<(&'static str, Error)>;

/// Calls every operation with wrong arguments and returns the errors, always in the same order.
///
/// # Panics
/// If a call is accepted.
pub fn refusals<B: NetOps + FilterOps>(backend: &B) -> Refusals {
    let mut found = Refusals::new();
    tensors(backend, &mut found);
    points(backend, &mut found);
    search(backend, &mut found);
    solve(backend, &mut found);
    overlap(backend, &mut found);
    matrices(backend, &mut found);
    layers(backend, &mut found);
    shuffles(backend, &mut found);
    filters(backend, &mut found);
    found
}

fn refused<T>(found: &mut Refusals, what: &'static str, result: Result<T>) {
    match result {
        Ok(_) => panic!("{what}: accepted"),
        Err(error) => found.push((what, error)),
    }
}

fn tensors<B: NetOps>(b: &B, found: &mut Refusals) {
    refused(found, "upload: length", b.upload(&[2, 3], &[0.0; 5]));
    refused(found, "upload: size", b.upload(&[usize::MAX, 8], &[]));
    refused(found, "zeros: size", b.zeros(&[usize::MAX, 8]));
    let x = b.zeros(&[2, 3]).expect("zeros");
    refused(found, "reshape: length", b.reshape(x, &[2, 4]));
}

/// Samples on a line: the nearest of 8 is 9 and of 9 is 8, of all others one of the first eight.
const LINE: [f32; 10] = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 200.0, 201.0];

const BLOCK: PointsBlock<'_> = PointsBlock {
    data: Values::F32(&LINE),
    groups: 1,
    rows: 10,
    dim: 1,
    first: 0,
};

const PARAMS: GraphParams = GraphParams {
    k: 1,
    kernel: Kernel::Gaussian,
    sigma: Sigma::KthThird,
    identical: Identical::Keep,
    pca_dimension: false,
};

fn points<B: NetOps>(b: &B, found: &mut Refusals) {
    let mut try_it = |what, block| refused(found, what, b.points(block, Kernel::Gaussian));
    try_it("points: dim", PointsBlock { dim: 0, ..BLOCK });
    try_it("points: length", PointsBlock { rows: 11, ..BLOCK });
    let last = i32::MAX as usize;
    try_it(
        "points: first",
        PointsBlock {
            first: last,
            ..BLOCK
        },
    );
    let groups = usize::MAX;
    try_it("points: size", PointsBlock { groups, ..BLOCK });
    refused(found, "candidates: no k", b.candidates(1, 10, 0));
    refused(found, "candidates: large k", b.candidates(1, 10, 1025));
    let many = usize::MAX / 2;
    refused(found, "candidates: size", b.candidates(many, 10, 5));
}

fn search<B: NetOps>(b: &B, found: &mut Refusals) {
    let points = |block, kernel| b.points(block, kernel).expect("points");
    let own = points(BLOCK, Kernel::Gaussian);
    let cosine = points(BLOCK, Kernel::Cosine);
    let half = PointsBlock {
        rows: 5,
        dim: 2,
        ..BLOCK
    };
    let wide = points(half, Kernel::Gaussian);
    let mut lists = b.candidates(1, 10, 1).expect("candidates");
    let mut knn = |what, queries, rows, points, params: &GraphParams| {
        let result = b.knn(queries, rows, points, params, &mut lists);
        refused(found, what, result);
    };
    let k = |k| GraphParams { k, ..PARAMS };
    knn("knn: no k", &own, 0..10, &own, &k(0));
    knn("knn: large k", &own, 0..10, &own, &k(1025));
    knn("knn: lists of another k", &own, 0..10, &own, &k(2));
    let other = GraphParams {
        kernel: Kernel::Cosine,
        ..PARAMS
    };
    knn("knn: kernel", &own, 0..10, &own, &other);
    knn("knn: kernel of queries", &cosine, 0..10, &own, &PARAMS);
    knn("knn: kernel of points", &own, 0..10, &cosine, &PARAMS);
    knn("knn: dim", &own, 0..10, &wide, &PARAMS);
    knn("knn: rows", &own, 1..11, &own, &PARAMS);
    knn("knn: lists of fewer queries", &own, 0..9, &own, &PARAMS);

    let pair = PointsBlock {
        groups: 2,
        rows: 5,
        ..BLOCK
    };
    let pair = points(pair, Kernel::Gaussian);
    let mut into = b.gathered([1, 10, 1, 1], ValueType::F32).expect("zeros");
    refused(found, "gather: groups", b.gather(&pair, &lists, &mut into));
    let mut into = b.gathered([1, 10, 1, 2], ValueType::F32).expect("zeros");
    refused(found, "gather: into", b.gather(&own, &lists, &mut into));
}

fn solve<B: NetOps>(b: &B, found: &mut Refusals) {
    let points = |block, kernel| b.points(block, kernel).expect("points");
    let own = points(BLOCK, Kernel::Gaussian);
    let cosine = points(BLOCK, Kernel::Cosine);
    let mut lists = b.candidates(1, 10, 1).expect("candidates");
    b.knn(&own, 0..10, &own, &PARAMS, &mut lists).expect("knn");
    let mut nnk = |what, queries, rows, vectors: Vectors<'_, B>, params: &GraphParams| {
        let result = b.nnk(queries, rows, &lists, vectors, params);
        refused(found, what, result);
    };
    let all = || Vectors::Points(&own);
    let k = |k| GraphParams { k, ..PARAMS };
    nnk("nnk: large k", &own, 0..10, all(), &k(1025));
    nnk("nnk: lists of another k", &own, 0..10, all(), &k(2));
    let sigma = |sigma| GraphParams {
        sigma: Sigma::Fixed(sigma),
        ..PARAMS
    };
    nnk("nnk: no sigma", &own, 0..10, all(), &sigma(0.0));
    nnk("nnk: sigma", &own, 0..10, all(), &sigma(f64::NAN));
    nnk("nnk: kernel", &cosine, 0..10, all(), &PARAMS);
    nnk("nnk: rows", &own, 1..11, all(), &PARAMS);
    nnk("nnk: lists", &own, 0..9, all(), &PARAMS);
    let half = PointsBlock {
        rows: 5,
        dim: 2,
        ..BLOCK
    };
    let wide = points(half, Kernel::Gaussian);
    nnk("nnk: dim", &own, 0..10, Vectors::Points(&wide), &PARAMS);
    let vectors = Vectors::Points(&cosine);
    nnk("nnk: kernel of vectors", &own, 0..10, vectors, &PARAMS);
    let gathered = b.gathered([1, 10, 1, 2], ValueType::F32).expect("zeros");
    let vectors = Vectors::Gathered(&gathered);
    nnk("nnk: gathered", &own, 0..10, vectors, &PARAMS);
    let part = PointsBlock {
        data: Values::F32(&LINE[..9]),
        rows: 9,
        ..BLOCK
    };
    let part = points(part, Kernel::Gaussian);
    nnk("nnk: missing", &own, 0..10, Vectors::Points(&part), &PARAMS);
}

fn overlap<B: NetOps>(b: &B, found: &mut Refusals) {
    let supports = Supports {
        indices: &[0; 12],
        degenerate: &[false; 6],
        channels: 2,
        queries: 3,
        k: 2,
    };
    let sums = |c: usize| OverlapSums {
        intersection: vec![0; c * c],
        jaccard_q40: vec![0; c * c],
        queries: vec![0; c * c],
        unions: vec![0; c * c],
    };
    let mut try_it = |what, supports, mut sums| {
        let result = b.overlap(supports, &mut sums);
        refused(found, what, result);
    };
    let degenerate = &[false; 5];
    let short = Supports {
        degenerate,
        ..supports
    };
    try_it("overlap: degenerate", short, sums(2));
    let indices = &[0; 11];
    let short = Supports {
        indices,
        ..supports
    };
    try_it("overlap: indices", short, sums(2));
    try_it(
        "overlap: k",
        Supports {
            k: 1025,
            ..supports
        },
        sums(2),
    );
    try_it("overlap: sums", supports, sums(3));
    let queries = usize::MAX;
    try_it(
        "overlap: size",
        Supports {
            queries,
            ..supports
        },
        sums(2),
    );
}

fn matrices<B: NetOps>(b: &B, found: &mut Refusals) {
    let zeros = |shape: &[usize]| b.zeros(shape).expect("zeros");
    let gram = |x: &[usize], kind| b.gram(&zeros(x), kind);
    refused(found, "gram: shape", gram(&[4, 3], GramKind::Linear));
    refused(
        found,
        "gram: sigma",
        gram(&[1, 4, 3], GramKind::Gaussian(-1.0)),
    );
    let linear = |x: &[usize], w: &[usize], bias: &[usize]| {
        let bias = zeros(bias);
        b.linear(&zeros(x), &zeros(w), Some(&bias), Activation::Identity)
    };
    refused(found, "linear: x", linear(&[2, 3, 1], &[3, 4], &[4]));
    refused(found, "linear: weight", linear(&[2, 3], &[4, 3], &[3]));
    refused(found, "linear: bias", linear(&[2, 3], &[3, 4], &[3]));
}

fn layers<B: NetOps>(b: &B, found: &mut Refusals) {
    let zeros = |shape: &[usize]| b.zeros(shape).expect("zeros");
    let plain = Conv2dParams {
        stride: [1, 1],
        padding: [0; 4],
        dilation: [1, 1],
        groups: 1,
        activation: Activation::Identity,
    };
    let conv2d = |x: &[usize], w: &[usize], bias: &[usize], params: &Conv2dParams| {
        b.conv2d(&zeros(x), &zeros(w), Some(&zeros(bias)), params)
    };
    let (x, w) = ([1, 4, 5, 5], [3, 4, 3, 3]);
    refused(found, "conv2d: x", conv2d(&x[1..], &w, &[3], &plain));
    refused(found, "conv2d: weight", conv2d(&x, &w[1..], &[3], &plain));
    refused(found, "conv2d: bias", conv2d(&x, &w, &[4], &plain));
    let groups = Conv2dParams { groups: 2, ..plain };
    refused(found, "conv2d: groups", conv2d(&x, &w, &[3], &groups));
    let still = Conv2dParams {
        stride: [1, 0],
        ..plain
    };
    refused(found, "conv2d: stride", conv2d(&x, &w, &[3], &still));
    let long = [3, 4, 6, 3];
    refused(found, "conv2d: kernel", conv2d(&x, &long, &[3], &plain));

    let pool = Pool2dParams {
        kind: PoolKind::Max,
        kernel: [2, 2],
        stride: [2, 2],
        padding: [0; 4],
        dilation: [1, 1],
        output: [2, 2],
    };
    refused(found, "pool2d: x", b.pool2d(&zeros(&[4, 4]), &pool));
    let still = Pool2dParams {
        stride: [0, 2],
        ..pool
    };
    refused(
        found,
        "pool2d: stride",
        b.pool2d(&zeros(&[1, 1, 4, 4]), &still),
    );
    let binary = |x: &[usize], y: &[usize]| {
        b.binary(&zeros(x), &zeros(y), Binary::Add, Activation::Identity)
    };
    refused(found, "binary: shapes", binary(&[2, 3], &[4]));
    refused(found, "binary: axes", binary(&[1; 9], &[1; 9]));
    let x = zeros(&[2, 3, 4]);
    refused(
        found,
        "reduce: axes",
        b.reduce(&x, Reduction::Mean, 2..4, &[2, 3]),
    );
    refused(
        found,
        "reduce: shape",
        b.reduce(&x, Reduction::Mean, 1..2, &[2, 3]),
    );
    let empty = b.reduce(&zeros(&[2, 0]), Reduction::Max, 1..2, &[2]);
    refused(found, "reduce: no elements", empty);
    refused(found, "softmax: axis", b.softmax(&x, 3));
    refused(found, "normalise: len", b.normalise(&x, 5, 0.0));
    refused(found, "normalise: nothing", b.normalise(&x, 0, 0.0));
    let by = |terms, index: &[u32], weight: &[f32]| Resampling {
        terms,
        index: index.to_vec(),
        weight: weight.to_vec(),
    };
    for (what, axis, by) in [
        ("resample: axis", 3, by(1, &[0], &[1.0])),
        ("resample: index", 1, by(1, &[3], &[1.0])),
        ("resample: terms", 1, by(2, &[0, 1, 2], &[1.0; 3])),
        ("resample: no terms", 1, by(0, &[], &[])),
        ("resample: weight", 1, by(1, &[0, 1], &[1.0])),
    ] {
        refused(found, what, b.resample(&x, axis, &by));
    }

    let copy = StridedCopy {
        extents: vec![2, 3],
        src_offset: 0,
        src_strides: vec![3, 1],
        dst_offset: 0,
        dst_strides: vec![3, 1],
    };
    let (x, mut into) = (zeros(&[2, 3]), zeros(&[2, 3]));
    let mut try_it = |what, copy: StridedCopy| {
        let result = b.copy(&x, &mut into, &copy);
        refused(found, what, result);
    };
    let changed = |change: fn(&mut StridedCopy)| {
        let mut copy = copy.clone();
        change(&mut copy);
        copy
    };
    try_it("copy: source", changed(|c| c.src_offset = 1));
    try_it("copy: target", changed(|c| c.dst_offset = 1));
    try_it("copy: backwards", changed(|c| c.src_strides[1] = -1));
    try_it("copy: strides", changed(|c| c.dst_strides.truncate(1)));
    try_it("copy: axes", changed(|c| c.extents = vec![1; 9]));
}

fn shuffles<B: NetOps>(b: &B, found: &mut Refusals) {
    let zeros = |shape: &[usize]| b.zeros(shape).expect("zeros");
    let (x, other) = (zeros(&[2, 3, 2, 2]), zeros(&[2, 3, 4]));
    let flat = zeros(&[6]);
    let samples = Shuffle::Samples(&[0, 1]);
    refused(found, "shuffle: x", b.shuffle(&flat, samples));
    let samples = Shuffle::Samples(&[0]);
    refused(found, "shuffle: samples", b.shuffle(&x, samples));
    let samples = Shuffle::Samples(&[0, 2]);
    refused(found, "shuffle: a sample", b.shuffle(&x, samples));
    let pixels = Shuffle::Pixels(&[0; 4]);
    refused(found, "shuffle: pixels", b.shuffle(&x, pixels));
    let pixels = Shuffle::Pixels(&[0, 0, 0, 0, 0, 4, 0, 0]);
    refused(found, "shuffle: a pixel", b.shuffle(&x, pixels));

    refused(found, "substitute: other", b.substitute(&x, &other, 0..1));
    refused(found, "substitute: channels", b.substitute(&x, &x, 2..4));
    refused(found, "substitute: none", b.substitute(&x, &x, 1..1));
    let rows = zeros(&[3, 3, 2, 2]);
    refused(found, "channel_dots: rows", b.channel_dots(&x, &rows));
    refused(found, "channel_dots: y", b.channel_dots(&x, &flat));

    refused(found, "correlate: x", b.correlate(&other, None));
    refused(found, "correlate: y", b.correlate(&x, Some(&flat)));
    let four = zeros(&[2, 4, 2, 2]);
    refused(found, "correlate: inputs", b.correlate(&x, Some(&four)));
}

fn filters<B: FilterOps>(b: &B, found: &mut Refusals) {
    let shape = FilterShape::new(&[2, 1, 3, 3]).expect("shape");
    let params = FilterParams::default();
    let mut scratch = B::FilterScratch::default();
    let result = b.similarity(&[0.0; 17], shape, params, None, &mut scratch);
    refused(found, "similarity: weights", result);
    let gradient = Some(&mut [0.0; 19][..]);
    let result = b.similarity(&[0.0; 18], shape, params, gradient, &mut scratch);
    refused(found, "similarity: gradient", result);
    let result = b.similarity_pairs(&[0.0; 17], shape, InputChannels::Separate);
    refused(found, "similarity_pairs: weights", result);
}
