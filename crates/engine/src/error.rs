//! What ends a run, in the words of what the operator does next.

use whimbrel_core::failure::{Failure, Side};
use whimbrel_ledger::LedgerError;

/// Why a run ended without doing what it was asked to. `message` says what and where, `remedy`
/// what to do next; neither holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "message and remedy mean the same in every variant: see above")]
pub enum EngineError {
    /// The call contradicts itself, or the state that it names.
    #[error("{message}")]
    WrongUse { message: String, remedy: String },
    /// The source does not let the run begin or go on.
    #[error("{message}")]
    Source { message: String, remedy: String },
    /// The target does not let the run begin or go on.
    #[error("{message}")]
    Target { message: String, remedy: String },
    /// A guard wants a person's word.
    #[error("{message}")]
    Guard { message: String, remedy: String },
    /// This machine: state in use, damaged or newer, disk full.
    #[error("{message}")]
    Local { message: String, remedy: String },
    /// A defect of Whimbrel's own; the state is kept.
    #[error("{message}")]
    Defect { message: String, remedy: String },
}

/// The exit codes of the interface, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// 2
    WrongUse,
    /// 3
    Source,
    /// 4
    Target,
    /// 6
    Guard,
    /// 7
    Local,
    /// 1
    Defect,
}

impl ErrorKind {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Defect => 1,
            Self::WrongUse => 2,
            Self::Source => 3,
            Self::Target => 4,
            Self::Guard => 6,
            Self::Local => 7,
        }
    }
}

impl EngineError {
    /// Which exit code it means.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::WrongUse { .. } => ErrorKind::WrongUse,
            Self::Source { .. } => ErrorKind::Source,
            Self::Target { .. } => ErrorKind::Target,
            Self::Guard { .. } => ErrorKind::Guard,
            Self::Local { .. } => ErrorKind::Local,
            Self::Defect { .. } => ErrorKind::Defect,
        }
    }

    /// What the operator does next.
    pub fn remedy(&self) -> &str {
        match self {
            Self::WrongUse { remedy, .. }
            | Self::Source { remedy, .. }
            | Self::Target { remedy, .. }
            | Self::Guard { remedy, .. }
            | Self::Local { remedy, .. }
            | Self::Defect { remedy, .. } => remedy,
        }
    }

    /// A defect of our own: something that cannot be happened.
    pub(crate) fn defect(message: impl Into<String>) -> Self {
        Self::Defect {
            message: message.into(),
            remedy: "report it; the state is kept, and starting again goes on from there"
                .to_owned(),
        }
    }

    /// Something on this machine.
    pub(crate) fn local(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Local { message: message.into(), remedy: remedy.into() }
    }
}

impl From<LedgerError> for EngineError {
    fn from(error: LedgerError) -> Self {
        Self::local(error.to_string(), error.remedy())
    }
}

impl From<Failure> for EngineError {
    fn from(failure: Failure) -> Self {
        let Failure { side, kind: _, message, remedy } = failure;
        match side {
            Side::Source => Self::Source { message, remedy },
            Side::Target => Self::Target { message, remedy },
            Side::Local => Self::Local { message, remedy },
        }
    }
}
