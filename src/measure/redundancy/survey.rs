//! The first pass over a layer, and the order of all passes over all layers.

use super::across::{Across, AcrossStage, SideLayer};
use super::input::{NonFinite, Prepared, draw_queries};
use super::stages::Stages;
use super::strongest::Strong;
use super::values::ValuePass;
use super::work::{Schedule, Work, part};
use super::{Compared, LayerRedundancy, RedundancyInput, RedundancyOptions};
use crate::error::LayerProblem;
use crate::io::kept::Kept;
use crate::io::layer::Layer;
use crate::io::scan::Scan;
use crate::io::spill::{FloatStore, SupportStore};
use crate::measure::Context;
use crate::measure::baselines::{Batches, ChannelSimilarity, Cka, CkaOptions, Source, compare};
use crate::ops::Backend;
use crate::{Error, Result};
use std::ops::Range;

/// All passes over all layers.
pub(super) struct Session<'a, B: Backend> {
    pub backend: &'a B,
    pub ctx: &'a Context<'a>,
    pub input: &'a RedundancyInput<'a>,
    pub options: &'a RedundancyOptions,
    /// Selected channels of every layer.
    pub channels: &'a [Vec<usize>],
}

/// What the first pass, or its repetition without some samples, found in a layer.
struct Survey {
    scan: Scan,
    /// `None` where a value is not finite, and unless baselines are asked for.
    similarity: Option<ChannelSimilarity>,
    /// Where the Gram matrices of the mini-batches lie; `None` where they were not computed.
    grams: Option<Vec<Range<u64>>>,
    /// Per channel, if asked for.
    strongest: Option<Vec<Vec<Strong>>>,
}

/// A layer as it is measured: all of it, or without the samples that are not finite.
struct View<'a> {
    layer: &'a dyn Layer,
    kept: Option<Kept<&'a dyn Layer>>,
    survey: Survey,
    skipped: Vec<usize>,
}

/// What the first pass tells of a layer.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// Which of the selected channels are zero on every sample that is measured.
    pub dead: Vec<bool>,
    /// Samples that are left out, ascending.
    pub skipped: Vec<usize>,
    /// Cosine and Pearson correlation of the channels, if asked for.
    pub similarity: Option<ChannelSimilarity>,
    /// Per channel, the samples that excite it most, if asked for.
    pub strongest: Option<Vec<Vec<Strong>>>,
}

impl View<'_> {
    /// Which of the selected channels are zero on every sample.
    fn dead(&self, channels: &[usize]) -> Vec<bool> {
        let dead = self.survey.scan.dead_channels();
        channels.iter().map(|c| dead.contains(c)).collect()
    }

    fn layer(&self) -> &dyn Layer {
        match &self.kept {
            Some(kept) => kept,
            None => self.layer,
        }
    }
}

impl<B: Backend> Session<'_, B> {
    /// Surveys all layers, so that bad values are found before anything is computed at length; compares them;
    /// then measures one after another.
    pub fn run(&self, mut take: impl FnMut(LayerRedundancy) -> Result<()>) -> Result<Compared> {
        let schedule = self.schedule();
        let (views, cka) = self.survey_all(&schedule)?;
        let mut kept = Vec::new();
        for (at, (view, channels)) in views.into_iter().zip(self.channels).enumerate() {
            let layer = view.layer;
            let ctx = part(self.ctx, &schedule.layer(at));
            let (found, supports) = self.measure(&ctx, view, channels)?;
            layer.check_unchanged()?;
            if self.options.across {
                kept.push((found.name.clone(), found.dead.clone(), supports));
            }
            take(found)?;
        }
        let across = match self.options.across {
            true => Some(self.across(&kept, &part(self.ctx, &schedule.across()))?),
            false => None,
        };
        Ok(Compared { cka, across })
    }

    /// Compares the channels of all layers, whose supports are kept.
    fn across(
        &self,
        kept: &[(String, Vec<bool>, SupportStore)],
        ctx: &Context<'_>,
    ) -> Result<Across> {
        let samples = self.input.layers.first().map_or(0, |l| l.shape().samples);
        let layers =
            (kept.iter().zip(self.channels)).map(|((name, dead, supports), channels)| SideLayer {
                name,
                channels,
                dead,
                supports,
            });
        let layers: Vec<SideLayer<'_>> = layers.collect();
        let stage = AcrossStage {
            backend: self.backend,
            layers: &layers,
            split: None,
            queries: kept
                .first()
                .map_or(0, |(_, _, supports)| supports.queries()),
            samples,
            k: self.options.graph.k,
            memory: ctx.memory(),
            control: ctx.control(),
        };
        let (found, jaccard) = stage.run()?;
        Ok(Across::of(&layers, found, jaccard))
    }

    /// What is known of all layers before their graphs are computed.
    pub fn surveyed(&self) -> Result<(Vec<Surveyed>, Option<Cka>)> {
        let (views, cka) = self.survey_all(&self.schedule())?;
        let layers = views.into_iter().zip(self.channels);
        let layers = layers.map(|(view, channels)| {
            view.layer.check_unchanged()?;
            Ok(Surveyed {
                dead: view.dead(channels),
                skipped: view.skipped,
                similarity: view.survey.similarity,
                strongest: view.survey.strongest,
            })
        });
        Ok((layers.collect::<Result<_>>()?, cka))
    }

    /// When which layer's turn is.
    fn schedule(&self) -> Schedule {
        let layers = self.input.layers.iter().zip(self.channels);
        let work =
            layers.map(|(layer, channels)| Work::new(layer.shape(), channels.len(), self.options));
        Schedule::new(work.collect(), self.options)
    }

    fn survey_all(&self, schedule: &Schedule) -> Result<(Vec<View<'_>>, Option<Cka>)> {
        let samples = self.input.layers.first().map_or(0, |l| l.shape().samples);
        let same = self
            .input
            .layers
            .iter()
            .all(|l| l.shape().samples == samples);
        let compared = self.options.baselines && self.input.layers.len() > 1 && same;
        let mut store = self.store();
        let mut views = Vec::with_capacity(self.input.layers.len());
        let layers = self.input.layers.iter().zip(self.channels);
        for (at, (&layer, channels)) in layers.enumerate() {
            let ctx = part(self.ctx, &schedule.survey(at));
            let survey = self.survey(&ctx, layer, channels, compared.then_some(&mut store))?;
            layer.check_unchanged()?;
            let skipped = match (self.options.non_finite, survey.scan.refusal(layer)) {
                (NonFinite::Reject, Some(error)) => return Err(error),
                _ => survey.scan.bad_samples.clone(),
            };
            views.push(View {
                layer,
                kept: None,
                survey,
                skipped,
            });
        }
        if same {
            // Graphs of different layers are of the same samples.
            let left_out = union(views.iter().map(|v| v.skipped.as_slice()));
            views.iter_mut().for_each(|v| v.skipped = left_out.clone());
        }
        let compared = compared && views.iter().all(|v| v.skipped.len() < samples);
        if views.iter().any(|v| !v.skipped.is_empty()) {
            // The mini-batches are of other samples now.
            store = self.store();
            let ctx = part(self.ctx, &schedule.surveyed());
            self.survey_again(&ctx, &mut views, compared.then_some(&mut store))?;
        }
        for view in &views {
            if view.layer().shape().samples < 2 {
                let problem = LayerProblem::TooFewSamples {
                    got: view.layer().shape().samples,
                    needed: 2,
                };
                return Err(Error::layer(view.layer.name(), view.layer.path(), problem));
            }
        }
        let cka = match compared {
            true => {
                let ctx = part(self.ctx, &schedule.surveyed());
                Some(self.compare(&ctx, &mut views, &store)?)
            }
            false => None,
        };
        Ok((views, cka))
    }

    /// Room for the Gram matrices of all layers.
    fn store(&self) -> FloatStore {
        FloatStore::new(self.ctx.memory() / 16, self.ctx.scratch())
    }

    /// Repeats the first pass over the layers that leave out samples, without these.
    fn survey_again(
        &self,
        ctx: &Context<'_>,
        views: &mut [View<'_>],
        mut store: Option<&mut FloatStore>,
    ) -> Result<()> {
        for (view, channels) in views.iter_mut().zip(self.channels) {
            if view.skipped.is_empty() {
                continue;
            }
            let samples = 0..view.layer.shape().samples;
            let good: Vec<usize> = samples
                .filter(|i| view.skipped.binary_search(i).is_err())
                .collect();
            if good.is_empty() {
                let problem = LayerProblem::NoFiniteSample;
                return Err(Error::layer(view.layer.name(), view.layer.path(), problem));
            }
            let kept = Kept::new(view.layer, good)?;
            view.survey = self.survey(ctx, &kept, channels, store.as_deref_mut())?;
            for found in view.survey.strongest.iter_mut().flatten().flatten() {
                found.sample = kept.kept()[found.sample];
            }
            view.kept = Some(kept);
        }
        Ok(())
    }

    /// CKA of all layers, which are of the same samples.
    fn compare(
        &self,
        ctx: &Context<'_>,
        views: &mut [View<'_>],
        store: &FloatStore,
    ) -> Result<Cka> {
        let grams: Vec<_> = views.iter_mut().map(|v| v.survey.grams.take()).collect();
        let stored: Vec<_> = (grams.iter())
            .map(|places| {
                let places = places.as_ref()?;
                Some(move |batch: usize| store.get(places[batch].clone()))
            })
            .collect();
        let sources: Vec<Source<'_>> = (views.iter().zip(&stored).zip(self.channels))
            .map(|((view, stored), channels)| match stored {
                Some(get) => Source::Packed(get),
                None => Source::Layer(view.layer(), channels),
            })
            .collect();
        let names = self.input.layers.iter().map(|l| l.name().to_string());
        let batches = Batches {
            samples: views.first().map_or(0, |v| v.layer().shape().samples),
            batch: CkaOptions::default().batch,
        };
        compare(
            self.backend,
            names.collect(),
            &sources,
            &batches,
            ctx.control(),
        )
    }

    /// The graphs and overlaps of one layer.
    fn measure(
        &self,
        ctx: &Context<'_>,
        view: View<'_>,
        channels: &[usize],
    ) -> Result<(LayerRedundancy, SupportStore)> {
        let dead = view.dead(channels);
        let labels: Option<Vec<u32>> = match (self.input.labels, &view.kept) {
            (Some(labels), Some(kept)) => Some(kept.kept().iter().map(|&i| labels[i]).collect()),
            _ => None,
        };
        let kept = view.kept.as_ref().map(Kept::kept);
        let queries = draw_queries(self.options, view.layer().shape().samples, kept);
        let prepared = Prepared {
            layer: view.layer(),
            kept,
            queries: queries.as_deref(),
            channels,
            dead: &dead,
            labels: labels.as_deref().or(self.input.labels),
            options: self.options,
        };
        let stages = Stages {
            backend: self.backend,
            ctx,
        };
        let shape = view.layer.shape();
        let stores = match self.options.across {
            true => self.input.layers.len(),
            false => 1,
        };
        let (skipped, sink) = (view.skipped.clone(), self.input.graphs);
        let (mut found, supports) = stages.measure(&prepared, shape, skipped, sink, stores)?;
        if let Some(sink) = self.input.supports {
            sink.take(&prepared.supports(shape, &supports, ctx.memory()))?;
        }
        found.similarity = view.survey.similarity;
        found.strongest = view.survey.strongest;
        Ok((found, supports))
    }

    /// One pass over `layer`: counts, similarity and strongest samples of channels, and with a store the Gram matrices of
    /// mini-batches.
    fn survey(
        &self,
        ctx: &Context<'_>,
        layer: &dyn Layer,
        channels: &[usize],
        store: Option<&mut FloatStore>,
    ) -> Result<Survey> {
        let pass = ValuePass {
            backend: self.backend,
            ctx,
            options: self.options,
        };
        let mut places = Vec::new();
        let found = match store {
            Some(store) => {
                let mut put = |gram: &[f64]| {
                    places.push(store.put(gram)?);
                    Ok(())
                };
                pass.over(layer, channels, Some(&mut put))?
            }
            None => pass.over(layer, channels, None)?,
        };
        Ok(Survey {
            scan: found.scan,
            similarity: found.totals.map(|totals| totals.similarity()),
            grams: found.grams.then_some(places),
            strongest: found.strongest,
        })
    }
}

/// What is in any of some ascending lists, ascending.
fn union<'a>(lists: impl Iterator<Item = &'a [usize]>) -> Vec<usize> {
    let mut all: Vec<usize> = lists.flatten().copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}
