//! Arrays of float64, appended one after another: in memory up to a budget, beyond it in a temporary file.

use super::spill_error;
use crate::io::fs::{read_exact_at, temporary, write_all_at};
use crate::{Error, Result};
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;

/// Numbers that are written once, in order, and read in any order.
#[derive(Debug)]
pub struct FloatStore {
    budget: u64,
    folder: PathBuf,
    /// Numbers put so far.
    len: u64,
    memory: Vec<f64>,
    /// Holds what came after the budget was used up.
    file: Option<File>,
}

impl FloatStore {
    /// An empty store that keeps at most `budget` bytes in memory. What exceeds them goes to an unnamed
    /// temporary file in `folder`, which is only made when it is needed.
    pub fn new(budget: u64, folder: impl Into<PathBuf>) -> Self {
        Self {
            budget,
            folder: folder.into(),
            len: 0,
            memory: Vec::new(),
            file: None,
        }
    }

    /// Whether a part lies in a file.
    pub fn is_spilled(&self) -> bool {
        self.file.is_some()
    }

    /// Appends `values`; returns their place, for [`FloatStore::get`].
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Spill`] where the temporary file cannot be made or written.
    pub fn put(&mut self, values: &[f64]) -> Result<Range<u64>> {
        let place = self.len..self.len + values.len() as u64;
        if self.file.is_none() && place.end * 8 <= self.budget {
            self.memory.extend_from_slice(values);
        } else {
            if self.file.is_none() {
                let file = temporary(&self.folder).map_err(|e| {
                    spill_error(&self.folder, "make a temporary file for matrices in", e)
                })?;
                self.file = Some(file);
            }
            if let Some(file) = &self.file {
                let at = 8 * (place.start - self.memory.len() as u64);
                write_all_at(file, bytemuck::cast_slice(values), at).map_err(|e| {
                    spill_error(&self.folder, "write matrices to a temporary file in", e)
                })?;
            }
        }
        self.len = place.end;
        Ok(place)
    }

    /// Reads what lies at `place`, a range that [`FloatStore::put`] returned.
    ///
    /// # Errors
    /// [`Error::Io`] where the temporary file cannot be read.
    pub fn get(&self, place: Range<u64>) -> Result<Vec<f64>> {
        let count = (place.end - place.start) as usize;
        let kept = self.memory.len() as u64;
        match &self.file {
            Some(file) if place.start >= kept => {
                let mut values = vec![0.0; count];
                read_exact_at(
                    file,
                    bytemuck::cast_slice_mut(&mut values),
                    8 * (place.start - kept),
                )
                .map_err(|e| {
                    let action = "read matrices from a temporary file in";
                    Error::io(&self.folder, action, e)
                })?;
                Ok(values)
            }
            _ => Ok(self.memory[place.start as usize..][..count].to_vec()),
        }
    }
}
