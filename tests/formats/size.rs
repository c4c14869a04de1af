//! Sizes as people write them.

use chanscope::Error;
use chanscope::io::size::{MIN_MEMORY, available_memory, format_size, memory_cap, parse_size};
use proptest::prelude::*;

#[test]
fn units_binary_and_decimal() {
    for (text, bytes) in [
        ("65536", 65536),
        ("512MiB", 512 << 20),
        ("512 mib", 512 << 20),
        ("4G", 4 << 30),
        ("4g", 4 << 30),
        ("1.5GB", 1_500_000_000),
        ("1.5GiB", 3 << 29),
        ("2k", 2048),
        ("2KB", 2000),
        ("1T", 1 << 40),
        ("1TB", 1_000_000_000_000),
        ("7b", 7),
        (" 64M ", 64 << 20),
    ] {
        assert_eq!(parse_size(text).expect(text), bytes, "{text}");
    }
    for text in [
        "",
        "G",
        "-1",
        "1.2.3G",
        "4X",
        "4GiBB",
        "1e9",
        "nan",
        "inf",
        "99999999999G",
        "9999999999.5G",
        "0x10",
        "\u{664}G",
    ] {
        assert!(
            matches!(parse_size(text), Err(Error::Argument { .. })),
            "{text}"
        );
    }
}

#[test]
fn printing() {
    for (bytes, text) in [
        (17, "17 bytes"),
        (1024, "1KiB"),
        (64 << 20, "64MiB"),
        (3 << 29, "1.5GiB"),
        (1_500_000_000, "1.4GiB"),
        (157_286_399, "150MiB"),
        (u64::MAX, "16777216TiB"),
    ] {
        assert_eq!(format_size(bytes), text);
    }
}

#[test]
fn the_cap_has_a_floor_and_a_default() {
    assert_eq!(memory_cap(Some("64MiB")).expect("enough"), MIN_MEMORY);
    let error = memory_cap(Some("1M")).expect_err("too small");
    let line = error.to_string();
    assert!(
        matches!(
            error,
            Error::Memory {
                needed: MIN_MEMORY,
                cap: 0x10_0000,
                ..
            }
        ),
        "{line}"
    );
    assert!(matches!(
        memory_cap(Some("many")),
        Err(Error::Argument { .. })
    ));
    assert!(memory_cap(None).expect("default") >= MIN_MEMORY);
    assert!(available_memory() > 0);
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        let _ = parse_size(&text);
    }

    #[test]
    fn what_is_printed_can_be_read(bytes in 1u64 << 10..1 << 50) {
        let read = parse_size(&format_size(bytes)).expect("readable");
        prop_assert!((read as f64 / bytes as f64 - 1.0).abs() < 0.06);
    }
}
