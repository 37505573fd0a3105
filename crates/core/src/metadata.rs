//! What travels with a file besides its bytes (rules 11.1 and 11.2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Owner, group, mode, time, ACL and extended attributes of a file or directory at the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Owner's name; empty where the source has none.
    pub owner: String,
    /// Group's name; empty where the source has none.
    pub group: String,
    /// Permission bits, sticky bit included; 0 to 0o7777.
    pub mode: u32,
    /// Nanoseconds since the Unix epoch; the least and the largest number stand for every time
    /// beyond.
    pub modified_ns: i64,
    /// ACL entries in the text form of the source, comma separated; `None` without an ACL.
    pub acl: Option<String>,
    /// Extended attributes; empty unless `--metadata full`.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Metadata {
    /// What stands in for metadata that is not known: equal to none that a source gives.
    pub fn unknown() -> Self {
        Self { mode: u32::MAX, ..Self::default() }
    }

    /// False for a modification time before 1677 or after 2262: it is not known exactly.
    pub fn has_exact_time(&self) -> bool {
        self.modified_ns != i64::MIN && self.modified_ns != i64::MAX
    }

    /// False where the source knows of no owner, group or mode (keys of object stores): then the
    /// target keeps what it gives to new files.
    pub fn has_rights(&self) -> bool {
        let nameless = self.owner.is_empty() && self.group.is_empty() && self.acl.is_none();
        !nameless || self.mode != 0
    }
}

/// How much metadata travels (`--metadata`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetadataLevel {
    /// Nothing.
    None,
    /// Owner, group, mode, mtime and ACL.
    #[default]
    Basic,
    /// Extended attributes too.
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_and_the_largest_time_stand_for_all_beyond() {
        let exact =
            |modified_ns: i64| Metadata { modified_ns, ..Metadata::default() }.has_exact_time();
        assert!(exact(0) && exact(i64::MIN + 1) && exact(i64::MAX - 1));
        assert!(!exact(i64::MIN) && !exact(i64::MAX));
    }

    #[test]
    fn rights_are_an_owner_a_group_a_mode_or_a_list() {
        let none = Metadata::default;
        assert!(!none().has_rights());
        assert!(Metadata { owner: "ann".to_owned(), ..none() }.has_rights());
        assert!(Metadata { group: "staff".to_owned(), ..none() }.has_rights());
        assert!(Metadata { mode: 0o400, ..none() }.has_rights());
        assert!(Metadata { acl: Some("user::rwx".to_owned()), ..none() }.has_rights());
    }
}
