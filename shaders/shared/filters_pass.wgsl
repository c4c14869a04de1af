// What all kernels of Convolutional Similarity share. k [M, C, h, w] are the filters.
#import workgroup
#import wide

struct FilterPass {
    filters: u32,
    channels: u32,
    height: u32,
    width: u32,
    // Input channels of this pass.
    channel_first: u32,
    channel_count: u32,
    // 1: a filter is compared with the next and the previous one only. 0: with all others.
    adjacent: u32,
    // 1: the gradient is wanted as well as the value.
    gradient: u32,
    // Summed input channels only. Filters of this pass, and partners of each: all filters, or two.
    row_first: u32,
    row_count: u32,
    partners: u32,
    // Summed input channels only. Which partners of a filter count: one of the PARTNERS_* constants.
    which: u32,
    // First workgroup of this dispatch.
    first: u32,
    // Threads of all dispatches, or workgroups where a workgroup computes one block.
    len: u32,
    // Always 0; see `wide_init`.
    zero: u32,
}

@group(0) @binding(0) var<uniform> params: FilterPass;
