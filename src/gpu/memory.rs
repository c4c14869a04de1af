//! Device memory: a pool of buffers, and the sizes of tiles.

use super::calls::{Call, Failure};
use super::guard::Guard;
use super::wait::{self, Submission};
use crate::Result;
use crate::error::DeviceProblem;
use std::sync::{Arc, Mutex, PoisonError};

/// Use of a pooled buffer, which never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Kernel data.
    Storage,
    /// Kernel parameters.
    Params,
    /// Copied to and mapped by the host.
    Readback,
    /// Timestamps of kernels.
    Times,
    /// Mapped by the host and copied from.
    Upload,
}

impl Kind {
    const fn usage(self) -> wgpu::BufferUsages {
        match self {
            Self::Storage => wgpu::BufferUsages::STORAGE
                .union(wgpu::BufferUsages::COPY_SRC)
                .union(wgpu::BufferUsages::COPY_DST),
            Self::Params => wgpu::BufferUsages::UNIFORM.union(wgpu::BufferUsages::COPY_DST),
            Self::Readback => wgpu::BufferUsages::MAP_READ.union(wgpu::BufferUsages::COPY_DST),
            Self::Upload => wgpu::BufferUsages::MAP_WRITE.union(wgpu::BufferUsages::COPY_SRC),
            Self::Times => wgpu::BufferUsages::QUERY_RESOLVE.union(wgpu::BufferUsages::COPY_SRC),
        }
    }
}

/// Bytes of free buffers that are kept for reuse, which is negligible beside any memory cap. Cards keep the buffers of a
/// whole pass of the search and of the solver, as allocating takes longer than such a pass.
const KEEP: u64 = 64 << 20;
const KEEP_ON_CARD: u64 = 512 << 20;

/// Rounds a size up by at most 1/8, so that buffers of similar sizes can replace each other.
pub(super) fn size_class(bytes: u64) -> u64 {
    let bytes = bytes.max(256);
    let step = (1 << (63 - bytes.leading_zeros())) / 8;
    bytes.next_multiple_of(step).next_multiple_of(256)
}

/// Rows per pass: as many as fit in `budget` bytes, but at least one and at most all.
pub(super) fn tile(rows: usize, bytes_per_row: u64, budget: u64) -> usize {
    let fit = usize::try_from(budget / bytes_per_row.max(1)).unwrap_or(usize::MAX);
    fit.clamp(1, rows.max(1))
}

/// The same in passes of equal size. Where there are several, none is below half of what fits.
pub(super) fn share(rows: usize, bytes_per_row: u64, budget: u64) -> usize {
    let passes = rows.div_ceil(tile(rows, bytes_per_row, budget));
    rows.div_ceil(passes.max(1)).max(1)
}

/// Buffers for reuse.
pub(super) struct Pool {
    guard: Arc<Guard>,
    largest: u64,
    keep: u64,
    free: Mutex<Vec<(Kind, wgpu::Buffer)>>,
}

impl Pool {
    pub(super) fn new(guard: Arc<Guard>, shares_host_memory: bool) -> Self {
        Self {
            keep: if shares_host_memory {
                KEEP
            } else {
                KEEP_ON_CARD
            },
            largest: guard.device.limits().max_buffer_size & !255,
            guard,
            free: Mutex::default(),
        }
    }

    /// A buffer of at least `bytes` bytes, whose content is undefined.
    pub(super) fn get(self: &Arc<Self>, kind: Kind, bytes: u64) -> Result<Buffer> {
        self.try_get(kind, bytes)?.ok_or_else(|| {
            self.guard.fail(DeviceProblem::OutOfMemory {
                what: "a buffer".into(),
                bytes: Some(bytes),
            })
        })
    }

    /// The same, or `None` if the device is out of memory, so that the caller can try a smaller one.
    pub(super) fn try_get(self: &Arc<Self>, kind: Kind, bytes: u64) -> Result<Option<Buffer>> {
        if let Some(inner) = self.reuse(kind, bytes) {
            return Ok(Some(self.wrap(kind, bytes, inner)));
        }
        if let Some(inner) = self.create(kind, bytes) {
            return Ok(Some(self.wrap(kind, bytes, inner)));
        }
        // The free buffers may occupy the memory that is missing.
        self.clear();
        self.guard.wait(None)?;
        let created = self.create(kind, bytes);
        Ok(created.map(|b| self.wrap(kind, bytes, b)))
    }

    /// Scratch for `rows` rows, or, while the device is out of memory, for half as many, again and
    /// again.
    pub(super) fn get_tile(
        self: &Arc<Self>,
        mut rows: usize,
        bytes_per_row: u64,
    ) -> Result<(usize, Buffer)> {
        loop {
            let bytes = rows as u64 * bytes_per_row;
            match self.try_get(Kind::Storage, bytes)? {
                Some(buffer) => return Ok((rows, buffer)),
                None if rows > 1 => rows = rows.div_ceil(2),
                None => return self.get(Kind::Storage, bytes).map(|b| (rows, b)),
            }
        }
    }

    /// Frees all buffers that are not in use.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Kind, wgpu::Buffer)>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrap(self: &Arc<Self>, kind: Kind, bytes: u64, inner: wgpu::Buffer) -> Buffer {
        Buffer {
            bytes: bytes.max(16).next_multiple_of(16),
            inner: Some(inner),
            kind,
            pool: Arc::clone(self),
        }
    }

    fn reuse(&self, kind: Kind, bytes: u64) -> Option<wgpu::Buffer> {
        let mut free = self.lock();
        let most = size_class(bytes) + size_class(bytes) / 4;
        let best = free
            .iter()
            .enumerate()
            .filter(|(_, (k, b))| *k == kind && (bytes..=most).contains(&b.size()))
            .min_by_key(|(_, (_, b))| b.size())?
            .0;
        Some(free.swap_remove(best).1)
    }

    /// Allocates a buffer; `None` if the device is out of memory.
    fn create(&self, kind: Kind, bytes: u64) -> Option<wgpu::Buffer> {
        let size = size_class(bytes).min(self.largest).max(bytes);
        if self.guard.meet(Call::Allocate, size) == Some(Failure::OutOfMemory) {
            return None;
        }
        let device = &self.guard.device;
        let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: kind.usage(),
            mapped_at_creation: false,
        });
        match wait::block_on(scope.pop()) {
            None => Some(buffer),
            Some(_) => None,
        }
    }

    fn give_back(&self, kind: Kind, buffer: wgpu::Buffer) {
        let mut free = self.lock();
        free.push((kind, buffer));
        let mut kept: u64 = free.iter().map(|(_, b)| b.size()).sum();
        // The oldest ones are freed first, because they are the least likely to be needed again.
        while kept > self.keep && !free.is_empty() {
            kept -= free.remove(0).1.size();
        }
    }
}

/// A pooled buffer, which returns to its pool when it is dropped. The queue runs in order, so the work
/// of the next owner starts after that of this one.
pub(super) struct Buffer {
    inner: Option<wgpu::Buffer>,
    bytes: u64,
    kind: Kind,
    pool: Arc<Pool>,
}

impl Buffer {
    /// A binding of the size that was asked for; the buffer itself may be larger.
    pub(super) fn whole(&self) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding {
            buffer: self,
            offset: 0,
            size: wgpu::BufferSize::new(self.bytes),
        }
    }
}

impl std::ops::Deref for Buffer {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        match &self.inner {
            Some(buffer) => buffer,
            None => unreachable!("taken only by drop"),
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(buffer) = self.inner.take() {
            self.pool.give_back(self.kind, buffer);
        }
    }
}

/// A buffer that copies from the host go through.
pub(super) struct Stage {
    pub(super) buffer: Buffer,
    /// The last submission that copies from it.
    pub(super) used: Submission,
}

/// Bytes of such a buffer, and how many there are.
pub(super) const STAGE: usize = 8 << 20;
const STAGES: usize = 3;

/// The stages of a device, the one that was used last at the end.
#[derive(Default)]
pub(super) struct Stages(Mutex<Vec<Stage>>);

impl Stages {
    /// The stage that was used before all others; `None` while there are too few.
    pub(super) fn take(&self) -> Option<Stage> {
        let mut stages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (stages.len() >= STAGES).then(|| stages.remove(0))
    }

    pub(super) fn put(&self, stage: Stage) {
        let mut stages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stages.push(stage);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_waste_little() {
        for bytes in [
            1,
            255,
            256,
            257,
            4096,
            5000,
            1 << 20,
            (1 << 27) - 1,
            (1 << 31) - 65536,
        ] {
            let class = size_class(bytes);
            assert!(
                class >= bytes && class.is_multiple_of(256) && class <= bytes + bytes / 8 + 512
            );
        }
    }

    #[test]
    fn tiles_fit_and_advance() {
        assert_eq!(tile(100, 10, 1000), 100);
        assert_eq!(tile(100, 10, 95), 9);
        assert_eq!(tile(100, 10, 5), 1);
        assert_eq!(tile(0, 10, 5), 1);
    }

    #[test]
    fn shares_are_equal_and_not_below_half() {
        assert_eq!(share(0, 10, 5), 1);
        assert_eq!(share(100, 10, 1000), 100);
        assert_eq!(share(101, 10, 1000), 51);
        for rows in 1..500 {
            for fit in 1..50 {
                let share = share(rows, 1, fit);
                assert!(share as u64 <= fit);
                assert!(share == rows || 2 * share as u64 > fit, "{rows} {fit}");
            }
        }
    }
}
