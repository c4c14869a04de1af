//! float32 to float16, for the recorder of PyTorch's activations.

use half::f16;
use pyo3::prelude::*;

/// Writes `[rows, channels, area]` numbers at the address `values`, in C order, as float16 to the address `halves`. Returns the
/// largest magnitude of each channel, before rounding; NaN if one is NaN.
///
/// Tensors come as addresses, as in `regularizer`.
#[pyfunction]
pub fn narrow(
    py: Python<'_>,
    values: usize,
    halves: usize,
    rows: usize,
    channels: usize,
    area: usize,
) -> Vec<f32> {
    let count = rows * channels * area;
    // SAFETY: `chanscope/_record/encode.py` hands over a contiguous tensor of that many float32, and a buffer for as many
    // float16 that nobody else uses meanwhile; it keeps both alive.
    let (values, halves) = unsafe {
        (
            std::slice::from_raw_parts(values as *const f32, count),
            std::slice::from_raw_parts_mut(halves as *mut f16, count),
        )
    };
    py.detach(|| {
        let mut largest = vec![0.0_f32; channels];
        let maps = values.chunks_exact(area.max(1));
        for (i, (map, halves)) in maps.zip(halves.chunks_exact_mut(area.max(1))).enumerate() {
            let channel = &mut largest[i % channels];
            let found = chanscope::tensor::narrow(map, halves);
            // The bits of magnitudes are ordered as the magnitudes are, and NaN comes after infinity.
            if found.to_bits() > channel.to_bits() {
                *channel = found;
            }
        }
        largest
    })
}
