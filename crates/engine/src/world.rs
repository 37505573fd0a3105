//! The outside as one run sees it: every question of the core to the source and the target, put
//! and answered.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use whimbrel_core::effect::Ticket;
use whimbrel_core::entry::{Entry, FileNode, Node, Page};
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::input::{Examined, Input, Inventoried, Listed, Standing};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::Found;
use whimbrel_core::scope::Scope;
use whimbrel_store::error::StoreError;
use whimbrel_store::key::KeyMap;
use whimbrel_store::source::Source;
use whimbrel_store::target::{Object, Target};
use whimbrel_transfer::Carrier;

use crate::bare_directory::Directories;
use crate::base_snapshot::Bases;
use crate::covered::{covers, cut_entries};
use crate::followed::Followed;
use crate::ledger_thread::{LedgerDesk, Question};
use crate::removable::covers_object;
use crate::root_look::RootLook;
use crate::shared_scan::Seat;

/// Objects of an inventory that are looked at at the same time.
const INSPECTIONS: usize = 64;

/// Everything that the tasks of a run share.
pub(crate) struct World {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) carrier: Carrier,
    pub(crate) keys: KeyMap,
    pub(crate) scope: Scope,
    pub(crate) stream: Option<Followed>,
    /// What the source tells after a gap.
    pub(crate) bases: Option<Arc<Bases>>,
    pub(crate) desk: LedgerDesk,
    pub(crate) inputs: UnboundedSender<Input>,
    pub(crate) lanes: Lanes,
    pub(crate) root_look: RootLook,
    /// Its place in a scan that others share.
    pub(crate) seat: Option<Arc<Seat>>,
    /// Where directories are real.
    pub(crate) directories: Option<Directories>,
    /// Objects found without a stored checksum are read, so that equal ones can be adopted.
    pub(crate) reads_found: bool,
}

/// How much of each kind is under way at the same time.
pub(crate) struct Lanes {
    pub(crate) transfers: Semaphore,
    pub(crate) listings: Semaphore,
    pub(crate) examinations: Semaphore,
    pub(crate) target_calls: Semaphore,
}

impl World {
    /// The core is gone only when the run ends, and then nobody waits for the answer.
    pub(crate) fn tell(&self, input: Input) {
        let _ = self.inputs.send(input);
    }

    /// `Effect::List`.
    pub(crate) async fn list(
        &self,
        ticket: Ticket,
        directory: RelPath,
        after: Option<Bytes>,
        by_file_key: bool,
    ) {
        let _lane = self.lanes.listings.acquire().await;
        let outcome = match self.page(&directory, after.as_deref()).await {
            Ok(Some(page)) => {
                return self.desk.ask(Question::Join {
                    ticket,
                    directory,
                    after,
                    page,
                    by_file_key,
                });
            }
            Ok(None) => Listed::NoDirectory,
            Err(error) => Listed::Failed(error.into_failure(Side::Source)),
        };
        self.tell(Input::Listed { ticket, outcome });
    }

    /// A page cut to the scope. One of which nothing is left, or only what has no known key, is
    /// followed by the next, so that the core always finds a name to go on from.
    async fn page(
        &self,
        directory: &RelPath,
        after: Option<&[u8]>,
    ) -> Result<Option<Page>, StoreError> {
        let mut after = after.map(Bytes::copy_from_slice);
        let flat = self.source.namespace() == Namespace::Flat;
        let no_name = |entry: &Entry| flat && matches!(entry.node, Node::Special(_));
        let mut kept = Vec::new();
        loop {
            let Some(mut page) = self.source.list(directory, after.as_deref()).await? else {
                return Ok(None);
            };
            let last = page.entries.last().map(|entry| name_in(directory, &entry.path));
            cut_entries(&self.scope, &mut page.entries);
            let goes_on = !page.entries.iter().all(no_name);
            page.entries.splice(..0, kept);
            if goes_on || !page.more || last.is_none() {
                return Ok(Some(page));
            }
            kept = page.entries;
            after = last;
        }
    }

    /// `Effect::Examine`.
    pub(crate) async fn examine(&self, ticket: Ticket, path: RelPath, by_file_key: bool) {
        let _lane = self.lanes.examinations.acquire().await;
        let outcome = match self.examined(&path).await {
            Ok(Examined::Present(node)) if by_file_key => {
                return self.desk.ask(Question::Examined { ticket, path, node });
            }
            Ok(outcome) => outcome,
            Err(error) => Examined::Failed(error.into_failure(Side::Source)),
        };
        self.tell(Input::Examined { ticket, outcome, renamed: None });
    }

    async fn examined(&self, path: &RelPath) -> Result<Examined, StoreError> {
        match self.source.stat(path).await {
            Ok(Some(node)) if covers(&self.scope, path, &node) => {
                return Ok(Examined::Present(node));
            }
            Ok(Some(_) | None) => {}
            // Whatever stands at the root by now: this answer was not given by the pinned one.
            Err(StoreError::Missing { .. }) if self.source.namespace() == Namespace::Tree => {
                return Ok(Examined::Absent { root_key: None });
            }
            Err(error) => return Err(error),
        }
        // The root is looked at after the answer that rests on it (rule 1.5).
        let look = async || self.root_key().await;
        Ok(Examined::Absent { root_key: self.root_look.after_now(look).await? })
    }

    /// What the root is known by; `None` if nothing stands there.
    async fn root_key(&self) -> Result<Option<u64>, StoreError> {
        let root = self.source.stat(&RelPath::root()).await?;
        Ok(root.and_then(|node| match node {
            Node::Directory(directory) => Some(directory.file_key),
            Node::File(file) => file.identity.file_key(),
            Node::Special(_) => None,
        }))
    }

    /// `Effect::Checksum`.
    pub(crate) async fn checksum(
        &self,
        ticket: Ticket,
        path: RelPath,
        node: FileNode,
        length: u64,
    ) {
        let _lane = self.lanes.examinations.acquire().await;
        let outcome = self.checksummed(&path, &node, length).await;
        let outcome = outcome.map_err(|error| error.into_failure(Side::Source));
        self.tell(Input::Checksummed { ticket, outcome });
    }

    async fn checksummed(
        &self,
        path: &RelPath,
        node: &FileNode,
        length: u64,
    ) -> Result<u32, StoreError> {
        if let Some(stored) = self.source.stored_checksum(path, node, length).await? {
            return Ok(stored);
        }
        // A part is asked for of what grows (rule 3.4): it need not stand still to have that.
        let pieces = match length < node.identity.length() {
            true => self.source.read_beginning(path, node, 0..length),
            false => self.source.read(path, node, 0..length),
        };
        let (crc32c, received) = pieces
            .try_fold((0_u32, 0_u64), |(crc32c, received), piece| async move {
                let received = received + piece.len() as u64;
                Ok((crc32c::crc32c_append(crc32c, &piece), received))
            })
            .await?;
        if received == length {
            return Ok(crc32c);
        }
        Err(StoreError::Moved {
            message: format!("{path}: {received} bytes came where {length} were listed"),
        })
    }

    /// `Effect::Inventory`.
    pub(crate) async fn inventory(&self, ticket: Ticket, after: Option<Bytes>) {
        let outcome = self.inventoried(after).await;
        let outcome = outcome.map_err(|error| error.into_failure(Side::Target));
        self.tell(Input::Inventoried { ticket, outcome });
    }

    async fn inventoried(&self, after: Option<Bytes>) -> Result<Inventoried, StoreError> {
        let page = self.target.list(&self.keys.listing_prefix(), after.as_deref()).await?;
        let cursor = page.objects.last().map(|object| Bytes::from(object.key.clone()));
        let found: Vec<Option<Found>> = stream::iter(page.objects)
            .map(|object| self.found(object))
            .buffered(INSPECTIONS)
            .try_collect()
            .await?;
        let found = found.into_iter().flatten().collect();
        let cursor = cursor.filter(|_| page.more);
        Ok(Inventoried { found, done: cursor.is_none(), cursor, ..Inventoried::default() })
    }

    /// An object under the target as a path of the source; what no path maps to, and what is out of
    /// scope, is not ours to judge.
    pub(crate) async fn found(&self, listed: Object) -> Result<Option<Found>, StoreError> {
        let path = self.keys.path(&listed.key).filter(|path| covers_object(&self.scope, path));
        let Some(path) = path else { return Ok(None) };
        let Some(object) = self.target.inspect(&listed.key).await? else { return Ok(None) };
        if object.altered {
            return self.found_without_key(path, object).await;
        }
        // Where the target keeps no checksum itself, what was noted beside the bytes when they were
        // written says nothing about what became of them.
        let kept = !self.reads_found || self.target.abilities().checksums_kept;
        let crc32c = match object.crc32c.filter(|_| kept) {
            Some(stored) => Some(stored),
            None => self.read_found(&path, &object).await?,
        };
        Ok(Some(Found {
            path,
            length: object.length,
            etag: object.etag,
            version: object.version,
            crc32c,
            metadata: object.metadata,
            migration: object.migration,
            late: false,
        }))
    }

    /// What has another key than it shows is an extra, and never what a file of the source is to be
    /// compared with.
    async fn found_without_key(
        &self,
        path: RelPath,
        object: Object,
    ) -> Result<Option<Found>, StoreError> {
        let stands = self.source.stat(&path).await?.is_some();
        Ok((!stands).then_some(Found {
            path,
            length: object.length,
            etag: object.etag,
            version: None,
            crc32c: None,
            metadata: None,
            migration: None,
            late: false,
        }))
    }

    /// CRC32C of a found object by reading it, if the source has a file of that length there.
    async fn read_found(&self, path: &RelPath, object: &Object) -> Result<Option<u32>, StoreError> {
        if !self.reads_found {
            return Ok(None);
        }
        let candidate = match self.source.stat(path).await {
            Ok(Some(Node::File(file))) => file.identity.length() == object.length,
            Ok(Some(Node::Directory(_) | Node::Special(_)) | None) | Err(_) => false,
        };
        if !candidate {
            return Ok(None);
        }
        let _lane = self.lanes.target_calls.acquire().await;
        let (crc32c, received) = self.read_through(&object.key).await?;
        Ok((received == object.length).then_some(crc32c))
    }

    /// CRC32C and length of what stands at a key.
    async fn read_through(&self, key: &[u8]) -> Result<(u32, u64), StoreError> {
        let pieces = self.target.read(key);
        let whole = pieces.try_fold((0_u32, 0_u64), |(crc32c, received), piece| async move {
            let received = received + piece.len() as u64;
            Ok((crc32c::crc32c_append(crc32c, &piece), received))
        });
        whole.await
    }

    /// `Effect::Inspect`.
    pub(crate) async fn inspect(&self, ticket: Ticket, path: RelPath) {
        let _lane = self.lanes.target_calls.acquire().await;
        let outcome = match self.carrier.inspect(&path).await {
            Ok(Some(standing)) => {
                let proven = self.proven(&path, standing).await;
                proven.map(Some).map_err(|error| error.into_failure(Side::Target))
            }
            other => other,
        };
        self.tell(Input::Inspected { ticket, outcome });
    }

    /// Where the target keeps no checksum itself, only reading tells whether the bytes are still
    /// those that were written: others are nobody's.
    async fn proven(&self, path: &RelPath, standing: Standing) -> Result<Standing, StoreError> {
        let (Some(noted), Ok(key)) = (standing.crc32c, self.keys.key(path)) else {
            return Ok(standing);
        };
        if self.target.abilities().checksums_kept {
            return Ok(standing);
        }
        let (crc32c, length) = self.read_through(&key).await?;
        if (crc32c, length) == (noted, standing.length) {
            return Ok(standing);
        }
        let crc32c = Some(crc32c);
        Ok(Standing { length, crc32c, attempt: None, migration: None, ..standing })
    }
}

/// The name of a child as the directory lists it; a flat source's names hold slashes.
pub(crate) fn name_in(directory: &RelPath, child: &RelPath) -> Bytes {
    let skip = if directory.is_root() { 0 } else { directory.as_bytes().len() + 1 };
    Bytes::copy_from_slice(child.as_bytes().get(skip..).unwrap_or_default())
}

/// What is answered where a stream is asked for that was never opened.
pub(crate) fn no_stream() -> Failure {
    Failure {
        side: Side::Source,
        kind: FailureKind::Unsupported,
        message: "the source's stream of changes was not opened".to_owned(),
        remedy: String::new(),
    }
}
