//! Kernel matrices of eight queries at once, a query a lane.
//!
//! Small problems leave wide registers idle and wait for their own results; eight of them side by
//! side do neither. A lane never sees another's numbers, so its results do not depend on them.
//! The formulas are those of [`super::gram`].

use super::gram::resize;
use super::rows::{self, Rows};
use crate::cpu::f64x8::{F64x8, Isa, LANES, Pack};
use crate::ops::Kernel;
#[allow(unused_imports, reason = "methods until they are operators")]
use std::ops::{Add as _, Div as _, Mul as _, Sub as _};

/// Longest vectors that are taken side by side: of 25 candidates they take 50 KiB.
const DEPTH: usize = 32;
/// Rows and columns of a register tile.
const TILE: (usize, usize) = (4, 2);

/// Place of `(j, l)`, `l <= j`, in a packed lower triangle.
#[inline(always)]
pub(super) const fn at(j: usize, l: usize) -> usize {
    j * (j + 1) / 2 + l
}

/// What one lane is built from.
#[derive(Clone, Default)]
pub(super) struct Source<'a> {
    /// The query's vector; empty in a lane without a query.
    pub(super) query: &'a [f32],
    /// The candidates' vectors.
    pub(super) vectors: Vec<&'a [f32]>,
    /// `1 / (2 s^2)`.
    pub(super) inverse: f64,
}

/// Eight lanes.
pub(super) type Sources<'a> = [Source<'a>; LANES];

/// Most vectors a lane has.
pub(super) fn most(sources: &Sources<'_>) -> usize {
    sources.iter().map(|s| s.vectors.len()).max().unwrap_or(0)
}

/// Kernel matrices and right-hand sides of eight queries with at most `n` candidates each.
#[derive(Default)]
pub(super) struct Lanes {
    /// Rows: the most candidates a lane has.
    pub(super) n: usize,
    /// Lower triangles, packed; a lane's rows from its own `n` on are finite and meaningless.
    pub(super) kernel: Vec<Pack>,
    /// `b [n]`, 0 from a lane's own `n` on.
    pub(super) b: Vec<Pack>,
    /// Vectors transposed.
    products: Products,
    /// `|y_j|^2`, then under cosine `1 / |y_j|`.
    scale: Vec<Pack>,
}

/// Bytes of [`Lanes`] for `k` candidates.
pub(super) fn bytes(k: usize, dim: usize) -> u64 {
    let pack = size_of::<Pack>() as u64;
    products_bytes(k + 1, dim) + pack * (at(k + TILE.0, 0) + 2 * k + 1) as u64
}

impl Lanes {
    /// Fills `kernel` and `b`.
    #[inline(always)]
    pub(super) fn build<I: Isa>(&mut self, sources: &Sources<'_>, kernel: Kernel, dim: usize) {
        self.n = most(sources);
        // Under cosine the query is a row of its own, the last.
        let (rows, centred) = match kernel {
            Kernel::Gaussian => (self.n, true),
            Kernel::Cosine => (self.n + 1, false),
        };
        resize(&mut self.b, self.n);
        resize(&mut self.scale, rows);
        self.products
            .inner::<I>(sources, rows, centred, dim, &mut self.kernel);
        match kernel {
            Kernel::Gaussian => self.gaussian::<I>(sources),
            Kernel::Cosine => self.cosine::<I>(),
        }
        for (lane, source) in sources.iter().enumerate() {
            for b in &mut self.b[source.vectors.len()..] {
                b.0[lane] = 0.0;
            }
        }
    }

    #[inline(always)]
    fn gaussian<I: Isa>(&mut self, sources: &Sources<'_>) {
        let minus = I::F64::load(&Pack(std::array::from_fn(|l| -sources[l].inverse)));
        let zero = I::F64::splat(0.0);
        for j in 0..self.n {
            self.scale[j] = self.kernel[at(j, j)];
            let own = I::F64::load(&self.scale[j]);
            own.mul(minus).exp().store(&mut self.b[j]);
            let row = &mut self.kernel[at(j, 0)..=at(j, j)];
            for (k, norm) in row.iter_mut().zip(&self.scale) {
                let dot = I::F64::load(k);
                let apart = own.add(I::F64::load(norm)).sub(dot.add(dot)).max(zero);
                apart.mul(minus).exp().store(k);
            }
        }
    }

    #[inline(always)]
    fn cosine<I: Isa>(&mut self) {
        let (zero, one) = (I::F64::splat(0.0), I::F64::splat(1.0));
        let half = I::F64::splat(0.5);
        for j in 0..=self.n {
            let norm = I::F64::load(&self.kernel[at(j, j)]).sqrt();
            // Rows that a lane does not have are 0.
            let own = I::F64::select(zero.lt(norm), one.div(norm), zero);
            own.store(&mut self.scale[j]);
            let row = &mut self.kernel[at(j, 0)..=at(j, j)];
            for (k, norm) in row.iter_mut().zip(&self.scale) {
                let cos = I::F64::load(k).mul(I::F64::load(norm).mul(own));
                cos.mul_add(half, half).store(k);
            }
        }
        self.b
            .copy_from_slice(&self.kernel[at(self.n, 0)..at(self.n, self.n)]);
    }
}

/// Inner products of all pairs of vectors, as packed triangles.
#[derive(Default)]
pub(super) struct Products {
    /// Vectors `[rows, DEPTH]`.
    slice: Vec<Pack>,
    /// For vectors longer than that.
    rows: Rows,
}

/// Bytes of [`Products`] for `rows` vectors of `dim` numbers.
pub(super) fn products_bytes(rows: usize, dim: usize) -> u64 {
    let long = if dim > DEPTH {
        rows::bytes(rows, dim)
    } else {
        0
    };
    (size_of::<Pack>() * rows * DEPTH) as u64 + long
}

impl Products {
    /// `Y Y'` of `rows` vectors, less the query where `centred`; a row past a lane's last vector is
    /// 0, or, where not `centred` and the last, the query.
    #[inline(always)]
    pub(super) fn inner<I: Isa>(
        &mut self,
        sources: &Sources<'_>,
        rows: usize,
        centred: bool,
        dim: usize,
        out: &mut Vec<Pack>,
    ) {
        if dim > DEPTH {
            self.rows.inner::<I>(sources, rows, centred, dim, out);
            return;
        }
        let depth = dim.next_multiple_of(LANES);
        out.resize(at(rows, 0), Pack::ZERO);
        // All that is read of it is written first.
        self.slice.resize(rows * depth, Pack::ZERO);
        let mut origin = [Pack::ZERO; DEPTH];
        if centred {
            let queries = sources.each_ref().map(|s| s.query);
            for (t, o) in (0..dim).step_by(LANES).zip(origin.chunks_exact_mut(LANES)) {
                for (o, column) in o.iter_mut().zip(columns::<I>(queries, t)) {
                    column.store(o);
                }
            }
        }
        for j in 0..rows {
            // A loop: the closure of a map would be compiled without the wider instructions.
            let mut vectors: [&[f32]; LANES] = [&[]; LANES];
            for (vector, source) in vectors.iter_mut().zip(sources) {
                match source.vectors.get(j) {
                    Some(v) => *vector = v,
                    None if centred || j + 1 == rows => *vector = source.query,
                    None => {}
                }
            }
            let packs = self.slice[j * depth..][..depth].chunks_exact_mut(LANES);
            for ((t, p), o) in (0..dim)
                .step_by(LANES)
                .zip(packs)
                .zip(origin.chunks_exact(LANES))
            {
                for ((p, c), o) in p.iter_mut().zip(columns::<I>(vectors, t)).zip(o) {
                    c.sub(I::F64::load(o)).store(p);
                }
            }
        }
        let terms = Terms {
            slice: &self.slice,
            depth,
            len: dim,
        };
        accumulate::<I>(&terms, rows, out);
    }
}

/// Eight numbers of each vector from `t` on, 0 past its end: a dimension a pack, a vector a lane.
#[inline(always)]
fn columns<I: Isa>(vectors: [&[f32]; LANES], t: usize) -> [I::F64; LANES] {
    let mut room = [[0.0; LANES]; LANES];
    let mut rows = [&[0.0; LANES]; LANES];
    for ((row, v), room) in rows.iter_mut().zip(vectors).zip(&mut room) {
        let rest = v.get(t..).unwrap_or_default();
        *row = rest.first_chunk().unwrap_or_else(|| {
            room[..rest.len()].copy_from_slice(rest);
            room
        });
    }
    I::F64::columns(rows)
}

/// Products of all pairs of rows, as a packed triangle. Every pair is summed in the order
/// of the terms, a row with itself too.
#[inline(always)]
fn accumulate<I: Isa>(terms: &Terms<'_>, rows: usize, out: &mut [Pack]) {
    let whole = rows - rows % TILE.0;
    for j in (0..whole).step_by(TILE.0) {
        for l in (0..j).step_by(TILE.1) {
            terms.rectangle::<I, { TILE.0 }, { TILE.1 }>(j, l, out);
        }
        terms.triangle::<I, { TILE.0 }>(j, out);
    }
    match rows - whole {
        0 => {}
        1 => terms.rest::<I, 1>(whole, out),
        2 => terms.rest::<I, 2>(whole, out),
        _ => terms.rest::<I, 3>(whole, out),
    }
}

/// Rows of `len` terms.
struct Terms<'a> {
    slice: &'a [Pack],
    depth: usize,
    len: usize,
}

impl Terms<'_> {
    /// `N` rows from `j` on.
    #[inline(always)]
    fn rows<const N: usize>(&self, j: usize) -> [&[Pack]; N] {
        let mut rows: [&[Pack]; N] = [&[]; N];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = &self.slice[(j + i) * self.depth..][..self.len];
        }
        rows
    }

    /// The last rows, fewer than a tile has: their tiles are as wide as those are high.
    #[inline(always)]
    fn rest<I: Isa, const R: usize>(&self, j: usize, out: &mut [Pack]) {
        for l in (0..j).step_by(TILE.0) {
            self.rectangle::<I, R, { TILE.0 }>(j, l, out);
        }
        self.triangle::<I, R>(j, out);
    }

    /// Rows from `j` on with rows from `l` on.
    #[inline(always)]
    fn rectangle<I: Isa, const R: usize, const C: usize>(
        &self,
        j: usize,
        l: usize,
        out: &mut [Pack],
    ) {
        let (left, right) = (self.rows::<R>(j), self.rows::<C>(l));
        let mut acc = [[I::F64::splat(0.0); C]; R];
        for t in 0..self.len {
            let mut b = [I::F64::splat(0.0); C];
            for (b, right) in b.iter_mut().zip(right) {
                *b = I::F64::load(&right[t]);
            }
            for (acc, left) in acc.iter_mut().zip(left) {
                let a = I::F64::load(&left[t]);
                for (acc, &b) in acc.iter_mut().zip(&b) {
                    *acc = a.mul_add(b, *acc);
                }
            }
        }
        for (j, acc) in (j..).zip(acc) {
            for (out, acc) in out[at(j, l)..].iter_mut().zip(acc) {
                acc.store(out);
            }
        }
    }

    /// Rows from `j` on with themselves.
    #[inline(always)]
    fn triangle<I: Isa, const R: usize>(&self, j: usize, out: &mut [Pack]) {
        let rows = self.rows::<R>(j);
        let mut acc = [[I::F64::splat(0.0); R]; R];
        for t in 0..self.len {
            let mut a = [I::F64::splat(0.0); R];
            for (a, row) in a.iter_mut().zip(rows) {
                *a = I::F64::load(&row[t]);
            }
            for (i, acc) in acc.iter_mut().enumerate() {
                for (acc, &b) in acc[..=i].iter_mut().zip(&a) {
                    *acc = a[i].mul_add(b, *acc);
                }
            }
        }
        for (i, acc) in acc.into_iter().enumerate() {
            for (out, &acc) in out[at(j + i, j)..].iter_mut().zip(&acc[..=i]) {
                acc.store(out);
            }
        }
    }
}
