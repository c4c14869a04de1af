//! How often each value of a layer is read, and that what is computed along the way keeps its bits.

use crate::support::runs::{options, relu_layer, run_in, same};
use chanscope::device::{Device, DeviceChoice};
use chanscope::io::array::ArrayLayer;
use chanscope::io::kept::Kept;
use chanscope::io::layer::Layer;
use chanscope::measure::redundancy::{NonFinite, estimate};
use chanscope::measure::{
    ChannelSimilarityOptions, CkaOptions, Context, Redundancy, RedundancyInput, RedundancyOptions,
    channel_similarity, cka, redundancy,
};
use chanscope::ops::Kernel;
use chanscope::tensor::{DType, LayerShape};
use chanscope::{Error, Result};
use ndarray::{Array2, Array4};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts how often each map (a sample of a channel) is read.
struct Counting<'a> {
    layer: ArrayLayer<'a>,
    reads: Vec<AtomicU32>,
}

impl<'a> Counting<'a> {
    fn new(name: &str, a: &'a Array4<f32>) -> Self {
        let maps = a.shape()[0] * a.shape()[1];
        Self {
            layer: ArrayLayer::from_array(name, a.view()).unwrap(),
            reads: (0..maps).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    fn count(&self, rows: &Range<usize>, channels: &[usize]) {
        for row in rows.clone() {
            for c in channels {
                let at = row * self.shape().channels + c;
                self.reads[at].fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Reads of all channels of a sample, which must be the same.
    fn of_sample(&self, sample: usize) -> u32 {
        let channels = self.shape().channels;
        let reads = &self.reads[sample * channels..][..channels];
        let reads: Vec<u32> = reads.iter().map(|r| r.load(Ordering::Relaxed)).collect();
        assert!(reads.iter().all(|&r| r == reads[0]), "{sample}: {reads:?}");
        reads[0]
    }
}

impl Layer for Counting<'_> {
    fn name(&self) -> &str {
        self.layer.name()
    }
    fn shape(&self) -> LayerShape {
        self.layer.shape()
    }
    fn dtype(&self) -> DType {
        self.layer.dtype()
    }
    fn read_channels(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        self.count(&rows, channels);
        self.layer.read_channels(rows, channels, out)
    }
    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        self.count(&rows, channels);
        self.layer.read_rows(rows, channels, out)
    }
}

fn cpu() -> Device {
    Device::open(&DeviceChoice::Cpu, 2).unwrap()
}

fn measure(ctx: &Context<'_>, layers: &[&dyn Layer], options: &RedundancyOptions) -> Redundancy {
    redundancy(ctx, &RedundancyInput::new(layers), options).unwrap()
}

fn bits(m: &Array2<f64>) -> Vec<u64> {
    m.iter().map(|v| v.to_bits()).collect()
}

/// Two layers of 600 samples: two whole mini-batches and a short one.
fn two_layers() -> [Array4<f32>; 2] {
    [relu_layer(600, 5, 3, 31), relu_layer(600, 3, 4, 32)]
}

/// The similarity of channels and CKA are what the measures by themselves find on these samples of each
/// layer, `all` samples of several layers.
fn assert_baselines(
    ctx: &Context<'_>,
    found: &Redundancy,
    layers: &[&dyn Layer],
    kept: &[Vec<usize>],
) {
    let common: Vec<usize> = (0..layers[0].shape().samples)
        .filter(|i| kept.iter().all(|k| k.contains(i)))
        .collect();
    let mut views = vec![];
    for ((layer, found), kept) in layers.iter().zip(&found.layers).zip(kept) {
        let view = Kept::new(*layer, kept.clone()).unwrap();
        let options = ChannelSimilarityOptions::default();
        let alone = channel_similarity(ctx, &view, &options).unwrap();
        let similarity = found.similarity.as_ref().unwrap();
        assert_eq!(bits(&similarity.cosine), bits(&alone.cosine));
        assert_eq!(bits(&similarity.pearson), bits(&alone.pearson));
        views.push(Kept::new(*layer, common.clone()).unwrap());
    }
    let channels: Vec<Vec<usize>> = (layers.iter())
        .map(|l| (0..l.shape().channels).collect())
        .collect();
    let views: Vec<(&dyn Layer, &[usize])> = (views.iter().zip(&channels))
        .map(|(v, c)| (v as &dyn Layer, c.as_slice()))
        .collect();
    let alone = cka(ctx, &views, &CkaOptions::default()).unwrap();
    let together = found.cka.as_ref().unwrap();
    assert_eq!(bits(&together.values), bits(&alone.values));
    assert!(together.values[[0, 1]].is_finite());
}

#[test]
fn graphs_baselines_and_cka_take_two_readings() {
    let data = two_layers();
    let device = cpu();
    let ctx = Context::new(&device);
    for (aggregate, readings) in [(false, 2), (true, 3)] {
        let layers = [Counting::new("a", &data[0]), Counting::new("b", &data[1])];
        let layers_ref = [&layers[0] as &dyn Layer, &layers[1]];
        let options = RedundancyOptions::default().with_aggregate(aggregate);
        let found = measure(&ctx, &layers_ref, &options);
        for layer in &layers {
            for sample in 0..600 {
                assert_eq!(
                    layer.of_sample(sample),
                    readings,
                    "{} {sample}",
                    layer.name()
                );
            }
        }
        let all: Vec<usize> = (0..600).collect();
        assert_baselines(&ctx, &found, &layers_ref, &[all.clone(), all]);
    }
    // Without baselines there is nothing to compare.
    let layers = [Counting::new("a", &data[0]), Counting::new("b", &data[1])];
    let options = RedundancyOptions::default().with_baselines(false);
    let found = measure(&ctx, &[&layers[0], &layers[1]], &options);
    assert!(found.cka.is_none() && found.layers.iter().all(|l| l.similarity.is_none()));
    assert_eq!(layers[0].of_sample(0), 2);
}

/// One channel of 160 KB under caps from many times as much to less: every sample is read as often as the estimate says, twice by
/// the graphs as long as its rows fit, and where they do not, candidates more often than others. The graphs have the same bits.
#[test]
fn a_cap_takes_the_readings_that_the_plan_states() {
    const CHANNEL: u64 = 400 * 100 * 4;
    let a = relu_layer(400, 2, 10, 34);
    let a = a.slice(ndarray::s![.., ..1, .., ..]).to_owned();
    let device = Device::open(&DeviceChoice::Cpu, 1).unwrap();
    let mut options = options(Kernel::Gaussian, 5);
    options.aggregate = false;
    let reference = run_in(&Context::new(&device), &a, &options).unwrap();
    let mut seen = Vec::new();
    for memory in [64, 12, 8, 6, 5, 4, 3, 2].map(|halves| halves * CHANNEL / 2) {
        let ctx = Context::new(&device).with_memory(memory);
        let layer = Counting::new("a", &a);
        let stated = match estimate(&ctx, &layer.layer, &options) {
            Ok(stated) => stated,
            Err(Error::Memory { .. }) => break,
            Err(e) => panic!("{e}"),
        };
        measure(&ctx, &[&layer], &options);
        let [all, fetched] = [stated.read_bytes, stated.fetched_bytes].map(|b| b / CHANNEL);
        let searched = (stated.read_bytes - stated.fetched_bytes) / CHANNEL;
        let mut more = 0;
        for sample in 0..400 {
            let read = u64::from(layer.of_sample(sample));
            assert!(read >= searched, "{memory}: {read}, {searched}");
            more += read - searched;
        }
        assert!(more * CHANNEL / 400 <= stated.fetched_bytes, "{memory}");
        assert_eq!(more > 0, fetched > 0, "{memory}");
        let stated = all;
        same(&reference, &run_in(&ctx, &a, &options).unwrap());
        assert!(stated <= 3 || memory < 4 * CHANNEL, "{memory}: {stated}");
        seen.push(stated);
    }
    // Whole, rows in memory, and blocks of queries.
    assert!(seen.contains(&2) && seen.contains(&3), "{seen:?}");
    assert!(seen.iter().any(|&n| n > 3), "{seen:?}");
}

#[test]
fn samples_left_out_take_one_more_reading() {
    let [mut a, b] = two_layers();
    for (sample, channel) in [(0, 1), (299, 0), (300, 4)] {
        a[[sample, channel, 1, 2]] = f32::NAN;
    }
    let mut c = relu_layer(600, 2, 3, 33);
    c[[17, 0, 0, 0]] = f32::INFINITY;
    let layers = [("a", &a), ("b", &b), ("c", &c)].map(|(n, a)| Counting::new(n, a));
    let layers_ref: Vec<&dyn Layer> = layers.iter().map(|l| l as &dyn Layer).collect();
    let device = cpu();
    let ctx = Context::new(&device);
    let options = RedundancyOptions::default().with_non_finite(NonFinite::Skip);
    let found = measure(&ctx, &layers_ref, &options);
    // All layers are measured on the same samples.
    let skipped = [0, 17, 299, 300];
    for (layer, found) in layers.iter().zip(&found.layers) {
        assert_eq!(found.samples_skipped, skipped);
        for sample in 0..600 {
            let most = if skipped.contains(&sample) { 1 } else { 3 };
            let reads = layer.of_sample(sample);
            assert!(reads <= most, "{} {sample}: {reads}", layer.name());
        }
    }
    let kept: Vec<usize> = (0..600).filter(|i| !skipped.contains(i)).collect();
    assert_baselines(
        &ctx,
        &found,
        &layers_ref,
        &[kept.clone(), kept.clone(), kept],
    );
}

#[test]
fn no_cap_and_no_threads_change_a_bit_of_the_baselines() {
    let data = two_layers();
    let layers = [Counting::new("a", &data[0]), Counting::new("b", &data[1])];
    let layers = [&layers[0] as &dyn Layer, &layers[1]];
    let options = RedundancyOptions::default();
    let reference = measure(&Context::new(&cpu()), &layers, &options);
    let mut runs = 0;
    for (memory, threads) in [(16 << 20, 1), (2 << 20, 3), (900 << 10, 2), (300 << 10, 1)] {
        let device = Device::open(&DeviceChoice::Cpu, threads).unwrap();
        let ctx = Context::new(&device)
            .with_memory(memory)
            .with_threads(threads)
            .unwrap();
        let found = match redundancy(&ctx, &RedundancyInput::new(&layers), &options) {
            Ok(found) => found,
            Err(Error::Memory { .. }) => break,
            Err(e) => panic!("{e}"),
        };
        runs += 1;
        for (x, y) in found.layers.iter().zip(&reference.layers) {
            let (x, y) = (x.similarity.as_ref(), y.similarity.as_ref());
            let (x, y) = (x.unwrap(), y.unwrap());
            assert_eq!(bits(&x.cosine), bits(&y.cosine));
            assert_eq!(bits(&x.pearson), bits(&y.pearson));
        }
        let (x, y) = (found.cka.unwrap(), reference.cka.as_ref().unwrap());
        assert_eq!(bits(&x.values), bits(&y.values));
    }
    assert!(runs >= 2, "{runs} caps were large enough");
}
