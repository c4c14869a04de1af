//! Ablation on the GPU finds what it finds on the CPU.

#[allow(dead_code)]
#[path = "../ablate/network.rs"]
mod network;

use crate::{Devices, Test};
use chanscope::cpu::Cpu;
use chanscope::device::Device;
use chanscope::gpu::Options;
use chanscope::measure::ablate::{Ablation, Criterion, Dropped};
use chanscope::measure::{AblateInput, AblateOptions, Context, ablate};
use network::{CLASSES, Network, images, layer};

pub const TESTS: &[Test] = &[("ablate::as_on_the_cpu", as_on_the_cpu)];

/// Samples.
const N: usize = 70;

fn as_on_the_cpu(devices: &Devices) {
    let network = Network::new(21);
    let (shape, values) = images(N, 22);
    let labels: Vec<u32> = (values.chunks(values.len() / N).enumerate())
        .map(|(i, image)| {
            let scores = network.scores(image, &|_, _| {});
            let best = (0..CLASSES).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
            ((best.unwrap() + usize::from(i % 4 == 0)) % CLASSES) as u32
        })
        .collect();
    let gpu = devices.reopen(&Options::default());
    let devices = [
        Device::Cpu(Cpu::new(1).unwrap()),
        Device::Gpu(Box::new(gpu)),
    ];
    for dropped in [Dropped::Zero, Dropped::Mean, Dropped::Merge] {
        let rankings = vec![Criterion::L1, Criterion::Mean, Criterion::Random];
        let options = AblateOptions::default()
            .with_keep(vec![0.7, 0.3])
            .with_calibration(Some(20))
            .with_rankings(rankings)
            .with_dropped(dropped);
        let run = |device: &Device, memory: u64| -> Ablation {
            let graph = network.graph();
            let data = layer(shape, &values);
            let layers = graph.layers();
            let input = AblateInput::new(&graph, &data, &labels, &layers);
            ablate(&Context::new(device).with_memory(memory), &input, &options).unwrap()
        };
        let expected = run(&devices[0], 1 << 30);
        assert!(expected.layers[0].curves[0].points[1].change != 0.0);
        for memory in [1 << 30, 8 << 20] {
            assert_eq!(run(&devices[1], memory), expected, "{}", dropped.name());
        }
    }
}
