//! A source tree with the semantics of HDFS as measured on a real NameNode: what every operation
//! does to the tree, which transactions it takes and which events it gives.

use std::collections::btree_map;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use whimbrel_core::commit_marker;
use whimbrel_core::entry::{DirectoryNode, Entry, FileNode, Node, Page};
use whimbrel_core::event::{Event, EventBatch, StreamReply};
use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::{Epoch, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Reach;

use super::acl::Acl;
pub use super::file::Content;
use super::file::File;
use super::target::Carried;

/// Where a digest says of which history it is.
pub const PAST_SHIFT: u32 = 40;

/// The number of the root that the migration is of.
pub const ROOT_ID: u64 = 1;

/// Marks bytes that are a mixture of two states.
const TORN: Content = 1 << 40;

/// A file or directory.
#[derive(Clone, Debug)]
pub struct Inode {
    /// Kept over renames.
    pub id: u64,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Access control list.
    pub acl: Option<Acl>,
    /// Milliseconds.
    pub modified_ms: i64,
}

/// What an inode is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file.
    File(File),
}

/// The tree with its log of edits.
#[derive(Clone, Debug)]
pub struct Source {
    nodes: BTreeMap<RelPath, Inode>,
    log: Vec<EventBatch>,
    /// The newest transaction.
    pub txid: TxId,
    /// The oldest transaction still in the log.
    pub oldest: TxId,
    next_id: u64,
    next_content: u64,
    next_blocks: u64,
    clock_ms: i64,
    /// Every content that ever stood closed at a path (oracle O2).
    history: BTreeMap<RelPath, Vec<Content>>,
    /// The newest transaction that touched a path itself.
    touched: BTreeMap<RelPath, TxId>,
    /// The transaction of today's history that closed a content: those of one that was given up
    /// have numbers that are used a second time.
    closed_at: BTreeMap<Content, TxId>,
    /// What each commit marker spoke for at a path, as long as it stood there: the files of its
    /// directory that were closed before it, and neither went nor were opened again before it went.
    spoken_for: BTreeMap<(RelPath, Content), BTreeSet<RelPath>>,
    /// The root stands elsewhere for the time being: whatever is asked for is absent.
    pub root_away: bool,
    /// What stands in its place then.
    other_root: Option<u64>,
    /// What is asked for below the root is answered wherever that stands: it is known by number.
    pub found_by_number: bool,
    /// Which NameNode is active.
    active: Epoch,
    /// Which history this is: restoring an older state begins another one.
    pub past: u64,
}

impl Default for Source {
    fn default() -> Self {
        Self::new()
    }
}

impl Source {
    /// An empty root.
    pub fn new() -> Self {
        Self {
            nodes: BTreeMap::new(),
            log: Vec::new(),
            txid: TxId(1),
            oldest: TxId(1),
            next_id: 2,
            next_content: 1,
            next_blocks: 1,
            clock_ms: 1_000,
            history: BTreeMap::new(),
            touched: BTreeMap::new(),
            closed_at: BTreeMap::new(),
            spoken_for: BTreeMap::new(),
            root_away: false,
            other_root: None,
            found_by_number: false,
            active: Epoch(0),
            past: 0,
        }
    }

    fn is_directory(&self, path: &RelPath) -> bool {
        path.is_root() || matches!(self.nodes.get(path), Some(Inode { kind: Kind::Directory, .. }))
    }

    fn log(&mut self, silent: u64, events: Vec<Event>) {
        self.txid = TxId(self.txid.0 + 1 + silent);
        self.clock_ms += 1;
        let txid = self.txid;
        for path in events.iter().flat_map(paths_of) {
            self.touched.insert(path.clone(), txid);
        }
        // What happens below a root that stands elsewhere is out of scope.
        let away = self.root_away && events != [Event::RootTouched];
        let events = if away { Vec::new() } else { events };
        self.log.push(EventBatch { txid, events });
        self.note_commit_markers();
    }

    fn note_commit_markers(&mut self) {
        let closed = |node: &Inode| match &node.kind {
            Kind::File(file) if !file.open => Some(file.content()),
            Kind::File(_) | Kind::Directory => None,
        };
        for (marker, node) in &self.nodes {
            let Some(content) = closed(node).filter(|_| commit_marker::is_commit_marker(marker))
            else {
                continue;
            };
            let there = |path: &RelPath| self.nodes.get(path).and_then(closed).is_some();
            match self.spoken_for.entry((marker.clone(), content)) {
                btree_map::Entry::Occupied(mut known) => known.get_mut().retain(there),
                btree_map::Entry::Vacant(new) => {
                    let beside = |path: &RelPath| path.parent() == marker.parent();
                    let files = self.nodes.iter().filter(|(path, node)| {
                        let file = beside(path) && closed(node).is_some();
                        file && !commit_marker::is_commit_marker(path)
                    });
                    new.insert(files.map(|(path, _)| path.clone()).collect());
                }
            }
        }
    }

    /// What a commit marker spoke for while it stood at a path.
    pub fn spoken_for(&self, marker: &RelPath, content: Content) -> Option<&BTreeSet<RelPath>> {
        self.spoken_for.get(&(marker.clone(), content))
    }

    /// Renames the root or an ancestor of it away, or back.
    pub fn move_root(&mut self, away: bool) {
        if self.root_away != away {
            self.root_away = away;
            self.other_root = None;
            self.log(0, vec![Event::RootTouched]);
            self.touched.insert(RelPath::root(), self.txid);
        }
    }

    /// Renames the root away and makes another one in its place.
    pub fn replace_root(&mut self) {
        self.move_root(true);
        self.next_id += 1;
        self.other_root = Some(self.next_id);
        self.log(0, vec![Event::RootTouched]);
    }

    /// A file is written below the root that took the place of the first one.
    pub fn write_in_other_root(&mut self, path: &RelPath) {
        for event in [Event::Created(path.clone()), Event::Closed(path.clone())] {
            self.txid = self.txid.next();
            self.log.push(EventBatch { txid: self.txid, events: vec![event] });
        }
    }

    /// Goes back to an older state of the source: numbers of files, blocks and transactions are
    /// given a second time, for other bytes.
    pub fn restore(&mut self, older: &Self) {
        let mut history = std::mem::take(&mut self.history);
        for (path, contents) in &older.history {
            history.entry(path.clone()).or_default().extend(contents);
        }
        let (next_content, past) = (self.next_content, self.past + 1);
        let spoken_for = std::mem::take(&mut self.spoken_for);
        let active = self.active;
        let told = Self { spoken_for, ..older.clone() };
        *self = Self { history, next_content, past, active, ..told };
    }

    /// How many files and directories there are.
    pub fn nodes(&self) -> u64 {
        self.nodes.len() as u64
    }

    /// The newest transaction that touched a path or an ancestor of it.
    pub fn last_touch(&self, path: &RelPath) -> TxId {
        let at = |path: &RelPath| self.touched.get(path).copied().unwrap_or_default();
        path.ancestors().map(|above| at(&above)).fold(at(path), TxId::max).max(at(&RelPath::root()))
    }

    /// The transaction of today's history that closed a content: those of one that was given up
    /// have numbers that are used a second time.
    pub fn closed_at(&self, content: Content) -> Option<TxId> {
        self.closed_at.get(&content).copied()
    }

    fn remember(&mut self, path: &RelPath) {
        if let Some(Inode { kind: Kind::File(file), .. }) = self.nodes.get(path)
            && !file.open
        {
            let content = file.content();
            self.history.entry(path.clone()).or_default().push(content);
        }
    }

    fn remember_subtree(&mut self, path: &RelPath) {
        let paths: Vec<RelPath> = self.subtree(path);
        for path in paths {
            self.remember(&path);
        }
    }

    fn subtree(&self, path: &RelPath) -> Vec<RelPath> {
        self.nodes.keys().filter(|other| path.contains(other)).cloned().collect()
    }

    /// Makes a directory in an existing one.
    pub fn make_directory(&mut self, path: &RelPath) -> bool {
        let parent = path.parent().unwrap_or_default();
        if self.nodes.contains_key(path) || !self.is_directory(&parent) || path.is_root() {
            return false;
        }
        let node = self.inode(Kind::Directory, 0o755);
        self.nodes.insert(path.clone(), node);
        self.log(0, vec![Event::DirectoryMade(path.clone())]);
        true
    }

    fn inode(&mut self, kind: Kind, mode: u32) -> Inode {
        self.next_id += 1;
        Inode { id: self.next_id, kind, mode, acl: None, modified_ms: self.clock_ms }
    }

    /// Makes a file, or makes it anew over another; it is empty and open.
    pub fn create(&mut self, path: &RelPath) -> bool {
        let parent = path.parent().unwrap_or_default();
        if self.is_directory(path) || !self.is_directory(&parent) {
            return false;
        }
        let node = self.inode(Kind::File(File::begun()), 0o644);
        self.nodes.insert(path.clone(), node);
        self.log(0, vec![Event::Created(path.clone())]);
        true
    }

    /// Closes an open file after writing `length` bytes more.
    pub fn close(&mut self, path: &RelPath, length: u64) -> bool {
        let (content, blocks) = (self.next_content, self.next_blocks);
        let clock = self.clock_ms;
        let Some(node) = self.nodes.get_mut(path) else { return false };
        let Kind::File(file) = &mut node.kind else { return false };
        if !file.open {
            return false;
        }
        file.open = false;
        let silent = file.grow(length, content, blocks);
        if length > 0 {
            self.next_content += 1;
        }
        self.next_blocks += 1;
        node.modified_ms = clock;
        self.log(silent, vec![Event::Closed(path.clone())]);
        self.remember(path);
        if length > 0 {
            self.closed_at.insert(content, self.txid);
        }
        true
    }

    /// Opens a closed file for appending.
    pub fn append(&mut self, path: &RelPath) -> bool {
        let Some(Inode { kind: Kind::File(file), .. }) = self.nodes.get_mut(path) else {
            return false;
        };
        if file.open {
            return false;
        }
        file.open = true;
        self.log(0, vec![Event::Reopened(path.clone())]);
        true
    }

    /// Cuts off the last block of a closed file: no close follows.
    pub fn truncate(&mut self, path: &RelPath) -> bool {
        let content = self.next_content;
        let blocks = self.next_blocks;
        let clock = self.clock_ms;
        let Some(node) = self.nodes.get_mut(path) else { return false };
        let Kind::File(file) = &mut node.kind else { return false };
        if file.open || file.length() == 0 {
            return false;
        }
        self.next_content += 1;
        self.next_blocks += 1;
        file.cut(content, blocks);
        node.modified_ms = clock;
        self.log(0, vec![Event::Truncated(path.clone())]);
        self.remember(path);
        true
    }

    /// Rewrites the bytes with the same length and sets the time back: only blocks tell.
    pub fn rewrite_same_size(&mut self, path: &RelPath) -> bool {
        let Some(Inode { kind: Kind::File(file), modified_ms, .. }) = self.nodes.get(path) else {
            return false;
        };
        if file.open || file.length() == 0 {
            return false;
        }
        let (length, modified) = (file.length(), *modified_ms);
        if !self.create(path) || !self.close(path, length) {
            return false;
        }
        if let Some(node) = self.nodes.get_mut(path) {
            node.modified_ms = modified;
        }
        self.log(0, vec![Event::MetadataChanged(path.clone())]);
        true
    }

    /// Changes the mode.
    pub fn change_mode(&mut self, path: &RelPath, mode: u32) -> bool {
        let Some(node) = self.nodes.get_mut(path) else { return false };
        if node.mode == mode {
            return false;
        }
        node.mode = mode;
        self.log(0, vec![Event::MetadataChanged(path.clone())]);
        true
    }

    /// Sets the access control list, a whole one.
    pub fn set_acl(&mut self, path: &RelPath, acl: &str) -> bool {
        let Some(node) = self.nodes.get_mut(path) else { return false };
        let (rights, acl) = Acl::read(acl);
        node.mode = node.mode & !0o777 | rights;
        node.acl = Some(acl);
        self.log(0, vec![Event::MetadataChanged(path.clone())]);
        true
    }

    /// What the object of a path has to carry.
    pub fn carried(&self, path: &RelPath) -> Carried {
        let node = self.nodes.get(path);
        node.map_or(Carried::mode(0), |node| Carried::of(&metadata(node)))
    }

    /// Another NameNode became the active one; whoever still asks the old one hears of what was
    /// before.
    pub fn fail_over(&mut self) {
        self.active = Epoch(self.active.0 + 1);
        self.log(0, Vec::new());
    }

    /// Removes a file, or a directory with all below it: one event.
    pub fn delete(&mut self, path: &RelPath) -> bool {
        if path.is_root() || !self.nodes.contains_key(path) {
            return false;
        }
        for gone in self.subtree(path) {
            self.nodes.remove(&gone);
        }
        self.log(0, vec![Event::Removed(path.clone())]);
        true
    }

    /// Renames; over an existing file or empty directory if `overwrite`.
    pub fn rename(&mut self, from: &RelPath, to: &RelPath, overwrite: bool) -> bool {
        let parent = to.parent().unwrap_or_default();
        let possible = !from.is_root()
            && !to.is_root()
            && self.nodes.contains_key(from)
            && !from.contains(to)
            && !to.contains(from)
            && self.is_directory(&parent);
        if !possible {
            return false;
        }
        if let Some(there) = self.nodes.get(to) {
            let same_kind = matches!(there.kind, Kind::Directory) == self.is_directory(from);
            if !overwrite || !same_kind || self.subtree(to).len() > 1 {
                return false;
            }
            self.nodes.remove(to);
        }
        for path in self.subtree(from) {
            if let (Some(node), Some(moved)) = (self.nodes.remove(&path), from.rebase(&path, to)) {
                self.nodes.insert(moved, node);
            }
        }
        self.log(0, vec![Event::Renamed { from: Some(from.clone()), to: Some(to.clone()) }]);
        self.remember_subtree(to);
        true
    }

    /// Drops the log up to the newest transaction.
    pub fn purge(&mut self) {
        self.log(0, Vec::new());
        self.log.clear();
        self.oldest = self.txid.next();
    }

    /// What is otherwise than in an older state of it, as a snapshot difference of HDFS names it:
    /// nothing of what was changed and changed back, nor how files grew that were open then.
    pub fn difference_from(&self, older: &Self) -> Vec<(RelPath, Reach)> {
        let paths: BTreeSet<&RelPath> = self.nodes.keys().chain(older.nodes.keys()).collect();
        let differs = |path: &RelPath| match (older.nodes.get(path), self.nodes.get(path)) {
            (Some(then), Some(now)) if then.id == now.id => {
                is_otherwise(then, now).then_some(Reach::Path)
            }
            (None, None) => None,
            (_, _) => Some(Reach::Subtree),
        };
        let mut named: Vec<(RelPath, Reach)> = Vec::new();
        for path in paths {
            // What came, went or moved as a whole is named alone.
            let whole = |(above, reach): &(RelPath, Reach)| {
                *reach == Reach::Subtree && above.contains(path)
            };
            if let Some(reach) = differs(path)
                && !named.iter().any(whole)
            {
                named.push((path.clone(), reach));
            }
        }
        named
    }

    /// Files that are being written.
    pub fn open_files(&self) -> impl Iterator<Item = RelPath> + '_ {
        let open = |node: &Inode| matches!(&node.kind, Kind::File(file) if file.open);
        self.nodes.iter().filter(move |(_, node)| open(node)).map(|(path, _)| path.clone())
    }

    /// Every path that stands there.
    pub fn paths(&self) -> Vec<RelPath> {
        self.nodes.keys().cloned().collect()
    }

    /// Closed files with content, length and mode, and open ones with `None`.
    pub fn files(&self) -> BTreeMap<RelPath, Option<(Content, u64, u32)>> {
        let files = self.nodes.iter().filter_map(|(path, node)| match &node.kind {
            Kind::File(file) if file.open => Some((path.clone(), None)),
            Kind::File(file) => {
                Some((path.clone(), Some((file.content(), file.length(), node.mode))))
            }
            Kind::Directory => None,
        });
        files.collect()
    }

    /// Directories without children.
    pub fn empty_directories(&self) -> Vec<RelPath> {
        self.nodes
            .iter()
            .filter(|(path, node)| {
                matches!(node.kind, Kind::Directory) && self.subtree(path).len() == 1
            })
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// The content stood closed at the path at some time.
    pub fn ever_had(&self, path: &RelPath, content: Content) -> bool {
        self.history.get(path).is_some_and(|contents| contents.contains(&content))
    }

    /// The number of the root's directory; `None` if nothing stands there.
    pub fn root_key(&self) -> Option<u64> {
        if self.root_away { self.other_root } else { Some(ROOT_ID) }
    }

    fn answers(&self) -> bool {
        !self.root_away || self.found_by_number
    }

    /// What stands at a path.
    pub fn stat(&self, path: &RelPath) -> Option<Node> {
        if path.is_root() {
            return Some(Node::Directory(DirectoryNode {
                file_key: self.root_key()?,
                empty: Some(self.nodes.is_empty()),
                metadata: Metadata::default(),
            }));
        }
        if !self.answers() {
            return None;
        }
        self.nodes.get(path).map(|node| self.node(path, node))
    }

    fn node(&self, path: &RelPath, node: &Inode) -> Node {
        let metadata = metadata(node);
        match &node.kind {
            Kind::Directory => Node::Directory(DirectoryNode {
                file_key: node.id,
                empty: Some(self.subtree(path).len() == 1),
                metadata,
            }),
            Kind::File(file) => Node::File(FileNode {
                identity: Identity::Hdfs {
                    block_pool: 7,
                    file_id: node.id,
                    length: file.length(),
                    modified_ms: node.modified_ms,
                    blocks: file.blocks(),
                },
                open: file.open,
                metadata,
                pin: Bytes::copy_from_slice(&file.content().to_be_bytes()),
            }),
        }
    }

    /// A page of a directory.
    pub fn list(&self, directory: &RelPath, after: Option<&[u8]>, limit: usize) -> Option<Page> {
        if !self.answers() || !self.is_directory(directory) {
            return None;
        }
        let mut children: Vec<Entry> = self
            .nodes
            .iter()
            .filter(|(path, _)| path.parent().as_ref() == Some(directory))
            .filter(|(path, _)| after.is_none_or(|after| path.name() > after))
            .map(|(path, node)| Entry { path: path.clone(), node: self.node(path, node) })
            .collect();
        children.sort_by(|a, b| a.path.name().cmp(b.path.name()));
        let more = children.len() > limit;
        children.truncate(limit);
        Some(Page { entries: children, more })
    }

    /// A reader with a pinned file: the old bytes if the file was replaced or removed, the new
    /// ones if it was changed in place.
    pub fn read(&self, path: &RelPath, node: &FileNode) -> Content {
        self.read_beginning(path, node, node.identity.length())
    }

    /// What a reader has whose first part was read before, and who reads the rest now.
    pub fn read_rest(&self, path: &RelPath, node: &FileNode, first: Content) -> Content {
        let rest = self.read(path, node);
        if rest == first { first } else { rest + TORN }
    }

    /// What the first `length` bytes are.
    pub fn read_beginning(&self, path: &RelPath, node: &FileNode, length: u64) -> Content {
        let pinned = node.pin.as_ref().try_into().map(u64::from_be_bytes).unwrap_or_default();
        let id = node.identity.file_key();
        let by_id = self.nodes.values().find(|inode| Some(inode.id) == id);
        match by_id.or_else(|| self.nodes.get(path).filter(|inode| Some(inode.id) == id)) {
            Some(Inode { kind: Kind::File(file), .. }) => {
                // Cut and grown again in place: torn bytes that the source never had as a whole.
                file.beginning(length).unwrap_or(file.content() + TORN)
            }
            Some(_) | None => pinned,
        }
    }

    /// Events after a transaction; `None`: some are gone.
    pub fn events_after(&self, after: TxId, limit: usize) -> Option<StreamReply> {
        if after.next() < self.oldest {
            return None;
        }
        let batches: Vec<EventBatch> =
            self.log.iter().filter(|batch| batch.txid > after).take(limit).cloned().collect();
        let all = batches.len() < limit;
        let last = batches.last().map_or(after, |batch| batch.txid);
        let applied = if all { self.txid.max(after) } else { last };
        Some(StreamReply {
            epoch: self.active,
            applied,
            synced: self.txid,
            written: self.txid,
            batches,
            digest: applied.0 + (self.past << PAST_SHIFT),
            newest: None,
        })
    }
}

fn is_otherwise(then: &Inode, now: &Inode) -> bool {
    let bytes = match (&then.kind, &now.kind) {
        (Kind::File(then), Kind::File(now)) => !then.open && then.blocks() != now.blocks(),
        (Kind::Directory | Kind::File(_), _) => false,
    };
    // Of times nothing is told.
    bytes || (then.mode, &then.acl) != (now.mode, &now.acl)
}

fn metadata(node: &Inode) -> Metadata {
    Metadata {
        mode: node.mode,
        acl: node.acl.as_ref().map(|acl| acl.text(node.mode)),
        modified_ns: node.modified_ms * 1_000_000,
        ..Metadata::default()
    }
}

/// The paths that an event speaks of.
fn paths_of(event: &Event) -> Vec<&RelPath> {
    match event {
        Event::Created(path)
        | Event::Reopened(path)
        | Event::Closed(path)
        | Event::Truncated(path)
        | Event::DirectoryMade(path)
        | Event::Removed(path)
        | Event::MetadataChanged(path) => vec![path],
        Event::Renamed { from, to } => from.iter().chain(to).collect(),
        Event::RootTouched => Vec::new(),
    }
}
