//! Following the edit stream, holes included.
//!
//! A NameNode answers from all the segments that it can find, its own disk and the shared journal
//! together, and skips what is missing between two of them without a word. In a highly available
//! cluster each NameNode keeps on its disk the segments of its own terms, a standby never purges
//! them, and the shared journal is purged by the other one: after a second fail-over a reply can
//! begin where it was asked to and still lack a whole term in the middle. The reply does not show
//! it, for most transactions have no event. But a request that begins inside of a hole is answered
//! from behind it. So a reply over old edits is probed in the middle of its widest stretch without
//! events; a hole ends it there, and the next request meets the gap.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::error::Error;
use crate::event::EditsBatch;
use crate::proto::namenode as proto;
use crate::rpc::namenodes::{Answer, Lane};

/// Edits of the last minutes are not purged: that takes two checkpoints.
const YOUNG: Duration = Duration::from_secs(300);
/// A segment that is missing lacks at least its first and its last transaction.
const HOLE_TRANSACTIONS_MIN: u64 = 2;

/// When this client last stood at the end of the log, and where that was.
#[derive(Debug, Default)]
pub(crate) struct Head(Mutex<Option<(u64, Instant)>>);

impl Client {
    /// The last transaction that was written; everything up to it is visible to later reads.
    /// Needs a superuser.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Denied`] for others than superusers; [`Error::Busy`] while
    /// a NameNode becomes active.
    pub async fn current_transaction_id(&self) -> Result<u64, Error> {
        let answer: Answer<proto::Txid> =
            self.call_in(Lane::Edits, "getCurrentEditLogTxid", &proto::EmptyRequest {}).await?;
        u64::try_from(answer.value.txid).map_err(|_| Error::Busy {
            address: self.cluster().name.clone(),
            message: "the edit log is not open for writing yet".to_owned(),
        })
    }

    /// Events of the transactions from `txid` on, as many as the server puts into a reply. Needs a
    /// superuser. Look at [`EditsBatch::has_gap`] and [`EditsBatch::is_beyond_end`] every time, and
    /// go on behind [`EditsBatch::last_txid`].
    ///
    /// Over edits that are older than a few minutes it costs a second call, which looks for holes.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Denied`] for others than superusers;
    /// [`Error::Unsupported`] for an event that this crate does not know.
    pub async fn edits_from(&self, txid: u64) -> Result<EditsBatch, Error> {
        let mut edits = self.reply_from(txid).await?;
        if !edits.has_gap()
            && !self.shared.head.covers(txid)
            && let Some(middle) = edits.widest_silence()
            && self.reply_from(middle).await?.has_gap()
        {
            edits.end_before(middle);
        }
        self.shared.head.learn(&edits);
        Ok(edits)
    }

    async fn reply_from(&self, txid: u64) -> Result<EditsBatch, Error> {
        let request = proto::Txid { txid: i64::try_from(txid).unwrap_or(i64::MAX) };
        let answer: Answer<proto::EditsResponse> =
            self.call_in(Lane::Edits, "getEditsFromTxid", &request).await?;
        EditsBatch::from_proto(txid, answer.value.events, answer.epoch)
    }
}

impl Head {
    /// Whether everything from `txid` on was written since the end of the log was last seen.
    fn covers(&self, txid: u64) -> bool {
        let head = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        head.is_some_and(|(end, seen)| txid > end && seen.elapsed() < YOUNG)
    }

    fn learn(&self, edits: &EditsBatch) {
        let Some(sync) = edits.sync_txid else { return };
        let at_end = edits.last_txid.map_or(edits.asked_txid == sync + 1, |last| last >= sync);
        if at_end && !edits.has_gap() {
            let mut head = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *head = Some((sync, Instant::now()));
        }
    }
}

impl EditsBatch {
    /// The middle of the longest run of transactions without events, if a segment fits into it.
    pub(crate) fn widest_silence(&self) -> Option<u64> {
        let last = self.last_txid?;
        let mut before = self.asked_txid;
        let mut widest = (0, 0);
        for next in self.batches.iter().map(|batch| batch.txid).chain([last.saturating_add(1)]) {
            // Transactions of the run: from `before` up to `next`, the latter not included.
            widest = widest.max((next.saturating_sub(before), before));
            before = next.saturating_add(1);
        }
        let (length, start) = widest;
        (length >= HOLE_TRANSACTIONS_MIN).then_some(start + length / 2)
    }

    /// Leaves only what came before a transaction.
    pub(crate) fn end_before(&mut self, txid: u64) {
        self.batches.retain(|batch| batch.txid < txid);
        self.last_txid = txid.checked_sub(1).filter(|last| *last >= self.asked_txid);
    }
}

#[cfg(test)]
mod tests;
