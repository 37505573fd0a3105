//! HDFS as a source, with the NameNode's edit stream.

mod failback;
mod failure;
mod fence;
mod frozen;
mod image;
mod node;
mod order;
mod retention;
mod scope;
mod snapshots;
mod stream;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use whimbrel_core::entry::{Entry, FileNode, Node, Page};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_hdfs as client;
use whimbrel_hdfs::{
    Client, Configuration, CrcKind, ErrorKind, FileKind, FileStatus, PinnedFile, XAttrNamespace,
};

use self::failure::{Asked, told};
use self::frozen::Frozen;
pub use self::image::ImageFrom;
use self::order::{Batch, Directory, Named, Walk};
use self::retention::Retention;
use self::scope::Root;
use self::snapshots::HdfsSnapshots;
use self::stream::HdfsStream;
use crate::error::StoreError;
use crate::fence::Fence;
use crate::snapshots::Snapshots;
use crate::source::{Answer, ByteStream, ChangeStream, Source};

/// ACLs of a page that are asked for at the same time.
const ACL_CALLS: usize = 8;
/// Directories of more than one page whose walks are remembered.
const WALKS_MAX: usize = 64;

/// What to open, and as whom.
#[derive(Clone, Debug)]
pub struct HdfsSettings {
    /// `hdfs://HOST:PORT/path`, `hdfs://NAMESERVICE/path` or `hdfs:///path`.
    pub url: String,
    /// The folder with `core-site.xml` and `hdfs-site.xml`; `None`: the URL says everything.
    pub configuration: Option<PathBuf>,
    /// The user that the NameNode checks rights for.
    pub user: String,
    /// What operators see in the NameNode's audit log.
    pub caller_context: String,
    /// ACLs are read: a call for every path that has one.
    pub acl: bool,
    /// How long opening tries to reach the cluster.
    pub patience: Duration,
}

/// What the URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootKind {
    /// A directory: the root.
    Directory,
    /// A file: the root is the directory that holds it, and only this child is meant.
    File(RelPath),
}

/// A tree of HDFS. It only reads, and changes no access time but where bytes are read from
/// DataNodes, which the NameNode does not see.
pub struct HdfsSource {
    client: Client,
    root: Root,
    /// Of the root that was opened: everything below it is asked for by this number, so that
    /// another directory in its place answers nothing (rule 1.5).
    root_id: u64,
    /// The snapshot that is read, if it is one: that is asked for by path.
    frozen: Option<Frozen>,
    kind: RootKind,
    acl: bool,
    walks: Mutex<VecDeque<(RelPath, Walk)>>,
}

impl HdfsSource {
    /// Opens the tree or the file that the URL names.
    ///
    /// # Errors
    /// `Missing` if nothing is there, `Refused` for a wrong URL, a symbolic link, the list of a
    /// directory's snapshots and a root in an encryption zone, `Unsupported` for a cluster with Kerberos, `Denied`, `Unavailable` after
    /// `settings.patience`.
    pub async fn open(settings: &HdfsSettings) -> Result<Self, StoreError> {
        let (authority, path) = split(&settings.url)?;
        frozen::refuse_list_of_snapshots(&settings.url, &path)?;
        let failed = |error| told(&settings.url, Asked::Files, error);
        let configuration = match &settings.configuration {
            Some(folder) => Configuration::read(folder).map_err(failed)?,
            None => Configuration::new(),
        };
        let calls = client::Settings {
            caller_context: settings.caller_context.clone(),
            patience: settings.patience,
            ..client::Settings::new(&settings.user)
        };
        let client = Client::connect(&configuration, authority, calls).await.map_err(failed)?;
        // Before anything in it is looked at: what is read must not be of an older one.
        let frozen = Frozen::learn(&client, &path).await.map_err(failed)?;
        let status = client.located_status(path.as_bytes()).await.map_err(failed)?;
        let Some(status) = status else { return Err(missing(&settings.url)) };
        // Not every NameNode tells this to everybody; its files say it of themselves as well.
        let zone = client.encryption_zone(path.as_bytes()).await.unwrap_or_default();
        if status.is_encrypted || zone.is_some() {
            return Err(encrypted(&settings.url));
        }
        let (root, kind) = root_of(&settings.url, &path, &status)?;
        let root_id = match &kind {
            RootKind::Directory => status.file_id,
            RootKind::File(_) => {
                let above = client.located_status(root.as_bytes()).await.map_err(failed)?;
                above.ok_or_else(|| missing(&settings.url))?.file_id
            }
        };
        let walks = Mutex::default();
        Ok(Self { client, root, root_id, frozen, kind, acl: settings.acl, walks })
    }

    /// What the URL names.
    pub fn root_kind(&self) -> &RootKind {
        &self.kind
    }

    /// Snapshots of the root: to make one writes to the source. `None` where only a file of it is
    /// meant, and of a snapshot.
    pub fn snapshots(&self) -> Option<Arc<dyn Snapshots>> {
        if self.kind != RootKind::Directory || self.frozen.is_some() {
            return None;
        }
        Some(Arc::new(HdfsSnapshots {
            client: self.client.clone(),
            reached: self.reached(&RelPath::root()),
            root: self.root.clone(),
            shown: String::from_utf8_lossy(self.root.as_bytes()).into_owned(),
        }))
    }

    /// What can keep others from changing it: to set one writes to the source. None where only a
    /// file of it is meant, and of a snapshot.
    pub fn fences(&self) -> Vec<Arc<dyn Fence>> {
        if self.kind != RootKind::Directory || self.frozen.is_some() {
            return Vec::new();
        }
        let client = self.client.clone();
        let permissions = fence::Permissions {
            client: self.client.clone(),
            directory: self.root_id,
            reached: self.reached(&RelPath::root()),
            shown: String::from_utf8_lossy(self.root.as_bytes()).into_owned(),
        };
        vec![Arc::new(fence::SafeMode { client }), Arc::new(permissions)]
    }

    /// The path by which the NameNode is asked: below the root that was opened, wherever that
    /// stands.
    fn reached(&self, path: &RelPath) -> Vec<u8> {
        if self.root.as_bytes() == b"/" || self.frozen.is_some() {
            return self.root.absolute(path);
        }
        let root = format!("/.reserved/.inodes/{}", self.root_id);
        Root::new(root.as_bytes()).absolute(path)
    }

    async fn page(
        &self,
        directory: &RelPath,
        after: Option<&[u8]>,
    ) -> Result<Option<Page>, StoreError> {
        let (path, shown) = (self.reached(directory), self.root.absolute(directory));
        let listing = Listing { client: &self.client, path, shown };
        let walk = self.take_walk(directory);
        let Some((batch, walk)) = order::page(&listing, after, walk).await? else {
            return Ok(None);
        };
        // Looked at after the answer that rests on it.
        if !self.stands().await? {
            return Ok(None);
        }
        if batch.more {
            self.keep_walk(directory, walk);
        }
        let entries = batch.children.iter().map(|status| self.entry(directory, status));
        let entries: Vec<_> = entries.collect();
        let entries = futures_util::stream::iter(entries).buffered(ACL_CALLS);
        let entries = entries.try_collect().await?;
        Ok(Some(Page { entries, more: batch.more }))
    }

    /// False once the snapshot that is read is gone, or another was made under its name.
    async fn stands(&self) -> Result<bool, StoreError> {
        let Some(frozen) = &self.frozen else { return Ok(true) };
        let stands = frozen.stands(&self.client).await;
        stands.map_err(|error| self.failed(&RelPath::root(), error))
    }

    async fn entry(&self, directory: &RelPath, status: &FileStatus) -> Result<Entry, StoreError> {
        let path = directory.join(&status.name);
        let node = self.node(&path, status).await?;
        Ok(Entry { path, node })
    }

    async fn node(&self, path: &RelPath, status: &FileStatus) -> Result<Node, StoreError> {
        if !(self.acl && status.has_acl) {
            return Ok(node::node(status, None));
        }
        let acl = match self.client.acl_status(&self.reached(path)).await {
            Ok(acl) => node::acl_text(status.permission, &acl.entries),
            // It went meanwhile; a later look will say so.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(self.failed(path, error)),
        };
        Ok(node::node(status, acl))
    }

    fn failed(&self, path: &RelPath, error: client::Error) -> StoreError {
        let absolute = self.root.absolute(path);
        told(&String::from_utf8_lossy(&absolute), Asked::Files, error)
    }

    fn take_walk(&self, directory: &RelPath) -> Option<Walk> {
        let mut walks = self.walks.lock().unwrap_or_else(PoisonError::into_inner);
        let at = walks.iter().position(|(path, _)| path == directory)?;
        walks.remove(at).map(|(_, walk)| walk)
    }

    fn keep_walk(&self, directory: &RelPath, walk: Walk) {
        let mut walks = self.walks.lock().unwrap_or_else(PoisonError::into_inner);
        walks.push_back((directory.clone(), walk));
        if walks.len() > WALKS_MAX {
            walks.pop_front();
        }
    }
}

impl Source for HdfsSource {
    fn namespace(&self) -> Namespace {
        Namespace::Tree
    }

    fn describe(&self) -> String {
        let root = String::from_utf8_lossy(self.root.as_bytes());
        let url = format!("hdfs://{}{root}", self.client.cluster().name);
        match &self.kind {
            RootKind::Directory => url,
            RootKind::File(name) => format!("{}/{name}", url.trim_end_matches('/')),
        }
    }

    fn root_key(&self) -> Option<u64> {
        Some(self.root_id)
    }

    fn busy_answers(&self) -> u64 {
        self.client.busy_answers()
    }

    fn list<'a>(
        &'a self,
        directory: &'a RelPath,
        after: Option<&'a [u8]>,
    ) -> Answer<'a, Option<Page>> {
        Box::pin(self.page(directory, after))
    }

    fn stat<'a>(&'a self, path: &'a RelPath) -> Answer<'a, Option<Node>> {
        Box::pin(async move {
            if path.has_empty_component() {
                return Ok(None);
            }
            // The root itself is asked for by its name: which one stands there now?
            let asked = if path.is_root() { self.root.absolute(path) } else { self.reached(path) };
            let status = match self.client.located_status(&asked).await {
                Ok(status) => status,
                // Such a name cannot be there.
                Err(client::Error::InvalidPath { .. }) => None,
                Err(error) => return Err(self.failed(path, error)),
            };
            match status {
                Some(_) if path.is_root() && !self.stands().await? => Ok(None),
                Some(status) => self.node(path, &status).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn read(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
        let absolute = self.root.absolute(path);
        let failed = move |error| told(&String::from_utf8_lossy(&absolute), Asked::Files, error);
        let pinned = PinnedFile::from_bytes(&node.pin);
        match pinned.and_then(|pinned| self.client.read(&pinned, range)) {
            Ok(reader) => Box::pin(reader.into_stream().map_err(failed)),
            Err(error) => Box::pin(futures_util::stream::iter([Err(failed(error))])),
        }
    }

    fn stored_checksum<'a>(
        &'a self,
        path: &'a RelPath,
        node: &'a FileNode,
        length: u64,
    ) -> Answer<'a, Option<u32>> {
        Box::pin(async move {
            let pinned = PinnedFile::from_bytes(&node.pin).map_err(|e| self.failed(path, e))?;
            let Some(pinned) = pinned.beginning(length) else { return Ok(None) };
            match self.client.composite_crc(&pinned).await {
                Ok(crc) if crc.kind == CrcKind::Crc32c || pinned.length == 0 => Ok(Some(crc.value)),
                Ok(_) => Ok(None),
                Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
                Err(error) => Err(self.failed(path, error)),
            }
        })
    }

    fn xattrs<'a>(&'a self, path: &'a RelPath) -> Answer<'a, BTreeMap<String, Vec<u8>>> {
        Box::pin(async move {
            let xattrs = self.client.xattrs(&self.reached(path)).await;
            let xattrs = xattrs.map_err(|error| self.failed(path, error))?;
            let named = xattrs.into_iter().map(|xattr| {
                let space = space_name(xattr.namespace);
                let name = format!("{space}.{}", String::from_utf8_lossy(&xattr.name));
                (name, xattr.value.to_vec())
            });
            Ok(named.collect())
        })
    }

    fn stream(&self) -> Answer<'_, Arc<dyn ChangeStream>> {
        Box::pin(async {
            if self.frozen.is_some() {
                return Err(frozen::nothing_to_follow(&self.describe()));
            }
            // Says at once whether this user may follow the edits.
            let newest = self.client.current_transaction_id().await;
            if let Err(error) = newest
                && error.kind() != ErrorKind::Retry
            {
                return Err(told("the edit stream", Asked::Edits, error));
            }
            let retention = Retention::learn(&self.client).await;
            let stream = HdfsStream::new(self.client.clone(), self.root.clone(), retention);
            Ok(Arc::new(stream) as Arc<dyn ChangeStream>)
        })
    }
}

/// One directory as the NameNode lists it.
struct Listing<'a> {
    client: &'a Client,
    path: Vec<u8>,
    /// The same for people.
    shown: Vec<u8>,
}

impl Named for FileStatus {
    fn name(&self) -> &[u8] {
        &self.name
    }
}

impl Directory for Listing<'_> {
    type Child = FileStatus;

    async fn fetch(
        &self,
        behind: &[u8],
        whole: bool,
    ) -> Result<Option<Batch<FileStatus>>, StoreError> {
        let page = match self.client.list(&self.path, behind, whole).await {
            Ok(page) => page,
            Err(client::Error::InvalidPath { .. }) => None,
            Err(error) => {
                return Err(told(&String::from_utf8_lossy(&self.shown), Asked::Files, error));
            }
        };
        // A file lists itself, under an empty name.
        let page = page.filter(|page| page.entries.iter().all(|entry| !entry.name.is_empty()));
        Ok(page.map(|page| Batch { children: page.entries, more: page.remaining > 0 }))
    }
}

fn space_name(space: XAttrNamespace) -> &'static str {
    match space {
        XAttrNamespace::User => "user",
        XAttrNamespace::Trusted => "trusted",
        XAttrNamespace::Security => "security",
        XAttrNamespace::System => "system",
        XAttrNamespace::Raw => "raw",
    }
}

/// Authority and path of an `hdfs://` URL. Nothing is decoded; repeated and trailing slashes mean
/// nothing.
fn split(url: &str) -> Result<(&str, String), StoreError> {
    let refused = |reason: &str| StoreError::Refused {
        message: format!("{url}: {reason}"),
        remedy: "Write hdfs://HOST:PORT/path, hdfs://NAMESERVICE/path or hdfs:///path.".to_owned(),
    };
    let rest = url.strip_prefix("hdfs://").ok_or_else(|| refused("not an hdfs:// URL"))?;
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let components: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    if components.iter().any(|name| matches!(*name, "." | "..")) {
        return Err(refused("'.' and '..' are not resolved"));
    }
    Ok((authority, format!("/{}", components.join("/"))))
}

fn missing(url: &str) -> StoreError {
    StoreError::Missing {
        message: format!("{url}: there is nothing"),
        remedy: "Look with `hdfs dfs -ls` at the path's parent, as the user of this migration."
            .to_owned(),
    }
}

fn encrypted(url: &str) -> StoreError {
    StoreError::Refused {
        message: format!("{url} lies in an encryption zone, which cannot be decrypted"),
        remedy: "Migrate what lies outside of encryption zones; ciphertext is not copied."
            .to_owned(),
    }
}

fn root_of(url: &str, path: &str, status: &FileStatus) -> Result<(Root, RootKind), StoreError> {
    match status.kind {
        FileKind::Directory => Ok((Root::new(path.as_bytes()), RootKind::Directory)),
        FileKind::File => {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let kind = RootKind::File(RelPath::from(name));
            Ok((Root::new(parent.as_bytes()), kind))
        }
        FileKind::Symlink => Err(StoreError::Refused {
            message: format!("{url} is a symbolic link"),
            remedy: "Name what it points to.".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_as_they_stand() {
        for (url, authority, path) in [
            ("hdfs://nn:8020/a/b", "nn:8020", "/a/b"),
            ("hdfs://ns/a//b/", "ns", "/a/b"),
            ("hdfs:///a%20b", "", "/a%20b"),
            ("hdfs://nn:8020", "nn:8020", "/"),
            ("hdfs:///", "", "/"),
        ] {
            assert_eq!(split(url).unwrap(), (authority, path.to_owned()), "{url}");
        }
        for wrong in ["hdfs://nn/a/../b", "hdfs://nn/.", "s3://b/k", "/a"] {
            assert!(matches!(split(wrong), Err(StoreError::Refused { .. })), "{wrong}");
        }
    }
}
