//! Convolutional Similarity on the device, in wide arithmetic throughout
//! (docs/definitions.md#convolutional-similarity).
//!
//! Weights are first scaled by a power of two, so that the fourth powers of any network's weights stay
//! within the range of double-float numbers. Results are scaled back on the host, which is exact.
//!
//! With separate input channels three kernels compute a value and its gradient (`filters_autocorrelate`,
//! `filters_rests`, `filters_gradient`), and `filters_pairs` computes the matrix of all pairs. With
//! channels summed before squaring every pair has to be correlated (`filters_correlate`,
//! `filters_squares`, `filters_spread`).
//!
//! Lower bounds of the cost, for `M x C` maps of `h x w` and `l` lags in a half: with separate channels
//! `8 M C l` bytes that are written and read twice, and `2 M C (l h w / 2 + h^2 w^2)` wide operations;
//! the matrix of pairs, and summed channels, grow with `M^2`.

mod kernels;

pub(super) use kernels::SHADERS;

use crate::Result;
use crate::gpu::Gpu;
use crate::gpu::context::Context;
use crate::gpu::each::{each, number};
use crate::gpu::memory::{Buffer, Kind};
use crate::gpu::shader::{Shader, WideBits};
use crate::gpu::tensor::Tensor;
use crate::ops::filters::{FilterOps, FilterParams, FilterShape, InputChannels, Pairs};
use kernels::{
    AUTOCORRELATE, CORRELATE, FilterPass, GRADIENT, PAIRS, PAIRS_SIDE, RESTS, SPREAD, SQUARES,
    Which,
};
use std::ops::Range;

/// Bytes of autocorrelations or correlations per pass.
const SCRATCH: u64 = 64 << 20;
/// Terms of the pair matrix per pass. It bounds the work of one workgroup.
const TERMS: usize = 8192;
/// Bytes of a wide number.
const WIDE: usize = size_of::<WideBits>();
/// Threads of a workgroup.
const THREADS: u64 = 64;
/// Operations of one wide multiplication and addition.
const COST: u64 = 40;

impl FilterOps for Gpu {
    /// Buffers are pooled with the device.
    type FilterScratch = ();

    fn similarity(
        &self,
        weights: &[f32],
        shape: FilterShape,
        params: FilterParams,
        gradient: Option<&mut [f32]>,
        (): &mut (),
    ) -> Result<f64> {
        shape.check("weights", weights.len())?;
        if let Some(gradient) = &gradient {
            shape.check("gradient", gradient.len())?;
        }
        self.context.guarded("filters", || {
            let layer = Layer::upload(&self.context, weights, shape)?;
            match params.input_channels {
                InputChannels::Separate => layer.separate(params.pairs, gradient),
                InputChannels::Summed => layer.summed(params.pairs, gradient),
            }
        })
    }

    fn similarity_pairs(
        &self,
        weights: &[f32],
        shape: FilterShape,
        channels: InputChannels,
    ) -> Result<Vec<f64>> {
        shape.check("weights", weights.len())?;
        self.context.guarded("filter pairs", || {
            let layer = Layer::upload(&self.context, weights, shape)?;
            let mut matrix = match channels {
                InputChannels::Separate => layer.pairs()?,
                InputChannels::Summed => layer.summed_pairs()?,
            };
            let scale = layer.scale.powi(4);
            let m = shape.filters;
            for i in 0..m {
                for j in 0..=i {
                    let value = matrix[i * m + j] * scale;
                    matrix[i * m + j] = value;
                    matrix[j * m + i] = value;
                }
            }
            Ok(matrix)
        })
    }
}

/// A layer's filters on the device.
struct Layer<'a> {
    context: &'a Context,
    shape: FilterShape,
    weights: Tensor,
    /// What the weights were divided by.
    scale: f64,
}

impl<'a> Layer<'a> {
    fn upload(context: &'a Context, weights: &[f32], shape: FilterShape) -> Result<Self> {
        let largest = weights.iter().fold(0.0f32, |m, w| m.max(w.abs()));
        // 2^e for the largest in [2^e, 2^(e + 1)); in float64, where every weight is a normal number.
        let exponent = match largest > 0.0 {
            true => f64::from(largest).log2().floor(),
            false => 0.0,
        };
        let down = (-exponent).exp2();
        let scaled: Vec<f32> = (weights.iter())
            .map(|&w| (f64::from(w) * down) as f32)
            .collect();
        Ok(Self {
            context,
            shape,
            weights: context.upload(&[shape.len()], &scaled)?,
            scale: exponent.exp2(),
        })
    }

    fn sizes(&self, pairs: Pairs, gradient: bool) -> Result<FilterPass> {
        let size = |n: usize| number(self.context, n);
        // Weights are addressed with signed offsets.
        number(self.context, self.shape.len() * 2)?;
        Ok(FilterPass {
            filters: size(self.shape.filters)?,
            channels: size(self.shape.channels)?,
            height: size(self.shape.height)?,
            width: size(self.shape.width)?,
            adjacent: u32::from(pairs == Pairs::Adjacent),
            gradient: u32::from(gradient),
            ..FilterPass::default()
        })
    }

    /// Lags from (0, 0) on, in the order of `shaders/shared/filters_half_lags.wgsl`.
    const fn half(&self) -> usize {
        self.all() / 2 + 1
    }

    /// All lags of a pair.
    const fn all(&self) -> usize {
        (2 * self.shape.height - 1) * (2 * self.shape.width - 1)
    }

    fn wide(&self, numbers: usize) -> Result<Buffer> {
        self.context.count(&[numbers, 2])?;
        let bytes = (numbers * WIDE) as u64;
        self.context.pool.get(Kind::Storage, bytes)
    }

    fn read(&self, buffer: &Buffer, numbers: usize) -> Result<impl Iterator<Item = f64>> {
        let wide = self.context.wide;
        let values: Vec<WideBits> = self.context.read(buffer, numbers)?;
        Ok(values.into_iter().map(move |v| wide.decode(v)))
    }

    /// Runs `len` threads of `terms` wide products each.
    fn run(
        &self,
        shader: &'static Shader,
        mut sizes: FilterPass,
        buffers: &[&Buffer],
        len: usize,
        terms: usize,
    ) -> Result<()> {
        self.context.check_loops("filters of this size", terms)?;
        sizes.len = number(self.context, len)?;
        let bound: Vec<_> = buffers.iter().map(|b| b.whole()).collect();
        let work = terms as u64 * THREADS * COST;
        each(
            self.context,
            shader,
            sizes,
            &bound,
            shader.workgroups(len),
            work,
        )
    }

    /// Input channels whose autocorrelations fit in the scratch, in ranges.
    fn slices(&self, copies: usize, most: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let per_channel = self.shape.filters * self.half() * WIDE;
        let budget = SCRATCH.min(self.context.max_buffer) as usize / copies;
        let step = (budget / per_channel).min(most).max(1);
        let channels = self.shape.channels;
        (0..channels)
            .step_by(step)
            .map(move |first| first..channels.min(first + step))
    }

    /// Autocorrelations `[M, channels, half]`.
    fn autocorrelate(
        &self,
        mut sizes: FilterPass,
        channels: &Range<usize>,
    ) -> Result<(FilterPass, Buffer)> {
        sizes.channel_first = number(self.context, channels.start)?;
        sizes.channel_count = number(self.context, channels.len())?;
        let len = self.shape.filters * channels.len() * self.half();
        let a = self.wide(len)?;
        let terms = self.shape.area();
        let buffers = [&*self.weights.buffer, &a];
        self.run(&AUTOCORRELATE, sizes, &buffers, len, terms)?;
        Ok((sizes, a))
    }

    fn separate(&self, pairs: Pairs, gradient: Option<&mut [f32]>) -> Result<f64> {
        let (m, half) = (self.shape.filters, self.half());
        let wanted = gradient.is_some();
        let sizes = self.sizes(pairs, wanted)?;
        let result = match wanted {
            true => Some(self.context.empty(&[self.shape.len()])?),
            false => None,
        };
        let mut value = 0.0;
        for channels in self.slices(1 + usize::from(wanted), usize::MAX) {
            let (sizes, a) = self.autocorrelate(sizes, &channels)?;
            let len = channels.len() * half;
            let rests = self.wide(if wanted { m * len } else { 1 })?;
            let values = self.wide(len)?;
            self.run(&RESTS, sizes, &[&a, &rests, &values], len, 2 * m)?;
            if let Some(result) = &result {
                let buffers = [&*self.weights.buffer, &rests, &*result.buffer];
                let (len, terms) = (m * channels.len() * self.shape.area(), self.shape.area());
                self.run(&GRADIENT, sizes, &buffers, len, terms)?;
            }
            // In the order of channels and lags, whatever the slices.
            value = self.read(&values, len)?.fold(value, |sum, v| sum + v);
        }
        if let (Some(result), Some(gradient)) = (&result, gradient) {
            self.bring(result, gradient)?;
        }
        Ok(value * self.scale.powi(4))
    }

    /// Copies a gradient to the host, scaled back.
    fn bring(&self, from: &Tensor, to: &mut [f32]) -> Result<()> {
        let cube = self.scale.powi(3);
        for (to, from) in to.iter_mut().zip(self.context.download(from)?) {
            *to = (f64::from(from) * cube) as f32;
        }
        Ok(())
    }

    /// Pair matrix of the scaled filters, on and below the diagonal.
    fn pairs(&self) -> Result<Vec<f64>> {
        let m = self.shape.filters;
        let sizes = self.sizes(Pairs::All, false)?;
        let matrix = self.context.zeros(&[m, m, 2])?;
        for channels in self.slices(1, (TERMS / self.half()).max(1)) {
            let (mut sizes, a) = self.autocorrelate(sizes, &channels)?;
            let terms = channels.len() * self.half();
            self.context
                .check_loops("filters of this size", terms.div_ceil(16) * 24 + 100)?;
            let side = m.div_ceil(PAIRS_SIDE);
            let blocks = (side * (side + 1) / 2) as u64;
            sizes.len = number(self.context, blocks)?;
            let bound = [a.whole(), matrix.buffer.whole()];
            let work = (PAIRS_SIDE * PAIRS_SIDE * terms) as u64 * COST;
            each(self.context, &PAIRS, sizes, &bound, blocks, work)?;
        }
        Ok(self.read(&matrix.buffer, m * m)?.collect())
    }

    fn summed(&self, pairs: Pairs, mut gradient: Option<&mut [f32]>) -> Result<f64> {
        let which = match gradient {
            Some(_) => Which::Others,
            None => Which::Later,
        };
        let size = self.shape.channels * self.shape.area();
        let mut value = 0.0;
        self.rows(pairs, which, |rows, sizes, r, squares| {
            for (at, p) in squares.enumerate() {
                let i = rows.start + at / sizes.partners as usize;
                let slot = at % sizes.partners as usize;
                let later = match pairs {
                    Pairs::All => slot > i,
                    Pairs::Adjacent => slot == 1,
                };
                value += if later { p } else { 0.0 };
            }
            let Some(gradient) = gradient.as_deref_mut() else {
                return Ok(());
            };
            let result = self.context.empty(&[rows.len() * size])?;
            let buffers = [&*self.weights.buffer, r, &*result.buffer];
            let terms = sizes.partners as usize * self.shape.area();
            self.run(&SPREAD, sizes, &buffers, rows.len() * size, terms)?;
            self.bring(&result, &mut gradient[rows.start * size..rows.end * size])
        })?;
        Ok(value * self.scale.powi(4))
    }

    /// The same as [`Layer::pairs`], channels summed.
    fn summed_pairs(&self) -> Result<Vec<f64>> {
        let m = self.shape.filters;
        let mut matrix = vec![0.0; m * m];
        self.rows(Pairs::All, Which::FromItself, |rows, _, _, squares| {
            for (at, p) in squares.enumerate() {
                let (i, j) = (rows.start + at / m, at % m);
                if j >= i {
                    matrix[j * m + i] = p;
                }
            }
            Ok(())
        })?;
        Ok(matrix)
    }

    /// Correlates some filters at a time with their partners: hands over the filters, the correlations
    /// `[filters, partners, lags]` and their sums of squares.
    fn rows(
        &self,
        pairs: Pairs,
        which: Which,
        mut found: impl FnMut(
            Range<usize>,
            FilterPass,
            &Buffer,
            &mut dyn Iterator<Item = f64>,
        ) -> Result<()>,
    ) -> Result<()> {
        let (m, lags) = (self.shape.filters, self.all());
        let partners = match pairs {
            Pairs::All => m,
            Pairs::Adjacent => 2,
        };
        let mut sizes = self.sizes(pairs, false)?;
        sizes.partners = number(self.context, partners)?;
        sizes.which = which as u32;
        let budget = SCRATCH.min(self.context.max_buffer) as usize;
        let step = (budget / (partners * lags * WIDE)).clamp(1, m);
        for first in (0..m).step_by(step) {
            let rows = first..m.min(first + step);
            sizes.row_first = number(self.context, rows.start)?;
            sizes.row_count = number(self.context, rows.len())?;
            let count = rows.len() * partners;
            let r = self.wide(count * lags)?;
            let terms = self.shape.channels * self.shape.area();
            let buffers = [&*self.weights.buffer, &r];
            self.run(&CORRELATE, sizes, &buffers, count * lags, terms)?;
            let squares = self.wide(count)?;
            self.run(&SQUARES, sizes, &[&r, &squares], count, lags)?;
            found(rows, sizes, &r, &mut self.read(&squares, count)?)?;
        }
        Ok(())
    }
}
