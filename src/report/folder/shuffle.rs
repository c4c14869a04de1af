//! Shuffling: arrays of every tensor, and its entry in the results.

use super::ResultsFolder;
use crate::Result;
use crate::measure::shuffle as measure;
use crate::report::results::{Observed, Shuffle, ShuffleTensor, finite};

impl ResultsFolder {
    /// Writes what [`crate::measure::shuffle()`] found of a tensor under `shuffle/TENSOR/`:
    /// `OBSERVED.cosine.npy` f64 `[K, M]` for every value observed, `accuracy.npy` f64 `[K]` with labels. Adds
    /// the tensor to `shuffle.tensors`.
    ///
    /// # Errors
    /// As [`crate::io::sink::Output::array`].
    pub fn shuffle(&self, found: &measure::Shuffle) -> Result<()> {
        let name = &found.name;
        let mut observed = vec![];
        for tap in &found.observed {
            let shuffled = tap.cosine.len() / tap.channels;
            let file = format!("shuffle/{name}/{}.cosine.npy", tap.name);
            self.output
                .array(&file, &[shuffled, tap.channels], &tap.cosine)?;
            observed.push(Observed {
                name: tap.name.clone(),
                cosine_mean: (tap.cosine.chunks(tap.channels))
                    .map(|row| finite(row.iter().sum::<f64>() / row.len() as f64))
                    .collect(),
            });
        }
        if let Some(accuracy) = &found.accuracy {
            let file = format!("shuffle/{name}/accuracy.npy");
            self.output.array(&file, &[accuracy.len()], accuracy)?;
        }
        let mut record = self.record();
        let section = &mut record.results.shuffle;
        let section = section.get_or_insert_with(Shuffle::default);
        section.tensors.push(ShuffleTensor {
            name: name.clone(),
            mode: found.mode.name().into(),
            baseline_accuracy: found.baseline_accuracy,
            accuracy: (found.accuracy.as_ref()).map(|a| a.iter().map(|&v| finite(v)).collect()),
            observed,
            short_batch: found.short_batch.map(|n| n as u64),
        });
        Ok(())
    }
}
