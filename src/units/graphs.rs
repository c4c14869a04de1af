//! Units of graphs: the sums of their spaces, the supports, and where they are wanted the graphs.

use super::input::{Data, View};
use super::plan::{Plan, Work, range};
use super::supports;
use crate::io::parts::{Done, Part};
use crate::io::scan::scan;
use crate::io::spill::SupportStore;
use crate::measure::Context;
use crate::measure::redundancy::{
    GraphRows, GraphShape, GraphSink, Prepared, Space, SpaceSums, Spaces, graphs,
};
use crate::report::folder::GraphWriters;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

const SUMS: &str = "sums.json";

/// What a unit adds up.
#[derive(Serialize, Deserialize)]
pub(super) struct Sums {
    /// Of each of its spaces.
    pub spaces: Vec<SpaceSums>,
    /// Squared distances that the array of them cannot hold.
    pub out_of_range: u64,
}

/// What a unit computes: layer, spaces, queries. `None` for units that are not of graphs.
pub(super) fn job(work: &Work) -> Option<(usize, Spaces, Range<usize>)> {
    match work {
        Work::Channels {
            layer,
            channels,
            queries,
        } => Some((*layer, Spaces::Channels(range(channels)), range(queries))),
        Work::Aggregate { layer, queries } => Some((*layer, Spaces::Aggregate, range(queries))),
        Work::Survey { .. } | Work::Overlap { .. } => None,
    }
}

/// Computes a unit. `prepared` is of the layer or of a copy of it; of `dead` in it count the channels that the unit uses.
pub(super) fn compute(
    ctx: &Context<'_>,
    plan: &Plan,
    prepared: &Prepared<'_>,
    (layer, spaces, queries): &(usize, Spaces, Range<usize>),
    part: &Part,
) -> Result<()> {
    let (k, count, n) = (plan.options.graph.k, spaces.count(), queries.len());
    let store = SupportStore::new(count, n, k, ctx.memory() / 8, ctx.scratch())?;
    let writers = match plan.save_graph {
        true => Some(GraphWriters::create(part, "", count, n, k)?),
        false => None,
    };
    let sink = writers.as_ref().map(|writers| Shifted {
        writers,
        first: queries.start,
    });
    let sink = sink.as_ref().map(|sink| sink as &dyn GraphSink);
    let sums = graphs(ctx, prepared, spaces, queries.clone(), &store, sink)?;
    supports::write(part, &store, count, n, k, plan.layers[*layer].piece)?;
    let out_of_range = writers.map_or(Ok(0), GraphWriters::finish)?;
    let sums = Sums {
        spaces: sums,
        out_of_range,
    };
    let text = serde_json::to_vec(&sums).map_err(|e| Error::io(SUMS, "write", e.into()))?;
    part.write(SUMS, &text)
}

/// Reads the sums of a unit of so many spaces and queries.
pub(super) fn read(done: &Done, spaces: usize, queries: usize) -> Result<Sums> {
    let failed =
        |what: String| Error::malformed(done.path(SUMS), None, format!("{what}; compute it again"));
    let bytes = done.read(SUMS, 4096 * (spaces + 1))?;
    let sums: Sums = serde_json::from_slice(&bytes).map_err(|e| failed(e.to_string()))?;
    let all = queries as u64;
    match sums.spaces.len() == spaces && sums.spaces.iter().all(|s| s.is_of(all)) {
        true => Ok(sums),
        false => Err(failed("holds sums of other queries or channels".into())),
    }
}

/// Which of the channels that a unit uses are dead; `false` for all others. Refuses values that are not finite.
pub(super) fn dead_channels(
    ctx: &Context<'_>,
    data: &Data,
    view: &View<'_>,
    spaces: &Spaces,
) -> Result<Vec<bool>> {
    let used = match spaces {
        Spaces::Channels(range) => range.clone(),
        Spaces::Aggregate => 0..view.channels.len(),
    };
    let channels = &view.channels[used.clone()];
    let found = ctx.run(|| scan(view.layer(), channels, ctx.memory(), ctx.control()))?;
    if let Some(refusal) = found.refusal(view.layer()) {
        // Of samples that were left out nothing is read: then the file has changed.
        data.check_unchanged()?;
        return Err(refusal);
    }
    let dead = found.dead_channels();
    let mut all = vec![false; view.channels.len()];
    for (slot, channel) in all[used].iter_mut().zip(channels) {
        *slot = dead.contains(channel);
    }
    Ok(all)
}

/// Passes graphs on, with queries counted from the first of the unit.
struct Shifted<'a> {
    writers: &'a GraphWriters,
    first: usize,
}

impl GraphSink for Shifted<'_> {
    fn begin(&self, _: &str, _: GraphShape) -> Result<()> {
        Ok(())
    }

    fn put(&self, space: Space, rows: GraphRows<'_>) -> Result<()> {
        let space = match space {
            Space::Channel(c) => c,
            Space::Aggregate => 0,
        };
        let first_query = rows.first_query - self.first;
        self.writers.put(
            space,
            &GraphRows {
                first_query,
                ..rows
            },
        )
    }

    fn end(&self) -> Result<()> {
        Ok(())
    }
}
