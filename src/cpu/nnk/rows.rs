//! Inner products of long vectors, a query after the other: a vector is a row of packs, and sums of eight
//! pairs are added up across their lanes at once.
//!
//! Eight queries side by side (`lanes`) need no such sums, but all their vectors transposed, which do not
//! fit the first-level cache; one query's vectors do. Each pair is summed in the same order, a vector with
//! itself too.

use super::gram::packs;
use super::lanes::{Source, Sources, at};
use crate::cpu::f64x8::{F64x8, Isa, LANES, Pack};
use crate::cpu::simd::prefetch;
#[allow(unused_imports, reason = "methods until they are operators")]
use std::ops::{Add as _, Div as _, Mul as _, Sub as _};

/// Rows and columns of a register tile; eight sums are added up together.
const TILE: (usize, usize) = (4, 2);

/// Room for the vectors of a query and the products of eight.
#[derive(Default)]
pub(super) struct Rows {
    /// `[packs]`.
    origin: Vec<Pack>,
    /// `[rows, packs]`.
    rows: Vec<Pack>,
    /// `[LANES, groups]`, each pack a group of eight products.
    dots: Vec<Pack>,
    /// Where the products of each group belong in a packed triangle.
    groups: Vec<Group>,
    /// Rows that `groups` are for.
    rows_grouped: usize,
}

/// Places of eight products; the first `len` are in use.
#[derive(Clone, Copy)]
struct Group {
    places: [u32; LANES],
    len: u8,
}

/// Bytes of [`Rows`] for `rows` vectors of `dim` numbers.
pub(super) fn bytes(rows: usize, dim: usize) -> u64 {
    let groups = at(rows + 1, 0) / LANES + 3 * rows;
    let packs = (rows + 1) * packs(dim) + LANES * groups;
    (size_of::<Pack>() * packs + size_of::<Group>() * groups) as u64
}

impl Rows {
    /// `Y Y'` of `rows` vectors of each query, less the query where `centred`; a row past a lane's last
    /// vector is 0, or, where not `centred` and the last, the query.
    #[inline(always)]
    pub(super) fn inner<I: Isa>(
        &mut self,
        sources: &Sources<'_>,
        rows: usize,
        centred: bool,
        dim: usize,
        out: &mut Vec<Pack>,
    ) {
        if self.rows_grouped != rows {
            self.group(rows);
        }
        let (width, groups) = (packs(dim), self.groups.len());
        out.resize(at(rows, 0), Pack::ZERO);
        self.origin.resize(width, Pack::ZERO);
        self.rows.resize(rows * width, Pack::ZERO);
        self.dots.resize(LANES * groups, Pack::ZERO);
        for (lane, source) in sources.iter().enumerate() {
            let dots = &mut self.dots[lane * groups..][..groups];
            if source.vectors.is_empty() {
                dots.fill(Pack::ZERO);
                continue;
            }
            if let Some(next) = sources.get(lane + 1) {
                for v in &next.vectors {
                    prefetch(v);
                }
            }
            widen::<I>(source, rows, centred, &mut self.origin, &mut self.rows);
            multiply::<I>(&self.rows, width, rows, dots);
        }
        for (g, group) in self.groups.iter().enumerate() {
            let mut lanes = [I::F64::splat(0.0); LANES];
            for (lane, dots) in lanes.iter_mut().zip(self.dots.chunks_exact(groups)) {
                *lane = I::F64::load(&dots[g]);
            }
            let places = &group.places[..usize::from(group.len)];
            for (dot, &place) in I::F64::transposed(lanes).into_iter().zip(places) {
                dot.store(&mut out[place as usize]);
            }
        }
    }

    /// The order in which [`multiply`] leaves the products of `rows` rows.
    fn group(&mut self, rows: usize) {
        self.rows_grouped = rows;
        self.groups.clear();
        let whole = rows - rows % TILE.0;
        for j in (0..whole).step_by(TILE.0) {
            for l in (0..=j).step_by(TILE.1) {
                self.groups.push(Group::of(j, l, TILE.0, TILE.1));
            }
            let (a, b) = (j + TILE.1, j + TILE.1 + 1);
            let mut places = [0; LANES];
            for (place, (j, l)) in places.iter_mut().zip([(a, a), (b, a), (b, b)]) {
                *place = at(j, l) as u32;
            }
            self.groups.push(Group { places, len: 3 });
        }
        let mut j = whole;
        if j + 2 <= rows {
            for l in (0..j + 2).step_by(4) {
                self.groups.push(Group::of(j, l, 2, 4));
            }
            j += 2;
        }
        if j < rows {
            for l in (0..=j).step_by(8) {
                self.groups.push(Group::of(j, l, 1, 8));
            }
        }
    }
}

impl Group {
    /// `height` rows from `j` on with `width` from `l` on, none past the last of the former.
    fn of(j: usize, l: usize, height: usize, width: usize) -> Self {
        let last = j + height - 1;
        let places = std::array::from_fn(|i| {
            let (j, l) = (j + i / width, (l + i % width).min(last));
            at(j.max(l), j.min(l)) as u32
        });
        Self { places, len: 8 }
    }
}

/// A query's vectors in float64, less `origin`, which is the query where they are `centred`.
#[inline(always)]
fn widen<I: Isa>(
    source: &Source<'_>,
    rows: usize,
    centred: bool,
    origin: &mut [Pack],
    out: &mut [Pack],
) {
    match centred {
        true => {
            let (numbers, rest) = source.query.as_chunks::<LANES>();
            for (out, v) in origin.iter_mut().zip(numbers) {
                I::F64::widen(v).store(out);
            }
            if let Some(out) = origin.get_mut(numbers.len()) {
                I::F64::widen_part(rest).store(out);
            }
        }
        false => origin.fill(Pack::ZERO),
    }
    for (j, out) in out.chunks_exact_mut(origin.len()).take(rows).enumerate() {
        let vector = match source.vectors.get(j) {
            Some(v) => *v,
            None if !centred && j + 1 == rows => source.query,
            None => {
                out.fill(Pack::ZERO);
                continue;
            }
        };
        let (numbers, rest) = vector.as_chunks::<LANES>();
        for ((out, v), o) in out.iter_mut().zip(numbers).zip(&*origin) {
            I::F64::widen(v).sub(I::F64::load(o)).store(out);
        }
        if let (Some(out), Some(o)) = (out.get_mut(numbers.len()), origin.get(numbers.len())) {
            let part = I::F64::widen_part(rest);
            part.sub(I::F64::load(o)).store(out);
        }
    }
}

/// Products of all pairs of rows, in the order of [`Rows::group`].
#[inline(always)]
fn multiply<I: Isa>(rows: &[Pack], width: usize, count: usize, out: &mut [Pack]) {
    let mut out = out.iter_mut();
    let whole = count - count % TILE.0;
    for j in (0..whole).step_by(TILE.0) {
        for l in (0..=j).step_by(TILE.1) {
            tile::<I, { TILE.0 }, { TILE.1 }>(rows, width, j, l, &mut out);
        }
        corner::<I>(rows, width, j + TILE.1, &mut out);
    }
    let mut j = whole;
    if j + 2 <= count {
        for l in (0..j + 2).step_by(4) {
            tile::<I, 2, 4>(rows, width, j, l, &mut out);
        }
        j += 2;
    }
    if j < count {
        for l in (0..=j).step_by(8) {
            tile::<I, 1, 8>(rows, width, j, l, &mut out);
        }
    }
}

/// `R` rows from `j` on with `C` from `l` on, `R C = 8`; none past the last of the former.
#[inline(always)]
fn tile<I: Isa, const R: usize, const C: usize>(
    rows: &[Pack],
    width: usize,
    j: usize,
    l: usize,
    out: &mut std::slice::IterMut<'_, Pack>,
) {
    let mut left: [&[Pack]; R] = [&[]; R];
    for (i, left) in left.iter_mut().enumerate() {
        *left = &rows[(j + i) * width..][..width];
    }
    let mut right: [&[Pack]; C] = [&[]; C];
    for (i, right) in right.iter_mut().enumerate() {
        *right = &rows[(l + i).min(j + R - 1) * width..][..width];
    }
    let mut acc = [[I::F64::splat(0.0); C]; R];
    for t in 0..width {
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
    let mut sums = [I::F64::splat(0.0); LANES];
    for (sum, acc) in sums.iter_mut().zip(acc.as_flattened()) {
        *sum = *acc;
    }
    if let Some(out) = out.next() {
        I::F64::sums(sums).store(out);
    }
}

/// Two rows from `j` on with themselves.
#[inline(always)]
fn corner<I: Isa>(rows: &[Pack], width: usize, j: usize, out: &mut std::slice::IterMut<'_, Pack>) {
    let (upper, lower) = rows[j * width..][..2 * width].split_at(width);
    let mut sums = [I::F64::splat(0.0); LANES];
    for (upper, lower) in upper.iter().zip(lower) {
        let (a, b) = (I::F64::load(upper), I::F64::load(lower));
        sums[0] = a.mul_add(a, sums[0]);
        sums[1] = b.mul_add(a, sums[1]);
        sums[2] = b.mul_add(b, sums[2]);
    }
    if let Some(out) = out.next() {
        I::F64::sums(sums).store(out);
    }
}
