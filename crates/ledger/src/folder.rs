//! The state folder of one migration: its lock and what stands in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
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
        make(path, &mut sync).map_err(|error| LedgerError::file(path, error))?;
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

/// Makes the folder and those above it that are missing. What holds a name is synced, or it could
/// be lost with the power, and all that is durable within it.
fn make(path: &Path, sync: &mut dyn FnMut(&Path)) -> io::Result<()> {
    let named = path.ancestors().take_while(|above| *above == path || !above.exists());
    let holders: Vec<&Path> = named.filter_map(Path::parent).collect();
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
    for holder in holders {
        sync(if holder.as_os_str().is_empty() { Path::new(".") } else { holder });
    }
    Ok(())
}

/// Not every file system can, and not everybody may open what holds the folder.
fn sync(folder: &Path) {
    drop(File::open(folder).and_then(|folder| folder.sync_all()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_new_folder_lasts() {
        let parent = tempfile::tempdir().unwrap();
        let within = |name: &str| parent.path().join(name);
        let mut synced = Vec::new();
        make(&within("a/b/c"), &mut |folder| synced.push(folder.to_owned())).unwrap();
        assert_eq!(synced, [within("a/b"), within("a"), parent.path().to_owned()]);
        assert!(within("a/b/c").is_dir());
        // Whoever made it may have been killed before that.
        synced.clear();
        make(&within("a/b/c"), &mut |folder| synced.push(folder.to_owned())).unwrap();
        assert_eq!(synced, [within("a/b")]);
    }
}
