//! What stood under the target before this migration wrote there: looked at once, so that copying
//! can adopt it and extras can be counted. Every later run compares what stands there now with the
//! ledger beside its other work: what does not agree is looked at like the key of a write whose
//! outcome is unknown (rules 4.1, 4.4).

use std::collections::BTreeSet;

use bytes::Bytes;

use super::claim::Asked;
use super::{Migration, Phase};
use crate::adoption::written_by_another_migration;
use crate::config::Extras;
use crate::effect::{Effect, Finish, Report, ReportKind};
use crate::failure::{Failure, Side};
use crate::identity::Identity;
use crate::input::Inventoried;
use crate::number::{AttemptNumber, Time, TxId};
use crate::path::{Namespace, RelPath};
use crate::record::{AttemptKind, Change, Found, Lane, Meta, Reach, Row};

/// Looks of the comparison that may be open before its next page is asked for.
const LOOKS_AHEAD: usize = 512;

/// How far the comparison of the target with the ledger came.
#[derive(Debug)]
pub(super) struct Recount {
    begun: Time,
    asked: bool,
    done: bool,
    cursor: Option<Bytes>,
    /// Looks that did not come to their end.
    looks: BTreeSet<AttemptNumber>,
}

impl Recount {
    /// A run that takes the first inventory, or its rest, knows what stands there.
    pub(super) fn of(meta: &Meta, begun: Time) -> Self {
        Self {
            begun,
            asked: false,
            done: !meta.inventory_done,
            cursor: None,
            looks: BTreeSet::new(),
        }
    }

    /// All that stands under the target was seen, and nothing that did not agree is left.
    pub(super) fn is_done(&self) -> bool {
        self.done && self.looks.is_empty()
    }

    /// Since when it is not known whether the target is as the ledger says.
    pub(super) fn unknown_since(&self) -> Option<Time> {
        (!self.is_done()).then_some(self.begun)
    }

    /// An attempt came to its end.
    pub(super) fn settled(&mut self, number: AttemptNumber) {
        self.looks.remove(&number);
    }
}

impl Migration {
    pub(super) fn ask_inventory(&mut self) {
        if self.inventory_asked || self.is_held_back(Side::Target) {
            return;
        }
        self.inventory_asked = true;
        let after = self.inventory_cursor.clone();
        let ticket = self.ask(Asked::Inventory);
        self.outbox.send_after(Effect::Inventory { ticket, after, again: false });
    }

    /// Goes on with the comparison of what stands under the target with the ledger.
    pub(super) fn ask_recount(&mut self) {
        let recount = &self.recount;
        let room = !recount.asked && !recount.done && recount.looks.len() < LOOKS_AHEAD;
        if !room || self.stopping || self.paused || self.is_held_back(Side::Target) {
            return;
        }
        self.recount.asked = true;
        let after = self.recount.cursor.clone();
        let ticket = self.ask(Asked::Inventory);
        self.outbox.send_after(Effect::Inventory { ticket, after, again: true });
    }

    pub(super) fn inventoried(&mut self, outcome: Result<Inventoried, Failure>) {
        let again = std::mem::take(&mut self.recount.asked);
        self.inventory_asked = false;
        let page = match outcome {
            Ok(page) => page,
            Err(failure) => {
                self.side_failed(&failure);
                return;
            }
        };
        self.answered_by(Side::Target);
        if again {
            self.recounted(page);
            return;
        }
        for object in page.found {
            if self.config.is_of_another_migration(object.migration.as_deref()) {
                self.refuse_another_migration(&object.path);
                return;
            }
            self.take_stock(object);
        }
        let Inventoried { cursor, done, .. } = page;
        self.outbox.change(Change::InventoryAt { cursor: cursor.clone(), done });
        self.inventory_cursor = cursor;
        if done {
            self.phase = Phase::Rooting;
            self.look_at_root();
        }
    }

    /// The page is older than what was written since it was listed, so it only says where to look:
    /// a look under the path's claim tells what stands. Foreign directory markers are counted.
    fn recounted(&mut self, page: Inventoried) {
        for object in page.found {
            if object.migration.as_ref() == Some(&self.config.migration) {
                self.doubt_object(&object.path);
            } else {
                self.take_stock(Found { late: true, ..object });
            }
        }
        for path in page.doubtful {
            self.doubt_object(&path);
        }
        self.recount.cursor = page.cursor;
        self.recount.done = page.done;
    }

    fn doubt_object(&mut self, path: &RelPath) {
        let number = self.open_attempt(path, AttemptKind::Copy, Identity::Unknown).number;
        self.look_at_once(number, path);
        self.recount.looks.insert(number);
    }

    /// Remembers what stands there. Where extras are to go, the scan meets each and removes what the
    /// source does not have. A directory's marker is taken over for that, as what we would have
    /// written.
    fn take_stock(&mut self, object: Found) {
        let path = object.path.clone();
        let tree = self.config.namespace == Namespace::Tree;
        if self.config.extras == Extras::Remove && tree && path.is_marker() {
            self.outbox.change(Change::PutRow(Row {
                path: path.clone(),
                identity: Identity::Marker,
                length: object.length,
                crc32c: object.crc32c,
                etag: object.etag,
                version: object.version,
                attempt: None,
                as_of: TxId(0),
                epoch: self.epoch,
                metadata: object.metadata.unwrap_or_default(),
                ledger_only: false,
            }));
            let directory = path.parent().unwrap_or_default();
            self.mark(&directory, Reach::Path, Lane::Backlog, TxId(0), TxId(0));
        } else {
            self.outbox.change(Change::FoundAdded(object));
        }
    }

    /// Ends the run: what another migration writes is neither written over nor removed.
    pub(super) fn refuse_another_migration(&mut self, path: &RelPath) {
        let failure = written_by_another_migration(path);
        self.outbox.send(Effect::Report(Report {
            path: Some(path.clone()),
            kind: ReportKind::Foreign,
            failure: failure.clone(),
        }));
        self.finish(Finish::Guard(failure));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{changed, failure, marked, migration_of, sent};
    use super::*;
    use crate::config::Config;
    use crate::failure::FailureKind;

    fn found(at: &str, migration: Option<&str>) -> Found {
        Found {
            path: RelPath::from(at),
            length: 5,
            etag: None,
            version: None,
            crc32c: None,
            metadata: None,
            migration: migration.map(str::to_owned),
            late: false,
        }
    }

    /// A run of the migration `ours` that compares the target with what it knows.
    fn comparing(config: Config) -> Migration {
        let mut migration = migration_of(Config { migration: "ours".to_owned(), ..config });
        let meta = Meta { inventory_done: true, ..Meta::default() };
        migration.recount = Recount::of(&meta, Time(700));
        migration
    }

    fn asks(migration: &mut Migration) -> bool {
        migration.ask_recount();
        let effects = sent(migration);
        effects.iter().any(|effect| matches!(effect, Effect::Inventory { again: true, .. }))
    }

    #[test]
    fn a_comparison_is_done_when_all_that_it_doubts_was_looked_at() {
        let mut migration = comparing(Config::default());
        assert_eq!(migration.recount.unknown_since(), Some(Time(700)));
        assert!(asks(&mut migration) && !asks(&mut migration), "one page at a time");
        let doubtful = vec![RelPath::from("a")];
        let page = Inventoried { doubtful, done: true, ..Inventoried::default() };
        migration.inventoried(Ok(page));
        assert!(!migration.recount.is_done() && !asks(&mut migration));
        let number = *migration.recount.looks.first().expect("a look");
        migration.close_attempt(number);
        assert!(migration.recount.is_done());
        assert_eq!(migration.recount.unknown_since(), None);
        let first = Recount::of(&Meta::default(), Time(700));
        assert!(first.is_done(), "the first inventory tells what stands");
    }

    #[test]
    fn a_page_is_asked_for_when_somebody_can_work_on_it() {
        let asked = |hinder: &dyn Fn(&mut Migration)| {
            let mut migration = comparing(Config::default());
            hinder(&mut migration);
            asks(&mut migration)
        };
        let looks = |number: usize| {
            move |migration: &mut Migration| {
                migration.recount.looks = (0..number as u64).map(AttemptNumber).collect();
            }
        };
        assert!(asked(&|_| {}) && asked(&looks(LOOKS_AHEAD - 1)));
        assert!(!asked(&looks(LOOKS_AHEAD)) && !asked(&looks(LOOKS_AHEAD + 1)));
        assert!(!asked(&|it| it.stopping = true) && !asked(&|it| it.paused = true));
        let lost = failure(Side::Target, FailureKind::Unavailable);
        assert!(!asked(&|it| it.side_failed(&lost)));
        let mut first = migration_of(Config::default());
        first.inventory_asked = false;
        first.side_failed(&lost);
        first.ask_inventory();
        assert!(!first.inventory_asked, "nothing is asked of a target that is lost");
        first.now = Time(9_000);
        first.ask_inventory();
        assert!(first.inventory_asked);
    }

    #[test]
    fn rule_4_4_what_a_comparison_finds_is_late_or_our_own() {
        let taken = |object: Found| {
            let mut migration = comparing(Config::default());
            migration.recount.asked = true;
            let page = Inventoried { found: vec![object], done: true, ..Inventoried::default() };
            migration.inventoried(Ok(page));
            let looks = migration.recount.looks.len();
            let late = changed(&mut migration).into_iter().find_map(|change| {
                if let Change::FoundAdded(found) = change { Some(found.late) } else { None }
            });
            (looks, late)
        };
        assert_eq!(taken(found("a", None)), (0, Some(true)));
        assert_eq!(taken(found("a", Some("theirs"))), (0, Some(true)));
        assert_eq!(taken(found("a", Some("ours"))), (1, None), "its write was not heard of");
    }

    #[test]
    fn rule_5_3_a_marker_that_may_have_to_go_is_taken_over() {
        let taken = |extras: Extras, namespace: Namespace, at: &str| {
            let mut migration = comparing(Config { extras, namespace, ..Config::default() });
            migration.take_stock(found(at, None));
            let changes = changed(&mut migration);
            let row = changes.iter().any(|change| matches!(change, Change::PutRow(_)));
            (row, marked(&changes).into_iter().map(|(path, _)| path).collect::<Vec<_>>())
        };
        let over = (true, vec![RelPath::from("d")]);
        assert_eq!(taken(Extras::Remove, Namespace::Tree, "d/"), over);
        assert_eq!(taken(Extras::Keep, Namespace::Tree, "d/"), (false, vec![]));
        assert_eq!(taken(Extras::Remove, Namespace::Tree, "d"), (false, vec![]));
        assert_eq!(taken(Extras::Remove, Namespace::Flat, "d/"), (false, vec![]), "just a key");
    }

    #[test]
    fn rule_5_3_what_another_migration_wrote_is_taken_over_if_somebody_says_so() {
        let another = |adopt: bool, writer: Option<&str>| {
            comparing(Config { adopt, ..Config::default() }).config.is_of_another_migration(writer)
        };
        assert!(another(false, Some("theirs")));
        assert!(!another(true, Some("theirs")) && !another(false, Some("ours")));
        assert!(!another(false, None), "nobody's");
    }
}
