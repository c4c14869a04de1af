//! What the layers that Python holds share: arrays in `memory`, objects that give `rows`, and files under other names.

use chanscope::error::Dim;
use chanscope::io::layer::Layer;
use chanscope::tensor::{DType, LayerShape, ValueType};
use chanscope::{Error, Result};
use half::f16;
use std::ops::Range;
use std::path::Path;

/// The layer's shape, and the number of dimensions of the array it comes from: `[N, C, H, W]`, `[N, C, L]` as maps of
/// one row, or `[N, D]` as one channel.
pub fn layer_shape(dims: &[usize]) -> Result<LayerShape> {
    match *dims {
        [n, c, h, w] => LayerShape::new(n, c, h, w),
        [n, c, l] => LayerShape::new(n, c, 1, l),
        [n, d] => LayerShape::new(n, 1, 1, d),
        _ => Err(Error::WrongShape {
            name: "X",
            expected: ["N", "C", "H", "W"].map(Dim::Any).to_vec(),
            got: dims.to_vec(),
        }),
    }
}

/// A name of an element type, as `results.json` has it.
pub fn element(name: &str) -> Option<DType> {
    use DType::{BF16, F16, F32, F64, I8, U8};
    [F16, BF16, F32, F64, U8, I8]
        .into_iter()
        .find(|dtype| dtype.name() == name)
}

/// The type that elements of type `dtype` are kept in.
pub fn value_type(dtype: DType) -> ValueType {
    match dtype {
        DType::F16 => ValueType::F16,
        _ => ValueType::F32,
    }
}

/// Refuses to read elements of another type as float16.
pub fn check_f16(dtype: DType) -> Result<()> {
    match value_type(dtype) {
        ValueType::F16 => Ok(()),
        ValueType::F32 => Err(Error::argument("layer", dtype.name(), "a layer of f16")),
    }
}

/// Checks that a request lies within the layer.
pub fn check(shape: LayerShape, rows: &Range<usize>, channels: &[usize], out: usize) -> Result<()> {
    if rows.start > rows.end || rows.end > shape.samples {
        return Err(Error::OutOfRange {
            name: "rows",
            got: rows.clone(),
            len: shape.samples,
        });
    }
    if let Some(&c) = channels.iter().find(|&&c| c >= shape.channels) {
        return Err(Error::OutOfRange {
            name: "channels",
            got: c..c + 1,
            len: shape.channels,
        });
    }
    match rows.len() * channels.len() * shape.dim() {
        expected if expected == out => Ok(()),
        expected => Err(Error::WrongLength {
            name: "out",
            expected,
            got: out,
        }),
    }
}

/// The order in which a layer's maps are read.
#[derive(Clone, Copy)]
pub enum Order {
    /// All samples of a channel, then those of the next one.
    ChannelMajor,
    /// All channels of a sample, then those of the next one.
    SampleMajor,
}

impl Order {
    /// Sample and channel of each map, in this order.
    pub fn maps(self, samples: usize, channels: usize) -> impl Iterator<Item = (usize, usize)> {
        let (outer, inner) = match self {
            Self::ChannelMajor => (channels, samples),
            Self::SampleMajor => (samples, channels),
        };
        (0..outer).flat_map(move |o| {
            (0..inner).map(move |i| match self {
                Self::ChannelMajor => (i, o),
                Self::SampleMajor => (o, i),
            })
        })
    }

    /// Index of a map in this order. Each pair is the index of the sample or channel and the number of them.
    pub fn place(
        self,
        (sample, samples): (usize, usize),
        (channel, channels): (usize, usize),
    ) -> usize {
        match self {
            Self::ChannelMajor => channel * samples + sample,
            Self::SampleMajor => sample * channels + channel,
        }
    }
}

/// A layer under another name.
pub struct Named {
    pub name: String,
    pub layer: Box<dyn Layer>,
}

impl Layer for Named {
    fn name(&self) -> &str {
        &self.name
    }

    fn shape(&self) -> LayerShape {
        self.layer.shape()
    }

    fn dtype(&self) -> DType {
        self.layer.dtype()
    }

    fn read_channels(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        self.layer.read_channels(rows, channels, out)
    }

    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        self.layer.read_rows(rows, channels, out)
    }

    fn value_type(&self) -> ValueType {
        self.layer.value_type()
    }

    fn read_channels_f16(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [f16],
    ) -> Result<()> {
        self.layer.read_channels_f16(rows, channels, out)
    }

    fn read_rows_f16(&self, rows: Range<usize>, channels: &[usize], out: &mut [f16]) -> Result<()> {
        self.layer.read_rows_f16(rows, channels, out)
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
}
