//! Rankings: an array of every layer, and the section in the results.

use super::ResultsFolder;
use crate::measure::rank::{Ranking, Similarity};
use crate::report::results::{Rank, RankLayer};
use crate::{Error, Result};

/// Name of the file that holds the section `rank` by itself.
pub const RANK_FILE: &str = "rank.json";

impl ResultsFolder {
    /// Writes the ranking of a layer, `rank/NAME.npy` i64 `[C]`, and adds it to the section `rank`. `channels [C]` are the
    /// indices in the layer of the channels that were ranked.
    ///
    /// # Errors
    /// As [`crate::io::sink::Output::array`].
    pub fn rank(
        &self,
        name: &str,
        channels: &[usize],
        by: Similarity,
        found: &Ranking,
    ) -> Result<()> {
        let index = |at: usize| channels.get(at).map_or(at, |&c| c) as u64;
        let order: Vec<u64> = found.order.iter().map(|&at| index(at)).collect();
        let stored: Vec<i64> = order.iter().map(|&c| c as i64).collect();
        self.output
            .array(&format!("rank/{name}.npy"), &[stored.len()], &stored)?;
        let representatives = &found.representatives;
        let layer = RankLayer {
            name: name.to_string(),
            order,
            live: found.live as u64,
            representatives: (representatives.iter())
                .map(|r| r.map(|r| index(r.channel)))
                .collect(),
            similarities: representatives
                .iter()
                .map(|r| r.map(|r| r.similarity))
                .collect(),
            coverage: found.coverage.clone(),
        };
        let mut record = self.record();
        let section = record.results.rank.get_or_insert_with(|| Rank {
            by: by.name().to_string(),
            layers: Vec::new(),
        });
        section.layers.push(layer);
        Ok(())
    }

    /// Writes the section `rank` by itself, for tools that cut channels. Call it when all layers are there.
    ///
    /// # Errors
    /// As [`crate::io::sink::Output::write`].
    pub fn rank_file(&self) -> Result<()> {
        let text = match &self.record().results.rank {
            Some(rank) => serde_json::to_vec_pretty(rank),
            None => return Ok(()),
        };
        let text = text.map_err(|e| Error::io(RANK_FILE, "write", e.into()))?;
        self.output.write(RANK_FILE, &text)
    }
}
