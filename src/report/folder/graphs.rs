//! The graphs themselves, written as arrays while they are computed.

use crate::io::sink::{ArrayWriter, Output};
use crate::measure::redundancy::{GraphRows, GraphShape, GraphSink, Space};
use crate::report::results::Skipped;
use crate::{Error, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Writes the graphs of every layer under `layers/NAME/`, and those of aggregates under
/// `layers/NAME/aggregate/`: `neighbors.npy` i32, `sq_distances.npy` and `weights.npy` f32 `[C, N, k]`,
/// `objective.npy` f32 and `degenerate.npy` bool `[C, N]`. See [`super::ResultsFolder::graphs`].
///
/// Squared distances of very large or very small values do not fit float32. They are stored as the largest or
/// the smallest positive float32, and `results.json` says how many there are.
pub struct GraphFiles<'a> {
    /// What could not be stored as it is.
    notes: Arc<Mutex<Vec<Skipped>>>,
    output: &'a Output,
    /// The files of the layer that was announced last.
    current: RwLock<Option<LayerFiles>>,
}

struct LayerFiles {
    name: String,
    /// Squared distances that float32 cannot hold.
    out_of_range: AtomicU64,
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
        let slots = [spaces, shape.queries, shape.k];
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
    pub(super) fn new(output: &'a Output, notes: Arc<Mutex<Vec<Skipped>>>) -> Self {
        Self {
            notes,
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
            name: layer.to_string(),
            out_of_range: AtomicU64::new(0),
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
        let first = space * layer.shape.queries + rows.first_query;
        let objective: Vec<f32> = rows.objective.iter().map(|&j| j as f32).collect();
        files.neighbors.write(first * rows.k, rows.neighbors)?;
        let (sq_distances, out_of_range) = narrowed(rows.sq_distances);
        layer
            .out_of_range
            .fetch_add(out_of_range, Ordering::Relaxed);
        files.sq_distances.write(first * rows.k, &sq_distances)?;
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
            let count = layer.out_of_range.into_inner();
            if count > 0 {
                let notes = self.notes.lock();
                notes.unwrap_or_else(PoisonError::into_inner).push(Skipped {
                    name: format!("exact sq_distances.npy of layer {}", layer.name),
                    reason: format!(
                        "{count} squared distances lie outside the range of float32 and are stored as its largest or \
                         smallest positive number; every other result uses them in float64"
                    ),
                });
            }
        }
        Ok(())
    }
}

/// Squared distances as float32, as `sq_distances.npy` has them: none of them infinite and none 0 that is not. Also how
/// many do not fit.
pub fn narrowed(sq_distances: &[f64]) -> (Vec<f32>, u64) {
    const LEAST: f32 = f32::from_bits(1);
    let mut count = 0;
    let narrow = |&d: &f64| {
        let fits = d == 0.0 || (f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX)).contains(&d);
        count += u64::from(!fits);
        match d > 0.0 {
            true => (d as f32).clamp(LEAST, f32::MAX),
            false => 0.0,
        }
    };
    (sq_distances.iter().map(narrow).collect(), count)
}
