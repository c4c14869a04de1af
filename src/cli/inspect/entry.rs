//! A layer as `inspect --json` shows it.

use crate::cli::samples;
use chanscope::io::layer::Layer;
use chanscope::io::scan::Scan;
use chanscope::measure::redundancy::Estimate;
use serde_json::{Value, json};

/// Figures over all channels.
pub struct Values {
    pub min: Option<f32>,
    pub max: Option<f32>,
    pub zeros_share: f64,
}

impl Values {
    pub fn of(scan: &Scan) -> Self {
        let min = scan
            .channels
            .iter()
            .map(|c| c.min)
            .fold(f32::INFINITY, f32::min);
        let max = scan
            .channels
            .iter()
            .map(|c| c.max)
            .fold(f32::NEG_INFINITY, f32::max);
        let zeros: u64 = scan.channels.iter().map(|c| c.zeros).sum();
        Self {
            min: min.is_finite().then_some(min),
            max: max.is_finite().then_some(max),
            zeros_share: zeros as f64 / scan.shape.len() as f64,
        }
    }
}

/// A layer in JSON. `beyond_f32` counts its finite values beyond the range of float32.
pub fn entry(
    layer: &dyn Layer,
    scan: &Scan,
    beyond_f32: u64,
    need: Option<&Result<Estimate, String>>,
) -> Value {
    let s = layer.shape();
    let values = Values::of(scan);
    let finite = |v: f32| v.is_finite().then_some(v);
    let channels = scan.channels.iter().map(|c| {
        json!({
            "nan": c.nan, "inf": c.inf, "zeros": c.zeros, "min": finite(c.min), "max": finite(c.max),
        })
    });
    json!({
        "name": layer.name(),
        "path": layer.path().map(|p| p.display().to_string()),
        "shape": [s.samples, s.channels, s.height, s.width],
        "axes": samples::axes(layer),
        "dtype": layer.dtype().name(),
        "byte_order": if layer.big_endian() { "big" } else { "little" },
        "layout": "C",
        "bytes": s.len() * layer.dtype().size(),
        "nan": scan.nan(),
        "inf": scan.inf(),
        "beyond_float32": beyond_f32,
        "first_bad": scan.first_bad.map(|p| json!({
            "sample": p.sample, "channel": p.channel, "y": p.y, "x": p.x,
        })),
        "bad_samples": scan.bad_samples.len(),
        "dead_channels": scan.dead_channels(),
        "min": values.min,
        "max": values.max,
        "zeros_share": values.zeros_share,
        "channels": channels.collect::<Vec<_>>(),
        "run": need.map(|need| match need {
            Ok(n) => json!({
                "memory_bytes": n.memory_bytes, "disk_bytes": n.disk_bytes,
                "supports_bytes": n.supports_bytes, "read_bytes": n.read_bytes, "seconds": n.seconds,
            }),
            Err(e) => json!({"refused": e}),
        }),
    })
}
