//! Whether a disk has room.

use std::error::Error;
use std::path::Path;

use rustix::fs::statvfs;

/// What has to stay free for others.
const LEFT_BYTES: u64 = 2 << 30;

/// Bytes that may be used.
pub fn free_bytes(folder: &Path) -> Result<u64, Box<dyn Error>> {
    let disk = statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(LEFT_BYTES))
}

/// Fails unless so many bytes and files find room.
pub fn require(folder: &Path, bytes: u64, files: u64) -> Result<(), Box<dyn Error>> {
    let free = free_bytes(folder)?;
    if free < bytes {
        return Err(lacks(folder, &format!("{} MiB", free >> 20), &format!("{} MiB", bytes >> 20)));
    }
    let disk = statvfs(folder)?;
    // Some file systems do not count them.
    if disk.f_files > 0 && disk.f_favail < files {
        let free = disk.f_favail;
        return Err(lacks(folder, &format!("{free} files"), &files.to_string()));
    }
    Ok(())
}

fn lacks(folder: &Path, free: &str, needed: &str) -> Box<dyn Error> {
    let shown = folder.display();
    format!("{shown} has room for {free}, and {needed} are needed: set TMPDIR or --share").into()
}
