//! Where files of a target are made before they stand under their names: a folder
//! `.whimbrel-tmp-MIGRATION` right below the root, there only while something is under way.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use super::root::{Root, open_quietly};
use crate::digest;

/// How the folders of every migration begin; no key may begin so.
pub(super) const STAGE_PREFIX: &str = ".whimbrel-tmp-";

/// The folder of one migration.
#[derive(Debug)]
pub(super) struct Stage {
    root: Root,
    folder: String,
    /// How many use it now.
    users: Mutex<u64>,
    next: AtomicU64,
}

/// The open folder; removed with the last one, if nothing is left in it.
#[derive(Debug)]
pub(super) struct Opened<'a> {
    stage: &'a Stage,
    folder: OwnedFd,
}

/// A file that does not stand under its name yet; removed if it never does.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) file: File,
    pub(super) name: String,
    opened: &'a Opened<'a>,
    kept: bool,
}

impl Stage {
    pub(super) fn new(root: Root, migration: &str) -> Self {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = migration.len() <= 128 && migration.bytes().all(plain);
        let name =
            if fits { migration.to_owned() } else { digest::sha256_hex(migration.as_bytes()) };
        let folder = format!("{STAGE_PREFIX}{name}");
        Self { root, folder, users: Mutex::new(0), next: AtomicU64::new(0) }
    }

    /// Opens the folder, making it if need be.
    pub(super) fn open(&self) -> Result<Opened<'_>, Errno> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let root = self.root.directory(b"")?;
        match mkdirat(&root, self.folder.as_str(), Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let folder = open_quietly(root, self.folder.as_bytes(), OFlags::DIRECTORY)?;
        *users += 1;
        Ok(Opened { stage: self, folder })
    }

    /// Removes what a dead process left, except for files whose name begins with one of `keep`.
    pub(super) fn sweep(&self, keep: &[String]) -> Result<(), Errno> {
        let root = self.root.directory(b"")?;
        match open_quietly(root, self.folder.as_bytes(), OFlags::DIRECTORY) {
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno),
            Ok(_) => {}
        }
        let opened = self.open()?;
        let mut buffer = [std::mem::MaybeUninit::uninit(); 8192];
        let mut entries = RawDir::new(&opened.folder, &mut buffer);
        let mut left = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let kept = keep.iter().any(|kept| name.starts_with(kept.as_bytes()));
            if !matches!(name, b"." | b"..") && !kept {
                left.push(name.to_vec());
            }
        }
        for name in left {
            opened.remove(&name)?;
        }
        Ok(())
    }
}

impl Opened<'_> {
    pub(super) fn folder(&self) -> &OwnedFd {
        &self.folder
    }

    /// A new, empty file that only this process writes.
    pub(super) fn draft(&self, attempt: u64) -> Result<Draft<'_>, Errno> {
        let number = self.stage.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{attempt}-{}-{number}", std::process::id());
        let file = self.create(&name)?;
        Ok(Draft { file, name, opened: self, kept: false })
    }

    /// Makes a file, emptied if it is there.
    pub(super) fn create(&self, name: &str) -> Result<File, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        Ok(openat(&self.folder, name, flags, mode)?.into())
    }

    /// Opens a file that must be there.
    pub(super) fn reopen(&self, name: &str) -> Result<File, Errno> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.folder, name, flags, Mode::empty())?.into())
    }

    /// Removes a file; fine if it is gone.
    pub(super) fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        let mut users = self.stage.users.lock().unwrap_or_else(PoisonError::into_inner);
        *users -= 1;
        if *users == 0
            && let Ok(root) = self.stage.root.directory(b"")
        {
            // Uploads under way keep it; so does nothing else for long.
            let _ = unlinkat(root, self.stage.folder.as_str(), AtFlags::REMOVEDIR);
        }
    }
}

impl Draft<'_> {
    /// It stands under its name now.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // What stays is swept at the next opening.
            let _ = self.opened.remove(self.name.as_bytes());
        }
    }
}
