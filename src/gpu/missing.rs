//! Why an adapter may be missing that one would expect.

use super::Adapter;
use std::path::{Path, PathBuf};

/// A reason, as far as it can be told from the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No Vulkan loader (`libvulkan.so.1`) in the usual folders.
    Loader,
    /// The loader finds no driver: no manifest (`*.json`) in these folders or files.
    Drivers(Vec<PathBuf>),
    /// NVIDIA's driver has this many cards, and Vulkan shows none of them. In a container that is so without the
    /// capability `graphics`.
    Graphics(usize),
}

/// What is missing beside the adapters that were found. On systems other than Linux nothing is known.
pub fn missing(found: &[Adapter]) -> Vec<Missing> {
    if !cfg!(target_os = "linux") {
        return Vec::new();
    }
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    missing_below(Path::new("/"), found, &variable)
}

fn missing_below(
    root: &Path,
    found: &[Adapter],
    variable: &dyn Fn(&str) -> Option<PathBuf>,
) -> Vec<Missing> {
    let mut reasons = Vec::new();
    // Whatever was found, the loader and a driver found it.
    if found.is_empty() {
        if !has_loader(root, variable) {
            reasons.push(Missing::Loader);
        }
        let places = manifests(root, variable);
        if !places.iter().any(|place| has_manifest(place)) {
            reasons.push(Missing::Drivers(places));
        }
    }
    let cards = std::fs::read_dir(root.join("proc/driver/nvidia/gpus"));
    let cards = cards.map_or(0, |entries| entries.flatten().count());
    let is_seen = |a: &Adapter| a.info.name.to_lowercase().contains("nvidia");
    if cards > 0 && !found.iter().any(is_seen) {
        reasons.push(Missing::Graphics(cards));
    }
    reasons
}

fn has_loader(root: &Path, variable: &dyn Fn(&str) -> Option<PathBuf>) -> bool {
    let usual = ["usr/lib", "usr/lib64", "usr/local/lib", "lib", "lib64"].map(|f| root.join(f));
    let own = variable("LD_LIBRARY_PATH");
    let own = own
        .iter()
        .flat_map(std::env::split_paths)
        .collect::<Vec<_>>();
    let folders = usual.iter().chain(&own);
    let here = |folder: &Path| folder.join("libvulkan.so.1").exists();
    // Debian has a folder per architecture.
    let below = |folder: &PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|e| e.path()).any(|path| here(&path))
    };
    folders
        .into_iter()
        .any(|folder| here(folder) || below(folder))
}

/// Where the loader looks for manifests.
fn manifests(root: &Path, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        if let Some(files) = variable(name) {
            return std::env::split_paths(&files).collect();
        }
    }
    let system = ["etc", "usr/local/share", "usr/share"].map(|f| root.join(f));
    let home = variable("HOME").map(|home| home.join(".local/share"));
    let all = system.into_iter().chain(home);
    all.map(|folder| folder.join("vulkan/icd.d")).collect()
}

fn has_manifest(place: &Path) -> bool {
    let is_json = |path: &Path| path.extension().is_some_and(|e| e == "json");
    match std::fs::read_dir(place) {
        Ok(entries) => entries.flatten().any(|e| is_json(&e.path())),
        Err(_) => place.is_file(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, write};

    #[test]
    fn reasons_are_found_one_by_one() {
        let root = tempfile::tempdir().expect("folder");
        let root = root.path();
        let found = |variable: &dyn Fn(&str) -> Option<PathBuf>| missing_below(root, &[], variable);
        let none = |_: &str| None;
        let places =
            ["etc", "usr/local/share", "usr/share"].map(|f| root.join(f).join("vulkan/icd.d"));
        let drivers = Missing::Drivers(places.to_vec());
        assert_eq!(found(&none), [Missing::Loader, drivers.clone()]);

        create_dir_all(root.join("usr/lib/x86_64-linux-gnu")).expect("folder");
        write(root.join("usr/lib/x86_64-linux-gnu/libvulkan.so.1"), "").expect("file");
        assert_eq!(found(&none), [drivers]);
        create_dir_all(&places[2]).expect("folder");
        write(places[2].join("some_icd.json"), "{}").expect("file");
        assert_eq!(found(&none), []);

        let nowhere = root.join("nowhere.json");
        let named = |name: &str| (name == "VK_DRIVER_FILES").then(|| nowhere.clone());
        assert_eq!(found(&named), [Missing::Drivers(vec![nowhere.clone()])]);
        create_dir_all(root.join("proc/driver/nvidia/gpus/0000:01:00.0")).expect("folder");
        assert_eq!(found(&none), [Missing::Graphics(1)]);
    }
}
