//! Hadoop RPC, version 9: frames, connections, authentication, fail-over.

pub(crate) mod connection;
pub(crate) mod frame;
pub(crate) mod namenodes;
pub(crate) mod sasl;
