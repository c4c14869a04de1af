//! The graphs themselves, written as arrays while they are computed.

use crate::io::file::DataFile;
use crate::io::parts::Part;
use crate::io::sink::{ArrayWriter, NpyElement, Output};
use crate::measure::redundancy::{GraphRows, GraphShape, GraphSink, Space};
use crate::report::results::Skipped;
use crate::{Error, Result};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Bytes of arrays that are copied at a time.
const COPIED: usize = 1 << 20;

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
    channels: GraphWriters,
    aggregate: Option<GraphWriters>,
}

/// Where arrays are made: an output folder, or a part of a run.
pub(crate) trait ArrayPlace {
    /// Begins an array; `name` is relative, with `/` between folders.
    fn begin<T: NpyElement>(&self, name: &str, shape: &[usize]) -> Result<ArrayWriter<T>>;
}

impl ArrayPlace for Output {
    fn begin<T: NpyElement>(&self, name: &str, shape: &[usize]) -> Result<ArrayWriter<T>> {
        self.array_writer(name, shape)
    }
}

impl ArrayPlace for Part {
    fn begin<T: NpyElement>(&self, name: &str, shape: &[usize]) -> Result<ArrayWriter<T>> {
        self.array_writer(name, shape)
    }
}

/// The arrays of the graphs of some spaces and queries.
pub(crate) struct GraphWriters {
    queries: usize,
    k: usize,
    /// Squared distances that float32 cannot hold.
    out_of_range: AtomicU64,
    neighbors: ArrayWriter<i32>,
    sq_distances: ArrayWriter<f32>,
    weights: ArrayWriter<f32>,
    objective: ArrayWriter<f32>,
    degenerate: ArrayWriter<bool>,
}

impl GraphWriters {
    /// Begins the arrays in `folder`, which is empty or ends in `/`.
    pub(crate) fn create(
        place: &impl ArrayPlace,
        folder: &str,
        spaces: usize,
        queries: usize,
        k: usize,
    ) -> Result<Self> {
        let slots = [spaces, queries, k];
        let name = |array: &str| format!("{folder}{array}.npy");
        Ok(Self {
            queries,
            k,
            out_of_range: AtomicU64::new(0),
            neighbors: place.begin(&name("neighbors"), &slots)?,
            sq_distances: place.begin(&name("sq_distances"), &slots)?,
            weights: place.begin(&name("weights"), &slots)?,
            objective: place.begin(&name("objective"), &slots[..2])?,
            degenerate: place.begin(&name("degenerate"), &slots[..2])?,
        })
    }

    /// Writes the graphs of some queries of a space.
    pub(crate) fn put(&self, space: usize, rows: &GraphRows<'_>) -> Result<()> {
        let first = space * self.queries + rows.first_query;
        let objective: Vec<f32> = rows.objective.iter().map(|&j| j as f32).collect();
        self.neighbors.write(first * rows.k, rows.neighbors)?;
        let (sq_distances, out_of_range) = narrowed(rows.sq_distances);
        self.out_of_range.fetch_add(out_of_range, Ordering::Relaxed);
        self.sq_distances.write(first * rows.k, &sq_distances)?;
        self.weights.write(first * rows.k, rows.weights)?;
        self.objective.write(first, &objective)?;
        self.degenerate.write(first, rows.degenerate)
    }

    /// Copies arrays that were written for a part of the spaces and queries: those that `folder` holds belong to `spaces`
    /// and `queries` here.
    pub(crate) fn copy(
        &self,
        folder: &Path,
        spaces: &Range<usize>,
        queries: &Range<usize>,
    ) -> Result<()> {
        let from = |name: &str| folder.join(name).with_extension("npy");
        let place = |width| Copied {
            spaces,
            queries,
            width,
            of: self.queries,
        };
        let (slots, each) = (place(self.k), place(1));
        slots.copy(&from("neighbors"), &self.neighbors, |b| b)?;
        slots.copy(&from("sq_distances"), &self.sq_distances, |b| b)?;
        slots.copy(&from("weights"), &self.weights, |b| b)?;
        each.copy(&from("objective"), &self.objective, |b| b)?;
        let flags = |bytes: Vec<u8>| bytes.into_iter().map(|b| b != 0).collect();
        each.copy(&from("degenerate"), &self.degenerate, flags)
    }

    /// Ends the arrays. Returns how many squared distances float32 could not hold.
    pub(crate) fn finish(self) -> Result<u64> {
        self.neighbors.finish()?;
        self.sq_distances.finish()?;
        self.weights.finish()?;
        self.objective.finish()?;
        self.degenerate.finish()?;
        Ok(self.out_of_range.into_inner())
    }
}

/// Which rows of an array are copied from another file.
struct Copied<'a> {
    spaces: &'a Range<usize>,
    queries: &'a Range<usize>,
    /// Elements of a row.
    width: usize,
    /// Queries of the array that is written.
    of: usize,
}

impl Copied<'_> {
    fn copy<S, T>(
        &self,
        from: &Path,
        to: &ArrayWriter<T>,
        convert: impl Fn(Vec<S>) -> Vec<T>,
    ) -> Result<()>
    where
        S: bytemuck::Pod,
        T: NpyElement,
    {
        let file = DataFile::open(from)?;
        let row = self.width * size_of::<S>();
        // Behind the header, the file holds just these rows.
        let rows = self.spaces.len() * self.queries.len() * row;
        let Some(data) = file.len().checked_sub(rows as u64) else {
            let what = "holds fewer graphs than its unit; compute it again";
            return Err(Error::malformed(from, None, what));
        };
        let step = (COPIED / row).max(1);
        for (at, space) in self.spaces.clone().enumerate() {
            for first in (0..self.queries.len()).step_by(step) {
                let count = step.min(self.queries.len() - first);
                let mut values = vec![S::zeroed(); count * self.width];
                let offset = (at * self.queries.len() + first) * row;
                let bytes = bytemuck::cast_slice_mut(&mut values);
                file.read_exact_at(bytes, data + offset as u64)?;
                let target = space * self.of + self.queries.start + first;
                to.write(target * self.width, &convert(values))?;
            }
        }
        Ok(())
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
        let (queries, k) = (shape.queries, shape.k);
        let create = |folder: &str, spaces| {
            let folder = format!("layers/{layer}/{folder}");
            GraphWriters::create(self.output, &folder, spaces, queries, k)
        };
        let files = LayerFiles {
            name: layer.to_string(),
            channels: create("", shape.channels)?,
            aggregate: match shape.aggregate {
                true => Some(create("aggregate/", 1)?),
                false => None,
            },
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
        match (space, &layer.aggregate) {
            (Space::Channel(c), _) => layer.channels.put(c, &rows),
            (Space::Aggregate, Some(files)) => files.put(0, &rows),
            (Space::Aggregate, None) => Ok(()),
        }
    }

    fn end(&self) -> Result<()> {
        if let Some(layer) = self.replace(None) {
            let mut count = layer.channels.finish()?;
            if let Some(aggregate) = layer.aggregate {
                count += aggregate.finish()?;
            }
            let notes = self.notes.lock();
            let mut notes = notes.unwrap_or_else(PoisonError::into_inner);
            notes.extend(out_of_range(&layer.name, count));
        }
        Ok(())
    }
}

/// What the results say where so many squared distances of a layer do not fit float32.
pub(crate) fn out_of_range(layer: &str, count: u64) -> Option<Skipped> {
    (count > 0).then(|| Skipped {
        name: format!("exact sq_distances.npy of layer {layer}"),
        reason: format!(
            "{count} squared distances lie outside the range of float32 and are stored as its largest or smallest positive \
             number; every other result uses them in float64"
        ),
    })
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
