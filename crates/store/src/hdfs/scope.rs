//! Cuts the edits of a whole cluster to the source root (rules 1.5 and 1.8).

use bytes::Bytes;
use whimbrel_core::event::Event;
use whimbrel_core::path::RelPath;
use whimbrel_hdfs as hdfs;
use whimbrel_hdfs::MetadataChange;

/// The absolute path of the source root, without a slash at its end; empty for `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root(Bytes);

/// Where a path lies, seen from the root.
enum Place {
    /// The root or below it.
    Inside(RelPath),
    /// The root or an ancestor of it.
    Above,
    /// Elsewhere.
    Outside,
}

impl Root {
    pub fn new(path: &[u8]) -> Self {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        Self(Bytes::copy_from_slice(path))
    }

    /// The root's own absolute path.
    pub fn as_bytes(&self) -> &[u8] {
        if self.0.is_empty() { b"/" } else { &self.0 }
    }

    /// The absolute path of a path below the root.
    pub fn absolute(&self, path: &RelPath) -> Vec<u8> {
        if path.is_root() {
            return self.as_bytes().to_vec();
        }
        [&self.0[..], b"/", path.as_bytes()].concat()
    }

    /// The part behind the root's own slash, as it stands in the reply.
    fn below(&self, path: &Bytes) -> Option<Bytes> {
        let cut = self.0.len();
        if path.len() > cut && path.get(cut) == Some(&b'/') && path.starts_with(&self.0) {
            return Some(path.slice(cut + 1..));
        }
        (*path == self.0).then(Bytes::new)
    }

    /// The path below the root. A copy: a slice would keep the whole reply of the NameNode.
    pub(super) fn inside(&self, path: &Bytes) -> Option<RelPath> {
        self.below(path).map(|rest| RelPath::new(Bytes::copy_from_slice(&rest)))
    }

    fn is_at_or_below(&self, path: &[u8]) -> bool {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        self.0.starts_with(path)
            && (self.0.len() == path.len() || self.0.get(path.len()) == Some(&b'/'))
    }

    fn place(&self, path: &Bytes) -> Place {
        if self.is_at_or_below(path) {
            return Place::Above;
        }
        self.inside(path).map_or(Place::Outside, Place::Inside)
    }

    /// Whether an edit can concern the root, without building anything.
    pub fn concerns(&self, event: &hdfs::Event) -> bool {
        let near = |path: &Bytes| self.below(path).is_some() || self.is_at_or_below(path);
        match event {
            hdfs::Event::Create(create) => near(&create.path),
            hdfs::Event::Rename { source, destination, .. } => near(source) || near(destination),
            hdfs::Event::Close { path, .. }
            | hdfs::Event::Append { path, .. }
            | hdfs::Event::Unlink { path, .. }
            | hdfs::Event::Truncate { path, .. } => near(path),
            hdfs::Event::Metadata { path, change } => travels(change) && near(path),
        }
    }

    /// What an edit means below the root; `None` if nothing.
    pub fn cut(&self, event: &hdfs::Event) -> Option<Event> {
        match event {
            hdfs::Event::Create(create) => self.made(create),
            hdfs::Event::Close { path, .. } => self.inside(path).map(Event::Closed),
            hdfs::Event::Append { path, .. } => self.inside(path).map(Event::Reopened),
            hdfs::Event::Truncate { path, .. } => self.inside(path).map(Event::Truncated),
            hdfs::Event::Rename { source, destination, .. } => self.renamed(source, destination),
            hdfs::Event::Unlink { path, .. } => match self.place(path) {
                Place::Above => Some(Event::RootTouched),
                Place::Inside(path) => Some(Event::Removed(path)),
                Place::Outside => None,
            },
            hdfs::Event::Metadata { path, change } if travels(change) => {
                self.inside(path).map(Event::MetadataChanged)
            }
            hdfs::Event::Metadata { .. } => None,
        }
    }

    /// A symbolic link is no directory: a look at it will say what it is.
    fn made(&self, create: &hdfs::CreateEvent) -> Option<Event> {
        let path = self.inside(&create.path)?;
        if path.is_root() {
            return Some(Event::RootTouched);
        }
        Some(match create.kind {
            hdfs::FileKind::Directory => Event::DirectoryMade(path),
            hdfs::FileKind::File | hdfs::FileKind::Symlink => Event::Created(path),
        })
    }

    fn renamed(&self, source: &Bytes, destination: &Bytes) -> Option<Event> {
        let end = |place| match place {
            Place::Inside(path) => Some(path),
            Place::Above | Place::Outside => None,
        };
        let (from, to) = match (self.place(source), self.place(destination)) {
            (Place::Above, _) | (_, Place::Above) => return Some(Event::RootTouched),
            (from, to) => (end(from), end(to)),
        };
        (from.is_some() || to.is_some()).then_some(Event::Renamed { from, to })
    }
}

/// Whether a change of metadata is one of what travels with a file: access times and replication
/// are not. Reading a file changes its access time, so most of these events may be our own.
fn travels(change: &MetadataChange) -> bool {
    match change {
        MetadataChange::Times { modified_millis, .. } => modified_millis.is_some(),
        MetadataChange::Replication(_) => false,
        MetadataChange::Owner { .. }
        | MetadataChange::Permission(_)
        | MetadataChange::Acl(_)
        | MetadataChange::XAttrs { .. } => true,
    }
}

#[cfg(test)]
#[path = "scope_tests.rs"]
mod tests;
