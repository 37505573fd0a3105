//! What a cut-over is made of: its durable record, the fence, the migration that it watches.

pub mod drain;
pub mod dry_run;
pub mod fence;
pub mod migration;
pub mod record;
pub mod stand;

use whimbrel_core::failure::{Failure, FailureKind, Side};

use crate::exit::CommandError;

/// Why the answer is no, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// One word for scripts.
    pub kind: &'static str,
    /// What it is.
    pub message: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Reason {
    /// As a problem line takes it.
    pub fn failure(&self) -> Failure {
        Failure {
            side: Side::Source,
            kind: FailureKind::Conflict,
            message: self.message.clone(),
            remedy: self.remedy.to_owned(),
        }
    }
}

/// Says that a fence stands, or may stand, and how it goes.
pub fn fence_stands(fence: &str, name: &str) -> String {
    format!("the fence {fence} stands: whimbrel cutover {name} --undo-fence takes it away")
}

/// What ends the steps before their end.
#[derive(Debug)]
pub enum No {
    /// The answer is no.
    Because(Vec<Reason>),
    /// A step failed.
    Failed(CommandError),
}

impl From<CommandError> for No {
    fn from(error: CommandError) -> Self {
        Self::Failed(error)
    }
}

impl From<Reason> for No {
    fn from(reason: Reason) -> Self {
        Self::Because(vec![reason])
    }
}
