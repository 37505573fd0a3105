//! The database's tables, and how an older one is brought up to date.

use std::path::Path;
use std::sync::OnceLock;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::{LedgerError, Result};

/// Marks a SQLite file as a ledger of Whimbrel ("Whim").
pub(crate) const APPLICATION: i64 = 0x5768_696d;

/// The statements that lead from each version to the next; the version is their number. Whoever
/// changes a record adds a step too, an empty one if no table changes, and has `State::upgrade` read
/// the older record or refuse it: the version is all that tells them apart. `layout_tests.rs` holds
/// every record to the version that it belongs to.
pub(crate) const STEPS: &[&str] = &[
    "
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), record BLOB NOT NULL);
CREATE TABLE setting (key TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE directory (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, parent INTEGER);
CREATE INDEX directory_child ON directory (parent, path);
CREATE TABLE object (
    directory INTEGER NOT NULL, name BLOB NOT NULL, file_key INTEGER,
    commit_marker INTEGER NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (directory, name)) WITHOUT ROWID;
CREATE INDEX object_file_key ON object (file_key) WHERE file_key IS NOT NULL;
CREATE INDEX object_commit_marker ON object (directory, name) WHERE commit_marker = 1;
CREATE TABLE found (
    directory BLOB NOT NULL, name BLOB NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (directory, name)) WITHOUT ROWID;

CREATE TABLE pending_log (sequence INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE pending (
    id INTEGER PRIMARY KEY, directory BLOB NOT NULL, name BLOB NOT NULL,
    reach INTEGER NOT NULL, lane INTEGER NOT NULL,
    first_txid INTEGER NOT NULL, first_seen INTEGER NOT NULL, mark INTEGER NOT NULL,
    not_before INTEGER NOT NULL, waiting INTEGER NOT NULL, parked INTEGER NOT NULL,
    commit_marker INTEGER NOT NULL, record BLOB NOT NULL,
    UNIQUE (directory, name));
CREATE INDEX pending_lane ON pending (lane, mark, not_before) WHERE parked IN (0, 2);
CREATE INDEX pending_txid ON pending (waiting, first_txid) WHERE parked = 0;
CREATE INDEX pending_seen ON pending (first_seen) WHERE parked = 0;
CREATE INDEX pending_due ON pending (not_before) WHERE not_before > 0;
CREATE INDEX pending_parked ON pending (directory, name) WHERE parked > 0;
CREATE INDEX pending_commit_marker ON pending (directory, name) WHERE commit_marker = 1;

CREATE TABLE attempt (number INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE part (
    attempt INTEGER NOT NULL, number INTEGER NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (attempt, number)) WITHOUT ROWID;
CREATE TABLE hint (id INTEGER PRIMARY KEY, record BLOB NOT NULL);
",
    "
ALTER TABLE object ADD COLUMN ledger_only INTEGER NOT NULL DEFAULT 0;
CREATE INDEX object_ledger_only ON object (directory, name) WHERE ledger_only = 1;
",
    "
CREATE TABLE directory_record (
    directory BLOB NOT NULL, name BLOB NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (directory, name)) WITHOUT ROWID;
",
    "
-- Records of pending entries and of the migration have another form.
",
    "
-- What is gone and kept for a time may be most of what is pending: what others look for passes it by.
DROP INDEX pending_due;
DROP INDEX pending_parked;
CREATE INDEX pending_due ON pending (not_before) WHERE not_before > 0 AND parked <> 6;
CREATE INDEX pending_parked ON pending (directory, name) WHERE parked > 0 AND parked <> 6;
CREATE INDEX pending_delayed ON pending (not_before) WHERE parked = 6;
",
];

/// Opens the database file, through the named VFS if one is given, without looking into it.
pub(crate) fn connect(path: &Path, vfs: Option<&str>) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
        None => Connection::open_with_flags(path, flags)?,
    })
}

/// Prepares a connection: durable commits, exclusive use, and the newest schema. Says whether the
/// database is new. `what` names the database in errors; `convert` brings records of the older
/// version that it is told up to date.
pub(crate) fn prepare(
    sql: &mut Connection,
    what: &str,
    convert: impl FnOnce(&Connection, i64) -> Result<()>,
) -> Result<bool> {
    sql.set_prepared_statement_cache_capacity(256);
    // Plans do not depend on what is bound: otherwise SQLite prepares each statement that a partial
    // index might serve anew for every value.
    sql.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Exclusive before WAL: the index of the log is then kept in memory and no other file is made.
    sql.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let version: i64 = sql.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i64 = sql.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = sql.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let new = version == 0 && application == 0 && tables == 0;
    if !new && application != APPLICATION {
        return Err(LedgerError::Foreign { what: what.to_owned() });
    }
    sql.pragma_update(None, "journal_mode", "WAL")?;
    sql.pragma_update(None, "synchronous", "FULL")?;
    sql.pragma_update(None, "wal_autocheckpoint", 8192)?;
    sql.pragma_update(None, "cache_size", -131_072)?;
    sql.pragma_update(None, "temp_store", "MEMORY")?;
    sql.pragma_update(None, "cell_size_check", true)?;
    // A sync of the log may have failed before: what it held can still be read, and is not on the
    // disk. So all of it is written once more, to where it belongs.
    sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    upgrade(sql, what, STEPS, convert)?;
    compare(sql, newest()?)?;
    Ok(new)
}

/// Names of tables and indexes, and what made each.
type Tables = Vec<(String, Option<String>)>;

fn tables(sql: &Connection) -> Result<Tables> {
    let mut statement = sql.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")?;
    let tables = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(tables.collect::<std::result::Result<_, _>>()?)
}

/// What the steps make.
fn made_by(steps: &[&str]) -> Result<Tables> {
    let fresh = Connection::open_in_memory()?;
    steps.iter().try_for_each(|step| fresh.execute_batch(step))?;
    tables(&fresh)
}

/// The same of all steps, made once.
fn newest() -> Result<&'static Tables> {
    static NEWEST: OnceLock<Tables> = OnceLock::new();
    match NEWEST.get() {
        Some(tables) => Ok(tables),
        None => made_by(STEPS).map(|tables| NEWEST.get_or_init(|| tables)),
    }
}

/// The tables have to be exactly those that the steps make: an index whose condition was changed
/// by a damaged byte would hide records.
fn compare(sql: &Connection, made: &Tables) -> Result<()> {
    if tables(sql)? == *made {
        return Ok(());
    }
    Err(LedgerError::damaged("the tables are not those of the schema"))
}

/// Takes everything out of the tables.
pub(crate) fn empty(sql: &Connection) -> Result<()> {
    let made = newest()?.iter().filter_map(|(name, sql)| Some((name, sql.as_deref()?)));
    for (name, _) in made.filter(|(_, sql)| sql.starts_with("CREATE TABLE")) {
        sql.prepare_cached(&format!("DELETE FROM {name}"))?.execute([])?;
    }
    Ok(())
}

/// The version that the steps lead to.
pub(crate) fn newest_version() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

fn upgrade(
    sql: &mut Connection,
    what: &str,
    steps: &[&str],
    convert: impl FnOnce(&Connection, i64) -> Result<()>,
) -> Result<()> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let found: i64 = sql.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(LedgerError::Newer { what: what.to_owned(), found, known });
    }
    let Ok(done) = usize::try_from(found) else {
        return Err(LedgerError::damaged(format!("schema version {found}")));
    };
    if done == steps.len() {
        return Ok(());
    }
    let transaction = sql.transaction()?;
    for step in &steps[done..] {
        transaction.execute_batch(step)?;
    }
    if done > 0 {
        // What cannot be read is left as it is, for the version that wrote it.
        convert(&transaction, found).map_err(|error| {
            if let LedgerError::Damaged { what: reason } = error {
                return LedgerError::Older { what: what.to_owned(), found, known, reason };
            }
            error
        })?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.commit()?;
    Ok(())
}

/// A database of an older version, without records.
#[cfg(test)]
pub(crate) fn of_version(version: usize) -> Connection {
    let mut sql = Connection::open_in_memory().unwrap();
    upgrade(&mut sql, "test", &STEPS[..version], |_, _| Ok(())).unwrap();
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLDER: &[&str] = &["CREATE TABLE kept (value INTEGER); INSERT INTO kept VALUES (7);"];
    const NEWER: &[&str] = &[OLDER[0], "ALTER TABLE kept ADD COLUMN more INTEGER DEFAULT 8;"];
    const BROKEN: &[&str] = &[OLDER[0], "ALTER TABLE kept RENAME TO moved; nonsense;"];

    fn unchanged(_: &Connection, _: i64) -> Result<()> {
        Ok(())
    }

    fn version(sql: &Connection) -> i64 {
        sql.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn an_older_schema_is_brought_up_to_date_and_a_newer_one_refused() {
        let mut sql = Connection::open_in_memory().unwrap();
        upgrade(&mut sql, "test", OLDER, unchanged).unwrap();
        assert_eq!(version(&sql), 1);
        upgrade(&mut sql, "test", NEWER, unchanged).unwrap();
        assert_eq!(version(&sql), 2);
        compare(&sql, &made_by(NEWER).unwrap()).unwrap();
        let kept: (i64, i64) = sql
            .query_row("SELECT value, more FROM kept", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(kept, (7, 8));
        let error = upgrade(&mut sql, "test", OLDER, unchanged).unwrap_err();
        assert!(matches!(error, LedgerError::Newer { found: 2, known: 1, .. }), "{error:?}");
    }

    #[test]
    fn an_upgrade_that_fails_leaves_the_older_schema() {
        let mut sql = Connection::open_in_memory().unwrap();
        upgrade(&mut sql, "test", OLDER, unchanged).unwrap();
        upgrade(&mut sql, "test", BROKEN, unchanged).unwrap_err();
        assert_eq!(version(&sql), 1);
        compare(&sql, &made_by(OLDER).unwrap()).unwrap();
    }

    #[test]
    fn records_that_cannot_be_brought_up_to_date_leave_the_older_schema() {
        let mut sql = Connection::open_in_memory().unwrap();
        upgrade(&mut sql, "test", OLDER, unchanged).unwrap();
        let unreadable = |_: &Connection, found: i64| {
            assert_eq!(found, 1);
            Err(LedgerError::damaged("a record"))
        };
        let error = upgrade(&mut sql, "test", NEWER, unreadable).unwrap_err();
        assert!(matches!(error, LedgerError::Older { found: 1, known: 2, .. }), "{error:?}");
        assert_eq!(version(&sql), 1);
        compare(&sql, &made_by(OLDER).unwrap()).unwrap();
    }

    #[test]
    fn a_new_database_has_no_records_to_bring_up_to_date() {
        let mut sql = Connection::open_in_memory().unwrap();
        let asked = |_: &Connection, _: i64| Err(LedgerError::damaged("there is none"));
        upgrade(&mut sql, "test", OLDER, asked).unwrap();
        assert_eq!(version(&sql), 1);
    }

    /// Not every program numbers its databases.
    #[test]
    fn what_another_program_began_is_not_taken_for_new() {
        let prepared = |statement: &str| {
            let mut sql = Connection::open_in_memory().unwrap();
            sql.execute_batch(statement).unwrap();
            prepare(&mut sql, "test", unchanged)
        };
        assert!(prepared("").unwrap());
        let begun =
            ["CREATE TABLE theirs (value)", "PRAGMA user_version = 1", "PRAGMA application_id = 7"];
        for statement in begun {
            let prepared = prepared(statement);
            assert!(matches!(prepared, Err(LedgerError::Foreign { .. })), "{statement}");
        }
    }

    #[test]
    fn tables_of_another_form_are_damage() {
        let mut sql = Connection::open_in_memory().unwrap();
        upgrade(&mut sql, "test", OLDER, unchanged).unwrap();
        sql.execute_batch("CREATE INDEX stray ON kept (value) WHERE value = 3").unwrap();
        assert!(matches!(
            compare(&sql, &made_by(OLDER).unwrap()),
            Err(LedgerError::Damaged { .. })
        ));
    }
}
