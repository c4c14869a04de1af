//! Measures an array in memory and writes the folder that `chanscope redundancy` writes: arrays,
//! `results.json` and `report.html`.
//!
//!     cargo run --release --example results_folder -- OUT

use chanscope::device::{Device, DeviceChoice};
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::io::sink::Output;
use chanscope::measure::{Context, RedundancyInput, RedundancyOptions, redundancy_each};
use chanscope::report::folder::ResultsFolder;
use ndarray::Array4;

fn main() -> chanscope::Result<()> {
    let out = std::env::args().nth(1).unwrap_or("results".into());
    // Two layers of activations A[N, C, H, W], and a class per sample.
    let wave = |speeds: [f32; 3]| {
        Array4::from_shape_fn((500, 3, 4, 4), |(i, c, y, x)| {
            (i as f32 * speeds[c] + (y * 4 + x) as f32 * 0.3)
                .sin()
                .max(0.0)
        })
    };
    let (first, second) = (wave([0.11, 0.23, 0.37]), wave([0.11, 0.12, 0.13]));
    let labels: Vec<u32> = (0..500).map(|i| i / 50).collect();
    let first = ArrayLayer::from_array("first", first.view())?;
    let second = ArrayLayer::from_array("second", second.view())?;
    let layers = [&first as &dyn Layer, &second];

    let device = Device::open(&DeviceChoice::Auto, 0)?;
    let folder = ResultsFolder::begin(Output::create(&out, false)?, "redundancy");
    let ctx = Context::new(&device)
        .with_memory(512 << 20)
        .with_scratch(folder.scratch());
    let options = RedundancyOptions::default().with_aggregate(true);
    folder.redundancy_parameters(&ctx, &options, true);

    // Graphs are written while they are computed, and every layer as soon as it is measured.
    let graphs = folder.graphs();
    let input = RedundancyInput::new(&layers)
        .with_labels(Some(&labels))
        .with_graphs(Some(&graphs));
    let compared = redundancy_each(&ctx, &input, &options, |layer| {
        folder.redundancy_layer(&layer)?;
        folder.stage(layer.name);
        Ok(())
    })?;
    folder.compared(&compared)?;
    let results = folder.finish()?;
    println!(
        "{} layers measured; open {out}/report.html",
        results.redundancy.map_or(0, |r| r.layers.len())
    );
    Ok(())
}
