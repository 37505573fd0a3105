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

/// What a URL stands for: `z` and `z/inner` may both be keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The keys below it.
    Prefix,
    /// The one object of this key.
    Object,
}

/// Keys under a prefix. A key is opaque: `a`, `a/` and `a/b` may all exist.
pub struct S3Source {
    client: Client,
    url: String,
    /// Ends in `/`, or is empty.
    root: Vec<u8>,
    single: Option<RelPath>,
    both: bool,
}

impl S3Source {
    /// Opens the keys under the URL's prefix; the one object that it names, where there are none.
    ///
    /// # Errors
    /// `Missing` if nothing is there, `Denied`, `Unavailable`, `Refused`.
    pub async fn open(settings: &S3Settings) -> Result<Self, StoreError> {
        Self::open_as(settings, None).await
    }

    /// The same for whoever took the URL for `before`: what it stands for stays that, whatever else
    /// came to be. The object that was migrated would be taken for removed otherwise.
    ///
    /// # Errors
    /// As of `open`; `Missing` if only the other of both is there.
    pub async fn open_as(settings: &S3Settings, before: Option<Named>) -> Result<Self, StoreError> {
        let (client, prefix) = settings.connect().await?;
        let url = settings.url.clone();
        let root = if prefix.is_empty() { Vec::new() } else { format!("{prefix}/").into_bytes() };
        let request =
            ListRequest { prefix: root.clone(), keys_max: Some(1), ..ListRequest::default() };
        let page = client.list_objects(&request).await;
        let page = page.map_err(|error| told(&url, Effect::Reads, &error))?;
        let below = !page.objects.is_empty();
        if prefix.is_empty() {
            return Ok(Self { client, url, root, single: None, both: false });
        }
        let object = match client.head_object(prefix.as_bytes(), None).await {
            Ok(_) => true,
            Err(error) if error.kind() == Kind::NotFound => false,
            // Whoever may list need not be allowed to read this one.
            Err(_) if below && before != Some(Named::Object) => false,
            Err(error) => return Err(told(&url, Effect::Reads, &error)),
        };
        let both = below && object;
        let named = before.unwrap_or(if below { Named::Prefix } else { Named::Object });
        match named {
            Named::Prefix if below => Ok(Self { client, url, root, single: None, both }),
            Named::Object if object => {
                let (parent, last) = prefix.rsplit_once('/').unwrap_or(("", &prefix));
                let root = if parent.is_empty() { String::new() } else { format!("{parent}/") };
                let single = Some(RelPath::from(last));
                Ok(Self { client, url, root: root.into_bytes(), single, both })
            }
            Named::Prefix | Named::Object => Err(missing(&url, before, below || object)),
        }
    }

    /// What the URL stands for.
    pub fn named(&self) -> Named {
        if self.single.is_some() { Named::Object } else { Named::Prefix }
    }

    /// Both are there, and only the one is migrated.
    pub fn names_both(&self) -> bool {
        self.both
    }

    /// The one object that the URL stands for, if it is that.
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

fn missing(url: &str, before: Option<Named>, another: bool) -> StoreError {
    let message = match before.filter(|_| another) {
        None => format!("{url}: there is no key with this prefix"),
        Some(Named::Object) => {
            format!("{url}: the object that was migrated is gone, and there are keys below it")
        }
        Some(Named::Prefix) => {
            format!("{url}: the keys that were migrated are gone, and there is an object instead")
        }
    };
    let remedy = match another {
        false => "Look with `aws s3 ls` what the bucket holds.",
        true => "Put it back, or begin another migration for what is there now: --name NEW.",
    };
    StoreError::Missing { message, remedy: remedy.to_owned() }
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
