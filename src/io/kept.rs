//! A layer without some of its samples: what remains when samples with NaN or infinities are skipped.

use super::layer::{Layer, LayerValue, check_request};
use crate::tensor::{DType, LayerShape, ValueType};
use crate::{Error, Result};
use half::f16;
use std::ops::Range;
use std::path::Path;

/// Numbers read at a time when samples have to be brought from scattered places.
const CHUNK: usize = 1 << 18;

/// Presents the samples `kept` of another layer as samples `0..kept.len()`.
#[derive(Clone, Debug)]
pub struct Kept<L> {
    layer: L,
    kept: Vec<usize>,
    shape: LayerShape,
}

impl<L: Layer> Kept<L> {
    /// `kept` is strictly ascending.
    ///
    /// # Errors
    /// [`Error::Argument`] when `kept` is empty, not ascending or names a sample that is not there.
    pub fn new(layer: L, kept: Vec<usize>) -> Result<Self> {
        let all = layer.shape();
        let ascending = kept.windows(2).all(|w| w[0] < w[1]);
        if kept.is_empty() || !ascending || kept.last().is_some_and(|&last| last >= all.samples) {
            let expected = format!("at least one, ascending, and below {}", all.samples);
            return Err(Error::argument(
                "kept",
                format!("{} samples", kept.len()),
                expected,
            ));
        }
        let shape = LayerShape {
            samples: kept.len(),
            ..all
        };
        Ok(Self { layer, kept, shape })
    }

    /// Index in the whole layer of each sample.
    pub fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// Splits `rows` into runs that are consecutive in the whole layer: (first row, samples there).
    fn runs(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        let mut at = rows.start;
        std::iter::from_fn(move || {
            if at >= rows.end {
                return None;
            }
            let (row, first) = (at, self.kept[at]);
            while at < rows.end && self.kept[at] - first == at - row {
                at += 1;
            }
            Some((row, first..first + (at - row)))
        })
    }

    /// Sample-major, run by run. Also serves one channel channel-major, which is the same.
    fn read_runs<T: LayerValue>(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [T],
    ) -> Result<()> {
        let width = channels.len() * self.shape.dim();
        for (row, samples) in self.runs(rows.clone()) {
            let at = (row - rows.start) * width;
            let len = samples.len() * width;
            T::read_rows(&self.layer, samples, channels, &mut out[at..at + len])?;
        }
        Ok(())
    }

    /// Channel-major.
    fn channels_as<T: LayerValue>(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [T],
    ) -> Result<()> {
        check_request(self.shape, &rows, channels, out.len())?;
        if out.is_empty() {
            return Ok(());
        }
        let (dim, width) = (self.shape.dim(), channels.len() * self.shape.dim());
        if let Some((_, samples)) = self.runs(rows.clone()).next()
            && samples.len() == rows.len()
        {
            return T::read_channels(&self.layer, samples, channels, out);
        }
        if width > CHUNK {
            for (channel, out) in channels.iter().zip(out.chunks_exact_mut(rows.len() * dim)) {
                self.read_runs(rows.clone(), std::slice::from_ref(channel), out)?;
            }
            return Ok(());
        }
        let step = CHUNK / width;
        let mut block = vec![T::zeroed(); rows.len().min(step) * width];
        for first in rows.clone().step_by(step) {
            let some = first..rows.end.min(first + step);
            let block = &mut block[..some.len() * width];
            self.read_runs(some.clone(), channels, block)?;
            for (row, maps) in some.zip(block.chunks_exact(width)) {
                for (slot, map) in maps.chunks_exact(dim).enumerate() {
                    let to = (slot * rows.len() + row - rows.start) * dim;
                    out[to..to + dim].copy_from_slice(map);
                }
            }
        }
        Ok(())
    }

    /// Sample-major.
    fn rows_as<T: LayerValue>(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [T],
    ) -> Result<()> {
        check_request(self.shape, &rows, channels, out.len())?;
        self.read_runs(rows, channels, out)
    }
}

impl<L: Layer> Layer for Kept<L> {
    fn name(&self) -> &str {
        self.layer.name()
    }

    fn shape(&self) -> LayerShape {
        self.shape
    }

    fn dtype(&self) -> DType {
        self.layer.dtype()
    }

    fn path(&self) -> Option<&Path> {
        self.layer.path()
    }

    fn check_unchanged(&self) -> Result<()> {
        self.layer.check_unchanged()
    }

    fn big_endian(&self) -> bool {
        self.layer.big_endian()
    }

    fn rank(&self) -> usize {
        self.layer.rank()
    }

    fn beyond_f32(&self, rows: Range<usize>, channels: &[usize]) -> Result<u64> {
        let count = |(_, samples)| self.layer.beyond_f32(samples, channels);
        self.runs(rows).map(count).sum()
    }

    fn row_bytes(&self, channels: &[usize]) -> u64 {
        match channels.len() * self.shape.dim() > CHUNK {
            // Channel by channel, below.
            true => channels.iter().map(|&c| self.layer.row_bytes(&[c])).sum(),
            false => self.layer.row_bytes(channels),
        }
    }

    fn bytes_read(&self) -> u64 {
        self.layer.bytes_read()
    }

    fn read_stored(&self, rows: Range<usize>, out: &mut [u8]) -> Result<bool> {
        if rows.is_empty() {
            return self.layer.read_stored(0..0, out);
        }
        let row = self.shape.row_len() * self.dtype().size();
        for (at, samples) in self.runs(rows.clone()) {
            let from = (at - rows.start) * row;
            let part = from..from + samples.len() * row;
            if out.len() < part.end || !self.layer.read_stored(samples, &mut out[part])? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn value_type(&self) -> ValueType {
        self.layer.value_type()
    }

    fn read_channels(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        self.channels_as(rows, channels, out)
    }

    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        self.rows_as(rows, channels, out)
    }

    fn read_channels_f16(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [f16],
    ) -> Result<()> {
        self.channels_as(rows, channels, out)
    }

    fn read_rows_f16(&self, rows: Range<usize>, channels: &[usize], out: &mut [f16]) -> Result<()> {
        self.rows_as(rows, channels, out)
    }
}
