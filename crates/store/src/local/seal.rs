//! What travels with a file of a target: applied to the file, and read back from it.

use std::fs::File;
use std::os::fd::AsFd;

use rustix::fs::{
    Gid, Mode, Statx, Timespec, Timestamps, Uid, XattrFlags, fchmod, fchown, fremovexattr,
    fsetxattr, futimens,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use whimbrel_core::metadata::Metadata;

use super::account::Accounts;
use super::{ACL_ATTRIBUTE, acl, node};
use crate::stamp;
use crate::target::{Object, Stamp};

/// Fields of the user metadata, as JSON.
const STAMP: &str = "user.whimbrel.stamp";
/// The checksum and of what, as JSON.
const CHECKSUM: &str = "user.whimbrel.checksum";
const NANOS: i64 = 1_000_000_000;
const SET_ID_BITS: u32 = 0o6000;
const WRITE_BIT: u32 = 0o200;
const OWNER_BITS: u32 = 0o700;

/// What was known of a file's bytes when it was written. Believed only while length and time are
/// still these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checksum {
    pub(super) crc32c: u32,
    pub(super) length: u64,
    pub(super) modified_ns: i64,
    /// The upload that it came from: a completion may be asked for twice.
    pub(super) upload: Option<String>,
}

/// Whose a file is after it was given its stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owned {
    /// The source's owner and group, or nothing was said of them.
    AsMeant,
    /// Others: the right to set them is missing, or they are not known here.
    Otherwise,
}

/// Gives a file its stamp. What the file system or the user's rights do not allow is left out
/// (an owner unknown here, attributes); what stands is read back by `described`.
pub(super) fn seal(
    file: &File,
    stamp: &Stamp,
    crc32c: u32,
    upload: Option<&str>,
    accounts: &Accounts,
) -> Result<Owned, Errno> {
    let before = stamped_attributes(file)?;
    let fields = stamp::encode(stamp);
    set(file, STAMP, &serde_json::to_vec(&fields).unwrap_or_default())?;
    if let Some(metadata) = &stamp.metadata {
        for name in before.keys().filter(|name| !metadata.xattrs.contains_key(*name)) {
            unset(file, name)?;
        }
        for (name, value) in metadata.xattrs.iter().filter(|(name, _)| travels(name)) {
            set(file, name, value)?;
        }
        futimens(file, &times(metadata.modified_ns))?;
    }
    let look = node::look(file, b"")?;
    let checksum = Checksum {
        crc32c,
        length: look.stx_size,
        modified_ns: node::nanoseconds(&look.stx_mtime),
        upload: upload.map(str::to_owned),
    };
    set(file, CHECKSUM, &serde_json::to_vec(&checksum).unwrap_or_default())?;
    match &stamp.metadata {
        Some(metadata) if metadata.has_rights() => rights(file, metadata, metadata.mode, accounts),
        Some(_) | None => Ok(Owned::AsMeant),
    }
}

/// Gives a directory its stamp, except that its owner keeps the right to work in it.
pub(super) fn seal_directory(
    directory: impl AsFd,
    stamp: &Stamp,
    accounts: &Accounts,
) -> Result<Owned, Errno> {
    let fields = stamp::encode(stamp);
    set(&directory, STAMP, &serde_json::to_vec(&fields).unwrap_or_default())?;
    let Some(metadata) = &stamp.metadata else { return Ok(Owned::AsMeant) };
    let owned = match metadata.has_rights() {
        true => rights(&directory, metadata, metadata.mode | OWNER_BITS, accounts)?,
        false => Owned::AsMeant,
    };
    futimens(directory, &times(metadata.modified_ns))?;
    Ok(owned)
}

/// Makes sure that the owner can change the file's attributes.
pub(super) fn unlock(file: &File) -> Result<(), Errno> {
    let look = node::look(file, b"")?;
    let mode = u32::from(look.stx_mode) & 0o7777;
    if mode & WRITE_BIT == 0 { fchmod(file, Mode::from_raw_mode(mode | WRITE_BIT)) } else { Ok(()) }
}

/// The checksum that is known of a file's bytes as they are.
pub(super) fn checksum(file: impl AsFd, name: &[u8], look: &Statx) -> Option<Checksum> {
    let value = node::attribute(file, name, CHECKSUM).ok()??;
    let checksum: Checksum = serde_json::from_slice(&value).ok()?;
    let now = (look.stx_size, node::nanoseconds(&look.stx_mtime));
    ((checksum.length, checksum.modified_ns) == now).then_some(checksum)
}

/// Names one state of a file.
pub(super) fn etag(look: &Statx) -> String {
    format!(
        "{:x}-{:x}-{:x}-{:x}-{:x}",
        node::device(look),
        look.stx_ino,
        look.stx_size,
        node::nanoseconds(&look.stx_mtime),
        node::nanoseconds(&look.stx_ctime),
    )
}

/// All that a name in a directory says of itself. Migration and attempt are believed only while
/// the bytes are those that they wrote.
pub(super) fn described(
    directory: impl AsFd,
    name: &[u8],
    key: &[u8],
    accounts: &Accounts,
) -> Result<Object, Errno> {
    let look = node::look(&directory, name)?;
    let is_directory = node::file_type(&look) == rustix::fs::FileType::Directory;
    let checksum = checksum(&directory, name, &look);
    let fields = match node::attribute(&directory, name, STAMP)? {
        Some(value) if checksum.is_some() || is_directory => {
            serde_json::from_slice::<BTreeMap<String, String>>(&value).unwrap_or_default()
        }
        Some(_) | None => BTreeMap::new(),
    };
    let stamped = stamp::decode(&fields);
    let now = node::metadata(&look, &directory, name, accounts)?;
    let metadata = joined(now, stamped.metadata, accounts);
    let mut user_metadata = stamp::encode(&Stamp {
        migration: stamped.migration.clone().unwrap_or_default(),
        attempt: stamped.attempt.unwrap_or_default(),
        metadata: Some(metadata.clone()),
    });
    // What stands as a digest only is known in no other form.
    for (field, digest) in fields {
        if let Some(name) = field.strip_suffix("-digest") {
            user_metadata.remove(name);
            user_metadata.insert(field, digest);
        }
    }
    Ok(Object {
        key: key.to_vec(),
        length: if is_directory { 0 } else { look.stx_size },
        etag: (!is_directory).then(|| etag(&look)),
        version: None,
        crc32c: checksum.map(|checksum| checksum.crc32c),
        attempt: stamped.attempt,
        migration: stamped.migration,
        metadata: Some(metadata),
        user_metadata,
        altered: false,
    })
}

/// What stands, completed by what was asked for and cannot stand here.
fn joined(now: Metadata, asked: Option<Metadata>, accounts: &Accounts) -> Metadata {
    let Some(asked) = asked else { return now };
    let root = rustix::process::geteuid().is_root();
    let user_stands = root && accounts.user_number(&asked.owner).is_some();
    let group_stands = root && accounts.group_number(&asked.group).is_some();
    let acl_stands = now.acl.is_some()
        || asked.acl.as_ref().is_some_and(|text| acl::attribute(text, 0, accounts).is_some());
    Metadata {
        owner: if user_stands { now.owner } else { asked.owner },
        group: if group_stands { now.group } else { asked.group },
        mode: now.mode,
        modified_ns: now.modified_ns,
        acl: if acl_stands { now.acl } else { asked.acl },
        xattrs: asked.xattrs,
    }
}

fn rights(
    file: impl AsFd,
    metadata: &Metadata,
    mode: u32,
    accounts: &Accounts,
) -> Result<Owned, Errno> {
    let user = accounts.user_number(&metadata.owner);
    let group = accounts.group_number(&metadata.group);
    own(&file, user, group)?;
    let look = node::look(&file, b"")?;
    let owned = user == Some(look.stx_uid) && group == Some(look.stx_gid);
    // Base entries alone take an older list away and set the mode, in one step.
    let base = || acl::attribute("", metadata.mode, accounts);
    let list = metadata.acl.as_ref().and_then(|text| acl::attribute(text, metadata.mode, accounts));
    if let Some(value) = list.or_else(base) {
        set(&file, ACL_ATTRIBUTE, &value)?;
    }
    // Set-id bits give the rights of the owner: of another owner than meant, they are dropped.
    let mode = if owned { mode } else { mode & !SET_ID_BITS };
    fchmod(file, Mode::from_raw_mode(mode))?;
    Ok(if owned { Owned::AsMeant } else { Owned::Otherwise })
}

/// Gives a file its owner and group as far as this process may.
pub(super) fn own(file: impl AsFd, user: Option<u32>, group: Option<u32>) -> Result<(), Errno> {
    let user = user.filter(|_| rustix::process::geteuid().is_root());
    match fchown(file, user.map(Uid::from_raw), group.map(Gid::from_raw)) {
        // A server that maps root away keeps its own owners, and only members give a group.
        Ok(()) | Err(Errno::PERM | Errno::INVAL) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Sets an attribute where the file system keeps such and has room for it.
fn set(file: impl AsFd, name: &str, value: &[u8]) -> Result<(), Errno> {
    match fsetxattr(file, name, value, XattrFlags::empty()) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSPC | Errno::TOOBIG | Errno::RANGE) => Ok(()),
        Err(Errno::PERM | Errno::ACCESS) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// The extended attributes that an earlier stamp gave to a file; none where it kept a digest.
fn stamped_attributes(file: &File) -> Result<BTreeMap<String, Vec<u8>>, Errno> {
    let Some(value) = node::attribute(file, b"", STAMP)? else { return Ok(BTreeMap::new()) };
    let fields: BTreeMap<String, String> = serde_json::from_slice(&value).unwrap_or_default();
    Ok(stamp::decode(&fields).metadata.unwrap_or_default().xattrs)
}

/// Takes an attribute away that a stamp gave.
fn unset(file: &File, name: &str) -> Result<(), Errno> {
    if !travels(name) {
        return Ok(());
    }
    match fremovexattr(file, name) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn travels(name: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    !name.starts_with("user.whimbrel.")
        && (name.starts_with("user.") || root && name.starts_with("trusted."))
}

fn times(modified_ns: i64) -> Timestamps {
    let modified =
        Timespec { tv_sec: modified_ns.div_euclid(NANOS), tv_nsec: modified_ns.rem_euclid(NANOS) };
    let untouched = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    Timestamps { last_access: untouched, last_modification: modified }
}
