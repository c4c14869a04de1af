//! A layer with a copy of its values by channels.
//!
//! A dump is stored sample after sample. Read by groups of channels, every group takes a small part of every sample: with 16
//! of 2048 channels, 1.5 KB of every 200. Disks read such parts far below their rate, and one pass over the file follows
//! another. A copy takes one reading from front to back. In it a channel lies in one piece, or in one for each of some parts,
//! whatever is read of it and how often. [`crate::stream::plan::worth_repacking`] says when that pays.
//!
//! A run in one go copies into an unnamed file. A run in units keeps the copy, part by part ([`crate::io::spill::CopyPlace`]).

use super::plan::repacked_rows;
use super::run::{one_ahead, ranges};
use crate::Result;
use crate::control::{Control, Step};
use crate::io::layer::{Layer, LayerValue};
use crate::io::spill::{CopyPlace, CopyReader, MapStore};
use crate::tensor::{DType, LayerShape, ValueType};
use half::f16;
use rayon::prelude::*;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;
use std::path::Path;

/// Bytes of a sample that are copied together: their lines are in the cache when the next channel needs them.
const TOGETHER: usize = 4096;

/// Presents a layer, some of whose channels are read from a copy.
pub struct Repacked<'a> {
    layer: Box<dyn Layer + 'a>,
    maps: Maps,
    /// Where in the copy each channel lies, if it does.
    slots: Vec<Option<usize>>,
}

enum Maps {
    /// In an unnamed file.
    Temporary(MapStore),
    /// In parts beside the units of a run.
    Kept(CopyReader),
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
        let copying = Copying::new(&layer, channels, memory);
        let maps = MapStore::new(&layer, copying.there.len(), folder)?;
        let blocks = ranges(layer.shape().samples, copying.step).map(|rows| (0, rows));
        copying.run(blocks, 0, control, |(_, rows), data| {
            copying.by_channels(data, |slot, of_channel| {
                maps.put(slot, rows.start, of_channel)
            })
        })?;
        let slots = copying.slots();
        let maps = Maps::Temporary(maps);
        Ok(Self { layer, maps, slots })
    }

    /// As [`Repacked::new`], in the parts of a copy that is kept: those that are there are not made again. Takes 2 KiB for
    /// each channel besides. `None` where somebody else removes the copy meanwhile.
    ///
    /// # Errors
    /// As [`Repacked::new`].
    pub fn kept(
        layer: Box<dyn Layer + 'a>,
        channels: &[usize],
        memory: u64,
        place: &CopyPlace,
        control: &Control<'_>,
    ) -> Result<Option<Self>> {
        let copying = Copying::new(&layer, channels, memory);
        let shape = place.shape(&layer, copying.there.len());
        let missing = place.missing(&shape)?;
        let there = shape.samples() - missing.iter().map(|&p| shape.rows(p).len()).sum::<usize>();
        // Another process begins elsewhere: each skips what the other has made.
        let random = std::hash::RandomState::new().build_hasher().finish() as usize;
        let start = random % missing.len().max(1);
        let parts = missing.iter().cycle().skip(start).take(missing.len());
        let parts = parts.filter(|&&part| !place.is_there(&shape, part));
        let blocks = parts.flat_map(|&part| {
            let (rows, step) = (shape.rows(part), copying.step);
            ranges(rows.len(), step)
                .map(move |some| (part, rows.start + some.start..rows.start + some.end))
        });
        let mut writer = None;
        copying.run(blocks, there, control, |(part, rows), data| {
            let of_part = shape.rows(*part);
            let writing = match writer.take() {
                Some(writing) => writing,
                None => place.begin(&shape, *part)?,
            };
            copying.by_channels(data, |slot, of_channel| {
                writing.put(slot, rows.start, of_channel)
            })?;
            match rows.end == of_part.end {
                true => writing.finish(),
                false => {
                    writer = Some(writing);
                    Ok(())
                }
            }
        })?;
        Self::open(layer, channels, place)
    }

    /// Reads `channels` of `layer` from a copy that [`Repacked::kept`] made; `None` where a part of it is missing.
    ///
    /// # Errors
    /// [`crate::Error::Io`] where a part cannot be looked for.
    pub fn open(
        layer: Box<dyn Layer + 'a>,
        channels: &[usize],
        place: &CopyPlace,
    ) -> Result<Option<Self>> {
        let copying = Copying::new(&layer, channels, 0);
        let shape = place.shape(&layer, copying.there.len());
        let Some(reader) = place.open(&layer, &shape)? else {
            return Ok(None);
        };
        let (maps, slots) = (Maps::Kept(reader), copying.slots());
        Ok(Some(Self { layer, maps, slots }))
    }

    /// Bytes read from the copy so far.
    pub fn copy_read(&self) -> u64 {
        match &self.maps {
            Maps::Temporary(maps) => maps.bytes_read(),
            Maps::Kept(reader) => reader.bytes_read(),
        }
    }

    /// Whether some of the copy was found to be another than was written, and was read from the layer itself.
    pub fn is_damaged(&self) -> bool {
        match &self.maps {
            Maps::Temporary(_) => false,
            Maps::Kept(reader) => reader.is_damaged(),
        }
    }

    /// Closes the copy and removes what is damaged of it.
    ///
    /// # Errors
    /// As [`CopyReader::close`].
    pub fn close(self) -> Result<()> {
        match self.maps {
            Maps::Temporary(_) => Ok(()),
            Maps::Kept(reader) => reader.close(),
        }
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
                let mut maps = slots.iter().zip(channels).zip(out.chunks_mut(map.max(1)));
                maps.try_for_each(|((&slot, &channel), out)| match &self.maps {
                    Maps::Temporary(maps) => maps.get(slot, rows.clone(), out),
                    Maps::Kept(reader) => reader.get(slot, rows.clone(), out, |rows, out| {
                        T::read_channels(&self.layer, rows, &[channel], out)
                    }),
                })
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

/// Reading a layer block by block, and sorting the blocks by channels.
struct Copying<'l> {
    layer: &'l dyn Layer,
    /// Channels that are copied, ascending.
    there: Vec<usize>,
    /// Bytes of a sample, and of a map.
    row: usize,
    map: usize,
    /// Samples of a block.
    step: usize,
}

impl<'l> Copying<'l> {
    fn new(layer: &'l dyn Layer, channels: &[usize], memory: u64) -> Self {
        let (shape, size) = (layer.shape(), layer.dtype().size());
        let mut there = channels.to_vec();
        there.sort_unstable();
        there.dedup();
        let row = shape.row_len() * size;
        Self {
            layer,
            there,
            row,
            map: shape.dim() * size,
            step: repacked_rows(shape.samples, row, memory).max(1),
        }
    }

    /// Where each channel of the layer lies among those that are copied.
    fn slots(&self) -> Vec<Option<usize>> {
        let mut slots = vec![None; self.layer.shape().channels];
        for (slot, &channel) in self.there.iter().enumerate() {
            slots[channel] = Some(slot);
        }
        slots
    }

    /// Reads blocks, each some samples and a number that the caller gave it, one ahead, and hands each to `put`. So many
    /// samples were copied before.
    fn run(
        &self,
        blocks: impl Iterator<Item = (usize, Range<usize>)> + Send,
        mut done: usize,
        control: &Control<'_>,
        mut put: impl FnMut(&(usize, Range<usize>), &[u8]) -> Result<()>,
    ) -> Result<()> {
        let total = self.layer.shape().samples as u64;
        let stage = format!("{}: copy by channels", self.layer.name());
        let fill = |(_, rows): &(usize, Range<usize>), data: &mut Vec<u8>| {
            data.resize(rows.len() * self.row, 0);
            self.layer.read_stored(rows.clone(), data).map(drop)
        };
        one_ahead(blocks, fill, control, |block, data| {
            put(block, data)?;
            done += block.1.len();
            control.report(Step {
                stage: &stage,
                done: done as u64,
                total,
                unit: "samples",
            });
            Ok(())
        })
    }

    /// Hands the maps of each channel in a block to `put`, by the channel's slot, on several threads.
    fn by_channels(
        &self,
        data: &[u8],
        put: impl Fn(usize, &[u8]) -> Result<()> + Sync,
    ) -> Result<()> {
        let (row, map) = (self.row, self.map);
        let together = (TOGETHER / map).clamp(1, self.there.len().max(1));
        let groups = self.there.par_chunks(together).enumerate();
        groups.try_for_each_init(Vec::new, |copy, (group, channels)| {
            transpose(data, row, map, channels, copy);
            let mut copies = copy.chunks_exact(data.len() / row * map).enumerate();
            copies.try_for_each(|(i, of_channel)| put(group * together + i, of_channel))
        })
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
