//! Lost power while an older state is brought up to date.

use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use whimbrel_crash::{Disk, Draw, Image, Remains, vfs};
use whimbrel_ledger::{DATABASE, LedgerError};

use crate::support::{live, row};
use crate::workload::{Act, Known, open, perform};
use crate::{find, seeds};

/// What made a state of version 2 one of the newest, undone.
const BACK: &str = "
    DROP INDEX pending_delayed;
    DROP INDEX pending_due;
    DROP INDEX pending_parked;
    CREATE INDEX pending_due ON pending (not_before) WHERE not_before > 0;
    CREATE INDEX pending_parked ON pending (directory, name) WHERE parked > 0;
    DROP TABLE directory_record;
    PRAGMA user_version = 2";

fn statement(image: &Image, text: &str) -> Image {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::new(image));
    let _mount = vfs::Mount::new(folder.path(), disk.clone());
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let path = folder.path().join(DATABASE);
    let sql = Connection::open_with_flags_and_vfs(path, flags, vfs::NAME).unwrap();
    sql.pragma_update(None, "locking_mode", "EXCLUSIVE").unwrap();
    sql.execute_batch(text).unwrap();
    sql.close().unwrap();
    disk.image()
}

/// A closed state without directories, and what it knows.
fn filled() -> (Image, Known) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::default());
    let _mount = vfs::Mount::new(folder.path(), disk.clone());
    let (mut ledger, mut known) = (None, Known::default());
    let changes = (1..60).flat_map(|number| {
        let path = format!("d{}/f{number}", number % 7);
        [live(&path, number), whimbrel_core::record::Change::PutRow(row(&path, number))]
    });
    let apply = Act::Apply(vec![changes.collect()]);
    for act in [Act::Open, apply, Act::Close { clean: true }] {
        perform(&act, folder.path(), &mut ledger).unwrap();
        known = known.after(&act);
    }
    (disk.image(), known)
}

#[test]
fn lost_power_during_an_upgrade_leaves_either_version() {
    let (newest, known) = filled();
    let older = statement(&newest, BACK);
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::new(&older));
    let mount = vfs::Mount::new(folder.path(), disk.clone());
    drop(open(folder.path()).unwrap());
    drop(mount);
    let log = disk.log();
    assert!(log.len() > 10, "{}", log.len());
    for seed in seeds() {
        let mut draw = Draw::new(seed);
        let mut remains = Remains::new(&older);
        for (number, call) in log.iter().enumerate() {
            remains.add(call, &mut draw);
            for image in remains.images(8, &mut draw) {
                find(&image, &[&known], folder.path())
                    .unwrap_or_else(|what| panic!("seed {seed}, call {number}: {what}"));
            }
        }
    }
}

#[test]
fn a_newer_state_is_refused_with_a_remedy_and_left_alone() {
    let (newest, known) = filled();
    let newer = statement(&newest, "PRAGMA user_version = 99");
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::new(&newer));
    let mount = vfs::Mount::new(folder.path(), disk.clone());
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, LedgerError::Newer { found: 99, .. }), "{error:?}");
    assert!(error.remedy().contains("newer version of whimbrel"), "{}", error.remedy());
    drop(mount);
    let again = statement(&disk.image(), "PRAGMA user_version = 5");
    find(&again, &[&known], folder.path()).unwrap_or_else(|what| panic!("{what}"));
}
