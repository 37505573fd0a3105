//! Doubts: a simulated world that drives the real core and ledger through hostile histories.

pub mod coverage;
pub mod done;
pub mod options;
pub mod oracle;
pub mod program;
mod run;
pub mod scope;
pub mod world;

pub use run::{ENDLESS, Run, Way, judge, run, run_with};
