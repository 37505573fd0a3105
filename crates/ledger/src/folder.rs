//! The state folder of one migration: its lock and what stands in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{LedgerError, Result};

/// The database's name in the state folder.
pub const DATABASE: &str = "state.db";
/// The lock file's name in the state folder.
pub const LOCK: &str = "lock";

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A state folder that this process alone works in, until it is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held open for its lock, which the system takes back when the process ends.
    _lock: File,
}

impl Folder {
    /// Creates the folder where there is none, readable for this user alone, and takes its lock.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(path)
            .map_err(|error| LedgerError::file(path, error))?;
        let mode =
            fs::metadata(path).map_err(|error| LedgerError::file(path, error))?.permissions();
        if mode.mode() & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(FOLDER_MODE))
                .map_err(|error| LedgerError::file(path, error))?;
        }
        let lock = lock(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }
}

fn lock(directory: &Path) -> Result<File> {
    let path = directory.join(LOCK);
    let failed = |error| LedgerError::file(&path, error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.read_to_string(&mut text);
            let pid = read.ok().and_then(|_| text.trim().parse().ok());
            return Err(LedgerError::InUse { directory: directory.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}
