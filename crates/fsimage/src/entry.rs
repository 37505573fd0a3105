//! One inode: a file, a directory, a symbolic link.

use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::error::Malformed;
use crate::strings::{Strings, Table};
use crate::wire::{Fields, Value};

/// The directory attribute that makes an encryption zone.
const ZONE: &[u8] = b"hdfs.crypto.encryption.zone";
/// The file attribute that holds an encrypted file's key.
const FILE_KEY: &[u8] = b"hdfs.crypto.file.encryption.info";

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name within its directory; empty for the root of the file system.
    pub name: Vec<u8>,
    /// Inode number; kept over renames.
    pub file_id: u64,
    /// What it is.
    pub node: Node,
    /// Milliseconds since the Unix epoch.
    pub modified_millis: u64,
    /// Permission bits and the sticky bit. With an ACL the group's bits are its mask.
    pub mode: u16,
    /// Owner's name.
    pub owner: Arc<[u8]>,
    /// Group's name.
    pub group: Arc<[u8]>,
    /// Entries beyond those that the mode already says, as `getAclStatus` gives them.
    pub acl: Vec<AclEntry>,
    /// All extended attributes, those of the file system itself among them.
    pub xattrs: Vec<XAttr>,
}

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A file.
    File(File),
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

/// A file's bytes.
///
/// Of an open file neither length nor blocks hold the last block, which is being written: so does a
/// listing tell it. (Where the last block is whole and nothing follows it yet, a listing has it.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Length in bytes.
    pub length: u64,
    /// Blocks in the file's order; for an erasure coded file: block groups.
    pub blocks: Vec<Block>,
    /// Somebody has it open for writing.
    pub is_open: bool,
    /// The erasure coding policy that it is laid out by.
    pub erasure_coding: Option<u32>,
}

/// One block of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Block id.
    pub id: u64,
    /// Rises with every append, truncation and recovery.
    pub generation_stamp: u64,
    /// Length in bytes.
    pub length: u64,
}

/// Whom an ACL entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// It is inherited by new children, and grants nothing on the directory itself.
    pub is_default: bool,
    /// Whom it is about.
    pub subject: AclSubject,
    /// Name of the user or group; `None` for the owner and the owning group.
    pub name: Option<Arc<[u8]>>,
    /// Bits as in a mode: 4 read, 2 write, 1 execute.
    pub permission: u8,
}

/// The name spaces of extended attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XAttrNamespace {
    /// `user.`
    User,
    /// `trusted.`: superusers only.
    Trusted,
    /// `security.`
    Security,
    /// `system.`: the file system's own.
    System,
    /// `raw.`: the file system's own, told under `/.reserved/raw` only.
    Raw,
}

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XAttr {
    /// Its name space.
    pub namespace: XAttrNamespace,
    /// Its name, without the name space.
    pub name: Arc<[u8]>,
    /// Its value; empty when it has none.
    pub value: Vec<u8>,
}

impl Entry {
    /// The root of an encryption zone.
    #[must_use]
    pub fn is_encryption_zone(&self) -> bool {
        self.node == Node::Directory && self.has_raw(ZONE)
    }

    /// A file of which DataNodes keep ciphertext.
    #[must_use]
    pub fn is_encrypted_file(&self) -> bool {
        matches!(self.node, Node::File(_)) && self.has_raw(FILE_KEY)
    }

    fn has_raw(&self, name: &[u8]) -> bool {
        let is = |one: &XAttr| one.namespace == XAttrNamespace::Raw && *one.name == *name;
        self.xattrs.iter().any(is)
    }

    pub(crate) fn decode(message: &[u8], strings: &Strings) -> Result<Self, Malformed> {
        let head = Head::decode(message)?;
        let body = message.get(head.body).unwrap_or_default();
        let body = Body::decode(body, head.kind, strings)?;
        let text = |table, shift: u32| {
            let number = (body.permission >> shift) as u32 & 0xff_ffff;
            let name = strings.get(table, number).cloned();
            name.ok_or(Malformed("an owner or group without a name"))
        };
        let node = match head.kind {
            Kind::Directory => Node::Directory,
            Kind::Symlink => Node::Symlink,
            Kind::File => Node::File(body.file.complete()?),
        };
        Ok(Self {
            name: message.get(head.name).unwrap_or_default().to_vec(),
            file_id: head.file_id,
            node,
            modified_millis: body.modified_millis,
            mode: body.permission as u16 & 0o1777,
            owner: text(Table::User, 40)?,
            group: text(Table::Group, 16)?,
            acl: body.acl,
            xattrs: body.xattrs,
        })
    }
}

impl File {
    /// See [`blocks_digest`].
    #[must_use]
    pub fn blocks_digest(&self) -> u64 {
        blocks_digest(&self.blocks)
    }

    /// What is being written is left out, and the length is that of the rest.
    fn complete(mut self) -> Result<Self, Malformed> {
        if self.is_open {
            self.blocks.pop();
        }
        for block in &self.blocks {
            let sum = self.length.checked_add(block.length);
            self.length = sum.ok_or(Malformed("a file longer than 64 bits say"))?;
        }
        Ok(self)
    }
}

/// A number that changes whenever a file's bytes do: the first eight bytes of SHA-256 over id,
/// generation stamp and length of every block, each as eight bytes, highest first. Listings and
/// images make the same one.
#[must_use]
pub fn blocks_digest(blocks: &[Block]) -> u64 {
    let mut sum = Sha256::new();
    for block in blocks {
        for number in [block.id, block.generation_stamp, block.length] {
            sum.update(number.to_be_bytes());
        }
    }
    let whole = sum.finalize();
    whole.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File = 1,
    Directory = 2,
    Symlink = 4,
}

/// What is needed of an inode to find its place.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) file_id: u64,
    pub(crate) kind: Kind,
    /// Where in the message its name stands.
    pub(crate) name: Range<usize>,
    body: Range<usize>,
}

impl Head {
    pub(crate) fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let (mut kind, mut file_id, mut name, mut bodies_found) = (0, None, 0..0, 0);
        let mut bodies = [0..0, 0..0, 0..0];
        let mut fields = Fields::new(message);
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => kind = value.number()?,
                2 => file_id = Some(value.number()?),
                3 => name = fields.range(value.bytes()?),
                4..=6 => {
                    bodies_found |= 1 << (field - 4);
                    bodies[field as usize - 4] = fields.range(value.bytes()?);
                }
                _ => {}
            }
        }
        let [file, directory, symlink] = bodies;
        let (kind, body) = match kind {
            1 => (Kind::File, file),
            2 => (Kind::Directory, directory),
            3 => (Kind::Symlink, symlink),
            _ => return Err(Malformed("an inode of no known type")),
        };
        if bodies_found != kind as u8 {
            return Err(Malformed("an inode with the body of another type"));
        }
        let file_id = file_id.ok_or(Malformed("an inode without an id"))?;
        Ok(Self { file_id, kind, name, body })
    }

    /// Whether a directory is an encryption zone, without its names being looked up one by one.
    pub(crate) fn is_zone(&self, message: &[u8], strings: &Strings) -> Result<bool, Malformed> {
        let body = message.get(self.body.clone()).unwrap_or_default();
        let mut fields = Fields::new(body);
        while let Some((field, value)) = fields.next()? {
            if field == 6 {
                let xattrs = xattrs(value.bytes()?, strings)?;
                let is = |one: &XAttr| one.namespace == XAttrNamespace::Raw && *one.name == *ZONE;
                if xattrs.iter().any(is) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// What a file, a directory and a symbolic link say; their fields are numbered differently.
struct Body {
    permission: u64,
    modified_millis: u64,
    acl: Vec<AclEntry>,
    xattrs: Vec<XAttr>,
    file: File,
}

impl Body {
    fn decode(message: &[u8], kind: Kind, strings: &Strings) -> Result<Self, Malformed> {
        let file = File { length: 0, blocks: Vec::new(), is_open: false, erasure_coding: None };
        let (acl, xattrs) = (Vec::new(), Vec::new());
        let mut body = Self { permission: 0, modified_millis: 0, acl, xattrs, file };
        let mut fields = Fields::new(message);
        while let Some((field, value)) = fields.next()? {
            match kind {
                Kind::File => body.take_of_file(field, value, strings)?,
                Kind::Directory => match field {
                    1 => body.modified_millis = value.number()?,
                    4 => body.permission = value.number()?,
                    5 => body.acl = acl_of(value.bytes()?, strings)?,
                    6 => body.xattrs = self::xattrs(value.bytes()?, strings)?,
                    _ => {}
                },
                Kind::Symlink => match field {
                    1 => body.permission = value.number()?,
                    3 => body.modified_millis = value.number()?,
                    _ => {}
                },
            }
        }
        Ok(body)
    }

    fn take_of_file(
        &mut self,
        field: u64,
        value: Value<'_>,
        strings: &Strings,
    ) -> Result<(), Malformed> {
        match field {
            2 => self.modified_millis = value.number()?,
            5 => self.permission = value.number()?,
            6 => self.file.blocks.push(block(value.bytes()?)?),
            7 => self.file.is_open = true,
            8 => self.acl = acl_of(value.bytes()?, strings)?,
            9 => self.xattrs = xattrs(value.bytes()?, strings)?,
            12 => self.file.erasure_coding = Some(value.number_u32()?),
            _ => {}
        }
        Ok(())
    }
}

fn block(message: &[u8]) -> Result<Block, Malformed> {
    let mut block = Block { id: 0, generation_stamp: 0, length: 0 };
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => block.id = value.number()?,
            2 => block.generation_stamp = value.number()?,
            3 => block.length = value.number()?,
            _ => {}
        }
    }
    Ok(block)
}

/// Each entry is one number: from the lowest bit on 3 bits of permission, 2 of type, 1 of scope, 24
/// of the name's number.
fn acl_of(message: &[u8], strings: &Strings) -> Result<Vec<AclEntry>, Malformed> {
    let mut entries = Vec::new();
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        if field != 2 {
            continue;
        }
        value.each_fixed32(|packed| {
            let (subject, table) = match packed >> 3 & 3 {
                0 => (AclSubject::User, Table::User),
                1 => (AclSubject::Group, Table::Group),
                2 => (AclSubject::Mask, Table::User),
                _ => (AclSubject::Other, Table::User),
            };
            let number = packed >> 6 & 0xff_ffff;
            let name = strings.get(table, number).cloned();
            if number != 0 && name.is_none() {
                return Err(Malformed("an ACL entry about nobody"));
            }
            let is_default = packed >> 5 & 1 == 1;
            let name = name.filter(|name| !name.is_empty());
            entries.push(AclEntry { is_default, subject, name, permission: packed as u8 & 7 });
            Ok(())
        })?;
    }
    Ok(entries)
}

fn xattrs(message: &[u8], strings: &Strings) -> Result<Vec<XAttr>, Malformed> {
    let mut xattrs = Vec::new();
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        if field == 1 {
            xattrs.push(xattr(value.bytes()?, strings)?);
        }
    }
    Ok(xattrs)
}

/// The name is one number: from the highest bit on 2 bits of the name space, 24 of the name's
/// number, 1 more bit of the name space.
fn xattr(message: &[u8], strings: &Strings) -> Result<XAttr, Malformed> {
    let (mut packed, mut content) = (0, &[][..]);
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => packed = value.number_u32()?,
            2 => content = value.bytes()?,
            _ => {}
        }
    }
    let namespace = match packed >> 30 | (packed >> 5 & 1) << 2 {
        0 => XAttrNamespace::User,
        1 => XAttrNamespace::Trusted,
        2 => XAttrNamespace::Security,
        3 => XAttrNamespace::System,
        4 => XAttrNamespace::Raw,
        _ => return Err(Malformed("an extended attribute of no known name space")),
    };
    let name = strings.get(Table::XAttr, packed >> 6 & 0xff_ffff).cloned();
    let name = name.ok_or(Malformed("an extended attribute without a name"))?;
    Ok(XAttr { namespace, name, value: content.to_vec() })
}
