//! Copies from the host.
//!
//! wgpu allocates memory for every copy, and the system zeroes the pages of fresh memory, which takes longer than the copy.
//! So large arrays go through a few buffers that are used again and again: while the device copies from one, the host
//! fills the next.

use super::calls::Call;
use super::context::Context;
use super::memory::{Kind, STAGE, Stage};
use super::wait::{self, Submission};
use crate::Result;
use crate::error::DeviceProblem;
use rayon::prelude::*;

/// Smaller arrays are left to wgpu, which copies them with the next submission.
const SMALL: usize = 4 << 20;
/// Bytes that one thread copies at a time.
const PART: usize = 1 << 20;

impl Context {
    /// Copies `data` to the start of `buffer`.
    pub(super) fn write<T: bytemuck::Pod>(&self, buffer: &wgpu::Buffer, data: &[T]) -> Result<()> {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        // In a browser every copy goes through memory of the browser's.
        if bytes.len() < SMALL || cfg!(target_family = "wasm") {
            for (i, part) in bytes.chunks(STAGE).enumerate() {
                self.copy_in(buffer, (i * STAGE) as u64, part);
            }
            return Ok(());
        }
        for (i, part) in bytes.chunks(STAGE).enumerate() {
            self.guard.meet(Call::Write, part.len() as u64);
            #[cfg(feature = "internals")]
            self.tally.add_uploaded(part.len());
            let (stage, used) = match self.stages.take() {
                Some(Stage { buffer, used }) => (buffer, Some(used)),
                None => (self.pool.get(Kind::Upload, STAGE as u64)?, None),
            };
            let filled = self.fill(&stage, used, part);
            if filled.is_err() {
                // It goes back to the pool, which must not hold one that is mapped.
                stage.unmap();
            }
            filled?;
            let mut encoder = self.device.create_command_encoder(&Default::default());
            let (at, len) = ((i * STAGE) as u64, part.len() as u64);
            encoder.copy_buffer_to_buffer(&stage, 0, buffer, at, len);
            let used = self.submit(Some(encoder.finish()))?;
            let buffer = stage;
            self.stages.put(Stage { buffer, used });
        }
        Ok(())
    }

    /// Writes bytes to the start of a buffer, as soon as the device has copied from it.
    fn fill(&self, stage: &wgpu::Buffer, used: Option<Submission>, bytes: &[u8]) -> Result<()> {
        let end = bytes.len() as u64;
        let (sender, receiver) = std::sync::mpsc::channel();
        stage.map_async(wgpu::MapMode::Write, 0..end, move |result| {
            let _ = sender.send(result);
            wait::wake();
        });
        self.wait(used)?;
        if !matches!(wait::received(&receiver), Some(Ok(()))) {
            return Err(self.fail(DeviceProblem::NoAnswer {
                reason: "memory for a copy cannot be written".into(),
            }));
        }
        // A view for each part, so that all cores copy.
        let parts = (0..bytes.len()).step_by(PART);
        let range = |at: usize| at as u64..bytes.len().min(at + PART) as u64;
        let views = parts.map(|at| stage.get_mapped_range_mut(range(at)));
        let views: std::result::Result<Vec<_>, _> = views.collect();
        let mut views = views.map_err(|e| self.failed("copying to the device", e))?;
        let work = views.par_iter_mut().zip(bytes.par_chunks(PART));
        work.for_each(|(view, part)| view.copy_from_slice(part));
        drop(views);
        stage.unmap();
        Ok(())
    }
}
