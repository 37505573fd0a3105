//! What the NameNode says of a path, as a node of the source.

use bytes::Bytes;
use whimbrel_core::entry::{DirectoryNode, FileNode, Node};
use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::Metadata;
use whimbrel_hdfs::{AclEntry, AclSubject, FileKind, FileStatus, PinnedFile};

use crate::digest;

const NANOS_PER_MILLI: i64 = 1_000_000;

/// What is no file to be copied, in words.
pub(crate) const SYMLINK: &str = "symbolic link";
pub(crate) const ENCRYPTED: &str =
    "encrypted file: its encryption zone cannot be decrypted, and ciphertext is not copied";

/// What the NameNode keeps of whom a path belongs to.
pub(crate) struct Rights<'a> {
    pub owner: &'a [u8],
    pub group: &'a [u8],
    pub mode: u16,
    pub modified_millis: u64,
    pub acl: Option<String>,
}

/// The node of a path; `acl` where its flag is set and it was asked for.
pub(crate) fn node(status: &FileStatus, acl: Option<String>) -> Node {
    match status.kind {
        FileKind::Directory => Node::Directory(DirectoryNode {
            file_key: status.file_id,
            empty: status.children_count.map(|count| count == 0),
            metadata: metadata(&rights(status, acl)),
        }),
        FileKind::Symlink => Node::Special(SYMLINK.to_owned()),
        FileKind::File if status.is_encrypted => Node::Special(ENCRYPTED.to_owned()),
        FileKind::File => match &status.pinned {
            Some(pinned) => file(status, pinned, acl),
            None => Node::Special("file without a block list in the NameNode's answer".to_owned()),
        },
    }
}

fn file(status: &FileStatus, pinned: &PinnedFile, acl: Option<String>) -> Node {
    Node::File(FileNode {
        identity: Identity::Hdfs {
            block_pool: pool_digest(&pinned.block_pool),
            file_id: status.file_id,
            length: pinned.length,
            modified_ms: i64::try_from(status.modified_millis).unwrap_or(i64::MAX),
            blocks: blocks_digest(pinned),
        },
        open: pinned.is_under_construction,
        metadata: metadata(&rights(status, acl)),
        pin: Bytes::from(pinned.to_bytes()),
    })
}

/// A file without blocks names no pool: 0 then. It has no bytes that could differ.
pub(crate) fn pool_digest(pool: &str) -> u64 {
    if pool.is_empty() { 0 } else { digest::stable_u64(pool.as_bytes()) }
}

fn blocks_digest(pinned: &PinnedFile) -> u64 {
    let mut bytes = Vec::with_capacity(pinned.blocks.len() * 24);
    for block in &pinned.blocks {
        for number in [block.id, block.generation_stamp, block.length] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
    }
    digest::stable_u64(&bytes)
}

fn rights(status: &FileStatus, acl: Option<String>) -> Rights<'_> {
    Rights {
        owner: &status.owner,
        group: &status.group,
        mode: status.permission,
        modified_millis: status.modified_millis,
        acl,
    }
}

pub(crate) fn metadata(rights: &Rights<'_>) -> Metadata {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let millis = i64::try_from(rights.modified_millis).unwrap_or(i64::MAX);
    Metadata {
        owner: text(rights.owner),
        group: text(rights.group),
        mode: u32::from(rights.mode),
        modified_ns: millis.saturating_mul(NANOS_PER_MILLI),
        acl: rights.acl.clone(),
        xattrs: std::collections::BTreeMap::new(),
    }
}

/// The whole ACL as `hdfs dfs -setfacl --set` takes it. The NameNode keeps owner, mask and others
/// in the mode and names them nowhere else; the mode's group bits are the mask once there are
/// entries for access.
pub(crate) fn acl_text(permission: u16, entries: &[AclEntry]) -> Option<String> {
    if entries.is_empty() {
        return None;
    }
    let bits = |shift: u16| rwx((permission >> shift) & 7);
    let mut parts = vec![format!("user::{}", bits(6))];
    let access = || entries.iter().filter(|entry| !entry.is_default);
    parts.extend(access().map(entry_text));
    if access().next().is_some() {
        parts.push(format!("mask::{}", bits(3)));
    } else {
        parts.push(format!("group::{}", bits(3)));
    }
    parts.push(format!("other::{}", bits(0)));
    parts.extend(entries.iter().filter(|entry| entry.is_default).map(entry_text));
    Some(parts.join(","))
}

fn entry_text(entry: &AclEntry) -> String {
    let scope = if entry.is_default { "default:" } else { "" };
    let subject = match entry.subject {
        AclSubject::User => "user",
        AclSubject::Group => "group",
        AclSubject::Mask => "mask",
        AclSubject::Other => "other",
    };
    let name = entry.name.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    format!("{scope}{subject}:{name}:{}", rwx(u16::from(entry.permission)))
}

/// The reverse: every entry of the text, those too that stand in a mode. What is no entry is left
/// out: none that this wrote is.
pub(crate) fn acl_entries(text: &str) -> Vec<AclEntry> {
    let entry = |text: &str| {
        let (is_default, text) = match text.strip_prefix("default:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut parts = text.splitn(3, ':');
        let subject = match parts.next()? {
            "user" => AclSubject::User,
            "group" => AclSubject::Group,
            "mask" => AclSubject::Mask,
            "other" => AclSubject::Other,
            _ => return None,
        };
        let name = parts.next().filter(|name| !name.is_empty());
        let name = name.map(|name| Bytes::copy_from_slice(name.as_bytes()));
        let bit = |letter: u8| match letter {
            b'r' => 4,
            b'w' => 2,
            b'x' => 1,
            _ => 0,
        };
        let permission = parts.next()?.bytes().fold(0, |bits, letter| bits | bit(letter));
        Some(AclEntry { is_default, subject, name, permission })
    };
    text.split(',').filter_map(entry).collect()
}

fn rwx(bits: u16) -> String {
    let letter = |bit, letter| if bits & bit != 0 { letter } else { '-' };
    [letter(4, 'r'), letter(2, 'w'), letter(1, 'x')].iter().collect()
}

#[cfg(test)]
mod tests {
    use whimbrel_hdfs::Block;

    use super::*;

    fn entry(is_default: bool, subject: AclSubject, name: &str, permission: u8) -> AclEntry {
        let name = (!name.is_empty()).then(|| Bytes::copy_from_slice(name.as_bytes()));
        AclEntry { is_default, subject, name, permission }
    }

    /// The same value stands in `crates/fsimage/tests/images/listing.rs`: identities of an image
    /// have to equal those of a listing.
    #[test]
    fn the_digest_of_blocks_is_that_of_images() {
        let block = |id, generation_stamp, length| Block {
            id,
            generation_stamp,
            offset: 0,
            length,
            is_corrupt: false,
            datanodes: Vec::new(),
            unit_indices: Vec::new(),
        };
        let mut pinned = PinnedFile {
            file_id: 1,
            length: 134_217_733,
            block_pool: "pool".into(),
            blocks: vec![block(1_073_741_825, 1001, 134_217_728), block(1_073_741_826, 1002, 5)],
            is_under_construction: false,
            is_encrypted: false,
            erasure_coding: None,
        };
        assert_eq!(blocks_digest(&pinned), 0xfa84_54c4_94dd_4bb0);
        pinned.blocks.clear();
        assert_eq!(blocks_digest(&pinned), 0xe3b0_c442_98fc_1c14);
    }

    #[test]
    fn an_acl_is_told_whole() {
        let entries = [
            entry(false, AclSubject::User, "alice", 6),
            entry(false, AclSubject::Group, "", 4),
            entry(true, AclSubject::User, "", 7),
        ];
        assert_eq!(
            acl_text(0o1640, &entries).as_deref(),
            Some("user::rw-,user:alice:rw-,group::r--,mask::r--,other::---,default:user::rwx")
        );
        assert_eq!(
            acl_text(0o755, &entries[2..]).as_deref(),
            Some("user::rwx,group::r-x,other::r-x,default:user::rwx")
        );
        assert_eq!(acl_text(0o755, &[]), None);
    }

    #[test]
    fn an_acl_is_read_back() {
        let text = "user::rw-,user:alice:rw-,group::r--,mask::rw-,other::---,default:user::rwx";
        let again: Vec<String> = acl_entries(text).iter().map(entry_text).collect();
        assert_eq!(again.join(","), text);
        assert_eq!(acl_entries("owner:x:rwx,,user"), []);
    }

    proptest::proptest! {
        /// It comes from the user metadata of objects: anybody may have written it.
        #[test]
        fn any_text_of_an_acl_is_read(
            parts in proptest::collection::vec(
                proptest::sample::select(vec!["user", "group", "default", ":", ",", "rrwx", "\u{e9}"]),
                0..24,
            )
        ) {
            for entry in acl_entries(&parts.concat()) {
                proptest::prop_assert!(entry.permission < 8);
            }
        }
    }
}
