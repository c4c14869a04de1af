//! Writing what a command found: arrays, report, and `results.json` last.

use chanscope::io::fingerprint::fingerprint;
use chanscope::io::layer::Layer;
use chanscope::io::sink::{ArrayWriter, Output};
use chanscope::measure::baselines::ChannelSimilarity;
use chanscope::measure::redundancy::{
    GraphRows, GraphShape, GraphSink, LayerRedundancy, Space, SpaceSummary,
};
use chanscope::ops::DeviceInfo;
use chanscope::report::arrays::Folder;
use chanscope::report::html;
use chanscope::report::results::{
    Aggregate, Baselines, DeviceRecord, Input, RedundancyLayer, Results, Stage,
};
use chanscope::{Error, Result};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

/// Results in the making, with the clock running.
pub struct Record {
    pub results: Results,
    started: Instant,
    stage: Instant,
}

impl Record {
    /// Begins the results of `command` on a device.
    pub fn new(command: &str, device: &DeviceInfo) -> Self {
        let mut results = Results::new(command);
        results.device = DeviceRecord::from(device);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        results.timing.started_unix = since.ok().map(|d| d.as_secs());
        let now = Instant::now();
        Self {
            results,
            started: now,
            stage: now,
        }
    }

    /// Records an option as it was used.
    pub fn parameter(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        self.results
            .parameters
            .insert(name.to_string(), value.into());
    }

    /// Ends a stage: what ran since the last one ended.
    pub fn stage(&mut self, name: impl Into<String>) {
        let now = Instant::now();
        self.results.timing.stages.push(Stage {
            name: name.into(),
            seconds: (now - self.stage).as_secs_f64(),
        });
        self.stage = now;
    }

    /// Writes the report and `results.json`, and moves everything to its place.
    pub fn finish(mut self, output: Output) -> Result<Results> {
        self.stop();
        let report = html::render(&self.results, &Folder::new(output.scratch()))?;
        output.write("report.html", report.html.as_bytes())?;
        output.finish(&self.results)?;
        Ok(self.results)
    }
}

impl Record {
    /// As [`Record::finish`] for a command whose files are its results: no report.
    pub fn finish_without_report(mut self, output: Output) -> Result<Results> {
        self.stop();
        output.finish(&self.results)?;
        Ok(self.results)
    }

    fn stop(&mut self) {
        self.results.timing.total_seconds = self.started.elapsed().as_secs_f64();
    }
}

/// Names a file that was read.
pub fn input(path: &Path, shape: &[u64], dtype: &str) -> Result<Input> {
    Ok(Input {
        path: path.display().to_string(),
        shape: shape.to_vec(),
        dtype: dtype.to_string(),
        fingerprint: fingerprint(path)?,
    })
}

/// Names the file of a layer.
pub fn layer_input(layer: &dyn Layer) -> Result<Option<Input>> {
    let s = layer.shape();
    let shape = [s.samples, s.channels, s.height, s.width].map(|d| d as u64);
    layer
        .path()
        .map(|path| input(path, &shape, layer.dtype().name()))
        .transpose()
}

/// Writes the matrices of a layer and returns its entry in the results.
pub fn redundancy_layer(
    output: &Output,
    found: &LayerRedundancy,
    similarity: &ChannelSimilarity,
) -> Result<RedundancyLayer> {
    let c = found.channels.len();
    for (name, matrix) in [
        ("overlap", &found.overlap),
        ("jaccard", &found.jaccard),
        ("cosine", &similarity.cosine),
        ("pearson", &similarity.pearson),
    ] {
        let values: Vec<f64> = matrix.iter().copied().collect();
        output.array(
            &format!("layers/{}/{name}.npy", found.name),
            &[c, c],
            &values,
        )?;
    }
    let s = found.shape;
    let per = |f: &dyn Fn(&SpaceSummary) -> Option<f64>| found.per_channel.iter().map(f).collect();
    let labelled = found.majority_error.is_some();
    let channels = found.channels.iter().map(|&c| c as u64);
    let live_pairs = found
        .pair_queries
        .indexed_iter()
        .filter(|((i, j), _)| i != j && !found.dead[*i] && !found.dead[*j]);
    Ok(RedundancyLayer {
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
        neighbors_mean: per(&|p| p.neighbors_mean),
        pca_dimension_mean: per(&|p| p.pca_dimension_mean),
        loo_error: labelled.then(|| per(&|p| p.loo_error)),
        loo_soft_error: labelled.then(|| per(&|p| p.loo_soft_error)),
        majority_error: found.majority_error,
        overlap_mean: found.overlap_mean,
        jaccard_mean: found.jaccard_mean,
        redundancy: found.redundancy,
        aggregate: found.aggregate.as_ref().map(|a| Aggregate {
            neighbors_mean: a.neighbors_mean,
            loo_error: a.loo_error,
            loo_soft_error: a.loo_soft_error,
            pca_dimension_mean: a.pca_dimension_mean,
            degenerate_queries: a.degenerate_queries,
            recall: found.recall,
        }),
        samples_skipped: found.samples_skipped.len() as u64,
        kkt_residual_max: Some(f64::from(found.kkt_residual_max())),
        pair_queries_min: live_pairs.map(|(_, &n)| n).min(),
        baselines: Some(Baselines {
            cosine_mean: ChannelSimilarity::mean(&similarity.cosine),
            pearson_mean: ChannelSimilarity::mean(&similarity.pearson),
            two_nn: (found.per_channel.iter().any(|p| p.two_nn.is_some()))
                .then(|| per(&|p| p.two_nn)),
        }),
    })
}

/// Graphs as `.npy` files, filled block by block.
pub struct GraphFiles<'a> {
    output: &'a Output,
    layer: String,
    files: OnceLock<(GraphShape, Files, Option<Files>)>,
}

struct Files {
    neighbors: ArrayWriter<i32>,
    sq_distances: ArrayWriter<f32>,
    weights: ArrayWriter<f32>,
    objective: ArrayWriter<f32>,
    degenerate: ArrayWriter<bool>,
}

impl Files {
    fn create(output: &Output, folder: &str, spaces: usize, shape: GraphShape) -> Result<Self> {
        let slots = [spaces, shape.samples, shape.k];
        let name = |array: &str| format!("{folder}/{array}.npy");
        Ok(Self {
            neighbors: output.array_writer(&name("neighbors"), &slots)?,
            sq_distances: output.array_writer(&name("sq_distances"), &slots)?,
            weights: output.array_writer(&name("weights"), &slots)?,
            objective: output.array_writer(&name("objective"), &slots[..2])?,
            degenerate: output.array_writer(&name("degenerate"), &slots[..2])?,
        })
    }

    fn finish(self) -> Result<()> {
        self.neighbors.finish()?;
        self.sq_distances.finish()?;
        self.weights.finish()?;
        self.objective.finish()?;
        self.degenerate.finish()
    }
}

impl<'a> GraphFiles<'a> {
    /// Files of one layer under `layers/NAME/`.
    pub fn new(output: &'a Output, layer: &str) -> Self {
        Self {
            output,
            layer: layer.to_string(),
            files: OnceLock::new(),
        }
    }

    /// Ends the files.
    pub fn finish(self) -> Result<()> {
        if let Some((_, channels, aggregate)) = self.files.into_inner() {
            channels.finish()?;
            if let Some(aggregate) = aggregate {
                aggregate.finish()?;
            }
        }
        Ok(())
    }
}

impl GraphSink for GraphFiles<'_> {
    fn begin(&self, shape: GraphShape) -> Result<()> {
        let folder = format!("layers/{}", self.layer);
        let channels = Files::create(self.output, &folder, shape.channels, shape)?;
        let aggregate = if shape.aggregate {
            let folder = format!("{folder}/aggregate");
            Some(Files::create(self.output, &folder, 1, shape)?)
        } else {
            None
        };
        self.files
            .set((shape, channels, aggregate))
            .map_err(|_| Error::Usage(format!("layer {} is announced twice", self.layer)))
    }

    fn put(&self, space: Space, rows: GraphRows<'_>) -> Result<()> {
        let Some((shape, channels, aggregate)) = self.files.get() else {
            return Ok(());
        };
        let (files, space) = match (space, aggregate) {
            (Space::Channel(c), _) => (channels, c),
            (Space::Aggregate, Some(files)) => (files, 0),
            (Space::Aggregate, None) => return Ok(()),
        };
        let first = space * shape.samples + rows.first_query;
        let objective: Vec<f32> = rows.objective.iter().map(|&j| j as f32).collect();
        files.neighbors.write(first * rows.k, rows.neighbors)?;
        files
            .sq_distances
            .write(first * rows.k, rows.sq_distances)?;
        files.weights.write(first * rows.k, rows.weights)?;
        files.objective.write(first, &objective)?;
        files.degenerate.write(first, rows.degenerate)
    }
}
