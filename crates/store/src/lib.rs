//! Touches the outside: sources, change streams and targets, one folder per system.

pub mod attributes;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod content;
mod digest;
pub mod error;
pub mod failback;
pub mod fence;
pub mod first_contact;
#[cfg(feature = "hdfs")]
pub mod hdfs;
pub mod image;
pub mod key;
#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "s3")]
pub mod s3;
pub mod snapshots;
pub mod source;
pub mod stamp;
pub mod target;
