//! The CPU backend at any scale: see `support::scale`.

use crate::support::scale::{self, integers, times};
use chanscope::cpu::Cpu;
use chanscope::device::{Device, DeviceChoice};
use chanscope::ops::Backend;
use chanscope::ops::net::NetOps;

fn cpu() -> Device {
    Device::open(&DeviceChoice::Cpu, 2).unwrap()
}

#[test]
fn graphs_and_channel_similarities() {
    scale::redundancy(&cpu());
}

#[test]
fn similarities_of_layers() {
    scale::layers(&cpu());
}

#[test]
fn filters() {
    scale::filters(&cpu());
}

#[test]
fn responses() {
    scale::responses(&cpu());
}

/// What cosines of shuffled maps come from: powers of four exactly.
#[test]
fn products_of_maps() {
    let cpu = Cpu::new(2).unwrap();
    let dots = |e: i32| {
        let x = times(&integers(2 * 3 * 70, 70, 3, 5), e);
        let y = times(&integers(4 * 3 * 70, 70, 3, 6), e);
        let x = cpu.upload(&[2, 3, 70], &x).unwrap();
        let y = cpu.upload(&[4, 3, 70], &y).unwrap();
        cpu.channel_dots(&x, &y).unwrap()
    };
    let want = dots(0);
    for e in [-140, -126, -64, 64, 115] {
        let unit = f64::from(2 * e).exp2();
        let scaled: Vec<f64> = want.iter().map(|v| v * unit).collect();
        assert_eq!(dots(e), scaled, "2^{e}");
    }
}
