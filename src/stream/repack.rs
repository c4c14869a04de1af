//! A layer with a copy of its values by channels.
//!
//! A dump is stored sample after sample. Read by groups of channels, every group takes a small part of every sample: with 16
//! of 2048 channels, 1.5 KB of every 200. Disks read such parts far below their rate, and one pass over the file follows
//! another. A copy takes one reading from front to back. In it a channel lies in one piece, whatever is read of it and how
//! often. [`crate::stream::plan::worth_repacking`] says when that pays.

use super::plan::repacked_rows;
use super::run::{one_ahead, ranges};
use crate::Result;
use crate::control::{Control, Step};
use crate::io::layer::{Layer, LayerValue};
use crate::io::spill::MapStore;
use crate::tensor::{DType, LayerShape, ValueType};
use half::f16;
use rayon::prelude::*;
use std::ops::Range;
use std::path::Path;

/// Bytes of a sample that are copied together: their lines are in the cache when the next channel needs them.
const TOGETHER: usize = 4096;

/// Presents a layer, some of whose channels are read from a copy in a temporary file.
pub struct Repacked<'a> {
    layer: Box<dyn Layer + 'a>,
    maps: MapStore,
    /// Where in the copy each channel lies, if it does.
    slots: Vec<Option<usize>>,
}

impl<'a> Repacked<'a> {
    /// Copies `channels` of `layer`, which lies in a file ([`Layer::read_stored`]), to an unnamed file in `folder`. Uses at
    /// most half of `memory` bytes.
    ///
    /// # Errors
    /// [`crate::Error::Spill`] where the disk is full; [`crate::Error::Cancelled`]; whatever reading and writing meet.
    pub fn new(
        layer: Box<dyn Layer + 'a>,
        channels: &[usize],
        memory: u64,
        folder: &Path,
        control: &Control<'_>,
    ) -> Result<Self> {
        let shape = layer.shape();
        let mut slots = vec![None; shape.channels];
        for &channel in channels {
            slots[channel] = Some(0);
        }
        let there: Vec<usize> = (0..shape.channels)
            .filter(|&c| slots[c].is_some())
            .collect();
        for (slot, &channel) in there.iter().enumerate() {
            slots[channel] = Some(slot);
        }
        let maps = MapStore::new(&layer, there.len(), folder)?;
        let (n, size) = (shape.samples, layer.dtype().size());
        let (row, map) = (shape.row_len() * size, shape.dim() * size);
        let step = repacked_rows(n, row, memory).max(1);
        let stage = format!("{}: copy by channels", layer.name());
        let fill = |rows: &Range<usize>, data: &mut Vec<u8>| {
            data.resize(rows.len() * row, 0);
            layer.read_stored(rows.clone(), data).map(drop)
        };
        one_ahead(ranges(n, step), fill, control, |rows, data| {
            let together = (TOGETHER / map).clamp(1, there.len());
            let groups = there.par_chunks(together).enumerate();
            groups.try_for_each_init(Vec::new, |copy, (group, channels)| {
                transpose(data, row, map, channels, copy);
                let mut copies = copy.chunks_exact(rows.len() * map).enumerate();
                copies.try_for_each(|(i, maps_of)| {
                    maps.put(group * together + i, rows.start, maps_of)
                })
            })?;
            control.report(Step {
                stage: &stage,
                done: rows.end as u64,
                total: n as u64,
                unit: "samples",
            });
            Ok(())
        })?;
        Ok(Self { layer, maps, slots })
    }

    /// Bytes read from the copy so far.
    pub fn copy_read(&self) -> u64 {
        self.maps.bytes_read()
    }

    /// Channel-major.
    fn channels_as<T: LayerValue>(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [T],
    ) -> Result<()> {
        let map = rows.len() * self.shape().dim();
        let slots: Option<Vec<usize>> = channels
            .iter()
            .map(|&channel| self.slots.get(channel).copied().flatten())
            .collect();
        match slots {
            Some(slots) if out.len() == slots.len() * map => {
                let maps = slots.iter().zip(out.chunks_mut(map.max(1)));
                maps.into_iter()
                    .try_for_each(|(&slot, out)| self.maps.get(slot, rows.clone(), out))
            }
            _ => T::read_channels(&self.layer, rows, channels, out),
        }
    }

    /// Sample-major.
    fn rows_as<T: LayerValue>(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [T],
    ) -> Result<()> {
        match channels {
            // The same in either order.
            [_] => self.channels_as(rows, channels, out),
            _ => T::read_rows(&self.layer, rows, channels, out),
        }
    }
}

/// Copies maps of `map` bytes from rows of `row` bytes, channel after channel.
fn transpose(data: &[u8], row: usize, map: usize, channels: &[usize], copy: &mut Vec<u8>) {
    let rows = data.len() / row;
    copy.resize(channels.len() * rows * map, 0);
    for (at, values) in data.chunks_exact(row).enumerate() {
        for (i, channel) in channels.iter().enumerate() {
            let to = (i * rows + at) * map;
            copy[to..to + map].copy_from_slice(&values[channel * map..][..map]);
        }
    }
}

impl Layer for Repacked<'_> {
    fn name(&self) -> &str {
        self.layer.name()
    }

    fn shape(&self) -> LayerShape {
        self.layer.shape()
    }

    fn dtype(&self) -> DType {
        self.layer.dtype()
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
        self.layer.beyond_f32(rows, channels)
    }

    fn row_bytes(&self, channels: &[usize]) -> u64 {
        self.layer.row_bytes(channels)
    }

    fn bytes_read(&self) -> u64 {
        self.layer.bytes_read()
    }
}
