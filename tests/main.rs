//! One binary for all integration tests: a module a stem, plus formats, hostile input, command line.

mod cli;
mod cli_filters;
mod cli_networks;
mod conv2d;
mod correlate;
mod exact;
mod filters;
mod formats;
mod gram;
mod hostile;
mod house;
mod impulse;
mod knn;
mod model;
mod nnk;
mod onnx;
mod oracle;
mod overlap;
mod pointwise;
mod pool2d;
mod redundancy;
mod report;
mod shuffle;
mod stream;
mod sum;
mod support;
