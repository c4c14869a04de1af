//! Units of overlaps: the sums of all pairs of channels over some queries.

use super::graphs;
use super::input::View;
use super::plan::{Plan, range};
use super::supports::{Holder, Supports};
use crate::io::parts::{Done, Part};
use crate::measure::Context;
use crate::measure::redundancy::{OverlapPart, Scatter, Spaces, SupportSource, Unions, overlap};
use crate::ops::OverlapSums;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::Mutex;

/// Sums of pairs: the upper triangles, rows one after the other with the diagonal, of [`OverlapSums`]' matrices in their
/// order, 64-bit little-endian.
const PAIRS: &str = "pairs.bin";
const UNIONS: &str = "unions.json";

/// Everything but [`PAIRS`].
#[derive(Serialize, Deserialize)]
struct Others {
    unions: Unions,
    scatter: Option<Scatter>,
}

/// Computes a unit from the units of graphs `done`, by number.
pub(super) fn compute(
    ctx: &Context<'_>,
    plan: &Plan,
    view: &View<'_>,
    (layer, queries): (usize, &[usize; 2]),
    done: &[(usize, Done)],
    part: &Part,
) -> Result<()> {
    let planned = &plan.layers[layer];
    let done: Vec<(usize, &Done)> = done.iter().map(|(unit, done)| (*unit, done)).collect();
    let supports = |aggregate| supports_of(plan, view, layer, aggregate, &done);
    let channels = supports(false);
    let aggregate = plan.options.aggregate.then(|| supports(true));
    let aggregate = aggregate.as_ref().map(|s| s as &dyn SupportSource);
    // Overlaps look at supports only, in which dead channels have no members.
    let dead = vec![false; planned.channels];
    let prepared = view.prepared(&dead, &plan.options);
    let found = overlap(ctx, &prepared, range(queries), &channels, aggregate)?;
    write(&found, planned.channels, part)
}

/// The supports of a layer's channels, or of its aggregate, from units of graphs that are `done`, by number.
pub(super) fn supports_of(
    plan: &Plan,
    view: &View<'_>,
    layer: usize,
    aggregate: bool,
    done: &[(usize, &Done)],
) -> Supports {
    let planned = &plan.layers[layer];
    let holders = done.iter().filter_map(|(unit, done)| {
        let (of, spaces, queries) = graphs::job(&plan.units[*unit].work)?;
        let (spaces, is_aggregate) = match spaces {
            Spaces::Channels(range) => (range, false),
            Spaces::Aggregate => (0..1, true),
        };
        (of == layer && is_aggregate == aggregate).then(|| Holder {
            done: (*done).clone(),
            spaces,
            queries: [queries.start, queries.end],
        })
    });
    Supports {
        holders: holders.collect(),
        spaces: if aggregate { 1 } else { planned.channels },
        k: plan.options.graph.k,
        piece: planned.piece,
        queries: planned.queries,
        samples: view.layer().shape().samples,
        last: Mutex::default(),
    }
}

fn matrices(sums: &OverlapSums) -> [&Vec<u64>; 4] {
    [
        &sums.intersection,
        &sums.jaccard_q40,
        &sums.queries,
        &sums.unions,
    ]
}

fn write(found: &OverlapPart, c: usize, part: &Part) -> Result<()> {
    let mut file = part.file(PAIRS)?;
    for matrix in matrices(&found.pairs) {
        for row in 0..c {
            let upper = matrix[row * c + row..(row + 1) * c].iter();
            let bytes: Vec<u8> = upper.flat_map(|v| v.to_le_bytes()).collect();
            file.put(&bytes)?;
        }
    }
    file.finish();
    let others = Others {
        unions: found.unions.clone(),
        scatter: found.scatter.clone(),
    };
    let text = serde_json::to_vec(&others).map_err(|e| Error::io(UNIONS, "write", e.into()))?;
    part.write(UNIONS, &text)
}

/// Reads the sums of a unit over `c` channels and so many queries, with supports of at most `k`.
pub(super) fn read(done: &Done, c: usize, queries: usize, k: usize) -> Result<OverlapPart> {
    let damaged = |name: &str, what: String| {
        let what = format!("{what}; compute it again");
        Error::malformed(done.path(name), None, what)
    };
    let triangle = c * (c + 1) / 2;
    let bytes = done.read(PAIRS, 4 * triangle * 8)?;
    let values: Vec<u64> = (bytes.as_chunks::<8>().0.iter())
        .map(|b| u64::from_le_bytes(*b))
        .collect();
    if bytes.len() != 4 * triangle * 8 {
        return Err(damaged(PAIRS, format!("holds no sums of {c} channels")));
    }
    let mut part = OverlapPart::new(c);
    let sums = &mut part.pairs;
    let targets = [
        &mut sums.intersection,
        &mut sums.jaccard_q40,
        &mut sums.queries,
        &mut sums.unions,
    ];
    for (matrix, values) in targets.into_iter().zip(values.chunks(triangle)) {
        let mut values = values.iter();
        for row in 0..c {
            for (column, &value) in (row..c).zip(values.by_ref()) {
                matrix[row * c + column] = value;
                matrix[column * c + row] = value;
            }
        }
    }
    // Numbers of up to 20 digits, two for each pair where the queries were drawn.
    let text = done.read(UNIONS, 4096 + 48 * c * c)?;
    let others: Others =
        serde_json::from_slice(&text).map_err(|e| damaged(UNIONS, e.to_string()))?;
    part.unions = others.unions;
    part.scatter = others.scatter;
    match part.is_of(c, queries, k) {
        true => Ok(part),
        false => Err(damaged(
            UNIONS,
            "and the sums beside it are not of this unit".into(),
        )),
    }
}
