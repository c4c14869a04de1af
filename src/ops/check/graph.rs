//! Arguments of neighbour search, non-negative kernel regression and overlap.

use super::{check_length, check_sigma};
use crate::error::dims;
use crate::ops::{GraphParams, Kernel, MAX_K, OverlapSums, PointsBlock, Sigma, Supports};
use crate::{Error, Result};
use std::ops::Range;

/// What both backends know of rows prepared for search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PointsShape {
    /// Channels.
    pub(crate) groups: usize,
    /// Samples in the block.
    pub(crate) rows: usize,
    /// Numbers per sample and channel.
    pub(crate) dim: usize,
    /// The kernel they were prepared for.
    pub(crate) kernel: Kernel,
    /// Whether they are samples of a list, which serve as queries only.
    pub(crate) listed: bool,
}

/// What both backends know of candidate lists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListsShape {
    /// Channels.
    pub(crate) groups: usize,
    /// Queries.
    pub(crate) queries: usize,
    /// Candidates per query.
    pub(crate) k: usize,
}

/// What both backends know of the candidates' vectors.
pub(crate) enum VectorsShape<'a> {
    /// A block of points.
    Points(PointsShape),
    /// Shape of a tensor of gathered vectors.
    Gathered(&'a [usize]),
}

/// Whether a block's values fill its shape, and its sample indices fit 32 bits.
pub(crate) fn check_points(block: &PointsBlock<'_>) -> Result<()> {
    let PointsBlock {
        data,
        groups,
        rows,
        dim,
        first,
    } = *block;
    if dim == 0 {
        return Err(Error::argument("dim", dim, "at least 1"));
    }
    let len = (groups.checked_mul(rows).and_then(|n| n.checked_mul(dim))).ok_or_else(|| {
        Error::TooLarge {
            name: "block",
            shape: [groups, rows, dim].map(|d| d as u64).to_vec(),
        }
    })?;
    check_length("data", len, data.len())?;
    let end = first.checked_add(rows);
    if end.is_none_or(|end| end > i32::MAX as usize) {
        let most = format!("at most 2^31 - 1 less the block's {rows} rows");
        return Err(Error::argument("first", first, most));
    }
    Ok(())
}

/// Whether every row of a block of queries has its sample index, which fits 32 bits.
pub(crate) fn check_queries(block: &PointsBlock<'_>, samples: &[u32]) -> Result<()> {
    check_length("samples", block.rows, samples.len())?;
    let most = i32::MAX as u32;
    match samples.iter().position(|&sample| sample > most) {
        Some(at) => Err(Error::item("samples", at, samples[at], "at most 2^31 - 1")),
        None => Ok(()),
    }
}

/// Whether rows are consecutive samples, as candidates have to be.
fn check_consecutive(name: &'static str, points: PointsShape) -> Result<()> {
    match points.listed {
        false => Ok(()),
        true => Err(Error::argument(
            name,
            "the samples of a list",
            "a block of consecutive samples",
        )),
    }
}

/// Whether `k` is allowed.
fn check_k(k: usize) -> Result<()> {
    match (1..=MAX_K).contains(&k) {
        true => Ok(()),
        false => Err(Error::argument("k", k, format!("1 to {MAX_K}"))),
    }
}

/// Entries of candidate lists that can be addressed.
pub(crate) fn check_lists(groups: usize, queries: usize, k: usize) -> Result<usize> {
    check_k(k)?;
    let entries = groups.checked_mul(queries).and_then(|n| n.checked_mul(k));
    entries
        .filter(|n| {
            n.checked_mul(16)
                .is_some_and(|b| isize::try_from(b).is_ok())
        })
        .ok_or_else(|| Error::TooLarge {
            name: "candidates",
            shape: [groups, queries, k].map(|d| d as u64).to_vec(),
        })
}

/// Whether query rows lie in their block.
fn check_rows(rows: &Range<usize>, len: usize) -> Result<()> {
    match rows.start <= rows.end && rows.end <= len {
        true => Ok(()),
        false => Err(Error::OutOfRange {
            name: "rows",
            got: rows.clone(),
            len,
        }),
    }
}

/// Whether rows were prepared for the kernel of the search.
fn check_kernel(name: &'static str, kernel: Kernel, params: &GraphParams) -> Result<()> {
    match kernel == params.kernel {
        true => Ok(()),
        false => Err(Error::argument(
            name,
            format!("prepared for the {kernel:?} kernel"),
            format!("rows for the {:?} kernel", params.kernel),
        )),
    }
}

/// Whether candidate lists are those of a search's queries.
fn check_candidates(lists: ListsShape, groups: usize, queries: usize, k: usize) -> Result<()> {
    let got = [lists.groups, lists.queries, lists.k];
    match got == [groups, queries, k] {
        true => Ok(()),
        false => Err(Error::wrong_shape(
            "candidates",
            dims![groups, queries, k],
            &got,
        )),
    }
}

/// Arguments of a search among `points` for the query rows `rows`.
pub(crate) fn check_search(
    queries: PointsShape,
    rows: &Range<usize>,
    points: PointsShape,
    params: &GraphParams,
    lists: ListsShape,
) -> Result<()> {
    check_k(params.k)?;
    check_kernel("queries", queries.kernel, params)?;
    check_kernel("points", points.kernel, params)?;
    check_consecutive("points", points)?;
    if [queries.groups, queries.dim] != [points.groups, points.dim] {
        return Err(Error::wrong_shape(
            "points",
            dims![queries.groups, "rows", queries.dim],
            &[points.groups, points.rows, points.dim],
        ));
    }
    check_rows(rows, queries.rows)?;
    check_candidates(lists, queries.groups, rows.len(), params.k)
}

/// Arguments of a copy of some lists.
pub(crate) fn check_part(lists: ListsShape, part: &Range<usize>) -> Result<()> {
    if lists.groups != 1 {
        return Err(Error::argument("candidates", lists.groups, "one group"));
    }
    check_rows(part, lists.queries)
}

/// Arguments of a copy of candidate vectors into a tensor of shape `into`.
pub(crate) fn check_gather(points: PointsShape, lists: ListsShape, into: &[usize]) -> Result<()> {
    let ListsShape { groups, queries, k } = lists;
    check_consecutive("points", points)?;
    if points.groups != groups {
        return Err(Error::wrong_shape(
            "points",
            dims![groups, "rows", "dim"],
            &[points.groups, points.rows, points.dim],
        ));
    }
    match into == [groups, queries, k, points.dim] {
        true => Ok(()),
        false => {
            let expected = dims![groups, queries, k, points.dim];
            Err(Error::wrong_shape("into", expected, into))
        }
    }
}

/// Arguments of a solve of the query rows `rows`.
pub(crate) fn check_nnk(
    queries: PointsShape,
    rows: &Range<usize>,
    lists: ListsShape,
    vectors: VectorsShape<'_>,
    params: &GraphParams,
) -> Result<()> {
    check_k(params.k)?;
    if let Sigma::Fixed(sigma) = params.sigma {
        check_sigma(sigma)?;
    }
    check_kernel("queries", queries.kernel, params)?;
    check_rows(rows, queries.rows)?;
    let (groups, dim) = (queries.groups, queries.dim);
    check_candidates(lists, groups, rows.len(), params.k)?;
    match vectors {
        VectorsShape::Points(p) if [p.groups, p.dim] != [groups, dim] => Err(Error::wrong_shape(
            "vectors",
            dims![groups, "rows", dim],
            &[p.groups, p.rows, p.dim],
        )),
        VectorsShape::Points(p) => {
            check_consecutive("vectors", p)?;
            check_kernel("vectors", p.kernel, params)
        }
        VectorsShape::Gathered(shape) if shape != [groups, rows.len(), params.k, dim] => {
            let expected = dims![groups, rows.len(), params.k, dim];
            Err(Error::wrong_shape("vectors", expected, shape))
        }
        VectorsShape::Gathered(_) => Ok(()),
    }
}

/// The error for candidates of a query (counted from the first that is solved) whose vectors are not in
/// the block of points given.
pub(crate) fn missing_vectors(query: usize) -> Error {
    Error::argument(
        "vectors",
        format!("a block without a candidate of query {query}"),
        "a block that holds every candidate",
    )
}

/// Whether supports and sums have the sizes that they state.
pub(crate) fn check_overlap(supports: Supports<'_>, sums: &OverlapSums) -> Result<()> {
    let Supports {
        channels,
        queries,
        k,
        ..
    } = supports;
    check_k(k)?;
    let too_large = || Error::TooLarge {
        name: "supports",
        shape: [channels, queries, k].map(|d| d as u64).to_vec(),
    };
    let lists = channels.checked_mul(queries).ok_or_else(too_large)?;
    let slots = lists.checked_mul(k).ok_or_else(too_large)?;
    let pairs = channels.checked_mul(channels).ok_or_else(too_large)?;
    check_length("degenerate", lists, supports.degenerate.len())?;
    check_length("indices", slots, supports.indices.len())?;
    check_length("intersection", pairs, sums.intersection.len())?;
    check_length("jaccard_q40", pairs, sums.jaccard_q40.len())?;
    check_length("queries", pairs, sums.queries.len())?;
    check_length("unions", pairs, sums.unions.len())
}
