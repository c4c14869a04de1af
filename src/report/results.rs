//! `results.json` as types: what a run found, in the schema `chanscope/1`.
//!
//! Other tools read this file, so it only ever grows: fields are added, never renamed, and readers
//! ignore what they do not know. A number that does not exist (a dead channel, no labels, a mean over
//! nothing) is `null`: NaN is not JSON. Build such values with [`finite`] and [`finite_all`].
//! Channels are named by their index in the dump, also where `--channels` chose only some of them.

mod ablate;
mod compare;
mod rank;
mod redundancy;

pub use ablate::{AblatedLayer, Ablation, AblationCurve, AblationPoint};
pub use compare::{Compare, ComparedLayer, ComparedPair, ComparedRun};
pub use rank::{Rank, RankLayer};
pub use redundancy::{
    Across, AcrossMatch, Aggregate, Baselines, Cka, Images, Redundancy, RedundancyLayer, Samples,
};

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// The schema this version writes and reads.
pub const SCHEMA: &str = "chanscope/1";
/// Name of the file inside an output folder.
pub const RESULTS_FILE: &str = "results.json";

/// `Some(x)` when `x` is finite, else `None`, which JSON shows as `null`.
pub fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

/// [`finite`] for every element.
pub fn finite_all(xs: &[f64]) -> Vec<Option<f64>> {
    xs.iter().copied().map(finite).collect()
}

/// Everything one run found. Sections that the command did not compute are absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of chanscope that wrote the file.
    pub version: String,
    /// Subcommand: `demo`, `redundancy`, `filters`, ...
    pub command: String,
    /// Every option as it was used, defaults included, by its long name without dashes.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// What computed.
    #[serde(default)]
    pub device: DeviceRecord,
    /// The files read.
    #[serde(default)]
    pub input: Vec<Input>,
    /// How long it took.
    #[serde(default)]
    pub timing: Timing,
    /// Networks compared side by side; layer names start with `NAME.` (the demo).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// Channel-wise NNK graphs (docs/definitions.md#channel-graphs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redundancy: Option<Redundancy>,
    /// Convolutional Similarity (docs/definitions.md#convolutional-similarity).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filters>,
    /// Channel and pixel shuffling (docs/definitions.md#shuffling).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffle: Option<Shuffle>,
    /// Impulse responses (docs/definitions.md#impulse-response).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impulse: Option<Impulse>,
    /// The order in which to keep channels (docs/definitions.md#representatives).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<Rank>,
    /// Accuracy without the last channels of rankings (docs/definitions.md#ablation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ablation: Option<Ablation>,
    /// What runs over the same samples have in common (docs/definitions.md#between-runs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
    /// What was asked for or found but not computed, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// Sections written by other versions, kept when the file is rewritten.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Results {
    /// Results of `command` with nothing in them yet.
    pub fn new(command: &str) -> Self {
        Self {
            schema: SCHEMA.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            command: command.to_string(),
            parameters: Map::new(),
            device: DeviceRecord::default(),
            input: Vec::new(),
            timing: Timing::default(),
            networks: Vec::new(),
            redundancy: None,
            filters: None,
            shuffle: None,
            impulse: None,
            rank: None,
            ablation: None,
            compare: None,
            skipped: Vec::new(),
            other: Map::new(),
        }
    }

    /// The file's text: pretty-printed JSON with a newline at the end.
    ///
    /// # Errors
    /// [`Error::File`] when serialisation fails; `path` only names the file in it.
    pub fn to_json(&self, path: &Path) -> Result<String> {
        let mut text = Vec::new();
        self.write_json(path, &mut text)?;
        String::from_utf8(text).map_err(|e| Error::unsuitable(path, e.to_string()))
    }

    /// Writes what [`Results::to_json`] gives, without holding it in memory.
    ///
    /// # Errors
    /// As [`Results::to_json`].
    pub fn write_json(&self, path: &Path, mut out: impl std::io::Write) -> Result<()> {
        serde_json::to_writer_pretty(&mut out, self)
            .map_err(std::io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(|e| Error::unsuitable(path, format!("cannot be written as JSON: {e}")))
    }

    /// Reads the file's text; `path` only names the file in errors.
    ///
    /// # Errors
    /// [`Error::File`] when it is not JSON, is of another schema, or lacks what the schema requires.
    pub fn from_json(path: &Path, bytes: &[u8]) -> Result<Self> {
        /// What tells a results file from others; the rest is passed over.
        #[derive(Deserialize)]
        struct Head {
            schema: Option<Value>,
        }
        // No document of values is made of the whole file: it would take 30 times its size.
        let head: Head = match serde_json::from_slice(bytes) {
            Ok(head) => head,
            // JSON, but no object.
            Err(e) if e.is_data() => Head { schema: None },
            Err(e) => {
                let what = format!("is not valid JSON ({e}); run the command that made it again");
                return Err(Error::malformed(path, None, what));
            }
        };
        match head.schema.as_ref().and_then(Value::as_str) {
            Some(SCHEMA) => {}
            Some(other) => {
                let what = format!(
                    "has schema '{}', this version reads '{SCHEMA}'; use the version of chanscope that wrote it",
                    other.escape_debug()
                );
                return Err(Error::unsuitable(path, what));
            }
            None => {
                let what = "has no \"schema\": not a results file of chanscope";
                return Err(Error::unsuitable(path, what));
            }
        }
        serde_json::from_slice(bytes).map_err(|e| {
            let what = format!("does not follow schema '{SCHEMA}': {e}");
            Error::malformed(path, None, what)
        })
    }
}

/// What computed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeviceRecord {
    /// Adapter or processor.
    pub name: String,
    /// `cpu`, `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// Driver and version, or the instruction set on a CPU.
    pub driver: String,
}

impl From<&crate::ops::DeviceInfo> for DeviceRecord {
    fn from(info: &crate::ops::DeviceInfo) -> Self {
        Self {
            name: info.name.clone(),
            backend: info.backend.clone(),
            driver: info.driver.clone(),
        }
    }
}

/// A file (or an array inside one) that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Input {
    /// As given on the command line; `builtin:...` for data inside the binary.
    pub path: String,
    /// Dimensions as stored.
    pub shape: Vec<u64>,
    /// Element type as stored: `f16`, `f32`, ...
    pub dtype: String,
    /// blake3 over header, file size and evenly spaced blocks, in hexadecimal.
    pub fingerprint: String,
}

/// Wall-clock times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Timing {
    /// Whole run, seconds.
    pub total_seconds: f64,
    /// Start, seconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_unix: Option<u64>,
    /// Parts in the order they ran.
    #[serde(default)]
    pub stages: Vec<Stage>,
}

/// One part of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Stage {
    /// Name in words.
    pub name: String,
    /// Duration.
    pub seconds: f64,
}

/// One of several networks in the same file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Network {
    /// Prefix of its layers' names, without the dot.
    pub name: String,
    /// Share of samples classified correctly, when labels are known.
    pub accuracy: Option<f64>,
    /// Number of weights.
    pub parameters: Option<u64>,
}

/// Something left out, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Skipped {
    /// Layer, tensor or file.
    pub name: String,
    /// Reason in words.
    pub reason: String,
}

/// Convolutional Similarity of filters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Filters {
    /// One entry per convolution.
    pub layers: Vec<FilterLayer>,
}

/// Filters of one convolution; its arrays lie in `filters/NAME/`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FilterLayer {
    /// Layer.
    pub name: String,
    /// `[M, C, h, w]`.
    pub shape: Vec<u64>,
    /// `L` over all pairs.
    pub value: Option<f64>,
    /// `L` over adjacent pairs.
    pub value_adjacent: Option<f64>,
    /// Mean of the normalised pair matrix off its diagonal.
    pub normalized_mean: Option<f64>,
    /// Mean absolute cosine between different flattened filters.
    pub filter_cosine_mean: Option<f64>,
    /// Filters that are all zero: their normalised values do not exist.
    #[serde(default)]
    pub zero_filters: Vec<u64>,
    /// `L` before the first and after every step of a minimisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<Option<f64>>>,
}

/// Channel or pixel shuffling.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Shuffle {
    /// One entry per shuffled tensor.
    pub tensors: Vec<ShuffleTensor>,
}

/// One tensor, each of its channels shuffled in turn; its arrays lie in `shuffle/NAME/`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ShuffleTensor {
    /// Tensor.
    pub name: String,
    /// `channel` (across samples) or `pixel` (inside a map).
    pub mode: String,
    /// Accuracy of the untouched network, with labels.
    pub baseline_accuracy: Option<f64>,
    /// Per shuffled channel, accuracy after shuffling; `null` without labels.
    #[serde(default)]
    pub accuracy: Option<Vec<Option<f64>>>,
    /// Later taps.
    pub observed: Vec<Observed>,
    /// Samples in the last mini-batch when it is shorter than the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_batch: Option<u64>,
}

/// What shuffling did to a later tap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Observed {
    /// Tap.
    pub name: String,
    /// Per shuffled channel, cosine similarity before and after, mean over the tap's channels.
    pub cosine_mean: Vec<Option<f64>>,
}

/// Impulse responses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Impulse {
    /// One entry per tap.
    pub layers: Vec<ImpulseLayer>,
    /// Pairs of channels at different depth with similar responses, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<ImpulseMatch>,
    /// Channels, of one layer or several, joined by correlations of at least the threshold; largest
    /// groups first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Vec<ChannelRef>>,
    /// Smallest NCC that counts as a match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_threshold: Option<f64>,
}

/// Responses of one tap; its arrays lie in `impulse/NAME/`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ImpulseLayer {
    /// Layer.
    pub name: String,
    /// `conv`, `activation` or `pool`.
    pub tap: String,
    /// Channels of the tap.
    pub channels: u64,
    /// Mean NCC of two different channels with a response.
    pub ncc_mean: Option<f64>,
    /// Channels without a response.
    #[serde(default)]
    pub zero_channels: Vec<u64>,
}

/// A channel of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ChannelRef {
    /// Layer.
    pub layer: String,
    /// Index in it.
    pub channel: u64,
}

/// Two channels at different depth whose responses look alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ImpulseMatch {
    /// The shallower one.
    pub a: ChannelRef,
    /// The deeper one.
    pub b: ChannelRef,
    /// Signed NCC at its maximum.
    pub ncc: f64,
    /// Lag of the maximum, `[y, x]` in pixels of the response.
    pub lag: [i64; 2],
}
