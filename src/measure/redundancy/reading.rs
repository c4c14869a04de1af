//! How the graphs read a layer: directly, or from a copy by channels.

use super::graphs::BackendCosts;
use super::input::Prepared;
use super::spaces::Spaces;
use crate::device::on_backend;
use crate::io::layer::Layer;
use crate::io::size::available_disk;
use crate::io::spill::{CopyPlace, MapStore};
use crate::measure::Context;
use crate::ops::Backend;
use crate::stream::plan::{GraphJob, GraphPlan, plan_graph, repacked_rows, worth_repacking};
use crate::stream::repack::Repacked;
use crate::{Error, Result};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

/// What the graphs of some channels read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Passes over the file.
    pub passes: u64,
    /// Bytes that a pass reads in one piece: of every sample, or all of the file where it wants all channels.
    pub part: u64,
}

impl Reading {
    /// Of a channel-wise job.
    pub fn new(layer: &dyn Layer, job: &GraphJob, plan: &GraphPlan) -> Self {
        let rows = match plan.groups == layer.shape().channels {
            true => job.samples,
            false => 1,
        };
        Self {
            passes: plan.passes(job),
            part: (rows * plan.groups * job.dim * layer.dtype().size()) as u64,
        }
    }

    /// Whether a copy of `channels` channels of `layer` is faster, and there is room for it in `folder`.
    pub fn wants_copy(
        self,
        layer: &dyn Layer,
        channels: usize,
        memory: u64,
        folder: &Path,
    ) -> Result<bool> {
        let bytes = MapStore::bytes(layer, channels);
        Ok(self.pays_to_copy(layer, channels, memory)? && has_room(folder, bytes))
    }

    /// Whether a copy of `channels` channels of `layer` is faster.
    fn pays_to_copy(self, layer: &dyn Layer, channels: usize, memory: u64) -> Result<bool> {
        let (s, size) = (layer.shape(), layer.dtype().size());
        let rows = repacked_rows(s.samples, s.row_len() * size, memory);
        let piece = (rows * s.dim() * size) as u64;
        // Most of a sample is read for nothing where few channels are measured.
        Ok(2 * channels >= s.channels
            && worth_repacking(self.passes, self.part, piece)
            && layer.read_stored(0..0, &mut [])?)
    }
}

/// Whether a copy of so many bytes leaves an eighth of them free.
fn has_room(folder: &Path, bytes: u64) -> bool {
    available_disk(folder).is_none_or(|free| free >= bytes.saturating_add(bytes / 8))
}

/// Bytes that `rows` samples of each space take in the file, in the groups of `channels` that are read together, without a copy.
pub(super) fn direct_bytes(
    layer: &dyn Layer,
    channels: &[usize],
    spaces: usize,
    (plan, rows): (&GraphPlan, u64),
) -> u64 {
    match spaces {
        1 => rows * layer.row_bytes(channels),
        _ => channels
            .chunks(plan.groups)
            .map(|group| rows * layer.row_bytes(group))
            .sum(),
    }
}

/// A layer with a copy of its channels that a run in units keeps.
pub struct LayerCopy<'a>(Repacked<'a>);

impl LayerCopy<'_> {
    /// To be measured in place of the layer.
    pub fn layer(&self) -> &dyn Layer {
        &self.0
    }

    /// Whether some of the copy was found to be another than was written, and was read from the layer itself.
    pub fn is_damaged(&self) -> bool {
        self.0.is_damaged()
    }

    /// Closes the copy and removes what is damaged of it, so that it is made again.
    ///
    /// # Errors
    /// [`Error::Output`] where anything lies in it that no run wrote; [`Error::Io`].
    pub fn close(self) -> Result<()> {
        self.0.close()
    }
}

/// A copy by channels of what several parts of a run read of a layer, each some channels and queries ([`super::graphs()`]).
/// It is kept at `place`, and what is there of it already is not made again. `None` where it is not there and they read so
/// little, or in so large pieces, that it would not pay, and where there is no room for it.
///
/// # Errors
/// As [`super::redundancy`].
pub fn repack<'a>(
    ctx: &Context<'_>,
    prepared: &Prepared<'_>,
    layer: Box<dyn Layer + 'a>,
    parts: &[(Range<usize>, Range<usize>)],
    place: &CopyPlace,
) -> Result<Option<LayerCopy<'a>>> {
    ctx.run(|| {
        let found = on_backend!(ctx.device(), |backend| planned(
            backend, ctx, prepared, &*layer, parts
        ));
        let ((reading, used), channels) = (found?, prepared.channels);
        let shape = place.shape(&layer, channels.len());
        let missing = place.missing(&shape)?;
        if missing.is_empty() {
            let opened = Repacked::open(layer, channels, place)?;
            return Ok(opened.map(LayerCopy));
        }
        let bytes = missing.iter().map(|&part| shape.bytes(part)).sum();
        if !reading.pays_to_copy(&layer, used.len(), ctx.memory())?
            || !has_room(place.folder(), bytes)
        {
            return Ok(None);
        }
        let made = Repacked::kept(layer, channels, ctx.memory(), place, ctx.control());
        let fall_back = match &made {
            // Somebody else took the room, which the units need too.
            Err(Error::Spill { .. }) => {
                place.remove_all();
                true
            }
            // Somebody else removed the copy.
            Err(Error::Io { source, .. }) => source.kind() == ErrorKind::NotFound,
            _ => false,
        };
        match fall_back {
            true => Ok(None),
            false => Ok(made?.map(LayerCopy)),
        }
    })
}

/// What several parts of a run read of a layer without a copy, and the channels that they use.
fn planned<B: Backend>(
    backend: &B,
    ctx: &Context<'_>,
    prepared: &Prepared<'_>,
    layer: &dyn Layer,
    parts: &[(Range<usize>, Range<usize>)],
) -> Result<(Reading, Vec<usize>)> {
    let mut all = Reading { passes: 0, part: 0 };
    let mut used = vec![false; prepared.channels.len()];
    for (channels, queries) in parts {
        let job = Spaces::Channels(channels.clone()).job(prepared, queries.len());
        let plan = plan_graph(&job, &BackendCosts(backend), ctx.memory())?;
        let reading = Reading::new(layer, &job, &plan);
        all.passes += reading.passes;
        all.part = all.part.max(reading.part);
        used[channels.clone()].fill(true);
    }
    let channels = prepared.channels.iter().zip(used);
    let channels = channels.filter(|(_, used)| *used).map(|(&c, _)| c);
    Ok((all, channels.collect()))
}

/// A copy by channels of what a part of a run reads of a layer, some channels and queries, in an unnamed temporary file.
/// `None` where it would not pay, and where the context's folder for temporary files has no room for it.
pub(super) fn repack_on<'a, B: Backend>(
    backend: &B,
    ctx: &Context<'_>,
    prepared: &Prepared<'_>,
    layer: Box<dyn Layer + 'a>,
    part: &(Range<usize>, Range<usize>),
) -> Result<Option<Repacked<'a>>> {
    let part = std::slice::from_ref(part);
    let (all, channels) = planned(backend, ctx, prepared, &*layer, part)?;
    if !all.wants_copy(&layer, channels.len(), ctx.memory(), ctx.scratch())? {
        return Ok(None);
    }
    match Repacked::new(layer, &channels, ctx.memory(), ctx.scratch(), ctx.control()) {
        // Somebody else took the room: the layer itself is there still.
        Err(Error::Spill { .. }) => Ok(None),
        made => made.map(Some),
    }
}
