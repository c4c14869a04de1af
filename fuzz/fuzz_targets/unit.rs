#![no_main]

#[allow(dead_code)]
#[path = "../../tests/fuzz/targets.rs"]
mod targets;
#[path = "../../tests/fuzz/unit.rs"]
mod unit;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unit::unit(bytes));
