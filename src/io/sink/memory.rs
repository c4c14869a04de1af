//! Outputs that are kept in memory, for programs that want arrays and no files.

use crate::io::fs::temporary_folder;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An array of an output that is kept in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldArray {
    /// Its name in the output, with `/` between folders: `layers/conv1/jaccard.npy`.
    pub name: String,
    /// NumPy's kind and width: `f8`.
    pub kind: &'static str,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values in C order and in the byte order of this machine.
    pub bytes: Vec<u8>,
}

/// What an output in memory consists of.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    arrays: Arc<Mutex<Vec<HeldArray>>>,
    pub(super) scratch: PathBuf,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            arrays: Arc::default(),
            scratch: temporary_folder(),
        }
    }

    /// Room for an array that is filled block by block; `None` where there is not enough memory.
    pub(super) fn begin(
        &self,
        name: &str,
        kind: &'static str,
        shape: &[usize],
        bytes: usize,
    ) -> Option<Unfinished> {
        let mut room = Vec::new();
        room.try_reserve_exact(bytes).ok()?;
        room.resize(bytes, 0);
        let array = HeldArray {
            name: name.to_string(),
            kind,
            shape: shape.to_vec(),
            bytes: room,
        };
        Some(Unfinished {
            array: Mutex::new(array),
            into: self.clone(),
        })
    }

    pub(super) fn keep(&self, array: HeldArray) {
        self.lock().push(array);
    }

    /// The arrays, in the order in which they were finished.
    pub(super) fn take(&self) -> Vec<HeldArray> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<HeldArray>> {
        self.arrays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An array in the making.
#[derive(Debug)]
pub(super) struct Unfinished {
    array: Mutex<HeldArray>,
    into: Memory,
}

impl Unfinished {
    /// Copies `bytes` to byte `at` on; the caller has checked that they fit.
    pub(super) fn write(&self, bytes: &[u8], at: usize) {
        let array = self.array.lock();
        let mut array = array.unwrap_or_else(PoisonError::into_inner);
        array.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn finish(self) {
        let array = self.array.into_inner();
        self.into
            .keep(array.unwrap_or_else(PoisonError::into_inner));
    }
}
