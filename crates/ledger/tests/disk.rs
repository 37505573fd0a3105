//! What stands on the disk: after a crash, with flipped bits, in other hands.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{attempt, found, hint, live, park, row, settle};
use whimbrel_core::failure::{FailureKind, Side};
use whimbrel_core::number::{AttemptNumber, Time};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{Change, Counters, Lane, Parked, Part, PendingSummary, Upload};
use whimbrel_ledger::{DATABASE, LOCK, Ledger, LedgerError, Options, look};

/// Names the folder that the child process writes to until it is killed.
const CHILD_FOLDER: &str = "WHIMBREL_LEDGER_CHILD_FOLDER";

fn open(folder: &Path) -> Result<Ledger, LedgerError> {
    Ledger::open(folder, Options { hot_entries_max: 20, ..Options::default() })
}

/// The changes of one batch of the child: each batch leaves traces in every table.
fn batch(number: u64) -> Vec<Change> {
    let name = format!("d{}/f{number}", number % 7);
    let mut changes = vec![
        live(&name, number * 2),
        live(&format!("hot/{}", number % 5), number * 2 + 1),
        Change::AttemptOpened(attempt(number, &name)),
        Change::PutRow(row(&name, number)),
        Change::HintAdded(hint(&name, "elsewhere", number)),
        Change::FoundAdded(found(&format!("x{}/y", number % 11))),
        Change::Count(Counters { files_copied: 1, ..Counters::default() }),
    ];
    if number > 3 {
        let old = number - 3;
        changes.push(Change::AttemptClosed(AttemptNumber(old)));
        changes.push(settle(&format!("d{}/f{old}", old % 7), old * 2));
    }
    changes
}

#[test]
fn a_child_writes_until_it_is_killed() {
    let Ok(folder) = std::env::var(CHILD_FOLDER) else {
        return;
    };
    let mut ledger = open(Path::new(&folder)).unwrap();
    let from = ledger.meta().unwrap().counters.files_copied + 1;
    for number in from.. {
        ledger.apply(&[&batch(number)]).unwrap();
        println!("durable {number}");
    }
}

#[test]
fn a_killed_process_leaves_whole_batches() {
    let folder = tempfile::tempdir().unwrap();
    let mut durable = 0;
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["a_child_writes_until_it_is_killed", "--exact", "--nocapture"])
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = durable + 5 + round * 13;
        let mut said = durable;
        while said < wanted {
            let line = lines.next().unwrap().unwrap();
            if let Some(number) = line.strip_prefix("durable ") {
                said = number.parse().unwrap();
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said after that and before it died.
        let rest = lines.map_while(Result::ok);
        let last = rest.filter_map(|line| line.strip_prefix("durable ")?.parse().ok()).max();
        said = said.max(last.unwrap_or(0));

        let ledger = open(folder.path()).unwrap();
        durable = ledger.meta().unwrap().counters.files_copied;
        assert!(durable == said || durable == said + 1, "{durable} after {said}");
        let mut expected = Ledger::open_in_memory(Namespace::Tree).unwrap();
        for number in 1..=durable {
            expected.apply(&[&batch(number)]).unwrap();
        }
        same(&ledger, &expected);
        ledger.check().unwrap();
    }
}

/// Everything that can be asked for.
fn contents(ledger: &Ledger) -> Result<impl PartialEq + std::fmt::Debug + use<>, LedgerError> {
    let rows = ledger.rows_after(None, usize::MAX >> 1)?;
    let mut stories = Vec::new();
    for number in 0..150 {
        for path in [format!("d{}/f{number}", number % 7), format!("x{number}/y")] {
            stories.push(ledger.story(&path.as_str().into())?);
        }
    }
    for number in 0..5 {
        stories.push(ledger.story(&format!("hot/{number}").as_str().into())?);
    }
    let parked = ledger.parked(None, 1_000)?;
    let settings = ledger.setting("source")?;
    let meta = ledger.meta()?;
    let summary = ledger.summary()?;
    Ok((rows, stories, parked, settings, meta, summary, ledger.attempts()?, ledger.hints()?))
}

fn same(ledger: &Ledger, expected: &Ledger) {
    assert_eq!(contents(ledger).unwrap(), contents(expected).unwrap());
}

fn filled(folder: &Path) -> Ledger {
    let mut ledger = open(folder).unwrap();
    ledger.set_setting("source", "hdfs:///data").unwrap();
    for number in 1..120 {
        ledger.apply(&[&batch(number)]).unwrap();
    }
    let upload = Upload { id: "u".into(), part_bytes: 8, parts: Vec::new() };
    let part = Part { number: 1, length: 8, crc32c: 9, etag: "e".into() };
    let number = AttemptNumber(119);
    ledger
        .apply(&[&[
            Change::UploadOpened { number, upload },
            Change::PartDone { number, part },
            park("hot/1", 9_999, Parked::Guard, None),
        ]])
        .unwrap();
    ledger
}

#[test]
fn a_flipped_bit_is_never_believed() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = filled(folder.path());
    let expected = contents(&ledger).unwrap();
    ledger.close().unwrap();
    let database = folder.path().join(DATABASE);
    let sound = fs::read(&database).unwrap();
    let (mut refused, mut unaffected) = (0, 0);
    let mut place = 12_345_usize;
    for round in 0..600 {
        place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let mut bytes = sound.clone();
        // The first page, which rules over all others, more often than its share.
        let within = if round % 10 == 0 { 4096 } else { bytes.len() };
        bytes[(place >> 16) % within] ^= 1 << (place >> 60 & 7);
        fs::write(&database, &bytes).unwrap();
        match open(folder.path()).and_then(|ledger| contents(&ledger)) {
            Ok(found) => {
                assert_eq!(found, expected, "round {round}");
                unaffected += 1;
            }
            Err(error) => {
                assert_eq!(error.failure().side, Side::Local);
                refused += 1;
            }
        }
        let _ = fs::remove_file(folder.path().join("state.db-wal"));
    }
    assert!(refused > 100, "{refused} refused, {unaffected} unaffected");
    fs::write(&database, &sound).unwrap();
    let ledger = open(folder.path()).unwrap();
    assert_eq!(contents(&ledger).unwrap(), expected);
}

#[test]
fn a_database_cut_short_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).close().unwrap();
    let database = folder.path().join(DATABASE);
    let length = fs::metadata(&database).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&database).unwrap();
    file.set_len(length - 4096).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error:?}");
    assert_eq!(error.failure().kind, FailureKind::Corrupt);
}

#[test]
fn everything_survives_closing_and_dropping() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = filled(folder.path());
    let (taken, _) = ledger.take(Lane::Live, 2, Time(0)).unwrap();
    assert_eq!(taken.len(), 2);
    let expected = contents(&ledger).unwrap();
    drop(ledger);
    let mut ledger = open(folder.path()).unwrap();
    assert_eq!(contents(&ledger).unwrap(), expected);
    // Claims are gone.
    let (again, _) = ledger.take(Lane::Live, 2, Time(0)).unwrap();
    assert_eq!(again, taken);
    ledger.close().unwrap();
    let ledger = open(folder.path()).unwrap();
    assert_eq!(contents(&ledger).unwrap(), expected);
}

#[test]
fn what_waits_for_the_next_start_is_due_then() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path()).unwrap();
    let changes = [live("x", 1), park("x", 1, Parked::Failed, None)];
    let summary = ledger.apply(&[&changes]).unwrap();
    assert_eq!((summary.failed, summary.next_due), (1, None));
    assert!(ledger.take(Lane::Live, 9, Time(1 << 60)).unwrap().0.is_empty());
    drop(ledger);
    let mut ledger = open(folder.path()).unwrap();
    let (work, summary) = ledger.take(Lane::Live, 9, Time(0)).unwrap();
    assert_eq!(work[0].pending.parked, Some(Parked::Failed));
    assert_eq!(summary, PendingSummary { failed: 1, ..PendingSummary::default() });
}

#[test]
fn a_second_user_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err();
    let LedgerError::InUse { pid, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*pid, Some(std::process::id()));
    assert!(error.to_string().contains(&std::process::id().to_string()));
    ledger.close().unwrap();
    open(folder.path()).unwrap();
}

#[test]
fn only_the_owner_may_look() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("deep/state");
    let ledger = open(&folder).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join(LOCK)), 0o600);
    drop(ledger);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    open(&folder).unwrap();
    assert_eq!(mode(&folder), 0o700);
    // What keeps others out already is left as it is.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o1700)).unwrap();
    open(&folder).unwrap();
    let kept = fs::metadata(&folder).unwrap().permissions().mode() & 0o7777;
    assert_eq!(kept, 0o1700);
}

/// Whatever the log of the database is then, it was not looked at.
#[test]
fn a_log_that_cannot_be_reached_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().close().unwrap();
    let log = folder.path().join(format!("{DATABASE}-wal"));
    std::os::unix::fs::symlink(log.file_name().unwrap(), &log).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, LedgerError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("state.db-wal"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, b"x").unwrap();
    let error = open(&file.join("state")).unwrap_err();
    assert!(matches!(error, LedgerError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("file/state"), "{error}");
    assert!(!error.remedy().is_empty());
}

#[test]
fn other_versions_and_programs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().close().unwrap();
    let database = folder.path().join(DATABASE);
    let statement = |text: &str| {
        rusqlite::Connection::open(&database).unwrap().execute_batch(text).unwrap();
    };
    statement("PRAGMA user_version = 99");
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, LedgerError::Newer { found: 99, .. }), "{error:?}");
    let error = look(folder.path()).unwrap_err();
    assert!(matches!(error, LedgerError::Newer { found: 99, .. }), "{error:?}");
    statement("PRAGMA user_version = 1; PRAGMA application_id = 7");
    assert!(matches!(open(folder.path()).unwrap_err(), LedgerError::Foreign { .. }));
    assert!(matches!(look(folder.path()).unwrap_err(), LedgerError::Foreign { .. }));
    fs::write(&database, vec![b'x'; 5000]).unwrap();
    assert!(matches!(open(folder.path()).unwrap_err(), LedgerError::Damaged { .. }));
    assert!(matches!(look(folder.path()).unwrap_err(), LedgerError::Damaged { .. }));
    fs::write(&database, b"").unwrap();
    look(folder.path()).unwrap();
    open(folder.path()).unwrap();
}

#[test]
fn the_namespace_is_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let with = |namespace| Options { namespace, ..Options::default() };
    let flat = Some(Namespace::Flat);
    Ledger::open(folder.path(), with(flat)).unwrap().close().unwrap();
    assert_eq!(Ledger::open(folder.path(), with(None)).unwrap().namespace(), Namespace::Flat);
    let error = Ledger::open(folder.path(), with(Some(Namespace::Tree))).unwrap_err();
    assert!(matches!(error, LedgerError::Namespace { .. }), "{error:?}");
    Ledger::open(folder.path(), with(flat)).unwrap();
}

#[test]
fn a_vfs_that_is_not_registered_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let vfs = Some("no-such-vfs".to_owned());
    let error = Ledger::open(folder.path(), Options { vfs, ..Options::default() }).unwrap_err();
    assert!(error.to_string().contains("no-such-vfs"), "{error}");
    let vfs = Some("unix-none".to_owned());
    let options = Options { vfs, ..Options::default() };
    let mut ledger = Ledger::open(folder.path(), options).unwrap();
    ledger.apply(&[&[live("x", 1)]]).unwrap();
    assert!(ledger.pending_entry(&RelPath::from("x")).unwrap().is_some());
}
