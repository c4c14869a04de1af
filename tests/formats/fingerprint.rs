//! What identifies an input.

use super::{f32_bytes, folder, npy_bytes, write};
use chanscope::io::fingerprint::fingerprint;
use std::io::{Seek, SeekFrom, Write};

/// The definition, on the bytes of a small file: all of it is hashed.
fn small(bytes: &[u8], header: u64) -> String {
    let mut all = b"chanscope/1".to_vec();
    all.extend((bytes.len() as u64).to_le_bytes());
    all.extend(header.to_le_bytes());
    all.extend(bytes);
    format!("blake3:{}", blake3::hash(&all).to_hex())
}

#[test]
fn small_files_are_hashed_whole() {
    let dir = folder();
    let bytes = npy_bytes("<f4", "(2, 2)", &f32_bytes(&[1.0, 2.0, 3.0, 4.0]));
    let header = bytes.len() as u64 - 16;
    let path = write(dir.path(), "a.npy", &bytes);
    assert_eq!(
        fingerprint(&path).expect("fingerprint"),
        small(&bytes, header)
    );
    let model = write(dir.path(), "a.onnx", b"model");
    assert_eq!(
        fingerprint(&model).expect("fingerprint"),
        small(b"model", 0)
    );
    assert_eq!(
        fingerprint(write(dir.path(), "b", b"")).expect("fingerprint"),
        small(b"", 0)
    );
    assert!(fingerprint(write(dir.path(), "c.npy", b"model")).is_err());
}

#[test]
fn large_files_are_sampled_from_end_to_end() {
    let dir = folder();
    let (header, data) = (128u64, 100u64 << 20);
    let shape = format!("({}, 1024)", data / 4096);
    let path = write(dir.path(), "a.npy", &npy_bytes("<f4", &shape, &[]));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("open");
    // A sparse file: no disk is used.
    file.set_len(header + data).expect("extend");
    let mut poke = |at: u64, byte: u8| {
        file.seek(SeekFrom::Start(header + at)).expect("seek");
        file.write_all(&[byte]).expect("write");
        fingerprint(&path).expect("fingerprint")
    };
    let plain = poke(0, 0);
    // Block 1 of 64 starts at 99/63 MiB.
    let start = (99u64 << 20) / 63;
    for (at, seen) in [
        (0, true),
        (data - 1, true),
        (start, true),
        (start - 1, false),
        (start + (1 << 20), false),
    ] {
        assert_eq!(poke(at, 1) != plain, seen, "byte {at}");
        assert_eq!(poke(at, 0), plain);
    }
}
