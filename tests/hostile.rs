//! Files that lie: each gets one clear line, none a panic or an allocation beyond its size.

mod npy;
mod report;
mod safetensors;
mod sink;
mod terminal;

use std::path::{Path, PathBuf};

/// A file or folder that somebody sent.
fn received(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/hostile")
        .join(name)
}
