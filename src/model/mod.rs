//! Networks: graph, ONNX import, forward pass on a device.
//!
//! - [`node`]: values and the nodes that compute them; `shape`: the shape of a node's result
//! - [`data`]: the elements of a constant, in memory or left in their file
//! - [`graph`]: a network, nodes in running order; `rewrite`: the same without biases or nonlinearities
//! - [`parts`]: what a graph keeps of its file: the layout of its input, its outputs by name, what was left out;
//!   `origin`: its answers about them
//! - [`onnx`]: a graph from a model file; [`lenet`]: the graph of LeNet-5 from its weights
//! - [`layers`]: which values of a graph are layers, and their names; `elementwise`: how far a value stays a
//!   function of one other
//! - [`program`]: the part of a graph that leads from given values to wanted ones, fused
//! - [`forward`]: a program with its constants on a device; `execute`: one step of it by kernels
//! - [`images`], [`resize`]: samples as inputs of a network
//! - [`mod@dump`]: the forward pass over all samples, batch by batch
//!
//! A file becomes a [`graph::Graph`], [`program::Program::compile`] selects and fuses what is wanted of it,
//! and [`forward::Session`] uploads the constants, each read from the file when it is its turn, and runs batches. Batches of samples go in and the
//! wanted values come out; what lies between stays on the device.

pub mod data;
pub mod dump;
mod elementwise;
mod execute;
pub mod forward;
pub mod graph;
pub mod images;
pub mod layers;
pub mod lenet;
pub mod node;
pub mod onnx;
mod origin;
pub mod parts;
pub mod program;
pub mod resize;
mod rewrite;
mod shape;
