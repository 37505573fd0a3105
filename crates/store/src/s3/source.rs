//! A set of keys in S3 as a source: no directories, no stream.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use whimbrel_core::entry::{Entry, FileNode, Node, Page};
use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_s3::{Client, Error, GetRequest, Kind, ListRequest, ListedObject};

use super::S3Settings;
use super::failure::{Effect, told};
use super::listing;
use super::target::{bytes, name};
use crate::error::StoreError;
use crate::source::{Answer, ByteStream, ChangeStream, Source};

const NANOS: i64 = 1_000_000_000;

/// Keys under a prefix. A key is opaque: `a`, `a/` and `a/b` may all exist.
pub struct S3Source {
    client: Client,
    url: String,
    /// Ends in `/`, or is empty.
    root: Vec<u8>,
    single: Option<RelPath>,
}

impl S3Source {
    /// Opens the keys under the URL's prefix, or the one object that it names.
    ///
    /// # Errors
    /// `Missing` if nothing is there, `Denied`, `Unavailable`, `Refused`.
    pub async fn open(settings: &S3Settings) -> Result<Self, StoreError> {
        let (client, prefix) = settings.connect().await?;
        let url = settings.url.clone();
        let root = if prefix.is_empty() { Vec::new() } else { format!("{prefix}/").into_bytes() };
        let request =
            ListRequest { prefix: root.clone(), keys_max: Some(1), ..ListRequest::default() };
        let page = client.list_objects(&request).await;
        let page = page.map_err(|error| told(&url, Effect::Reads, &error))?;
        if prefix.is_empty() || !page.objects.is_empty() {
            return Ok(Self { client, url, root, single: None });
        }
        match client.head_object(prefix.as_bytes(), None).await {
            Ok(_) => {
                let (parent, last) = prefix.rsplit_once('/').unwrap_or(("", &prefix));
                let root = if parent.is_empty() { String::new() } else { format!("{parent}/") };
                let single = Some(RelPath::from(last));
                Ok(Self { client, url, root: root.into_bytes(), single })
            }
            Err(error) if error.kind() == Kind::NotFound => Err(StoreError::Missing {
                message: format!("{url}: there is no key with this prefix"),
                remedy: "Look with `aws s3 ls` what the bucket holds.".to_owned(),
            }),
            Err(error) => Err(told(&url, Effect::Reads, &error)),
        }
    }

    /// The one object that the URL names, where it is not a prefix of others.
    pub fn single(&self) -> Option<&RelPath> {
        self.single.as_ref()
    }

    fn key(&self, path: &RelPath) -> Vec<u8> {
        [&self.root[..], path.as_bytes()].concat()
    }

    /// What has no known key stands first: where it belongs in the order is not known either.
    async fn page(&self, after: Option<&[u8]>) -> Result<Page, StoreError> {
        let after = after.map(|after| [&self.root[..], after].concat());
        let page = listing::page(&self.client, &self.root, after.as_deref(), |_| false).await?;
        let path = |object: &ListedObject| {
            let path = object.key.bytes.strip_prefix(&self.root[..]).unwrap_or_default();
            RelPath::new(Bytes::copy_from_slice(path))
        };
        let mut altered: Vec<RelPath> = page.altered.iter().map(path).collect();
        altered.sort_unstable();
        altered.dedup();
        let unknown = || Node::Special(listing::ALTERED.to_owned());
        let altered = altered.into_iter().map(|path| Entry { path, node: unknown() });
        let exact = page.exact.into_iter().map(|listed| {
            let path = path(&listed);
            Entry { path, node: node(listed.etag, listed.bytes, listed.last_modified) }
        });
        // The object `prefix/` is the root's own marker.
        let entries = altered.chain(exact).filter(|entry| !entry.path.is_root()).collect();
        Ok(Page { entries, more: page.more })
    }

    /// What stands at a key, by the name under which it is listed.
    async fn look(&self, key: &[u8]) -> Result<Option<Node>, StoreError> {
        let head = match self.client.head_object(key, None).await {
            Ok(head) => Some(head),
            Err(error) if error.kind() == Kind::NotFound => None,
            Err(error) => return Err(told(&name(key), Effect::Reads, &error)),
        };
        let altered = listing::altered(&self.client, key).await?;
        let known = head.as_ref().map(|head| (&head.etag, head.content_bytes));
        if altered.iter().any(|object| Some((&object.etag, object.bytes)) != known) {
            return Ok(Some(Node::Special(listing::ALTERED.to_owned())));
        }
        Ok(head.map(|head| node(head.etag, head.content_bytes, head.last_modified)))
    }
}

/// Identity and time as a listing gives them too: a later look must say the same of what has not
/// changed. Listings know neither version nor checksum, and HEAD counts whole seconds.
fn node(etag: Option<String>, length: u64, modified: Option<SystemTime>) -> Node {
    let etag = etag.unwrap_or_default();
    let since = modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let seconds = since.and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or_default();
    Node::File(FileNode {
        pin: Bytes::copy_from_slice(etag.as_bytes()),
        identity: Identity::Object { version: None, etag, length, crc32c: None },
        open: false,
        metadata: Metadata { modified_ns: seconds.saturating_mul(NANOS), ..Metadata::default() },
    })
}

/// An object that went or changed under the reading is no failure of the copy.
fn reading(key: &[u8], error: Error) -> StoreError {
    match error.kind() {
        Kind::NotFound | Kind::Conflict => {
            StoreError::Moved { message: format!("{}: {error}", name(key)) }
        }
        Kind::Unreachable
        | Kind::Unknown
        | Kind::Throttled
        | Kind::Denied
        | Kind::Expired
        | Kind::NoBucket
        | Kind::Invalid
        | Kind::ChecksumMismatch
        | Kind::Full
        | Kind::Unsupported
        | Kind::Configuration
        | Kind::Body => told(&name(key), Effect::Reads, &error),
    }
}

fn pinned_etag(node: &FileNode) -> Option<String> {
    String::from_utf8(node.pin.to_vec()).ok().filter(|etag| !etag.is_empty())
}

impl Source for S3Source {
    fn namespace(&self) -> Namespace {
        Namespace::Flat
    }

    fn root_key(&self) -> Option<u64> {
        None
    }

    fn describe(&self) -> String {
        format!("{} at {}", self.url, self.client.endpoint())
    }

    fn list<'a>(
        &'a self,
        directory: &'a RelPath,
        after: Option<&'a [u8]>,
    ) -> Answer<'a, Option<Page>> {
        Box::pin(async move {
            if !directory.is_root() {
                return Ok(None);
            }
            self.page(after).await.map(Some)
        })
    }

    fn stat<'a>(&'a self, path: &'a RelPath) -> Answer<'a, Option<Node>> {
        Box::pin(async move {
            let key = self.key(path);
            if key.is_empty() || path.is_root() {
                return Ok(None);
            }
            self.look(&key).await
        })
    }

    fn read(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
        if range.is_empty() {
            return Box::pin(futures_util::stream::empty());
        }
        let request = GetRequest { range: Some(range), if_match: pinned_etag(node), version: None };
        bytes(&self.client, self.key(path), request, reading)
    }

    fn stored_checksum<'a>(
        &'a self,
        path: &'a RelPath,
        node: &'a FileNode,
        length: u64,
    ) -> Answer<'a, Option<u32>> {
        Box::pin(async move {
            let key = self.key(path);
            let head = self.client.head_object(&key, None).await;
            let head = head.map_err(|error| reading(&key, error))?;
            if head.etag != pinned_etag(node) {
                let message = format!("{}: it is another object by now", name(&key));
                return Err(StoreError::Moved { message });
            }
            let whole = length == node.identity.length();
            Ok(head.checksums.full_crc32c().map(|crc| crc.0).filter(|_| whole))
        })
    }

    fn xattrs<'a>(&'a self, _: &'a RelPath) -> Answer<'a, BTreeMap<String, Vec<u8>>> {
        Box::pin(std::future::ready(Ok(BTreeMap::new())))
    }

    fn stream(&self) -> Answer<'_, Arc<dyn ChangeStream>> {
        Box::pin(std::future::ready(Err(StoreError::Unsupported {
            message: format!("{}: S3 has no stream of changes that can be followed", self.url),
            remedy: "Leave --live out; run the migration again to take over what changed."
                .to_owned(),
        })))
    }
}
