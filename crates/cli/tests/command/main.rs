//! The command as scripts use it: arguments in, lines and an exit code out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod call;
mod costs;
mod cutover;
mod delayed;
mod dry_run;
mod ends;
mod failback;
mod fsimage;
mod full;
mod guard;
mod handed_out;
mod hdfs;
mod local;
mod mounts;
mod object_store;
mod resume;
mod secrets;
mod snapshots;
mod state;
mod targets;
mod unreachable;
mod wrong_use;
