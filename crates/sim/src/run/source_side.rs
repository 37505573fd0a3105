//! The source's side: what the core asks it, answered from the simulated tree.

use whimbrel_core::effect::{Effect, Ticket};
use whimbrel_core::entry::Node;
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::input::{Examined, Input, Listed, Streamed};
use whimbrel_core::number::TxId;

use super::pace::throttled;
use super::{Answer, Happening, Run, checksum, unavailable};
use crate::coverage::Fault;
use crate::world::source::PAST_SHIFT;

impl Run {
    fn source_fails(&mut self) -> bool {
        let drawn = self.rng.u8(..100) < self.options.source_fail_percent;
        let fails = drawn && self.operations_left > 0;
        if fails {
            self.coverage.ends(Fault::Failed);
        }
        fails
    }

    pub(super) fn carry_source(&mut self, effect: Effect) {
        let fails = self.source_fails();
        match effect {
            Effect::List { ref directory, ref after, .. } => {
                let page = self.page(directory, after.as_deref());
                let answer = if self.source_is_busy() {
                    Answer::Stat(Examined::Failed(throttled(Side::Source)))
                } else if fails {
                    Answer::Stat(Examined::Failed(unavailable(Side::Source)))
                } else {
                    Answer::Page(page)
                };
                let slow = self.forced.delay.is_none() && self.sequence.is_multiple_of(4);
                let slower = if slow { self.options.slow_pages } else { 1 };
                let millis = self.latency() * slower;
                self.at(millis, Happening::Join(effect, answer));
            }
            Effect::Examine { ref path, .. } => {
                let busy = self.source_is_busy();
                let answer = match self.source.stat(path) {
                    _ if busy => Examined::Failed(throttled(Side::Source)),
                    _ if fails => Examined::Failed(unavailable(Side::Source)),
                    Some(node) => Examined::Present(node),
                    None => Examined::Absent { root_key: self.source.root_key() },
                };
                self.soon(Happening::Join(effect, Answer::Stat(answer)));
            }
            Effect::Checksum { ticket, path, node, length } => {
                let moved = Failure { kind: FailureKind::Moved, ..unavailable(Side::Source) };
                let outcome = match self.pinned(&path, &node) {
                    _ if fails => Err(unavailable(Side::Source)),
                    Some(file) => Ok(checksum(self.source.read_beginning(&path, &file, length))),
                    None => Err(moved),
                };
                self.soon(Happening::Tell(Input::Checksummed { ticket, outcome }));
            }
            Effect::Position { ticket, since } => {
                let outcome =
                    if fails { Err(unavailable(Side::Source)) } else { Ok(self.source.txid) };
                let since = since.filter(|_| !fails);
                let difference = since.and_then(|since| self.base_tells(since));
                self.soon(Happening::Tell(Input::Position { ticket, outcome, difference }));
            }
            Effect::Poll { ticket, after, .. } => self.carry_poll(ticket, after, fails),
            Effect::Persist { .. }
            | Effect::Take { .. }
            | Effect::Rows { .. }
            | Effect::Group { .. }
            | Effect::CheckHints { .. }
            | Effect::CountRemovals { .. }
            | Effect::Densest { .. }
            | Effect::Copy(_)
            | Effect::Complete { .. }
            | Effect::Abort { .. }
            | Effect::Relocate { .. }
            | Effect::PutMarker { .. }
            | Effect::Remove { .. }
            | Effect::Inspect { .. }
            | Effect::Inventory { .. }
            | Effect::Pace(_)
            | Effect::Report(_)
            | Effect::Finish(_) => {}
        }
    }

    fn carry_poll(&mut self, ticket: Ticket, after: TxId, fails: bool) {
        self.tend_bases();
        let limit = self.rng.usize(1..=self.options.poll_batches_max);
        let told = self.told_past();
        let outcome = match self.source.events_after(after, limit) {
            _ if fails => Streamed::Failed(unavailable(Side::Source)),
            _ if told != self.source.past || after > self.source.txid => {
                Streamed::OtherHistory { name: Some(self.source.past.to_string()) }
            }
            Some(reply) => Streamed::Reply(reply),
            None => Streamed::Gap { remedy: Some(String::new()) },
        };
        if matches!(outcome, Streamed::OtherHistory { .. } | Streamed::Gap { .. }) {
            self.coverage.ends(Fault::Unexpected);
        }
        let quiet = matches!(&outcome, Streamed::Reply(reply) if reply.batches.is_empty());
        let poll = self.options.poll_millis;
        let millis = if quiet { poll } else { self.rng.u64(..self.options.latency_max) };
        let millis = self.forced.delay.take().unwrap_or(millis);
        self.at(millis, Happening::Tell(Input::Streamed { ticket, outcome }));
    }

    /// The source's answer is joined with the ledger, in the ledger's order, when it comes in.
    pub(super) fn join(&mut self, effect: Effect, answer: Answer) {
        let Some(ledger) = self.ledger.as_ref() else { return };
        let input = match (effect, answer) {
            (Effect::List { ticket, directory, after, by_file_key }, Answer::Page(page)) => {
                match page {
                    None => Ok(Input::Listed { ticket, outcome: Listed::NoDirectory }),
                    Some(page) => ledger
                        .join_page(&directory, after.as_deref(), &page, by_file_key)
                        .map(|join| Input::Listed {
                            ticket,
                            outcome: Listed::Page { page, join: Box::new(join) },
                        }),
                }
            }
            (Effect::List { ticket, .. }, Answer::Stat(Examined::Failed(failure))) => {
                Ok(Input::Listed { ticket, outcome: Listed::Failed(failure) })
            }
            (Effect::Examine { ticket, path, by_file_key }, Answer::Stat(outcome)) => {
                let key = match &outcome {
                    Examined::Present(Node::File(file)) if by_file_key => file.identity.file_key(),
                    Examined::Present(_) | Examined::Absent { .. } | Examined::Failed(_) => None,
                };
                let renamed = key.map_or(Ok(None), |key| ledger.row_of_file_key(key, &path));
                renamed.map(|renamed| Input::Examined { ticket, outcome, renamed })
            }
            (_, _) => return,
        };
        self.tell_in_order(input);
    }

    /// The history of the source that the ledger's position belongs to.
    pub(super) fn told_past(&self) -> u64 {
        let meta = self.ledger.as_ref().and_then(|ledger| ledger.meta().ok());
        let Some(meta) = meta else { return 0 };
        match meta.digest {
            0 => meta.history.and_then(|name| name.parse().ok()).unwrap_or_default(),
            digest => digest >> PAST_SHIFT,
        }
    }
}
