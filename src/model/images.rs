//! Images on their way into a network: read in batches, checked, uploaded.

use super::graph::Graph;
use crate::error::LayerProblem;
use crate::io::layer::Layer;
use crate::ops::net::NetOps;
use crate::{Error, Result};
use std::ops::Range;

/// Samples of a file as input of a network.
pub struct Images<'a> {
    layer: &'a dyn Layer,
    channels: Vec<usize>,
    shape: Vec<usize>,
}

impl<'a> Images<'a> {
    /// Checks that samples of `layer` are what `graph` takes.
    ///
    /// # Errors
    /// [`Error::Layer`] says what both have.
    pub fn new(graph: &Graph, layer: &'a dyn Layer) -> Result<Self> {
        let s = layer.shape();
        let shape = graph.input_shape();
        let flat = s.channels == 1 && s.height == 1 && shape == [s.width];
        let lines = s.height == 1 && shape == [s.channels, s.width];
        if shape != [s.channels, s.height, s.width] && !flat && !lines {
            let problem = LayerProblem::SampleShape {
                got: vec![s.channels, s.height, s.width],
                expected: shape.to_vec(),
            };
            return Err(Error::layer(layer.name(), layer.path(), problem));
        }
        Ok(Self {
            layer,
            channels: (0..s.channels).collect(),
            shape: shape.to_vec(),
        })
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.layer.shape().samples
    }

    /// Uploads some samples, `[rows, ...]`.
    ///
    /// # Errors
    /// I/O and device errors; [`Error::Layer`] names the first sample that is not finite.
    pub fn read<B: NetOps>(&self, backend: &B, rows: Range<usize>) -> Result<B::Tensor> {
        let row = self.layer.shape().row_len();
        let mut data = vec![0.0; rows.len() * row];
        self.layer
            .read_rows(rows.clone(), &self.channels, &mut data)?;
        if let Some(i) = data.iter().position(|v| !v.is_finite()) {
            let problem = LayerProblem::NonFiniteInput {
                sample: rows.start + i / row,
                element: i % row,
            };
            return Err(Error::layer(self.layer.name(), self.layer.path(), problem));
        }
        let shape = [&[rows.len()], self.shape.as_slice()].concat();
        backend.upload(&shape, &data)
    }
}

/// Samples at a time so that `per_sample` bytes each stay within half of what `memory` leaves beside
/// `fixed` bytes; the other half is for scratch of the kernels and the host. At most `most`.
///
/// # Errors
/// [`Error::Memory`] where not even one fits.
pub fn batch_size(memory: u64, fixed: u64, per_sample: u64, most: usize) -> Result<usize> {
    let per_sample = per_sample.max(1);
    let room = memory.saturating_sub(fixed) / 2 / per_sample;
    if room == 0 {
        return Err(Error::Memory {
            what: "one sample in this network".into(),
            needed: fixed.saturating_add(per_sample.saturating_mul(2)),
            cap: memory,
        });
    }
    Ok(usize::try_from(room).unwrap_or(most).min(most))
}
