//! Other people's measures of the same activations, to compare with (docs/definitions.md#baselines): cosine and
//! Pearson correlation between channels, linear CKA between layers, TwoNN intrinsic dimension.
//!
//! All of them are sums over samples, taken in the order of the samples in float64: equal to the bit
//! whatever the block sizes and threads. Values are centred before they are multiplied. What is undefined is NaN or
//! `None`, never an accident.

mod channels;
mod cka;
mod gram;
mod sums;
mod two_nn;

pub use channels::{ChannelSimilarityOptions, channel_similarity};
pub use cka::{Cka, CkaOptions, cka};
pub use sums::ChannelSimilarity;
pub use two_nn::{log_ratio, two_nn};

pub(super) use cka::{Batches, Source, compare};
pub(super) use gram::MiniBatches;
pub(super) use sums::ChannelSums;
