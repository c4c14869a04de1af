//! The first convolutions of the demo's LeNet-5 on handwritten digits, computed on the device.

use chanscope::device::Device;
use chanscope::io::array::ArrayLayer;
use chanscope::model::forward::Session;
use chanscope::model::lenet::{lenet, weights};
use chanscope::model::resize::bilinear;
use chanscope::ops::net::NetOps;
use chanscope::report::results;
use chanscope::tensor::LayerShape;
use chanscope::{Error, Result};

/// `.npy`, `[1797, 8, 8]` u8 from 0 to 16.
const IMAGES: &[u8] = include_bytes!("../../../assets/digits/images.npy");
const WEIGHTS: &[u8] = include_bytes!("../../../assets/lenet5.safetensors");
const ALL: usize = 1797;
/// Digits that are taken: enough for a graph of 25 neighbours, and soon done without a graphics card.
const DIGITS: usize = 300;
/// Side of an image before and after resizing.
const SIDE: usize = 8;
const RESIZED: usize = 28;

/// What is measured, for the page.
pub fn words() -> String {
    format!("LeNet-5 on {DIGITS} handwritten digits: two convolutions, 6 and 16 channels")
}

/// The digits, as they are recorded in the results.
pub fn record() -> results::Input {
    results::Input {
        path: "builtin:digits".into(),
        shape: [DIGITS, 1, SIDE, SIDE].map(|d| d as u64).to_vec(),
        dtype: "u8".into(),
        fingerprint: format!("blake3:{}", blake3::hash(IMAGES).to_hex()),
    }
}

/// Activations of both convolutions.
pub fn activations(device: &Device) -> Result<Vec<ArrayLayer<'static>>> {
    match device {
        Device::Cpu(cpu) => forward(cpu),
        Device::Gpu(gpu) => forward(gpu.as_ref()),
    }
}

fn forward<B: NetOps>(backend: &B) -> Result<Vec<ArrayLayer<'static>>> {
    let graph = lenet(&weights(WEIGHTS)?)?;
    let layers = graph.layers();
    let wanted: Vec<_> = layers.iter().take(2).map(|l| l.activation).collect();
    let session = Session::new(backend, &graph, &[graph.input()], &wanted)?;
    let input = backend.upload(&[DIGITS, 1, RESIZED, RESIZED], &digits()?)?;
    let found = session.run(&[&input])?;
    let named = layers.iter().zip(&found);
    let named = named.map(|(layer, tensor)| {
        let shape = shape(&layer.name, &graph.value(layer.activation).shape)?;
        ArrayLayer::new(
            format!("lenet5.{}", layer.name),
            shape,
            backend.download(tensor)?,
        )
    });
    named.collect()
}

fn shape(name: &str, maps: &[usize]) -> Result<LayerShape> {
    match *maps {
        [channels, height, width] => LayerShape::new(DIGITS, channels, height, width),
        _ => Err(Error::network(format!("layer {name} has no maps"))),
    }
}

/// The digits resized as the network was trained on them.
fn digits() -> Result<Vec<f32>> {
    // A header, then the bytes.
    let pixels = &IMAGES[IMAGES.len() - ALL * SIDE * SIDE..][..DIGITS * SIDE * SIDE];
    let small: Vec<f32> = pixels.iter().map(|&p| f32::from(p) / 16.0).collect();
    bilinear(&small, [SIDE, SIDE], [RESIZED, RESIZED])
}
