//! Channel redundancy: matrices of every layer, and its entry in the results.

use super::ResultsFolder;
use crate::Result;
use crate::io::fingerprint::{of_classes, of_content};
use crate::measure::baselines::{self, ChannelSimilarity};
use crate::measure::redundancy::{self as measure, LayerRedundancy, SpaceErrors, SpaceSummary};
use crate::report::results::{
    Aggregate, Baselines, Cka, Redundancy, RedundancyLayer, Samples, finite,
};
use std::path::Path;

impl ResultsFolder {
    /// Writes what [`crate::measure::redundancy()`] found: [`ResultsFolder::redundancy_layer`] for every
    /// layer, [`ResultsFolder::cka`] and [`ResultsFolder::across`].
    ///
    /// # Errors
    /// As [`crate::io::sink::Output::array`].
    pub fn redundancy(&self, found: &measure::Redundancy) -> Result<()> {
        for layer in &found.layers {
            self.redundancy_layer(layer)?;
        }
        self.between(found.cka.as_ref(), found.across.as_ref())
    }

    /// Writes `overlap.npy` and `jaccard.npy`, and where they were computed `cosine.npy` and `pearson.npy`,
    /// `[C, C]` f64 under `layers/NAME/`, and adds the layer to `redundancy.layers`. Where samples were left out,
    /// `kept.npy` i32 lists the others. Where queries were drawn, `overlap_se.npy` and `jaccard_se.npy` `[C, C]` f64 are the
    /// standard errors, and `queries.npy` i64 lists the queries: beside `results.json`, and for a layer with other queries
    /// than the first one under `layers/NAME/`. Where they were asked for, `strongest.npy` i64 and `strongest_mean.npy` f64
    /// `[C, 8]` are the strongest samples of each channel, -1 and NaN where there are fewer.
    ///
    /// # Errors
    /// As [`crate::io::sink::Output::array`].
    pub fn redundancy_layer(&self, found: &LayerRedundancy) -> Result<()> {
        let c = found.channels.len();
        let similarity = found.similarity.as_ref();
        for (name, matrix) in [
            ("overlap", Some(&found.overlap)),
            ("jaccard", Some(&found.jaccard)),
            ("cosine", similarity.map(|s| &s.cosine)),
            ("pearson", similarity.map(|s| &s.pearson)),
            ("overlap_se", found.sampled.as_ref().map(|s| &s.overlap)),
            ("jaccard_se", found.sampled.as_ref().map(|s| &s.jaccard)),
        ] {
            let Some(matrix) = matrix else { continue };
            let values: Vec<f64> = matrix.iter().copied().collect();
            let file = format!("layers/{}/{name}.npy", found.name);
            self.output.array(&file, &[c, c], &values)?;
        }
        if !found.samples_skipped.is_empty() {
            let samples = 0..found.shape.samples;
            let kept: Vec<i32> = samples
                .filter(|i| found.samples_skipped.binary_search(i).is_err())
                .map(|i| i as i32)
                .collect();
            let file = format!("layers/{}/kept.npy", found.name);
            self.output.array(&file, &[kept.len()], &kept)?;
        }
        if let Some(sampled) = &found.sampled {
            self.queries(&found.name, &sampled.queries)?;
        }
        if let Some(strongest) = &found.strongest {
            self.strongest(found, strongest)?;
        }
        let mut record = self.record();
        let section = &mut record.results.redundancy;
        let section = section.get_or_insert_with(Redundancy::default);
        section.layers.push(entry(found));
        Ok(())
    }

    /// Records what identifies the samples: their classes, and the file of their ids.
    ///
    /// # Errors
    /// [`crate::Error::Io`] where the file cannot be read.
    pub fn samples(&self, labels: Option<&[u32]>, ids: Option<&Path>) -> Result<()> {
        let found = Samples {
            labels: labels.map(of_classes),
            ids: ids.map(of_content).transpose()?,
        };
        if found != Samples::default() {
            let section = &mut self.record().results.redundancy;
            section.get_or_insert_with(Redundancy::default).samples = Some(found);
        }
        Ok(())
    }

    /// Writes which samples were queries, unless they are those of the first layer.
    fn queries(&self, layer: &str, queries: &[usize]) -> Result<()> {
        let file = {
            let mut record = self.record();
            match &record.queries {
                Some(first) if first == queries => return Ok(()),
                Some(_) => format!("layers/{layer}/queries.npy"),
                None => {
                    record.queries = Some(queries.to_vec());
                    "queries.npy".to_string()
                }
            }
        };
        let values: Vec<i64> = queries.iter().map(|&i| i as i64).collect();
        self.output.array(&file, &[values.len()], &values)
    }

    /// Adds CKA between the layers to `redundancy`.
    pub fn cka(&self, found: &baselines::Cka) {
        let mut record = self.record();
        let section = &mut record.results.redundancy;
        section.get_or_insert_with(Redundancy::default).cka = Some(Cka {
            layers: found.layers.clone(),
            values: (found.values.rows().into_iter())
                .map(|row| row.iter().copied().map(finite).collect())
                .collect(),
        });
    }
}

/// A layer's entry in the results.
fn entry(found: &LayerRedundancy) -> RedundancyLayer {
    let s = found.shape;
    let per = |f: &dyn Fn(&SpaceSummary) -> Option<f64>| found.per_channel.iter().map(f).collect();
    let labelled = found.majority_error.is_some();
    let sampled = found.sampled.as_ref();
    let errors = |f: &dyn Fn(&SpaceErrors) -> Option<f64>| {
        sampled.map(|_| per(&|p| p.errors.as_ref().and_then(f)))
    };
    let channels = found.channels.iter().map(|&c| c as u64);
    let live_pairs = found
        .pair_queries
        .indexed_iter()
        .filter(|((i, j), _)| i != j && !found.dead[*i] && !found.dead[*j]);
    RedundancyLayer {
        name: found.name.clone(),
        shape: [s.samples, s.channels, s.height, s.width]
            .map(|d| d as u64)
            .to_vec(),
        channels: (!found.channels.iter().copied().eq(0..s.channels))
            .then(|| channels.clone().collect()),
        dead_channels: channels
            .zip(&found.dead)
            .filter(|(_, d)| **d)
            .map(|(c, _)| c)
            .collect(),
        degenerate_queries: found
            .per_channel
            .iter()
            .map(|p| p.degenerate_queries)
            .collect(),
        not_unique_queries: found
            .per_channel
            .iter()
            .map(|p| p.not_unique_queries)
            .collect(),
        queries: sampled.map(|s| s.queries.len() as u64),
        neighbors_mean: per(&|p| p.neighbors_mean),
        neighbors_mean_se: errors(&|e| e.neighbors_mean),
        pca_dimension_mean: per(&|p| p.pca_dimension_mean),
        pca_dimension_mean_se: errors(&|e| e.pca_dimension_mean),
        loo_error: labelled.then(|| per(&|p| p.loo_error)),
        loo_error_se: errors(&|e| e.loo_error).filter(|_| labelled),
        loo_soft_error: labelled.then(|| per(&|p| p.loo_soft_error)),
        loo_soft_error_se: errors(&|e| e.loo_soft_error).filter(|_| labelled),
        majority_error: found.majority_error,
        overlap_mean: found.overlap_mean,
        overlap_mean_se: sampled.and_then(|s| s.overlap_mean),
        jaccard_mean: found.jaccard_mean,
        jaccard_mean_se: sampled.and_then(|s| s.jaccard_mean),
        redundancy: found.redundancy,
        redundancy_se: sampled.and_then(|s| s.redundancy),
        aggregate: found.aggregate.as_ref().map(|a| {
            let errors = a.errors.unwrap_or_default();
            Aggregate {
                neighbors_mean: a.neighbors_mean,
                neighbors_mean_se: errors.neighbors_mean,
                loo_error: a.loo_error,
                loo_error_se: errors.loo_error,
                loo_soft_error: a.loo_soft_error,
                loo_soft_error_se: errors.loo_soft_error,
                pca_dimension_mean: a.pca_dimension_mean,
                pca_dimension_mean_se: errors.pca_dimension_mean,
                degenerate_queries: a.degenerate_queries,
                not_unique_queries: a.not_unique_queries,
                recall: found.recall,
                recall_se: sampled.and_then(|s| s.recall),
            }
        }),
        samples_skipped: found.samples_skipped.len() as u64,
        kkt_residual_max: Some(f64::from(found.kkt_residual_max())),
        pair_queries_min: live_pairs.map(|(_, &n)| n).min(),
        strongest: found.strongest.as_ref().map(|_| measure::STRONGEST as u64),
        baselines: found.similarity.as_ref().map(|similarity| Baselines {
            cosine_mean: ChannelSimilarity::mean(&similarity.cosine),
            pearson_mean: ChannelSimilarity::mean(&similarity.pearson),
            two_nn: (found.per_channel.iter().any(|p| p.two_nn.is_some()))
                .then(|| per(&|p| p.two_nn)),
        }),
    }
}
