//! Runs one migration: carries the effects of the core out and returns inputs.
//!
//! One task owns the core ([`driver`]); the ledger has a thread of its own ([`ledger_thread`]);
//! everything outside ([`world`]) is carried out by tasks, as many at a time as their lanes allow,
//! behind the limits of the run ([`limit`]). Nothing is decided here: a failure of either side goes
//! to the core as it is.

mod at_rest;
mod bare_directory;
mod base_snapshot;
mod clock;
mod control;
mod counts;
mod coverage;
mod covered;
mod driver;
mod errand;
mod error;
mod export;
mod failback;
mod followed;
mod history;
mod imaged;
mod ledger_thread;
mod limit;
mod limited_source;
mod limited_target;
mod local_clock;
mod mounts;
mod out_of_scope;
mod pinned_root;
mod problems;
mod progress;
mod recount;
mod removable;
mod root_look;
mod run;
mod setup;
mod shared_scan;
mod state;
mod story;
mod unknown_outcome;
mod world;

pub use at_rest::{
    AtRest, Kept, confirm_at_rest, confirm_delayed_at_rest, read_at_rest,
    refuse_another_root_at_rest, setting_at_rest, status_at_rest, stories_at_rest, story_at_rest,
};
pub use base_snapshot::{BaseSnapshots, Repair};
pub use control::{Control, Orders, Request, SOCKET, is_listening, request};
pub use error::{EngineError, ErrorKind};
pub use export::{ExportCursor, export_at_rest, parked_at_rest};
pub use failback::{
    Conflicts, Deed, FailbackSetup, FailbackSums, Tell as FailbackTell, Told as FailbackTold,
    failback,
};
pub use limit::{CommonLimits, Limits, Rate};
pub use problems::Problems;
pub use progress::{Progress, SlowedDown};
pub use run::{Ending, Outcome, ParkedPath, RunResult, run};
pub use setup::Setup;
pub use shared_scan::{SEATS_MAX, Seat};
pub use state::{Stamp, Stand, State};
pub use story::REMEMBERED;
