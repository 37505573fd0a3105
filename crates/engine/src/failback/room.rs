//! Directories of the source where the target has a file. One makes room for it only if all that
//! lies in it goes, which is known before anything of it does.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use whimbrel_core::entry::Node;
use whimbrel_core::path::RelPath;

use super::act::conflict;
use super::{Job, Tell};
use crate::error::EngineError;
use crate::removable::covers_object;

const MAKE_ROOM: &str = "remove or move away what stays there at the source, or have the file \
                         renamed at the target";

impl Job {
    /// Tells of the directories that cannot make room: nothing in them goes.
    pub(super) async fn look_for_room(&mut self, tell: Tell<'_>) -> Result<(), EngineError> {
        let blocked = std::mem::take(&mut self.so_far.blocked);
        self.so_far.blocked = self.with_room(blocked, tell).await?;
        let commit_markers = std::mem::take(&mut self.commit_markers);
        self.commit_markers = self.with_room(commit_markers, tell).await?;
        Ok(())
    }

    /// What stands in a directory that stays as it is.
    pub(super) fn is_without_room(&self, path: &RelPath) -> bool {
        !self.no_room.is_empty() && path.ancestors().any(|above| self.no_room.contains(&above))
    }

    /// Those of the paths at which no directory is known to stay.
    async fn with_room(
        &mut self,
        paths: Vec<RelPath>,
        tell: Tell<'_>,
    ) -> Result<Vec<RelPath>, EngineError> {
        let mut with_room = Vec::new();
        for path in paths {
            let Some(stays) = self.stays_at(&path).await? else {
                with_room.push(path);
                continue;
            };
            let told = match stays == path {
                true => format!("{path} is a directory at the source"),
                false => format!("{path} is a directory at the source, and {stays} stays in it"),
            };
            self.so_far.left(path.clone(), conflict(told, MAKE_ROOM), tell);
            self.no_room.insert(path);
        }
        Ok(with_room)
    }

    /// What keeps a directory of the source of which something would go.
    async fn stays_at(&self, path: &RelPath) -> Result<Option<RelPath>, EngineError> {
        if path.is_marker()
            || !self.holds_more_than(path, &BTreeSet::new())?
            || self.sides.source_directory(path).await?.is_none()
        {
            return Ok(None);
        }
        // What a write of the migration made of it is not known.
        let attempts = self.ledger.attempts()?.into_iter().map(|attempt| attempt.path);
        let mut within = attempts.filter(|attempt| attempt.ancestors().any(|above| above == *path));
        match within.next() {
            Some(attempt) => Ok(Some(attempt)),
            None => self.first_to_stay(path).await,
        }
    }

    /// The first that the removals would leave of a directory of the source: what it alone has,
    /// what changed there, what the target has too, what is mounted. Empty directories are the
    /// source's own as well, unless the migration knows them.
    async fn first_to_stay(&self, directory: &RelPath) -> Result<Option<RelPath>, EngineError> {
        let mut open = vec![directory.clone()];
        while let Some(directory) = open.pop() {
            let known = self.ledger.row(&directory.marker())?.is_some()
                || self.holds_more_than(&directory, &BTreeSet::new())?;
            if !known
                || !self.sides.may_change(&directory).await?
                || self.sides.target_has_below(&directory).await?
            {
                return Ok(Some(directory));
            }
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = self.sides.list_source(&directory, after.as_deref()).await?;
                let Some(page) = page else { break };
                after = page.entries.last().map(|last| last.path.name().to_vec());
                let mut files = Vec::new();
                for entry in page.entries {
                    match entry.node {
                        Node::File(_) => files.push(entry.path),
                        Node::Directory(_) => open.push(entry.path),
                        Node::Special(_) => return Ok(Some(entry.path)),
                    }
                }
                if let Some(stays) = self.first_file_to_stay(files).await? {
                    return Ok(Some(stays));
                }
                if !page.more {
                    break;
                }
            }
        }
        Ok(None)
    }

    async fn first_file_to_stay(
        &self,
        files: Vec<RelPath>,
    ) -> Result<Option<RelPath>, EngineError> {
        let mut work = Vec::with_capacity(files.len());
        for path in files {
            let covered = covers_object(&self.sides.scope, &path);
            let row = if covered { self.ledger.row(&path)? } else { None };
            work.push(async move {
                let goes = self.sides.would_remove(&path, row.as_ref()).await?;
                Ok::<_, EngineError>(Some(path).filter(|_| !goes))
            });
        }
        let looked = stream::iter(work).buffered(self.transfers);
        let mut stays = std::pin::pin!(looked.try_filter_map(|stays| async { Ok(stays) }));
        stays.try_next().await
    }
}
