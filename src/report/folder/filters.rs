//! Convolutional Similarity: arrays of every layer, and its entry in the results.

use super::ResultsFolder;
use crate::Result;
use crate::measure::filters::{self as measure, FilterBank, Minimized};
use crate::report::results::{FilterLayer, Filters, finite, finite_all};

/// Filters up to which the command line computes the matrices of all pairs without being asked to.
pub const MATRICES_UP_TO: usize = 1024;
/// Weights up to which a layer is kept for the report's pictures.
const PICTURED_UP_TO: usize = 1 << 20;

/// Whether the report shows a layer's filters: as pictures they need more than one pixel.
fn pictured(bank: &FilterBank<'_>) -> bool {
    bank.shape.area() > 1 && bank.weights.len() <= PICTURED_UP_TO
}

impl ResultsFolder {
    /// Writes what [`crate::measure::filters()`] found of a layer under `filters/NAME/`, as far as it was
    /// computed: `pairs.npy` and `cosine.npy` f64 `[M, M]`, `gradient.npy` f32 `[M, C, h, w]`; and
    /// `weights.npy` f32 for the report's pictures, of layers that are not too large for them. Adds the layer
    /// to `filters.layers`, with the history of a minimisation.
    ///
    /// # Errors
    /// As [`crate::io::sink::Output::array`].
    pub fn filters(
        &self,
        bank: &FilterBank<'_>,
        found: &measure::Filters,
        minimized: Option<&Minimized>,
    ) -> Result<()> {
        let s = bank.shape;
        let (m, shape) = (s.filters, [s.filters, s.channels, s.height, s.width]);
        let file = |array: &str| format!("filters/{}/{array}.npy", bank.name);
        for (name, matrix) in [("pairs", &found.pairs), ("cosine", &found.cosine)] {
            if let Some(matrix) = matrix.as_ref().and_then(|m| m.as_slice()) {
                self.output.array(&file(name), &[m, m], matrix)?;
            }
        }
        if let Some(gradient) = &found.gradient {
            self.output.array(&file("gradient"), &shape, gradient)?;
        }
        if pictured(bank) {
            self.output.array(&file("weights"), &shape, bank.weights)?;
        }
        let mut record = self.record();
        let section = &mut record.results.filters;
        let section = section.get_or_insert_with(Filters::default);
        section.layers.push(FilterLayer {
            name: bank.name.to_string(),
            shape: shape.map(|d| d as u64).to_vec(),
            value: finite(found.value),
            value_adjacent: finite(found.value_adjacent),
            normalized_mean: found.normalized_mean,
            filter_cosine_mean: found.cosine_mean,
            zero_filters: found.zero_filters.iter().map(|&i| i as u64).collect(),
            history: minimized.map(|m| finite_all(&m.history)),
        });
        Ok(())
    }
}
