//! What can go wrong between the ledger and this machine.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use thiserror::Error;
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::path::Namespace;

/// Every way in which the ledger fails. All of them end a run with exit code 7. What was durable
/// before stays durable; a run that was under way may have written to the target, and the next one
/// goes on from what is durable.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Another process works with this state.
    #[error("the state in {} is in use{}", directory.display(), holder(*pid))]
    InUse {
        /// The state folder.
        directory: PathBuf,
        /// The process that holds the lock, where it could be told.
        pid: Option<u32>,
    },
    /// A newer version of Whimbrel wrote this state.
    #[error("the state in {what} has schema version {found}; this program knows up to {known}")]
    Newer {
        /// The database.
        what: String,
        /// Its version.
        found: i64,
        /// The newest version that this program reads.
        known: i64,
    },
    /// An earlier version wrote this state, and its records are of a form that is not read any more.
    #[error(
        "the state in {what} was written by an earlier version of whimbrel (schema {found}, this \
         program writes {known}), and not all of it can be read: {reason}"
    )]
    Older {
        /// The database.
        what: String,
        /// Its version.
        found: i64,
        /// The version that this program writes.
        known: i64,
        /// The first record that cannot be read.
        reason: String,
    },
    /// A database stands there that Whimbrel did not make.
    #[error("{what} is a database of another program")]
    Foreign {
        /// The database.
        what: String,
    },
    /// What was read back is not what was written.
    #[error("the state is damaged: {what}")]
    Damaged {
        /// Which record.
        what: String,
    },
    /// The state was made for another kind of source.
    #[error("the state was made for a {stored:?} namespace, not for a {asked:?} one")]
    Namespace {
        /// As stored.
        stored: Namespace,
        /// As asked for.
        asked: Namespace,
    },
    /// No space is left for the state. Nothing that was durable is lost.
    #[error("no space is left for the state: {message}")]
    Full {
        /// What the system says.
        message: String,
    },
    /// The state folder or a file in it may not be read or written.
    #[error("no permission for {what}: {message}")]
    Denied {
        /// The file or folder.
        what: String,
        /// What the system says.
        message: String,
    },
    /// The file system failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// The database failed.
    #[error("the state's database failed: {source}")]
    Database {
        /// What it says.
        source: rusqlite::Error,
    },
    /// A value is too large or of a form that the ledger cannot keep.
    #[error("cannot be kept in the state: {what}")]
    Unfit {
        /// What and why.
        what: String,
    },
    /// An earlier error left the ledger unusable until it is opened again.
    #[error("the state cannot be used after an earlier error until it is opened again")]
    Closed,
}

/// Short for results of this crate.
pub type Result<T> = std::result::Result<T, LedgerError>;

impl LedgerError {
    /// What the operator does next.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::InUse { .. } => {
                "wait for the other process or stop it; or give another state folder"
            }
            Self::Newer { .. } => "use the newer version of whimbrel that wrote this state",
            Self::Older { .. } => {
                "go on with the version of whimbrel that wrote it; or begin anew with another \
                 --state and --adopt: files that stand unchanged on the target are not copied again"
            }
            Self::Foreign { .. } => "give another state folder",
            Self::Damaged { .. } => {
                "check the disk; then restore the state folder from a backup; or move it away and \
                 start again with --adopt: what stands unchanged on the target is not copied again"
            }
            Self::Namespace { .. } => "give another state folder for this source",
            Self::Full { .. } => {
                "free space on the disk of the state folder, then start again: it goes on from \
                 what is durable, and looks at what had been begun on the target"
            }
            Self::Denied { .. } => {
                "give this user read and write permission for the state folder, and room on its \
                 disk; or give another folder"
            }
            Self::Io { .. } | Self::Database { .. } => {
                "check the disk of the state folder, then start again"
            }
            Self::Unfit { .. } => "report this as a defect; the state is kept",
            Self::Closed => "start again",
        }
    }

    /// The same in the words of the core.
    pub fn failure(&self) -> Failure {
        let kind = match self {
            Self::InUse { .. } => FailureKind::Conflict,
            Self::Newer { .. }
            | Self::Older { .. }
            | Self::Foreign { .. }
            | Self::Namespace { .. } => FailureKind::Refused,
            Self::Damaged { .. } => FailureKind::Corrupt,
            Self::Full { .. } => FailureKind::Full,
            Self::Denied { .. } => FailureKind::Denied,
            Self::Io { .. } | Self::Database { .. } | Self::Closed => FailureKind::Unavailable,
            Self::Unfit { .. } => FailureKind::Defect,
        };
        Failure {
            side: Side::Local,
            kind,
            message: self.to_string(),
            remedy: self.remedy().to_owned(),
        }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        let what = path.display().to_string();
        let kind = source.kind();
        if matches!(kind, io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
            Self::Denied { what, message: source.to_string() }
        } else if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::Full { message: format!("{what}: {source}") }
        } else {
            Self::Io { what, source }
        }
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(source: rusqlite::Error) -> Self {
        let message = source.to_string();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { message },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::damaged(format!("the database says: {message}"))
            }
            Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                Self::Denied { what: "the state's database".to_owned(), message }
            }
            Some(ErrorCode::TooBig) => Self::Unfit { what: message },
            _ if matches!(
                source,
                rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
            ) =>
            {
                Self::damaged(format!("a column does not hold what was written: {message}"))
            }
            _ => Self::Database { source },
        }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Type;

    use super::*;

    #[test]
    fn what_a_database_says_is_told_as_what_is_to_be_done() {
        let sql = rusqlite::Connection::open_in_memory().unwrap();
        let too_big = sql.query_row("SELECT zeroblob(3000000000)", [], |_| Ok(())).unwrap_err();
        let error = LedgerError::from(too_big);
        assert!(matches!(error, LedgerError::Unfit { .. }), "{error:?}");
        let other_type = rusqlite::Error::InvalidColumnType(0, "record".to_owned(), Type::Text);
        let error = LedgerError::from(other_type);
        assert!(matches!(error, LedgerError::Damaged { .. }), "{error:?}");
        let error = LedgerError::from(rusqlite::Error::QueryReturnedNoRows);
        assert!(matches!(error, LedgerError::Database { .. }), "{error:?}");
    }
}
