//! The place of a key in a target's tree.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fsync, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use whimbrel_core::effect::Expected;

use super::failure::{NAME_BYTES_MAX, failure, failure_below, is_absent, shown};
use super::root::{Root, components, open_quietly};
use super::stage::STAGE_PREFIX;
use super::wanted::Wanted;
use super::{names, node, seal};
use crate::error::StoreError;

/// A directory may go between making it and using it; then it is made again, so many times.
const TRIES: u32 = 5;

/// Says by name why a key has no place in a tree.
pub(super) fn check(key: &[u8]) -> Result<(), StoreError> {
    let path = key.strip_suffix(b"/").unwrap_or(key);
    let refuse = |why: String| {
        Err(StoreError::Refused {
            message: format!("{} cannot stand in a file system: {why}", shown(key)),
            remedy: "rename it at the source, map it elsewhere or leave it out".to_owned(),
        })
    };
    if path.is_empty() {
        return refuse("it names the root itself".to_owned());
    }
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" => return refuse("a component is empty".to_owned()),
            b"." | b".." => return refuse("a component is . or ..".to_owned()),
            _ if name.contains(&0) => return refuse("it holds a zero byte".to_owned()),
            _ if name.len() > NAME_BYTES_MAX => {
                let bytes = name.len();
                return refuse(format!("a component has {bytes} bytes, above {NAME_BYTES_MAX}"));
            }
            _ => {}
        }
    }
    if path.starts_with(STAGE_PREFIX.as_bytes()) {
        return refuse(format!("names beginning with {STAGE_PREFIX} are kept for unfinished work"));
    }
    Ok(())
}

/// The directory that holds a path, open for syncing, and the last name. Missing directories are
/// made and made durable.
pub(super) fn holder<'a>(root: &Root, path: &'a [u8]) -> Result<(OwnedFd, &'a [u8]), StoreError> {
    let (above, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&b""[..], path),
    };
    Ok((directory(root, above)?, name))
}

/// A directory, open for syncing, made with all above it if need be.
pub(super) fn directory(root: &Root, path: &[u8]) -> Result<OwnedFd, StoreError> {
    directory_as(root, path, &|_, _| Ok(()))
}

/// Sees a directory that was made, after the one it lies in.
pub(super) type Made<'a> = &'a dyn Fn(&OwnedFd, &OwnedFd) -> Result<(), Errno>;

/// The same; `made` sees what was made.
pub(super) fn directory_as(
    root: &Root,
    path: &[u8],
    made: Made<'_>,
) -> Result<OwnedFd, StoreError> {
    let failed = |errno: Errno| match errno {
        Errno::NOTDIR | Errno::LOOP | Errno::EXIST => StoreError::Conflict {
            message: format!(
                "{} stands where a directory is needed, and is none",
                shown(&root.shown(in_the_way(root, path)))
            ),
            remedy: "move it away, map one of the two elsewhere (--map), or have what the source \
                     does not have removed (--extras remove)"
                .to_owned(),
        },
        other => failure_below("make the directory", root, path, other),
    };
    let mut tries = 0;
    loop {
        tries += 1;
        match walk(root, path, made) {
            Err(Errno::NOENT) if tries < TRIES => {}
            outcome => return outcome.map_err(failed),
        }
    }
}

/// The first name on the way that is no directory; all of it if that went meanwhile.
fn in_the_way<'a>(root: &Root, path: &'a [u8]) -> &'a [u8] {
    let ends = (0..path.len()).filter(|at| path[*at] == b'/').chain([path.len()]);
    let mut prefixes = ends.map(|end| &path[..end]);
    let is_no_directory = |below: &&[u8]| {
        let looked = root.parent(below).and_then(|(parent, name)| node::look(parent, name));
        looked.is_ok_and(|look| node::file_type(&look) != FileType::Directory)
    };
    prefixes.find(is_no_directory).unwrap_or(path)
}

fn walk(root: &Root, path: &[u8], made: Made<'_>) -> Result<OwnedFd, Errno> {
    let mut handle = open_quietly(root.directory(b"")?, b"", OFlags::DIRECTORY)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for name in components(path)? {
        handle = match openat(&handle, name, flags, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT) => {
                let new = match mkdirat(&handle, name, Mode::from_raw_mode(0o777)) {
                    Ok(()) => true,
                    Err(Errno::EXIST) => false,
                    Err(errno) => return Err(errno),
                };
                let next = openat(&handle, name, flags, Mode::empty())?;
                if new {
                    made(&handle, &next)?;
                    fsync(&handle)?;
                }
                next
            }
            Err(errno) => return Err(errno),
        };
    }
    Ok(handle)
}

/// Where a file is to stand.
pub(super) struct Place<'a> {
    pub(super) key: &'a [u8],
    /// What stands there until then (rule 4.4).
    pub(super) expected: &'a Expected,
    pub(super) wanted: &'a Wanted,
}

impl Place<'_> {
    /// Puts a finished file under its name, over what stands there, and makes that durable. Empty
    /// directories in its way go, unless the source of keys may have them; anything else under the
    /// name is a conflict.
    pub(super) fn install(
        &self,
        root: &Root,
        stage: &OwnedFd,
        draft: &str,
        of_keys: bool,
    ) -> Result<(OwnedFd, Vec<u8>), StoreError> {
        let path = self.key;
        let mut tries = 0;
        loop {
            tries += 1;
            let (directory, name) = holder(root, path)?;
            let leave = self.wanted.leave(path)?;
            self.check(&directory, name)?;
            let renamed = renameat(stage, draft, &directory, name);
            drop(leave);
            match renamed {
                Ok(()) => {
                    fsync(&directory).map_err(|errno| StoreError::Unknown {
                        message: format!("{}: not known to be durable: {errno}", shown(path)),
                    })?;
                    return Ok((directory, name.to_vec()));
                }
                Err(Errno::NOENT) if tries < TRIES => {}
                Err(Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) if tries < TRIES => {
                    let cleared = if of_keys { Err(Errno::EXIST) } else { clear(&directory, name) };
                    cleared.map_err(|errno| match errno {
                        Errno::NOTEMPTY | Errno::EXIST => a_directory_stands(root, path),
                        other => failure_below("replace", root, path, other),
                    })?;
                }
                Err(errno) => return Err(failure_below("write", root, path, errno)),
            }
        }
    }

    /// `Unexpected` if the file under the name is not the expected one; a directory is another
    /// matter.
    pub(super) fn check(&self, directory: impl AsFd, name: &[u8]) -> Result<(), StoreError> {
        if *self.expected == Expected::Anything {
            return Ok(());
        }
        let found = match node::look(directory, name) {
            Ok(look) if node::file_type(&look) == FileType::Directory => return Ok(()),
            Ok(look) => Some(seal::etag(&look)),
            Err(errno) if is_absent(errno) => None,
            Err(errno) => return Err(failure("look at", self.key, errno)),
        };
        let as_expected = match (self.expected, &found) {
            (Expected::Anything, _) | (Expected::Nothing, None) => true,
            (Expected::Object(etag), Some(found)) => etag == found,
            (Expected::Nothing, Some(_)) | (Expected::Object(_), None) => false,
        };
        if as_expected {
            return Ok(());
        }
        let what = if found.is_some() { "another file stands there" } else { "it is gone" };
        Err(StoreError::Unexpected { message: format!("{}: {what}", shown(self.key)) })
    }
}

fn a_directory_stands(root: &Root, path: &[u8]) -> StoreError {
    StoreError::Conflict {
        message: format!("{} is a directory", shown(&root.shown(path))),
        remedy: "what lies in it goes first, unless the source has it: a file and a directory of \
                 one name cannot stand together on a local target (map one elsewhere with --map, \
                 or leave it out with --exclude); what is not the source's, move away"
            .to_owned(),
    }
}

/// Anything stands under the name.
pub(super) fn stands(directory: impl AsFd, name: &[u8]) -> bool {
    node::look(directory, name).is_ok()
}

/// Removes a directory that holds nothing but empty directories; at the first thing that is none
/// it stops.
fn clear(parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        outcome => return outcome,
    }
    let directory = open_quietly(parent, name, OFlags::DIRECTORY)?;
    let listed = names::SortedNames::read(&directory, false, names::RUN_BYTES_MAX)
        .and_then(|names| names.page(b"", usize::MAX));
    for child in listed.map_err(|_| Errno::IO)?.names {
        let look = node::look(&directory, &child)?;
        if node::file_type(&look) != FileType::Directory {
            return Err(Errno::NOTEMPTY);
        }
        clear(&directory, &child)?;
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}
