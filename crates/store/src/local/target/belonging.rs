//! What belongs to files and directories that a source gets back: to new ones, as to what is made in
//! their directory; to what takes a file's place, what the kernel keeps for that.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Access, FileType, Mode, XattrFlags, access, fchmod, fsetxattr, fsync};
use rustix::io::Errno;
use whimbrel_core::metadata::Metadata;

use super::{Inner, LocalTarget};
use crate::error::StoreError;
use crate::local::account::Accounts;
use crate::local::failure::{failure, is_absent, shown};
use crate::local::root::{Root, handle_path};
use crate::local::{DEFAULT_ACL_ATTRIBUTE, acl, node, place, seal};
use crate::source::Answer;
use crate::target::Stamp;

const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;
/// What programs make a file with where the list of its directory says the rest.
const LISTED_FILE_MODE: u32 = 0o666;
const SET_GROUP_BIT: u32 = 0o2000;
/// What security modules keep of a file: labels.
const SECURITY: &str = "security.";
/// Rights that a program has whoever runs it: as a kernel does it when somebody else writes, other
/// bytes do not get them.
const CAPABILITY: &str = "security.capability";
/// These are computed from the bytes, and hold for no others.
const OF_THE_BYTES: [&str; 2] = ["security.ima", "security.evm"];

impl LocalTarget {
    /// The same tree, as a source that gets files back: what is new belongs to it as to its
    /// directory, and what takes a file's place keeps what security modules keep of that.
    #[must_use]
    pub(in crate::local) fn of_a_source(mut self) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.of_a_source = true;
        }
        self
    }

    /// Says what would keep a change out of a directory that stands; a file is made elsewhere in
    /// the tree, and renamed.
    pub(in crate::local) fn may_write<'a>(
        &'a self,
        directory: &[u8],
        file: bool,
    ) -> Answer<'a, ()> {
        let path = directory.to_vec();
        self.work(move |inner, _| {
            let may = inner.root.directory(&path).and_then(|handle| {
                let device = node::device(&node::look(&handle, b"")?);
                if file && device != node::device(&node::look(inner.root.directory(b"")?, b"")?) {
                    return Err(Errno::XDEV);
                }
                access(handle_path(&handle), Access::WRITE_OK | Access::EXEC_OK)
            });
            may.map_err(|errno| inner.failed_below("write in", &path, errno))
        })
    }
}

impl Inner {
    /// A directory, made with all above it if need be.
    pub(super) fn directory(&self, path: &[u8]) -> Result<OwnedFd, StoreError> {
        match self.of_a_source {
            true => place::directory_as(&self.root, path, &like_above),
            false => place::directory(&self.root, path),
        }
    }

    /// The stamp, with what belongs to a new file of a source.
    pub(super) fn belonging<'a>(
        &self,
        key: &[u8],
        stamp: &'a Stamp,
    ) -> Result<Cow<'a, Stamp>, StoreError> {
        if !self.of_a_source {
            return Ok(Cow::Borrowed(stamp));
        }
        let above = key.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let directory = self.directory(&key[..above])?;
        let metadata = match &stamp.metadata {
            Some(metadata) if !metadata.has_rights() => {
                of_new_file(&directory, metadata.modified_ns, &self.accounts)
                    .map_err(|errno| self.failed_below("look at", key, errno))?
            }
            Some(_) | None => return Ok(Cow::Borrowed(stamp)),
        };
        Ok(Cow::Owned(Stamp { metadata: Some(metadata), ..stamp.clone() }))
    }

    pub(super) fn keep_security(&self, key: &[u8], file: &File) -> Result<(), StoreError> {
        if self.of_a_source { keep_security(&self.root, key, file) } else { Ok(()) }
    }
}

/// Owner and group of a new directory are those of the one it lies in.
fn like_above(above: &OwnedFd, new: &OwnedFd) -> Result<(), Errno> {
    let look = node::look(above, b"")?;
    seal::own(new, Some(look.stx_uid), Some(look.stx_gid))?;
    if node::attribute(above, b"", DEFAULT_ACL_ATTRIBUTE)?.is_some() {
        return Ok(());
    }
    let kept = u32::from(node::look(new, b"")?.stx_mode) & SET_GROUP_BIT;
    fchmod(new, Mode::from_raw_mode(DIRECTORY_MODE | kept))
}

/// What a new file in a directory gets.
fn of_new_file(
    directory: &OwnedFd,
    modified_ns: i64,
    accounts: &Accounts,
) -> Result<Metadata, Errno> {
    let look = node::look(directory, b"")?;
    let list = node::attribute(directory, b"", DEFAULT_ACL_ATTRIBUTE)?;
    let listed = list.as_deref().and_then(|list| acl::mode(list, LISTED_FILE_MODE));
    Ok(Metadata {
        owner: accounts.user(look.stx_uid),
        group: accounts.group(look.stx_gid),
        mode: listed.unwrap_or(FILE_MODE),
        modified_ns,
        acl: list.and_then(|list| acl::text(&list, accounts)),
        xattrs: BTreeMap::new(),
    })
}

/// Gives a file what security modules keep of the one whose place it takes; durable at return.
/// What cannot be given is a failure: else the place would be another afterwards.
fn keep_security(root: &Root, key: &[u8], file: &File) -> Result<(), StoreError> {
    let failed = |errno| failure("look at", &root.shown(key), errno);
    let standing = root.parent(key).and_then(|(parent, name)| {
        let look = node::look(&parent, name)?;
        let regular = node::file_type(&look) == FileType::RegularFile;
        let names = if regular { node::attribute_names(&parent, name)? } else { Vec::new() };
        Ok((parent, name, names))
    });
    let (parent, name, names) = match standing {
        Ok(standing) => standing,
        Err(errno) if is_absent(errno) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    let mut given = false;
    let stays = |name: &&String| name.starts_with(SECURITY) && *name != CAPABILITY;
    for attribute in names.iter().filter(stays) {
        let value = node::attribute(&parent, name, attribute).map_err(failed)?;
        let has = node::attribute(file, b"", attribute).map_err(failed)?;
        let Some(value) = value.filter(|value| Some(value) != has.as_ref()) else { continue };
        if OF_THE_BYTES.contains(&attribute.as_str()) {
            return Err(lost(key, attribute, "it is computed from the bytes"));
        }
        fsetxattr(file, attribute.as_str(), &value, XattrFlags::empty())
            .map_err(|errno| lost(key, attribute, &errno.to_string()))?;
        given = true;
    }
    if given { fsync(file).map_err(failed) } else { Ok(()) }
}

fn lost(key: &[u8], attribute: &str, why: &str) -> StoreError {
    StoreError::Unsupported {
        message: format!("{} would lose its attribute {attribute}: {why}", shown(key)),
        remedy: "remove the attribute at the source, or carry the file by hand".to_owned(),
    }
}
