// Parameters of the kernels that measure a device's ceilings.
struct CeilingParams {
    // Vectors that the kernel may write.
    len: u32,
    // First workgroup of this dispatch.
    first: u32,
    // Iterations of the measured loop.
    rounds: u32,
    // Factor and summand of each multiply-add; the host passes them so that no compiler folds the loop.
    a: f32,
    b: f32,
}

@group(0) @binding(0) var<uniform> params: CeilingParams;
