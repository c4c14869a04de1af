//! The measurements as text and JSON.

use super::row::{Limits, Row};
use chanscope::ops::DeviceInfo;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// One row.
pub fn json(row: &Row, limits: &Limits) -> Value {
    let seconds = row.best();
    json!({
        "kernel": row.job.kernel,
        "shape": row.job.shape,
        "sizes": row.job.sizes,
        "seconds": row.seconds,
        "device_seconds": row.device_seconds,
        "flops": row.job.flops,
        "bytes": row.job.bytes,
        "items": row.job.items,
        "unit": row.job.unit,
        "half": row.job.half && limits.half_flops.is_some(),
        "items_per_second": row.job.items as f64 / seconds,
        "gflops": row.job.flops as f64 / seconds / 1e9,
        "gbytes_per_second": row.job.bytes as f64 / seconds / 1e9,
        "share_of_ceiling": row.share(limits),
    })
}

/// All of them, with the ceilings above.
pub fn text(device: &DeviceInfo, rows: &[Row], limits: &Limits) -> String {
    let mut text = format!(
        "{} ({}, {})\nceilings: {} GFLOP/s in float32{}, copies {} GB/s\n\n",
        device.name,
        device.backend,
        device.driver,
        figure(limits.flops / 1e9),
        limits.half_flops.map_or(String::new(), |f| format!(
            ", {} on f16 matrices",
            figure(f / 1e9)
        )),
        figure(limits.bytes / 1e9),
    );
    let width = rows
        .iter()
        .map(|r| r.job.shape.len())
        .max()
        .unwrap_or(5)
        .max(5);
    let _ = writeln!(
        text,
        "{:<10} {:<width$} {:>9} {:>9} {:>9} {:>8} {:>10}  {:>18}",
        "kernel", "shape", "ms", "device ms", "GFLOP/s", "GB/s", "of ceiling", "per second"
    );
    for row in rows {
        let seconds = row.best();
        let device = row.device_seconds.map_or("-".into(), |s| figure(s * 1e3));
        let _ = writeln!(
            text,
            "{:<10} {:<width$} {:>9} {device:>9} {:>9} {:>8} {:>8.0} %  {:>18}",
            row.job.kernel,
            row.job.shape,
            figure(row.seconds * 1e3),
            figure(row.job.flops as f64 / seconds / 1e9),
            figure(row.job.bytes as f64 / seconds / 1e9),
            100.0 * row.share(limits),
            format!(
                "{} {}",
                figure(row.job.items as f64 / seconds),
                row.job.unit
            ),
        );
    }
    text
}

/// Three significant digits.
fn figure(x: f64) -> String {
    match x {
        x if x >= 1e9 => format!("{:.3e}", x),
        x if x >= 100.0 => format!("{x:.0}"),
        x if x >= 10.0 => format!("{x:.1}"),
        x if x >= 1.0 => format!("{x:.2}"),
        x => format!("{x:.3}"),
    }
}
