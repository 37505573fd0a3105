//! `cargo xtask acceptance`: what a migration has to hold, measured on real systems and judged by
//! the checker that shares no code with Whimbrel. What was measured is appended to
//! `docs/acceptance`.

pub(crate) mod book;
mod churn;
mod cutover;
mod equal;
mod faults;
mod ground;
mod guards;
mod kill;
mod lines;
mod outage;
mod rename;
mod storm;

use std::error::Error;

use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Acceptance {
    /// A tree that changes in every way, before the scan, through it and after it.
    Churn(churn::Churn),
    /// SIGKILL at random moments, and a start on the same state each time.
    Kill(kill::Kill),
    /// A directory of many files that have arrived is renamed: no byte is read again.
    Rename(rename::Rename),
    /// Parts of the world are lost for a time.
    Outage(outage::Outage),
    /// Damage of ten kinds, made by chance: `verify` finds all of it, and nothing else.
    Faults(faults::Faults),
    /// A cut-over under load behind each fence, every step killed and taken again.
    Cutover(cutover::Cutover),
    /// Each guard provoked: what must not go, or be written over, stands as it did.
    Guards(guards::Guards),
    /// Everything at once: SIGKILL, broken networks, lost DataNodes and fail-overs under churn.
    Storm(storm::Storm),
}

/// Carries it out; fails unless everything held.
pub fn run(command: &Acceptance) -> Result<(), Box<dyn Error>> {
    match command {
        Acceptance::Churn(options) => churn::run(options),
        Acceptance::Kill(options) => kill::run(options),
        Acceptance::Rename(options) => rename::run(options),
        Acceptance::Outage(options) => outage::run(options),
        Acceptance::Faults(options) => faults::run(options),
        Acceptance::Cutover(options) => cutover::run(options),
        Acceptance::Guards(options) => guards::run(options),
        Acceptance::Storm(options) => storm::run(options),
    }
}
