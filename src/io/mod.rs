//! Files: a format a file. Knows no device.

pub mod source;
