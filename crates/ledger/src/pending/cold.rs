//! The part of what is pending that stands in a table.

use std::cell::Cell;
use std::collections::BTreeSet;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Rows, params, params_from_iter};
use whimbrel_core::commit_marker;
use whimbrel_core::number::{Mark, Time, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Lane, Parked, PendingSummary, Reach};

use super::{Entry, NEXT_START, NameRange, Order, checked, count};
use crate::error::{LedgerError, Result};
use crate::key::{Key, Span};
use crate::number::integer;

#[derive(Debug)]
pub(super) struct Cold {
    entries: u64,
    coarse: u64,
    /// What `least` last found, until the table changes.
    least: Cell<Option<(Time, Least)>>,
}

/// The smallest of what is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Least {
    pub first_txid: Option<TxId>,
    pub first_seen: Option<Time>,
    pub next_due: Option<Time>,
    pub delayed_next: Option<Time>,
}

fn lane_number(lane: Lane) -> i64 {
    match lane {
        Lane::Live => 0,
        Lane::Backlog => 1,
        Lane::Metadata => 2,
    }
}

fn reach_number(reach: Reach) -> i64 {
    match reach {
        Reach::Path => 0,
        Reach::Directory => 1,
        Reach::Subtree => 2,
    }
}

fn parked_number(parked: Option<Parked>) -> i64 {
    match parked {
        None => 0,
        Some(Parked::Open) => 1,
        Some(Parked::Failed) => 2,
        Some(Parked::Guard) => 3,
        Some(Parked::Removal) => 4,
        Some(Parked::Foreign) => 5,
        Some(Parked::Delayed) => DELAYED,
    }
}

/// Statements have it as it is: indexes go by it.
const DELAYED: i64 = 6;
/// What is parked, but for what waits for its time.
const PARKED: &str = "parked > 0 AND parked <> 6";

/// The columns that every reading statement begins with.
const COLUMNS: &str = "directory, name, reach, lane, first_txid, first_seen, mark, not_before, \
                       waiting, parked, record";

/// The entry of a row that has `COLUMNS`; each column has to be what the record says.
fn read(row: &Row<'_>) -> Result<(Key, Entry)> {
    let key = Key {
        directory: RelPath::new(row.get::<_, Vec<u8>>(0)?),
        name: Bytes::from(row.get::<_, Vec<u8>>(1)?),
    };
    let record = row.get_ref(10)?.as_blob().map_err(rusqlite::Error::from)?;
    let entry = Entry::decoded(record)?;
    let pending = &entry.pending;
    let bytes = pending.path.as_bytes();
    let (head, tail) = (key.directory.as_bytes(), key.name.as_ref());
    let joined = if head.is_empty() {
        bytes == tail
    } else {
        bytes.len() == head.len() + 1 + tail.len()
            && bytes.starts_with(head)
            && bytes.ends_with(tail)
    };
    let columns = [
        reach_number(pending.reach),
        lane_number(pending.lane),
        integer(pending.first_txid.0),
        integer(pending.first_seen.0),
        integer(pending.mark.0),
        integer(pending.not_before.0),
        i64::from(pending.waiting),
        parked_number(pending.parked),
    ];
    for (index, expected) in columns.into_iter().enumerate() {
        if row.get::<_, i64>(index + 2)? != expected {
            return Err(LedgerError::damaged(format!("the pending entry of {}", pending.path)));
        }
    }
    if !joined {
        return Err(LedgerError::damaged("a pending entry stands under the key of another"));
    }
    Ok((key, entry))
}

impl Cold {
    pub(super) fn load(sql: &Connection) -> Result<Self> {
        let (entries, coarse) = sql.query_row(
            "SELECT count(*), coalesce(sum(reach > 0), 0) FROM pending",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )?;
        Ok(Self {
            entries: entries.unsigned_abs(),
            coarse: coarse.unsigned_abs(),
            least: Cell::new(None),
        })
    }

    pub(super) fn stored(&self) -> u64 {
        self.entries
    }

    /// Adds every entry to the counts, reading each.
    pub(super) fn count(&self, sql: &Connection, counts: &mut PendingSummary) -> Result<()> {
        let mut statement = sql.prepare_cached(&format!("SELECT {COLUMNS} FROM pending"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            count(counts, &read(row)?.1.pending);
        }
        Ok(())
    }

    pub(super) fn any_coarse(&self) -> bool {
        self.coarse > 0
    }

    pub(super) fn get(&self, sql: &Connection, key: &Key) -> Result<Option<Entry>> {
        if self.entries == 0 {
            return Ok(None);
        }
        let mut statement = sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM pending WHERE directory = ?1 AND name = ?2"
        ))?;
        let mut rows = statement.query(params![key.directory.as_bytes(), key.name.as_ref()])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let (found, entry) = read(row)?;
        checked(found, key)?;
        Ok(Some(entry))
    }

    pub(super) fn remove(&mut self, sql: &Connection, key: &Key) -> Result<Option<Entry>> {
        let Some(entry) = self.get(sql, key)? else {
            return Ok(None);
        };
        sql.prepare_cached("DELETE FROM pending WHERE directory = ?1 AND name = ?2")?
            .execute(params![key.directory.as_bytes(), key.name.as_ref()])?;
        self.least.set(None);
        self.entries -= 1;
        self.coarse -= u64::from(entry.pending.reach > Reach::Path);
        Ok(Some(entry))
    }

    pub(super) fn insert(&mut self, sql: &Connection, key: &Key, entry: &Entry) -> Result<()> {
        let pending = &entry.pending;
        sql.prepare_cached(
            "INSERT INTO pending (directory, name, reach, lane, first_txid, first_seen, mark,
                 not_before, waiting, parked, commit_marker, record)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            key.directory.as_bytes(),
            key.name.as_ref(),
            reach_number(pending.reach),
            lane_number(pending.lane),
            integer(pending.first_txid.0),
            integer(pending.first_seen.0),
            integer(pending.mark.0),
            integer(pending.not_before.0),
            pending.waiting,
            parked_number(pending.parked),
            commit_marker::is_commit_marker(&pending.path),
            entry.encoded()?,
        ])?;
        self.least.set(None);
        self.entries += 1;
        self.coarse += u64::from(pending.reach > Reach::Path);
        Ok(())
    }

    /// Free entries of a lane that are due by `now`: the first in this order, and others with them.
    pub(super) fn due_ones(
        &self,
        sql: &Connection,
        (lane, order): (Lane, Order),
        limit: usize,
        now: Time,
        claimed: &BTreeSet<Key>,
    ) -> Result<Vec<((Mark, Key), Entry)>> {
        let mut found: Vec<((Mark, Key), Entry)> = Vec::new();
        if self.entries == 0 || limit == 0 {
            return Ok(found);
        }
        let (waiting, order) = match order {
            Order::OldestFirst => (&["0, 1"][..], "mark"),
            Order::NewestFirst => (&["0, 1"][..], "mark DESC"),
            Order::WaitingLast => (&["0", "1"][..], "mark"),
        };
        for waiting in waiting {
            if found.len() >= limit {
                break;
            }
            let mut candidates = sql.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM pending WHERE parked IN (0, 2) AND lane = ?1
                 AND not_before <= ?2 AND waiting IN ({waiting}) ORDER BY {order}"
            ))?;
            let rows = candidates.query(params![lane_number(lane), integer(now.0)])?;
            found.extend(first_of(rows, limit, claimed)?);
        }
        Ok(found)
    }

    pub(super) fn until_next_start(&self, sql: &Connection) -> Result<Vec<Key>> {
        self.keys(
            sql,
            "SELECT directory, name FROM pending
             WHERE not_before = ?1 AND not_before > 0 AND parked <> 6",
            &[&integer(NEXT_START.0)],
        )
    }

    fn keys(
        &self,
        sql: &Connection,
        statement: &str,
        parameters: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Key>> {
        if self.entries == 0 {
            return Ok(Vec::new());
        }
        let mut statement = sql.prepare_cached(statement)?;
        let keys = statement.query_map(parameters, |row| {
            Ok(Key {
                directory: RelPath::new(row.get::<_, Vec<u8>>(0)?),
                name: Bytes::from(row.get::<_, Vec<u8>>(1)?),
            })
        })?;
        Ok(keys.collect::<std::result::Result<_, _>>()?)
    }

    pub(super) fn visit(
        &self,
        sql: &Connection,
        span: &Span,
        visit: &mut dyn FnMut(&Key, &Entry) -> Result<bool>,
    ) -> Result<bool> {
        if self.entries == 0 {
            return Ok(true);
        }
        let bound = if span.until.is_some() { "AND directory < ?2" } else { "" };
        let mut statement = sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM pending
             WHERE directory >= ?1 {bound} AND parked <> 6 ORDER BY directory, name"
        ))?;
        let parameters = std::iter::once(&span.from).chain(&span.until);
        let mut rows = statement.query(params_from_iter(parameters))?;
        while let Some(row) = rows.next()? {
            let (key, entry) = read(row)?;
            if !visit(&key, &entry)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn children(
        &self,
        sql: &Connection,
        directory: &RelPath,
        range: &NameRange<'_>,
    ) -> Result<Vec<Key>> {
        let after = if range.after.is_some() { ">" } else { ">=" };
        let last = if range.last.is_some() { "AND name <= ?3" } else { "" };
        let statement = format!(
            "SELECT directory, name FROM pending
             WHERE directory = ?1 AND name {after} ?2 {last} ORDER BY name"
        );
        let name = range.after.unwrap_or_default();
        match range.last {
            Some(last) => self.keys(sql, &statement, &[&directory.as_bytes(), &name, &last]),
            None => self.keys(sql, &statement, &[&directory.as_bytes(), &name]),
        }
    }

    pub(super) fn commit_markers(
        &self,
        sql: &Connection,
        directory: &RelPath,
        limit: usize,
    ) -> Result<Vec<Key>> {
        if self.entries == 0 {
            return Ok(Vec::new());
        }
        self.keys(
            sql,
            "SELECT directory, name FROM pending WHERE commit_marker = 1 AND directory = ?1
             ORDER BY name LIMIT ?2",
            &[&directory.as_bytes(), &i64::try_from(limit).unwrap_or(i64::MAX)],
        )
    }

    pub(super) fn parked(
        &self,
        sql: &Connection,
        after: Option<&Key>,
        limit: usize,
        delayed: bool,
    ) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        let which = if delayed { "parked = 6" } else { PARKED };
        let after_clause = if after.is_some() { "AND (directory, name) > (?2, ?3)" } else { "" };
        let mut statement = sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM pending WHERE {which} {after_clause}
             ORDER BY directory, name LIMIT ?1"
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = match after {
            Some(key) => {
                statement.query(params![limit, key.directory.as_bytes(), key.name.as_ref()])?
            }
            None => statement.query([limit])?,
        };
        while let Some(row) = rows.next()? {
            found.push(read(row)?.1);
        }
        Ok(found)
    }

    pub(super) fn visit_leaving(
        &self,
        sql: &Connection,
        let_go: bool,
        visit: &mut dyn FnMut(&Entry) -> Result<()>,
    ) -> Result<()> {
        if self.entries == 0 {
            return Ok(());
        }
        let held = format!("{PARKED} AND parked = 4");
        let condition = if let_go { "parked IN (0, 4)" } else { &held };
        let mut statement =
            sql.prepare_cached(&format!("SELECT {COLUMNS} FROM pending WHERE {condition}"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (_, entry) = read(row)?;
            if entry.leaves() {
                visit(&entry)?;
            }
        }
        Ok(())
    }

    pub(super) fn parked_for(&self, sql: &Connection, reason: Parked) -> Result<Vec<Key>> {
        let set = if reason == Parked::Delayed { "parked = 6" } else { PARKED };
        self.keys(
            sql,
            &format!("SELECT directory, name FROM pending WHERE {set} AND parked = ?1"),
            &[&parked_number(Some(reason))],
        )
    }

    /// Keys of entries parked as delayed that are due by a time, the longest due first.
    pub(super) fn delayed_by(
        &self,
        sql: &Connection,
        due_by: Time,
        limit: usize,
    ) -> Result<Vec<Key>> {
        self.keys(
            sql,
            "SELECT directory, name FROM pending WHERE parked = 6 AND not_before <= ?1
             ORDER BY not_before LIMIT ?2",
            &[&integer(due_by.0), &i64::try_from(limit).unwrap_or(i64::MAX)],
        )
    }

    pub(super) fn active_since(&self, sql: &Connection, txid: TxId, except: &Key) -> Result<bool> {
        if self.entries == 0 {
            return Ok(false);
        }
        let mut statement = sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM pending
             WHERE parked = 0 AND waiting = 0 AND first_txid <= ?1 AND commit_marker = 0 LIMIT 2"
        ))?;
        let mut rows = statement.query([integer(txid.0)])?;
        while let Some(row) = rows.next()? {
            if read(row)?.0 != *except {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The smallest first transaction and time of those that are not parked, and the next time
    /// after `now` for which one waits.
    pub(super) fn least(&self, sql: &Connection, now: Time) -> Result<Least> {
        if self.entries == 0 {
            return Ok(Least::default());
        }
        if let Some((then, least)) = self.least.get()
            && then == now
        {
            return Ok(least);
        }
        let mut least = Least::default();
        for waiting in [0, 1] {
            let found = self.first(
                sql,
                "parked = 0 AND waiting = ?1 ORDER BY first_txid LIMIT 1",
                waiting,
            )?;
            let txid = found.map(|entry| entry.pending.first_txid);
            least.first_txid = least.first_txid.into_iter().chain(txid).min();
        }
        let found = self.first(sql, "parked = ?1 AND parked = 0 ORDER BY first_seen LIMIT 1", 0)?;
        least.first_seen = found.map(|entry| entry.pending.first_seen);
        let condition = "not_before > 0 AND parked <> 6 AND not_before > ?1
                         ORDER BY not_before LIMIT 1";
        let found = self.first(sql, condition, integer(now.0))?;
        least.next_due =
            found.map(|entry| entry.pending.not_before).filter(|time| *time != NEXT_START);
        let condition = "parked = ?1 AND parked = 6 ORDER BY not_before LIMIT 1";
        let found = self.first(sql, condition, DELAYED)?;
        least.delayed_next = found.map(|entry| entry.pending.not_before);
        self.least.set(Some((now, least)));
        Ok(least)
    }

    fn first(&self, sql: &Connection, condition: &str, value: i64) -> Result<Option<Entry>> {
        let mut statement =
            sql.prepare_cached(&format!("SELECT {COLUMNS} FROM pending WHERE {condition}"))?;
        let found = statement.query_row([value], |row| Ok(read(row))).optional()?;
        found.transpose().map(|found| found.map(|(_, entry)| entry))
    }
}

/// The first of these that nobody holds; all of an equal mark, for the caller puts these in the
/// order of their keys.
fn first_of(
    mut rows: Rows<'_>,
    limit: usize,
    claimed: &BTreeSet<Key>,
) -> Result<Vec<((Mark, Key), Entry)>> {
    let mut found: Vec<((Mark, Key), Entry)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (key, entry) = read(row)?;
        let mark = entry.pending.mark;
        if found.len() >= limit && found.last().is_some_and(|((last, _), _)| *last != mark) {
            break;
        }
        if !claimed.contains(&key) {
            found.push(((mark, key), entry));
        }
    }
    Ok(found)
}
