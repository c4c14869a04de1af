//! What a finished run left in its folder: similarities of channels, and supports.

mod supports;

pub use supports::{ComparedRuns, KeptLayer, KeptRun};

use super::arrays::is_file_name;
use super::results::{RESULTS_FILE, Results};
use crate::io::npy::{read_array, read_shape};
use crate::io::whole::read_json;
use crate::measure::rank::Similarity;
use crate::{Error, Result};
use ndarray::Array2;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A folder of results.
#[derive(Debug)]
pub struct Finished {
    folder: PathBuf,
    /// What its `results.json` says.
    pub results: Results,
}

/// What a run knows of the channels of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Layer.
    pub name: String,
    /// `[C]`: the channels that were measured, by their index in the layer.
    pub channels: Vec<usize>,
    /// `[C]`: those that are dead, have a zero filter, or do not respond.
    pub dead: Vec<bool>,
    /// File of the matrix `[C, C]`.
    pub file: PathBuf,
}

/// What `results.json` says of the channels of a layer.
struct Described<'a> {
    name: &'a str,
    channels: u64,
    /// The channels that were measured, where these are not all.
    chosen: Option<&'a [u64]>,
    dead: &'a [u64],
}

impl Measured {
    /// `None` where the run left no matrix. Channels are counted by the matrix, whose header is read: a damaged
    /// `results.json` may promise any number.
    fn new(layer: &Described<'_>, file: PathBuf) -> Result<Option<Self>> {
        if !file.try_exists().map_err(|e| Error::io(&file, "open", e))? {
            return Ok(None);
        }
        let found = read_shape(&file)?;
        let promised = layer.chosen.map_or(layer.channels, |c| c.len() as u64);
        let &[n, m] = found.as_slice() else {
            return Err(Error::unsuitable(
                &file,
                format!("has shape {found:?}, expected a matrix"),
            ));
        };
        if n != m || n as u64 != promised {
            let what =
                format!("has shape {found:?}, and results.json promises [{promised}, {promised}]");
            return Err(Error::unsuitable(&file, what));
        }
        let channels: Vec<usize> = match layer.chosen {
            Some(chosen) => chosen.iter().map(|&c| c as usize).collect(),
            None => (0..n).collect(),
        };
        let dead: BTreeSet<u64> = layer.dead.iter().copied().collect();
        Ok(Some(Self {
            name: layer.name.to_string(),
            dead: channels
                .iter()
                .map(|&c| dead.contains(&(c as u64)))
                .collect(),
            channels,
            file,
        }))
    }

    /// Reads the matrix of similarities, `[C, C]`; `memory` bytes may be used.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`] where it cannot be read or is of another shape, [`Error::Memory`] where it is too
    /// large.
    pub fn matrix(&self, memory: u64) -> Result<Array2<f64>> {
        // As it is read, and as it is returned.
        let needed = 16 * (self.channels.len() as u64).pow(2);
        if needed > memory {
            return Err(Error::Memory {
                what: format!("the matrix {}", self.file.display()),
                needed,
                cap: memory,
            });
        }
        read_array(&self.file)?
            .into_dimensionality()
            .map_err(|e| Error::unsuitable(&self.file, e.to_string()))
    }
}

impl Finished {
    /// Reads `results.json` in a folder, which may take `memory` bytes.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`] where it cannot be read or is none; [`Error::Memory`].
    pub fn open(folder: &Path, memory: u64) -> Result<Self> {
        let path = folder.join(RESULTS_FILE);
        let results = Results::from_json(&path, &read_json(&path, memory)?)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            results,
        })
    }

    /// What was measured of the similarity of channels, by the name of the layer; `None` for a layer whose matrix was not
    /// written. Empty where the run measured something else.
    ///
    /// # Errors
    /// [`Error::File`] where a layer's name cannot be that of a file in the folder, or a matrix is not of the shape that
    /// `results.json` promises; [`Error::Io`].
    pub fn layers(&self, similarity: Similarity) -> Result<Vec<(String, Option<Measured>)>> {
        let (kind, array) = match similarity {
            Similarity::Jaccard => ("layers", "jaccard"),
            Similarity::Pearson => ("layers", "pearson"),
            Similarity::Filters => ("filters", "pairs"),
            Similarity::Impulse => ("impulse", "ncc_abs"),
        };
        let layers = self.described(kind).into_iter().map(|layer| {
            let file = self.file(kind, layer.name, array)?;
            Ok((layer.name.to_string(), Measured::new(&layer, file)?))
        });
        layers.collect()
    }

    /// The layers of a section.
    fn described(&self, kind: &str) -> Vec<Described<'_>> {
        let results = &self.results;
        let activations = results.redundancy.iter().flat_map(|r| &r.layers);
        let filters = results.filters.iter().flat_map(|f| &f.layers);
        let responses = results.impulse.iter().flat_map(|i| &i.layers);
        match kind {
            "layers" => activations
                .map(|l| Described {
                    name: &l.name,
                    channels: l.shape.get(1).copied().unwrap_or(0),
                    chosen: l.channels.as_deref(),
                    dead: &l.dead_channels,
                })
                .collect(),
            "filters" => filters
                .map(|l| Described {
                    name: &l.name,
                    channels: l.shape.first().copied().unwrap_or(0),
                    chosen: None,
                    dead: &l.zero_filters,
                })
                .collect(),
            _ => responses
                .map(|l| Described {
                    name: &l.name,
                    channels: l.channels,
                    chosen: None,
                    dead: &l.zero_channels,
                })
                .collect(),
        }
    }

    /// A file of the run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The file that says what the run is.
    fn results_file(&self) -> PathBuf {
        self.folder.join(RESULTS_FILE)
    }

    /// The file of a layer's array. Names come from a file: one that leads out of the folder is refused.
    fn file(&self, kind: &str, layer: &str, array: &str) -> Result<PathBuf> {
        if !is_file_name(layer) {
            let what = format!("has a layer of the name '{}'", layer.escape_debug());
            return Err(Error::unsuitable(self.folder.join(RESULTS_FILE), what));
        }
        Ok(self.folder.join(format!("{kind}/{layer}/{array}.npy")))
    }
}
