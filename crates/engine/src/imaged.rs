//! A source of which an image was saved: directories in which nothing happened since are not listed
//! (rule 8.1). Whatever is read or written is asked for anew first, and what the source shows then
//! holds against the image.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{TryStreamExt, stream};
use whimbrel_core::effect::{Report, ReportKind};
use whimbrel_core::entry::{FileNode, Node, Page};
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::metadata::Metadata;
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{Change, Meta};
use whimbrel_ledger::Ledger;
use whimbrel_store::error::StoreError;
use whimbrel_store::image::Image;
use whimbrel_store::source::{Answer, ByteStream, ChangeStream, Poll, Source};

use crate::counts::Counts;
use crate::error::EngineError;
use crate::problems::Problems;

/// Files whose pins are remembered: a large one is read in many parts.
const PINS_MAX: usize = 64;
/// How often it is looked again at what contradicts the image, until the stream tells why or
/// nothing of the image is believed any more; then it is left for later.
const DOUBT_PAUSE: Duration = Duration::from_millis(100);
const DOUBT_LOOKS: u32 = 50;

/// Answers listings from an image where that is still true.
pub(crate) struct ImagedSource {
    pub(crate) inner: Arc<dyn Source>,
    pub(crate) image: Arc<Image>,
    pub(crate) counts: Arc<Counts>,
    pins: Arc<Pins>,
}

/// Files of the image as the source showed them before they were read, newest last.
#[derive(Default)]
struct Pins(Mutex<VecDeque<FileNode>>);

impl ImagedSource {
    pub(crate) fn new(inner: Arc<dyn Source>, image: Arc<Image>, counts: Arc<Counts>) -> Self {
        Self { inner, image, counts, pins: Arc::default() }
    }
}

impl Pins {
    /// The pinned file: an image knows no DataNodes, so the source is asked, and has to show the
    /// very file that the image shows (rule 3.1), and what travels with it. (Extended attributes
    /// are asked for when it is written.)
    async fn find(
        &self,
        source: &dyn Source,
        path: &RelPath,
        node: &FileNode,
    ) -> Result<FileNode, StoreError> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().iter().find(|pinned| pinned.identity == node.identity).cloned();
        if let Some(found) = found {
            return Ok(found);
        }
        match source.stat(path).await? {
            Some(Node::File(file)) if !file.open && is_as_shown(&file, node) => {
                let mut known = known();
                if known.len() == PINS_MAX {
                    known.pop_front();
                }
                known.push_back(file.clone());
                Ok(file)
            }
            Some(Node::File(_) | Node::Directory(_) | Node::Special(_)) | None => {
                Err(StoreError::Moved {
                    message: format!("{path} is not the file any more that the image shows"),
                })
            }
        }
    }
}

impl Source for ImagedSource {
    fn namespace(&self) -> Namespace {
        self.inner.namespace()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn root_key(&self) -> Option<u64> {
        self.inner.root_key()
    }

    fn list<'a>(
        &'a self,
        directory: &'a RelPath,
        after: Option<&'a [u8]>,
    ) -> Answer<'a, Option<Page>> {
        Box::pin(async move {
            let (image, of) = (self.image.clone(), directory.clone());
            let behind = after.map(<[u8]>::to_vec);
            let told = tokio::task::spawn_blocking(move || image.page(&of, behind.as_deref()));
            // What broke tells nothing: then the source is asked as well.
            if let Ok(Some(mut page)) = told.await {
                self.counts.image_listings.add(1);
                // Nothing is read of an empty file, and what is open is looked at by itself.
                for entry in &mut page.entries {
                    if let Node::File(file) = &mut entry.node {
                        file.open |= file.identity.length() == 0;
                    }
                }
                return Ok(Some(page));
            }
            self.inner.list(directory, after).await
        })
    }

    fn stat<'a>(&'a self, path: &'a RelPath) -> Answer<'a, Option<Node>> {
        Box::pin(async move {
            for _ in 0..DOUBT_LOOKS {
                let shown = self.inner.stat(path).await?;
                let (image, at, seen) = (self.image.clone(), path.clone(), shown.clone());
                let doubted = move || image.doubts(&at, seen.as_ref());
                if !tokio::task::spawn_blocking(doubted).await.unwrap_or(true) {
                    return Ok(shown);
                }
                tokio::time::sleep(DOUBT_PAUSE).await;
            }
            Err(StoreError::Moved { message: format!("{path} is not what the image shows") })
        })
    }

    fn read(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
        if !node.pin.is_empty() {
            return self.inner.read(path, node, range);
        }
        let (source, pins) = (self.inner.clone(), self.pins.clone());
        let (path, node) = (path.clone(), node.clone());
        let pinned = async move {
            let file = pins.find(source.as_ref(), &path, &node).await?;
            Ok::<_, StoreError>(source.read(&path, &file, range))
        };
        Box::pin(stream::once(pinned).try_flatten())
    }

    fn read_beginning(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
        if node.pin.is_empty() {
            return self.read(path, node, range);
        }
        self.inner.read_beginning(path, node, range)
    }

    fn stored_checksum<'a>(
        &'a self,
        path: &'a RelPath,
        node: &'a FileNode,
        length: u64,
    ) -> Answer<'a, Option<u32>> {
        if !node.pin.is_empty() {
            return self.inner.stored_checksum(path, node, length);
        }
        Box::pin(async move {
            let file = self.pins.find(self.inner.as_ref(), path, node).await?;
            self.inner.stored_checksum(path, &file, length).await
        })
    }

    fn xattrs<'a>(&'a self, path: &'a RelPath) -> Answer<'a, BTreeMap<String, Vec<u8>>> {
        self.inner.xattrs(path)
    }

    fn busy_answers(&self) -> u64 {
        self.inner.busy_answers()
    }

    fn stream(&self) -> Answer<'_, Arc<dyn ChangeStream>> {
        self.inner.stream()
    }
}

/// Before the core begins: the image's transaction becomes the position of a migration that has
/// none (rule 1.1), and what happened between the two is noted for one that has. An image that the
/// stream cannot be joined to any more is of no use: people are told, and everything is listed.
pub(crate) async fn join(
    image: &Image,
    stream: Option<&dyn ChangeStream>,
    ledger: &mut Ledger,
    problems: &Problems,
) -> Result<Meta, EngineError> {
    let meta = ledger.meta()?;
    let joined = match stream {
        // A scan that began without a stream has another position to be joined from.
        Some(stream) if !meta.scanned && (meta.position.is_some() || !meta.scan_begun) => {
            caught_up(image, stream, &meta).await?
        }
        Some(_) | None => {
            image.forget();
            return Ok(meta);
        }
    };
    if !joined {
        image.forget();
        problems.tell(too_old(image));
    } else if meta.position.is_none() {
        ledger.apply(&[&[Change::Position { txid: image.txid(), digest: 0 }]])?;
    }
    Ok(ledger.meta()?)
}

/// Follows the stream from the image's transaction to the position; `false` if it does not reach
/// back so far.
async fn caught_up(
    image: &Image,
    stream: &dyn ChangeStream,
    meta: &Meta,
) -> Result<bool, EngineError> {
    let position = meta.position.unwrap_or(image.txid());
    loop {
        let after = image.followed();
        let poll = stream.poll(after).await.map_err(|error| error.into_failure(Side::Source))?;
        match poll {
            Poll::Reply(reply) => {
                image.note(after, &reply);
                if reply.applied >= position {
                    return Ok(true);
                }
                if reply.applied == after {
                    return Ok(false);
                }
            }
            Poll::Gap => return Ok(false),
            // Another history than that of the position: the core will be told.
            Poll::Beyond if meta.position.is_some() => return Ok(false),
            Poll::Beyond => {
                return Err(EngineError::WrongUse {
                    message: format!(
                        "the image is of transaction {}, and the source has not come that far",
                        after.0
                    ),
                    remedy: "give an image of the NameNode that is asked, as it is now".to_owned(),
                });
            }
        }
    }
}

/// Bytes and metadata.
fn is_as_shown(file: &FileNode, shown: &FileNode) -> bool {
    let without = |file: &FileNode| Metadata { xattrs: BTreeMap::new(), ..file.metadata.clone() };
    file.identity == shown.identity && without(file) == without(shown)
}

/// The source shows something else at the path, and the stream does not tell why.
pub(crate) fn contradicted(path: RelPath) -> Report {
    let message = format!(
        "the image does not show what stands at {path}, and nothing happened there since: nothing \
         of it is believed any more, and everything is listed"
    );
    Report {
        path: Some(path),
        kind: ReportKind::Image,
        failure: Failure {
            side: Side::Source,
            kind: FailureKind::Corrupt,
            message,
            remedy: "nothing now; the file of the image is damaged: keep its sum beside it \
                     (FILE.md5, as the NameNode does), or have it fetched (--fsimage \
                     http://HOST:PORT)"
                .to_owned(),
        },
    }
}

fn too_old(image: &Image) -> Report {
    let txid = image.txid().0;
    Report {
        path: None,
        kind: ReportKind::Image,
        failure: Failure {
            side: Side::Source,
            kind: FailureKind::Missing,
            message: format!(
                "the image is of transaction {txid}, and the source does not tell what happened \
                 from there on (any more): everything is listed"
            ),
            remedy: "nothing now; a newer image (hdfs dfsadmin -fetchImage), or more edits kept \
                     (dfs.namenode.num.extra.edits.retained), spares the listings"
                .to_owned(),
        },
    }
}

#[cfg(test)]
#[path = "imaged_tests.rs"]
mod tests;
