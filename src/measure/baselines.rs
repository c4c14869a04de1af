//! Other people's measures of the same activations, to compare with (docs/definitions.md#baselines): cosine and
//! Pearson correlation between channels, linear CKA between layers, TwoNN intrinsic dimension.
//!
//! All of them are sums over samples, taken in the order of the samples in float64, those over pairs of channels in parts
//! (`pieces`): equal to the bit whatever the block sizes and threads. Values are centred before they are multiplied. What is undefined is NaN or
//! `None`, never an accident.

mod channels;
mod cka;
mod gram;
mod packed;
mod pieces;
mod sums;
mod totals;
mod two_nn;

pub use channels::{ChannelSimilarityOptions, channel_similarity};
pub use cka::{Cka, CkaOptions, cka};
pub use totals::ChannelSimilarity;
pub use two_nn::{log_ratio, two_nn};

pub(crate) use cka::cka_of_packed;
pub(super) use cka::{Batches, Source, compare};
pub(super) use gram::{MiniBatches, read_grams};
pub(crate) use gram::{PutGram, mini_batches, packed_len};
pub(crate) use pieces::ALIGNED;
pub(super) use pieces::parts;
pub(super) use sums::ChannelSums;
pub(crate) use totals::Totals;
