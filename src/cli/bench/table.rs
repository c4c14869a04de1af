//! The measurements as text and JSON.

use super::super::table::{Column, Table};
use super::row::{Limits, Row};
use chanscope::ops::DeviceInfo;
use serde_json::{Value, json};

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
    let text = format!(
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
    let mut table = Table::new(&[Column::Left, Column::Left, Column::Right]);
    table.row([
        "kernel",
        "shape",
        "ms",
        "device ms",
        "GFLOP/s",
        "GB/s",
        "of ceiling",
        "per second",
    ]);
    for row in rows {
        let seconds = row.best();
        table.row([
            row.job.kernel.to_string(),
            row.job.shape.to_string(),
            figure(row.seconds * 1e3),
            row.device_seconds.map_or("-".into(), |s| figure(s * 1e3)),
            figure(row.job.flops as f64 / seconds / 1e9),
            figure(row.job.bytes as f64 / seconds / 1e9),
            format!("{:.0} %", 100.0 * row.share(limits)),
            format!(
                "{} {}",
                figure(row.job.items as f64 / seconds),
                row.job.unit
            ),
        ]);
    }
    text + &table.to_string()
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
