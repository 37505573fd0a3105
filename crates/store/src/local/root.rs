//! Opens what lies under a root without ever leaving it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    Access, CWD, FileType, Mode, OFlags, ResolveFlags, Statx, access, openat, openat2,
};
use rustix::io::Errno;

use super::failure::is_absent;
use super::mounts::{Mounts, is_mounted};
use super::node;

/// The pinned root is gone, or another stands in its place. No file system answers with this one, so
/// that "absent below the root" is never mistaken for it, however soon the root is back.
pub(super) const ANOTHER_ROOT: Errno = Errno::REMCHG;

/// A file system that was mounted there, above or below is gone. No file system answers with this
/// one either.
pub(super) const UNMOUNTED: Errno = Errno::NOTUNIQ;

/// A handle of a directory to go on from, without the right to read it.
const LOOKING_UP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory (or a single file) and everything under it.
#[derive(Clone, Debug)]
pub(super) struct Root {
    path: PathBuf,
    /// Nothing below is told of another one that stands at the path (rule 1.5). No handle is kept:
    /// it would keep the file system from being unmounted.
    pinned: Option<u64>,
    /// Known to be mounted below; none for whoever only looks what stands there.
    mounts: Arc<Mounts>,
}

impl Root {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), pinned: None, mounts: Arc::default() }
    }

    /// The same, whatever is mounted below.
    pub(super) fn without_mounts(&self) -> Self {
        Self { mounts: Arc::default(), ..self.clone() }
    }

    pub(super) fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    /// The one that stands at the path now, and no other.
    pub(super) fn pinned(path: &Path) -> Result<Self, Errno> {
        let root = Self::new(path);
        let key = node::file_key(&node::look(root.open()?, b"")?);
        Ok(Self { pinned: Some(key), ..root })
    }

    /// What a pinned root is known by.
    pub(super) fn key(&self) -> Option<u64> {
        self.pinned
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole path of what lies at `below`, for messages.
    pub(super) fn shown(&self, below: &[u8]) -> Vec<u8> {
        let mut whole = self.path.as_os_str().as_bytes().to_vec();
        if !below.is_empty() {
            whole.push(b'/');
            whole.extend_from_slice(below);
        }
        whole
    }

    /// Whether names may be made and removed right below the root.
    pub(super) fn may_be_written(&self) -> Result<(), Errno> {
        access(&self.path, Access::WRITE_OK | Access::EXEC_OK)
    }

    /// Whether a root that does not stand yet could be made: the nearest directory above it that
    /// does stand may be written.
    pub(super) fn may_be_made(&self) -> Result<(), Errno> {
        for above in self.path.ancestors().skip(1) {
            let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
            match access(above, Access::WRITE_OK | Access::EXEC_OK) {
                Err(Errno::NOENT) => {}
                outcome => return outcome,
            }
        }
        Err(Errno::NOENT)
    }

    /// A handle of whatever stands at the root's path, for looking up only.
    pub(super) fn open(&self) -> Result<OwnedFd, Errno> {
        openat(CWD, &self.path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
    }

    /// A handle of the root as a directory, for looking up only; `ANOTHER_ROOT` unless the pinned
    /// one stands.
    fn top(&self) -> Result<OwnedFd, Errno> {
        let handle = match openat(CWD, &self.path, LOOKING_UP, Mode::empty()) {
            Err(errno) if self.pinned.is_some() && is_absent(errno) => return Err(ANOTHER_ROOT),
            outcome => outcome?,
        };
        match self.pinned {
            Some(pinned) if node::file_key(&node::look(&handle, b"")?) != pinned => {
                Err(ANOTHER_ROOT)
            }
            Some(_) | None => Ok(handle),
        }
    }

    /// A handle of a directory for looking up only; `ANOTHER_ROOT` unless the pinned one stands,
    /// `UNMOUNTED` unless on the way everything is mounted that was.
    pub(super) fn directory(&self, below: &[u8]) -> Result<OwnedFd, Errno> {
        let top = self.top()?;
        if below.contains(&b'/')
            && let Ok(handle) = self.in_one_step(&top, below, LOOKING_UP)
        {
            return Ok(handle);
        }
        let mut handle = top;
        let mut reached: Vec<u8> = Vec::with_capacity(below.len());
        for name in components(below)? {
            if !reached.is_empty() {
                reached.push(b'/');
            }
            reached.extend_from_slice(name);
            let next = openat(&handle, name, LOOKING_UP | OFlags::NOFOLLOW, Mode::empty());
            let next = next.map_err(|errno| self.absence(&reached, errno))?;
            if self.mounts.is_known(&reached) {
                self.check_mounted(&reached, &node::look(&next, b"")?, &handle)?;
            }
            handle = next;
        }
        Ok(handle)
    }

    /// Opens a file for reading, as `open_quietly` does.
    pub(super) fn file(&self, below: &[u8]) -> Result<OwnedFd, Errno> {
        if !below.is_empty() {
            let top = self.top()?;
            if let Ok(file) = quietly(|flags| self.in_one_step(&top, below, flags)) {
                return Ok(file);
            }
        }
        let (parent, name) = self.parent(below)?;
        open_quietly(parent, name, OFlags::empty())
    }

    /// Lets the kernel walk from the root's handle. Where that fails, or a kernel before 5.6 cannot
    /// do it, the walk from name to name tells why.
    fn in_one_step(&self, top: &OwnedFd, below: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let _ = components(below)?;
        if !self.mounts.none_is_known() {
            return Err(Errno::OPNOTSUPP);
        }
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(top, below, flags | OFlags::NOFOLLOW, Mode::empty(), within)
    }

    /// What it means that something could not be found at `below`.
    pub(super) fn absence(&self, below: &[u8], errno: Errno) -> Errno {
        if is_absent(errno) && self.mounts.goes_with(below) { UNMOUNTED } else { errno }
    }

    /// `UNMOUNTED` if `below`, of which `look` tells in the directory `above`, is known as a mount
    /// point and nothing is mounted there, or stands in the way of one.
    pub(super) fn check_mounted(
        &self,
        below: &[u8],
        look: &Statx,
        above: &OwnedFd,
    ) -> Result<(), Errno> {
        if self.mounts.is_known(below) && !is_mounted_in(look, above) {
            return Err(UNMOUNTED);
        }
        let leaf = node::file_type(look) != FileType::Directory && !self.mounts.is_known(below);
        if leaf && self.mounts.goes_with(below) { Err(UNMOUNTED) } else { Ok(()) }
    }

    /// The handle of the directory that holds `below`, and the last name; the name is empty for the
    /// root itself.
    pub(super) fn parent<'a>(&self, below: &'a [u8]) -> Result<(OwnedFd, &'a [u8]), Errno> {
        match below.iter().rposition(|byte| *byte == b'/') {
            _ if below.is_empty() => Ok((self.open()?, below)),
            Some(slash) => Ok((self.directory(&below[..slash])?, named(&below[slash + 1..])?)),
            None => Ok((self.directory(b"")?, named(below)?)),
        }
    }
}

/// What `look` describes in the directory `above` is the root of a mounted file system.
pub(super) fn is_mounted_in(look: &Statx, above: &OwnedFd) -> bool {
    is_mounted(look, || node::look(above, b"").ok().map(|look| node::device(&look)))
}

/// Opens a name for reading without following it, waiting on it (a fifo) or marking it as accessed
/// where the right to that exists (owner or root). An empty name opens `directory` itself anew.
pub(super) fn open_quietly(
    directory: impl AsFd,
    name: &[u8],
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    quietly(|quiet| match name {
        // Opening through /proc follows exactly one link: to the handle that is open already.
        b"" => openat(CWD, handle_path(&directory), flags | quiet, Mode::empty()),
        _ => openat(&directory, name, flags | quiet | OFlags::NOFOLLOW, Mode::empty()),
    })
}

fn quietly(open: impl Fn(OFlags) -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        outcome => outcome,
    }
}

/// The path under which the kernel shows an open handle.
pub(super) fn handle_path(handle: impl AsFd) -> String {
    format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd())
}

/// The same for a name in an open directory.
pub(super) fn handle_path_of(directory: impl AsFd, name: &[u8]) -> Vec<u8> {
    let mut path = handle_path(directory).into_bytes();
    if !name.is_empty() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    path
}

/// The smallest sequence of bytes after `name`.
pub(super) fn just_after(name: &[u8]) -> Vec<u8> {
    let mut next = name.to_vec();
    next.push(0);
    next
}

/// The names of a path; refused if one of them would mean something else to the kernel.
pub(super) fn components(path: &[u8]) -> Result<impl Iterator<Item = &[u8]>, Errno> {
    if !path.is_empty() {
        for name in path.split(|byte| *byte == b'/') {
            named(name)?;
        }
    }
    Ok(path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()))
}

fn named(name: &[u8]) -> Result<&[u8], Errno> {
    match name {
        b"" | b"." | b".." => Err(Errno::INVAL),
        _ if name.contains(&0) => Err(Errno::INVAL),
        _ => Ok(name),
    }
}
