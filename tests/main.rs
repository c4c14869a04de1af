//! Integration tests: a module a stem, plus formats, hostile input and the command line. The kernels that are
//! written with vectors are tested by `instruction_sets`, the GPU's by `gpu`.

mod ablate;
mod baselines;
mod cli;
mod cli_files;
mod cli_filters;
mod cli_inspect;
mod cli_networks;
mod compare;
mod docs;
mod dots;
mod errors;
mod exact;
mod filters;
mod formats;
mod fuzz;
mod hostile;
mod house;
mod impulse;
#[cfg(target_os = "linux")]
mod limits;
mod memory;
mod misuse;
mod model;
mod neighbors;
mod onnx;
// Some oracles are for kernels that other binaries test.
#[allow(dead_code)]
mod oracle;
mod outputs;
mod pointwise;
mod pool2d;
mod rank;
mod reduce;
mod redundancy;
mod report;
mod resample;
mod scale;
mod schema;
mod shuffle;
mod stream;
mod strided;
mod sum;
mod support;
mod units;
