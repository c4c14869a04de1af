//! The speed limits of this processor: multiply-adds in registers, and copies of memory.

use super::{Cpu, Tensor};
use crate::Result;
use crate::ops::ceiling::Ceilings;
use crate::ops::check_same_shape;
use crate::simd::{F32, Simd, SimdKernel};
use rayon::prelude::*;
use std::hint::black_box;

/// Multiply-adds of each register in a task, which take some milliseconds.
const ROUNDS: usize = 1 << 18;
/// Tasks per thread.
const TASKS: usize = 4;
/// Values that a task copies.
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

/// Kernel: multiply-adds in a register tile. Returns the number of floating-point operations.
struct MultiplyAdds;

impl SimdKernel for MultiplyAdds {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) -> u64 {
        let a = S::F32::splat(black_box(0.999));
        let b = S::F32::splat(black_box(0.001));
        // The sums start from different values, or the compiler could compute one for all.
        let mut sums = [[a; V]; R];
        for (r, row) in sums.iter_mut().enumerate() {
            for (v, sum) in row.iter_mut().enumerate() {
                *sum = S::F32::splat(black_box((r * V + v) as f32));
            }
        }
        for _ in 0..ROUNDS {
            // Loops are nested, as in the kernels; a flattened iterator would keep the sums in memory.
            for row in &mut sums {
                for sum in row {
                    *sum = sum.mul_add(a, b);
                }
            }
        }
        let mut seen = [0.0f32; 32];
        for sum in sums.into_iter().flatten() {
            sum.copy_to(&mut seen);
            black_box(seen);
        }
        (2 * ROUNDS * R * V * S::F32::LANES) as u64
    }
}
