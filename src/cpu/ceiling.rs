//! Multiply-adds in registers, and a copy.

use super::simd::{Simd, SimdOp};
use super::{Cpu, Tensor};
use crate::Result;
use crate::ops::ceiling::Ceilings;
use crate::ops::check_same_shape;
use rayon::prelude::*;
use std::hint::black_box;

/// Multiply-adds of each register of a task: some milliseconds.
const ROUNDS: usize = 1 << 18;
/// Tasks per thread.
const TASKS: usize = 4;
/// Numbers that a task copies.
const CHUNK: usize = 1 << 18;

impl Ceilings for Cpu {
    fn arithmetic(&self) -> Result<u64> {
        let set = self.set;
        Ok(self.pool.install(|| {
            let tasks = 0..TASKS * rayon::current_num_threads();
            tasks.into_par_iter().map(|_| set.run(MultiplyAdds)).sum()
        }))
    }

    fn copy(&self, from: &Tensor, to: &mut Tensor) -> Result<()> {
        check_same_shape(from.shape(), to.shape())?;
        self.pool.install(|| {
            let chunks = to.data_mut().par_chunks_mut(CHUNK);
            let pairs = chunks.zip(from.data().par_chunks(CHUNK));
            pairs.for_each(|(to, from)| to.copy_from_slice(from));
        });
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}

struct MultiplyAdds;

impl SimdOp for MultiplyAdds {
    type Output = u64;

    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize, const V: usize>(self) -> u64 {
        // SAFETY: the processor has `S`, by the caller's contract; the array has room for any vector.
        unsafe {
            let (a, b) = (S::splat(black_box(0.999)), S::splat(black_box(0.001)));
            // Different starts, or one chain would do for all.
            let mut sums = [[a; V]; R];
            for (r, row) in sums.iter_mut().enumerate() {
                for (v, sum) in row.iter_mut().enumerate() {
                    *sum = S::splat(black_box((r * V + v) as f32));
                }
            }
            for _ in 0..ROUNDS {
                // Nested, as in the kernels: a flattened iterator keeps the sums in memory.
                for row in &mut sums {
                    for sum in row {
                        *sum = S::mul_add(*sum, a, b);
                    }
                }
            }
            let mut seen = [0.0f32; 32];
            for sum in sums.into_iter().flatten() {
                S::store(seen.as_mut_ptr(), sum);
                black_box(seen);
            }
        }
        (2 * ROUNDS * R * V * S::LANES) as u64
    }
}
