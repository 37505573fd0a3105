//! Decides: the migration as a state machine without I/O.
//!
//! `handle(now, Input)`, `poll() -> Option<Effect>`, `next_deadline() -> Option<Time>`: nothing
//! here reads a clock, draws a random number, opens a file or spawns a task, so one seed gives one
//! history. Every rule of reconciliation lives in the file named after it.

pub mod adoption;
pub mod budget;
pub mod commit_marker;
pub mod config;
pub mod effect;
pub mod entry;
pub mod event;
pub mod failback;
pub mod failure;
pub mod identity;
pub mod input;
pub mod losses;
pub mod metadata;
pub mod migration;
pub mod number;
pub mod path;
pub mod planted;
pub mod record;
pub mod scope;
pub mod timetable;
