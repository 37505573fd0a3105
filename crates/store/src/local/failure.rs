//! What a system call's refusal means to the caller.

use rustix::io::Errno;

use super::root::{ANOTHER_ROOT, Root, UNMOUNTED};
use crate::error::StoreError;

/// Names without a slash are at most so long on Linux.
pub(super) const NAME_BYTES_MAX: usize = 255;

/// True if the answer means that nothing stands there: a missing name, or a component that is no
/// directory (a file or a symbolic link took its place).
pub(super) fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

/// The failure of doing `what` at `path`.
pub(super) fn failure(what: &str, path: &[u8], errno: Errno) -> StoreError {
    let message = match errno {
        ANOTHER_ROOT => format!("cannot {what} {}: its root is gone, or another", shown(path)),
        UNMOUNTED => format!("cannot {what} {}: a file system there is gone", shown(path)),
        _ => format!("cannot {what} {}: {errno}", shown(path)),
    };
    let (kind, remedy) = advice(errno);
    let remedy = remedy.to_owned();
    match kind {
        Kind::Denied => StoreError::Denied { message, remedy },
        Kind::Full => StoreError::Full { message, remedy },
        Kind::Refused => StoreError::Refused { message, remedy },
        Kind::Missing => StoreError::Missing { message, remedy },
        Kind::Conflict => StoreError::Conflict { message, remedy },
        Kind::Unsupported => StoreError::Unsupported { message, remedy },
        Kind::Corrupt => StoreError::Corrupt { message, remedy },
        Kind::Unavailable => StoreError::Unavailable { message, remedy },
    }
}

/// The same for one place below a target's root: where others can be written, only that one is
/// denied.
pub(super) fn failure_below(what: &str, root: &Root, below: &[u8], errno: Errno) -> StoreError {
    let failed = failure(what, &root.shown(below), errno);
    if let StoreError::Denied { message, remedy } = &failed
        && root.may_be_written().is_ok()
    {
        let (message, remedy) = (message.clone(), remedy.clone());
        return StoreError::Forbidden { message, remedy };
    }
    failed
}

/// The same for the standard library's errors.
pub(super) fn io_failure(what: &str, path: &[u8], error: &std::io::Error) -> StoreError {
    failure(what, path, Errno::from_io_error(error).unwrap_or(Errno::IO))
}

/// A path for people; bytes that are not text are shown as replacement characters.
pub(super) fn shown(path: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(path))
}

enum Kind {
    Denied,
    Full,
    Refused,
    Missing,
    Conflict,
    Unsupported,
    Corrupt,
    Unavailable,
}

fn advice(errno: Errno) -> (Kind, &'static str) {
    match errno {
        Errno::ACCESS | Errno::PERM => {
            (Kind::Denied, "run as a user with rights there (root reads everything)")
        }
        Errno::ROFS => (Kind::Denied, "mount the file system for writing"),
        Errno::NOSPC | Errno::DQUOT => {
            let remedy = "free space there, or raise the quota; then work goes on, by itself or \
                          when it is started again";
            (Kind::Full, remedy)
        }
        Errno::FBIG => (
            Kind::Refused,
            "raise the limit of this process (ulimit -f), or use a file system that holds files \
                          of this size",
        ),
        Errno::NAMETOOLONG | Errno::ILSEQ | Errno::INVAL => {
            (Kind::Refused, "the file system cannot hold this name: rename it, or map it")
        }
        ANOTHER_ROOT => (Kind::Missing, "put the root back that was migrated"),
        UNMOUNTED => (Kind::Conflict, "mount it again"),
        Errno::NOENT => (Kind::Missing, "look whether the path is right and mounted"),
        Errno::BUSY => (Kind::Conflict, "something is mounted there: unmount it"),
        Errno::NOTDIR | Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY | Errno::LOOP => {
            (Kind::Conflict, "something else stands in the way: move it")
        }
        Errno::XDEV => {
            (Kind::Unsupported, "another file system is mounted below: make it the root")
        }
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOTTY => {
            (Kind::Unsupported, "the file system lacks this")
        }
        Errno::IO | Errno::BADMSG | Errno::UCLEAN => {
            (Kind::Corrupt, "look at the kernel's log: the disk may be failing")
        }
        Errno::MFILE | Errno::NFILE => (Kind::Unavailable, "raise the limit of open files"),
        Errno::STALE => (Kind::Unavailable, "mount the network file system again"),
        _ => (Kind::Unavailable, "look at the file system and its mount; it is tried again"),
    }
}
