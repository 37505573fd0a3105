//! Carries: work items in, outcomes out.
//!
//! A [`Carrier`] holds one source and one target and does single pieces of work between them: it
//! copies a file, completes an upload, copies within the target, removes. It decides nothing: what
//! is to be done comes from the core, what came of it goes back as the core's own values. Nothing
//! is tried again in here except single parts of an upload, which may be sent twice without harm.

mod carrier;
mod copy;
mod memory;
mod outcome;
mod plan;
mod upload;

pub use carrier::{Carrier, Options};
pub use plan::Plan;
