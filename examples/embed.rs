//! Channel redundancy of an array in memory: no file, nothing printed but what you print.
//!
//!     cargo run --release --example embed

use chanscope::device::{Device, DeviceChoice};
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::measure::redundancy::GraphArrays;
use chanscope::measure::{Context, RedundancyInput, RedundancyOptions, redundancy};
use ndarray::Array4;

fn main() -> chanscope::Result<()> {
    // Activations A[N, C, H, W]: four waves of which the last two look alike, and a class per sample.
    let (samples, channels) = (600, 4);
    let activations = Array4::from_shape_fn((samples, channels, 5, 5), |(i, c, y, x)| {
        let phase = i as f32 * [0.11, 0.23, 0.37, 0.371][c];
        (phase + (y * 5 + x) as f32 * 0.3).sin().max(0.0)
    });
    let labels: Vec<u32> = (0..samples).map(|i| (i % 7) as u32).collect();

    let layer = ArrayLayer::from_array("waves", activations.view())?;
    let device = Device::open(&DeviceChoice::Auto, 0)?;
    let progress =
        |p: chanscope::control::Progress<'_>| eprintln!("{} {}/{}", p.stage, p.done, p.total);
    let ctx = Context::new(&device)
        .with_memory(256 << 20)
        .with_progress(&progress);

    let graphs = GraphArrays::default();
    let layers = [&layer as &dyn Layer];
    let input = RedundancyInput::new(&layers)
        .with_labels(Some(&labels))
        .with_graphs(Some(&graphs));
    let found = redundancy(&ctx, &input, &RedundancyOptions::default())?;
    let found = &found.layers[0];

    println!("Jaccard index between channels:\n{:.2}", found.jaccard);
    for (c, space) in found.per_channel.iter().enumerate() {
        println!(
            "channel {c}: {:.1} neighbours",
            space.neighbors_mean.unwrap_or(f64::NAN)
        );
    }
    let arrays = &graphs.into_layers()[0].channels;
    println!(
        "neighbours of sample 0 in channel 0: {}",
        arrays.neighbors.slice(ndarray::s![0, 0, ..])
    );
    Ok(())
}
