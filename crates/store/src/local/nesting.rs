//! Does one root lie in the other? Then a migration would copy its own copies.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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

/// Tells whether one root lies in the other, also where symbolic links lead there; `None` if
/// not. The target need not stand yet.
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

/// True if `inner` is `outer` or lies below it. Compared by device and inode: a directory can be
/// mounted in two places.
fn lies_in(inner: &Path, outer: &Path) -> Result<bool, StoreError> {
    let key = |path: &Path| {
        let found = path.metadata();
        found
            .map(|found| (found.dev(), found.ino()))
            .map_err(|error| io_failure("find", &Root::new(path).shown(b""), &error))
    };
    let outer = key(outer)?;
    for ancestor in inner.ancestors() {
        if key(ancestor)? == outer {
            return Ok(true);
        }
    }
    Ok(false)
}
