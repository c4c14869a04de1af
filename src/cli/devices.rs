//! `chanscope devices`: what there is to compute on.

use super::error::Result;
use super::{Common, output};
use chanscope::device::{Device, DeviceChoice};
use chanscope::gpu::{Adapter, Missing, Visibility, adapters, missing, preferred};
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
        let notes = notes(&adapters());
        return output::json(&json!({ "devices": document(common.threads())?, "notes": notes }));
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
            "gpu:{}{}: {}, {}, {}, {}{}\n    buffers to {}, workgroup memory {}, subgroups {}-{}, {}",
            a.index,
            star(real == Some(a.index)),
            a.info.name,
            a.kind,
            a.info.backend,
            a.info.driver,
            pci(a),
            format_size(a.max_buffer_bytes),
            format_size(u64::from(a.workgroup_bytes)),
            a.subgroup[0],
            a.subgroup[1],
            a.features.join(", ")
        );
    }
    for note in notes(&adapters) {
        let _ = writeln!(text, "{note}");
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

fn pci(a: &Adapter) -> String {
    match a.pci.is_empty() {
        true => String::new(),
        false => format!(", PCI {}", a.pci),
    }
}

/// What there is to say beside the list: why a card may be missing, and which ones a scheduler assigned.
fn notes(adapters: &[Adapter]) -> Vec<String> {
    let mut notes = Vec::new();
    if adapters.is_empty() {
        notes.push(
            "No GPU adapter was found. A Vulkan, Metal or DirectX 12 driver would add one.".into(),
        );
    }
    notes.extend(missing(adapters).iter().map(reason));
    let with = |wanted: Visibility| {
        let those = adapters.iter().filter(|a| a.visibility == wanted);
        let names: Vec<String> = those.map(|a| format!("gpu:{}", a.index)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    if let Some(names) = with(Visibility::Hidden) {
        notes.push(format!(
            "CUDA_VISIBLE_DEVICES does not list {names}, so that --device auto and gpu do not take it. Naming it does."
        ));
    }
    if let Some(names) = with(Visibility::Unknown) {
        notes.push(format!(
            "CUDA_VISIBLE_DEVICES is set, but it cannot be told whether it lists {names}: the driver tells no PCI address \
             or no identifier. Choose with --device gpu:INDEX."
        ));
    }
    notes
}

fn reason(missing: &Missing) -> String {
    match missing {
        Missing::Loader => {
            "No Vulkan loader (libvulkan.so.1) was found. Debian and Ubuntu have it in the package libvulkan1.".into()
        }
        Missing::Drivers(places) => {
            let places: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
            let places = places.join(", ");
            format!("No Vulkan driver was found: there is no manifest (*.json) in {places}.")
        }
        Missing::Graphics(cards) => format!(
            "NVIDIA's driver has {cards} cards, and Vulkan shows none. A container needs the capability graphics \
             (NVIDIA_DRIVER_CAPABILITIES=graphics,compute,utility); elsewhere the driver's package for Vulkan is missing."
        ),
    }
}

fn entry(a: &Adapter, auto: bool) -> Value {
    json!({
        "device": format!("gpu:{}", a.index), "name": a.info.name, "kind": a.kind,
        "backend": a.info.backend, "driver": a.info.driver, "max_buffer_bytes": a.max_buffer_bytes,
        "workgroup_bytes": a.workgroup_bytes, "subgroup": a.subgroup, "features": a.features,
        "cooperative_matrix": a.cooperative_matrix,
        "pci": a.pci, "visible": a.visibility != Visibility::Hidden,
        "auto": auto,
    })
}
