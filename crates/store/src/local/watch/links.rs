//! Files with several names (hard links). The kernel tells of a change under the name that it was
//! made through, and of nothing that is done through a name outside of the tree. So all names that
//! a look found are kept together: what happens to one happened to all, and a file that has more
//! names than are known is looked at again now and then.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, OFlags, RawDir, Statx};
use rustix::io::Errno;
use whimbrel_core::identity::Identity;
use whimbrel_core::path::RelPath;

use super::super::names::is_directory;
use super::super::node;
use super::super::root::{Root, open_quietly};

/// Names are searched for when no more files came that lack some, for so long.
const SEARCH_AFTER: Duration = Duration::from_millis(500);
/// And at the latest after this.
const SEARCH_BY: Duration = Duration::from_secs(60);
/// Files with names outside of the tree are looked at so often.
const ROUND_PAUSE: Duration = Duration::from_millis(500);
/// Searching and looking take at most this part of the time.
const PAUSE_FACTOR: u32 = 20;
const BUFFER_BYTES: usize = 64 * 1024;

/// Device and inode.
type FileId = (u64, u64);

/// The names of files that have several, for as long as somebody follows.
#[derive(Debug, Default)]
pub(in super::super) struct Links {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    followed: bool,
    files: HashMap<FileId, Linked>,
    names: BTreeMap<RelPath, FileId>,
    /// Changed, and no event of the kernel says so.
    untold: BTreeSet<RelPath>,
    /// Files that may have names in the tree which are not known.
    incomplete: HashSet<FileId>,
    /// When the first and the last of these came.
    incomplete_since: Option<(Instant, Instant)>,
    /// Others are being searched for.
    searching: bool,
    next_search: Option<Instant>,
    next_round: Option<Instant>,
}

#[derive(Debug, Default)]
struct Linked {
    names: BTreeSet<RelPath>,
    /// As many as the file system counts.
    links: u64,
    /// As of the last look; unknown while all its names are to be looked at.
    seen: Option<Identity>,
}

impl Links {
    /// From now on names are kept.
    pub(super) fn begin(&self) {
        self.lock().followed = true;
    }

    /// Nothing is known any more: everything is going to be looked at.
    pub(super) fn start_over(&self) {
        *self.lock() = Known { followed: true, ..Known::default() };
    }

    /// A path was looked at.
    pub(in super::super) fn saw(&self, path: &RelPath, look: &Statx) {
        let mut known = self.lock();
        if known.followed {
            known.saw(path, look);
        }
    }

    /// Nothing stands there any more.
    pub(in super::super) fn gone(&self, path: &RelPath) {
        self.lock().forget(path);
    }

    /// Nothing that is known stands there or below any more.
    pub(super) fn gone_below(&self, path: &RelPath) {
        let mut known = self.lock();
        let from = known.names.range(path.clone()..).map(|(name, _)| name);
        let prefix = path.as_bytes();
        let from = from.take_while(|name| name.as_bytes().starts_with(prefix));
        let below: Vec<RelPath> = from.filter(|name| path.contains(name)).cloned().collect();
        for name in below {
            known.forget(&name);
        }
    }

    /// The file of this name changed: its other names.
    pub(super) fn others(&self, path: &RelPath) -> Vec<RelPath> {
        let mut known = self.lock();
        let Some(id) = known.names.get(path).copied() else { return Vec::new() };
        let Some(file) = known.files.get_mut(&id) else { return Vec::new() };
        let others: Vec<RelPath> =
            file.names.iter().filter(|name| *name != path).cloned().collect();
        if !others.is_empty() {
            file.seen = None;
        }
        others
    }

    /// What changed without an event.
    pub(super) fn take_untold(&self) -> BTreeSet<RelPath> {
        std::mem::take(&mut self.lock().untold)
    }

    /// Something may have changed that was not told yet.
    pub(super) fn is_unsettled(&self) -> bool {
        let known = self.lock();
        known.searching || !known.untold.is_empty() || !known.incomplete.is_empty()
    }

    /// Searches for names and looks at files with names outside of the tree, if it is time to.
    pub(super) fn keep_up(&self, root: &Root, shallow: bool, wanted: &dyn Fn() -> bool) {
        let now = Instant::now();
        if self.is_search_due(now) {
            self.search(root, shallow, wanted);
            self.lock().next_search = Some(after_pause(now, SEARCH_AFTER));
        }
        let now = Instant::now();
        if self.lock().next_round.is_none_or(|at| at <= now) {
            self.look_around(root, wanted);
            self.lock().next_round = Some(after_pause(now, ROUND_PAUSE));
        }
    }

    fn is_search_due(&self, now: Instant) -> bool {
        let known = self.lock();
        let Some((first, last)) = known.incomplete_since else { return false };
        let rested = now >= last + SEARCH_AFTER || now >= first + SEARCH_BY;
        rested && known.next_search.is_none_or(|at| at <= now)
    }

    /// Goes through the tree for names of files that have more than are known.
    fn search(&self, root: &Root, shallow: bool, wanted: &dyn Fn() -> bool) {
        let sought = {
            let mut known = self.lock();
            known.searching = true;
            known.incomplete_since = None;
            std::mem::take(&mut known.incomplete)
        };
        let mut open = vec![RelPath::root()];
        while let Some(directory) = open.pop().filter(|_| wanted() && !sought.is_empty()) {
            // What went or may not be read has no name that is followed.
            let _ = self.search_in(root, &directory, &sought, &mut open);
            if shallow {
                open.clear();
            }
        }
        self.lock().searching = false;
    }

    fn search_in(
        &self,
        root: &Root,
        path: &RelPath,
        sought: &HashSet<FileId>,
        below: &mut Vec<RelPath>,
    ) -> Result<(), Errno> {
        let directory = open_quietly(root.directory(path.as_bytes())?, b"", OFlags::DIRECTORY)?;
        let mut buffer = vec![std::mem::MaybeUninit::uninit(); BUFFER_BYTES];
        let mut entries = RawDir::new(&directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let child = path.join(name);
            if is_directory(&directory, name, entry.file_type()) {
                below.push(child);
                continue;
            }
            let Ok(look) = node::look(&directory, name) else { continue };
            if sought.contains(&file_id(&look)) {
                self.found(child, &look);
            }
        }
        Ok(())
    }

    /// A name that was not known may have been looked at before the file had another one: what was
    /// done through that one since is news for this one.
    fn found(&self, path: RelPath, look: &Statx) {
        let mut known = self.lock();
        if known.names.get(&path) != Some(&file_id(look)) {
            known.saw(&path, look);
            known.untold.insert(path);
        }
    }

    /// Looks at the files that have names which are not known.
    fn look_around(&self, root: &Root, wanted: &dyn Fn() -> bool) {
        let partly = |(id, file): (&FileId, &Linked)| {
            let name = file.names.first().filter(|_| (file.names.len() as u64) < file.links)?;
            Some((*id, name.clone()))
        };
        let ones: Vec<(FileId, RelPath)> = self.lock().files.iter().filter_map(partly).collect();
        for (id, name) in ones.into_iter().take_while(|_| wanted()) {
            let looked = root.parent(name.as_bytes()).and_then(|(at, name)| node::look(at, name));
            let mut known = self.lock();
            match looked {
                Ok(look) if file_id(&look) == id => known.compare(&name, &look),
                // Another root is no word on what stands below this one.
                Err(errno) if !super::super::failure::is_absent(errno) => {}
                Ok(_) | Err(_) => known.forget(&name),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn saw(&mut self, path: &RelPath, look: &Statx) {
        let id = file_id(look);
        if self.names.get(path).is_some_and(|known| *known != id) {
            self.forget(path);
        }
        if node::file_type(look) != FileType::RegularFile || look.stx_nlink < 2 {
            self.forget(path);
            return;
        }
        let file = self.files.entry(id).or_default();
        let came = file.names.insert(path.clone());
        let links = u64::from(look.stx_nlink);
        let recounted = std::mem::replace(&mut file.links, links) != links;
        let now = node::identity(look);
        if file.seen.replace(now.clone()).is_some_and(|seen| seen != now) {
            self.untold.extend(file.names.iter().filter(|name| *name != path).cloned());
        }
        let complete = file.names.len() as u64 >= links;
        if came {
            self.names.insert(path.clone(), id);
        }
        if complete {
            self.incomplete.remove(&id);
        } else if came || recounted {
            self.incomplete.insert(id);
            let at = Instant::now();
            let first = self.incomplete_since.map_or(at, |(first, _)| first);
            self.incomplete_since = Some((first, at));
        }
        if self.incomplete.is_empty() {
            self.incomplete_since = None;
        }
    }

    /// A look that nobody asked for: if the file is another than at the last one, all its names are
    /// to be looked at.
    fn compare(&mut self, path: &RelPath, look: &Statx) {
        let now = node::identity(look);
        let Some(file) = self.files.get_mut(&file_id(look)) else { return };
        file.links = u64::from(look.stx_nlink);
        if file.seen.take_if(|seen| *seen != now).is_some() {
            self.untold.extend(file.names.iter().cloned());
        }
        if file.links < 2 {
            self.forget(path);
        }
    }

    fn forget(&mut self, path: &RelPath) {
        let Some(id) = self.names.remove(path) else { return };
        let Some(file) = self.files.get_mut(&id) else { return };
        file.names.remove(path);
        if file.names.is_empty() {
            self.files.remove(&id);
            self.incomplete.remove(&id);
        }
    }
}

fn file_id(look: &Statx) -> FileId {
    (node::device(look), look.stx_ino)
}

fn after_pause(began: Instant, at_least: Duration) -> Instant {
    let now = Instant::now();
    now + (now.duration_since(began) * PAUSE_FACTOR).max(at_least)
}
