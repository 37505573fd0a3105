//! What stood under the target before this migration wrote there: looked at once, so that copying
//! can adopt it and extras can be counted.

use bytes::Bytes;

use super::claim::Asked;
use super::{Migration, Phase};
use crate::config::Extras;
use crate::effect::{Effect, Finish, Report, ReportKind};
use crate::failure::{Failure, FailureKind, Side};
use crate::identity::Identity;
use crate::number::TxId;
use crate::path::Namespace;
use crate::record::{Change, Found, Lane, Reach, Row};

impl Migration {
    pub(super) fn ask_inventory(&mut self) {
        if self.inventory_asked || self.is_held_back(Side::Target) {
            return;
        }
        self.inventory_asked = true;
        let after = self.inventory_cursor.clone();
        let ticket = self.ask(Asked::Inventory);
        self.outbox.send_after(Effect::Inventory { ticket, after });
    }

    pub(super) fn inventoried(&mut self, outcome: Result<(Vec<Found>, Option<Bytes>), Failure>) {
        self.inventory_asked = false;
        let (found, cursor) = match outcome {
            Ok(page) => page,
            Err(failure) => {
                self.side_failed(&failure);
                return;
            }
        };
        self.answered_by(Side::Target);
        for object in found {
            if self.is_of_another_migration(&object) && !self.config.adopt {
                self.refuse_foreign_migration(&object);
                return;
            }
            self.take_stock(object);
        }
        let done = cursor.is_none();
        self.outbox.change(Change::InventoryAt { cursor: cursor.clone(), done });
        self.inventory_cursor = cursor;
        if done {
            self.phase = Phase::Rooting;
            self.look_at_root();
        }
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

    fn is_of_another_migration(&self, object: &Found) -> bool {
        object.migration.as_ref().is_some_and(|migration| *migration != self.config.migration)
    }

    fn refuse_foreign_migration(&mut self, object: &Found) {
        let failure = Failure {
            side: Side::Target,
            kind: FailureKind::Conflict,
            message: format!("{} under the target was written by another migration", object.path),
            remedy: "if that migration is over, take its objects over with --adopt; else choose \
                     another target"
                .to_owned(),
        };
        self.outbox.send(Effect::Report(Report {
            path: Some(object.path.clone()),
            kind: ReportKind::Foreign,
            failure: failure.clone(),
        }));
        self.finish(Finish::Guard(failure));
    }
}
