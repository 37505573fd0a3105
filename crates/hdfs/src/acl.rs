//! Access control lists and extended attributes.

use bytes::Bytes;

use crate::error::Error;
use crate::proto::status as proto;

/// Whom an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AclSubject {
    /// A user; without a name the owner.
    User,
    /// A group; without a name the owning group.
    Group,
    /// The most that named users and groups get.
    Mask,
    /// Everybody else.
    Other,
}

/// One ACL entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AclEntry {
    /// It is inherited by new children, and grants nothing on the directory itself.
    pub is_default: bool,
    /// Whom it is about.
    pub subject: AclSubject,
    /// Name of the user or group; `None` for the owner and the owning group.
    pub name: Option<Bytes>,
    /// Bits as in a mode: 4 read, 2 write, 1 execute.
    pub permission: u8,
}

/// What `getAclStatus` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclStatus {
    /// Owner's name.
    pub owner: Bytes,
    /// Group's name.
    pub group: Bytes,
    /// The sticky bit.
    pub sticky: bool,
    /// Entries beyond those that the mode already says.
    pub entries: Vec<AclEntry>,
}

/// The five name spaces of extended attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum XAttrNamespace {
    /// `user.`
    User,
    /// `trusted.`: superusers only.
    Trusted,
    /// `security.`
    Security,
    /// `system.`: the file system's own.
    System,
    /// `raw.`: under `/.reserved/raw` only.
    Raw,
}

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct XAttr {
    /// Its name space.
    pub namespace: XAttrNamespace,
    /// Its name, without the name space.
    pub name: Bytes,
    /// Its value; empty when it has none.
    pub value: Bytes,
}

impl AclEntry {
    pub(crate) fn from_proto(entry: proto::AclEntry) -> Result<Self, Error> {
        let told = |what: &str, value: i32| {
            Error::invalid_reply("AclEntry", format!("{what} {value} is not known"))
        };
        let subject = match entry.entry_type {
            0 => AclSubject::User,
            1 => AclSubject::Group,
            2 => AclSubject::Mask,
            3 => AclSubject::Other,
            other => return Err(told("type", other)),
        };
        let is_default = match entry.scope {
            0 => false,
            1 => true,
            other => return Err(told("scope", other)),
        };
        let permission = u8::try_from(entry.permissions).ok().filter(|bits| *bits < 8);
        Ok(Self {
            is_default,
            subject,
            name: entry.name.filter(|name| !name.is_empty()),
            permission: permission.ok_or_else(|| told("permission", entry.permissions))?,
        })
    }

    pub(crate) fn to_proto(&self) -> proto::AclEntry {
        proto::AclEntry {
            entry_type: match self.subject {
                AclSubject::User => 0,
                AclSubject::Group => 1,
                AclSubject::Mask => 2,
                AclSubject::Other => 3,
            },
            scope: i32::from(self.is_default),
            permissions: i32::from(self.permission),
            name: self.name.clone(),
        }
    }
}

impl AclStatus {
    pub(crate) fn from_proto(status: proto::AclStatus) -> Result<Self, Error> {
        let entries = status.entries.into_iter().map(AclEntry::from_proto);
        Ok(Self {
            owner: status.owner,
            group: status.group,
            sticky: status.sticky,
            entries: entries.collect::<Result<_, _>>()?,
        })
    }
}

impl XAttr {
    pub(crate) fn from_proto(xattr: proto::XAttr) -> Result<Self, Error> {
        let namespace = match xattr.namespace {
            0 => XAttrNamespace::User,
            1 => XAttrNamespace::Trusted,
            2 => XAttrNamespace::Security,
            3 => XAttrNamespace::System,
            4 => XAttrNamespace::Raw,
            other => {
                return Err(Error::invalid_reply("XAttr", format!("name space {other}")));
            }
        };
        Ok(Self { namespace, name: xattr.name, value: xattr.value.unwrap_or_default() })
    }

    pub(crate) fn to_proto(&self) -> proto::XAttr {
        proto::XAttr {
            namespace: match self.namespace {
                XAttrNamespace::User => 0,
                XAttrNamespace::Trusted => 1,
                XAttrNamespace::Security => 2,
                XAttrNamespace::System => 3,
                XAttrNamespace::Raw => 4,
            },
            name: self.name.clone(),
            value: Some(self.value.clone()),
        }
    }
}
