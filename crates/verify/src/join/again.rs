//! Whoever goes on looks again: at what was not equal, and at what the source's stream names since.

use std::collections::BTreeSet;
use std::sync::Arc;

use whimbrel_core::entry::Node;
use whimbrel_core::failure::{Failure, Side};
use whimbrel_core::path::RelPath;
use whimbrel_store::error::StoreError;

use super::Join;
use crate::compare::Comparison;
use crate::moved::Moved;
use crate::walk::Walk;
use crate::{Meter, add, attempt};

/// What an earlier process went through.
pub(super) struct Part<'a> {
    pub roots: &'a [RelPath],
    pub roots_done: usize,
    pub behind: Option<&'a RelPath>,
}

/// A second look through a subtree.
pub(super) struct Again {
    /// What was looked at by itself.
    looked: BTreeSet<RelPath>,
    /// What lies beyond comes anyway.
    until: Option<RelPath>,
}

/// What becomes of a step of a second look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Take,
    Leave,
    End,
}

impl Again {
    pub fn step(&self, path: &RelPath) -> Step {
        if self.until.as_ref().is_some_and(|until| path > until) {
            Step::End
        } else if self.looked.contains(path) {
            Step::Leave
        } else {
            Step::Take
        }
    }
}

impl Join<'_> {
    /// True if a path lies in what an earlier process went through.
    fn is_in(&self, part: &Part<'_>, path: &RelPath) -> bool {
        let root = self.root_of(path);
        let number = part.roots.iter().position(|each| *each == root).unwrap_or_default();
        let behind = part.behind.is_some_and(|behind| path <= behind);
        number < part.roots_done || number == part.roots_done && behind
    }

    /// Looks at what an earlier process found unequal, and at what moved. What lies behind its note
    /// comes anyway.
    pub(super) async fn look_again(
        &mut self,
        part: Part<'_>,
        unequal: Vec<RelPath>,
        moved: Moved,
    ) -> Result<(), Failure> {
        let mut looked = BTreeSet::new();
        for path in unequal {
            if self.is_in(&part, &path) && looked.insert(path.clone()) {
                self.make_room().await?;
                let comparison = self.comparison.clone();
                self.spawn(async move { comparison.noted(path).await });
            }
        }
        self.finish_all().await?;
        self.settle().await;
        if moved.named() == 0 {
            return Ok(());
        }
        // It was counted when it was gone through first; only what is read is read once more.
        let meter = Arc::new(Meter::default());
        let verification = self.comparison.verification.clone();
        let second = Arc::new(Comparison::new(verification, meter.clone(), None));
        let first = std::mem::replace(&mut self.comparison, second);
        let ended = self.look_at_moved(&part, &moved, looked).await;
        (self.comparison, self.again) = (first, None);
        let read = meter.sums();
        add(&self.meter.bytes_read_source, read.bytes_read_source);
        add(&self.meter.bytes_read_target, read.bytes_read_target);
        ended
    }

    async fn look_at_moved(
        &mut self,
        part: &Part<'_>,
        moved: &Moved,
        mut looked: BTreeSet<RelPath>,
    ) -> Result<(), Failure> {
        for path in &moved.paths {
            if self.is_covered(path) && self.is_in(part, path) && looked.insert(path.clone()) {
                self.make_room().await?;
                let (comparison, path) = (self.comparison.clone(), path.clone());
                self.spawn(async move { comparison.again(&path).await });
            }
        }
        self.again = Some(Again { looked, until: None });
        for subtree in moved.outermost() {
            let mapped = self.comparison.verification.mapped.iter();
            let within = mapped.filter(|from| subtree.contains(from) && *from != subtree);
            let areas: Vec<RelPath> = [subtree].into_iter().chain(within).cloned().collect();
            for area in areas {
                if !self.is_in(part, &area.marker()) {
                    continue;
                }
                let all = self.is_in(part, &area.join(&[u8::MAX]));
                if let Some(again) = &mut self.again {
                    again.until = part.behind.cloned().filter(|_| !all);
                }
                (self.root, self.unreadable) = (area, None);
                self.run(None).await?;
            }
        }
        self.finish_all().await?;
        self.settle().await;
        Ok(())
    }

    fn is_covered(&self, path: &RelPath) -> bool {
        let scope = &self.comparison.verification.scope;
        let place = if path.is_marker() { path.parent().unwrap_or_default() } else { path.clone() };
        let covers = if path.is_marker() {
            scope.covers_directory(&place)
        } else {
            scope.covers_file(&place)
        };
        covers && !place.is_root()
    }

    /// The walk over a subtree that is gone through again; `None` if no directory stands there, but
    /// perhaps something on the target.
    pub(super) async fn begin_again(&mut self) -> Result<Option<Walk>, Failure> {
        let (source, root) = (self.comparison.verification.source.clone(), self.root.clone());
        let failed = |error: StoreError| error.into_failure(Side::Source);
        match attempt::ask(|| source.stat(&root)).await.map_err(failed)? {
            Some(Node::Directory(_)) => Ok(Some(self.walk())),
            Some(Node::File(_) | Node::Special(_)) | None => Ok(None),
        }
    }
}
