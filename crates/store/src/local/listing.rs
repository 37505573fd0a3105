//! Pages of a directory's names, each as fresh as its question, without reading a large directory
//! once per page: the sorted names are kept while it is paged through, and the kernel is asked to
//! tell which names came since.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::inotify;
use rustix::io::Errno;

use super::names::{NamesPage, RUN_BYTES_MAX, SortedNames};
use super::node;
use super::root::handle_path;

/// Directories with at most so many names are read anew for every page.
const NAMES_FEW: usize = 4096;
/// Large directories that are kept at a time.
const KEPT_MAX: usize = 4;
/// When more names came than this, the directory is read anew.
const CAME_MAX: usize = 65_536;

/// The directories that are being paged through.
#[derive(Debug)]
pub(super) struct Listings {
    mark_directories: bool,
    kept: Mutex<Vec<Arc<Kept>>>,
}

#[derive(Debug)]
struct Kept {
    device: u64,
    inode: u64,
    names: SortedNames,
    came: Mutex<Came>,
}

/// Names that came since a directory was read.
#[derive(Debug)]
struct Came {
    watch: OwnedFd,
    names: BTreeSet<Vec<u8>>,
}

impl Listings {
    /// With `mark_directories` the names of directories end in `/` and sort so.
    pub(super) fn new(mark_directories: bool) -> Self {
        Self { mark_directories, kept: Mutex::new(Vec::new()) }
    }

    /// At least `count` names from `from` on (itself included) if there are so many, of a directory
    /// open for reading. Every name that
    /// stands in the directory from the question to the answer and lies in the page's range is in
    /// it; names that went may be too.
    pub(super) fn page(
        &self,
        directory: impl AsFd,
        from: &[u8],
        count: usize,
    ) -> std::io::Result<NamesPage> {
        let look = node::look(&directory, b"")?;
        let (device, inode) = (node::device(&look), look.stx_ino);
        if let Some(kept) = self.find(device, inode) {
            if let Some(came) = kept.came(self.mark_directories, from)? {
                let page = kept.names.page(from, count)?;
                if !page.more {
                    self.forget(device, inode);
                }
                return Ok(with_those_that_came(page, came));
            }
            self.forget(device, inode);
        }
        let names = SortedNames::read(&directory, self.mark_directories, RUN_BYTES_MAX)?;
        let large = names.count().is_none_or(|count| count > NAMES_FEW);
        let page = names.page(from, count)?;
        if large && page.more {
            self.keep(directory, device, inode)?;
        }
        Ok(page)
    }

    /// Watches first and reads then, so that no name comes in between unseen. Where no watch is to
    /// be had every page reads the directory: slow, and right.
    fn keep(&self, directory: impl AsFd, device: u64, inode: u64) -> std::io::Result<()> {
        let Ok(watch) = watch(&directory) else { return Ok(()) };
        let names = SortedNames::read(&directory, self.mark_directories, RUN_BYTES_MAX)?;
        let came = Mutex::new(Came { watch, names: BTreeSet::new() });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_MAX {
            kept.remove(0);
        }
        kept.push(Arc::new(Kept { device, inode, names, came }));
        Ok(())
    }

    fn find(&self, device: u64, inode: u64) -> Option<Arc<Kept>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|kept| (kept.device, kept.inode) == (device, inode)).cloned()
    }

    fn forget(&self, device: u64, inode: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| (kept.device, kept.inode) != (device, inode));
    }
}

impl Kept {
    /// Names from `from` on that came since; `None` if that is not known any more.
    fn came(&self, mark_directories: bool, from: &[u8]) -> std::io::Result<Option<Vec<Vec<u8>>>> {
        let mut came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
        let Came { watch, names } = &mut *came;
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut events = inotify::Reader::new(watch, &mut buffer);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(errno.into()),
            };
            let lost = inotify::ReadFlags::QUEUE_OVERFLOW | inotify::ReadFlags::IGNORED;
            if event.events().intersects(lost) || names.len() >= CAME_MAX {
                return Ok(None);
            }
            let Some(name) = event.file_name() else { continue };
            let mut name = name.to_bytes().to_vec();
            if mark_directories && event.events().contains(inotify::ReadFlags::ISDIR) {
                name.push(b'/');
            }
            names.insert(name);
        }
        Ok(Some(names.range(from.to_vec()..).cloned().collect()))
    }
}

fn watch(directory: impl AsFd) -> Result<OwnedFd, Errno> {
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    let flags =
        inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::ONLYDIR;
    inotify::add_watch(&watch, handle_path(directory), flags)?;
    Ok(watch)
}

fn with_those_that_came(mut page: NamesPage, came: Vec<Vec<u8>>) -> NamesPage {
    let last = if page.more { page.names.last().cloned() } else { None };
    let within = came.into_iter().filter(|name| last.as_ref().is_none_or(|last| name <= last));
    page.names.extend(within);
    page.names.sort_unstable();
    page.names.dedup();
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::{self, File};

    use super::*;

    /// A name that stands there from before the question is in the page that covers it, also when
    /// it came after the first page was asked for.
    #[test]
    fn pages_of_a_large_directory_are_fresh() {
        let folder = tempfile::tempdir().expect("a folder");
        let make = |name: &str| drop(File::create(folder.path().join(name)).expect("made"));
        for number in 0..6000 {
            make(&format!("{number:05}"));
        }
        let listings = Listings::new(false);
        let mut from = Vec::new();
        let mut found = BTreeSet::new();
        for number in 0.. {
            let directory = File::open(folder.path()).expect("opens");
            let page = listings.page(directory, &from, 1000).expect("a page");
            found.extend(page.names.iter().cloned());
            if !page.more {
                break;
            }
            let last = page.names.last().cloned().expect("a name");
            from = [last.as_slice(), b"\0"].concat();
            make(&format!("{}-came", String::from_utf8_lossy(&last)));
            make(&format!("00000-behind-{number}"));
            fs::rename(folder.path().join("05999"), folder.path().join("05998-moved")).ok();
        }
        assert_eq!(found.len(), 6000 + 5 + 1, "five came ahead of the cursor, one by a rename");
        assert!(found.contains(&b"05998-moved"[..]));
        assert!(!found.iter().any(|name| name.starts_with(b"00000-behind")));
        assert!(listings.kept.lock().expect("no panic").is_empty(), "nothing is kept at the end");
    }
}
