//! What is gone at the source and kept for a time (rule 5.7): nothing goes before its time, the time
//! never begins anew, and a history lasts until all of it is gone.

use std::collections::{BTreeMap, BTreeSet};

use whimbrel_core::commit_marker;
use whimbrel_core::input::Input;
use whimbrel_core::number::{Time, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Change;

use super::Run;
use crate::world::source::Content;
use crate::world::target::{Write, Writer};

/// Of the source.
type Files = BTreeMap<RelPath, Option<(Content, u64, u32)>>;

/// A look that found something may be heard of after a later one that found nothing; then the
/// latter is asked for again.
const LOOK_MILLIS_MAX: u64 = 5_000;

/// What is known of it from outside.
#[derive(Debug, Default)]
pub(super) struct Delays {
    /// What the source had when it was last looked at.
    present: BTreeSet<RelPath>,
    looked_at: Option<(u64, TxId)>,
    /// When the source first lost a path since something was written there.
    lost_at: BTreeMap<RelPath, Time>,
    /// What was in the way of something that the source had, since it was written.
    in_the_way: BTreeSet<RelPath>,
    /// When the time of what is kept is over, and when the source last touched it.
    due: BTreeMap<RelPath, (Time, u64, TxId)>,
    /// Who had written what removals were sent for that land late.
    leaving: BTreeMap<RelPath, Writer>,
}

impl Run {
    /// The time of the last that is kept, while this history has to outlast it.
    pub(super) fn delayed_until(&self) -> Option<Time> {
        let ledger = self.ledger.as_ref().filter(|_| self.options.outlasts_delays)?;
        ledger.summary().ok()?.delayed_next
    }

    /// A later run comes when the time of something is over.
    pub(super) fn outlast_delays(&mut self) {
        if let Some(until) = self.delayed_until() {
            self.now = self.now.max(until);
        }
    }

    /// A person has all go that is kept.
    pub(super) fn confirm_delayed(&mut self) {
        if self.options.removals_after_millis > 0 {
            self.core.handle(self.now, Input::ConfirmDelayed);
            self.delays.lost_at.values_mut().for_each(|at| *at = Time(0));
        }
    }

    /// What is kept is due at other times from now on.
    pub(super) fn another_delay(&mut self) {
        self.delays.due.clear();
    }

    /// Looks what the source has no more.
    pub(super) fn note_losses(&mut self) {
        let state = (self.source.past, self.source.txid);
        if self.options.removals_after_millis == 0 || self.delays.looked_at == Some(state) {
            return;
        }
        self.delays.looked_at = Some(state);
        let files = self.source.files();
        let present: BTreeSet<RelPath> = self.source.paths().into_iter().collect();
        for lost in self.delays.present.difference(&present) {
            self.delays.lost_at.entry(lost.clone()).or_insert(self.now);
        }
        self.delays.present = present;
        let keys: Vec<RelPath> = self.target.objects.keys().cloned().collect();
        keys.iter().for_each(|key| self.note_in_the_way(key, &files));
    }

    /// Something else stands at the source where an object does, or a file above it.
    fn note_in_the_way(&mut self, key: &RelPath, files: &Files) {
        let place = place(key);
        let below_a_file = place.ancestors().any(|above| files.contains_key(&above));
        let other = match key.is_marker() {
            true => files.contains_key(&place),
            false => self.delays.present.contains(&place) && !files.contains_key(&place),
        };
        if below_a_file || other {
            self.delays.in_the_way.insert(key.clone());
        }
    }

    /// What the source has was written there: that was not lost yet. A late write of what it had
    /// before changes nothing about that.
    pub(super) fn note_written(&mut self, key: &RelPath) {
        if self.options.removals_after_millis == 0 {
            return;
        }
        let files = self.source.files();
        let place = place(key);
        let written = self.target.objects.get(key).map(|object| object.content);
        let is_there = match files.get(&place) {
            Some(file) => file.map(|(content, ..)| content) == written,
            None => self.delays.present.contains(&place),
        };
        if is_there {
            self.delays.lost_at.remove(&place);
            self.delays.in_the_way.remove(key);
        }
        self.note_in_the_way(key, &files);
    }

    /// A removal is on its way, and lands late.
    pub(super) fn note_leaving(&mut self, write: &Write) {
        let Write::Remove(key, _) = write else { return };
        if let Some(object) = self.target.objects.get(key) {
            self.delays.leaving.entry(key.clone()).or_insert(object.writer);
        }
    }

    /// It landed.
    pub(super) fn note_left(&mut self, key: &RelPath) {
        self.delays.leaving.remove(key);
    }

    /// Nothing is left to be done about these: if something is found later, it is kept from then.
    pub(super) fn note_settled(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::Settle { path, .. } = change {
                self.delays.due.remove(path);
            }
        }
    }

    /// What stands at a key goes although its time is not over.
    pub(super) fn gone_early(&mut self, key: &RelPath) -> Option<String> {
        self.note_losses();
        let after_millis = self.options.removals_after_millis;
        let object = self.target.objects.get(key)?;
        let ours = matches!(object.writer, Writer::Ours(_)) && !self.target.disturbed.contains(key);
        let place = place(key);
        let excused = commit_marker::is_commit_marker(key)
            || self.delays.in_the_way.contains(key)
            // What is in the way of a directory takes its marker along.
            || key.is_marker() && self.delays.in_the_way.contains(&place)
            || self.delays.present.contains(&place)
            // A removal that was not heard of may take what was written since, even under a
            // condition where the bytes, and so the ETag, are the same.
            || !self.options.conditions
            || self.delays.leaving.get(key).is_some_and(|then| *then != object.writer);
        let lost_at = *self.delays.lost_at.get(&place)?;
        let due = lost_at.plus_millis(after_millis);
        let early = ours && !excused && self.now < due;
        early.then(|| format!("{key} goes {} ms before its time", due.millis_since(self.now)))
    }

    /// The time of what is kept counts from when it was first found to be gone.
    pub(super) fn examine_delays(&mut self) {
        let Some(ledger) = &self.ledger else { return };
        if self.options.removals_after_millis == 0 {
            return;
        }
        let Ok(kept) = ledger.delayed(None, 10_000) else { return };
        let known = &mut self.delays.due;
        known.retain(|path, _| matches!(ledger.pending_entry(path), Ok(Some(_))));
        for entry in kept {
            if entry.gone_since.is_none() {
                self.problem.get_or_insert(format!("{} is kept since no time", entry.path));
            }
            let due = entry.not_before;
            let touched = (self.source.past, self.source.last_touch(&entry.path));
            let before = known.insert(entry.path.clone(), (due, touched.0, touched.1));
            let anew = before.is_some_and(|(before, past, txid)| {
                (past, txid) == touched && due.millis_since(before) > LOOK_MILLIS_MAX
            });
            if anew {
                self.problem.get_or_insert(format!("the time of {} begins anew", entry.path));
            }
        }
    }
}

/// Where the source has what an object stands for.
fn place(key: &RelPath) -> RelPath {
    key.parent().filter(|_| key.is_marker()).unwrap_or_else(|| key.clone())
}
