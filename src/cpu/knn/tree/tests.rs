//! Searches with a tree against searches without.

use super::*;
use crate::cpu::knn::points::Points;
use crate::cpu::knn::{Candidates, search};
use crate::internals::{OnEachSet, tests};
use crate::ops::{GraphParams, Identical, Kernel, PointsBlock, Sigma};
use crate::simd::{ByteProducts, InstructionSet};
use crate::tensor::Values;

/// The tests of this file that depend on the instruction set.
pub const TREE: OnEachSet = tests![lists_are_those_of_a_search_without];

/// A tree wherever there can be one.
const ALWAYS: TreePolicy = TreePolicy {
    min_tiles: 2,
    max_share: 2.0,
    queries: usize::MAX,
};

/// `[rows, dim]`.
struct Data {
    name: &'static str,
    values: Vec<f32>,
    dim: usize,
}

impl Data {
    fn new(
        name: &'static str,
        rows: usize,
        dim: usize,
        mut value: impl FnMut(usize, usize) -> f32,
    ) -> Self {
        let values = (0..rows * dim).map(|i| value(i / dim, i % dim)).collect();
        Self { name, values, dim }
    }

    fn points(
        &self,
        rows: Range<usize>,
        kernel: Kernel,
        byte_products: Option<ByteProducts>,
    ) -> Points {
        let block = PointsBlock {
            data: Values::F32(&self.values[rows.start * self.dim..rows.end * self.dim]),
            groups: 1,
            rows: rows.len(),
            dim: self.dim,
            first: rows.start,
        };
        Points::with(
            block,
            kernel,
            InstructionSet::detect(),
            byte_products,
            ALWAYS,
        )
        .unwrap()
    }
}

fn data() -> Vec<Data> {
    let mut state = 1u64;
    let mut noise = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let centres: Vec<f32> = (0..9 * 12).map(|_| 4.0 * noise()).collect();
    vec![
        Data::new("clusters", 900, 12, |r, t| {
            centres[r % 9 * 12 + t] + noise()
        }),
        Data::new("a line", 700, 7, |r, t| {
            r as f32 * t as f32 + 0.01 * noise()
        }),
        Data::new("two dimensions", 1000, 2, |_, _| noise()),
        Data::new("one", 300, 1, |_, _| noise()),
        Data::new("ties", 1100, 3, |_, _| (3.0 * noise()).round()),
        Data::new("dead samples", 800, 5, |r, _| {
            let x = noise().max(0.0);
            if r % 3 == 0 { 0.0 } else { x }
        }),
        Data::new("copies", 640, 6, |r, t| ((r % 20 * 7 + t * t) % 11) as f32),
        Data::new("outliers", 700, 4, |r, _| {
            noise() * if r % 97 == 5 { 1e9 } else { 1.0 }
        }),
        Data::new("far from 0", 500, 8, |_, _| 1e6 + noise()),
        Data::new("all the same", 200, 3, |_, _| 2.5),
        Data::new("vanishing", 400, 5, |_, _| 1e-30 * noise()),
    ]
}

fn lists(
    queries: &Points,
    rows: Range<usize>,
    blocks: &[Points],
    params: &GraphParams,
    set: InstructionSet,
) -> Vec<Vec<(u64, u32)>> {
    let mut found = Candidates::new(1, rows.len(), params.k).unwrap();
    for points in blocks {
        search(queries, rows.clone(), points, params, &mut found, set).unwrap();
    }
    let key = |query| {
        let list = found.list(0, query).iter();
        list.map(|c| (c.sq_distance.to_bits(), c.index)).collect()
    };
    (0..rows.len()).map(key).collect()
}

/// Compares searches with a tree, of whole blocks and of parts, with searches without bytes. A set without byte
/// products takes the portable ones.
fn lists_are_those_of_a_search_without(set: InstructionSet) {
    let bytes = set.byte_products().unwrap_or(ByteProducts::PORTABLE);
    let (plain, bytes) = (InstructionSet::Portable, Some(bytes));
    let mut with_tree = 0;
    for data in data() {
        let rows = data.values.len() / data.dim;
        for kernel in [Kernel::Gaussian, Kernel::Cosine] {
            for (k, identical) in [(5, Identical::Keep), (40, Identical::Replace)] {
                let params = GraphParams {
                    k,
                    kernel,
                    sigma: Sigma::KthThird,
                    identical,
                    pca_dimension: false,
                };
                let (some, cut) = (rows / 5..rows - 3, rows / 3);
                let whole = [data.points(0..rows, kernel, None)];
                let wanted = lists(&whole[0], some.clone(), &whole, &params, plain);
                let whole = [data.points(0..rows, kernel, bytes)];
                let int8 = whole[0].int8[0].as_ref();
                with_tree += usize::from(int8.is_some_and(|int8| int8.tree.is_some()));
                let found = lists(&whole[0], some.clone(), &whole, &params, set);
                assert_eq!(found, wanted, "{} {kernel:?} {k}", data.name);
                let parts = [
                    data.points(0..cut, kernel, bytes),
                    data.points(cut..rows, kernel, bytes),
                ];
                let found = lists(&whole[0], some, &parts, &params, set);
                assert_eq!(found, wanted, "{} {kernel:?} {k} in blocks", data.name);
            }
        }
    }
    assert!(with_tree >= 30, "only {with_tree} searches had a tree");
}

#[test]
fn few_queries_are_not_worth_a_tree() {
    for dim in [1, 16, 196] {
        let pays = |tiles, queries| TreePolicy::of(queries).pays(tiles, dim);
        assert!(!pays(2188, 2000) && !pays(2188, 0), "{dim}");
        assert!(pays(2188, 70_000), "{dim}");
        // There are too few tiles to choose among.
        assert!(!pays(511, 1_000_000), "{dim}");
    }
}

#[test]
fn boxes_hold_their_points_and_leaves_their_places() {
    for data in data().into_iter().take(4) {
        let rows = data.values.len() / data.dim;
        let points = data.points(0..rows, Kernel::Gaussian, Some(ByteProducts::PORTABLE));
        let packed = &points.packed[0];
        let tree = points.int8[0].as_ref().and_then(|int8| int8.tree.as_ref());
        let tree = tree.expect("a tree");
        let mut order = tree.order.clone();
        order.sort_unstable();
        assert!(order.into_iter().eq(0..rows as u32), "{}", data.name);
        let axes = tree.axes();
        let sorted = tree.sorted(&points, 0, packed, 0..rows);
        for (i, &row) in sorted.rows.iter().enumerate() {
            let own = &sorted.coordinates[i * axes..][..axes];
            // Without ties a point falls into the tile that holds it.
            let tile = &tree.order[sorted.leaves[i] as usize * COLS..];
            assert!(tile[..COLS.min(tile.len())].contains(&row), "{}", data.name);
            let balls = Balls {
                coordinates: &own.repeat(ROWS),
                radii: [0.0; ROWS],
            };
            let mut found = Vec::new();
            tree.near(&balls, 0..0, &mut found);
            assert!(found.contains(&sorted.leaves[i]), "{}", data.name);
        }
    }
}
