//! When is a file the same? (rules 2.1 and 2.2)

use serde::{Deserialize, Serialize};

use crate::planted::{Planted, planted};

/// What tells one state of a file's bytes from another without reading them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// A closed file on HDFS (rule 2.1).
    Hdfs {
        /// Digest of the block pool id: tells one cluster from another.
        block_pool: u64,
        /// The inode's number; kept over renames.
        file_id: u64,
        /// Bytes.
        length: u64,
        /// Milliseconds since the Unix epoch.
        modified_ms: i64,
        /// Digest of (block id, generation stamp, length) of every block in order. Every change of
        /// bytes changes it.
        blocks: u64,
    },
    /// A file of a local file system (rule 2.2).
    Local {
        /// Device number.
        device: u64,
        /// Inode number; reused by the file system after a removal.
        inode: u64,
        /// Bytes.
        length: u64,
        /// Nanoseconds since the Unix epoch.
        modified_ns: i64,
        /// Change of the inode, nanoseconds since the Unix epoch.
        changed_ns: i64,
        /// Creation, nanoseconds since the Unix epoch; 0 where the file system keeps none.
        born_ns: i64,
    },
    /// An object (rule 2.2).
    Object {
        /// Version id, where the bucket keeps versions.
        version: Option<String>,
        /// Entity tag as the server gave it.
        etag: String,
        /// Bytes.
        length: u64,
        /// Stored full-object CRC32C, where there is one.
        crc32c: Option<u32>,
    },
    /// A directory's marker: no bytes.
    Marker,
    /// Something stands on the target, but what is not known any more (rules 1.7 and 4.1).
    Unknown,
}

/// What comparing a remembered identity with a fresh one says about the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// The same bytes and the same times.
    Same,
    /// The same bytes for certain; times differ.
    SameBytes,
    /// The bytes may be the same: a checksum tells.
    Unproven,
    /// Other bytes, or not worth asking.
    Different,
}

impl Identity {
    /// Bytes of the file; 0 for markers and unknown content.
    pub fn length(&self) -> u64 {
        match self {
            Self::Hdfs { length, .. }
            | Self::Local { length, .. }
            | Self::Object { length, .. } => *length,
            Self::Marker | Self::Unknown => 0,
        }
    }

    /// The number under which the source keeps this file over renames, where it has one.
    pub fn file_key(&self) -> Option<u64> {
        match self {
            Self::Hdfs { file_id, .. } => Some(*file_id),
            Self::Local { inode, .. } => Some(*inode),
            Self::Object { .. } | Self::Marker | Self::Unknown => None,
        }
    }

    /// Compares what is remembered (`self`) with what the source says now.
    pub fn compare(&self, fresh: &Self) -> Sameness {
        if self == fresh {
            return match self {
                Self::Unknown => Sameness::Unproven,
                Self::Hdfs { .. } | Self::Local { .. } | Self::Object { .. } | Self::Marker => {
                    Sameness::Same
                }
            };
        }
        if matches!(self, Self::Unknown) {
            return Sameness::Unproven;
        }
        if self.length() != fresh.length() {
            return Sameness::Different;
        }
        match (self, fresh) {
            (
                Self::Hdfs { block_pool, file_id, blocks, modified_ms, .. },
                Self::Hdfs {
                    block_pool: pool_now,
                    file_id: id_now,
                    blocks: blocks_now,
                    modified_ms: modified_now,
                    ..
                },
            ) => {
                if planted(Planted::SameByTimes) && modified_ms == modified_now {
                    Sameness::Same
                } else if (block_pool, file_id, blocks) == (pool_now, id_now, blocks_now) {
                    Sameness::SameBytes
                } else {
                    Sameness::Unproven
                }
            }
            (
                Self::Local { device, inode, modified_ns, .. },
                Self::Local { device: device_now, inode: inode_now, modified_ns: now, .. },
            ) => {
                if (device, inode, modified_ns) == (device_now, inode_now, now) {
                    Sameness::Unproven
                } else {
                    Sameness::Different
                }
            }
            (Self::Object { crc32c: Some(then), .. }, Self::Object { crc32c: Some(now), .. })
                if then == now =>
            {
                Sameness::SameBytes
            }
            (Self::Object { .. }, Self::Object { .. }) => Sameness::Unproven,
            (
                Self::Hdfs { .. }
                | Self::Local { .. }
                | Self::Object { .. }
                | Self::Marker
                | Self::Unknown,
                _,
            ) => Sameness::Different,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one change of a remembered identity makes of it.
    fn compared(identity: &Identity, change: impl Fn(&mut Identity)) -> Sameness {
        let mut fresh = identity.clone();
        change(&mut fresh);
        identity.compare(&fresh)
    }

    #[test]
    fn rule_2_1_hdfs_files_are_the_same() {
        let hdfs = |block_pool, file_id, length, modified_ms, blocks| Identity::Hdfs {
            block_pool,
            file_id,
            length,
            modified_ms,
            blocks,
        };
        let then = hdfs(1, 2, 3, 4, 5);
        for (now, expected) in [
            (hdfs(1, 2, 3, 4, 5), Sameness::Same),
            (hdfs(1, 2, 3, 9, 5), Sameness::SameBytes),
            (hdfs(1, 2, 3, 4, 9), Sameness::Unproven),
            (hdfs(1, 9, 3, 4, 9), Sameness::Unproven),
            (hdfs(1, 9, 3, 4, 5), Sameness::Unproven),
            (hdfs(9, 2, 3, 4, 5), Sameness::Unproven),
            (hdfs(1, 2, 9, 4, 5), Sameness::Different),
        ] {
            assert_eq!(then.compare(&now), expected, "{now:?}");
        }
    }

    /// Inodes are used again: birth and change of the inode tell, whatever the times were set to.
    #[test]
    fn rule_2_2_local_files_are_the_same() {
        let then = Identity::Local {
            device: 1,
            inode: 2,
            length: 3,
            modified_ns: 4,
            changed_ns: 5,
            born_ns: 6,
        };
        let with = |field: &str| {
            compared(&then, |identity| {
                let Identity::Local { device, inode, length, modified_ns, changed_ns, born_ns } =
                    identity
                else {
                    return;
                };
                match field {
                    "device" => *device = 9,
                    "inode" => *inode = 9,
                    "length" => *length = 9,
                    "modified" => *modified_ns = 9,
                    "changed" => *changed_ns = 9,
                    "born" => (*changed_ns, *born_ns) = (9, 9),
                    _ => {}
                }
            })
        };
        assert_eq!(with("nothing"), Sameness::Same);
        for field in ["changed", "born"] {
            assert_eq!(with(field), Sameness::Unproven, "{field}");
        }
        for field in ["device", "inode", "length", "modified"] {
            assert_eq!(with(field), Sameness::Different, "{field}");
        }
    }

    #[test]
    fn rule_2_2_objects_are_the_same() {
        let object = |version: &str, etag: &str, length, crc32c| Identity::Object {
            version: Some(version.to_owned()),
            etag: etag.to_owned(),
            length,
            crc32c,
        };
        let then = object("v", "e", 3, Some(7));
        for (now, expected) in [
            (object("v", "e", 3, Some(7)), Sameness::Same),
            (object("w", "f", 3, Some(7)), Sameness::SameBytes),
            (object("w", "f", 3, Some(8)), Sameness::Unproven),
            (object("w", "f", 3, None), Sameness::Unproven),
            (object("w", "e", 4, Some(7)), Sameness::Different),
        ] {
            assert_eq!(then.compare(&now), expected, "{now:?}");
        }
    }

    #[test]
    fn rule_1_7_what_is_unknown_is_never_the_same() {
        assert_eq!(Identity::Unknown.compare(&Identity::Unknown), Sameness::Unproven);
    }
}
