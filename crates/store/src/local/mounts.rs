//! Which file systems are mounted below a source's root. One that is gone leaves a directory (or
//! nothing) in its place: what stood in it is then not known, and must not be taken for removed.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::{Statx, StatxAttributes};
use whimbrel_core::path::RelPath;

use super::node;
use crate::error::StoreError;
use crate::source::MountMemory;

/// The mount points that were ever seen, and who keeps them beyond this process.
#[derive(Default)]
pub(super) struct Mounts {
    known: Mutex<BTreeSet<RelPath>>,
    memory: OnceLock<MountMemory>,
}

impl std::fmt::Debug for Mounts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Mounts").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Mounts {
    /// From now on every mount point is known that was known before, and `memory` keeps new ones.
    pub(super) fn keep(&self, known: Vec<RelPath>, memory: MountMemory) {
        self.lock().extend(known);
        let _ = self.memory.set(memory);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<RelPath>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file system is mounted at the path. It is kept durably before anything is told of what
    /// stands in it.
    pub(super) fn saw(&self, path: &RelPath) -> Result<(), StoreError> {
        let Some(memory) = self.memory.get() else { return Ok(()) };
        if !path.is_root() && !self.lock().contains(path) && memory(path)? {
            self.lock().insert(path.clone());
        }
        Ok(())
    }

    pub(super) fn is_known(&self, path: &[u8]) -> bool {
        let known = self.lock();
        !known.is_empty() && known.contains(&RelPath::new(path.to_vec()))
    }

    pub(super) fn none_is_known(&self) -> bool {
        self.lock().is_empty()
    }

    /// Where nothing stands at the path, a mount point at it or below it went along.
    pub(super) fn goes_with(&self, path: &[u8]) -> bool {
        self.lock().iter().any(|known| is_at_or_below(known.as_bytes(), path))
    }

    /// The known mount points at the path, above it and below it.
    pub(super) fn around(&self, path: &[u8]) -> Vec<RelPath> {
        let near = |known: &&RelPath| {
            is_at_or_below(known.as_bytes(), path) || is_at_or_below(path, known.as_bytes())
        };
        self.lock().iter().filter(near).cloned().collect()
    }
}

fn is_at_or_below(path: &[u8], above: &[u8]) -> bool {
    let rest = path.strip_prefix(above);
    rest.is_some_and(|rest| above.is_empty() || rest.is_empty() || rest.first() == Some(&b'/'))
}

/// What `look` describes is the root of a mounted file system. Kernels before 5.8 do not say so;
/// there it is one if its device is not that of what it lies in.
pub(super) fn is_mounted(look: &Statx, device_above: impl FnOnce() -> Option<u64>) -> bool {
    if look.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return look.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    }
    device_above().is_some_and(|above| above != node::device(look))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_around_a_mount_point() {
        let mounts = Mounts::default();
        mounts.saw(&"x".into()).unwrap();
        assert!(!mounts.is_known(b"x"), "nobody keeps it");
        mounts.keep(vec!["a/b".into()], Box::new(|path| Ok(*path != RelPath::from("out"))));
        for seen in ["c", "out", ""] {
            mounts.saw(&seen.into()).unwrap();
        }
        assert!(mounts.is_known(b"a/b") && mounts.is_known(b"c") && !mounts.is_known(b"out"));
        for (path, goes, around) in [
            ("a", true, 1),
            ("a/b", true, 1),
            ("a/b/d", false, 1),
            ("a/bc", false, 0),
            ("", true, 2),
            ("ab", false, 0),
        ] {
            assert_eq!(mounts.goes_with(path.as_bytes()), goes, "{path}");
            assert_eq!(mounts.around(path.as_bytes()).len(), around, "{path}");
        }
    }
}
