//! A tree of a local or mounted file system as a source.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, OFlags, Statx, fstat};
use rustix::io::Errno;
use whimbrel_core::entry::{DirectoryNode, Entry, FileNode, Node, Page};
use whimbrel_core::identity::Identity;
use whimbrel_core::path::{Namespace, RelPath};

use super::account::Accounts;
use super::failure::{failure, io_failure, is_absent};
use super::hands::lend;
use super::listing::Listings;
use super::reading::{Pieces, hand_out, stream};
use super::root::{ANOTHER_ROOT, Root, UNMOUNTED, is_mounted_in, just_after, open_quietly};
use super::watch::{Links, LocalWatch};
use super::{blocking, node};
use crate::error::StoreError;
use crate::source::{Answer, ByteStream, ChangeStream, MountMemory, Source};

const PAGE_NAMES: usize = 1000;
/// The kernel's clock for file times ticks at least so often.
const CLOCK_TICK_NS: i64 = 10_000_000;
/// File systems that keep whole seconds count in steps of at most two.
pub(super) const COARSE_TICK_NS: i64 = 2_000_000_000;

/// A directory, or a single file, and everything under it. Nothing is ever written, access times
/// included where the user may leave them alone (owner of the file, or root).
///
/// A write is told from the times that the file system keeps: a program that maps a file into
/// memory changes them with the first store into a page since the kernel wrote it back.
#[derive(Clone, Debug)]
pub struct LocalSource {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: Root,
    /// The stream tells nothing of what lies below directories in the root.
    shallow: bool,
    listings: Listings,
    accounts: Accounts,
    /// What is looked at tells which names are of one file.
    links: Arc<Links>,
}

impl LocalSource {
    /// Opens the tree under `path`, which must stand there. The path itself may lead through
    /// symbolic links; below it none is followed.
    ///
    /// # Errors
    /// `Missing`, `Denied`; `Refused` for what is neither a directory nor a regular file.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::opened(path, false)
    }

    /// The same for whoever asks for a file directly in `path` alone: the stream watches no
    /// directory below, however many there are.
    pub fn open_shallow(path: &Path) -> Result<Self, StoreError> {
        Self::opened(path, true)
    }

    fn opened(path: &Path, shallow: bool) -> Result<Self, StoreError> {
        let shown = path.as_os_str().as_bytes();
        let root = Root::pinned(path).map_err(|errno| failure("open", shown, errno))?;
        let handle = root.open().map_err(|errno| failure("open", shown, errno))?;
        let state = fstat(&handle).map_err(|errno| failure("look at", shown, errno))?;
        let kind = FileType::from_raw_mode(state.st_mode);
        if !matches!(kind, FileType::Directory | FileType::RegularFile) {
            return Err(StoreError::Refused {
                message: format!("{} is neither a directory nor a file", path.display()),
                remedy: "name a directory or a regular file".to_owned(),
            });
        }
        if !Path::new("/proc/self/fd").exists() {
            return Err(StoreError::Unsupported {
                message: "/proc is not mounted".to_owned(),
                remedy: "mount proc at /proc: open files are named through it".to_owned(),
            });
        }
        let (listings, accounts) = (Listings::new(false), Accounts::default());
        let inner = Inner { root, shallow, listings, accounts, links: Arc::default() };
        Ok(Self { inner: Arc::new(inner) })
    }
}

impl Source for LocalSource {
    fn namespace(&self) -> Namespace {
        Namespace::Tree
    }

    fn describe(&self) -> String {
        format!("file://{}", self.inner.root.path().display())
    }

    fn root_key(&self) -> Option<u64> {
        self.inner.root.key()
    }

    fn list<'a>(
        &'a self,
        directory: &'a RelPath,
        after: Option<&'a [u8]>,
    ) -> Answer<'a, Option<Page>> {
        let inner = self.inner.clone();
        let (directory, after) = (directory.clone(), after.map(<[u8]>::to_vec));
        Box::pin(lend(move || inner.list(&directory, after.as_deref())))
    }

    fn stat<'a>(&'a self, path: &'a RelPath) -> Answer<'a, Option<Node>> {
        let (inner, path) = (self.inner.clone(), path.clone());
        Box::pin(lend(move || inner.stat(&path)))
    }

    fn read(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
        let (inner, path) = (self.inner.clone(), path.clone());
        let identity = node.identity.clone();
        stream(range.end - range.start, move |pieces| {
            inner.read(&path, |now| *now == identity, range, pieces)
        })
    }

    fn read_beginning(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
        let (inner, path) = (self.inner.clone(), path.clone());
        let identity = node.identity.clone();
        stream(range.end - range.start, move |pieces| {
            inner.read(&path, |now| may_have_grown(&identity, now), range, pieces)
        })
    }

    fn stored_checksum<'a>(
        &'a self,
        _path: &'a RelPath,
        _node: &'a FileNode,
        _length: u64,
    ) -> Answer<'a, Option<u32>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn xattrs<'a>(&'a self, path: &'a RelPath) -> Answer<'a, BTreeMap<String, Vec<u8>>> {
        let (inner, path) = (self.inner.clone(), path.clone());
        Box::pin(lend(move || inner.xattrs(&path)))
    }

    fn keep_mounts(&self, known: Vec<RelPath>, memory: MountMemory) {
        self.inner.root.mounts().keep(known, memory);
    }

    fn stream(&self) -> Answer<'_, Arc<dyn ChangeStream>> {
        let inner = self.inner.clone();
        Box::pin(blocking(move || {
            if !inner.root.path().is_dir() {
                return Err(StoreError::Unsupported {
                    message: format!("{} is no directory to follow", inner.root.path().display()),
                    remedy: "follow the directory that holds it, with --include".to_owned(),
                });
            }
            let (root, links) = (inner.root.without_mounts(), inner.links.clone());
            Ok(Arc::new(LocalWatch::open(root, inner.shallow, links)?) as Arc<dyn ChangeStream>)
        }))
    }
}

impl Inner {
    fn failed(&self, what: &str, path: &RelPath, errno: Errno) -> StoreError {
        let lost = || {
            self.root.mounts().around(path.as_bytes()).into_iter().find(|known| {
                let looked = self.root.parent(known.as_bytes()).and_then(|(above, name)| {
                    node::look(&above, name).map(|look| is_mounted_in(&look, &above))
                });
                looked != Ok(true)
            })
        };
        match (errno == UNMOUNTED).then(lost).flatten() {
            Some(known) => self.unmounted(&known),
            None => failure(what, &self.root.shown(path.as_bytes()), errno),
        }
    }

    fn unmounted(&self, known: &RelPath) -> StoreError {
        let whole = super::failure::shown(&self.root.shown(known.as_bytes()));
        StoreError::Conflict {
            message: format!("the file system that was mounted at {whole} is gone"),
            remedy: format!(
                "mount it again and start again; until then nothing is copied or removed there. If \
                 it is gone for good, start again with --forget-mount '{known}': its files count \
                 as removed then"
            ),
        }
    }

    fn directory(&self, path: &RelPath) -> Result<Option<OwnedFd>, StoreError> {
        let open = || {
            let handle = self.root.directory(path.as_bytes())?;
            open_quietly(handle, b"", OFlags::DIRECTORY)
        };
        match open() {
            Ok(handle) => Ok(Some(handle)),
            Err(errno) if is_absent(errno) || errno == ANOTHER_ROOT => Ok(None),
            Err(errno) => Err(self.failed("list", path, errno)),
        }
    }

    fn list(&self, path: &RelPath, after: Option<&[u8]>) -> Result<Option<Page>, StoreError> {
        let Some(directory) = self.directory(path)? else { return Ok(None) };
        let mut from = after.map(just_after).unwrap_or_default();
        loop {
            let names = self
                .listings
                .page(&directory, &from, PAGE_NAMES)
                .map_err(|error| io_failure("list", &self.root.shown(path.as_bytes()), &error))?;
            let mut entries = Vec::with_capacity(names.names.len());
            for name in &names.names {
                let child = path.join(name);
                match self.described(&directory, name, &child) {
                    // Others of the directory go on; the look at this path tells what is wrong.
                    Err(UNMOUNTED) => {
                        let node = Node::Special("place of a file system".to_owned());
                        entries.push(Entry { path: child, node });
                    }
                    outcome => {
                        let node = self.kept(&child, outcome)?;
                        entries.extend(node.map(|node| Entry { path: child, node }));
                    }
                }
            }
            // A page whose names all went says nothing about where to go on.
            if !entries.is_empty() || !names.more {
                return Ok(Some(Page { entries, more: names.more }));
            }
            from = names.names.last().map(|name| just_after(name)).unwrap_or_default();
        }
    }

    /// What stands at a name, and whether it is what is mounted there.
    fn described(
        &self,
        directory: &OwnedFd,
        name: &[u8],
        path: &RelPath,
    ) -> Result<(Node, bool), Errno> {
        let absence = |errno| self.root.absence(path.as_bytes(), errno);
        let look = node::look(directory, name).map_err(absence)?;
        self.root.check_mounted(path.as_bytes(), &look, directory)?;
        self.links.saw(path, &look);
        let node = node::node(&look, directory, name, &self.accounts).map_err(absence)?;
        Ok((node, is_mounted_in(&look, directory)))
    }

    /// `None` of what is absent.
    fn kept(
        &self,
        path: &RelPath,
        described: Result<(Node, bool), Errno>,
    ) -> Result<Option<Node>, StoreError> {
        match described {
            Ok((node, mounted)) => {
                if mounted {
                    self.root.mounts().saw(path)?;
                }
                Ok(Some(node))
            }
            Err(errno) if is_absent(errno) => {
                self.links.gone(path);
                Ok(None)
            }
            Err(errno) => Err(self.failed("look at", path, errno)),
        }
    }

    fn stat(&self, path: &RelPath) -> Result<Option<Node>, StoreError> {
        // The system would take no notice of those.
        if path.has_empty_component() {
            return Ok(None);
        }
        let (parent, name) = match self.root.parent(path.as_bytes()) {
            Ok(found) => found,
            Err(errno) if is_absent(errno) => return Ok(None),
            // `Missing`, where it is another root: nothing is known of the path.
            Err(errno) => return Err(self.failed("look at", path, errno)),
        };
        match self.kept(path, self.described(&parent, name, path))? {
            Some(Node::Directory(directory)) => {
                let empty = self.is_empty(path)?;
                Ok(Some(Node::Directory(DirectoryNode { empty, ..directory })))
            }
            other => Ok(other),
        }
    }

    fn is_empty(&self, path: &RelPath) -> Result<Option<bool>, StoreError> {
        let Some(directory) = self.directory(path)? else { return Ok(None) };
        let empty = is_empty(&directory).map_err(|errno| self.failed("list", path, errno))?;
        Ok(Some(empty))
    }

    fn read(
        &self,
        path: &RelPath,
        is_pinned: impl Fn(&Identity) -> bool,
        range: Range<u64>,
        pieces: &mut Pieces<'_>,
    ) -> Result<(), StoreError> {
        let file = self.open_file(path)?;
        let described = |file: &OwnedFd| {
            node::look(file, b"").map_err(|errno| self.failed("look at", path, errno))
        };
        let before = described(&file)?;
        let regular = node::file_type(&before) == FileType::RegularFile;
        if !regular || !is_pinned(&node::identity(&before)) {
            return Err(self.moved(path));
        }
        wait_for_next_tick(&before);
        let still = || {
            let now = node::identity(&described(&file)?);
            if is_pinned(&now) { Ok(()) } else { Err(self.moved(path)) }
        };
        let whole = self.root.shown(path.as_bytes());
        hand_out(&file, &whole, range, pieces, still)
    }

    fn open_file(&self, path: &RelPath) -> Result<OwnedFd, StoreError> {
        self.root.file(path.as_bytes()).map_err(|errno| {
            let moved = is_absent(errno) || errno == ANOTHER_ROOT;
            if moved { self.moved(path) } else { self.failed("read", path, errno) }
        })
    }

    fn moved(&self, path: &RelPath) -> StoreError {
        let whole = self.root.shown(path.as_bytes());
        let message = format!("{} changed under the reading", super::failure::shown(&whole));
        StoreError::Moved { message }
    }

    fn xattrs(&self, path: &RelPath) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let read = || -> Result<BTreeMap<String, Vec<u8>>, Errno> {
            let (parent, name) = self.root.parent(path.as_bytes())?;
            node::attributes(&parent, name)
        };
        match read() {
            Ok(found) => Ok(found),
            Err(errno) if is_absent(errno) || errno == ANOTHER_ROOT => Err(self.moved(path)),
            Err(errno) => Err(self.failed("read the attributes of", path, errno)),
        }
    }
}

/// Whether there is nothing in a directory. The kernel says "absent" of one that was removed since
/// it was opened, which of a path would mean that its root is gone.
fn is_empty(directory: &OwnedFd) -> Result<bool, Errno> {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut entries = rustix::fs::RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        match entry {
            Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
            Ok(_) => return Ok(false),
            Err(Errno::NOENT) => return Ok(true),
            Err(errno) => return Err(errno),
        }
    }
    Ok(true)
}

/// The same file, not shorter; what its bytes became in place is for a checksum to tell.
fn may_have_grown(then: &Identity, now: &Identity) -> bool {
    match (then, now) {
        (
            Identity::Local { device, inode, length, born_ns, .. },
            Identity::Local {
                device: device_now,
                inode: inode_now,
                length: length_now,
                born_ns: born_now_ns,
                ..
            },
        ) => {
            (device, inode, born_ns) == (device_now, inode_now, born_now_ns) && length_now >= length
        }
        (
            Identity::Local { .. }
            | Identity::Hdfs { .. }
            | Identity::Object { .. }
            | Identity::Marker
            | Identity::Unknown,
            _,
        ) => false,
    }
}

/// File times come from a clock that ticks. A file that changed in the tick under way could change
/// again without its times telling: reading begins when the tick is over.
fn wait_for_next_tick(look: &Statx) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let changed_ns = node::nanoseconds(&look.stx_ctime);
    let age_ns = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX).saturating_sub(changed_ns);
    let tick_ns = if changed_ns % 1_000_000_000 == 0 { COARSE_TICK_NS } else { CLOCK_TICK_NS };
    if (0..tick_ns).contains(&age_ns) {
        std::thread::sleep(Duration::from_nanos((tick_ns - age_ns).unsigned_abs()));
    }
}

#[cfg(test)]
mod tests;
