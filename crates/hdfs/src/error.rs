//! What can go wrong, and what a caller does about it.

use std::time::Duration;

/// Everything that a call of this crate can answer instead of a value.
///
/// Variants say what happened; [`Error::kind`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration file cannot be read or does not say what is needed.
    #[error("Hadoop configuration: {message}")]
    Configuration {
        /// What is wrong, and in which file or property.
        message: String,
    },
    /// The cluster wants a proof of identity that this crate cannot give yet.
    #[error("{server} asks for {methods}: Kerberos and tokens are not supported yet")]
    Kerberos {
        /// The NameNode, or the configuration, that asks for it.
        server: String,
        /// The methods it offers, as it names them.
        methods: String,
    },
    /// No answer within the time that the caller allowed.
    #[error("no answer from {cluster} within {}; the last failure was: {last}", seconds(*.waited))]
    Unreachable {
        /// The cluster as the configuration names it.
        cluster: String,
        /// How long it was tried.
        waited: Duration,
        /// The failure of the last attempt.
        last: Box<Error>,
    },
    /// A connection could not be made, broke, or fell silent.
    #[error("connection to {address}: {message}")]
    Connection {
        /// Host and port.
        address: String,
        /// What the system or the protocol said.
        message: String,
    },
    /// The NameNode is not the active one.
    #[error("{address} is not the active NameNode: {message}")]
    Standby {
        /// Host and port.
        address: String,
        /// What it said.
        message: String,
    },
    /// The NameNode asks to come back later (safe mode, start, overload).
    #[error("{address} asks to try again: {message}")]
    Busy {
        /// Host and port.
        address: String,
        /// What it said.
        message: String,
    },
    /// The user lacks a right; for the edit stream: is not a superuser.
    #[error("{method}: permission denied: {message}")]
    Denied {
        /// The remote call.
        method: &'static str,
        /// What the NameNode said.
        message: String,
    },
    /// The path does not exist (or one of its ancestors is a file).
    #[error("{method}: {message}")]
    NotFound {
        /// The remote call.
        method: &'static str,
        /// What the NameNode said.
        message: String,
    },
    /// What is asked for cannot be a path of this file system.
    #[error("not a path: {path}: {reason}")]
    InvalidPath {
        /// The path, unprintable bytes escaped.
        path: String,
        /// Why it cannot be one.
        reason: &'static str,
    },
    /// The pinned file is no more: deleted, overwritten or truncated, or its blocks moved away.
    #[error("block {block} of the pinned file is gone: {message}")]
    SourceMoved {
        /// Block id and generation stamp.
        block: String,
        /// What the DataNode said.
        message: String,
    },
    /// Something exists that this crate refuses by name rather than handle wrongly.
    #[error("not supported: {what}")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// The other side answered something that the protocol does not allow.
    #[error("invalid reply from {address}: {message}")]
    InvalidReply {
        /// Host and port, or the message's name where that is unknown.
        address: String,
        /// What is wrong with it.
        message: String,
    },
    /// Data does not match its checksum, on every replica that could be read.
    #[error("block {block} on {address} is corrupt: {message}")]
    Corrupt {
        /// Block id and generation stamp.
        block: String,
        /// The DataNode.
        address: String,
        /// Where and how.
        message: String,
    },
    /// A DataNode refused or failed an operation for a reason that another replica may not have.
    #[error("DataNode {address}: {message}")]
    Datanode {
        /// Host and port.
        address: String,
        /// What it said.
        message: String,
    },
    /// No DataNode is known to hold a block, or the NameNode marks all its replicas corrupt.
    #[error("block {block} has no live replica")]
    NoReplica {
        /// Block id and generation stamp.
        block: String,
    },
    /// The NameNode answered with an exception that has no place of its own here.
    #[error("{method}: {class}: {message}")]
    Remote {
        /// The remote call.
        method: &'static str,
        /// The Java class of the exception.
        class: String,
        /// Its first line.
        message: String,
    },
}

/// What a caller does about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The system is away or overloaded: try again later.
    Retry,
    /// A right is missing: a person has to grant it.
    Denied,
    /// The path is not there.
    NotFound,
    /// What was pinned is gone: look at the path again. Not a failure of the copy.
    SourceMoved,
    /// Refused by name: this crate cannot do it.
    Unsupported,
    /// The caller's input or the configuration is wrong.
    InvalidInput,
    /// The other side broke the protocol.
    InvalidReply,
    /// The stored data is damaged.
    Corrupt,
}

/// As people read how long it was waited.
pub(crate) fn seconds(waited: Duration) -> String {
    format!("{:.1} s", waited.as_secs_f64())
}

impl Error {
    /// What the caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Configuration { .. } | Self::InvalidPath { .. } => ErrorKind::InvalidInput,
            Self::Kerberos { .. } | Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Unreachable { .. }
            | Self::Connection { .. }
            | Self::Standby { .. }
            | Self::Busy { .. }
            | Self::Datanode { .. }
            | Self::NoReplica { .. }
            | Self::Remote { .. } => ErrorKind::Retry,
            Self::Denied { .. } => ErrorKind::Denied,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::SourceMoved { .. } => ErrorKind::SourceMoved,
            Self::InvalidReply { .. } => ErrorKind::InvalidReply,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
        }
    }

    pub(crate) fn invalid_reply(address: &str, message: impl Into<String>) -> Self {
        Self::InvalidReply { address: address.to_owned(), message: message.into() }
    }

    pub(crate) fn connection(address: &str, message: impl ToString) -> Self {
        Self::Connection { address: address.to_owned(), message: message.to_string() }
    }
}
