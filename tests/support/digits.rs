//! Activations of the LeNet-5 in the binary on the digits in the binary: real data for both backends.

use chanscope::model::forward::Session;
use chanscope::model::layers::Tap;
use chanscope::model::lenet::{lenet, weights};
use chanscope::model::resize::bilinear;
use chanscope::ops::net::NetOps;

const IMAGES: &[u8] = include_bytes!("../../assets/digits/images.npy");
const WEIGHTS: &[u8] = include_bytes!("../../assets/lenet5.safetensors");
const DIGITS: usize = 1797;

/// Samples of a layer, channel by channel: `x [channels, samples, dim]`.
pub struct Activations {
    pub x: Vec<f32>,
    pub channels: usize,
    pub samples: usize,
    pub dim: usize,
}

impl Activations {
    /// Samples of a channel, `[samples, dim]`.
    pub fn channel(&self, c: usize) -> &[f32] {
        let size = self.samples * self.dim;
        &self.x[c * size..][..size]
    }
}

/// What the second convolution passes on, `[N, 16, 5, 5]`, rectified and pooled.
pub fn pool2<B: NetOps>(backend: &B) -> Activations {
    let pixels = &IMAGES[IMAGES.len() - DIGITS * 64..];
    let small: Vec<f32> = pixels.iter().map(|&p| f32::from(p) / 16.0).collect();
    let images = bilinear(&small, [8, 8], [28, 28]).unwrap();
    let graph = lenet(&weights(WEIGHTS).unwrap()).unwrap();
    let wanted = graph.layers()[1].tap(Tap::Pool);
    let session = Session::new(backend, &graph, &[graph.input()], &[wanted]).unwrap();
    let &[channels, h, w] = graph.value(wanted).shape.as_slice() else {
        panic!("the layer has maps");
    };
    let mut x = vec![0.0; channels * DIGITS * h * w];
    let dim = h * w;
    for (b, batch) in images.chunks(128 * 784).enumerate() {
        let input = backend
            .upload(&[batch.len() / 784, 1, 28, 28], batch)
            .unwrap();
        let maps = session.run(&[&input]).unwrap();
        let maps = backend.download(&maps[0]).unwrap();
        for (i, map) in maps.chunks_exact(dim).enumerate() {
            let (sample, channel) = (b * 128 + i / channels, i % channels);
            x[(channel * DIGITS + sample) * dim..][..dim].copy_from_slice(map);
        }
    }
    Activations {
        x,
        channels,
        samples: DIGITS,
        dim,
    }
}
