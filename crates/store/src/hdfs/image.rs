//! A NameNode's saved image as what stood below the source's root: what a listing would have said of
//! each file then, but for where its blocks are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use whimbrel_core::entry::{DirectoryNode, Entry, FileNode, Node, Page};
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::identity::Identity;
use whimbrel_core::number::TxId;
use whimbrel_core::path::RelPath;
use whimbrel_fsimage as fsimage;
use whimbrel_hdfs::{AclEntry, AclSubject};

use super::node::{self, ENCRYPTED, Rights};
use super::{HdfsSource, RootKind, space_name};
use crate::image::{Image, ImageWriter};

/// How long a NameNode may keep silent while it sends its image.
const SILENCE: Duration = Duration::from_secs(60);
/// An image that was fetched stands here until it was read.
const FETCHED: &str = "fsimage.fetched";
/// So many times its own length is needed to read an image: inodes are divided and sorted on disk,
/// then written in the order of the tree.
const ROOM_FACTOR: u64 = 4;

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageFrom {
    /// A file; its sum is looked at where one stands beside it (`FILE.md5`).
    File(PathBuf),
    /// `HOST:PORT` of a NameNode's web interface, which sends the newest that it saved.
    NameNode(String),
}

/// What an image is read for.
struct Wanted {
    root_id: u64,
    namespace_id: u32,
    /// Digest of the block pool's name, which no image has.
    pool: u64,
    acl: bool,
    xattrs: bool,
}

impl HdfsSource {
    /// Reads an image of the cluster. What it takes of disk goes to `folder` and leaves nothing
    /// there; `xattrs` as for `--metadata full`.
    ///
    /// # Errors
    /// `Refused` for what is no image, is damaged, is another cluster's, or does not hold the
    /// root; of the source if the NameNode sends none or cannot be asked who it is; of this machine
    /// if its disk has no room or fails.
    pub async fn image(
        &self,
        from: ImageFrom,
        folder: &Path,
        xattrs: bool,
    ) -> Result<Image, Failure> {
        let no_use =
            |message: &str, remedy: &str| Failure { remedy: remedy.to_owned(), ..refused(message) };
        if self.kind != RootKind::Directory {
            let remedy = "leave it out, or name the directory of the file as SOURCE";
            return Err(no_use("SOURCE is no directory, and there is nothing to list", remedy));
        }
        // What lies in a snapshot has the inode numbers of the live tree.
        if self.frozen.is_some() {
            return Err(no_use("SOURCE is kept by a snapshot", "leave it out"));
        }
        let identity = self.client.namespace_identity().await;
        let identity = identity
            .map_err(|error| self.failed(&RelPath::root(), error).into_failure(Side::Source))?;
        let wanted = Wanted {
            root_id: self.root_id,
            namespace_id: identity.namespace_id,
            pool: node::pool_digest(&identity.block_pool),
            acl: self.acl,
            xattrs,
        };
        let folder = folder.to_owned();
        let reading = tokio::task::spawn_blocking(move || match from {
            ImageFrom::File(path) => read(&path, &folder, &wanted),
            ImageFrom::NameNode(address) => fetch(&address, &folder, &wanted),
        });
        let broken = |error| local(format!("the reading of the image broke: {error}"));
        reading.await.map_err(broken)?
    }
}

fn fetch(address: &str, folder: &Path, wanted: &Wanted) -> Result<Image, Failure> {
    let path = folder.join(FETCHED);
    let room = free_bytes(folder)? / (ROOM_FACTOR + 1);
    let fetched = fsimage::download(address, &path, room, SILENCE);
    let image = fetched.map_err(told).and_then(|_| read(&path, folder, wanted));
    // What is left of it by a death is overwritten by the next call.
    let _ = std::fs::remove_file(&path);
    image
}

fn read(path: &Path, folder: &Path, wanted: &Wanted) -> Result<Image, Failure> {
    let named = |failure: Failure| Failure {
        message: format!("{}: {}", path.display(), failure.message),
        ..failure
    };
    let about =
        std::fs::metadata(path).map_err(|error| named(told(fsimage::Error::Read(error))))?;
    if !about.is_file() {
        return Err(named(refused("it is no regular file, which is needed: it is read twice")));
    }
    let mut image = open(path).map_err(|error| named(told(error)))?;
    let header = image.header().clone();
    if header.namespace_id != wanted.namespace_id {
        return Err(named(refused(&format!(
            "the image is of another file system: its namespace is {}, the source's is {}",
            header.namespace_id, wanted.namespace_id
        ))));
    }
    let (free, needed) = (free_bytes(folder)?, about.len().saturating_mul(ROOM_FACTOR));
    if free < needed {
        return Err(full(format!(
            "{} has {free} bytes of room, and to read the image takes up to {needed}",
            folder.display()
        )));
    }
    let settings = fsimage::Settings {
        temporary_directory: folder.to_owned(),
        ..fsimage::Settings::default()
    };
    let root = fsimage::Root::FileId(wanted.root_id);
    let mut inventory = image.inventory(&root, &settings).map_err(|error| named(told(error)))?;
    let failed = |error: std::io::Error| {
        told(fsimage::Error::Spill { directory: folder.to_owned(), source: error })
    };
    let mut writer = ImageWriter::new(tempfile::tempfile_in(folder).map_err(failed)?);
    while let Some(page) = inventory.next_page().map_err(|error| named(told(error)))? {
        let directory = RelPath::new(page.path.clone());
        writer.add(&directory, &page_of(&directory, page, wanted)).map_err(failed)?;
    }
    writer.finish(TxId(header.transaction_id)).map_err(failed)
}

/// With its sum, where one stands beside it as the NameNode writes it.
fn open(path: &Path) -> Result<fsimage::Image<std::fs::File>, fsimage::Error> {
    let mut sidecar = path.as_os_str().to_owned();
    sidecar.push(".md5");
    let md5 = match std::fs::read_to_string(&sidecar) {
        Ok(text) => Some(fsimage::Md5::parse(&text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(fsimage::Error::Read(error)),
    };
    fsimage::Image::open(path, md5.as_ref())
}

fn page_of(directory: &RelPath, page: fsimage::Page, wanted: &Wanted) -> Page {
    let in_zone = page.is_in_encryption_zone;
    let entries = page.entries.into_iter().map(|entry| {
        let path = directory.join(&entry.name);
        Entry { path, node: node_of(entry, in_zone, wanted) }
    });
    Page { entries: entries.collect(), more: page.more }
}

fn node_of(entry: fsimage::Entry, in_zone: bool, wanted: &Wanted) -> Node {
    let encrypted = in_zone || entry.is_encrypted_file();
    let entries: Vec<AclEntry> = entry.acl.iter().map(acl_entry).collect();
    let mut metadata = node::metadata(&Rights {
        owner: &entry.owner,
        group: &entry.group,
        mode: entry.mode,
        modified_millis: entry.modified_millis,
        acl: node::acl_text(entry.mode, &entries).filter(|_| wanted.acl),
    });
    match entry.node {
        // Whether it is empty is told by its own page.
        fsimage::Node::Directory => {
            Node::Directory(DirectoryNode { file_key: entry.file_id, empty: None, metadata })
        }
        fsimage::Node::Symlink => Node::Special(node::SYMLINK.to_owned()),
        fsimage::Node::File(_) if encrypted => Node::Special(ENCRYPTED.to_owned()),
        fsimage::Node::File(file) => {
            if wanted.xattrs {
                metadata.xattrs = xattrs(&entry.xattrs);
            }
            Node::File(FileNode {
                identity: Identity::Hdfs {
                    block_pool: if file.blocks.is_empty() { 0 } else { wanted.pool },
                    file_id: entry.file_id,
                    length: file.length,
                    modified_ms: i64::try_from(entry.modified_millis).unwrap_or(i64::MAX),
                    blocks: file.blocks_digest(),
                },
                open: file.is_open,
                metadata,
                // Where its blocks are is asked when it is read.
                pin: Bytes::new(),
            })
        }
    }
}

fn acl_entry(entry: &fsimage::AclEntry) -> AclEntry {
    AclEntry {
        is_default: entry.is_default,
        subject: match entry.subject {
            fsimage::AclSubject::User => AclSubject::User,
            fsimage::AclSubject::Group => AclSubject::Group,
            fsimage::AclSubject::Mask => AclSubject::Mask,
            fsimage::AclSubject::Other => AclSubject::Other,
        },
        name: entry.name.as_deref().map(Bytes::copy_from_slice),
        permission: entry.permission,
    }
}

/// Those that the NameNode tells to a superuser, which whoever follows the stream is.
fn xattrs(all: &[fsimage::XAttr]) -> BTreeMap<String, Vec<u8>> {
    use fsimage::XAttrNamespace as Of;
    use whimbrel_hdfs::XAttrNamespace as Told;
    let told = |xattr: &fsimage::XAttr| match xattr.namespace {
        Of::User => Some(Told::User),
        Of::Trusted => Some(Told::Trusted),
        Of::Security => {
            Some(Told::Security).filter(|_| *xattr.name == *b"hdfs.unreadable.by.superuser")
        }
        Of::System | Of::Raw => None,
    };
    let named = |xattr: &fsimage::XAttr| {
        let name = format!("{}.{}", space_name(told(xattr)?), String::from_utf8_lossy(&xattr.name));
        Some((name, xattr.value.clone()))
    };
    all.iter().filter_map(named).collect()
}

fn free_bytes(folder: &Path) -> Result<u64, Failure> {
    let disk = rustix::fs::statvfs(folder)
        .map_err(|error| local(format!("{} cannot be asked: {error}", folder.display())))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn told(error: fsimage::Error) -> Failure {
    use fsimage::Error;
    let message = error.to_string();
    match error {
        Error::Spill { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            full(message)
        }
        Error::NoRoom { .. } => full(message),
        Error::Spill { .. } => local(message),
        Error::Transfer { .. } => Failure {
            side: Side::Source,
            kind: FailureKind::Unavailable,
            message,
            remedy: "name HOST:PORT of the NameNode's web interface (dfs.namenode.http-address), \
                     or fetch the image by hdfs dfsadmin -fetchImage and give the file"
                .to_owned(),
        },
        Error::Read(_)
        | Error::NotAnImage(_)
        | Error::Layout { .. }
        | Error::Codec(_)
        | Error::Md5 { .. }
        | Error::Sidecar(_)
        | Error::Damaged { .. }
        | Error::NoRoot(_) => refused(&message),
    }
}

fn refused(message: &str) -> Failure {
    Failure {
        side: Side::Source,
        kind: FailureKind::Refused,
        message: message.to_owned(),
        remedy: "fetch one from the source's NameNode (hdfs dfsadmin -fetchImage DIR), or leave \
                 --fsimage out: everything is listed then"
            .to_owned(),
    }
}

fn full(message: String) -> Failure {
    let remedy = "make room, put the state elsewhere with --state DIR, or leave --fsimage out";
    Failure { side: Side::Local, kind: FailureKind::Full, message, remedy: remedy.to_owned() }
}

fn local(message: String) -> Failure {
    let remedy = "mend the disk of the state folder, or leave --fsimage out".to_owned();
    Failure { side: Side::Local, kind: FailureKind::Unavailable, message, remedy }
}
