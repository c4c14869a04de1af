//! `chanscope devices`: what there is to compute on.

use super::error::Result;
use super::{Common, output};
use chanscope::device::{Device, DeviceChoice};
use chanscope::gpu::{Adapter, adapters, preferred};
use chanscope::io::size::format_size;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// List the CPU and every GPU adapter, with limits and features
#[derive(clap::Args)]
#[command(after_help = "Example:  chanscope devices --json")]
pub struct Args {}

/// Prints the list. `auto` stands beside what `--device auto` would take.
pub fn run(_args: &Args, common: &Common) -> Result<()> {
    if common.json {
        return output::json(&json!({ "devices": document(common.threads())? }));
    }
    let cpu = Device::open(&DeviceChoice::Cpu, common.threads())?;
    let adapters = adapters();
    let real = preferred(&adapters).map(|a| a.index);
    let star = |auto: bool| if auto { " (auto)" } else { "" };
    let info = cpu.info();
    let mut text = format!(
        "cpu{}: {}, {}, {} threads\n",
        star(real.is_none()),
        info.name,
        info.driver,
        common.threads()
    );
    for a in &adapters {
        let _ = writeln!(
            text,
            "gpu:{}{}: {}, {}, {}, {}\n    buffers to {}, workgroup memory {}, subgroups {}-{}, {}",
            a.index,
            star(real == Some(a.index)),
            a.info.name,
            a.kind,
            a.info.backend,
            a.info.driver,
            format_size(a.max_buffer_bytes),
            format_size(u64::from(a.workgroup_bytes)),
            a.subgroup[0],
            a.subgroup[1],
            a.features.join(", ")
        );
    }
    if adapters.is_empty() {
        text.push_str(
            "No GPU adapter was found. A Vulkan, Metal or DirectX 12 driver would add one.\n",
        );
    }
    output::print(&text)
}

/// All devices, for programs. `threads` are those of the CPU.
pub fn document(threads: usize) -> chanscope::Result<Vec<Value>> {
    let cpu = Device::open(&DeviceChoice::Cpu, threads)?;
    let adapters = adapters();
    let real = preferred(&adapters).map(|a| a.index);
    let mut devices = vec![json!({
        "device": "cpu", "name": cpu.info().name, "backend": cpu.info().backend,
        "driver": cpu.info().driver, "threads": threads, "auto": real.is_none(),
    })];
    let found = adapters.iter().enumerate();
    devices.extend(found.map(|(i, a)| entry(a, real == Some(i))));
    Ok(devices)
}

fn entry(a: &Adapter, auto: bool) -> Value {
    json!({
        "device": format!("gpu:{}", a.index), "name": a.info.name, "kind": a.kind,
        "backend": a.info.backend, "driver": a.info.driver, "max_buffer_bytes": a.max_buffer_bytes,
        "workgroup_bytes": a.workgroup_bytes, "subgroup": a.subgroup, "features": a.features,
        "cooperative_matrix": a.cooperative_matrix,
        "auto": auto,
    })
}
