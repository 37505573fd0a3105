//! The simulated outside.

pub mod acl;
pub mod file;
pub mod source;
pub mod step;
pub mod target;
