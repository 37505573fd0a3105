//! Commit markers that stand are looked at before what they speak for changes (rule 7.1). The source
//! may be further than the stream was followed: a look shows what a job wrote anew, and no event
//! told yet that its old marker is gone. A marker that still stands at the source after that look is
//! not stale for it.

use super::Migration;
use super::claim::{Asked, Claim, Step};
use super::work::MARKER_PAUSE_MILLIS;
use crate::effect::Effect;
use crate::entry::Node;
use crate::identity::{Identity, Sameness};
use crate::input::Examined;
use crate::path::RelPath;
use crate::record::Row;

impl Migration {
    /// True if what was seen at a path changes what readers find on the target.
    pub(super) fn changes_something(&self, path: &RelPath, claim: &Claim, seen: &Examined) -> bool {
        let extra = self.removes_extra(claim) || self.removes_extras_below(claim);
        let stands = claim.row.is_some() || claim.rows_below || extra;
        let changes = match seen {
            Examined::Failed(_) => false,
            Examined::Present(Node::File(file)) => {
                let unchanged = |row: &Row| self.is_unchanged(row, file);
                !file.open && !claim.row.as_ref().is_some_and(unchanged)
            }
            Examined::Present(Node::Directory(_)) => {
                claim.row.is_some() || self.removes_extra(claim)
            }
            Examined::Present(Node::Special(_)) | Examined::Absent { .. } => stands,
        };
        changes && !self.is_commit_marker(path)
    }

    /// Asks whether a commit marker that speaks for the path stands at the source as before.
    pub(super) fn look_at_marker(
        &mut self,
        path: RelPath,
        mut claim: Claim,
        seen: Examined,
        marker: Row,
    ) {
        let ticket = self.ask(Asked::Claim(path.clone()));
        self.ask_marker(ticket, &marker.path);
        claim.step = Step::LookingAtMarker { seen, marker };
        self.hold(path, claim);
    }

    pub(super) fn ask_marker(&mut self, ticket: crate::effect::Ticket, marker: &RelPath) {
        let path = marker.clone();
        self.outbox.send_after(Effect::Examine { ticket, path, by_file_key: false });
    }

    /// The answer: the work goes on, or waits until the marker is gone.
    pub(super) fn marker_examined(
        &mut self,
        path: RelPath,
        claim: Claim,
        seen: Examined,
        marker: &Row,
        outcome: &Examined,
    ) {
        match outcome {
            Examined::Failed(failure) => self.fail(path, claim, failure.clone()),
            outcome if self.stands_at_source(marker, outcome) => self.look_at(path, claim, seen),
            Examined::Present(_) | Examined::Absent { .. } => {
                self.hasten(&marker.path, &claim);
                self.wait_for_marked(path, claim, MARKER_PAUSE_MILLIS);
            }
        }
    }

    /// The source has the marker as its row says. Of another history nothing is known to be the
    /// same: numbers are given a second time (rule 1.7).
    pub(super) fn stands_at_source(&self, marker: &Row, outcome: &Examined) -> bool {
        matches!(outcome, Examined::Present(Node::File(file))
            if self.sameness(marker, file) == Sameness::Same)
    }
}

/// The source has the file as it was looked at.
pub(super) fn stands_as(known: &Identity, outcome: &Examined) -> bool {
    matches!(outcome, Examined::Present(Node::File(file))
        if known.compare(&file.identity) == Sameness::Same)
}
