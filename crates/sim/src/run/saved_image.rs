//! An image of the source from before the migration began, used as the engine does it: a listing of
//! a directory is answered from it as long as no event that the core was told of concerns that
//! directory, and whatever is read is asked for anew.

use std::collections::BTreeSet;

use whimbrel_core::entry::{FileNode, Node, Page};
use whimbrel_core::event::Event;
use whimbrel_core::input::{Input, Streamed};
use whimbrel_core::path::RelPath;

use super::Run;
use crate::world::source::Source;

/// The tree as it was, and what became of it since.
pub(super) struct SavedImage {
    pub tree: Source,
    changed: BTreeSet<RelPath>,
    moved: BTreeSet<RelPath>,
}

impl SavedImage {
    pub fn of(tree: Source) -> Self {
        Self { tree, changed: BTreeSet::new(), moved: BTreeSet::new() }
    }

    fn note(&mut self, event: &Event) -> bool {
        let (paths, moves) = match event {
            Event::RootTouched => return false,
            Event::MetadataChanged(path) => (vec![path], false),
            Event::Created(path)
            | Event::Reopened(path)
            | Event::Closed(path)
            | Event::Truncated(path)
            | Event::DirectoryMade(path)
            | Event::Removed(path) => (vec![path], true),
            Event::Renamed { from, to } => (from.iter().chain(to).collect(), true),
        };
        for path in paths {
            self.changed.extend(path.parent());
            if moves {
                self.moved.insert(path.clone());
            }
        }
        true
    }

    fn list(&self, directory: &RelPath, after: Option<&[u8]>, limit: usize) -> Option<Page> {
        let moved = self.moved.contains(directory)
            || directory.ancestors().any(|above| self.moved.contains(&above));
        if moved || self.changed.contains(directory) {
            return None;
        }
        let mut page = self.tree.list(directory, after, limit)?;
        for entry in &mut page.entries {
            match &mut entry.node {
                // Nothing is read of an empty file: it is looked at by itself, as an open one.
                Node::File(file) => {
                    file.pin.clear();
                    file.open |= file.identity.length() == 0;
                }
                Node::Directory(child) => child.empty = None,
                Node::Special(_) => {}
            }
        }
        Some(page)
    }
}

impl Run {
    pub(super) fn page(&self, directory: &RelPath, after: Option<&[u8]>) -> Option<Page> {
        let limit = self.options.page_entries;
        let told = self.image.as_ref().and_then(|image| image.list(directory, after, limit));
        told.or_else(|| self.source.list(directory, after, limit))
    }

    /// The file that is read: one of an image has to stand there as the image shows it.
    pub(super) fn pinned(&self, path: &RelPath, node: &FileNode) -> Option<FileNode> {
        if !node.pin.is_empty() || node.identity.length() == 0 {
            return Some(node.clone());
        }
        match self.source.stat(path) {
            Some(Node::File(file)) if file.identity == node.identity && !file.open => Some(file),
            Some(Node::File(_) | Node::Directory(_) | Node::Special(_)) | None => None,
        }
    }

    /// Before the core is told.
    pub(super) fn note_streamed(&mut self, input: &Input) {
        let Input::Streamed { outcome, .. } = input else { return };
        let Some(image) = &mut self.image else { return };
        let holds = match outcome {
            Streamed::Reply(reply) => {
                let of = image.tree.txid;
                let later = reply.batches.iter().filter(|batch| batch.txid > of);
                later.flat_map(|batch| &batch.events).all(|event| image.note(event))
            }
            Streamed::Gap { .. } | Streamed::OtherHistory { .. } => false,
            Streamed::Failed(_) => true,
        };
        if !holds {
            self.image = None;
        }
    }

    /// A run that goes on follows the stream from the image on, if that is still there.
    pub(super) fn take_image_up(&mut self, scanned: bool) {
        let oldest = self.source.oldest;
        self.image = self.image.take().filter(|it| !scanned && it.tree.txid.next() >= oldest);
    }
}
