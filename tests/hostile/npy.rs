//! Damaged and lying `.npy` files.

use crate::formats::{f32_bytes, folder, npy_bytes, npy_raw, write};
use chanscope::Error;
use chanscope::io::labels::read_labels;
use chanscope::io::npy;
use proptest::prelude::*;
use std::path::Path;

/// The line a file is refused with; it names the file and is one line.
fn refusal(dir: &Path, bytes: &[u8]) -> String {
    let path = write(dir, "bad.npy", bytes);
    let error = npy::open(&path, "bad")
        .err()
        .expect("a bad file was accepted");
    assert!(matches!(error, Error::File { .. }), "{error:?}");
    let line = error.to_string();
    assert!(
        line.starts_with(&path.display().to_string()) && !line.contains('\n'),
        "{line}"
    );
    line
}

fn sound() -> Vec<u8> {
    npy_bytes("<f4", "(2, 3, 1, 2)", &f32_bytes(&[0.5; 12]))
}

#[test]
fn truncated_at_every_byte() {
    let dir = folder();
    let bytes = sound();
    for len in 0..bytes.len() {
        let line = refusal(dir.path(), &bytes[..len]);
        assert!(
            line.contains(&format!("at byte {len}")) || len == 0 && line.contains("empty"),
            "{len}: {line}"
        );
    }
}

#[test]
fn trailing_bytes() {
    let dir = folder();
    let mut bytes = sound();
    let end = bytes.len();
    bytes.push(0);
    let line = refusal(dir.path(), &bytes);
    assert!(
        line.contains("1 trailing bytes") && line.contains(&end.to_string()),
        "{line}"
    );
}

#[test]
fn what_cannot_be_activations_is_named() {
    let dir = folder();
    let plain = |descr: &str| npy_bytes(descr, "(2, 1)", &[0; 32]);
    let dict = |text: &str| npy_raw(1, text, &[0; 8]);
    for (bytes, words) in [
        (plain("<c8"), "complex"),
        (plain("|O"), "Python objects"),
        (plain("<U3"), "is text"),
        (plain("|S4"), "is text"),
        (plain("|V8"), "number type"),
        (plain("<M8[ns]"), "number type"),
        (plain("<f16"), "width"),
        (plain("|f4"), "byte order"),
        (plain("f"), "width"),
        (plain(""), "not known"),
        (plain("<f3"), "width"),
        (npy_bytes("<i4", "(2, 1)", &[0; 8]), "int32"),
        (npy_bytes("<u8", "(2, 1)", &[0; 16]), "uint64"),
        (npy_bytes("|b1", "(2, 1)", &[0; 2]), "bool"),
        (
            dict(
                "{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (1,), }",
            ),
            "structured",
        ),
        (
            dict("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1), }"),
            "Fortran",
        ),
        (npy_bytes("<f4", "()", &[0; 4]), "0 dimensions"),
        (npy_bytes("<f4", "(2,)", &[0; 8]), "a.reshape(-1, 1)"),
        (npy_bytes("<f4", "(2,)", &[0; 8]), "labels.npy"),
        (
            npy_bytes("<f4", "(1, 2, 3, 1, 2)", &[0; 48]),
            "5 dimensions",
        ),
        (
            npy_bytes("<f4", "(1, 2, 3, 1, 2)", &[0; 48]),
            "a.reshape(1, 2, 3, 2)",
        ),
        (
            npy_bytes("<f4", "(1, 2, 1, 3, 2, 2)", &[0; 96]),
            "a.reshape(1, 2, 6, 2)",
        ),
        (npy_bytes("<U3", "(2, 1)", &[0; 24]), "return_inverse=True"),
        (npy_bytes("<f4", "(2, 0, 3, 3)", &[]), "dimension is zero"),
        (npy_bytes("<f4", "(0, 4)", &[]), "dimension is zero"),
        (
            npy_bytes("<f4", "(4294967296, 4294967296, 4294967296, 2)", &[]),
            "more elements than can be addressed",
        ),
        (
            npy_bytes("<f8", "(2305843009213693952, 1)", &[]),
            "more elements than can be addressed",
        ),
        (
            npy_bytes("<f4", "(99999999999999999999, 1)", &[]),
            "too large",
        ),
        (
            npy_bytes("<f4", "(1000000000, 1000000)", &[0; 8]),
            "truncated",
        ),
        (
            npy_bytes("<f4", "(-2, 1)", &[0; 8]),
            "dimension (0 or more)",
        ),
        (npy_bytes("<f4", "(2, 1", &[0; 8]), "or ) expected"),
        (
            dict("{'descr': '<f4', 'fortran_order': False, }"),
            "'shape' is missing",
        ),
        (
            dict("{'descr': '<f4', 'shape': (2, 1), }"),
            "'fortran_order' is missing",
        ),
        (
            dict("{'fortran_order': False, 'shape': (2, 1), }"),
            "'descr' is missing",
        ),
        (
            dict("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 1)}"),
            "twice",
        ),
        (
            dict("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), 'evil': 1}"),
            "unknown entry",
        ),
        (
            dict("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1)} __import__('os')"),
            "after the closing",
        ),
        (dict("[1, 2]"), "'{' expected"),
        (b"PK\x03\x04 an archive".to_vec(), "no .npy file"),
        (b"\x93NUMPY\x07\x00\x10\x00".to_vec(), "version 7"),
        (
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(),
            "header of 4294967295 bytes",
        ),
    ] {
        let line = refusal(dir.path(), &bytes);
        assert!(line.contains(words), "'{words}' not in: {line}");
    }
}

#[test]
fn labels_that_are_none() {
    let dir = folder();
    let i64s = |v: &[i64]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let f32s = |v: &[f32]| f32_bytes(v);
    for (bytes, words) in [
        (
            npy_bytes("<i8", "(3,)", &i64s(&[0, 1, 2])),
            "3 labels for 2 samples",
        ),
        (
            npy_bytes("<i8", "(1,)", &i64s(&[0])),
            "1 labels for 2 samples",
        ),
        (
            npy_bytes("<i8", "(2,)", &i64s(&[0, -1])),
            "element 1 (byte 136): label -1",
        ),
        (npy_bytes("<i8", "(2,)", &i64s(&[i64::MAX, 0])), "element 0"),
        (
            npy_bytes("<f4", "(2,)", &f32s(&[0.0, 0.5])),
            "element 1 (byte 132): label 0.5",
        ),
        (
            npy_bytes("<f4", "(2,)", &f32s(&[f32::NAN, 0.0])),
            "element 0 (byte 128): label NaN",
        ),
        (
            npy_bytes("<f4", "(2,)", &f32s(&[0.0, f32::INFINITY])),
            "label inf",
        ),
        (npy_bytes("<f4", "(2, 2)", &f32s(&[0.0; 4])), "argmax"),
        (
            npy_bytes("<f4", "(2, 1, 1)", &f32s(&[0.0; 2])),
            "3 dimensions",
        ),
    ] {
        let path = write(dir.path(), "labels.npy", &bytes);
        let line = read_labels(&path, 2)
            .expect_err("bad labels were accepted")
            .to_string();
        assert!(
            line.starts_with(&path.display().to_string()) && line.contains(words),
            "'{words}' not in: {line}"
        );
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read() {
    let dir = folder();
    let path = write(dir.path(), "a.npy", &sound());
    let layer = npy::open(&path, "a").expect("open");
    let full = std::fs::metadata(&path).expect("size").len();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("open");
    file.set_len(full - 8).expect("shorten");
    let mut out = [0f32; 12];
    let line = layer
        .read_rows(0..2, &[0, 1, 2], &mut out)
        .expect_err("short read")
        .to_string();
    assert!(
        line.contains(&format!("ends at byte {}", full - 8)),
        "{line}"
    );
    layer
        .read_rows(0..1, &[0, 1, 2], &mut out[..6])
        .expect("the first sample is still there");
}

#[cfg(unix)]
#[test]
fn folders_and_pipes_are_no_arrays() {
    let dir = folder();
    let line = npy::open(dir.path(), "a")
        .err()
        .expect("refused")
        .to_string();
    assert!(line.contains("is a folder"), "{line}");
    let line = npy::open("/dev/null", "a")
        .err()
        .expect("refused")
        .to_string();
    assert!(line.contains("pipe or device"), "{line}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any damage to the header is refused or harmless, and never a panic.
    #[test]
    fn mutated_headers(
        edits in prop::collection::vec((0usize..90, any::<u8>()), 1..6),
        drop in 0usize..3,
    ) {
        let dir = folder();
        let mut bytes = sound();
        for (at, byte) in edits {
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - drop);
        let path = write(dir.path(), "a.npy", &bytes);
        if let Ok(layer) = npy::open(&path, "a") {
            let s = layer.shape();
            prop_assert!(s.len() <= bytes.len());
            let channels: Vec<usize> = (0..s.channels).collect();
            let mut out = vec![0f32; s.len()];
            layer.read_rows(0..s.samples, &channels, &mut out).expect("an accepted file reads");
        }
    }

    /// Any text as the dictionary.
    #[test]
    fn any_dictionary(text in "[{}()\\[\\]',:<>|a-zFT0-9 ]{0,80}", version in 1u8..4) {
        let dir = folder();
        let path = write(dir.path(), "a.npy", &npy_raw(version, &text, &[0; 16]));
        let _ = npy::open(&path, "a");
    }
}
