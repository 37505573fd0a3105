//! A target's root is known again by later runs: what was mounted there and is not must not be
//! written beneath.

use rustix::fs::Statx;

use super::failure::shown;
use super::mounts::is_mounted;
use super::node;
use crate::error::StoreError;

/// Inode and birth time, by which a directory is known again, and where it stood: the device, whose
/// number may be another after the next start of the machine, and whether it was a mount point.
pub(super) fn name(look: &Statx) -> String {
    let mount = if is_mounted(look, || None) { "mount" } else { "directory" };
    let (inode, born_ns, device) = (look.stx_ino, node::born_ns(look), node::device(look));
    format!("{inode:x}-{born_ns:x}-{device:x}-{mount}")
}

/// `Missing` if something is not mounted that was when the root was called `known`. What stands
/// there now, or nearest above it, is called `found`.
pub(super) fn check(known: &str, found: Option<&str>, whole: &[u8]) -> Result<(), StoreError> {
    if found.is_some_and(|found| !is_unmounted(known, found)) {
        return Ok(());
    }
    Err(StoreError::Missing {
        message: format!("{} is gone, or is not the directory that was written to", shown(whole)),
        remedy: "mount it again, or put it back. If what stands there now is meant to be written \
                 to from now on, start again with --adopt"
            .to_owned(),
    })
}

/// Where nothing was mounted and the device is the same, another directory was made anew, and that
/// is for everybody to do.
fn is_unmounted(known: &str, found: &str) -> bool {
    let mut parts = known.split('-').zip(found.split('-'));
    let mut same = || parts.next().is_some_and(|(known, found)| known == found);
    let (inode, born, device) = (same(), same(), same());
    !(inode && born) && (!device || known.ends_with("-mount"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_made_anew_is_told_from_one_that_is_not_mounted() {
        for (known, found, expected) in [
            ("2-5-10-mount", "2-5-10-mount", false),
            ("2-5-10-mount", "2-5-20-mount", false),
            ("2-5-10-mount", "77-6-1-directory", true),
            ("77-5-10-mount", "78-6-10-directory", true),
            ("77-5-10-directory", "77-5-20-directory", false),
            ("77-5-10-directory", "78-6-10-directory", false),
            ("77-5-10-directory", "2-6-20-mount", true),
            ("77-5-10-directory", "1-1-1-directory", true),
            ("", "1-1-1-directory", true),
        ] {
            assert_eq!(is_unmounted(known, found), expected, "{known} {found}");
        }
    }
}
