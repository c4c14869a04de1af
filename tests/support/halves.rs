//! Layers of halves, and the same values in float32.

use super::runs::relu_layer;
use chanscope::io::layer::Layer;
use chanscope::io::npy;
use half::f16;
use ndarray::Array4;
use std::sync::Arc;

/// Activations as halves, with subnormal numbers of both signs, negative zeros and the largest number.
pub fn halves(samples: usize, channels: usize, side: usize, seed: u64) -> Array4<f16> {
    let mut a = relu_layer(samples, channels, side, seed).mapv(f16::from_f32);
    let subnormal = |bits: usize| f16::from_bits((bits % 1023 + 1) as u16);
    for sample in 0..samples {
        let at = sample % (side * side);
        let (y, x) = (at / side, at % side);
        a[[sample, 0, y, x]] = match sample % 4 {
            0 => -f16::ZERO,
            1 => -subnormal(sample),
            _ => subnormal(7 * sample),
        };
        // A channel of nothing but subnormal numbers.
        if channels > 2 {
            let map = a.slice_mut(ndarray::s![sample, 1, .., ..]);
            for (i, v) in map.into_iter().enumerate() {
                *v = subnormal(sample * 31 + i * i);
            }
        }
    }
    a[[samples / 2, 0, 0, 0]] = f16::MAX;
    a
}

/// A layer in a file: halves in either byte order, or the same values as float32.
pub fn stored(a: &Array4<f16>, descr: &str) -> Box<dyn Layer> {
    let values: Vec<u8> = match descr {
        "<f2" => a.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ">f2" => a.iter().flat_map(|v| v.to_be_bytes()).collect(),
        "<f4" => a.iter().flat_map(|v| v.to_f32().to_le_bytes()).collect(),
        other => panic!("{other}"),
    };
    let header = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': {:?}}}",
        a.dim()
    );
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{header:117}\n").into_bytes());
    bytes.extend(values);
    npy::from_bytes(Arc::new(bytes), "a.npy", "a").unwrap()
}
