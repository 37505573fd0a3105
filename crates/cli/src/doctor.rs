//! What a migration needs, looked at one by one.

pub mod machine;
pub mod source;
pub mod target;

use whimbrel_core::failure::Side;

use crate::exit::CommandError;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is about, in few words.
    pub name: String,
    /// Who has to mend it.
    pub side: Side,
    /// How it stands.
    pub finding: Finding,
}

/// How one thing stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing is in the way; what was found.
    Fine(String),
    /// The migration works, but not as well as it could.
    Warning {
        /// What was found.
        message: String,
        /// How to mend it.
        remedy: String,
    },
    /// The migration cannot work so.
    Problem {
        /// What was found.
        message: String,
        /// How to mend it.
        remedy: String,
    },
}

impl Check {
    /// Nothing is in the way.
    pub fn fine(side: Side, name: &str, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), side, finding: Finding::Fine(message.into()) }
    }

    /// It works, but not as well as it could.
    pub fn warning(
        side: Side,
        name: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let finding = Finding::Warning { message: message.into(), remedy: remedy.into() };
        Self { name: name.to_owned(), side, finding }
    }

    /// It cannot work so.
    pub fn problem(
        side: Side,
        name: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let finding = Finding::Problem { message: message.into(), remedy: remedy.into() };
        Self { name: name.to_owned(), side, finding }
    }

    /// What kept something from being looked at.
    pub fn failed(side: Side, name: &str, error: CommandError) -> Self {
        Self::problem(side, name, error.message, error.remedy)
    }
}
