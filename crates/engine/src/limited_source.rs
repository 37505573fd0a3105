//! A source behind the limits of the run: nothing is asked or read faster than allowed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use tokio::sync::mpsc::UnboundedSender;
use whimbrel_core::budget::Paced;
use whimbrel_core::entry::{FileNode, Node, Page};
use whimbrel_core::input::Input;
use whimbrel_core::number::{Time, TxId};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_store::error::StoreError;
use whimbrel_store::source::{Answer, ByteStream, ChangeStream, Memory, Poll, Source};

use crate::counts::Counts;
use crate::limit::Limits;
use crate::shared_scan::Seat;

/// Passes everything on to `inner`, counted and slowed down, and tells the core when the source asks
/// for less.
pub(crate) struct LimitedSource {
    inner: Arc<dyn Source>,
    toll: Toll,
    /// What it listed and looked at itself, others are told of there.
    seat: Option<Arc<Seat>>,
}

struct LimitedStream {
    inner: Arc<dyn ChangeStream>,
    toll: Toll,
}

#[derive(Clone)]
struct Toll {
    limits: Arc<Limits>,
    counts: Arc<Counts>,
    /// What is read is sent, not only looked at.
    copies: bool,
    inputs: UnboundedSender<Input>,
    /// Answers of a busy source that the core knows of.
    busy_answers: Arc<AtomicU64>,
}

impl Toll {
    async fn call(&self) {
        self.limits.take_source_call().await;
        self.counts.source_calls.add(1);
    }

    /// Passes an answer on. What a client repeats by itself when it is told to come back later shows
    /// in the source's `busy_answers` alone.
    fn heard<T>(&self, answer: Result<T, StoreError>, busy_answers: u64) -> Result<T, StoreError> {
        let known = self.busy_answers.fetch_max(busy_answers, Ordering::Relaxed);
        if busy_answers > known || matches!(answer, Err(StoreError::Throttled { .. })) {
            let in_use = self.counts.source_calls.per_second();
            // The core is gone only when the run ends.
            let _ = self.inputs.send(Input::Busy { what: Paced::SourceCalls, in_use });
        }
        answer
    }
}

impl LimitedSource {
    pub(crate) fn new(
        inner: Arc<dyn Source>,
        limits: Arc<Limits>,
        counts: Arc<Counts>,
        inputs: UnboundedSender<Input>,
        seat: Option<Arc<Seat>>,
    ) -> Self {
        let busy_answers = Arc::default();
        let toll = Toll { limits, counts, copies: false, inputs, busy_answers };
        Self { inner, toll, seat }
    }

    /// A page that another migration listed.
    async fn shared(&self, directory: &RelPath, after: Option<&[u8]>) -> Option<Page> {
        let page = self.seat.as_ref()?.find(directory, after).await?;
        self.toll.counts.shared_listings.add(1);
        Some(page)
    }

    fn heard<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        self.toll.heard(answer, self.inner.busy_answers())
    }

    /// The same source for whoever sends what is read.
    pub(crate) fn for_copies(&self) -> Self {
        let toll = Toll { copies: true, ..self.toll.clone() };
        Self { inner: self.inner.clone(), toll, seat: self.seat.clone() }
    }

    fn counted(&self, pieces: ByteStream) -> ByteStream {
        let toll = self.toll.clone();
        Box::pin(pieces.then(move |piece| {
            let toll = toll.clone();
            async move {
                if let Ok(bytes) = &piece {
                    let length = bytes.len() as u64;
                    toll.limits.take_bandwidth(length).await;
                    toll.counts.source_bytes.add(length);
                    if toll.copies {
                        toll.counts.copied_bytes.add(length);
                    }
                }
                piece
            }
        }))
    }
}

impl Source for LimitedSource {
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
            if let Some(page) = self.shared(directory, after).await {
                return Ok(Some(page));
            }
            self.toll.call().await;
            // Others need not wait for the turn of this one, so they may have come first.
            if let Some(page) = self.shared(directory, after).await {
                return Ok(Some(page));
            }
            self.toll.counts.source_listings.add(1);
            let listing = self.seat.as_ref().and_then(|seat| seat.begin(directory, after));
            let answer = self.heard(self.inner.list(directory, after).await);
            if let (Some(listing), Ok(Some(page))) = (listing, &answer) {
                listing.done(page);
            }
            answer
        })
    }

    fn stat<'a>(&'a self, path: &'a RelPath) -> Answer<'a, Option<Node>> {
        Box::pin(async move {
            self.toll.call().await;
            let answer = self.heard(self.inner.stat(path).await);
            if let Some(seat) = &self.seat {
                seat.saw(path);
            }
            answer
        })
    }

    fn read(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
        self.counted(self.inner.read(path, node, range))
    }

    fn read_beginning(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
        self.counted(self.inner.read_beginning(path, node, range))
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
        Box::pin(async move {
            self.toll.call().await;
            self.heard(self.inner.xattrs(path).await)
        })
    }

    fn stream(&self) -> Answer<'_, Arc<dyn ChangeStream>> {
        Box::pin(async move {
            self.toll.call().await;
            let inner = self.inner.stream().await?;
            Ok(Arc::new(LimitedStream { inner, toll: self.toll.clone() }) as Arc<dyn ChangeStream>)
        })
    }
}

/// The stream itself is counted but never slowed down: a run that falls behind the edit history
/// would have to look at everything again (rule 8.1).
impl ChangeStream for LimitedStream {
    fn position(&self) -> Answer<'_, TxId> {
        self.toll.counts.source_calls.add(1);
        self.inner.position()
    }

    fn history(&self) -> Answer<'_, String> {
        self.toll.counts.source_calls.add(1);
        self.inner.history()
    }

    fn poll(&self, after: TxId) -> Answer<'_, Poll> {
        self.toll.counts.source_calls.add(1);
        self.inner.poll(after)
    }

    fn poll_thoroughly(&self, after: TxId, quiet_since: Time) -> Answer<'_, Poll> {
        self.toll.counts.source_calls.add(1);
        self.inner.poll_thoroughly(after, quiet_since)
    }

    fn digest(&self, txid: TxId) -> Answer<'_, Option<u64>> {
        self.toll.counts.source_calls.add(1);
        self.inner.digest(txid)
    }

    fn history_seconds(&self, position: TxId) -> Answer<'_, Option<u64>> {
        self.toll.counts.source_calls.add(1);
        self.inner.history_seconds(position)
    }

    fn memory(&self) -> Memory {
        self.inner.memory()
    }
}
