//! Networks: graph, ONNX import, forward pass on a device.

pub mod dump;
mod execute;
pub mod forward;
pub mod graph;
pub mod images;
pub mod layers;
pub mod lenet;
pub mod onnx;
pub mod program;
pub mod resize;
mod rewrite;
mod shape;
