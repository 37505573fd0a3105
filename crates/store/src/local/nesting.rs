//! Does one root lie in the other? Then a migration would copy its own copies.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::failure::io_failure;
use super::root::Root;
use crate::error::StoreError;

/// How two roots lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nesting {
    /// They are one directory.
    Same,
    /// The target lies in the source.
    TargetInSource,
    /// The source lies in the target.
    SourceInTarget,
}

/// Where a directory lies within its file system, by whichever mount it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Inside {
    /// `MAJOR:MINOR`, as the kernel's list of mounts has it.
    device: Vec<u8>,
    path: PathBuf,
}

/// Tells whether one root lies in the other, also where symbolic links or mounts of a part of a
/// file system lead there; `None` if not. The target need not stand yet.
pub fn nested(source: &Path, target: &Path) -> Result<Option<Nesting>, StoreError> {
    let source = standing(source)?;
    let (target, target_stands) = nearest(target)?;
    let (source_in_target, target_in_source) =
        (lies_in(&source, &target)?, lies_in(&target, &source)?);
    Ok(match (source_in_target && target_stands, target_in_source) {
        (true, true) => Some(Nesting::Same),
        (false, true) => Some(Nesting::TargetInSource),
        (true, false) => Some(Nesting::SourceInTarget),
        (false, false) => None,
    })
}

fn standing(path: &Path) -> Result<PathBuf, StoreError> {
    path.canonicalize().map_err(|error| io_failure("find", &Root::new(path).shown(b""), &error))
}

/// The nearest ancestor that stands, and whether it is the path itself.
fn nearest(path: &Path) -> Result<(PathBuf, bool), StoreError> {
    let whole = std::path::absolute(path)
        .map_err(|error| io_failure("find", &Root::new(path).shown(b""), &error))?;
    for ancestor in whole.ancestors() {
        if ancestor.symlink_metadata().is_ok() {
            return Ok((standing(ancestor)?, ancestor == whole));
        }
    }
    Ok((standing(Path::new("/"))?, false))
}

/// True if `inner` is `outer` or lies below it. A directory can be mounted in two places: the way
/// up from one of them leads past what lies above it in the other.
fn lies_in(inner: &Path, outer: &Path) -> Result<bool, StoreError> {
    let key = |path: &Path| {
        let found = path.metadata();
        found
            .map(|found| (found.dev(), found.ino()))
            .map_err(|error| io_failure("find", &Root::new(path).shown(b""), &error))
    };
    let outer_key = key(outer)?;
    for ancestor in inner.ancestors() {
        if key(ancestor)? == outer_key {
            return Ok(true);
        }
    }
    Ok(match (inside(inner), inside(outer)) {
        (Some(inner), Some(outer)) => {
            inner.device == outer.device && inner.path.starts_with(&outer.path)
        }
        (Some(_) | None, _) => false,
    })
}

/// `None` where the kernel does not tell.
fn inside(path: &Path) -> Option<Inside> {
    let look = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
    let told = look.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    let mounts = std::fs::read("/proc/self/mountinfo").ok()?;
    if told { inside_mount(&mounts, look.stx_mnt_id, path) } else { None }
}

/// The first place below a directory where a file system is mounted now.
///
/// # Errors
/// The directory cannot be found, or what is mounted cannot be read.
pub(super) fn mounted_below(directory: &Path) -> Result<Option<PathBuf>, StoreError> {
    let shown = Root::new(directory).shown(b"");
    let failed = |error| io_failure("see what is mounted below", &shown, &error);
    let directory = directory.canonicalize().map_err(failed)?;
    let mounts = std::fs::read("/proc/self/mountinfo").map_err(failed)?;
    Ok(first_below(&mounts, &directory))
}

fn first_below(mounts: &[u8], directory: &Path) -> Option<PathBuf> {
    let places = mounts
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4).map(unescaped));
    places.filter(|place| place != directory && place.starts_with(directory)).min()
}

/// Form: `mountinfo` of proc_pid_mountinfo(5).
fn inside_mount(mounts: &[u8], mount: u64, path: &Path) -> Option<Inside> {
    mounts.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        if fields.next()? != mount.to_string().as_bytes() {
            return None;
        }
        let (_parent, device) = (fields.next()?, fields.next()?);
        let (root, mounted_at) = (unescaped(fields.next()?), unescaped(fields.next()?));
        let below = path.strip_prefix(mounted_at).ok()?;
        Some(Inside { device: device.to_vec(), path: root.join(below) })
    })
}

/// Spaces, line ends and backslashes stand there as a backslash and three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            Some(_) | None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"20 1 8:1 / / rw - ext4 /dev/vda rw
21 20 8:1 /data/a\\040b /mnt/bound rw shared:1 - ext4 /dev/vda rw
22 20 0:30 / /mnt/bound/tmp rw - tmpfs tmpfs rw
";

    #[test]
    fn mounts_below_a_directory_are_found() {
        let below = |directory: &str| first_below(MOUNTS, Path::new(directory));
        assert_eq!(below("/mnt/bound"), Some("/mnt/bound/tmp".into()));
        assert_eq!(below("/mnt"), Some("/mnt/bound".into()));
        assert_eq!(below("/mnt/bound/tmp"), None, "it is one itself");
        assert_eq!(below("/mnt/bo"), None);
    }

    #[test]
    fn one_directory_by_two_mounts() {
        let at = |mount, path: &str| inside_mount(MOUNTS, mount, Path::new(path));
        let inside = |device: &str, path: &str| {
            Some(Inside { device: device.as_bytes().to_vec(), path: PathBuf::from(path) })
        };
        assert_eq!(at(20, "/data/a b/c"), inside("8:1", "/data/a b/c"));
        assert_eq!(at(21, "/mnt/bound"), inside("8:1", "/data/a b"));
        assert_eq!(at(21, "/mnt/bound/c"), inside("8:1", "/data/a b/c"));
        assert_eq!(at(22, "/mnt/bound/tmp/x"), inside("0:30", "/x"));
        assert_eq!(at(23, "/mnt"), None);
    }
}
