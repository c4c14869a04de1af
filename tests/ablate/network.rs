//! A small random network with a residual addition, as a graph and as plain float64 loops.

use crate::oracle::net as oracle;
use crate::support::noise;
use chanscope::io::array::ArrayLayer;
use chanscope::model::graph::Graph;
use chanscope::model::node::{Op, ValueId};
use chanscope::ops::net::{Binary, Pool2dParams, PoolKind, Unary};
use chanscope::ops::{Activation, Conv2dParams};
use chanscope::tensor::LayerShape;

/// Channels of the three convolutions.
pub const CHANNELS: [usize; 3] = [6, 6, 5];
/// Classes.
pub const CLASSES: usize = 3;
/// Height and width of the image, which has two channels.
const SIZE: usize = 8;

/// What happens to a layer's maps `[C][place]` of a sample.
pub type Change<'a> = &'a dyn Fn(usize, &mut Vec<Vec<f64>>);

/// Weights of `conv1` -> ReLU -> max pooling -> `conv2` (+ what it reads) -> ReLU -> `conv3` -> ReLU -> linear.
pub struct Network {
    /// Filters `[M, C, 3, 3]` and biases of the convolutions.
    pub convs: Vec<(Vec<f32>, Vec<f32>)>,
    linear: (Vec<f32>, Vec<f32>),
}

/// `conv3` has no padding.
const PADS: [usize; 3] = [1, 1, 0];
/// Places of a map of `conv3`.
const LAST: usize = 4;

impl Network {
    pub fn new(seed: u64) -> Self {
        let mut next = noise(seed);
        let mut random = |n: usize, scale: f32| (0..n).map(|_| scale * next()).collect::<Vec<_>>();
        let inputs = [2, CHANNELS[0], CHANNELS[1]];
        let convs = (inputs.iter().zip(CHANNELS))
            .map(|(&c, m)| (random(m * c * 9, 0.5), random(m, 0.2)))
            .collect();
        let features = CHANNELS[2] * LAST;
        Self {
            convs,
            linear: (random(CLASSES * features, 0.5), random(CLASSES, 0.1)),
        }
    }

    /// The same network, whose channel 2 of `conv1` is zero on every image.
    pub fn with_dead_channel(mut self) -> Self {
        let (weights, biases) = &mut self.convs[0];
        let len = weights.len() / CHANNELS[0];
        weights[2 * len..3 * len].fill(0.0);
        biases[2] = -0.1;
        self
    }

    /// The filters of a convolution.
    pub fn filters(&self, conv: usize) -> Vec<Vec<f64>> {
        let weights = &self.convs[conv].0;
        let filters = weights.chunks(weights.len() / CHANNELS[conv]);
        filters.map(doubles).collect()
    }

    pub fn graph(&self) -> Graph {
        let mut graph = Graph::new("input", &[2, SIZE, SIZE]).unwrap();
        let relu = Op::Unary(Unary::Activation(Activation::Relu));
        let input = graph.input();
        let x = self.conv(&mut graph, 0, input);
        let x = graph.push("relu1", "relu1", relu.clone(), &[x]).unwrap();
        let pool = Op::Pool(Pool2dParams {
            kind: PoolKind::Max,
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0; 4],
            dilation: [1, 1],
            output: [SIZE / 2, SIZE / 2],
        });
        let pooled = graph.push("pool", "pool", pool, &[x]).unwrap();
        let x = self.conv(&mut graph, 1, pooled);
        let add = Op::Binary(Binary::Add, Activation::Identity);
        let x = graph.push("add", "add", add, &[x, pooled]).unwrap();
        let x = graph.push("relu2", "relu2", relu.clone(), &[x]).unwrap();
        let x = self.conv(&mut graph, 2, x);
        let x = graph.push("relu3", "relu3", relu, &[x]).unwrap();
        let features = CHANNELS[2] * LAST;
        let flat = Op::Reshape(vec![features]);
        let x = graph.push("flat", "flat", flat, &[x]).unwrap();
        let (weight, bias) = &self.linear;
        let transposed: Vec<f32> = (0..features * CLASSES)
            .map(|i| weight[i % CLASSES * features + i / CLASSES])
            .collect();
        let weight = graph.constant("fc.weight", &[features, CLASSES], transposed);
        let bias = graph.constant("fc.bias", &[CLASSES], bias.clone());
        let inputs = [x, weight.unwrap(), bias.unwrap()];
        let x = graph.push("fc", "fc", Op::Linear(Activation::Identity), &inputs);
        graph.set_outputs(&[x.unwrap()]);
        graph
    }

    fn conv(&self, graph: &mut Graph, at: usize, x: ValueId) -> ValueId {
        let (weight, bias) = &self.convs[at];
        let (name, m) = (format!("conv{}", at + 1), CHANNELS[at]);
        let shape = [m, weight.len() / m / 9, 3, 3];
        let weight = graph.constant(&format!("{name}.weight"), &shape, weight.clone());
        let bias = graph.constant(&format!("{name}.bias"), &[m], bias.clone());
        let params = Conv2dParams {
            stride: [1, 1],
            padding: [PADS[at]; 4],
            dilation: [1, 1],
            groups: 1,
            activation: Activation::Identity,
        };
        let inputs = [x, weight.unwrap(), bias.unwrap()];
        graph.push(&name, &name, Op::Conv(params), &inputs).unwrap()
    }

    /// Scores of a sample, the maps of each layer passed through `change`.
    pub fn scores(&self, image: &[f32], change: Change<'_>) -> Vec<f64> {
        let image = doubles(image);
        let x = oracle::relu(&self.layer(0, &image, SIZE));
        let x = changed(0, &x, change);
        let half = [SIZE / 2, SIZE / 2];
        let kind = oracle::Pool::Max;
        let pooled = oracle::pool2d(&x, [SIZE; 2], kind, [2; 2], [2; 2], [0; 4], [1; 2], half);
        let x = changed(1, &self.layer(1, &pooled, SIZE / 2), change);
        let sum: Vec<f64> = x.iter().zip(&pooled).map(|(a, b)| a + b).collect();
        let x = oracle::relu(&self.layer(2, &oracle::relu(&sum), SIZE / 2));
        let x = changed(2, &x, change);
        let (weight, bias) = &self.linear;
        oracle::linear(&x, &doubles(weight), &doubles(bias), CHANNELS[2] * LAST)
    }

    fn layer(&self, at: usize, x: &[f64], size: usize) -> Vec<f64> {
        let (weight, bias) = &self.convs[at];
        let (m, c) = (CHANNELS[at], x.len() / size / size);
        let (pad, shape) = ([PADS[at]; 4], [m, c, 3, 3]);
        let (weight, bias) = (doubles(weight), doubles(bias));
        let given = [1, c, size, size];
        oracle::conv2d(x, given, &weight, shape, &bias, [1; 2], pad, [1; 2], 1).0
    }
}

fn changed(layer: usize, x: &[f64], change: Change<'_>) -> Vec<f64> {
    let maps = x.chunks(x.len() / CHANNELS[layer]);
    let mut maps: Vec<Vec<f64>> = maps.map(<[f64]>::to_vec).collect();
    change(layer, &mut maps);
    maps.concat()
}

fn doubles(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

/// Random images.
pub fn images(n: usize, seed: u64) -> (LayerShape, Vec<f32>) {
    let shape = LayerShape::new(n, 2, SIZE, SIZE).unwrap();
    let mut next = noise(seed);
    (shape, (0..shape.len()).map(|_| next()).collect())
}

pub fn layer(shape: LayerShape, data: &[f32]) -> ArrayLayer<'_> {
    ArrayLayer::new("images", shape, data).unwrap()
}
