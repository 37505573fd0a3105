//! Numbers what the kernel told and keeps it until it was taken.

use std::collections::VecDeque;

use whimbrel_core::event::{Event, EventBatch, StreamReply};
use whimbrel_core::number::{Epoch, Time, TxId};

use crate::digest;
use crate::source::Poll;

/// Events that are kept while nobody takes them; beyond this they are a gap.
const EVENTS_MAX: usize = 1_000_000;
/// Events of one answer.
const ANSWER_EVENTS_MAX: usize = 10_000;

/// One number, one event. A number may be taken before its event is known.
#[derive(Debug)]
pub(super) struct Journal {
    epoch: Epoch,
    /// The last number given.
    newest: u64,
    /// Nothing up to here is kept.
    floor: u64,
    floor_digest: Option<u64>,
    /// The last number that an answer held.
    delivered: u64,
    entries: VecDeque<(u64, Option<Event>)>,
    newest_time: Option<Time>,
}

impl Journal {
    /// Begins after `start`.
    pub(super) fn new(start: u64) -> Self {
        Self {
            epoch: Epoch(start),
            newest: start,
            floor: start,
            floor_digest: None,
            delivered: start,
            entries: VecDeque::new(),
            newest_time: None,
        }
    }

    pub(super) fn newest(&self) -> TxId {
        TxId(self.newest)
    }

    /// Events that nobody took.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The event happened. The same one again, while the first was not taken yet, is one.
    pub(super) fn add(&mut self, event: Event) {
        let same = self.entries.back().is_some_and(|(number, last)| {
            *number > self.delivered && last.as_ref() == Some(&event)
        });
        if !same {
            let number = self.reserve();
            self.fill(number, event);
        }
    }

    /// Takes a number whose event is told later. Nothing beyond it is given out before.
    pub(super) fn reserve(&mut self) -> u64 {
        if self.entries.len() >= EVENTS_MAX {
            self.gap();
        }
        self.newest += 1;
        self.entries.push_back((self.newest, None));
        self.newest_time = now();
        self.newest
    }

    /// Tells the event of a reserved number; lost with the rest if a gap came between.
    pub(super) fn fill(&mut self, number: u64, event: Event) {
        let place = self.entries.partition_point(|(other, _)| *other < number);
        if let Some((found, slot)) = self.entries.get_mut(place)
            && *found == number
        {
            *slot = Some(event);
        }
    }

    /// Everything up to now is lost; what comes is kept.
    pub(super) fn gap(&mut self) {
        self.newest += 1;
        self.floor = self.newest;
        self.floor_digest = None;
        self.entries.clear();
    }

    /// What happened after `after`. With `unsettled` more is known to come.
    pub(super) fn poll(&mut self, after: TxId, unsettled: bool) -> Poll {
        if after.0 < self.floor {
            return Poll::Gap;
        }
        if after.0 > self.newest {
            return Poll::Beyond;
        }
        while let Some((number, event)) = self.entries.front()
            && *number <= after.0
        {
            self.floor = *number;
            self.floor_digest = event.as_ref().map(digest_of);
            self.entries.pop_front();
        }
        let known = self.entries.iter().take(ANSWER_EVENTS_MAX).map_while(|(number, event)| {
            event
                .as_ref()
                .map(|event| EventBatch { txid: TxId(*number), events: vec![event.clone()] })
        });
        let batches: Vec<EventBatch> = known.collect();
        let last = batches.last();
        let applied = last.map_or(after, |batch| batch.txid);
        self.delivered = self.delivered.max(applied.0);
        let digest = match last.and_then(|batch| batch.events.last()) {
            Some(event) => digest_of(event),
            None => self.digest(after).unwrap_or_default(),
        };
        let synced = TxId(self.newest.max(if unsettled { applied.0 + 1 } else { 0 }));
        let newest = self.newest_time;
        let (epoch, written) = (self.epoch, synced);
        Poll::Reply(StreamReply { epoch, applied, synced, written, batches, digest, newest })
    }

    /// True if an answer after `after` says more than that nothing happened.
    pub(super) fn has_news(&self, after: TxId) -> bool {
        let next = self.entries.iter().find(|(number, _)| *number > after.0);
        after.0 < self.floor
            || after.0 > self.newest
            || next.is_some_and(|(_, event)| event.is_some())
    }

    /// Digest of one event that is kept, or was taken last.
    pub(super) fn digest(&self, txid: TxId) -> Option<u64> {
        if txid.0 == self.floor {
            return self.floor_digest;
        }
        let (_, event) = self.entries.iter().find(|(number, _)| *number == txid.0)?;
        event.as_ref().map(digest_of)
    }
}

fn digest_of(event: &Event) -> u64 {
    digest::stable_u64(format!("{event:?}").as_bytes())
}

fn now() -> Option<Time> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(now.as_millis()).ok().map(Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(poll: Poll) -> StreamReply {
        match poll {
            Poll::Reply(reply) => reply,
            Poll::Gap | Poll::Beyond => panic!("{poll:?}"),
        }
    }

    #[test]
    fn a_reserved_number_holds_back_what_follows() {
        let mut journal = Journal::new(100);
        journal.add(Event::Closed("a".into()));
        let number = journal.reserve();
        journal.add(Event::Closed("b".into()));
        let first = reply(journal.poll(TxId(100), false));
        assert_eq!((first.applied, first.synced), (TxId(101), TxId(103)));
        assert!(!journal.has_news(TxId(101)));
        journal.fill(number, Event::Removed("c".into()));
        let second = reply(journal.poll(first.applied, false));
        assert_eq!(
            (second.applied, second.synced, second.batches.len()),
            (TxId(103), TxId(103), 2)
        );
    }

    #[test]
    fn what_was_taken_is_gone_and_a_gap_is_told() {
        let mut journal = Journal::new(100);
        journal.add(Event::Closed("a".into()));
        assert_eq!(reply(journal.poll(TxId(100), false)).applied, TxId(101));
        assert_eq!(reply(journal.poll(TxId(100), false)).applied, TxId(101), "asked again");
        let quiet = reply(journal.poll(TxId(101), true));
        assert_eq!((quiet.applied, quiet.synced), (TxId(101), TxId(102)));
        assert_eq!(journal.poll(TxId(100), false), Poll::Gap);
        journal.add(Event::Closed("b".into()));
        journal.gap();
        assert_eq!(journal.poll(TxId(101), false), Poll::Gap);
        let after = journal.newest();
        journal.add(Event::Closed("c".into()));
        assert_eq!(reply(journal.poll(after, false)).batches.len(), 1);
        assert_eq!(journal.poll(TxId(1_000), false), Poll::Beyond);
    }

    #[test]
    fn repeated_events_are_one_until_taken() {
        let mut journal = Journal::new(0);
        journal.add(Event::Closed("a".into()));
        journal.add(Event::Closed("a".into()));
        assert_eq!(reply(journal.poll(TxId(0), false)).batches.len(), 1);
        journal.add(Event::Closed("a".into()));
        assert_eq!(reply(journal.poll(TxId(1), false)).batches.len(), 1);
    }
}
