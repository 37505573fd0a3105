//! The edit stream of the NameNode, cut to the source root (rules 1.1, 1.4, 1.7, 1.8 and 8.1).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use whimbrel_core::event::{EventBatch, StreamReply};
use whimbrel_core::number::{Epoch, Time, TxId};
use whimbrel_hdfs::{Client, EditsBatch, Event, MetadataChange};

use super::failure::{Asked, told};
use super::retention::Retention;
use super::scope::Root;
use crate::digest;
use crate::error::StoreError;
use crate::source::{Answer, ChangeStream, Memory, Poll};

/// The shortest pause between two looks.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest while there is news, however dear a look is.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The longest while nothing happens: such a look costs the NameNode a millisecond or two.
const PAUSE_IDLE_MAX: Duration = Duration::from_millis(250);
/// A pause is so many times as long as the look before it took: a fifth of one of the NameNode's
/// handlers at most. Every copy waits for one or two looks.
const COST_SHARE: u32 = 4;
/// For so long a look that failed is tried again before the caller hears of it. Whoever follows asks
/// again in any case, and has to know that nothing is followed meanwhile.
const RETRIES: Duration = Duration::from_secs(3);
/// How long a NameNode that becomes active may keep its position for itself.
const TRANSITION_TRIES: u32 = 20;
const TRANSITION_PAUSE: Duration = Duration::from_millis(250);

/// The changes below one root. Only one poll is under way at a time.
pub(crate) struct HdfsStream {
    client: Client,
    root: Root,
    retention: Retention,
    state: Mutex<State>,
}

struct State {
    /// Not before this moment.
    next: Instant,
    /// Looks in a row without news.
    idle: u32,
    /// The last transaction seen and the digest of it.
    last: Option<(TxId, u64)>,
    /// The newest transaction that was written after the last look, durable or not.
    written: Option<TxId>,
}

impl HdfsStream {
    pub fn new(client: Client, root: Root, retention: Retention) -> Self {
        let state = State { next: Instant::now(), idle: 0, last: None, written: None };
        let client = client.with_retries_for(RETRIES);
        Self { client, root, retention, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn written(&self) -> Result<TxId, StoreError> {
        let mut tries = 0;
        loop {
            match self.client.current_transaction_id().await {
                Ok(txid) => return Ok(TxId(txid)),
                Err(whimbrel_hdfs::Error::Busy { .. }) if tries < TRANSITION_TRIES => {
                    tries += 1;
                    tokio::time::sleep(TRANSITION_PAUSE).await;
                }
                Err(error) => return Err(told("the newest transaction", Asked::Edits, error)),
            }
        }
    }

    async fn edits(&self, from: TxId) -> Result<EditsBatch, StoreError> {
        let edits = self.client.edits_from(from.0).await;
        edits.map_err(|error| told("the edit stream", Asked::Edits, error))
    }

    async fn look(&self, after: TxId) -> Result<Poll, StoreError> {
        let next = self.state().next;
        tokio::time::sleep_until(next).await;
        let asked = after.next();
        let begun = Instant::now();
        let edits = self.edits(asked).await?;
        let cost = begun.elapsed();
        if edits.has_gap() {
            return Ok(Poll::Gap);
        }
        let written = self.written().await?;
        if edits.is_beyond_end() && asked > written.next() {
            return Ok(Poll::Beyond);
        }
        let written_before = self.state().written.replace(written);
        // What is written shows in reads a moment before it is durable.
        let beyond = edits.is_beyond_end().then_some(written);
        let synced = beyond.unwrap_or_else(|| edits.sync_txid.map_or(after, TxId));
        let applied = edits.last_txid.map_or(after, TxId).max(after);
        let told = applied.0 - after.0;
        self.rest(cost, told > 0, synced.0.saturating_sub(applied.0) > told);
        self.retention.observe(applied.max(synced));
        let digest = match edits.last_txid {
            Some(last) => transaction_digest(&edits, last),
            None => self.remembered(after).await?,
        };
        self.state().last = Some((applied, digest));
        Ok(Poll::Reply(StreamReply {
            epoch: Epoch(edits.epoch),
            applied,
            synced: synced.max(applied),
            written: shown(written_before, written),
            newest: edits.batches.iter().rev().find_map(|batch| time(&batch.events)),
            batches: self.cut(&edits),
            digest,
        }))
    }

    fn cut(&self, edits: &EditsBatch) -> Vec<EventBatch> {
        let mut batches = Vec::new();
        for batch in &edits.batches {
            if !batch.events.iter().any(|event| self.root.concerns(event)) {
                continue;
            }
            let events: Vec<_> = batch.events.iter().filter_map(|e| self.root.cut(e)).collect();
            if !events.is_empty() {
                batches.push(EventBatch { txid: TxId(batch.txid), events });
            }
        }
        batches
    }

    /// Sets the time of the next look. Far behind the end, with more before us than this reply told,
    /// it is at once: the history is short.
    fn rest(&self, cost: Duration, news: bool, far_behind: bool) {
        let mut state = self.state();
        state.idle = if news { 0 } else { state.idle.saturating_add(1) };
        let pause = if far_behind {
            Duration::ZERO
        } else {
            let idle = PAUSE_MIN.saturating_mul(1 << state.idle.min(5)).min(PAUSE_IDLE_MAX);
            (cost * COST_SHARE).clamp(PAUSE_MIN, PAUSE_MAX).max(if news { PAUSE_MIN } else { idle })
        };
        state.next = Instant::now() + pause;
    }

    async fn remembered(&self, txid: TxId) -> Result<u64, StoreError> {
        let known = self.state().last.filter(|(last, _)| *last == txid);
        match known {
            Some((_, digest)) => Ok(digest),
            None => Ok(self.fetched_digest(txid).await?.unwrap_or_default()),
        }
    }

    async fn fetched_digest(&self, txid: TxId) -> Result<Option<u64>, StoreError> {
        let edits = self.edits(txid).await?;
        let there = edits.last_txid.is_some_and(|last| last >= txid.0);
        if edits.has_gap() || edits.is_beyond_end() || !there {
            return Ok(None);
        }
        Ok(Some(transaction_digest(&edits, txid.0)))
    }
}

/// What reads may have shown up to the last look. Only what is durable is told, and while disks or
/// journals are slow that may be long ago; what was written since the last look is never all durable
/// on a busy cluster. A NameNode that became active may have taken back some of it.
fn shown(written_before: Option<TxId>, written: TxId) -> TxId {
    written_before.unwrap_or(written).min(written)
}

impl ChangeStream for HdfsStream {
    fn position(&self) -> Answer<'_, TxId> {
        Box::pin(self.written())
    }

    fn history(&self) -> Answer<'_, String> {
        Box::pin(async {
            let identity = self.client.namespace_identity().await;
            let identity = identity.map_err(|e| told("the cluster's identity", Asked::Edits, e))?;
            Ok(format!("{}/{}", identity.cluster_id, identity.block_pool))
        })
    }

    fn poll(&self, after: TxId) -> Answer<'_, Poll> {
        Box::pin(self.look(after))
    }

    fn digest(&self, txid: TxId) -> Answer<'_, Option<u64>> {
        Box::pin(self.fetched_digest(txid))
    }

    fn history_seconds(&self, position: TxId) -> Answer<'_, Option<u64>> {
        Box::pin(async move { Ok(self.retention.seconds(position)) })
    }

    fn memory(&self) -> Memory {
        Memory::Source {
            remedy: "keep more history (dfs.namenode.num.extra.edits.retained) to avoid it",
        }
    }
}

/// Digest over all events of a transaction. Many transactions have none: then it is the number
/// that stands for nothing at all, the same for all of these.
fn transaction_digest(edits: &EditsBatch, txid: u64) -> u64 {
    let mut bytes = Vec::new();
    let batches = edits.batches.iter().filter(|batch| batch.txid == txid);
    for event in batches.flat_map(|batch| &batch.events) {
        encode(event, &mut bytes);
    }
    digest::stable_u64(&bytes)
}

/// What tells one event from another: kind, paths, length and times.
fn encode(event: &Event, out: &mut Vec<u8>) {
    let (kind, paths, numbers): (u8, [&[u8]; 2], [i64; 2]) = match event {
        Event::Create(create) => (0, [&create.path, &create.owner], [create.created_millis, 0]),
        Event::Close { path, length, modified_millis } => {
            let length = length.map_or(-1, |length| i64::try_from(length).unwrap_or(i64::MAX));
            (1, [path, b""], [length, *modified_millis])
        }
        Event::Append { path, new_block } => (2, [path, b""], [i64::from(*new_block), 0]),
        Event::Rename { source, destination, time_millis } => {
            (3, [source, destination], [*time_millis, 0])
        }
        Event::Metadata { path, change } => (4, [path, b""], change_numbers(change)),
        Event::Unlink { path, time_millis } => (5, [path, b""], [*time_millis, 0]),
        Event::Truncate { path, length, time_millis } => {
            (6, [path, b""], [i64::try_from(*length).unwrap_or(i64::MAX), *time_millis])
        }
    };
    out.push(kind);
    for path in paths {
        out.extend_from_slice(&(path.len() as u64).to_be_bytes());
        out.extend_from_slice(path);
    }
    for number in numbers {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn change_numbers(change: &MetadataChange) -> [i64; 2] {
    match change {
        MetadataChange::Times { modified_millis, accessed_millis } => {
            [modified_millis.unwrap_or(-1), accessed_millis.unwrap_or(-1)]
        }
        MetadataChange::Replication(count) => [-2, i64::from(*count)],
        MetadataChange::Owner { .. } => [-3, 0],
        MetadataChange::Permission(mode) => [-4, i64::from(*mode)],
        MetadataChange::Acl(entries) => [-5, entries.len() as i64],
        MetadataChange::XAttrs { removed, .. } => [-6, i64::from(*removed)],
    }
}

/// When the transaction was made, where its events say so.
fn time(events: &[Event]) -> Option<Time> {
    let millis = events.iter().rev().find_map(|event| match event {
        Event::Create(create) => Some(create.created_millis),
        Event::Close { modified_millis, .. } => Some(*modified_millis),
        Event::Rename { time_millis, .. }
        | Event::Unlink { time_millis, .. }
        | Event::Truncate { time_millis, .. } => Some(*time_millis),
        Event::Append { .. } | Event::Metadata { .. } => None,
    })?;
    u64::try_from(millis).ok().map(Time)
}

#[cfg(test)]
mod tests {
    use super::{TxId, shown};

    /// While the log could not be made durable its end seemed to be reached, though reads showed
    /// more.
    #[test]
    fn rule_10_2_reads_show_what_was_written_at_the_last_look() {
        assert_eq!(shown(None, TxId(9)), TxId(9), "nothing is known of before");
        assert_eq!(shown(Some(TxId(9)), TxId(12)), TxId(9), "written since");
        assert_eq!(shown(Some(TxId(9)), TxId(8)), TxId(8), "taken back");
    }
}
