//! What happened at the source since an earlier part of a comparison, as the stream names it.

use std::collections::BTreeSet;

use whimbrel_core::event::Event;
use whimbrel_core::number::TxId;
use whimbrel_core::path::RelPath;
use whimbrel_store::error::StoreError;
use whimbrel_store::source::{ChangeStream, Poll};

use crate::attempt;

/// Beyond it, all is compared again: that many looks one by one take longer.
const NAMED_MAX: usize = 100_000;
/// Looks at a stream that tells nothing, though more was written.
const IDLE_MAX: u32 = 30;

/// What is to be looked at again. More than what happened does no harm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Files, and markers of directories.
    pub(crate) paths: BTreeSet<RelPath>,
    /// Whatever lies below these.
    pub(crate) subtrees: BTreeSet<RelPath>,
}

/// What is known of the time between two transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// All of it.
    Moved(Moved),
    /// Anything may have happened, for this reason.
    Anything(&'static str),
}

impl Moved {
    /// How many paths and subtrees are named.
    pub fn named(&self) -> usize {
        self.paths.len() + self.subtrees.len()
    }

    /// Notes what an event names. False: it may concern everything.
    pub fn add(&mut self, event: &Event) -> bool {
        match event {
            Event::Created(path)
            | Event::Reopened(path)
            | Event::Closed(path)
            | Event::Truncated(path)
            | Event::MetadataChanged(path)
            | Event::DirectoryMade(path) => self.add_path(path),
            Event::Removed(path) => self.add_subtree(path),
            Event::Renamed { from, to } => {
                from.iter().chain(to).for_each(|path| self.add_subtree(path));
            }
            Event::RootTouched => return false,
        }
        true
    }

    /// What comes into a directory, or is made one, decides whether that has a marker.
    fn add_path(&mut self, path: &RelPath) {
        self.paths.extend(path.parent().map(|directory| directory.marker()));
        self.paths.extend([path.clone(), path.marker()]);
    }

    fn add_subtree(&mut self, path: &RelPath) {
        self.add_path(path);
        self.subtrees.insert(path.clone());
    }

    /// Subtrees that lie in no other one.
    pub(crate) fn outermost(&self) -> impl Iterator<Item = &RelPath> {
        let within = |path: &&RelPath| path.ancestors().any(|it| self.subtrees.contains(&it));
        self.subtrees.iter().filter(move |path| !within(path))
    }
}

/// Follows a stream from one transaction to another.
///
/// # Errors
/// A source that does not tell.
pub async fn moved_between(
    stream: &dyn ChangeStream,
    from: TxId,
    to: TxId,
) -> Result<Since, StoreError> {
    let (mut moved, mut applied, mut idle) = (Moved::default(), from, 0);
    while applied < to {
        let reply = match attempt::ask(|| stream.poll(applied)).await? {
            Poll::Reply(reply) => reply,
            Poll::Gap => return Ok(Since::Anything("the source has dropped what happened since")),
            Poll::Beyond => return Ok(Since::Anything("the source has another history since")),
        };
        if !reply.batches.iter().flat_map(|batch| &batch.events).all(|event| moved.add(event)) {
            return Ok(Since::Anything("the root of the source was touched since"));
        }
        if moved.named() > NAMED_MAX {
            return Ok(Since::Anything("more has changed since than is looked at one by one"));
        }
        idle = if reply.applied > applied { 0 } else { idle + 1 };
        if idle > IDLE_MAX {
            return Err(StoreError::Unavailable {
                message: format!("the stream of changes does not come to transaction {to}"),
                remedy: "look whether the journal of the NameNode is written".to_owned(),
            });
        }
        applied = applied.max(reply.applied);
    }
    Ok(Since::Moved(moved))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(events: &[Event]) -> Moved {
        let mut moved = Moved::default();
        assert!(events.iter().all(|event| moved.add(event)));
        moved
    }

    #[test]
    fn both_ends_of_a_rename_and_what_went_are_looked_through() {
        let renamed = Event::Renamed { from: Some("a/b".into()), to: Some("c".into()) };
        let gone = Event::Removed("a/b/c".into());
        let left = Event::Renamed { from: Some("a-b".into()), to: None };
        let moved = moved(&[renamed, gone, left, Event::Closed("d/e".into())]);
        let outermost: Vec<_> = moved.outermost().cloned().collect();
        assert_eq!(outermost, ["a-b".into(), "a/b".into(), "c".into()]);
        for path in ["a/b", "a/", "c", "a/b/c", "d/e", "d/"] {
            assert!(moved.paths.contains(&path.into()), "{path}: {moved:?}");
        }
        assert!(!moved.paths.contains(&"a".into()));
    }

    #[test]
    fn what_touches_the_root_may_concern_everything() {
        assert!(!Moved::default().add(&Event::RootTouched));
    }
}
