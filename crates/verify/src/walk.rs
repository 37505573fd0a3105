//! The source in the order of its keys: depth first, a directory standing where its name with a
//! slash behind it stands (`a-b` before `a/x`, though `a` comes before `a-b`).

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinHandle;
use whimbrel_core::config::DirectoryMarkers;
use whimbrel_core::entry::{DirectoryNode, Entry, Node, Page};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::scope::Scope;
use whimbrel_store::error::StoreError;
use whimbrel_store::source::Source;

use crate::attempt;

/// Listings that run ahead of the walk.
const AHEAD: usize = 16;

/// One thing that the source has.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// A directory's path ends in `/`, as its marker's does.
    pub path: RelPath,
    pub what: What,
}

impl Item {
    /// It stands out of order, as its key is not known.
    pub fn is_without_key(&self, flat: bool) -> bool {
        flat && matches!(self.what, What::Node(Node::Special(_)))
    }
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A file, a link or whatever stands there.
    Node(Node),
    /// A directory; whether the target has to have a marker for it.
    Directory { marker_expected: bool },
    /// A directory that cannot be listed, and why.
    Unreadable(String),
}

type Listing = JoinHandle<Result<Option<Page>, StoreError>>;

/// Goes through a subtree. Holds a page for every level.
pub(crate) struct Walk {
    source: Arc<dyn Source>,
    scope: Scope,
    markers: DirectoryMarkers,
    /// Subtrees that are gone through on their own.
    cut: Vec<RelPath>,
    /// Everything up to it is left out.
    behind: Option<RelPath>,
    levels: Vec<Level>,
    ready: VecDeque<Item>,
}

/// A directory being gone through.
struct Level {
    directory: RelPath,
    entries: VecDeque<Entry>,
    more: bool,
    last: Option<Vec<u8>>,
    /// Child directories whose turn has not come, in ascending order; each is a beginning of the
    /// next, so there are never more than a name has bytes.
    waiting: Vec<(RelPath, DirectoryNode)>,
    ahead: VecDeque<(RelPath, Listing)>,
}

impl Walk {
    /// Goes through what lies below `root`, without the subtrees in `cut`.
    pub fn new(
        source: Arc<dyn Source>,
        scope: Scope,
        markers: DirectoryMarkers,
        root: RelPath,
        cut: Vec<RelPath>,
    ) -> Self {
        let (levels, ready) = (vec![Level::new(root)], VecDeque::new());
        Self { source, scope, markers, cut, behind: None, levels, ready }
    }

    /// Goes on behind a path. Only the directories above it are listed once more; where keys are
    /// opaque not even that.
    pub fn behind(mut self, path: Option<RelPath>) -> Self {
        if let (Some(level), Some(path)) = (self.levels.first_mut(), &path)
            && self.source.namespace() == Namespace::Flat
        {
            level.last = path.as_bytes().get(level.prefix_bytes()..).map(<[u8]>::to_vec);
        }
        self.behind = path;
        self
    }

    fn is_done(&self, path: &RelPath) -> bool {
        self.behind.as_ref().is_some_and(|behind| path <= behind)
    }

    /// True if nothing of a directory is left to do.
    fn is_all_done(&self, directory: &RelPath) -> bool {
        self.behind.as_ref().is_some_and(|behind| {
            let marker = directory.marker();
            marker <= *behind && !behind.as_bytes().starts_with(marker.as_bytes())
        })
    }

    /// The next thing in the order of keys; `None` at the end. A directory that went away in the
    /// meantime ends there.
    pub async fn next(&mut self) -> Result<Option<Item>, StoreError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            if level.entries.is_empty() && level.more {
                self.load().await?;
                continue;
            }
            let due = level.due();
            if let Some((path, node)) = due {
                self.descend(path, &node).await?;
            } else if let Some(entry) = level.entries.pop_front() {
                self.take(entry);
            } else {
                self.levels.pop();
            }
        }
    }

    fn take(&mut self, entry: Entry) {
        if self.cut.contains(&entry.path) {
            return;
        }
        match entry.node {
            Node::Directory(node) => {
                let covers =
                    self.scope.enters(&entry.path) || self.scope.covers_directory(&entry.path);
                if !covers || self.is_all_done(&entry.path) {
                    return;
                }
                if let Some(level) = self.levels.last_mut() {
                    level.waiting.push((entry.path, node));
                }
            }
            Node::File(_) | Node::Special(_) => {
                if self.scope.covers_file(&entry.path) && !self.is_done(&entry.path) {
                    let (path, what) = (entry.path, What::Node(entry.node));
                    self.ready.push_back(Item { path, what });
                }
            }
        }
    }

    /// Begins a child directory: its marker, then what is in it.
    async fn descend(&mut self, path: RelPath, node: &DirectoryNode) -> Result<(), StoreError> {
        self.run_ahead();
        let listing = self.levels.last_mut().and_then(|level| level.taken_ahead(&path));
        let page = match listing {
            Some(listing) => listed(listing).await,
            None if node.empty == Some(true) => Ok(Some(Page { entries: Vec::new(), more: false })),
            None => self.page(&path, None).await,
        };
        let page = match page {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(()),
            Err(error) if attempt::passing(&error) => return Err(error),
            Err(error) => {
                let what = What::Unreadable(error.to_string());
                self.ready.push_back(Item { path: path.marker(), what });
                return Ok(());
            }
        };
        let empty = page.entries.is_empty() && !page.more;
        let marker_expected =
            self.scope.covers_directory(&path) && (empty || self.markers == DirectoryMarkers::All);
        let mut level = Level::new(path.clone());
        level.fill(page);
        if !self.is_done(&path.marker()) {
            let what = What::Directory { marker_expected };
            self.ready.push_back(Item { path: path.marker(), what });
        }
        self.levels.push(level);
        self.run_ahead();
        Ok(())
    }

    /// The next page of the innermost directory.
    async fn load(&mut self) -> Result<(), StoreError> {
        let Some(level) = self.levels.last() else { return Ok(()) };
        let (directory, last) = (level.directory.clone(), level.last.clone());
        let page = self.page(&directory, last.as_deref()).await?;
        if let Some(level) = self.levels.last_mut() {
            level.fill(page.unwrap_or(Page { entries: Vec::new(), more: false }));
        }
        self.run_ahead();
        Ok(())
    }

    async fn page(
        &self,
        directory: &RelPath,
        after: Option<&[u8]>,
    ) -> Result<Option<Page>, StoreError> {
        attempt::ask(|| self.source.list(directory, after)).await
    }

    /// Lists the next child directories before their turn: one call after the other would make the
    /// walk as slow as the way to the source is long.
    fn run_ahead(&mut self) {
        let Some(level) = self.levels.last() else { return };
        let under_way = level.ahead.len();
        let directories = level.entries.iter().filter_map(|entry| match &entry.node {
            Node::Directory(node) if node.empty != Some(true) => Some(&entry.path),
            Node::Directory(_) | Node::File(_) | Node::Special(_) => None,
        });
        let begun = level.ahead.back().map(|(path, _)| path.clone());
        let fresh: Vec<RelPath> = directories
            .filter(|path| begun.as_ref().is_none_or(|begun| *path > begun))
            .filter(|path| self.scope.enters(path) && !self.cut.contains(path))
            .filter(|path| !self.is_all_done(path))
            .take(AHEAD.saturating_sub(under_way))
            .cloned()
            .collect();
        for path in fresh {
            let (source, directory) = (self.source.clone(), path.clone());
            let listing =
                tokio::spawn(async move { attempt::ask(|| source.list(&directory, None)).await });
            if let Some(level) = self.levels.last_mut() {
                level.ahead.push_back((path, listing));
            }
        }
    }
}

impl Level {
    fn new(directory: RelPath) -> Self {
        Self {
            directory,
            entries: VecDeque::new(),
            more: true,
            last: None,
            waiting: Vec::new(),
            ahead: VecDeque::new(),
        }
    }

    /// Bytes before the names of its children in their paths.
    fn prefix_bytes(&self) -> usize {
        if self.directory.is_root() { 0 } else { self.directory.as_bytes().len() + 1 }
    }

    fn fill(&mut self, page: Page) {
        let skip = self.prefix_bytes();
        if let Some(last) = page.entries.last() {
            self.last = last.path.as_bytes().get(skip..).map(<[u8]>::to_vec);
        }
        self.more = page.more && !page.entries.is_empty();
        self.entries = page.entries.into();
    }

    /// A child directory that comes before the next entry.
    fn due(&mut self) -> Option<(RelPath, DirectoryNode)> {
        let (path, _) = self.waiting.last()?;
        let comes_first = self.entries.front().is_none_or(|next| path.marker() <= next.path);
        if comes_first { self.waiting.pop() } else { None }
    }

    fn taken_ahead(&mut self, path: &RelPath) -> Option<Listing> {
        let at = self.ahead.iter().position(|(ahead, _)| ahead == path)?;
        self.ahead.remove(at).map(|(_, listing)| listing)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        for (_, listing) in &self.ahead {
            listing.abort();
        }
    }
}

async fn listed(listing: Listing) -> Result<Option<Page>, StoreError> {
    match listing.await {
        Ok(page) => page,
        Err(error) => Err(StoreError::Unavailable {
            message: format!("a listing was cut off: {error}"),
            remedy: "report it: this is a defect".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
