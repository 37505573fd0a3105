//! The conformance suite over the local stores.
