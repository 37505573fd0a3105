//! What a dry run knows of what the run would meet.

use whimbrel_core::entry::{Entry, Node};
use whimbrel_core::path::RelPath;

use super::act::{Left, RENAME, conflict, of_source};
use super::{Deed, Sides};
use crate::error::EngineError;

impl Sides {
    /// Says what would keep the run from writing or removing at a path.
    pub(super) async fn look_ahead(&self, path: &RelPath, deed: Deed) -> Result<(), Left> {
        let file = deed == Deed::Carried;
        for above in path.ancestors() {
            match self.stat(&above).await.map_err(of_source)? {
                Some(Node::Directory(_)) => {
                    return self.writer.may_write(&above, file).await.map_err(of_source);
                }
                Some(Node::File(_)) if self.would_go.contains(&above) => {}
                Some(Node::File(_) | Node::Special(_)) => {
                    let told = format!("{above} is no directory at the source");
                    return Err(Left::Blocked(conflict(told, RENAME)));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Whether what lies in a directory of the source may go, and a file come, as far as that is
    /// known without a try: what is mounted stays.
    pub(super) async fn may_change(&self, directory: &RelPath) -> Result<bool, EngineError> {
        match self.writer.may_write(directory, true).await.map_err(of_source) {
            Ok(()) => Ok(true),
            Err(Left::Ended(error)) => Err(error),
            Err(Left::Blocked(_) | Left::Problem(_)) => Ok(false),
        }
    }

    /// True of a dry run, if what stands at a path would have been removed by now.
    pub(super) fn would_be_gone(&self, path: &RelPath, at: &RelPath, node: Option<&Node>) -> bool {
        match node {
            Some(Node::File(_)) => self.would_go.contains(at),
            Some(Node::Directory(_)) => !path.is_marker() && self.would_be_cleaned.contains(at),
            Some(Node::Special(_)) | None => false,
        }
    }

    /// True if nothing would be left in a directory of the source.
    pub(super) async fn would_lose_all(&self, directory: &RelPath) -> Result<bool, EngineError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.list_source(directory, after.as_deref()).await?;
            let Some(page) = page else { return Ok(false) };
            let goes = |entry: &Entry| match entry.node {
                Node::File(_) => self.would_go.contains(&entry.path),
                Node::Directory(_) => self.would_be_cleaned.contains(&entry.path),
                Node::Special(_) => false,
            };
            if !page.entries.iter().all(goes) {
                return Ok(false);
            }
            after = page.entries.last().map(|last| last.path.name().to_vec());
            if !page.more {
                return Ok(true);
            }
        }
    }
}
