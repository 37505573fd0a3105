//! Reads the kernel's events and makes changes of them.
//!
//! An event names a watch and a name; by the time it is read both may stand elsewhere. So no event
//! about a directory is believed: each one makes us look what stands at its path now, watch that,
//! and look below it. A directory's last event is read after it came to its last place, so in the
//! end each is watched and known under its path.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use rustix::fs::{OFlags, RawDir};
use rustix::io::Errno;
use whimbrel_core::event::Event;
use whimbrel_core::path::RelPath;

use super::super::failure::{failure, is_absent};
use super::super::names::is_directory;
use super::super::root::{ANOTHER_ROOT, Root, handle_path, open_quietly};
use super::journal::Journal;
use super::links::Links;
use super::tree::Tree;
use super::walk::Walks;
use crate::error::StoreError;

/// How long the second half of a rename is waited for. Both are written at once.
const RENAME_WAIT: Duration = Duration::from_millis(20);
/// How long the close of a new file is waited for: links and pipes have none.
const CLOSE_WAIT: Duration = Duration::from_millis(200);
/// Writes into a file that stays open are told at most so often.
const CHANGE_WAIT: Duration = Duration::from_millis(300);
const RAISE_QUEUE: &str = "raise fs.inotify.max_queued_events (sysctl) to avoid it";
/// After a failure that is told by itself.
pub(super) const MEND_FIRST: &str =
    "keep the root in its place, and mend what was told of the source before";
const KEEP_ROOT: &str = "leave the root in its place, and mounted, while it is followed";
/// More than the kernel queues by default: whatever was queued before is read.
const READ_EVENTS_MAX: usize = 262_144;
const BUFFER_BYTES: usize = 64 * 1024;

/// One inotify instance over one tree.
#[derive(Debug)]
pub(super) struct Follower {
    root: Root,
    /// Nothing below the root's own files is followed.
    shallow: bool,
    inotify: OwnedFd,
    tree: Tree,
    /// Directories above the root, with the name that leads there (rule 1.5).
    above: HashMap<i32, Vec<u8>>,
    /// The root's own watch is gone, and with it all below may be: unmounted, or removed.
    root_unwatched: bool,
    /// Another root stands at the root's path.
    root_replaced: bool,
    links: Arc<Links>,
    pub(super) walks: Walks,
    moved: VecDeque<MovedFrom>,
    /// New files, until when their close is waited for.
    created: BTreeMap<RelPath, Instant>,
    /// Files that were written into, until when their close is waited for.
    changed: BTreeMap<RelPath, Instant>,
    pub(super) journal: Journal,
    /// What to do that the last gap does not come again.
    pub(super) gap_remedy: &'static str,
}

/// The first half of a rename.
#[derive(Debug)]
struct MovedFrom {
    cookie: u32,
    path: RelPath,
    /// The directory's watch.
    directory: Option<i32>,
    number: u64,
    until: Instant,
}

/// One event, free of the buffer that it was read into.
struct Told {
    watch: i32,
    flags: ReadFlags,
    cookie: u32,
    name: Option<Vec<u8>>,
}

impl Follower {
    /// Watches the root, and every directory below it unless it is to be `shallow`.
    pub(super) fn new(
        root: Root,
        shallow: bool,
        links: Arc<Links>,
        start: u64,
    ) -> Result<Self, StoreError> {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let inotify = inotify::init(flags).map_err(|errno| no_instance(&root, errno))?;
        let mut follower = Self {
            root,
            shallow,
            inotify,
            tree: Tree::default(),
            above: HashMap::new(),
            root_unwatched: false,
            root_replaced: false,
            links,
            walks: Walks::new(),
            moved: VecDeque::new(),
            created: BTreeMap::new(),
            changed: BTreeMap::new(),
            journal: Journal::new(start),
            gap_remedy: RAISE_QUEUE,
        };
        follower.watch_all()?;
        Ok(follower)
    }

    /// Directories of the tree that are watched.
    #[cfg(test)]
    pub(super) fn watches(&self) -> usize {
        self.tree.watches().len()
    }

    pub(super) fn handle(&self) -> std::io::Result<OwnedFd> {
        self.inotify.as_fd().try_clone_to_owned()
    }

    /// Reads all that the kernel has queued, and tells what was waited for long enough.
    pub(super) fn follow(&mut self) -> Result<(), StoreError> {
        let mut overflowed = false;
        let mut read = 0;
        loop {
            let told = self.read().map_err(|errno| self.failed("follow", errno))?;
            if told.is_empty() || read > READ_EVENTS_MAX {
                break;
            }
            read += told.len();
            self.walks.news();
            for event in told {
                overflowed |= event.flags.contains(ReadFlags::QUEUE_OVERFLOW);
                if !overflowed {
                    self.take(event)?;
                }
            }
        }
        if self.look_at_root() || overflowed {
            self.start_over(if overflowed { RAISE_QUEUE } else { KEEP_ROOT })?;
        }
        for path in self.links.take_untold() {
            self.walks.told(&path);
            self.journal.add(Event::Truncated(path));
        }
        self.expire();
        Ok(())
    }

    /// The kernel tells nothing of what is mounted over the root: so the root is looked up by its
    /// path. True if it is back: what came below it meanwhile is not watched.
    fn look_at_root(&mut self) -> bool {
        let found = self.root.directory(b"");
        let replaced = matches!(found, Err(ANOTHER_ROOT));
        if replaced && !self.root_replaced {
            self.journal.add(Event::RootTouched);
        }
        let was_away = self.root_unwatched || self.root_replaced;
        self.root_replaced |= replaced;
        was_away && found.is_ok()
    }

    /// Watches everything anew; what happened until now is a gap, and `remedy` what to do that it
    /// does not come again.
    pub(super) fn start_over(&mut self, remedy: &'static str) -> Result<(), StoreError> {
        let before = std::mem::take(&mut self.tree).watches();
        self.moved.clear();
        self.created.clear();
        self.changed.clear();
        self.links.start_over();
        self.watch_all()?;
        self.root_unwatched = false;
        self.root_replaced = false;
        for watch in before {
            if !self.tree.contains(watch) {
                self.unwatch(watch);
            }
        }
        self.journal.gap();
        self.gap_remedy = remedy;
        Ok(())
    }

    /// True while something is waited for that happened already.
    pub(super) fn is_unsettled(&self) -> bool {
        let waits = !(self.moved.is_empty() && self.created.is_empty() && self.changed.is_empty());
        waits || self.links.is_unsettled() || self.walks.is_unsettled()
    }

    /// A walk met these files, modified at these times.
    pub(super) fn found(&mut self, files: Vec<(RelPath, i64)>) {
        for (path, modified_ns) in files {
            if self.walks.is_untold(&path, modified_ns) {
                self.walks.told_as_of(&path, modified_ns);
                self.journal.add(Event::Truncated(path));
            }
        }
    }

    /// When the next wait ends.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let moved = self.moved.front().map(|moved| moved.until);
        let others = self.created.values().chain(self.changed.values()).min().copied();
        moved.into_iter().chain(others).min()
    }

    fn read(&self) -> Result<Vec<Told>, Errno> {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut told = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => told.push(Told {
                    watch: event.wd(),
                    flags: event.events(),
                    cookie: event.cookie(),
                    name: event.file_name().map(|name| name.to_bytes().to_vec()),
                }),
                Err(Errno::AGAIN) => return Ok(told),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
            if reader.is_buffer_empty() {
                return Ok(told);
            }
        }
    }

    fn take(&mut self, told: Told) -> Result<(), StoreError> {
        if let Some(name) = self.above.get(&told.watch) {
            if told.name.as_ref() == Some(name) {
                self.journal.add(Event::RootTouched);
            }
            if !self.tree.contains(told.watch) {
                return Ok(());
            }
        }
        if told.flags.contains(ReadFlags::IGNORED) {
            return self.watch_ended(told.watch);
        }
        let Some(path) = self.tree.path(told.watch) else { return Ok(()) };
        let Some(name) = &told.name else {
            self.take_own(told.watch, told.flags);
            return Ok(());
        };
        let child = path.join(name);
        if told.flags.contains(ReadFlags::ISDIR) {
            return self.take_directory(&told, name, child);
        }
        self.take_file(&told, child);
        Ok(())
    }

    /// An event about a watched directory itself; its parent's watch tells the same of all but the
    /// root.
    fn take_own(&mut self, watch: i32, flags: ReadFlags) {
        if !self.tree.is_root(watch) {
            return;
        }
        let lost = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
        if flags.intersects(lost) {
            self.journal.add(Event::RootTouched);
        } else if flags.contains(ReadFlags::ATTRIB) {
            self.journal.add(Event::MetadataChanged(RelPath::root()));
        }
    }

    /// The kernel took a watch away: the directory was removed, or its file system unmounted.
    fn watch_ended(&mut self, watch: i32) -> Result<(), StoreError> {
        if self.tree.is_root(watch) {
            self.root_unwatched = true;
            self.journal.add(Event::RootTouched);
            return Ok(());
        }
        let Some(path) = self.tree.path(watch) else {
            if self.tree.is_detached(watch) {
                self.forget(watch);
            }
            return Ok(());
        };
        self.forget(watch);
        let (above, name) = path.split();
        if let Some(parent) = self.tree.find(&above) {
            self.look_again(parent, &name, &path)?;
        }
        self.journal.add(Event::Renamed { from: None, to: Some(path) });
        Ok(())
    }

    fn take_file(&mut self, told: &Told, path: RelPath) {
        if told.flags.contains(ReadFlags::CREATE) {
            self.walks.told(&path);
            self.created.insert(path.clone(), Instant::now() + CLOSE_WAIT);
            self.journal.add(Event::Created(path));
        } else if told.flags.contains(ReadFlags::CLOSE_WRITE) {
            for path in self.all_names(path) {
                self.walks.told(&path);
                self.settled(&path);
                self.journal.add(Event::Closed(path));
            }
        } else if told.flags.contains(ReadFlags::MODIFY) {
            for path in self.all_names(path) {
                self.walks.told(&path);
                self.changed.entry(path).or_insert_with(|| Instant::now() + CHANGE_WAIT);
            }
        } else if told.flags.contains(ReadFlags::ATTRIB) {
            for path in self.all_names(path) {
                self.journal.add(Event::MetadataChanged(path));
            }
        } else if told.flags.contains(ReadFlags::DELETE) {
            self.went(&path);
            self.journal.add(Event::Removed(path));
        } else if told.flags.contains(ReadFlags::MOVED_FROM) {
            self.went(&path);
            self.moved_from(told.cookie, path, None);
        } else if told.flags.contains(ReadFlags::MOVED_TO) {
            self.walks.told(&path);
            self.settled(&path);
            self.moved_to(told.cookie, path);
        }
    }

    /// What happened to a file under one of its names happened to it under all.
    fn all_names(&self, path: RelPath) -> Vec<RelPath> {
        let mut names = self.links.others(&path);
        names.push(path);
        names
    }

    fn went(&mut self, path: &RelPath) {
        self.settled(path);
        self.links.gone(path);
    }

    fn take_directory(
        &mut self,
        told: &Told,
        name: &[u8],
        path: RelPath,
    ) -> Result<(), StoreError> {
        if told.flags.contains(ReadFlags::ATTRIB) {
            self.journal.add(Event::MetadataChanged(path));
            return Ok(());
        }
        if told.flags.intersects(ReadFlags::MOVED_FROM | ReadFlags::DELETE) {
            self.links.gone_below(&path);
        }
        let stood = self.tree.detach(told.watch, name);
        let held_something = self.look_again(told.watch, name, &path)?;
        if told.flags.contains(ReadFlags::MOVED_FROM) {
            self.moved_from(told.cookie, path, stood);
            return Ok(());
        }
        if told.flags.contains(ReadFlags::MOVED_TO) {
            self.moved_to(told.cookie, path);
        } else if told.flags.contains(ReadFlags::CREATE) {
            self.journal.add(Event::DirectoryMade(path.clone()));
            if held_something {
                self.journal.add(Event::Renamed { from: None, to: Some(path) });
            }
        } else if told.flags.contains(ReadFlags::DELETE) {
            self.journal.add(Event::Removed(path));
        }
        if let Some(stood) = stood {
            self.forget_detached(stood);
        }
        Ok(())
    }

    fn moved_from(&mut self, cookie: u32, path: RelPath, directory: Option<i32>) {
        let number = self.journal.reserve();
        let until = Instant::now() + RENAME_WAIT;
        self.moved.push_back(MovedFrom { cookie, path, directory, number, until });
    }

    /// What came is watched already, so nothing below it is missed.
    fn moved_to(&mut self, cookie: u32, path: RelPath) {
        let first = self.moved.iter().position(|moved| moved.cookie == cookie);
        match first.and_then(|place| self.moved.remove(place)) {
            Some(moved) => {
                let event = Event::Renamed { from: Some(moved.path), to: Some(path) };
                self.journal.fill(moved.number, event);
                if let Some(directory) = moved.directory {
                    self.forget_detached(directory);
                }
            }
            None => self.journal.add(Event::Renamed { from: None, to: Some(path) }),
        }
    }

    fn settled(&mut self, path: &RelPath) {
        self.created.remove(path);
        self.changed.remove(path);
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some(moved) = self.moved.pop_front_if(|moved| moved.until <= now) {
            let event = Event::Renamed { from: Some(moved.path), to: None };
            self.journal.fill(moved.number, event);
            if let Some(directory) = moved.directory {
                self.forget_detached(directory);
            }
        }
        for path in expired(&mut self.created, now) {
            self.journal.add(Event::Closed(path));
        }
        for path in expired(&mut self.changed, now) {
            self.journal.add(Event::Truncated(path));
        }
    }

    fn watch_all(&mut self) -> Result<(), StoreError> {
        let shown = self.root.shown(b"");
        let handle = self.root.directory(b"").map_err(|errno| failure("watch", &shown, errno))?;
        let own = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        let watch = self.add_watch(&handle, watch_flags() | own)?;
        self.tree.set_root(watch);
        if !self.shallow {
            self.watch_below(watch, handle, &RelPath::root())?;
        }
        self.watch_above();
        Ok(())
    }

    /// The kernel tells of a directory's own moves, but not of those of the ones above it.
    fn watch_above(&mut self) {
        self.above.clear();
        let Ok(path) = self.root.path().canonicalize() else { return };
        for below in path.ancestors() {
            let (Some(above), Some(name)) = (below.parent(), below.file_name()) else { continue };
            let flags = WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
            // Where there is no right to watch, the root's identity is looked at anyway.
            let added = inotify::add_watch(&self.inotify, above, flags | WatchFlags::MASK_ADD);
            if let Ok(watch) = added {
                self.above.insert(watch, name.as_bytes().to_vec());
            }
        }
    }

    /// Watches what stands at the path now, if it is a directory, and all below. True if there is
    /// anything in it.
    fn look_again(&mut self, parent: i32, name: &[u8], path: &RelPath) -> Result<bool, StoreError> {
        if self.shallow {
            return Ok(false);
        }
        let handle = match self.root.directory(path.as_bytes()) {
            Ok(handle) => handle,
            Err(errno) if is_absent(errno) || matches!(errno, Errno::ACCESS | ANOTHER_ROOT) => {
                return Ok(false);
            }
            Err(errno) => return Err(self.failed("watch", errno)),
        };
        self.watch_one(parent, name, handle, path)
    }

    fn watch_one(
        &mut self,
        parent: i32,
        name: &[u8],
        handle: OwnedFd,
        path: &RelPath,
    ) -> Result<bool, StoreError> {
        let watch = match self.add_watch(&handle, watch_flags()) {
            Ok(watch) => watch,
            // What may not be read is reported when it is listed.
            Err(StoreError::Denied { .. } | StoreError::Missing { .. }) => return Ok(true),
            Err(error) => return Err(error),
        };
        if let Some(displaced) = self.tree.put(parent, name, watch) {
            self.forget_detached(displaced);
        }
        self.watch_below(watch, handle, path)
    }

    fn watch_below(
        &mut self,
        watch: i32,
        handle: OwnedFd,
        path: &RelPath,
    ) -> Result<bool, StoreError> {
        let mut holds = false;
        let mut open = vec![(watch, handle, path.clone())];
        while let Some((watch, handle, path)) = open.pop() {
            let (names, any) = match directories_in(&handle) {
                Ok(found) => found,
                Err(errno) if is_absent(errno) || errno == Errno::ACCESS => continue,
                Err(errno) => return Err(self.failed("list", errno)),
            };
            holds |= any;
            for name in names {
                let child = path.join(&name);
                let Ok(handle) = self.root.directory(child.as_bytes()) else { continue };
                let below = match self.add_watch(&handle, watch_flags()) {
                    Ok(below) => below,
                    Err(StoreError::Denied { .. } | StoreError::Missing { .. }) => continue,
                    Err(error) => return Err(error),
                };
                if let Some(displaced) = self.tree.put(watch, &name, below) {
                    self.forget_detached(displaced);
                }
                open.push((below, handle, child));
            }
        }
        Ok(holds)
    }

    fn add_watch(&self, directory: &OwnedFd, flags: WatchFlags) -> Result<i32, StoreError> {
        let added = inotify::add_watch(&self.inotify, handle_path(directory), flags);
        added.map_err(|errno| match errno {
            Errno::NOSPC => too_many(&self.root, self.tree.watches().len()),
            other => self.failed("watch", other),
        })
    }

    fn forget_detached(&mut self, watch: i32) {
        if self.tree.is_detached(watch) {
            self.forget(watch);
        }
    }

    fn forget(&mut self, watch: i32) {
        for watch in self.tree.remove(watch) {
            self.unwatch(watch);
        }
    }

    /// The kernel may have taken the watch away itself: nothing is left to do then.
    fn unwatch(&self, watch: i32) {
        let _ = inotify::remove_watch(&self.inotify, watch);
    }

    fn failed(&self, what: &str, errno: Errno) -> StoreError {
        failure(what, &self.root.shown(b""), errno)
    }
}

fn watch_flags() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::MODIFY
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::ATTRIB
        | WatchFlags::ONLYDIR
}

fn expired(waiting: &mut BTreeMap<RelPath, Instant>, now: Instant) -> Vec<RelPath> {
    waiting.extract_if(.., |_, until| *until <= now).map(|(path, _)| path).collect()
}

/// Names of the directories in a directory, and whether there is anything in it.
fn directories_in(handle: &OwnedFd) -> Result<(Vec<Vec<u8>>, bool), Errno> {
    let directory = open_quietly(handle, b"", OFlags::DIRECTORY)?;
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
    let mut entries = RawDir::new(&directory, &mut buffer);
    let (mut names, mut any) = (Vec::new(), false);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        any = true;
        if is_directory(&directory, name, entry.file_type()) {
            names.push(name.to_vec());
        }
    }
    Ok((names, any))
}

fn too_many(root: &Root, watches: usize) -> StoreError {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches");
    let limit = limit.map(|text| text.trim().to_owned()).unwrap_or_default();
    StoreError::Unavailable {
        message: format!(
            "the kernel allows no more inotify watches (limit {limit}) after {watches} directories \
             of {}; each directory takes one",
            root.path().display()
        ),
        remedy: "raise the limit above the number of directories: \
                 sysctl fs.inotify.max_user_watches=4194304"
            .to_owned(),
    }
}

fn no_instance(root: &Root, errno: Errno) -> StoreError {
    match errno {
        Errno::MFILE => StoreError::Unavailable {
            message: format!("no inotify instance is left to follow {}", root.path().display()),
            remedy: "raise the limit: sysctl fs.inotify.max_user_instances=1024".to_owned(),
        },
        other => failure("follow", &root.shown(b""), other),
    }
}
