//! Touches the outside: sources, change streams and targets, one folder per system.

pub mod error;
pub mod source;
pub mod target;
