//! The simulated outside.

pub mod file;
pub mod source;
pub mod step;
pub mod target;
