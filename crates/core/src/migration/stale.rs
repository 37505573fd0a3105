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
        // A copy that was not heard of may stand there, too.
        let here = claim.row.is_some() || claim.attempts.iter().any(|it| it.path == *path);
        let stands = here || claim.rows_below || extra;
        let changes = match seen {
            Examined::Failed(_) => false,
            Examined::Present(Node::File(file)) => {
                let unchanged = |row: &Row| self.is_unchanged(row, file);
                !file.open && !claim.row.as_ref().is_some_and(unchanged)
            }
            Examined::Present(Node::Directory(_)) => here || self.removes_extra(claim),
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

    /// The source has the marker as its row says, and nobody writes to it. Of another history
    /// nothing is known to be the same: numbers are given a second time (rule 1.7).
    pub(super) fn stands_at_source(&self, marker: &Row, outcome: &Examined) -> bool {
        matches!(outcome, Examined::Present(Node::File(file))
            if !file.open && self.sameness(marker, file) == Sameness::Same)
    }
}

/// The source has the file as it was looked at, closed.
pub(super) fn stands_as(known: &Identity, outcome: &Examined) -> bool {
    matches!(outcome, Examined::Present(Node::File(file))
        if !file.open && known.compare(&file.identity) == Sameness::Same)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{attempt, claim, migration_of, node, row, step};
    use super::*;
    use crate::config::{Config, Extras};
    use crate::entry::{DirectoryNode, FileNode};
    use crate::metadata::Metadata;
    use crate::record::Found;

    fn found() -> Option<Found> {
        Some(Found {
            path: RelPath::from("a"),
            length: 5,
            etag: None,
            version: None,
            crc32c: None,
            metadata: None,
            migration: None,
            late: false,
        })
    }

    /// Whether what is seen at a path changes what readers of the target find.
    #[test]
    fn rule_7_1_only_what_changes_the_target_has_its_commit_marker_looked_at() {
        let changes_at = |at: &str, extras: Extras, claim: Claim, seen: Examined| {
            let migration = migration_of(Config { extras, ..Config::default() });
            migration.changes_something(&RelPath::from(at), &claim, &seen)
        };
        let changes =
            |claim: Claim, seen: &Examined| changes_at("a", Extras::Remove, claim, seen.clone());
        let known = || Claim { row: Some(row()), ..claim("a") };
        let extra = || Claim { found: found(), ..claim("a") };
        let unheard = || Claim { attempts: vec![attempt(4, "a", 5)], ..claim("a") };
        let (ours_below, extras_below) = (
            || Claim { rows_below: true, ..claim("a") },
            || Claim { found_below: true, ..claim("a") },
        );
        let file = |file: FileNode| Examined::Present(Node::File(file));
        assert!(!changes(known(), &file(node(5))), "it is the same");
        assert!(changes(known(), &file(node(6))) && changes(claim("a"), &file(node(5))));
        let open = file(FileNode { open: true, ..node(6) });
        assert!(!changes(known(), &open), "it waits for its close");
        let (file_key, empty, metadata) = (7, None, Metadata::default());
        let directory =
            Examined::Present(Node::Directory(DirectoryNode { file_key, empty, metadata }));
        assert!(changes(known(), &directory) && changes(extra(), &directory));
        assert!(changes(unheard(), &directory), "it may stand there");
        assert!(!changes(ours_below(), &directory), "what is in it is worked on by itself");
        let special = Examined::Present(Node::Special("a socket".to_owned()));
        for gone in [special, Examined::Absent { root_key: None }] {
            assert!(changes(known(), &gone) && changes(ours_below(), &gone));
            assert!(changes(unheard(), &gone));
            assert!(changes(extra(), &gone) && changes(extras_below(), &gone));
            assert!(!changes(claim("a"), &gone), "nothing stands there");
            assert!(!changes_at("a", Extras::Keep, extra(), gone.clone()), "it stays");
            assert!(!changes_at("a", Extras::Keep, extras_below(), gone));
        }
        assert!(!changes_at("_SUCCESS", Extras::Keep, known(), file(node(6))), "a marker itself");
    }

    #[test]
    fn rule_7_1_work_goes_on_if_its_commit_marker_stands() {
        let goes_on = |outcome: &Examined| {
            let mut migration = migration_of(Config::default());
            let marker = Row { path: RelPath::from("_SUCCESS"), ..row() };
            let seen = Examined::Present(Node::File(node(6)));
            migration.marker_examined(RelPath::from("a"), claim("a"), seen, &marker, outcome);
            let hastened = migration.claims.hastened_markers.contains(&marker.path);
            (matches!(step(&migration, "a"), Some(Step::Queued)), hastened)
        };
        let stands = |length| Examined::Present(Node::File(node(length)));
        assert_eq!(goes_on(&stands(5)), (true, false));
        assert_eq!(goes_on(&stands(6)), (false, true), "it was written anew");
        let open = Examined::Present(Node::File(FileNode { open: true, ..node(5) }));
        assert_eq!(goes_on(&open), (false, true), "it is being written");
        assert_eq!(goes_on(&Examined::Absent { root_key: None }), (false, true));
    }
}
