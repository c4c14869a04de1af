//! chanscope
