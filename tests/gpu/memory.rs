use crate::{Devices, Test};
use chanscope::gpu::{Gpu, Options, adapters};
use chanscope::ops::Backend;

pub const TESTS: &[Test] = &[
    ("memory::tensors_come_back", tensors_come_back),
    ("memory::too_large_is_an_error", too_large_is_an_error),
    ("memory::embedder_device", embedder_device),
    ("memory::adapters_are_listed", adapters_are_listed),
];

fn tensors_come_back(devices: &Devices) {
    let gpu = devices.gpu();
    // Larger than one staging chunk, odd length.
    for len in [1usize, 3, 1000, (5 << 20) + 3] {
        let data: Vec<f32> = (0..len).map(|i| i as f32).collect();
        let tensor = gpu.upload(&[len], &data).unwrap();
        assert!(gpu.download(&tensor).unwrap() == data);
        drop(tensor);
        let zeros = gpu.zeros(&[len]).unwrap();
        assert!(gpu.download(&zeros).unwrap().iter().all(|&x| x == 0.0));
    }
    assert!(gpu.upload(&[2, 2], &[0.0; 3]).is_err());
}

fn too_large_is_an_error(devices: &Devices) {
    let small = devices.reopen(&Options {
        max_buffer_bytes: Some(1 << 20),
        ..Options::default()
    });
    assert_eq!(small.limits().max_block_bytes, 1 << 20);
    assert!(small.zeros(&[1 << 18]).is_ok());
    let error = |shape: &[usize]| small.zeros(shape).map(|_| ()).unwrap_err().to_string();
    let text = error(&[(1 << 18) + 1]);
    assert!(text.contains("smaller batches"), "{text}");
    let text = error(&[usize::MAX, 8]);
    assert!(
        text.contains("more elements than can be addressed"),
        "{text}"
    );
}

fn embedder_device(devices: &Devices) {
    let desc = wgpu::InstanceDescriptor::new_without_display_handle();
    let instance = wgpu::Instance::new(desc);
    let found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    let name = &devices.gpu().info().name;
    let Some(adapter) = found.iter().find(|a| &a.get_info().name == name) else {
        return;
    };
    // The smallest device an embedder might have: no features, default limits.
    let opened = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()));
    let (device, queue) = opened.unwrap();
    let gpu = Gpu::from_wgpu(device, queue, &Options::default()).unwrap();
    let tensor = gpu.upload(&[3], &[1.0, 2.0, 3.0]).unwrap();
    assert_eq!(gpu.download(&tensor).unwrap(), [1.0, 2.0, 3.0]);
}

fn adapters_are_listed(devices: &Devices) {
    let found = adapters();
    assert!(found.iter().any(|a| &a.info == devices.gpu().info()));
    let refused = Gpu::open(Some("no such adapter")).map(|_| ());
    let text = refused.unwrap_err().to_string();
    assert!(text.contains(&found[0].info.name), "{text}");
}
