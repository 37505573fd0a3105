//! The ledger's side: what the core has it remember, and asks it.

use std::cell::Cell;

use whimbrel_core::config::Extras;
use whimbrel_core::effect::{Effect, Removable};
use whimbrel_core::input::{Going, Input};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::Change;
use whimbrel_ledger::{Ledger, LedgerError};

use super::{Happening, Run};
use crate::oracle;

thread_local! {
    /// Of a history that is over: to make a new one takes as long as a short history.
    static LAST: Cell<Option<Ledger>> = const { Cell::new(None) };
}

/// A ledger that nothing was told.
pub(super) fn new_ledger() -> Result<Ledger, LedgerError> {
    match LAST.take().map(Ledger::emptied) {
        Some(Ok(emptied)) => Ok(emptied),
        Some(Err(_)) | None => Ledger::open_in_memory(Namespace::Tree),
    }
}

pub(super) fn done_with(ledger: Option<Ledger>) {
    LAST.set(ledger);
}

impl Run {
    pub(super) fn carry_ledger(&mut self, effect: Effect) {
        let Some(ledger) = self.ledger.as_mut() else { return };
        let input = match effect {
            Effect::Persist { batch, changes } => {
                let unguarded = oracle::unguarded(ledger, &changes, &self.options, self.now);
                self.problem = self.problem.take().or(unguarded);
                let applied = ledger.apply(&[&changes]);
                self.examine_rows(&changes);
                self.note_settled(&changes);
                self.examine_delays();
                applied.map(|summary| Input::Persisted { batch, summary })
            }
            Effect::Take { lane, limit, now } => {
                ledger.take(lane, limit, now).map(|(work, summary)| Input::Taken { work, summary })
            }
            Effect::Rows { ticket, under, after, which, strictly_below, limit } => {
                removable(ledger, &under, after.as_ref(), which, strictly_below, limit)
                    .map(|objects| Input::Rows { ticket, objects })
            }
            Effect::Group { ticket, path, group, up_to } => {
                ledger.group(&path, &group, up_to).map(|group| Input::Group { ticket, group })
            }
            Effect::CheckHints { ticket, path } => {
                ledger.hints_wait(&path).map(|wait| Input::HintsChecked { ticket, wait })
            }
            Effect::CountRemovals { ticket, now } => {
                let extras_go = self.options.extras == Extras::Remove;
                ledger
                    .removals(now, &|_| true, &|_| extras_go)
                    .map(|removals| Input::RemovalsCounted { ticket, removals })
            }
            Effect::Densest { ticket, excess } => {
                ledger.densest(excess).map(|directories| Input::Dense { ticket, directories })
            }
            Effect::List { .. }
            | Effect::Examine { .. }
            | Effect::Checksum { .. }
            | Effect::Copy(_)
            | Effect::Complete { .. }
            | Effect::Abort { .. }
            | Effect::Relocate { .. }
            | Effect::PutMarker { .. }
            | Effect::Remove { .. }
            | Effect::Inspect { .. }
            | Effect::Inventory { .. }
            | Effect::Poll { .. }
            | Effect::Position { .. }
            | Effect::Pace(_)
            | Effect::Report(_)
            | Effect::Finish(_) => return,
        };
        self.tell_in_order(input);
    }

    /// The ledger's answers come in the order in which they were made, and each some time after it
    /// was made: what happens meanwhile is not in them.
    pub(super) fn tell_in_order(&mut self, answer: Result<Input, LedgerError>) {
        match answer {
            Ok(input) => {
                let after = self.ledger_told_at.max(self.now);
                let at = after.plus_millis(self.rng.u64(..self.options.ledger_latency_max));
                self.ledger_told_at = at;
                self.sequence += 1;
                self.happenings.insert((at, self.sequence), Happening::Tell(input));
            }
            Err(error) => self.problem = Some(format!("ledger: {error}")),
        }
    }

    /// Rows that a batch wrote are true.
    fn examine_rows(&mut self, changes: &[Change]) {
        let Some(ledger) = self.ledger.as_ref().filter(|_| self.history_is_told()) else { return };
        for change in changes {
            let Change::PutRow(row) = change else { continue };
            let wrong = oracle::untrue_row(&self.source, &self.target, ledger, &row.path);
            self.problem = self.problem.take().or(wrong);
        }
    }
}

fn removable(
    ledger: &Ledger,
    under: &RelPath,
    after: Option<&RelPath>,
    which: Removable,
    strictly_below: bool,
    limit: usize,
) -> Result<Vec<Going>, LedgerError> {
    let rows = |commit_markers| {
        let rows = ledger.rows(under, after, commit_markers, strictly_below, limit)?;
        Ok(rows.into_iter().map(|row| Going { path: row.path, etag: row.etag }).collect())
    };
    match which {
        Removable::CommitMarkers => rows(true),
        Removable::Others => rows(false),
        Removable::Found => {
            let found = ledger.found_below(under, after, limit)?;
            Ok(found.into_iter().map(|it| Going { path: it.path, etag: it.etag }).collect())
        }
    }
}
