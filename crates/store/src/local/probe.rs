//! Tries out what a target's file system makes of names.

use rustix::fs::{XattrFlags, fsetxattr};

use super::failure::failure;
use super::stage::Stage;
use crate::error::StoreError;

/// Pairs of names that differ in bytes: letter case, and the two ways to write one letter.
const PAIRS: [(&str, &str); 2] = [("probe-case", "PROBE-CASE"), ("probe-\u{e9}", "probe-e\u{301}")];

/// Refuses a file system on which names of different bytes are one.
pub(super) fn check_names(stage: &Stage, root: &[u8]) -> Result<(), StoreError> {
    let failed = |errno| failure("write below", root, errno);
    let opened = stage.open().map_err(failed)?;
    for (name, twin) in PAIRS {
        drop(opened.create(name).map_err(failed)?);
        let folded = opened.reopen(twin).is_ok();
        opened.remove(name.as_bytes()).map_err(failed)?;
        if folded {
            return Err(StoreError::Unsupported {
                message: format!(
                    "{} takes {name:?} and {twin:?} for one name: files would be lost",
                    super::failure::shown(root)
                ),
                remedy: "take a file system that keeps names as they are (ext4, XFS)".to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether files keep attributes, without which they do not say who wrote them.
pub(super) fn keeps_attributes(stage: &Stage, root: &[u8]) -> Result<bool, StoreError> {
    let failed = |errno| failure("write below", root, errno);
    let opened = stage.open().map_err(failed)?;
    let name = "probe-attributes";
    let file = opened.create(name).map_err(failed)?;
    let kept = fsetxattr(&file, "user.whimbrel.probe", b"x", XattrFlags::empty()).is_ok();
    opened.remove(name.as_bytes()).map_err(failed)?;
    Ok(kept)
}
