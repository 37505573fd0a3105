//! The wire messages, trimmed to the fields that this crate reads or writes.
//!
//! Field numbers follow Hadoop's own `.proto` files. Names and paths are `bytes` where Hadoop says
//! `string`: the two are the same on the wire, and nothing here may fail on a name. Enumerations
//! are plain `i32`, so that a value of a newer server reaches the code that can name it.
#![allow(missing_docs, reason = "the fields are those of Hadoop's published messages")]

pub(crate) mod datanode;
pub(crate) mod inotify;
pub(crate) mod namenode;
pub(crate) mod rpc;
pub(crate) mod status;
