//! Remembers what a real source's stream and looks said, for the words of a failing test.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use whimbrel_core::entry::{FileNode, Node, Page};
use whimbrel_core::number::TxId;
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_store::source::{Answer, ByteStream, ChangeStream, Memory, Poll, Source};

/// Lines in the order in which they were said.
pub type Record = Arc<Mutex<Vec<String>>>;

/// Passes everything on.
pub struct Recording {
    pub inner: Arc<dyn Source>,
    pub record: Record,
}

struct RecordingStream {
    inner: Arc<dyn ChangeStream>,
    record: Record,
}

impl Source for Recording {
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
            let page = self.inner.list(directory, after).await;
            let names = |page: &Page| -> Vec<String> {
                page.entries.iter().map(|entry| entry.path.to_string()).collect()
            };
            let said = page.as_ref().map(|page| page.as_ref().map(names));
            self.record.lock().unwrap().push(format!("list {directory}: {said:?}"));
            page
        })
    }

    fn stat<'a>(&'a self, path: &'a RelPath) -> Answer<'a, Option<Node>> {
        Box::pin(async move {
            let node = self.inner.stat(path).await;
            let said = node.as_ref().map(|node| match node {
                Some(Node::File(file)) => format!("file {:?}", file.identity),
                Some(Node::Directory(_)) => "directory".to_owned(),
                Some(Node::Special(_)) => "special".to_owned(),
                None => "nothing".to_owned(),
            });
            self.record.lock().unwrap().push(format!("stat {path}: {said:?}"));
            node
        })
    }

    fn read(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
        self.record.lock().unwrap().push(format!("read {path}"));
        self.inner.read(path, node, range)
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
            let stream =
                RecordingStream { inner: self.inner.stream().await?, record: self.record.clone() };
            Ok(Arc::new(stream) as Arc<dyn ChangeStream>)
        })
    }
}

impl ChangeStream for RecordingStream {
    fn position(&self) -> Answer<'_, TxId> {
        self.inner.position()
    }

    fn history(&self) -> Answer<'_, String> {
        self.inner.history()
    }

    fn poll(&self, after: TxId) -> Answer<'_, Poll> {
        Box::pin(async move {
            let poll = self.inner.poll(after).await;
            match &poll {
                Ok(Poll::Reply(reply)) => {
                    let events = reply.batches.iter().flat_map(|batch| {
                        batch.events.iter().map(|event| format!("{} {event:?}", batch.txid))
                    });
                    self.record.lock().unwrap().extend(events);
                }
                other => self.record.lock().unwrap().push(format!("{other:?}")),
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
