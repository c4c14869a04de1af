//! Activations of a layer on the calibration part, in memory.

use super::criteria::{maps, means};
use crate::device::on_backend;
use crate::io::array::ArrayLayer;
use crate::io::layer::Layer;
use crate::measure::Context;
use crate::model::dump::activations;
use crate::model::graph::Graph;
use crate::model::layers::ConvLayer;
use crate::tensor::LayerShape;
use crate::{Error, Result};

/// Activations of a layer, and what is known of its channels from them.
pub(super) struct Maps {
    name: String,
    pub(super) shape: LayerShape,
    /// `[N, C, d]`; empty where nothing looks at them.
    pub(super) values: Vec<f32>,
    /// `[C]`.
    pub(super) means: Vec<f64>,
    /// Which channels are zero on every sample.
    pub(super) dead: Vec<bool>,
    /// What is left of the memory cap beside the activations, bytes.
    pub(super) memory: u64,
}

impl Maps {
    /// Runs the network up to a layer on all samples of `data`, if anything looks at the maps.
    pub(super) fn find(
        ctx: &Context<'_>,
        graph: &Graph,
        data: &dyn Layer,
        layer: &ConvLayer,
        looked_at: bool,
    ) -> Result<Self> {
        let samples = data.shape().samples;
        let shape = match *graph.value(layer.activation).shape {
            [c, h, w] => LayerShape::new(samples, c, h, w)?,
            [c, l] => LayerShape::new(samples, c, 1, l)?,
            ref other => {
                let what = format!(
                    "layer '{}' has values of shape {other:?}, no maps",
                    layer.name
                );
                return Err(Error::network(what));
            }
        };
        let mut found = Self {
            name: layer.name.clone(),
            shape,
            values: vec![],
            means: vec![0.0; shape.channels],
            dead: vec![false; shape.channels],
            memory: ctx.memory(),
        };
        if looked_at {
            found.run(ctx, graph, data, layer)?;
        }
        Ok(found)
    }

    fn run(
        &mut self,
        ctx: &Context<'_>,
        graph: &Graph,
        data: &dyn Layer,
        layer: &ConvLayer,
    ) -> Result<()> {
        let (channels, dim) = (self.shape.channels, self.shape.dim());
        let bytes = 4 * self.shape.len() as u64;
        // As much again for what is computed of them.
        if bytes.saturating_mul(2) > ctx.memory() {
            return Err(Error::Memory {
                what: format!(
                    "layer '{}' on the {} samples of the calibration part",
                    layer.name, self.shape.samples
                ),
                needed: bytes.saturating_mul(2),
                cap: ctx.memory(),
            });
        }
        self.memory -= bytes;
        self.values = vec![0.0; self.shape.len()];
        let (row, memory, values) = (channels * dim, self.memory, &mut self.values);
        ctx.run(|| {
            on_backend!(ctx.device(), |backend| activations(
                backend,
                graph,
                data,
                &[layer.activation],
                memory,
                ctx.control(),
                |_, first, elements| {
                    values[first * row..][..elements.len()].copy_from_slice(elements);
                    Ok(())
                },
            ))
        })?;
        if self.values.iter().any(|v| !v.is_finite()) {
            return Err(Error::NonFinite {
                what: format!("activations of layer '{}'", layer.name),
                at: vec![],
                advice: "export the model again, or scale its input down",
            });
        }
        self.means = means(&self.values, channels, dim);
        for (c, dead) in self.dead.iter_mut().enumerate() {
            *dead = maps(&self.values, channels, dim, c).all(|map| map.iter().all(|&v| v == 0.0));
        }
        Ok(())
    }

    /// The activations as a layer.
    pub(super) fn layer(&self) -> Result<ArrayLayer<'_>> {
        ArrayLayer::new(&*self.name, self.shape, &self.values[..])
    }
}
