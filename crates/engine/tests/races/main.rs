//! Sixty ways in which a file system changes under a migration, each provoked on a real NameNode
//! and a real S3 server by holding the run at the moment that matters.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "outside of the test functions too a failure ends the test"
)]

mod copying;
mod gates;
mod open_files;
mod scanning;
mod snapshots;
mod stage;
mod streaming;
