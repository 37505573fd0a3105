//! Local and mounted file systems: a tree as a source, its changes through inotify, a tree as a
//! target.
//!
//! Every name is opened relative to the handle of its directory and no symbolic link is followed
//! below the root, so that a link swapped in under way leads nowhere. The root itself is looked up
//! by its path each time: what is unmounted or renamed is then absent, and not a stale handle.

mod account;
mod acl;
mod copying;
mod failback;
mod failure;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hands;
mod known_root;
mod listing;
mod mounts;
mod names;
mod nesting;
mod node;
mod order;
mod place;
mod probe;
mod reading;
mod root;
mod seal;
mod source;
mod sparse;
mod stage;
mod target;
mod upload;
mod wanted;
mod watch;

pub use failback::OverTarget;
pub use nesting::{Nesting, nested};
pub use source::LocalSource;
pub use target::{LocalTarget, Taken};

/// The attribute under which Linux keeps an access control list.
const ACL_ATTRIBUTE: &str = "system.posix_acl_access";
/// The list that a directory hands on to what is made in it.
const DEFAULT_ACL_ATTRIBUTE: &str = "system.posix_acl_default";

/// Runs what blocks on threads that may block.
async fn blocking<T, F>(work: F) -> Result<T, crate::error::StoreError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, crate::error::StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(ended) => Err(ended_early(&ended)),
    }
}

fn ended_early(ended: &dyn std::error::Error) -> crate::error::StoreError {
    crate::error::StoreError::Unavailable {
        message: format!("a task at the local file system ended early: {ended}"),
        remedy: "start again; report it if it comes again".to_owned(),
    }
}
