//! The supports of a run's channels, which other runs are compared with.

use crate::Result;
use crate::io::sink::Output;
use crate::io::supports::write_supports;
use crate::measure::redundancy::{LayerSupports, SupportSink};

/// Writes the supports of every layer under `layers/NAME/`: `support_sizes.npy` and `supports.npy`
/// ([`crate::io::supports`]). See [`super::ResultsFolder::supports`].
pub struct SupportFiles<'a> {
    output: &'a Output,
}

impl<'a> SupportFiles<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Self { output }
    }
}

impl SupportSink for SupportFiles<'_> {
    fn take(&self, of: &LayerSupports<'_>) -> Result<()> {
        let folder = format!("layers/{}/", of.layer);
        let get = |queries| of.source.get(queries);
        write_supports(self.output, &folder, of.shape, of.kept, of.memory, &get)
    }
}
