//! The graphs themselves, written as arrays while they are computed.

use crate::io::sink::{ArrayWriter, Output};
use crate::measure::redundancy::{GraphRows, GraphShape, GraphSink, Space};
use crate::{Error, Result};
use std::sync::{PoisonError, RwLock};

/// Writes the graphs of every layer under `layers/NAME/`, and those of aggregates under
/// `layers/NAME/aggregate/`: `neighbors.npy` i32, `sq_distances.npy` and `weights.npy` f32 `[C, N, k]`,
/// `objective.npy` f32 and `degenerate.npy` bool `[C, N]`. See [`super::ResultsFolder::graphs`].
pub struct GraphFiles<'a> {
    output: &'a Output,
    /// The files of the layer that was announced last.
    current: RwLock<Option<LayerFiles>>,
}

struct LayerFiles {
    shape: GraphShape,
    channels: Files,
    aggregate: Option<Files>,
}

struct Files {
    neighbors: ArrayWriter<i32>,
    sq_distances: ArrayWriter<f32>,
    weights: ArrayWriter<f32>,
    objective: ArrayWriter<f32>,
    degenerate: ArrayWriter<bool>,
}

impl Files {
    fn create(output: &Output, folder: &str, spaces: usize, shape: GraphShape) -> Result<Self> {
        let slots = [spaces, shape.samples, shape.k];
        let name = |array: &str| format!("{folder}/{array}.npy");
        Ok(Self {
            neighbors: output.array_writer(&name("neighbors"), &slots)?,
            sq_distances: output.array_writer(&name("sq_distances"), &slots)?,
            weights: output.array_writer(&name("weights"), &slots)?,
            objective: output.array_writer(&name("objective"), &slots[..2])?,
            degenerate: output.array_writer(&name("degenerate"), &slots[..2])?,
        })
    }

    fn finish(self) -> Result<()> {
        self.neighbors.finish()?;
        self.sq_distances.finish()?;
        self.weights.finish()?;
        self.objective.finish()?;
        self.degenerate.finish()
    }
}

impl<'a> GraphFiles<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Self {
            output,
            current: RwLock::new(None),
        }
    }

    fn replace(&self, files: Option<LayerFiles>) -> Option<LayerFiles> {
        let current = self.current.write();
        std::mem::replace(&mut *current.unwrap_or_else(PoisonError::into_inner), files)
    }
}

impl GraphSink for GraphFiles<'_> {
    fn begin(&self, layer: &str, shape: GraphShape) -> Result<()> {
        let folder = format!("layers/{layer}");
        let channels = Files::create(self.output, &folder, shape.channels, shape)?;
        let aggregate = if shape.aggregate {
            let folder = format!("{folder}/aggregate");
            Some(Files::create(self.output, &folder, 1, shape)?)
        } else {
            None
        };
        let files = LayerFiles {
            shape,
            channels,
            aggregate,
        };
        match self.replace(Some(files)) {
            None => Ok(()),
            Some(_) => Err(Error::argument(
                "layer",
                format!("{layer:?} while another layer is being written"),
                "the end of that layer first",
            )),
        }
    }

    fn put(&self, space: Space, rows: GraphRows<'_>) -> Result<()> {
        let current = self.current.read();
        let current = current.unwrap_or_else(PoisonError::into_inner);
        let Some(layer) = current.as_ref() else {
            return Ok(());
        };
        let (files, space) = match (space, &layer.aggregate) {
            (Space::Channel(c), _) => (&layer.channels, c),
            (Space::Aggregate, Some(files)) => (files, 0),
            (Space::Aggregate, None) => return Ok(()),
        };
        let first = space * layer.shape.samples + rows.first_query;
        let objective: Vec<f32> = rows.objective.iter().map(|&j| j as f32).collect();
        files.neighbors.write(first * rows.k, rows.neighbors)?;
        files
            .sq_distances
            .write(first * rows.k, rows.sq_distances)?;
        files.weights.write(first * rows.k, rows.weights)?;
        files.objective.write(first, &objective)?;
        files.degenerate.write(first, rows.degenerate)
    }

    fn end(&self) -> Result<()> {
        if let Some(layer) = self.replace(None) {
            layer.channels.finish()?;
            if let Some(aggregate) = layer.aggregate {
                aggregate.finish()?;
            }
        }
        Ok(())
    }
}
