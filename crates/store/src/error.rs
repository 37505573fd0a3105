//! What can go wrong at a store, in the words of what the caller does next.

use whimbrel_core::failure::{Failure, FailureKind, Side};

/// A failure of a source or target. Every message says what and where, every remedy what the
/// operator does next; neither ever holds a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[allow(missing_docs, reason = "message and remedy mean the same in every variant: see above")]
pub enum StoreError {
    /// It does not answer; nothing was changed. Try again later.
    #[error("{message}")]
    Unavailable { message: String, remedy: String },
    /// It asks for less. Try again slower; nothing was changed.
    #[error("{message}")]
    Throttled { message: String, remedy: String },
    /// No rights; of a target: for none of it.
    #[error("{message}")]
    Denied { message: String, remedy: String },
    /// No rights at this one place of a target that can be written elsewhere.
    #[error("{message}")]
    Forbidden { message: String, remedy: String },
    /// Nothing is there (a bucket, a root; single paths are answered by `Option`).
    #[error("{message}")]
    Missing { message: String, remedy: String },
    /// This name, size or kind can never be held or read.
    #[error("{message}")]
    Refused { message: String, remedy: String },
    /// Something else stands in the way.
    #[error("{message}")]
    Conflict { message: String, remedy: String },
    /// Something else stands at a key than was expected there, or nothing does (rule 4.4): the
    /// write took no effect.
    #[error("{message}")]
    Unexpected { message: String },
    /// No space left.
    #[error("{message}")]
    Full { message: String, remedy: String },
    /// Bytes do not match their checksum, or no replica is left.
    #[error("{message}")]
    Corrupt { message: String, remedy: String },
    /// The source changed under the reading.
    #[error("{message}")]
    Moved { message: String },
    /// The store cannot do this at all.
    #[error("{message}")]
    Unsupported { message: String, remedy: String },
    /// A write was sent and its outcome is not known: it may have taken effect, or may yet
    /// (rule 4.1).
    #[error("{message}")]
    Unknown { message: String },
}

impl StoreError {
    /// What is done about it; an unknown outcome counts as unavailable.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Unavailable { .. } | Self::Unknown { .. } => FailureKind::Unavailable,
            Self::Throttled { .. } => FailureKind::Throttled,
            Self::Denied { .. } => FailureKind::Denied,
            Self::Forbidden { .. } => FailureKind::Forbidden,
            Self::Missing { .. } => FailureKind::Missing,
            Self::Refused { .. } => FailureKind::Refused,
            Self::Conflict { .. } | Self::Unexpected { .. } => FailureKind::Conflict,
            Self::Full { .. } => FailureKind::Full,
            Self::Corrupt { .. } => FailureKind::Corrupt,
            Self::Moved { .. } => FailureKind::Moved,
            Self::Unsupported { .. } => FailureKind::Unsupported,
        }
    }

    /// What the operator does next; empty where time or Whimbrel itself mends it.
    pub fn remedy(&self) -> &str {
        match self {
            Self::Unavailable { remedy, .. }
            | Self::Throttled { remedy, .. }
            | Self::Denied { remedy, .. }
            | Self::Forbidden { remedy, .. }
            | Self::Missing { remedy, .. }
            | Self::Refused { remedy, .. }
            | Self::Conflict { remedy, .. }
            | Self::Full { remedy, .. }
            | Self::Corrupt { remedy, .. }
            | Self::Unsupported { remedy, .. } => remedy,
            Self::Moved { .. } | Self::Unknown { .. } | Self::Unexpected { .. } => "",
        }
    }

    /// The failure as core and people see it.
    pub fn into_failure(self, side: Side) -> Failure {
        Failure {
            side,
            kind: self.kind(),
            message: self.to_string(),
            remedy: self.remedy().to_owned(),
        }
    }
}
