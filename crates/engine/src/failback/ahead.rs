//! What a dry run knows of what the run would meet.

use whimbrel_core::entry::Node;
use whimbrel_core::failure::Side;
use whimbrel_core::path::RelPath;

use super::act::{Left, RENAME, conflict, of_source};
use super::{Deed, Sides, of_side};
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

    /// True of a dry run, if what stands at a path would have been removed by now.
    pub(super) async fn would_be_gone(
        &self,
        path: &RelPath,
        at: &RelPath,
        node: Option<&Node>,
    ) -> Result<bool, Left> {
        match node {
            Some(Node::File(_)) => Ok(self.would_go.contains(at)),
            Some(Node::Directory(_)) if self.dry_run && !path.is_marker() => {
                self.would_be_empty(at).await
            }
            Some(Node::Directory(_) | Node::Special(_)) | None => Ok(false),
        }
    }

    /// True of a directory that the source has, if nothing would be left in it.
    pub(super) async fn would_lose_all(&self, directory: &RelPath) -> Result<bool, EngineError> {
        let of_source = |error| of_side(error, Side::Source);
        if !matches!(self.stat(directory).await.map_err(of_source)?, Some(Node::Directory(_))) {
            return Ok(false);
        }
        let mut after: Option<Vec<u8>> = None;
        loop {
            self.limits.source_calls.take(1).await;
            let page = self.source.list(directory, after.as_deref()).await.map_err(of_source)?;
            let Some(page) = page else { return Ok(false) };
            if page.entries.iter().any(|entry| !self.would_go.contains(&entry.path)) {
                return Ok(false);
            }
            after = page.entries.last().map(|last| last.path.name().to_vec());
            if !page.more {
                return Ok(true);
            }
        }
    }

    async fn would_be_empty(&self, directory: &RelPath) -> Result<bool, Left> {
        let mut open = vec![directory.clone()];
        while let Some(directory) = open.pop() {
            let mut after: Option<Vec<u8>> = None;
            loop {
                self.limits.source_calls.take(1).await;
                let page = self.source.list(&directory, after.as_deref()).await;
                let Some(page) = page.map_err(of_source)? else { break };
                after = page.entries.last().map(|last| last.path.name().to_vec());
                for entry in page.entries {
                    match entry.node {
                        Node::Directory(_) => open.push(entry.path),
                        Node::File(_) if self.would_go.contains(&entry.path) => {}
                        Node::File(_) | Node::Special(_) => return Ok(false),
                    }
                }
                if !page.more {
                    break;
                }
            }
        }
        Ok(true)
    }
}
