//! Touches the outside: sources, change streams and targets, one folder per system.

mod digest;
pub mod error;
pub mod source;
pub mod stamp;
pub mod target;
