//! A paper's quantity a file. Knows devices and streams, no file format.
//!
//! All measures have one grammar: `x(&ctx, input, &XOptions) -> Result<X>`. The [`Context`] says where and
//! within which bounds to compute; the input is what is measured; options have defaults and setters; the
//! result is plain data, from which [`crate::report`] writes the files that the command line writes.
//!
//! | function | input | result |
//! |---|---|---|
//! | [`redundancy()`] | layers of activations, labels | channel-wise NNK graphs, channel similarity, CKA |
//! | [`compare()`] | supports of two runs over the same samples | which channels of the one the other has too |
//! | [`neighbors()`] | vectors | nearest neighbours and NNK graph |
//! | [`channel_similarity`] | a layer of activations | cosine and Pearson correlation of channels |
//! | [`cka`] | layers of activations | linear CKA between them |
//! | [`filters()`] | the filters of a convolution | Convolutional Similarity, gradient, cosines |
//! | [`minimize`] | the filters of a convolution | filters of less similarity |
//! | [`impulse()`] | a network | impulse responses and their correlation |
//! | [`rank()`] | similarities of a layer's channels | the order in which to keep them |
//! | [`shuffle()`] | a network, images, labels | what shuffling a tensor's channels changes |
//! | [`ablate()`] | a network, images, labels | what dropping the last channels of rankings costs in accuracy |
//!
//! [`filters::Regularizer`] is no measurement but part of a training loop: it keeps memory from step to step
//! and takes a backend instead of a context.

pub mod ablate;
pub mod baselines;
mod context;
pub mod filters;
pub mod impulse;
pub mod neighbors;
mod random;
pub mod rank;
pub mod redundancy;
mod selection;
mod setters;
pub mod shuffle;

pub use ablate::{AblateInput, AblateOptions, Ablation, ablate};
pub use baselines::{
    ChannelSimilarity, ChannelSimilarityOptions, Cka, CkaOptions, channel_similarity, cka,
};
pub use context::Context;
pub use filters::{
    FilterBank, Filters, FiltersOptions, MinimizeOptions, Minimized, filters, minimize,
};
pub use impulse::{Impulse, ImpulseOptions, impulse};
pub use neighbors::{Neighbors, NeighborsInput, NeighborsOptions, neighbors};
pub use rank::{RankInput, RankOptions, Ranking, rank};
pub use redundancy::{
    CompareInput, Redundancy, RedundancyInput, RedundancyOptions, compare, redundancy,
    redundancy_each,
};
pub use shuffle::{Shuffle, ShuffleInput, ShuffleOptions, shuffle};
