//! The strongest samples of channels: arrays, and pictures of those samples that are images.

use super::ResultsFolder;
use crate::error::LayerProblem;
use crate::io::layer::Layer;
use crate::measure::redundancy::{LayerRedundancy, STRONGEST, Strong};
use crate::report::results::{Images, Redundancy, finite};
use crate::{Error, Result};
use std::collections::BTreeSet;

/// Pictures of a run, at most.
const MAX_PICTURES: usize = 1024;
/// Side of a picture; larger images are averaged over blocks.
const MAX_SIDE: usize = 32;

/// The strongest samples of a layer's channels, for their pictures.
pub(super) struct StrongestOf {
    layer: String,
    samples: usize,
    /// `[C]`: the strongest first.
    channels: Vec<Vec<usize>>,
}

/// Refuses what cannot be the images behind the samples of these layers.
///
/// # Errors
/// [`Error::Layer`] where they are of another number of samples than a layer, [`Error::Argument`] where they are no images.
pub fn check_images<'a>(
    images: &dyn Layer,
    layers: impl IntoIterator<Item = (&'a str, usize)>,
) -> Result<()> {
    Planes::of(images)?;
    let got = images.shape().samples;
    match layers.into_iter().find(|&(_, samples)| samples != got) {
        None => Ok(()),
        Some((layer, expected)) => {
            let problem = LayerProblem::SampleCount {
                got,
                other: format!("layer {layer}"),
                expected,
            };
            Err(Error::layer(images.name(), images.path(), problem))
        }
    }
}

impl ResultsFolder {
    /// Writes a layer's strongest samples, and remembers them.
    pub(super) fn strongest(
        &self,
        found: &LayerRedundancy,
        channels: &[Vec<Strong>],
    ) -> Result<()> {
        let of_channel = |channel: &Vec<Strong>| {
            let mut slots = [(-1i64, f64::NAN); STRONGEST];
            for (slot, strong) in slots.iter_mut().zip(channel) {
                *slot = (strong.sample as i64, strong.mean);
            }
            slots
        };
        let slots = channels.iter().flat_map(of_channel);
        let (samples, means): (Vec<i64>, Vec<f64>) = slots.unzip();
        let file = |name: &str| format!("layers/{}/{name}.npy", found.name);
        let shape = [channels.len(), STRONGEST];
        self.output.array(&file("strongest"), &shape, &samples)?;
        self.output.array(&file("strongest_mean"), &shape, &means)?;
        let samples = |channel: &Vec<Strong>| channel.iter().map(|s| s.sample).collect();
        self.record().strongest.push(StrongestOf {
            layer: found.name.clone(),
            samples: found.shape.samples,
            channels: channels.iter().map(samples).collect(),
        });
        Ok(())
    }

    /// Writes pictures of the strongest samples of all layers that were filed: `images/pictures.npy` u8 `[P, C, H, W]`, C 1
    /// or 3, of the samples `images/samples.npy` i64 `[P]`. At most 1024: first the strongest sample of every channel, then
    /// the second ones, and so on. Adds `redundancy.images`. `images` are those samples, `[N, 1 or 3, H, W]` or
    /// `[N, H, W, 1 or 3]`.
    ///
    /// # Errors
    /// As [`check_images`]; [`Error::Argument`] where no strongest samples were found; what reading reports; as
    /// [`crate::io::sink::Output::array`].
    pub fn images(&self, images: &dyn Layer) -> Result<()> {
        let planes = Planes::of(images)?;
        let chosen = self.pictured(images)?;
        let mut pictures = Vec::new();
        for &sample in &chosen {
            pictures.extend(planes.read(images, sample)?);
        }
        let known = || pictures.iter().copied().filter(|v| v.is_finite());
        let low = known().fold(f64::INFINITY, f64::min);
        let high = known().fold(f64::NEG_INFINITY, f64::max);
        let scale = if high > low {
            255.0 / (high - low)
        } else {
            0.0
        };
        // The conversion turns NaN into 0.
        let bytes: Vec<u8> = (pictures.iter())
            .map(|&v| ((v - low) * scale).round() as u8)
            .collect();
        let [height, width] = planes.size();
        let shape = [chosen.len(), planes.count, height, width];
        self.output.array("images/pictures.npy", &shape, &bytes)?;
        let samples: Vec<i64> = chosen.iter().map(|&i| i as i64).collect();
        self.output
            .array("images/samples.npy", &[samples.len()], &samples)?;
        let all = [
            images.shape().samples,
            planes.count,
            planes.height,
            planes.width,
        ];
        let mut record = self.record();
        let section = &mut record.results.redundancy;
        section.get_or_insert_with(Redundancy::default).images = Some(Images {
            shape: all.map(|d| d as u64).to_vec(),
            pictures: chosen.len() as u64,
            size: [height as u64, width as u64],
            range: [finite(low), finite(high)],
        });
        Ok(())
    }

    /// The samples of which there are pictures, ascending.
    fn pictured(&self, images: &dyn Layer) -> Result<BTreeSet<usize>> {
        let record = self.record();
        if record.strongest.is_empty() {
            let expected = "no images, or a run that looks for the strongest samples";
            return Err(Error::argument("images", images.name(), expected));
        }
        let layers = record.strongest.iter();
        check_images(images, layers.map(|l| (l.layer.as_str(), l.samples)))?;
        let mut chosen = BTreeSet::new();
        for rank in 0..STRONGEST {
            let channels = record.strongest.iter().flat_map(|l| &l.channels);
            for &sample in channels.filter_map(|samples| samples.get(rank)) {
                if chosen.len() < MAX_PICTURES {
                    chosen.insert(sample);
                }
            }
        }
        Ok(chosen)
    }
}

/// How images lie in a layer.
struct Planes {
    /// Colours: 1 or 3.
    count: usize,
    height: usize,
    width: usize,
    /// Colours vary fastest.
    last: bool,
}

impl Planes {
    fn of(images: &dyn Layer) -> Result<Self> {
        let s = images.shape();
        let colours = |count: usize| count == 1 || count == 3;
        match (colours(s.channels), colours(s.width)) {
            (true, _) => Ok(Self {
                count: s.channels,
                height: s.height,
                width: s.width,
                last: false,
            }),
            (false, true) => Ok(Self {
                count: s.width,
                height: s.channels,
                width: s.height,
                last: true,
            }),
            (false, false) => {
                let got = format!("{:?}", [s.samples, s.channels, s.height, s.width]);
                let expected = "images [N, 1 or 3, H, W] or [N, H, W, 1 or 3]";
                Err(Error::argument("images", got, expected))
            }
        }
    }

    /// Side of the blocks that are averaged.
    fn block(&self) -> usize {
        self.height.max(self.width).div_ceil(MAX_SIDE).max(1)
    }

    /// Rows and columns of a picture.
    fn size(&self) -> [usize; 2] {
        [self.height, self.width].map(|side| side.div_ceil(self.block()))
    }

    /// The picture of a sample, `[C, H, W]`: means over blocks.
    fn read(&self, images: &dyn Layer, sample: usize) -> Result<Vec<f64>> {
        let channels: Vec<usize> = (0..images.shape().channels).collect();
        let mut values = vec![0.0f32; self.count * self.height * self.width];
        images.read_rows(sample..sample + 1, &channels, &mut values)?;
        let at = |plane: usize, y: usize, x: usize| match self.last {
            true => (y * self.width + x) * self.count + plane,
            false => (plane * self.height + y) * self.width + x,
        };
        let (block, [rows, columns]) = (self.block(), self.size());
        let mut picture = Vec::with_capacity(self.count * rows * columns);
        for plane in 0..self.count {
            for (row, column) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
                let within = |at: usize, end: usize| at * block..((at + 1) * block).min(end);
                let (ys, xs) = (within(row, self.height), within(column, self.width));
                let count = ys.len() * xs.len();
                let places = ys.flat_map(|y| xs.clone().map(move |x| (y, x)));
                let sum: f64 = places
                    .map(|(y, x)| f64::from(values[at(plane, y, x)]))
                    .sum();
                picture.push(sum / count as f64);
            }
        }
        Ok(picture)
    }
}
