//! Running sums over samples for the cosine and the Pearson correlation of all pairs of channels.
//!
//! Both matrices are products `X X'` of one long row of numbers per channel, which is cut into pieces:
//!
//! - The mean over samples of the cosine is a product of maps that were scaled to length 1, divided by the number of
//!   samples where neither map is zero.
//! - The covariance is a product of values from which the mean of their piece was taken first, so that nothing cancels
//!   however large the mean is beside the spread. One more number per piece adds what lies between the means of the
//!   pieces: with `n` values of mean `m` before, and `p` values of mean `q` in the piece, the sum of products about the
//!   common mean grows by that about `q` and by `n p / (n + p) (q_i - m_i) (q_e - m_e)` (Chan, Golub and LeVeque, 1983).
//!
//! A piece holds the same samples whatever the blocks, and so does a part, which consists of many pieces. The sums of a part
//! ([`Totals`]) do not depend on the parts before it; they are added up in the order of the parts, covariances as those of pieces.
//! So the sums have the same bits, also where several processes take those of a part each.

use super::pieces::{Pieces, part_samples};
use super::totals::{ChannelSimilarity, Spread, Totals};
use crate::Result;
use crate::ops::{Backend, DotRows};
use rayon::prelude::*;

/// Most samples of a block.
const BLOCK: usize = 256;
/// Numbers that are multiplied at a time where there are few channels: in float64 they take 1 MiB.
const CACHED: usize = 1 << 17;

/// Running sums of all pairs of channels. Samples are added in their order, whatever the blocks.
pub(in crate::measure) struct ChannelSums {
    channels: usize,
    pieces: Pieces,
    /// Samples of a part.
    part: usize,
    /// Samples `[samples, C, d]` that do not fill their pieces yet.
    begun: Vec<f32>,
    /// Samples of the part that has begun, those that do not fill their pieces included.
    in_part: usize,
    /// Of the part that has begun.
    own: Totals,
    /// Of the parts before it; `None` in the first one.
    before: Option<Totals>,
    /// One piece after the other: maps of length 1, and values about their means.
    directions: DotRows,
    centred: DotRows,
}

impl ChannelSums {
    /// Sums over no sample, for `channels` maps of `dim` numbers.
    pub(in crate::measure) fn new(channels: usize, dim: usize) -> Self {
        Self::in_parts(channels, dim, part_samples(channels, dim))
    }

    /// As [`ChannelSums::new`], in parts of `part` samples.
    fn in_parts(channels: usize, dim: usize, part: usize) -> Self {
        let pieces = Pieces::new(dim);
        Self {
            channels,
            pieces,
            part,
            begun: Vec::new(),
            in_part: 0,
            own: Totals::new(channels),
            before: None,
            directions: DotRows::new(channels, pieces.numbers),
            centred: DotRows::new(channels, pieces.numbers + 1),
        }
    }

    /// Samples of a block, 1 to 256, that `memory` bytes suffice for.
    pub(in crate::measure) fn samples_at_a_time(channels: usize, dim: usize, memory: u64) -> usize {
        // Two blocks of values, and both operands as float64.
        let per_sample = (24 * channels * dim + 64 * channels) as u64;
        let step = usize::try_from(memory / per_sample.max(1)).unwrap_or(BLOCK);
        step.clamp(1, BLOCK)
    }

    /// How many of `numbers` numbers, which are whole pieces, become operands at a time. The host reads operands from the cache that
    /// it has written them to, as long as they have more numbers than the sums, which are read and written every time. A device of
    /// its own takes all at once.
    pub(in crate::measure) fn numbers_at_a_time<B: Backend>(
        backend: &B,
        channels: usize,
        dim: usize,
        numbers: usize,
    ) -> usize {
        if !backend.limits().shares_host_memory {
            return numbers;
        }
        let whole = Pieces::new(dim).samples * channels * dim;
        let cached = CACHED.max(8 * channels * channels);
        numbers.min((cached / whole).max(1) * whole)
    }

    /// Samples of maps of `dim` numbers that are multiplied together.
    pub(in crate::measure) fn samples_of_a_piece(dim: usize) -> usize {
        Pieces::new(dim).samples
    }

    /// Adds the next samples, `block [samples, C, d]`.
    pub(in crate::measure) fn add<B: Backend>(
        &mut self,
        backend: &B,
        mut block: &[f32],
    ) -> Result<()> {
        let sample = self.channels * self.pieces.dim;
        while !block.is_empty() {
            if self.in_part == self.part {
                self.close_part(backend)?;
            }
            let room = (self.part - self.in_part).saturating_mul(sample);
            let (some, rest) = block.split_at(room.min(block.len()));
            self.in_part += some.len() / sample;
            self.add_in_part(backend, some)?;
            block = rest;
        }
        Ok(())
    }

    /// Adds samples of the part that has begun.
    fn add_in_part<B: Backend>(&mut self, backend: &B, mut block: &[f32]) -> Result<()> {
        let whole = self.pieces.samples * self.channels * self.pieces.dim;
        if !self.begun.is_empty() {
            let (some, rest) = block.split_at((whole - self.begun.len()).min(block.len()));
            self.begun.extend_from_slice(some);
            block = rest;
            if self.begun.len() == whole {
                self.add_begun(backend)?;
            }
        }
        let (full, rest) = block.split_at(block.len() / whole * whole);
        let step = Self::numbers_at_a_time(backend, self.channels, self.pieces.dim, full.len());
        for some in full.chunks(step.max(1)) {
            self.add_pieces(backend, some)?;
        }
        self.begun.extend_from_slice(rest);
        Ok(())
    }

    fn add_begun<B: Backend>(&mut self, backend: &B) -> Result<()> {
        let mut begun = std::mem::take(&mut self.begun);
        self.add_pieces(backend, &begun)?;
        begun.clear();
        self.begun = begun;
        Ok(())
    }

    /// Ends the part that has begun.
    fn close_part<B: Backend>(&mut self, backend: &B) -> Result<()> {
        self.add_begun(backend)?;
        let own = std::mem::replace(&mut self.own, Totals::new(self.channels));
        match &mut self.before {
            Some(before) => before.merge(own),
            None => self.before = Some(own),
        }
        self.in_part = 0;
        Ok(())
    }

    /// Adds samples that begin with a piece.
    fn add_pieces<B: Backend>(&mut self, backend: &B, block: &[f32]) -> Result<()> {
        let (c, pieces) = (self.channels, self.pieces);
        let samples = block.len() / (c * pieces.dim);
        if samples == 0 {
            return Ok(());
        }
        let count = pieces.of(samples);
        let norms: Vec<f64> = block.par_chunks(pieces.dim).map(norm).collect();
        self.directions.fill(count, |piece, channel, out| {
            pieces.visit(block, c, channel, piece, |place, sample, values| {
                let norm = norms[sample * c + channel];
                if norm > 0.0 {
                    for (out, &v) in out[place..].iter_mut().zip(values) {
                        *out = f64::from(v) / norm;
                    }
                }
            });
        });
        backend.add_dots(&self.directions, &mut self.own.cosine)?;
        self.count_zero_maps(&norms);
        self.own.samples += samples as u64;

        // [C, pieces]: the mean of a piece, and what it adds to the sums between pieces.
        let mut steps: Vec<(f64, f64)> = vec![(0.0, 0.0); c * count];
        let channels = steps.par_chunks_mut(count).zip(&mut self.own.spreads);
        channels.enumerate().for_each(|(channel, (steps, spread))| {
            for (piece, step) in steps.iter_mut().enumerate() {
                let mut found = Spread::default();
                pieces.visit(block, c, channel, piece, |_, _, values| {
                    found.extend(values)
                });
                *step = (found.mean(), spread.merge(&found));
            }
        });
        self.centred.fill(count, |piece, channel, out| {
            let (mean, between) = steps[channel * count + piece];
            pieces.visit(block, c, channel, piece, |place, _, values| {
                for (out, &v) in out[place..].iter_mut().zip(values) {
                    *out = f64::from(v) - mean;
                }
            });
            out[pieces.numbers] = between;
        });
        backend.add_dots(&self.centred, &mut self.own.covariance)
    }

    /// Counts the samples where one of two maps is zero, from the norms `[samples, C]`.
    fn count_zero_maps(&mut self, norms: &[f64]) {
        let c = self.channels;
        if norms.iter().all(|&norm| norm > 0.0) {
            return;
        }
        if self.own.zero.is_empty() {
            self.own.zero.resize(c * c, 0);
        }
        // [C, words]: a bit per sample.
        let words = (norms.len() / c).div_ceil(64);
        let mut zero = vec![0u64; c * words];
        for (sample, norms) in norms.chunks(c).enumerate() {
            for (channel, &norm) in norms.iter().enumerate() {
                zero[channel * words + sample / 64] |= u64::from(norm == 0.0) << (sample % 64);
            }
        }
        let rows = self.own.zero.par_chunks_mut(c).zip(zero.par_chunks(words));
        rows.enumerate().for_each(|(i, (counts, own))| {
            for (count, other) in counts[i..].iter_mut().zip(zero.chunks(words).skip(i)) {
                let either = own.iter().zip(other).map(|(a, b)| (a | b).count_ones());
                *count += u64::from(either.sum::<u32>());
            }
        });
    }

    /// The sums, once all samples are added.
    pub(in crate::measure) fn totals<B: Backend>(mut self, backend: &B) -> Result<Totals> {
        self.add_begun(backend)?;
        let Some(mut all) = self.before else {
            return Ok(self.own);
        };
        all.merge(self.own);
        Ok(all)
    }

    /// The matrices, once all samples are added.
    pub(in crate::measure) fn finish<B: Backend>(self, backend: &B) -> Result<ChannelSimilarity> {
        Ok(self.totals(backend)?.similarity())
    }
}

/// Length of a map. Squares of `f32` values neither overflow nor vanish in float64.
fn norm(map: &[f32]) -> f64 {
    let mut sums = [0.0f64; 8];
    for values in map.chunks(8) {
        for (sum, &v) in sums.iter_mut().zip(values) {
            *sum += f64::from(v) * f64::from(v);
        }
    }
    sums.iter().sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Device, DeviceChoice};

    /// Values `[n, c, d]` about means that are large beside their spread, with maps that are zero.
    fn values([n, c, d]: [usize; 3]) -> Vec<f32> {
        let value = |i: usize| {
            let (sample, channel) = (i / (c * d), i / d % c);
            match (sample * 7 + channel * 3) % 11 {
                0 => 0.0,
                _ => (i as f32 * 0.7).sin() + (sample as f32 * 0.3 + channel as f32).cos() + 40.0,
            }
        };
        (0..n * c * d).map(value).collect()
    }

    /// Cosine and Pearson correlation by their definitions, in two passes.
    fn defined(x: &[f32], [n, c, d]: [usize; 3], i: usize, e: usize) -> (f64, f64) {
        let at = |s: usize, channel: usize, p: usize| f64::from(x[(s * c + channel) * d + p]);
        let (mut cosines, mut count) = (0.0, 0);
        for s in 0..n {
            let dot = |a: usize, b: usize| (0..d).map(|p| at(s, a, p) * at(s, b, p)).sum::<f64>();
            if dot(i, i) > 0.0 && dot(e, e) > 0.0 {
                cosines += dot(i, e) / (dot(i, i) * dot(e, e)).sqrt();
                count += 1;
            }
        }
        let all = || (0..n).flat_map(|s| (0..d).map(move |p| (s, p)));
        let mean = |c: usize| all().map(|(s, p)| at(s, c, p)).sum::<f64>() / (n * d) as f64;
        let (a, b) = (mean(i), mean(e));
        let product = |i: usize, a: f64, e: usize, b: f64| {
            all()
                .map(|(s, p)| (at(s, i, p) - a) * (at(s, e, p) - b))
                .sum::<f64>()
        };
        let scale = (product(i, a, i, a) * product(e, b, e, b)).sqrt();
        (cosines / f64::from(count), product(i, a, e, b) / scale)
    }

    fn pieces(of: &Totals) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        let kept = of.pieces(|piece| {
            pieces.push(piece.to_vec());
            Ok::<(), ()>(())
        });
        kept.expect("kept");
        pieces
    }

    #[test]
    fn parts_summed_apart_come_to_the_same_bits() {
        let device = Device::open(&DeviceChoice::Cpu, 2).expect("CPU");
        let Device::Cpu(backend) = &device else {
            panic!("a CPU was opened");
        };
        for (shape, part, block) in [
            ([50, 5, 3], 20, 7),
            ([33, 3, 700], 8, 33),
            ([9, 2, 1], 4, 1),
        ] {
            let ([n, c, d], x) = (shape, values(shape));
            let mut whole = ChannelSums::in_parts(c, d, part);
            for block in x.chunks(block * c * d) {
                whole.add(backend, block).expect("added");
            }
            let whole = whole.totals(backend).expect("summed");
            let mut merged = Totals::new(c);
            for own in x.chunks(part * c * d) {
                let mut sums = ChannelSums::new(c, d);
                sums.add(backend, own).expect("added");
                let own = sums.totals(backend).expect("summed");
                let kept = pieces(&own);
                let bytes: usize = kept.iter().map(Vec::len).sum();
                assert!(bytes as u64 <= Totals::most_bytes(c));
                let samples = own.samples as usize;
                let read = |samples: usize, kept: &[Vec<u8>]| {
                    let read =
                        Totals::of_pieces([samples, c, d], |at, _| Ok::<_, ()>(kept[at].clone()));
                    read.expect("read").map(|totals| pieces(&totals))
                };
                assert!(read(samples, &kept).as_ref() == Some(&kept));
                assert!(read(samples + 1, &kept).is_none());
                for at in 0..4 {
                    let mut short = kept.clone();
                    if short[at].pop().is_some() {
                        assert!(read(samples, &short).is_none(), "piece {at}");
                    }
                }
                merged.merge(own);
            }
            assert!(pieces(&merged) == pieces(&whole), "{shape:?}");
            let found = merged.similarity();
            for (i, e) in (0..c).flat_map(|i| (0..i).map(move |e| (i, e))) {
                let (cosine, pearson) = defined(&x, [n, c, d], i, e);
                assert!((found.cosine[[i, e]] - cosine).abs() < 1e-13, "{shape:?}");
                assert!((found.pearson[[i, e]] - pearson).abs() < 1e-12, "{shape:?}");
            }
        }
    }
}
