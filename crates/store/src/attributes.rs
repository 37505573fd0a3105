//! A source whose looks tell extended attributes too (`--metadata full`): a change of them shows
//! in nothing else that a source says of a file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use whimbrel_core::entry::{Entry, FileNode, Node, Page};
use whimbrel_core::failure::FailureKind;
use whimbrel_core::path::{Namespace, RelPath};

use crate::error::StoreError;
use crate::source::{Answer, ByteStream, ChangeStream, Source};

/// Files of one page whose attributes are asked for at the same time.
const QUESTIONS_IN_FLIGHT: usize = 16;
/// Looks at a file that goes or is replaced between the look and the question for its attributes.
const LOOKS_MAX: u32 = 5;

/// Asks `inner` for the attributes of every file that it names: one more question for each.
pub struct WithAttributes {
    inner: Arc<dyn Source>,
}

impl WithAttributes {
    /// The same source, asked for more.
    pub fn new(inner: Arc<dyn Source>) -> Self {
        Self { inner }
    }

    async fn completed(&self, mut entry: Entry) -> Result<Entry, StoreError> {
        if let Node::File(file) = &mut entry.node {
            match self.inner.xattrs(&entry.path).await {
                Ok(xattrs) => file.metadata.xattrs = xattrs,
                Err(error)
                    if matches!(
                        error.kind(),
                        FailureKind::Unavailable | FailureKind::Throttled
                    ) =>
                {
                    return Err(error);
                }
                // It went, or may not be asked: the look at this path alone tells.
                Err(_) => {}
            }
        }
        Ok(entry)
    }

    async fn looked_at(&self, path: &RelPath) -> Result<Option<Node>, StoreError> {
        for _ in 0..LOOKS_MAX {
            let mut file = match self.inner.stat(path).await? {
                Some(Node::File(file)) => file,
                // What is no file has no attributes that are compared.
                other @ (Some(Node::Directory(_) | Node::Special(_)) | None) => return Ok(other),
            };
            match self.inner.xattrs(path).await {
                Ok(xattrs) => {
                    file.metadata.xattrs = xattrs;
                    return Ok(Some(Node::File(file)));
                }
                Err(StoreError::Moved { .. } | StoreError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Unavailable {
            message: format!("{path} goes and comes while its attributes are asked for"),
            remedy: "it is tried again".to_owned(),
        })
    }
}

impl Source for WithAttributes {
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
            let Some(page) = self.inner.list(directory, after).await? else { return Ok(None) };
            let questions = page.entries.into_iter().map(|entry| self.completed(entry));
            let questions: Vec<_> = questions.collect();
            let entries =
                stream::iter(questions).buffered(QUESTIONS_IN_FLIGHT).try_collect().await?;
            Ok(Some(Page { entries, more: page.more }))
        })
    }

    fn stat<'a>(&'a self, path: &'a RelPath) -> Answer<'a, Option<Node>> {
        Box::pin(self.looked_at(path))
    }

    fn read(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
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
        self.inner.stream()
    }
}
