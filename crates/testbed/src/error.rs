use std::path::PathBuf;

/// Why a part of the testbed could not be installed, started or commanded.
#[derive(Debug, thiserror::Error)]
pub enum TestbedError {
    /// A file or folder of the testbed could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program is missing and could not be installed, or an installing command failed.
    #[error("cannot install {what}: {message}")]
    Install {
        /// What was to be installed.
        what: String,
        /// The end of the command's output.
        message: String,
    },
    /// A server did not come up.
    #[error("cannot start {what}: {message}")]
    Start {
        /// The server.
        what: String,
        /// What is known about it, with the place of its log.
        message: String,
    },
    /// A running system refused a command or vanished while it was carried out.
    #[error("{what} failed: {message}")]
    Command {
        /// The command.
        what: String,
        /// The system's own words.
        message: String,
    },
}

impl TestbedError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    pub(crate) fn install(what: &str, message: impl ToString) -> Self {
        Self::Install { what: what.to_owned(), message: message.to_string() }
    }

    pub(crate) fn start(what: &str, message: impl ToString) -> Self {
        Self::Start { what: what.to_owned(), message: message.to_string() }
    }

    pub(crate) fn command(what: &str, message: impl ToString) -> Self {
        Self::Command { what: what.to_owned(), message: message.to_string() }
    }
}
