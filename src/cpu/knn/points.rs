//! Rows prepared for neighbour search: as read for exact distances, and centred, scaled and tiled for the filters.

use super::int8::{self, Int8};
use super::packed::Packed;
use super::rows::Rows;
use super::tree::{self, TreePolicy};
use crate::Result;
use crate::cpu::gemm::COLS;
use crate::ops::{Kernel, PointsBlock, PointsBytes, PointsSize, check_points, check_queries};
use crate::simd::{ByteProducts, InstructionSet};
use crate::tensor::{ValueBuffer, ValueType};
use rayon::prelude::*;
use std::ops::Deref;

/// Rows of a few channels prepared for neighbour search.
pub struct Points {
    /// The rows as read.
    data: Rows,
    /// What the filters' copies are made with, and the copy of float32, one for each group; empty where the rows are not
    /// searched among.
    pub(super) packed: Vec<Packed>,
    /// The same as bytes, where the processor multiplies those.
    pub(super) int8: Vec<Option<Int8>>,
}

impl Deref for Points {
    type Target = Rows;

    fn deref(&self) -> &Rows {
        &self.data
    }
}

impl Points {
    /// Rows among which the neighbours of about `queries` queries of each group will be searched.
    pub(in crate::cpu) fn new(
        block: PointsBlock<'_>,
        kernel: Kernel,
        queries: usize,
        set: InstructionSet,
    ) -> Result<Self> {
        let policy = TreePolicy::of(queries);
        Self::with(block, kernel, set, set.byte_products(), policy)
    }

    /// Rows that are not searched among, without the filters' copies.
    pub(in crate::cpu) fn only_rows(
        data: ValueBuffer,
        groups: usize,
        dim: usize,
        first: usize,
        kernel: Kernel,
    ) -> Result<Self> {
        Ok(Self {
            data: Rows::take(data, groups, dim, first, kernel)?,
            packed: Vec::new(),
            int8: Vec::new(),
        })
    }

    /// Rows of the samples listed, to be queries.
    pub(in crate::cpu) fn queries(
        block: PointsBlock<'_>,
        samples: &[u32],
        kernel: Kernel,
    ) -> Result<Self> {
        check_points(&block)?;
        check_queries(&block, samples)?;
        let (data, groups, dim) = (block.data.to_buffer(), block.groups, block.dim);
        let mut points = Self::only_rows(data, groups, dim, 0, kernel)?;
        points.data.samples = Some(samples.to_vec());
        Ok(points)
    }

    /// As [`Points::new`]. Rows are also stored as bytes if `byte_products` are given.
    pub(super) fn with(
        block: PointsBlock<'_>,
        kernel: Kernel,
        set: InstructionSet,
        byte_products: Option<ByteProducts>,
        policy: TreePolicy,
    ) -> Result<Self> {
        let rows = Rows::new(block, kernel)?;
        let prepare = |group| {
            let packed = Packed::new(&rows, group, set);
            let int8 = byte_products
                .and_then(|byte_products| Int8::new(&rows, group, &packed, policy, byte_products));
            if int8.is_none() {
                // Every search needs them.
                packed.make_floats(&rows, group);
            }
            (packed, int8)
        };
        let (packed, int8) = (0..rows.groups).into_par_iter().map(prepare).unzip();
        Ok(Self {
            data: rows,
            packed,
            int8,
        })
    }
}

/// Bytes of a [`Points`] that is not searched among.
pub(in crate::cpu) fn rows_bytes(groups: usize, rows: usize, dim: usize, values: ValueType) -> u64 {
    groups as u64 * rows as u64 * ((values.size() * dim) as u64 + 8)
}

/// Bytes of a [`Points`], temporary copies not included.
pub(in crate::cpu) fn points_bytes(
    groups: usize,
    rows: usize,
    dim: usize,
    values: ValueType,
) -> u64 {
    let raw = rows_bytes(1, rows, dim, values);
    let packed = float_bytes(rows, dim) + copies_bytes(rows, dim);
    let group = raw + packed + int8::bytes(rows, dim) + tree::bytes(rows, dim);
    // Packing sorts (hash, row) pairs.
    groups as u64 * (group + 16 * rows as u64)
}

/// Bytes of a [`Points`] as a rule, made by so many threads: where bytes are multiplied, few searches need the tiles of float32.
pub(in crate::cpu) fn usual_bytes(
    of: &PointsSize,
    byte_products: bool,
    threads: usize,
) -> PointsBytes {
    let &PointsSize { rows, dim, .. } = of;
    let norm = match of.kernel {
        Kernel::Gaussian => 0,
        Kernel::Cosine => 8,
    };
    let raw = rows as u64 * ((of.values.size() * dim) as u64 + norm);
    let int8 = match byte_products {
        true => int8::usual_bytes(rows, dim, TreePolicy::of(of.queries)),
        false => None,
    };
    let (filter, scratch) = int8.unwrap_or((float_bytes(rows, dim), 0));
    let group = raw + copies_bytes(rows, dim) + filter;
    let made = of.groups as u64 * group;
    // A thread prepares a group at a time, and first sorts (hash, row) pairs.
    let at_once = threads.min(of.groups) as u64;
    PointsBytes {
        making: made + at_once * scratch.max(16 * rows as u64),
        made,
    }
}

/// Bytes of the numbers of identical rows, and of the centre, of a group.
fn copies_bytes(rows: usize, dim: usize) -> u64 {
    2 * rows as u64 + 8 * dim.next_multiple_of(8) as u64
}

/// Bytes of the tiles of float32 of a group, which are made when a search first needs them where bytes are multiplied.
fn float_bytes(rows: usize, dim: usize) -> u64 {
    let padded = (rows as u64).next_multiple_of(COLS as u64);
    4 * padded * (dim as u64 + 1)
}
