//! Why a report was not written, or cannot be looked at.

use std::io;
use std::path::{Path, PathBuf};

use crate::table::TableError;

/// What went wrong, and where.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Something stands where the report belongs.
    #[error("{} is not an empty folder", .0.display())]
    Taken(PathBuf),
    /// There is no folder to check.
    #[error("{} is no folder", .0.display())]
    NoFolder(PathBuf),
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A table cannot be written.
    #[error("{}: {error}", path.display())]
    Table {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: TableError,
    },
    /// What should be a key is none, or others may read it.
    #[error("{}: {reason}", path.display())]
    Key {
        /// Where it stands.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// This machine gives no random numbers.
    #[error("no key can be made: the system gives no random numbers")]
    NoRandomness,
}

impl ReportError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { path, error }
    }

    pub(crate) fn key(path: &Path, reason: impl Into<String>) -> Self {
        Self::Key { path: path.to_owned(), reason: reason.into() }
    }
}
