//! Kernel matrices of eight queries at once, one query in each SIMD lane.
//!
//! One small problem leaves most of a wide register idle and waits for the latency of its own sums. Eight
//! problems side by side do neither. A lane never reads another lane's numbers, so its results do not depend
//! on them. The formulas are those of [`super::gram`], which builds the matrix of a single query.

use super::layout::{packed, reset};
use super::products::{self, Products};
use super::set::{Set, Set256};
use super::source::{Sources, most_vectors};
use crate::ops::{GraphParams, Kernel, near};
use crate::simd::{F64x8, LineF64, Simd, SimdKernel};

/// Kernel matrices and right-hand sides of eight queries with at most `n` candidates each.
#[derive(Default)]
pub(super) struct GramLanes {
    /// Rows: the largest number of candidates of any lane.
    pub(super) n: usize,
    /// `K`, packed lower triangles. The rows beyond a lane's own candidates are finite and meaningless.
    pub(super) kernel: Vec<LineF64>,
    /// `b [n]`, 0 beyond a lane's own candidates.
    pub(super) b: Vec<LineF64>,
    /// A bit per lane: set if two of its vectors are so close that [`near`] has to solve it.
    pub(super) near: u8,
    /// A bit per lane: set if two of its candidates may be equal.
    pub(super) equal: u8,
    /// Inner products of the candidates' vectors relative to the query, packed lower triangles. Only where they are kept
    /// ([`keeps_dots`]).
    pub(super) dots: Vec<LineF64>,
    products: Products,
    /// Under the Gaussian kernel `|y_j|^2`, under cosine `1 / |y_j|`.
    scale: Vec<LineF64>,
}

/// Whether [`GramLanes::dots`] are kept of `k` candidates of `dim` numbers: where they are products relative to the query, and
/// principal components are counted from no smaller matrix.
pub(super) fn keeps_dots(params: &GraphParams, dim: usize) -> bool {
    let centred = params.kernel == Kernel::Gaussian;
    params.pca_dimension && centred && params.k <= dim.min(Set256::CAPACITY)
}

/// Bytes of [`GramLanes`] for `k` candidates of `dim` numbers.
pub(super) fn bytes(k: usize, dim: usize) -> u64 {
    let line = size_of::<LineF64>() as u64;
    // Allocations of packed triangles are counted with four rows to spare.
    products::bytes(k + 1, dim) + line * (2 * packed(k + 4, 0) + 2 * k + 1) as u64
}

impl GramLanes {
    /// Computes `kernel`, `b` and where they are kept `dots` from vectors of `dim` numbers.
    #[inline(always)]
    fn build<I: Simd>(&mut self, sources: &Sources<'_>, params: &GraphParams, dim: usize) {
        let kernel = params.kernel;
        self.n = most_vectors(sources);
        // Under cosine the query is one more row, the last.
        let (rows, centred) = match kernel {
            Kernel::Gaussian => (self.n, true),
            Kernel::Cosine => (self.n + 1, false),
        };
        reset(&mut self.b, self.n);
        reset(&mut self.scale, rows);
        (self.near, self.equal) = (0, 0);
        self.products
            .compute::<I>(sources, rows, centred, dim, &mut self.kernel);
        if keeps_dots(params, dim) {
            self.dots.clone_from(&self.kernel);
        }
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

    /// Turns inner products into `exp(-gamma |y_j - y_l|^2)`. The vectors are relative to the query, so
    /// `b_j = exp(-gamma |y_j|^2)`.
    #[inline(always)]
    fn gaussian<I: Simd>(&mut self, sources: &Sources<'_>) {
        let mut gamma = LineF64::ZERO;
        for (gamma, source) in gamma.0.iter_mut().zip(sources) {
            *gamma = -source.gamma;
        }
        let (minus_gamma, zero) = (I::F64x8::load(&gamma), I::F64x8::splat(0.0));
        for j in 0..self.n {
            self.scale[j] = self.kernel[packed(j, j)];
            let own = I::F64x8::load(&self.scale[j]);
            let to_query = (own * minus_gamma).exp();
            to_query.store(&mut self.b[j]);
            let mut close = Close::default();
            close.add::<I>(to_query);
            close.equal = 0;
            let row = &mut self.kernel[packed(j, 0)..packed(j, j)];
            let mut largest = zero;
            for (k, norm) in row.iter_mut().zip(&self.scale) {
                let dot = I::F64x8::load(k);
                let sq_distance = (own + I::F64x8::load(norm) - (dot + dot)).max(zero);
                let value = (sq_distance * minus_gamma).exp();
                largest = largest.max(value);
                value.store(k);
            }
            close.add_row::<I>(row, largest);
            I::F64x8::splat(1.0).store(&mut self.kernel[packed(j, j)]);
            self.near |= close.near;
            self.equal |= close.equal;
        }
    }

    /// Turns inner products into `1/2 + 1/2 cos(y_j, y_l)`. The row of the query becomes `b`.
    #[inline(always)]
    fn cosine<I: Simd>(&mut self) {
        let (zero, one) = (I::F64x8::splat(0.0), I::F64x8::splat(1.0));
        let half = I::F64x8::splat(0.5);
        for j in 0..=self.n {
            let norm = I::F64x8::load(&self.kernel[packed(j, j)]).sqrt();
            // The rows beyond a lane's own candidates are zero vectors.
            let own = I::F64x8::select(zero.lt(norm), one / norm, zero);
            own.store(&mut self.scale[j]);
            let mut close = Close::default();
            let row = &mut self.kernel[packed(j, 0)..=packed(j, j)];
            let mut largest = zero;
            for (l, (k, norm)) in row.iter_mut().zip(&self.scale).enumerate() {
                let cos = I::F64x8::load(k) * (I::F64x8::load(norm) * own);
                let value = cos.mul_add(half, half);
                if l < j {
                    largest = largest.max(value);
                }
                value.store(k);
            }
            close.add_row::<I>(&row[..j], largest);
            self.near |= close.near;
            // The last row is the query's.
            self.equal |= if j < self.n { close.equal } else { 0 };
        }
        self.b
            .copy_from_slice(&self.kernel[packed(self.n, 0)..packed(self.n, self.n)]);
    }
}

/// The kernel: computes the matrices and right-hand sides of `lanes` from vectors of `dim` numbers.
pub(super) struct Build<'l, 's, 'a> {
    pub(super) lanes: &'l mut GramLanes,
    pub(super) sources: &'s Sources<'a>,
    pub(super) params: &'s GraphParams,
    pub(super) dim: usize,
}

impl SimdKernel for Build<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Simd, const R: usize, const V: usize>(self) {
        self.lanes.build::<I>(self.sources, self.params, self.dim);
    }
}

/// Which lanes have kernel values near 1.
#[derive(Default)]
struct Close {
    near: u8,
    equal: u8,
}

impl Close {
    /// Adds the values of a row, the largest of which are given: hardly any row needs more than one comparison.
    #[inline(always)]
    fn add_row<I: Simd>(&mut self, row: &[LineF64], largest: I::F64x8) {
        if I::F64x8::splat(1.0 - near::RANGE.end).lt(largest) != 0 {
            for value in row {
                self.add::<I>(I::F64x8::load(value));
            }
        }
    }

    #[inline(always)]
    fn add<I: Simd>(&mut self, value: I::F64x8) {
        let close = I::F64x8::splat(1.0 - near::RANGE.end).lt(value);
        let equal = I::F64x8::splat(near::EQUAL).lt(value);
        self.equal |= equal;
        self.near |= close & !equal;
    }
}
