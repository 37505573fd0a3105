//! From the kernel's description of an inode to what stands at a path.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use bytes::Bytes;
use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, StatxTimestamp, statx};
use rustix::io::Errno;
use whimbrel_core::entry::{DirectoryNode, FileNode, Node};
use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::Metadata;

use super::ACL_ATTRIBUTE;
use super::account::Accounts;
use super::acl;
use super::root::handle_path_of;

/// More than an access control list of the kernel's largest size takes.
const ACL_BYTES_MAX: usize = 64 * 1024;

/// Describes a name in a directory without following it; an empty name is the handle itself.
pub(super) fn look(directory: impl AsFd, name: &[u8]) -> Result<Statx, Errno> {
    let empty = if name.is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::empty() };
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | empty;
    statx(directory, name, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME)
}

/// What the file's type is.
pub(super) fn file_type(look: &Statx) -> FileType {
    FileType::from_raw_mode(u32::from(look.stx_mode))
}

/// Tells this state of the file from every other (rule 2.2).
pub(super) fn identity(look: &Statx) -> Identity {
    Identity::Local {
        device: device(look),
        inode: look.stx_ino,
        length: look.stx_size,
        modified_ns: nanoseconds(&look.stx_mtime),
        changed_ns: nanoseconds(&look.stx_ctime),
        born_ns: born_ns(look),
    }
}

/// Device number, both halves.
pub(super) fn device(look: &Statx) -> u64 {
    u64::from(look.stx_dev_major) << 32 | u64::from(look.stx_dev_minor)
}

/// Device, inode and birth time in one number, by which a root is known again (rule 1.5). Inodes
/// are reused at once: a directory that is removed and made anew often gets the same one.
pub(super) fn file_key(look: &Statx) -> u64 {
    // An odd multiplier loses no bit: two inodes of one device and time never meet.
    let place = device(look).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ look.stx_ino;
    place ^ born_ns(look).cast_unsigned().wrapping_mul(0xff51_afd7_ed55_8ccd)
}

/// When it was made; 0 where the file system does not tell.
pub(super) fn born_ns(look: &Statx) -> i64 {
    let told = look.stx_mask & StatxFlags::BTIME.bits() != 0;
    if told { nanoseconds(&look.stx_btime) } else { 0 }
}

/// Nanoseconds since the Unix epoch; the least or the largest number for a time beyond.
pub(super) fn nanoseconds(time: &StatxTimestamp) -> i64 {
    within_reach(time.tv_sec, time.tv_nsec)
}

fn within_reach(seconds: i64, nanoseconds: u32) -> i64 {
    let exact = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

/// What stands at the name that `look` describes. The list of its access rights is read through
/// the directory's handle.
pub(super) fn node(
    look: &Statx,
    directory: impl AsFd,
    name: &[u8],
    accounts: &Accounts,
) -> Result<Node, Errno> {
    let node = match file_type(look) {
        FileType::RegularFile => Node::File(FileNode {
            identity: identity(look),
            open: false,
            metadata: metadata(look, directory, name, accounts)?,
            pin: Bytes::new(),
        }),
        FileType::Directory => Node::Directory(DirectoryNode {
            file_key: file_key(look),
            empty: None,
            metadata: metadata(look, directory, name, accounts)?,
        }),
        FileType::Symlink => Node::Special("symbolic link".to_owned()),
        FileType::Fifo => Node::Special("named pipe".to_owned()),
        FileType::Socket => Node::Special("socket".to_owned()),
        FileType::CharacterDevice => Node::Special("character device".to_owned()),
        FileType::BlockDevice => Node::Special("block device".to_owned()),
        FileType::Unknown => Node::Special("file of an unknown kind".to_owned()),
    };
    Ok(node)
}

/// Owner, group, mode, time and ACL of a file or directory.
pub(super) fn metadata(
    look: &Statx,
    directory: impl AsFd,
    name: &[u8],
    accounts: &Accounts,
) -> Result<Metadata, Errno> {
    let attribute = attribute(directory, name, ACL_ATTRIBUTE)?;
    Ok(Metadata {
        owner: accounts.user(look.stx_uid),
        group: accounts.group(look.stx_gid),
        mode: u32::from(look.stx_mode) & 0o7777,
        modified_ns: nanoseconds(&look.stx_mtime),
        acl: attribute.and_then(|bytes| acl::text(&bytes, accounts)),
        xattrs: std::collections::BTreeMap::new(),
    })
}

/// An extended attribute of a name in a directory; `None` where there is none or the file system
/// keeps none.
pub(super) fn attribute(
    directory: impl AsFd,
    name: &[u8],
    attribute: &str,
) -> Result<Option<Vec<u8>>, Errno> {
    let path = handle_path_of(directory, name);
    let read = |value: &mut [u8]| {
        let length = match name {
            // The last component is then the kernel's link to the handle: follow that one.
            b"" => rustix::fs::getxattr(path.as_slice(), attribute, &mut *value)?,
            _ => rustix::fs::lgetxattr(path.as_slice(), attribute, &mut *value)?,
        };
        Ok(value[..length].to_vec())
    };
    let outcome = match read(&mut [0; 256]) {
        Err(Errno::RANGE) => read(&mut vec![0; ACL_BYTES_MAX]),
        outcome => outcome,
    };
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The extended attributes that travel.
pub(super) fn attributes(
    parent: impl AsFd,
    name: &[u8],
) -> Result<BTreeMap<String, Vec<u8>>, Errno> {
    let mut found = BTreeMap::new();
    for attribute in attribute_names(&parent, name)? {
        if let Some(value) = self::attribute(&parent, name, &attribute)? {
            found.insert(attribute, value);
        }
    }
    Ok(found)
}

/// Their names: what the kernel keeps for itself (`system.`, the ACL among it), what a migration
/// noted at its target, and names that are not text stay.
pub(super) fn attribute_names(parent: impl AsFd, name: &[u8]) -> Result<Vec<String>, Errno> {
    let path = handle_path_of(parent, name);
    let list = |size: usize| {
        let mut list = vec![0_u8; size];
        let length = match name {
            b"" => rustix::fs::listxattr(path.as_slice(), &mut list[..]),
            _ => rustix::fs::llistxattr(path.as_slice(), &mut list[..]),
        }?;
        list.truncate(length);
        Ok(list)
    };
    let list = match list(4096) {
        Err(Errno::RANGE) => list(64 * 1024)?,
        Err(Errno::OPNOTSUPP) => Vec::new(),
        outcome => outcome?,
    };
    let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let texts = names.filter_map(|name| std::str::from_utf8(name).ok());
    let stays = |name: &str| name.starts_with("system.") || name.starts_with("user.whimbrel.");
    Ok(texts.filter(|name| !stays(name)).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_beyond_stand_at_the_ends() {
        for (seconds, nanoseconds, expected) in [
            (-2, 500_000_000, -1_500_000_000),
            (9_223_372_036, 854_775_806, i64::MAX - 1),
            (9_223_372_036, 854_775_807, i64::MAX),
            (10_413_792_000, 1, i64::MAX),
            (-9_223_372_037, 145_224_193, i64::MIN + 1),
            (-9_223_372_037, 1, i64::MIN),
            (-10_000_000_000, 7, i64::MIN),
            (i64::MAX, 0, i64::MAX),
        ] {
            assert_eq!(within_reach(seconds, nanoseconds), expected, "{seconds} {nanoseconds}");
        }
    }
}
