//! A recording told again and again, with the transactions of each round behind those of the last.

use super::message::{Fields, Value, bytes, number, put_bytes, put_number, put_varint, varint_len};
use super::recording::Recording;
use crate::TestbedError;

/// Part of the name of every directory that is to be another one in each round: its digits become
/// the round's.
pub const CYCLE: &str = "cycle-0000000";
const DIGITS: usize = 7;
/// `dfs.namenode.inotify.max.events.per.rpc`, as Hadoop has it by default.
const EVENTS_PER_REPLY: u64 = 1_000;

/// How the stream goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Of the whole stream, in scope or not.
    pub events_per_second: f64,
    /// It ends after so many.
    pub events_max: u64,
    /// Each round has paths of its own.
    pub shifts_paths: bool,
}

/// What the NameNode told, apart.
#[derive(Debug, Default)]
pub(super) struct Stream {
    batches: Vec<Batch>,
    /// Transactions of one round.
    transactions: u64,
    /// Events of one round.
    events: u64,
}

#[derive(Debug)]
struct Batch {
    /// From the round's first transaction.
    transaction: u64,
    /// Events of the round up to this batch, itself included.
    events_up_to: u64,
    /// The encoded events.
    events: Vec<u8>,
    /// Where digits of the round stand in them.
    digits: Vec<usize>,
}

impl Stream {
    /// # Errors
    /// [`TestbedError::Start`] when nothing was recorded.
    pub(super) fn of(recording: &Recording) -> Result<Self, TestbedError> {
        let nothing = || TestbedError::start("the recorded stream", "it has no events");
        let first = recording.replies.first().ok_or_else(nothing)?.0;
        let mut stream = Self::default();
        for (_, reply) in &recording.replies {
            let list = bytes(reply, 1).unwrap_or_default();
            for (field, value) in Fields(list) {
                if let (5, Value::Bytes(batch)) = (field, value) {
                    stream.add(first, batch);
                }
            }
            let last = number(list, 3).unwrap_or_default();
            stream.transactions = stream.transactions.max(last.saturating_sub(first) + 1);
        }
        if stream.events == 0 { Err(nothing()) } else { Ok(stream) }
    }

    fn add(&mut self, first: u64, batch: &[u8]) {
        let transaction = number(batch, 1).unwrap_or_default().saturating_sub(first);
        let mut events = Vec::new();
        for (field, value) in Fields(batch) {
            if let (2, Value::Bytes(event)) = (field, value) {
                put_bytes(&mut events, 2, event);
                self.events += 1;
            }
        }
        let name = CYCLE.as_bytes();
        let found = (0..events.len()).filter(|at| events[*at..].starts_with(name));
        let digits = found.map(|at| at + name.len() - DIGITS).collect();
        self.batches.push(Batch { transaction, events_up_to: self.events, events, digits });
    }

    /// Events of one round.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// Transactions of one round.
    pub(super) fn transactions(&self) -> u64 {
        self.transactions
    }

    /// The newest transaction once so many events were written, counted from 0 on.
    pub(super) fn transactions_at(&self, events: u64) -> u64 {
        let (round, rest) = (events / self.events, events % self.events);
        let batches = self.batches.partition_point(|batch| batch.events_up_to <= rest);
        let last = batches.checked_sub(1).map_or(0, |last| self.batches[last].transaction + 1);
        round * self.transactions + last
    }

    /// Events of the first so many transactions.
    pub(super) fn events_before(&self, transactions: u64) -> u64 {
        let (round, rest) = (transactions / self.transactions, transactions % self.transactions);
        let batches = self.batches.partition_point(|batch| batch.transaction < rest);
        let events = batches.checked_sub(1).map_or(0, |last| self.batches[last].events_up_to);
        round * self.events + events
    }

    /// `GetEditsFromTxidResponseProto` about the transactions from `from` on, of which the one
    /// behind `base` is the first of the stream, and `newest` the last; and how many events it has.
    pub(super) fn reply(
        &self,
        base: u64,
        from: u64,
        newest: u64,
        shifts_paths: bool,
    ) -> (Vec<u8>, u64) {
        let (mut list, mut events, mut last) = (Vec::new(), 0, newest);
        let skipped = from.saturating_sub(base + 1);
        let mut round = skipped / self.transactions;
        let rest = skipped % self.transactions;
        let mut index = self.batches.partition_point(|batch| batch.transaction < rest);
        loop {
            let Some(batch) = self.batches.get(index) else {
                (round, index) = (round + 1, 0);
                continue;
            };
            let txid = base + 1 + round * self.transactions + batch.transaction;
            if txid > newest {
                break;
            }
            let before = index.checked_sub(1).map_or(0, |index| self.batches[index].events_up_to);
            batch.put(&mut list, txid, if shifts_paths { round } else { 0 });
            events += batch.events_up_to - before;
            index += 1;
            if events >= EVENTS_PER_REPLY {
                last = txid;
                break;
            }
        }
        let nothing = u64::MAX;
        let (first, last) = if from > newest { (nothing, nothing) } else { (from, last) };
        put_number(&mut list, 2, first);
        put_number(&mut list, 3, last);
        put_number(&mut list, 4, newest);
        let mut reply = Vec::with_capacity(list.len() + 8);
        put_bytes(&mut reply, 1, &list);
        (reply, events)
    }
}

impl Batch {
    fn put(&self, list: &mut Vec<u8>, txid: u64, round: u64) {
        let length = 1 + varint_len(txid) + self.events.len();
        put_varint(list, 5 << 3 | 2);
        put_varint(list, length as u64);
        put_number(list, 1, txid);
        let start = list.len();
        list.extend_from_slice(&self.events);
        if round == 0 {
            return;
        }
        for at in &self.digits {
            let mut left = round;
            for digit in list[start + at..start + at + DIGITS].iter_mut().rev() {
                *digit = b'0' + (left % 10) as u8;
                left /= 10;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two transactions with an event each, at 100 and 102, of three.
    fn recorded() -> Stream {
        let mut list = Vec::new();
        for (txid, path) in [(100, format!("/{CYCLE}/a")), (102, "/b".to_owned())] {
            let (mut event, mut batch) = (Vec::new(), Vec::new());
            put_bytes(&mut event, 2, path.as_bytes());
            put_number(&mut batch, 1, txid);
            put_bytes(&mut batch, 2, &event);
            put_bytes(&mut list, 5, &batch);
        }
        put_number(&mut list, 3, 102);
        let mut reply = Vec::new();
        put_bytes(&mut reply, 1, &list);
        Stream::of(&Recording { replies: vec![(100, reply)] }).unwrap()
    }

    /// The transactions and paths of a reply, and its first, last and newest transaction.
    fn told(reply: &[u8]) -> (Vec<(u64, String)>, [u64; 3]) {
        let list = bytes(reply, 1).unwrap();
        let batches = Fields(list).filter_map(|(field, value)| match (field, value) {
            (5, Value::Bytes(batch)) => {
                let path = bytes(bytes(batch, 2).unwrap(), 2).unwrap();
                Some((number(batch, 1).unwrap(), String::from_utf8(path.to_vec()).unwrap()))
            }
            _ => None,
        });
        (batches.collect(), [2, 3, 4].map(|field| number(list, field).unwrap()))
    }

    #[test]
    fn rounds_follow_each_other() {
        let stream = recorded();
        assert_eq!((stream.events(), stream.transactions()), (2, 3));
        let moments = [0, 1, 2, 3, 4].map(|events| stream.transactions_at(events));
        assert_eq!(moments, [0, 1, 3, 4, 6]);
        let events = [0, 1, 2, 3, 4, 6].map(|transactions| stream.events_before(transactions));
        assert_eq!(events, [0, 1, 1, 2, 3, 4]);
        let path = |round: u64| format!("/cycle-000000{round}/a");
        let (reply, events) = stream.reply(1_000, 1_002, 1_004, true);
        let expected = vec![(1_003, "/b".to_owned()), (1_004, path(1))];
        assert_eq!((told(&reply), events), ((expected, [1_002, 1_004, 1_004]), 2));
        let (reply, _) = stream.reply(1_000, 1_004, 1_004, false);
        assert_eq!(told(&reply), (vec![(1_004, path(0))], [1_004; 3]));
        let (reply, events) = stream.reply(1_000, 1_005, 1_004, true);
        let nothing = u64::MAX;
        assert_eq!((told(&reply), events), ((vec![], [nothing, nothing, 1_004]), 0));
        let (reply, events) = stream.reply(1_000, 990, 1_000, true);
        assert_eq!((told(&reply), events), ((vec![], [990, 1_000, 1_000]), 0), "before it begins");
    }
}
