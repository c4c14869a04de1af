//! Batch normalisation of constants: convolutions that standardise their own weights are exported so, with a filter
//! as a channel.

use super::{Fold, Folded, one};
use crate::model::onnx::context::Context;
use crate::model::onnx::tensor::{Constant, Elements};

pub(super) const FOLDS: &[Fold] = &[("BatchNormalization", batch)];

/// `(x - mean) / sqrt(var + epsilon) * scale + bias`, channel by channel, in float64. In training mode mean and
/// variance are those of the constant itself.
fn batch(c: &mut Context<'_>) -> Folded {
    let outputs = c.attributes.0.output.iter().skip(1);
    let trained = outputs.into_iter().any(|o| !o.is_empty());
    let training = c.attributes.flag("training_mode") || c.opset() < 14 && trained;
    let epsilon = f64::from(c.attributes.float("epsilon", 1e-5));
    let (shape, x) = c.floats(0)?;
    let &[samples, channels, ref map @ ..] = shape.as_slice() else {
        return Err(format!("{shape:?} has no channels"));
    };
    let mut parameters = vec![];
    for i in 1..5 {
        let (size, values) = c.floats(i)?;
        if size != [channels] {
            return Err(format!(
                "parameters of shape {size:?} for {channels} channels"
            ));
        }
        parameters.push(values);
    }
    c.claim(&shape, 4)?;
    let map: usize = map.iter().product();
    let place = |sample: usize, channel: usize| (sample * channels + channel) * map;
    let mut out = vec![0.0; x.len()];
    for channel in 0..channels {
        let all = || (0..samples).flat_map(|s| &x[place(s, channel)..][..map]);
        let count = (samples * map) as f64;
        let (mean, variance) = if training {
            let mean = all().map(|&v| f64::from(v)).sum::<f64>() / count;
            let squares = all().map(|&v| (f64::from(v) - mean).powi(2));
            (mean, squares.sum::<f64>() / count)
        } else {
            let of = |i: usize| f64::from(parameters[i][channel]);
            (of(2), of(3))
        };
        let factor = f64::from(parameters[0][channel]) / (variance + epsilon).sqrt();
        let bias = f64::from(parameters[1][channel]);
        for sample in 0..samples {
            let at = place(sample, channel);
            for (out, &v) in out[at..at + map].iter_mut().zip(&x[at..at + map]) {
                *out = ((f64::from(v) - mean) * factor + bias) as f32;
            }
        }
    }
    let elements = Elements::Float(out.into());
    one(Constant { shape, elements })
}
