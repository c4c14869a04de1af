//! The adapters of this machine, and the choice of one.

use super::cooperative::Cooperative;
use super::visible::{Visibility, Visible, is_counted};
use super::wait;
use crate::error::FoundAdapter;
use crate::ops::DeviceInfo;
use crate::{Error, Result};

/// Without GL, which finds the same adapters with fewer features.
pub(super) const BACKENDS: wgpu::Backends = wgpu::Backends::VULKAN
    .union(wgpu::Backends::METAL)
    .union(wgpu::Backends::DX12)
    .union(wgpu::Backends::BROWSER_WEBGPU);

/// Largest buffer, whatever the adapter claims: drivers use signed offsets, so sizes stay below 2^31
/// bytes.
pub(super) const MAX_BUFFER: u64 = (1 << 31) - (1 << 16);

/// One adapter, as `chanscope devices` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Position, by which the adapter can be named.
    pub index: usize,
    /// Name, backend, driver.
    pub info: DeviceInfo,
    /// `discrete`, `integrated`, `virtual`, `software`, `other`.
    pub kind: &'static str,
    /// Largest buffer that this crate will use, bytes.
    pub max_buffer_bytes: u64,
    /// Workgroup memory, bytes.
    pub workgroup_bytes: u32,
    /// Smallest and largest subgroup.
    pub subgroup: [u32; 2],
    /// Features that matter here: `f64`, `f16`, `subgroups`, `timestamps`, `cooperative-matrix`.
    pub features: Vec<&'static str>,
    /// PCI address, as in `0000:01:00.0`; empty where the driver does not tell.
    pub pci: String,
    /// Whether `CUDA_VISIBLE_DEVICES` lets this process take it where none is named.
    pub visibility: Visibility,
    /// Side of the cooperative matrices (f16 products, f32 sums) that kernels will use; `None` if they
    /// use none.
    pub cooperative_matrix: Option<u32>,
}

pub(super) fn instance() -> wgpu::Instance {
    let mut desc = wgpu::InstanceDescriptor::new_without_display_handle();
    desc.backends = BACKENDS;
    desc.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(desc)
}

pub(super) fn describe(info: &wgpu::AdapterInfo) -> DeviceInfo {
    let driver = [info.driver.as_str(), info.driver_info.as_str()];
    let name = match info.name.is_empty() {
        // Browsers may keep to themselves what they run on.
        true => "unnamed adapter",
        false => &info.name,
    };
    DeviceInfo {
        name: name.into(),
        backend: info.backend.to_string(),
        driver: driver.join(" ").trim().to_string(),
    }
}

const fn kind(device_type: wgpu::DeviceType) -> &'static str {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    }
}

pub(super) fn buffer_limit(limits: &wgpu::Limits) -> u64 {
    let limit = limits
        .max_storage_buffer_binding_size
        .min(limits.max_buffer_size)
        .min(MAX_BUFFER);
    limit & !255
}

/// Adapters of the native backends, or the one that a browser offers, software ones included, in the order that indices refer to.
pub fn adapters() -> Vec<Adapter> {
    let found = wait::block_on(instance().enumerate_adapters(BACKENDS));
    summaries(&found)
}

pub(super) fn summaries(found: &[wgpu::Adapter]) -> Vec<Adapter> {
    let infos = found.iter().map(wgpu::Adapter::get_info);
    let counted = infos.filter(|i| is_counted(i.vendor) && !i.device_pci_bus_id.is_empty());
    let addresses: Vec<String> = counted.map(|i| i.device_pci_bus_id).collect();
    let visible = Visible::here();
    let of = |(index, adapter): (usize, &wgpu::Adapter)| {
        let info = adapter.get_info();
        let visibility = visible.of(info.vendor, &info.device_pci_bus_id, &addresses);
        summary(index, adapter, visibility)
    };
    found.iter().enumerate().map(of).collect()
}

fn summary(index: usize, adapter: &wgpu::Adapter, visibility: Visibility) -> Adapter {
    let (info, limits, has) = (adapter.get_info(), adapter.limits(), adapter.features());
    let known = [
        (wgpu::Features::SHADER_F64, "f64"),
        (wgpu::Features::SHADER_F16, "f16"),
        (wgpu::Features::SUBGROUP, "subgroups"),
        (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
        (
            wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
            "cooperative-matrix",
        ),
    ];
    Adapter {
        index,
        info: describe(&info),
        kind: kind(info.device_type),
        max_buffer_bytes: buffer_limit(&limits),
        workgroup_bytes: limits.max_compute_workgroup_storage_size,
        subgroup: [info.subgroup_min_size, info.subgroup_max_size],
        features: known
            .iter()
            .filter(|(f, _)| has.contains(*f))
            .map(|(_, name)| *name)
            .collect(),
        pci: info.device_pci_bus_id,
        visibility,
        cooperative_matrix: Cooperative::of(adapter).map(|c| c.side),
    }
}

/// The adapter to take where none is named: the first real GPU, those that a scheduler assigned first, then discrete
/// ones. One that was assigned to others is never taken.
pub fn preferred(found: &[Adapter]) -> Option<&Adapter> {
    let rank = |a: &Adapter| match a.kind {
        "discrete" => 0,
        "integrated" => 1,
        "virtual" => 2,
        _ => 3,
    };
    found
        .iter()
        .filter(|a| a.kind != "software" && a.visibility != Visibility::Hidden)
        .min_by_key(|a| (a.visibility != Visibility::Assigned, rank(a), a.index))
}

/// Chooses an adapter by its index or a part of its name; without a name, the preferred one.
pub(super) fn choose(name: Option<&str>, found: &[Adapter]) -> Result<usize> {
    let chosen = match name {
        None => preferred(found),
        Some(name) => match name.parse::<usize>() {
            Ok(index) => found.get(index),
            Err(_) => {
                let wanted = name.to_lowercase();
                found
                    .iter()
                    .find(|a| a.info.name.to_lowercase().contains(&wanted))
            }
        },
    };
    chosen.map(|a| a.index).ok_or_else(|| {
        let summary = |a: &Adapter| FoundAdapter {
            index: a.index,
            name: a.info.name.clone(),
            kind: a.kind,
            backend: a.info.backend.clone(),
        };
        Error::NoAdapter {
            wanted: name.map(String::from),
            found: found.iter().map(summary).collect(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(index: usize, name: &str, kind: &'static str) -> Adapter {
        Adapter {
            index,
            info: DeviceInfo {
                name: name.into(),
                backend: "vulkan".into(),
                driver: String::new(),
            },
            kind,
            max_buffer_bytes: 0,
            workgroup_bytes: 0,
            subgroup: [0, 0],
            features: Vec::new(),
            pci: String::new(),
            visibility: Visibility::Open,
            cooperative_matrix: None,
        }
    }

    #[test]
    fn software_adapters_only_when_named() {
        let found = [
            adapter(0, "llvmpipe (LLVM 15)", "software"),
            adapter(1, "Iris Xe", "integrated"),
            adapter(2, "H200", "discrete"),
        ];
        assert_eq!(choose(None, &found).ok(), Some(2));
        assert_eq!(choose(None, &found[..2]).ok(), Some(1));
        assert_eq!(choose(Some("LLVMpipe"), &found).ok(), Some(0));
        assert_eq!(choose(Some("1"), &found).ok(), Some(1));
        let mut assigned = found.clone();
        assigned[2].visibility = Visibility::Hidden;
        assert_eq!(choose(None, &assigned).ok(), Some(1));
        assert_eq!(choose(Some("H200"), &assigned).ok(), Some(2));
        assigned[1].visibility = Visibility::Assigned;
        assigned[2].visibility = Visibility::Open;
        assert_eq!(choose(None, &assigned).ok(), Some(1));
        let refused = choose(None, &found[..1]).map_err(|e| e.to_string());
        assert!(refused.is_err_and(|e| e.contains("llvmpipe (LLVM 15)")));
        let none = choose(Some("7"), &[]).map_err(|e| e.to_string());
        assert!(none.is_err_and(|e| e.contains("'7'") && e.contains("none")));
    }
}
