//! Reading and writing: every format against bytes written by hand.

mod fingerprint;
mod foreign;
mod kept;
mod names;
mod npy;
mod open;
pub mod safetensors;
mod scan;
pub mod sink;
mod size;
mod spill;
mod supports;

use std::path::{Path, PathBuf};

/// `.npy` bytes, version 1, with a header as NumPy pads it.
pub fn npy_bytes(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    npy_raw(1, &dict, data)
}

/// `.npy` bytes with any header text.
pub fn npy_raw(version: u8, dict: &str, data: &[u8]) -> Vec<u8> {
    let prefix = if version == 1 { 10 } else { 12 };
    let padded = (prefix + dict.len() + 1).div_ceil(64) * 64;
    let mut out = b"\x93NUMPY".to_vec();
    out.extend([version, 0]);
    let len = padded - prefix;
    if version == 1 {
        out.extend((len as u16).to_le_bytes());
    } else {
        out.extend((len as u32).to_le_bytes());
    }
    out.extend(dict.as_bytes());
    out.resize(padded - 1, b' ');
    out.push(b'\n');
    out.extend(data);
    out
}

/// Little-endian bytes of `f32` values.
pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Writes a file into a folder and returns its path.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("write a test file");
    path
}

/// A folder that goes away with the test.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("make a temporary folder")
}
