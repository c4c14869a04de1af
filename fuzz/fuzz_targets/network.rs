#![no_main]

#[allow(dead_code)]
mod support {
    #[path = "../../../tests/support/model.rs"]
    pub mod model;
}
#[path = "../../tests/fuzz/network.rs"]
mod network;
#[allow(dead_code)]
#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| network::network(bytes));
