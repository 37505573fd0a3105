//! The simulated outside.

pub mod source;
pub mod target;
