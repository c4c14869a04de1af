//! Measures how redundant the channels of a convolutional network are, exactly, on a GPU or without one.
//!
//! The quantities come from three papers: channel-wise NNK graphs (arXiv 2110.11400), Convolutional
//! Similarity (arXiv 2411.03226) and unit impulse responses (arXiv 1906.03986). Arrays go in and arrays
//! come out; nothing is read, written or printed unless asked for.
//!
//! ```
//! use chanscope::device::{Device, DeviceChoice};
//! use chanscope::io::array::ArrayLayer;
//! use chanscope::io::layer::Layer;
//! use chanscope::measure::{Context, RedundancyInput, RedundancyOptions, redundancy};
//! use ndarray::Array4;
//!
//! // Activations [N, C, H, W]: channel 2 is channel 0 shifted by a constant.
//! let wave = |i: usize, c: usize, y: usize, x: usize| {
//!     let (speed, shift) = ([0.1, 0.27, 0.1][c], [0.0, 0.0, 3.0][c]);
//!     ((i as f32) * speed + (y * 3 + x) as f32).sin() + shift
//! };
//! let activations = Array4::from_shape_fn((200, 3, 3, 3), |(i, c, y, x)| wave(i, c, y, x));
//!
//! let device = Device::open(&DeviceChoice::Cpu, 0)?;
//! let layer = ArrayLayer::from_array("waves", activations.view())?;
//! let layers = [&layer as &dyn Layer];
//! let input = RedundancyInput::new(&layers);
//! let found = redundancy(&Context::new(&device), &input, &RedundancyOptions::default())?;
//!
//! let jaccard = &found.layers[0].jaccard;
//! assert!(jaccard[[0, 2]] > jaccard[[0, 1]]);
//! # Ok::<(), chanscope::Error>(())
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`device`] | choosing a device |
//! | [`ops`] | the kernels as traits, [`ops::Backend`] first, and their parameters |
//! | [`cpu`], [`gpu`] | the two backends; [`gpu::Gpu::from_wgpu`] takes a device of yours |
//! | [`io`] | reading dumps in blocks, writing results whole or not at all |
//! | [`measure`] | the papers' quantities |
//! | [`model`] | networks: ONNX import, forward pass |
//! | [`report`] | `results.json` as types, and the HTML made from it |
//! | [`units`] | redundancy runs in units: killed and resumed, shared by processes and machines |
//! | [`stream`] | block sizes under a memory cap, reading ahead, order-free sums |
//! | [`control`] | progress and cancelling |
//! | [`error`] | what can go wrong, as data |
#![deny(missing_docs)]

pub mod control;
pub mod cpu;
pub mod device;
pub mod error;
pub mod gpu;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
pub mod io;
pub mod measure;
pub mod model;
pub mod ops;
pub mod report;
mod simd;
pub mod stream;
pub mod tensor;
pub mod units;

pub use error::{Error, Result};
