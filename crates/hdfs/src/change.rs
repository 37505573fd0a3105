//! Calls that change the namespace.
//!
//! A call that is tried again over a lost connection may find what it did before: each says what it
//! answers then.

use bytes::Bytes;

use crate::acl::{AclEntry, XAttr};
use crate::client::{Client, checked};
use crate::error::Error;
use crate::proto::namenode as proto;
use crate::proto::namenode::XATTR_CREATE_OR_REPLACE;
use crate::rpc::namenodes::Answer;

/// A time that stays as it is.
const UNCHANGED: u64 = u64::MAX;

impl Client {
    /// Makes a directory; its parent has to be there. Fine if there is one already.
    ///
    /// # Errors
    /// Those of the connection; [`Error::NotFound`], [`Error::Denied`]; [`Error::Remote`] if a
    /// file stands there.
    pub async fn make_directory(&self, path: &[u8], permission: u16) -> Result<(), Error> {
        let request = proto::MakeDirectoryRequest {
            path: checked(path)?,
            masked: proto::Permission { mode: u32::from(permission) },
            create_parent: false,
        };
        let _: Answer<proto::BoolResponse> = self.call("mkdirs", &request).await?;
        Ok(())
    }

    /// Renames a file, in one step; with `overwrite` over whatever file stands at the other path.
    /// Tried again it may answer [`Error::NotFound`]: look whether the file stands there.
    ///
    /// # Errors
    /// Those of the connection; [`Error::NotFound`], [`Error::Denied`]; [`Error::Remote`] if
    /// something stands there that it may not or cannot take the place of.
    pub async fn rename(&self, from: &[u8], to: &[u8], overwrite: bool) -> Result<(), Error> {
        let (from, to) = (checked(from)?, checked(to)?);
        let request = proto::RenameRequest { from, to, overwrite };
        let _: Answer<proto::EmptyRequest> = self.call("rename2", &request).await?;
        Ok(())
    }

    /// Removes a path, a directory only if it is empty; `false` if there was nothing. Tried again
    /// it may answer that.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Denied`]; [`Error::Remote`] for a directory that is not
    /// empty.
    pub async fn remove(&self, path: &[u8]) -> Result<bool, Error> {
        let request = proto::DeleteRequest { path: checked(path)?, recursive: false };
        let answer: Answer<proto::BoolResponse> = self.call("delete", &request).await?;
        Ok(answer.value.result)
    }

    /// Sets owner and group, each where it is given.
    ///
    /// # Errors
    /// Those of the connection; [`Error::NotFound`]; [`Error::Denied`] for others than superusers,
    /// but for owners who name a group of their own.
    pub async fn set_owner(
        &self,
        path: &[u8],
        owner: Option<&str>,
        group: Option<&str>,
    ) -> Result<(), Error> {
        let request = proto::SetOwnerRequest {
            path: checked(path)?,
            owner: owner.map(str::to_owned),
            group: group.map(str::to_owned),
        };
        let _: Answer<proto::EmptyRequest> = self.call("setOwner", &request).await?;
        Ok(())
    }

    /// Sets the modification time, milliseconds since 1970.
    ///
    /// # Errors
    /// Those of the connection; [`Error::NotFound`], [`Error::Denied`].
    pub async fn set_modified(&self, path: &[u8], modified_millis: u64) -> Result<(), Error> {
        let request = proto::SetTimesRequest {
            path: checked(path)?,
            modified: modified_millis,
            accessed: UNCHANGED,
        };
        let _: Answer<proto::EmptyRequest> = self.call("setTimes", &request).await?;
        Ok(())
    }

    /// Has these entries stand in place of all, the unnamed ones among them; they set the mode too.
    ///
    /// # Errors
    /// Those of the connection; [`Error::NotFound`], [`Error::Denied`]; [`Error::Remote`] for what
    /// is no list.
    pub async fn set_acl(&self, path: &[u8], entries: &[AclEntry]) -> Result<(), Error> {
        let entries = entries.iter().map(AclEntry::to_proto).collect();
        let request = proto::SetAclRequest { path: checked(path)?, entries };
        let _: Answer<proto::EmptyRequest> = self.call("setAcl", &request).await?;
        Ok(())
    }

    /// Takes all entries beyond the mode away.
    ///
    /// # Errors
    /// Those of the connection; [`Error::NotFound`], [`Error::Denied`].
    pub async fn remove_acl(&self, path: &[u8]) -> Result<(), Error> {
        let request = proto::PathRequest { path: checked(path)? };
        let _: Answer<proto::EmptyRequest> = self.call("removeAcl", &request).await?;
        Ok(())
    }

    /// Sets an extended attribute, whether there is one or not.
    ///
    /// # Errors
    /// Those of the connection; [`Error::NotFound`], [`Error::Denied`]; [`Error::Remote`] for one
    /// that is too large, or one too many.
    pub async fn set_xattr(&self, path: &[u8], xattr: &XAttr) -> Result<(), Error> {
        let request = proto::SetXAttrRequest {
            path: checked(path)?,
            xattr: Some(xattr.to_proto()),
            flag: Some(XATTR_CREATE_OR_REPLACE),
        };
        let _: Answer<proto::EmptyRequest> = self.call("setXAttr", &request).await?;
        Ok(())
    }
}

/// Why no file or directory can have this path, whoever asks; the NameNode's own limits on lengths
/// aside.
#[must_use]
pub fn name_refusal(path: &[u8]) -> Option<&'static str> {
    if checked(&[b"/", path].concat()).is_err() {
        return Some("it is not UTF-8");
    }
    path.split(|byte| *byte == b'/').find_map(|name| match name {
        b"" => Some("a component is empty"),
        b"." | b".." => Some("a component is . or .."),
        b".snapshot" => Some("a component is .snapshot, which means the snapshots of a directory"),
        b".reserved" if path.starts_with(b".reserved") => Some("it begins with .reserved"),
        name if name.contains(&b':') => Some("a component holds a colon"),
        name if name.contains(&0) => Some("a component holds a zero byte"),
        _ => None,
    })
}

impl Error {
    /// The last part of the Java class of an exception that has no place of its own here.
    #[must_use]
    pub fn remote_class(&self) -> Option<&str> {
        let Self::Remote { class, .. } = self else { return None };
        class.rsplit(['.', '$']).next()
    }
}

/// An extended attribute whose name begins with its name space.
impl XAttr {
    /// `user.name` and its value; `None` for a name space that does not exist.
    #[must_use]
    pub fn named(name: &str, value: &[u8]) -> Option<Self> {
        use crate::acl::XAttrNamespace;
        let (space, name) = name.split_once('.')?;
        let namespace = match space.to_ascii_lowercase().as_str() {
            "user" => XAttrNamespace::User,
            "trusted" => XAttrNamespace::Trusted,
            "security" => XAttrNamespace::Security,
            "system" => XAttrNamespace::System,
            "raw" => XAttrNamespace::Raw,
            _ => return None,
        };
        let name = Bytes::copy_from_slice(name.as_bytes());
        Some(Self { namespace, name, value: Bytes::copy_from_slice(value) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_file_can_have() {
        for path in ["a", "a/b", "a b/ö", "a.b", "..a", "x/.reserved"] {
            assert_eq!(name_refusal(path.as_bytes()), None, "{path}");
        }
        for path in
            ["", "a//b", "/a", "a/", "a/./b", "..", "a:b", "a\0", ".reserved/x", "a/.snapshot"]
        {
            assert!(name_refusal(path.as_bytes()).is_some(), "{path}");
        }
        assert!(name_refusal(b"a\xff").is_some());
    }
}
