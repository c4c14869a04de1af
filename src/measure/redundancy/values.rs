//! The first reading of a layer's values: all samples at once, or a part of them for a run in units.

use super::RedundancyOptions;
use super::strongest::{Strong, Strongest};
use crate::Result;
use crate::device::on_backend;
use crate::io::layer::Layer;
use crate::io::scan::{Scan, Tally, scan};
use crate::measure::Context;
use crate::measure::baselines::{
    self, ChannelSums, CkaOptions, MiniBatches, PutGram, Totals, read_grams,
};
use crate::ops::Backend;
use crate::stream::run::{Layout, Read, ranges, read_ahead};
use std::ops::Range;

/// What a pass over the samples of a layer finds.
pub(super) struct Values {
    pub scan: Scan,
    /// Sums over pairs of channels; `None` where a value is not finite, and unless baselines are asked for.
    pub totals: Option<Totals>,
    /// Whether the Gram matrices of all mini-batches were handed out.
    pub grams: bool,
    /// Per channel, if asked for.
    pub strongest: Option<Vec<Vec<Strong>>>,
}

/// A pass over values.
pub(super) struct ValuePass<'a, B: Backend> {
    pub backend: &'a B,
    pub ctx: &'a Context<'a>,
    pub options: &'a RedundancyOptions,
}

impl<B: Backend> ValuePass<'_, B> {
    /// Reads `channels` of all samples of `layer` once. Gram matrices of mini-batches go to `put_gram`, if memory suffices for
    /// the samples of one.
    pub(super) fn over(
        &self,
        layer: &dyn Layer,
        channels: &[usize],
        put_gram: Option<&mut PutGram<'_>>,
    ) -> Result<Values> {
        let (memory, control) = (self.ctx.memory(), self.ctx.control());
        let options = self.options;
        if !options.baselines && !options.strongest {
            return Ok(Values {
                scan: scan(layer, channels, memory, control)?,
                totals: None,
                grams: false,
                strongest: None,
            });
        }
        let shape = layer.shape();
        let (samples, c, d) = (shape.samples, channels.len(), shape.dim());
        let share = if put_gram.is_some() { 4 } else { 2 };
        let step = ChannelSums::samples_at_a_time(c, d, memory / share);
        let batch = CkaOptions::default().batch;
        let mut tally = Tally::new(shape, channels, memory / 16);
        let mut sums = options.baselines.then(|| ChannelSums::new(c, d));
        let mut strongest = options.strongest.then(|| Strongest::new(c, d));
        // Blocks that are mini-batches themselves need no copy.
        let fits = step == batch || (4 * batch * c * d) as u64 <= memory / 8;
        let mut grams = put_gram
            .filter(|_| fits)
            .map(|put| (MiniBatches::new(batch, c, d), put));
        let stage = format!("{}: values and channel correlations", layer.name());
        let reads = ranges(samples, step).map(|rows| Read {
            channels: 0..c,
            rows,
        });
        let work = |read: &Read, data: &[f32]| {
            tally.add(read.rows.clone(), data);
            if tally.found_bad() {
                // Sums with such values are of no use; the counts go on.
                (sums, grams) = (None, None);
            }
            if let Some(strongest) = &mut strongest {
                strongest.add(read.rows.clone(), data);
            }
            if let Some(sums) = &mut sums {
                sums.add(self.backend, data)?;
            }
            if let Some((batches, put)) = &mut grams {
                batches.add(self.backend, data, *put)?;
            }
            control.report_samples(&stage, read.rows.end, samples);
            control.check()
        };
        read_ahead(layer, channels, Layout::SampleMajor, reads, control, work)?;
        let has_grams = grams.is_some();
        if let Some((batches, put)) = grams {
            batches.finish(self.backend, put)?;
        }
        Ok(Values {
            scan: tally.finish(),
            totals: sums.map(|s| s.totals(self.backend)).transpose()?,
            grams: has_grams,
            strongest: strongest.map(Strongest::finish),
        })
    }
}

/// The parts that the survey of a layer consists of, with `samples` samples that are measured and `channels` channels of `dim`
/// numbers: ranges of samples. What is found of each part by itself is put together in the order of the parts.
pub(crate) fn survey_parts(
    samples: usize,
    channels: usize,
    dim: usize,
) -> impl Iterator<Item = Range<usize>> {
    baselines::parts(samples, channels, dim)
}

/// What the survey finds in a part of a layer's samples.
pub(crate) struct PartSurvey {
    /// Which of the channels asked for are zero on every sample of the part.
    pub dead: Vec<bool>,
    /// Sums over pairs of channels, if baselines are asked for.
    pub totals: Option<Totals>,
    /// Per channel the samples that excite it most, counted from the first of the part, if asked for.
    pub strongest: Option<Vec<Vec<Strong>>>,
}

/// Surveys all samples of `part`, a layer that consists of one of the [`survey_parts`]. With `put_gram`, hands out the Gram
/// matrices that CKA takes of the part, in their order. `None` where a value is not finite.
///
/// # Errors
/// What reading, `put_gram` and the device report; [`crate::Error::Cancelled`].
pub(crate) fn survey_part(
    ctx: &Context<'_>,
    part: &dyn Layer,
    channels: &[usize],
    options: &RedundancyOptions,
    put_gram: Option<&mut PutGram<'_>>,
) -> Result<Option<PartSurvey>> {
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| {
            let pass = ValuePass {
                backend,
                ctx,
                options,
            };
            let found = match put_gram {
                None => pass.over(part, channels, None)?,
                Some(put) => {
                    let found = pass.over(part, channels, Some(&mut *put))?;
                    if !found.grams && found.scan.first_bad.is_none() {
                        let batch = CkaOptions::default().batch;
                        read_grams(backend, part, channels, batch, put)?;
                    }
                    found
                }
            };
            if found.scan.first_bad.is_some() {
                return Ok(None);
            }
            let zero = found.scan.dead_channels();
            Ok(Some(PartSurvey {
                dead: channels.iter().map(|c| zero.contains(c)).collect(),
                totals: found.totals,
                strongest: found.strongest,
            }))
        })
    })
}
