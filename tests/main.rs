//! One binary for all integration tests: a module a stem, plus formats, hostile input, command line.

mod formats;
mod hostile;
mod knn;
mod oracle;
mod report;
mod sum;
