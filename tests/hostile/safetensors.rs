//! Damaged and lying `.safetensors` files.

use crate::formats::safetensors::{file_bytes, two_tensors};
use crate::formats::{folder, write};
use chanscope::Error;
use chanscope::io::safetensors::SafetensorsFile;
use proptest::prelude::*;
use std::path::Path;

fn refusal(dir: &Path, bytes: &[u8]) -> String {
    let path = write(dir, "bad.safetensors", bytes);
    let error = SafetensorsFile::open(&path).expect_err("a bad file was accepted");
    assert!(matches!(error, Error::File { .. }), "{error:?}");
    let line = error.to_string();
    assert!(
        line.starts_with(&path.display().to_string()) && !line.contains('\n'),
        "{line}"
    );
    line
}

#[test]
fn truncated_at_every_byte_and_trailing() {
    let dir = folder();
    let bytes = two_tensors();
    for len in 0..bytes.len() {
        let line = refusal(dir.path(), &bytes[..len]);
        assert!(line.contains(&format!("at byte {len}")), "{len}: {line}");
    }
    let mut longer = bytes.clone();
    longer.extend([0; 3]);
    let line = refusal(dir.path(), &longer);
    assert!(
        line.contains("3 trailing bytes") && line.contains(&bytes.len().to_string()),
        "{line}"
    );
}

#[test]
fn lying_headers_are_refused_by_what_is_wrong() {
    let dir = folder();
    let one = |info: &str| file_bytes(&format!("{{\"a\":{info}}}"), &[0; 16]);
    let huge =
        "{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],\"data_offsets\":[0,16]}";
    for (bytes, words) in [
        (
            one("{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,12]}"),
            "needs 16 bytes",
        ),
        (
            one("{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,0]}"),
            "needs 16 bytes",
        ),
        (
            one("{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[4,20]}"),
            "leaves a gap",
        ),
        (
            one("{\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]}"),
            "header",
        ),
        (
            one("{\"dtype\":\"F33\",\"shape\":[4],\"data_offsets\":[0,16]}"),
            "F33",
        ),
        (
            one("{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16],\"x\":1}"),
            "unknown field",
        ),
        (one("{\"dtype\":\"F32\",\"shape\":[4]}"), "data_offsets"),
        (
            one("{\"dtype\":\"F4\",\"shape\":[31],\"data_offsets\":[0,16]}"),
            "needs 16 bytes",
        ),
        (one(huge), "more elements than can be addressed"),
        (
            one(
                "{\"dtype\":\"U8\",\"shape\":[18446744073709551615],\"data_offsets\":[0,18446744073709551615]}",
            ),
            "addressed",
        ),
        (file_bytes("[]", &[]), "object of tensors"),
        (file_bytes("{\"a\":", &[]), "header"),
        (file_bytes(&"[".repeat(100_000), &[]), "header"),
        (
            file_bytes(
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\
                  \"b\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[4,16]}}",
                &[0; 16],
            ),
            "overlaps",
        ),
        (
            file_bytes(
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\
                  \"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}",
                &[0; 16],
            ),
            "twice",
        ),
        (
            file_bytes(
                "{\"a\\nb\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]}}",
                &[0; 16],
            ),
            "a\\nb",
        ),
        (
            u64::MAX.to_le_bytes().to_vec(),
            "claims a header of 18446744073709551615 bytes",
        ),
    ] {
        let line = refusal(dir.path(), &bytes);
        assert!(line.contains(words), "'{words}' not in: {line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any damage is refused or harmless.
    #[test]
    fn mutated_headers(edits in prop::collection::vec((0usize..150, any::<u8>()), 1..6)) {
        let dir = folder();
        let mut bytes = two_tensors();
        for (at, byte) in edits {
            bytes[at] = byte;
        }
        let path = write(dir.path(), "a.safetensors", &bytes);
        if let Ok(file) = SafetensorsFile::open(&path) {
            for t in file.tensors() {
                prop_assert!(file.data_offset() + t.start + t.len <= bytes.len() as u64);
                let _ = file.read(&t.key);
            }
        }
    }
}
