//! How many files this process may have open: sockets, directories and files of both sides count.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::exit::CommandError;

/// With fewer a run crawls, or stops where one is missing.
const OPEN_FILES_MIN: u64 = 128;

/// Takes as many as this user may have.
///
/// # Errors
/// They are too few.
pub fn raise() -> Result<(), CommandError> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    // What is refused stays as it was.
    let _ = setrlimit(Resource::Nofile, raised);
    match getrlimit(Resource::Nofile).current {
        Some(allowed @ ..OPEN_FILES_MIN) => Err(CommandError::local(
            format!("this process may have {allowed} files open at the same time: too few"),
            "raise this user's limit of open files: ulimit -n 1024",
        )),
        Some(_) | None => Ok(()),
    }
}
