//! Sizes as people write them, and how much memory there is to use.

use crate::{Error, Result};

mod available;
pub use available::{available_disk, available_memory};

/// Smallest memory cap there is room to work in, bytes.
pub const MIN_MEMORY: u64 = 64 << 20;

/// Parses `512MiB`, `4G`, `1.5GB`, `65536`. Binary: `K`, `M`, `G`, `T`, alone or with `iB`; decimal: `KB`,
/// `MB`, `GB`, `TB`. Without a unit: bytes. Case does not matter.
///
/// # Errors
/// [`Error::Argument`] for anything else, and from 2^63 bytes on.
pub fn parse_size(text: &str) -> Result<u64> {
    let bad = || {
        Error::argument(
            "size",
            format!("'{}'", text.escape_debug()),
            "a number of bytes such as 512MiB, 4G or 1.5GB",
        )
    };
    let trimmed = text.trim();
    let digits = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(bad()),
    };
    let bytes = if number.contains('.') {
        let value = number.parse::<f64>().map_err(|_| bad())? * factor as f64;
        (value < 2f64.powi(63)).then_some(value as u64)
    } else {
        let value = number.parse::<u64>().map_err(|_| bad())?;
        value.checked_mul(factor).filter(|b| *b < 1 << 63)
    };
    bytes.ok_or_else(bad)
}

/// Prints bytes with three digits or so: `512MiB`, `1.5GiB`, `17 bytes`.
pub fn format_size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let Some((shift, unit)) = units.into_iter().find(|(shift, _)| bytes >> shift > 0) else {
        return format!("{bytes} bytes");
    };
    let value = bytes as f64 / (1u64 << shift) as f64;
    if bytes.is_multiple_of(1 << shift) || value >= 100.0 {
        format!("{value:.0}{unit}")
    } else {
        format!("{value:.1}{unit}")
    }
}

/// As [`format_size`], rounded up to a whole number of the unit: a cap that reads so is large enough.
pub fn format_size_up(bytes: u64) -> String {
    let shift = [30, 20, 10].into_iter().find(|shift| bytes >> shift >= 10);
    format_size(shift.map_or(bytes, |shift| bytes.div_ceil(1 << shift) << shift))
}

/// The memory cap: `option` when given, else half of what is available.
///
/// # Errors
/// [`Error::Argument`] for a size that cannot be read; [`Error::Memory`] below [`MIN_MEMORY`].
pub fn memory_cap(option: Option<&str>) -> Result<u64> {
    let Some(text) = option else {
        return Ok((available_memory() / 2).max(MIN_MEMORY));
    };
    let cap = parse_size(text)?;
    if cap < MIN_MEMORY {
        return Err(Error::Memory {
            what: "any work".into(),
            needed: MIN_MEMORY,
            cap,
        });
    }
    Ok(cap)
}
