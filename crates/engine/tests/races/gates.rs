//! Real stores behind gates: the run is held at a precise moment until the test lets it go on.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use whimbrel_core::config::RequestLifetime;
use whimbrel_core::effect::Expected;
use whimbrel_core::entry::{FileNode, Node, Page};
use whimbrel_core::input::Standing;
use whimbrel_core::number::TxId;
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::Part;
use whimbrel_store::content::Content;
use whimbrel_store::error::StoreError;
use whimbrel_store::source::{Answer, ByteStream, ChangeStream, Memory, Poll, Source};
use whimbrel_store::target::{Abilities, CopySource, Object, ObjectPage, Stamp, Target};

/// How long a run may take to come to a gate.
const WAY: Duration = Duration::from_secs(30);
/// Stands for the time in which a lost request may take effect; the tests let it do so earlier.
const REQUEST_LIFETIME_MILLIS: u64 = 2_000;

/// Where a run can be held. Source paths and target keys are relative to the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A page of a directory is about to be asked for.
    Listing,
    /// A page was answered, and is not handed over yet.
    Listed,
    /// A look at a path was answered, and is not handed over yet.
    Looked,
    /// A file is about to be read.
    Reading,
    /// Some of a file's bytes were read.
    ReadInPart,
    /// Bytes are in memory and about to be written.
    Writing,
    /// Bytes were written, and the answer is not handed over yet.
    Written,
    /// The write is lost on its way: its outcome is unknown, and it lands when the gate opens.
    LateWrite,
    /// An object is about to be copied on the target.
    Copying,
    /// An object is about to be removed.
    Removing,
    /// The position was answered, and is not handed over yet.
    Positioned,
    /// The stream is about to be asked.
    Polling,
    /// The stream answered with events, and the answer is not handed over yet.
    Polled,
}

/// Gates that nobody came to yet.
#[derive(Default)]
pub struct Gates(Mutex<Vec<Held>>);

struct Held {
    moment: Moment,
    subject: String,
    reached: Arc<Semaphore>,
    opened: Arc<Semaphore>,
    passed: Arc<Semaphore>,
}

/// The test's end of a gate; it opens when dropped.
pub struct Gate {
    name: String,
    reached: Arc<Semaphore>,
    opened: Arc<Semaphore>,
    passed: Arc<Semaphore>,
}

impl Gates {
    /// The next time that this happens to `subject` it is held.
    pub fn close(&self, moment: Moment, subject: &str) -> Gate {
        let (reached, opened, passed) =
            (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        self.0.lock().unwrap().push(Held {
            moment,
            subject: subject.to_owned(),
            reached: reached.clone(),
            opened: opened.clone(),
            passed: passed.clone(),
        });
        Gate { name: format!("{moment:?} {subject:?}"), reached, opened, passed }
    }

    fn take(&self, moment: Moment, subject: &str) -> Option<Held> {
        let mut gates = self.0.lock().unwrap();
        let fits = |held: &Held| held.moment == moment && held.subject == subject;
        let place = gates.iter().position(fits)?;
        Some(gates.remove(place))
    }

    async fn pass(&self, moment: Moment, subject: &str) {
        if let Some(held) = self.take(moment, subject) {
            held.reached.add_permits(1);
            held.opened.acquire().await.unwrap().forget();
            held.passed.add_permits(1);
        }
    }
}

impl Gate {
    /// Returns when the run stands at the gate.
    pub async fn reached(&self) {
        let waited = timeout(WAY, self.reached.acquire()).await;
        waited.unwrap_or_else(|_| panic!("it never came to {}", self.name)).unwrap().forget();
    }

    /// Lets the run go on.
    pub fn open(self) {}

    /// Lets a late write land and returns when it has.
    pub async fn land(self) {
        self.opened.add_permits(1);
        timeout(WAY, self.passed.acquire()).await.unwrap().unwrap().forget();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.opened.add_permits(1);
    }
}

/// Passes everything on to a real source.
pub struct GatedSource {
    pub inner: Arc<dyn Source>,
    pub gates: Arc<Gates>,
}

struct GatedStream {
    inner: Arc<dyn ChangeStream>,
    gates: Arc<Gates>,
}

impl Source for GatedSource {
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
            self.gates.pass(Moment::Listing, &directory.to_string()).await;
            let page = self.inner.list(directory, after).await;
            self.gates.pass(Moment::Listed, &directory.to_string()).await;
            page
        })
    }

    fn stat<'a>(&'a self, path: &'a RelPath) -> Answer<'a, Option<Node>> {
        Box::pin(async move {
            let node = self.inner.stat(path).await;
            self.gates.pass(Moment::Looked, &path.to_string()).await;
            node
        })
    }

    fn read(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
        let (gates, subject) = (self.gates.clone(), path.to_string());
        let pieces = self.inner.read(path, node, range);
        Box::pin(stream::unfold((pieces, 0_u64), move |(mut pieces, number)| {
            let (gates, subject) = (gates.clone(), subject.clone());
            async move {
                match number {
                    0 => gates.pass(Moment::Reading, &subject).await,
                    1 => gates.pass(Moment::ReadInPart, &subject).await,
                    _ => {}
                }
                let piece = pieces.next().await?;
                Some((piece, (pieces, number + 1)))
            }
        }))
    }

    fn stored_checksum<'a>(
        &'a self,
        path: &'a RelPath,
        node: &'a FileNode,
        length: u64,
    ) -> Answer<'a, Option<u32>> {
        self.inner.stored_checksum(path, node, length)
    }

    fn xattrs<'a>(&'a self, path: &'a RelPath) -> Answer<'a, BTreeMap<String, Vec<u8>>> {
        self.inner.xattrs(path)
    }

    fn stream(&self) -> Answer<'_, Arc<dyn ChangeStream>> {
        Box::pin(async move {
            let inner = self.inner.stream().await?;
            let gates = self.gates.clone();
            Ok(Arc::new(GatedStream { inner, gates }) as Arc<dyn ChangeStream>)
        })
    }
}

impl ChangeStream for GatedStream {
    fn position(&self) -> Answer<'_, TxId> {
        Box::pin(async move {
            let position = self.inner.position().await;
            self.gates.pass(Moment::Positioned, "").await;
            position
        })
    }

    fn history(&self) -> Answer<'_, String> {
        self.inner.history()
    }

    fn poll(&self, after: TxId) -> Answer<'_, Poll> {
        Box::pin(async move {
            self.gates.pass(Moment::Polling, "").await;
            let poll = self.inner.poll(after).await;
            if matches!(&poll, Ok(Poll::Reply(reply)) if !reply.batches.is_empty()) {
                self.gates.pass(Moment::Polled, "").await;
            }
            poll
        })
    }

    fn digest(&self, txid: TxId) -> Answer<'_, Option<u64>> {
        self.inner.digest(txid)
    }

    fn history_seconds(&self, position: TxId) -> Answer<'_, Option<u64>> {
        self.inner.history_seconds(position)
    }

    fn memory(&self) -> Memory {
        self.inner.memory()
    }
}

/// Passes everything on to a real target.
pub struct GatedTarget {
    pub inner: Arc<dyn Target>,
    pub gates: Arc<Gates>,
    /// What keys begin with, the slash included.
    pub prefix: String,
}

impl GatedTarget {
    fn subject(&self, key: &[u8]) -> String {
        let key = String::from_utf8_lossy(key);
        key.strip_prefix(&self.prefix).unwrap_or(&key).to_owned()
    }

    fn land_later(&self, held: Held, key: &[u8], content: Content, stamp: &Stamp) -> StoreError {
        let (inner, key, stamp) = (self.inner.clone(), key.to_vec(), stamp.clone());
        held.reached.add_permits(1);
        tokio::spawn(async move {
            held.opened.acquire().await.unwrap().forget();
            inner.put(&key, content, &stamp, &Expected::Anything).await.unwrap();
            held.passed.add_permits(1);
        });
        StoreError::Unknown { message: "the answer is lost".to_owned() }
    }
}

impl Target for GatedTarget {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn abilities(&self) -> Abilities {
        let request_lifetime = RequestLifetime::fixed(REQUEST_LIFETIME_MILLIS);
        Abilities { request_lifetime, ..self.inner.abilities() }
    }

    fn admit(&self, key: &[u8]) -> Result<(), StoreError> {
        self.inner.admit(key)
    }

    fn put<'a>(
        &'a self,
        key: &'a [u8],
        content: Content,
        stamp: &'a Stamp,
        expected: &'a Expected,
    ) -> Answer<'a, Standing> {
        Box::pin(async move {
            let subject = self.subject(key);
            if let Some(held) = self.gates.take(Moment::LateWrite, &subject) {
                return Err(self.land_later(held, key, content, stamp));
            }
            self.gates.pass(Moment::Writing, &subject).await;
            let standing = self.inner.put(key, content, stamp, expected).await;
            self.gates.pass(Moment::Written, &subject).await;
            standing
        })
    }

    fn open_upload<'a>(&'a self, key: &'a [u8], stamp: &'a Stamp) -> Answer<'a, String> {
        self.inner.open_upload(key, stamp)
    }

    fn put_part<'a>(
        &'a self,
        key: &'a [u8],
        upload: &'a str,
        number: u32,
        content: Content,
    ) -> Answer<'a, Part> {
        self.inner.put_part(key, upload, number, content)
    }

    fn complete_upload<'a>(
        &'a self,
        key: &'a [u8],
        upload: &'a str,
        parts: &'a [Part],
        crc32c: u32,
        expected: &'a Expected,
    ) -> Answer<'a, Standing> {
        self.inner.complete_upload(key, upload, parts, crc32c, expected)
    }

    fn abort_upload<'a>(&'a self, key: &'a [u8], upload: &'a str) -> Answer<'a, ()> {
        self.inner.abort_upload(key, upload)
    }

    fn copy<'a>(
        &'a self,
        from: &'a CopySource,
        key: &'a [u8],
        stamp: &'a Stamp,
        expected: &'a Expected,
    ) -> Answer<'a, Standing> {
        Box::pin(async move {
            self.gates.pass(Moment::Copying, &self.subject(key)).await;
            self.inner.copy(from, key, stamp, expected).await
        })
    }

    fn remove<'a>(
        &'a self,
        items: &'a [(Vec<u8>, Expected)],
    ) -> Answer<'a, Vec<Result<(), StoreError>>> {
        Box::pin(async move {
            for (key, _) in items {
                self.gates.pass(Moment::Removing, &self.subject(key)).await;
            }
            self.inner.remove(items).await
        })
    }

    fn inspect<'a>(&'a self, key: &'a [u8]) -> Answer<'a, Option<Object>> {
        self.inner.inspect(key)
    }

    fn list<'a>(&'a self, prefix: &'a [u8], after: Option<&'a [u8]>) -> Answer<'a, ObjectPage> {
        self.inner.list(prefix, after)
    }

    fn read(&self, key: &[u8]) -> ByteStream {
        self.inner.read(key)
    }
}
