//! One file per command.

pub mod act;
pub mod completions;
pub mod cutover;
pub mod doctor;
pub mod dry_run;
pub mod export;
pub mod failback;
pub mod migrate;
pub mod path;
pub mod report;
pub mod status;
pub mod verify;
pub mod version;
