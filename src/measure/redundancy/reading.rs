//! How the graphs read a layer: directly, or from a copy by channels.

use super::graphs::BackendCosts;
use super::input::Prepared;
use super::spaces::Spaces;
use crate::device::on_backend;
use crate::io::layer::Layer;
use crate::io::size::available_disk;
use crate::io::spill::MapStore;
use crate::measure::Context;
use crate::ops::Backend;
use crate::stream::plan::{GraphJob, GraphPlan, plan_graph, repacked_rows, worth_repacking};
use crate::stream::repack::Repacked;
use crate::{Error, Result};
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
        let (s, size) = (layer.shape(), layer.dtype().size());
        let rows = repacked_rows(s.samples, s.row_len() * size, memory);
        let piece = (rows * s.dim() * size) as u64;
        // Most of a sample is read for nothing where few channels are measured.
        Ok(2 * channels >= s.channels
            && worth_repacking(self.passes, self.part, piece)
            && layer.read_stored(0..0, &mut [])?
            && has_room(folder, MapStore::bytes(layer, channels)))
    }
}

/// Whether a copy of so many bytes leaves an eighth of them free.
fn has_room(folder: &Path, bytes: u64) -> bool {
    available_disk(folder).is_none_or(|free| free >= bytes.saturating_add(bytes / 8))
}

/// Bytes that are read from the file for the graphs of `channels`, each a space of its own or all of them one, without a
/// copy.
pub(super) fn direct_bytes(
    layer: &dyn Layer,
    channels: &[usize],
    job: &GraphJob,
    plan: &GraphPlan,
) -> u64 {
    let rows = plan.rows_read(job);
    match job.spaces {
        1 => rows * layer.row_bytes(channels),
        _ => channels
            .chunks(plan.groups)
            .map(|group| rows * layer.row_bytes(group))
            .sum(),
    }
}

/// A copy by channels of what several parts of a run read of a layer, each some channels and queries ([`super::graphs()`]).
/// `None` where they read so little, or in so large pieces, that a copy would not pay, and where the context's folder for
/// temporary files has no room for it. To be measured in place of `layer`.
///
/// # Errors
/// As [`super::redundancy`].
pub fn repack<'a>(
    ctx: &Context<'_>,
    prepared: &Prepared<'_>,
    layer: Box<dyn Layer + 'a>,
    parts: &[(Range<usize>, Range<usize>)],
) -> Result<Option<Box<dyn Layer + 'a>>> {
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| {
            let copy = repack_on(backend, ctx, prepared, layer, parts)?;
            Ok(copy.map(|copy| Box::new(copy) as Box<dyn Layer + 'a>))
        })
    })
}

/// As [`repack`].
pub(super) fn repack_on<'a, B: Backend>(
    backend: &B,
    ctx: &Context<'_>,
    prepared: &Prepared<'_>,
    layer: Box<dyn Layer + 'a>,
    parts: &[(Range<usize>, Range<usize>)],
) -> Result<Option<Repacked<'a>>> {
    let mut all = Reading { passes: 0, part: 0 };
    let mut used = vec![false; prepared.channels.len()];
    for (channels, queries) in parts {
        let job = Spaces::Channels(channels.clone()).job(prepared, queries.len());
        let plan = plan_graph(&job, &BackendCosts(backend), ctx.memory())?;
        let reading = Reading::new(&layer, &job, &plan);
        all.passes += reading.passes;
        all.part = all.part.max(reading.part);
        used[channels.clone()].fill(true);
    }
    let channels = prepared.channels.iter().zip(used);
    let channels: Vec<usize> = channels
        .filter(|(_, used)| *used)
        .map(|(&c, _)| c)
        .collect();
    if !all.wants_copy(&layer, channels.len(), ctx.memory(), ctx.scratch())? {
        return Ok(None);
    }
    match Repacked::new(layer, &channels, ctx.memory(), ctx.scratch(), ctx.control()) {
        // Somebody else took the room: the layer itself is there still.
        Err(Error::Spill { .. }) => Ok(None),
        made => made.map(Some),
    }
}
