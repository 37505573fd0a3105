//! The rows: what stands on the target, by directory and name. A directory has a number exactly as
//! long as a row stands in it or below it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use whimbrel_core::commit_marker;
use whimbrel_core::identity::Identity;
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::Row;

use crate::codec::{self, Kind};
use crate::error::{LedgerError, Result};
use crate::key::{Key, Names, Span};
use crate::pending::NameRange;
use crate::row;

/// Directories whose numbers are kept in memory.
const DIRECTORIES_MAX: usize = 50_000;
/// Rows read at a time while they are counted.
const COUNTED_PAGE_ROWS: usize = 2_000;

/// Rows at a path and below it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// All that count.
    pub objects: u64,
    /// Those of files that stand nowhere else.
    pub lost: u64,
}

/// Access to the rows.
#[derive(Debug)]
pub(crate) struct Objects {
    names: Names,
    numbers: RefCell<HashMap<RelPath, i64>>,
    /// Rows of whose metadata the ledger alone has the newest.
    ledger_only: Cell<u64>,
    /// A commit marker of a table stands, or did.
    any_table: Cell<bool>,
}

impl Objects {
    pub(crate) fn load(sql: &Connection, names: Names) -> Result<Self> {
        let counted: i64 =
            sql.query_row("SELECT count(*) FROM object WHERE ledger_only = 1", [], |row| {
                row.get(0)
            })?;
        let ledger_only = Cell::new(counted.cast_unsigned());
        let any_table = Cell::new(names.0 == Namespace::Tree && any_table(sql)?);
        Ok(Self { names, numbers: RefCell::default(), ledger_only, any_table })
    }

    /// Whether a commit marker of a table may stand (rule 7.1).
    pub(crate) fn any_table(&self) -> bool {
        self.any_table.get()
    }

    /// How many rows there are of whose metadata the ledger alone has the newest.
    pub(crate) fn ledger_only(&self) -> u64 {
        self.ledger_only.get()
    }

    /// Counts that a row is put (or dropped: `false`) where another may stand.
    fn count_ledger_only(&self, sql: &Connection, key: (i64, &[u8]), put: bool) -> Result<()> {
        let counted = self.ledger_only.get();
        let stood = counted > 0
            && sql
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM object
                         WHERE directory = ?1 AND name = ?2 AND ledger_only = 1)",
                )?
                .query_row(params![key.0, key.1], |row| row.get(0))?;
        self.ledger_only.set(counted + u64::from(put) - u64::from(stood));
        Ok(())
    }

    /// The number of a directory, if a row stands in it or below it.
    pub(crate) fn directory(&self, sql: &Connection, path: &RelPath) -> Result<Option<i64>> {
        if let Some(number) = self.numbers.borrow().get(path) {
            return Ok(Some(*number));
        }
        let found = sql
            .prepare_cached("SELECT id FROM directory WHERE path = ?1")?
            .query_row([path.as_bytes()], |row| row.get(0))
            .optional()?;
        if let Some(number) = found {
            self.remember(path, number);
        }
        Ok(found)
    }

    fn remember(&self, path: &RelPath, number: i64) {
        let mut numbers = self.numbers.borrow_mut();
        if numbers.len() >= DIRECTORIES_MAX {
            numbers.clear();
        }
        numbers.insert(path.clone(), number);
    }

    fn intern(&self, sql: &Connection, path: &RelPath) -> Result<i64> {
        if let Some(number) = self.directory(sql, path)? {
            return Ok(number);
        }
        let parent = match self.names.ancestors(path).into_iter().next() {
            Some(parent) => Some(self.intern(sql, &parent)?),
            None => None,
        };
        sql.prepare_cached("INSERT INTO directory (path, parent) VALUES (?1, ?2)")?
            .execute(params![path.as_bytes(), parent])?;
        let number = sql.last_insert_rowid();
        self.remember(path, number);
        Ok(number)
    }

    /// Puts a row; true if there was none at its path.
    pub(crate) fn put(&self, sql: &Connection, row: &Row) -> Result<bool> {
        let key = self.names.key(&row.path);
        let directory = self.intern(sql, &key.directory)?;
        let record = codec::encode(Kind::Row, row)?;
        let file_key = row.identity.file_key().map(u64::cast_signed);
        let is_marker = commit_marker::is_commit_marker(&row.path);
        if is_marker && self.names.0 == Namespace::Tree && commit_marker::is_of_table(&row.path) {
            self.any_table.set(true);
        }
        let name = key.name.as_ref();
        self.count_ledger_only(sql, (directory, name), row.ledger_only)?;
        let values = params![directory, name, file_key, is_marker, record, row.ledger_only];
        let changed = sql
            .prepare_cached(
                "UPDATE object
                 SET file_key = ?3, commit_marker = ?4, record = ?5, ledger_only = ?6
                 WHERE directory = ?1 AND name = ?2",
            )?
            .execute(values)?;
        if changed > 0 {
            return Ok(false);
        }
        sql.prepare_cached(
            "INSERT INTO object (directory, name, file_key, commit_marker, record, ledger_only)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(values)?;
        Ok(true)
    }

    /// Drops a row; true if there was one.
    pub(crate) fn drop(&self, sql: &Connection, path: &RelPath) -> Result<bool> {
        let key = self.names.key(path);
        let Some(directory) = self.directory(sql, &key.directory)? else {
            return Ok(false);
        };
        self.count_ledger_only(sql, (directory, key.name.as_ref()), false)?;
        let gone = sql
            .prepare_cached("DELETE FROM object WHERE directory = ?1 AND name = ?2")?
            .execute(params![directory, key.name.as_ref()])?;
        if gone == 0 {
            return Ok(false);
        }
        self.prune(sql, &key.directory)?;
        Ok(true)
    }

    /// Takes the numbers of empty directories back, upwards.
    fn prune(&self, sql: &Connection, path: &RelPath) -> Result<()> {
        let upwards = std::iter::once(path.clone()).chain(self.names.ancestors(path));
        for directory in upwards {
            let Some(number) = self.directory(sql, &directory)? else {
                return Ok(());
            };
            let used: bool = sql
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM object WHERE directory = ?1)
                         OR EXISTS (SELECT 1 FROM directory WHERE parent = ?1)",
                )?
                .query_row([number], |row| row.get(0))?;
            if used {
                return Ok(());
            }
            sql.prepare_cached("DELETE FROM directory WHERE id = ?1")?.execute([number])?;
            self.numbers.borrow_mut().remove(&directory);
        }
        Ok(())
    }

    /// The row of a path.
    pub(crate) fn get(&self, sql: &Connection, path: &RelPath) -> Result<Option<Row>> {
        let key = self.names.key(path);
        let Some(directory) = self.directory(sql, &key.directory)? else {
            return Ok(None);
        };
        let record: Option<Vec<u8>> = sql
            .prepare_cached("SELECT record FROM object WHERE directory = ?1 AND name = ?2")?
            .query_row(params![directory, key.name.as_ref()], |row| row.get(0))
            .optional()?;
        record.map(|record| self.decode(&key.directory, &key.name, &record)).transpose()
    }

    fn decode(&self, directory: &RelPath, name: &[u8], record: &[u8]) -> Result<Row> {
        let row = row::decode(record)?;
        let key = self.names.key(&row.path);
        if key.directory == *directory && key.name == name {
            return Ok(row);
        }
        Err(LedgerError::damaged(format!("the row of {} stands elsewhere", row.path)))
    }

    /// True if a row stands strictly below a path, its own marker aside.
    pub(crate) fn any_below(&self, sql: &Connection, path: &RelPath) -> Result<bool> {
        if !path.is_root() && self.names.below(path).is_empty() {
            return Ok(false);
        }
        let Some(directory) = self.directory(sql, path)? else {
            return Ok(false);
        };
        Ok(sql
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM object WHERE directory = ?1 AND name > x'')
                     OR EXISTS (SELECT 1 FROM directory WHERE parent = ?1)",
            )?
            .query_row([directory], |row| row.get(0))?)
    }

    /// True if a row stands at a path or below it.
    pub(crate) fn any_at_or_below(&self, sql: &Connection, path: &RelPath) -> Result<bool> {
        if self.get(sql, path)?.is_some() {
            return Ok(true);
        }
        let has_below = path.is_root() || !self.names.below(path).is_empty();
        Ok(has_below && self.directory(sql, path)?.is_some())
    }

    /// Rule 5.6: rows at a path and below it that count, and how many of them are of files of which
    /// no other row is.
    pub(crate) fn standing(
        &self,
        sql: &Connection,
        path: &RelPath,
        counts: &dyn Fn(&Row) -> bool,
    ) -> Result<Standing> {
        let mut sum = Standing::default();
        if let Some(row) = self.get(sql, path)?.filter(counts) {
            self.add_removal(sql, &row, &mut sum)?;
        }
        if path.is_root() || self.directory(sql, path)?.is_none() {
            return Ok(sum);
        }
        for span in self.names.below(path) {
            let mut after: Option<Key> = None;
            loop {
                let page = self.page(sql, &span, after.as_ref(), None, COUNTED_PAGE_ROWS)?;
                let Some(last) = page.last() else { break };
                after = Some(self.names.key(&last.path));
                for row in page.iter().filter(|row| counts(row)) {
                    self.add_removal(sql, row, &mut sum)?;
                }
            }
        }
        Ok(sum)
    }

    fn add_removal(&self, sql: &Connection, row: &Row, sum: &mut Standing) -> Result<()> {
        sum.objects += 1;
        sum.lost += u64::from(!self.stands_elsewhere(sql, row)?);
        Ok(())
    }

    /// True if another row is of the same file.
    pub(crate) fn stands_elsewhere(&self, sql: &Connection, row: &Row) -> Result<bool> {
        match row.identity.file_key() {
            Some(file_key) => Ok(self.of_file_key(sql, file_key, &row.path)?.is_some()),
            None => Ok(false),
        }
    }

    /// Rows directly in a directory, ascending.
    pub(crate) fn children(
        &self,
        sql: &Connection,
        path: &RelPath,
        range: &NameRange<'_>,
    ) -> Result<Vec<Row>> {
        let Some(directory) = self.directory(sql, path)? else {
            return Ok(Vec::new());
        };
        let after = if range.after.is_some() { ">" } else { ">=" };
        let last = if range.last.is_some() { "AND name <= ?3" } else { "" };
        let mut statement = sql.prepare_cached(&format!(
            "SELECT name, record FROM object
             WHERE directory = ?1 AND name {after} ?2 {last} ORDER BY name"
        ))?;
        let name = range.after.unwrap_or_default();
        let mut found = match range.last {
            Some(last) => statement.query(params![directory, name, last])?,
            None => statement.query(params![directory, name])?,
        };
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            let name = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            let record = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            rows.push(self.decode(path, name, record)?);
        }
        Ok(rows)
    }

    /// Some rows directly in a directory, ascending, after a name.
    pub(crate) fn children_page(
        &self,
        sql: &Connection,
        path: &RelPath,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let Some(directory) = self.directory(sql, path)? else {
            return Ok(rows);
        };
        // One bound that the index takes: else each page begins at the directory's first row.
        let from = if after.is_some() { ">" } else { ">=" };
        let mut statement = sql.prepare_cached(&format!(
            "SELECT name, record FROM object
             WHERE directory = ?1 AND name {from} ?2 ORDER BY name LIMIT ?3"
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut found = statement.query(params![directory, after.unwrap_or_default(), limit])?;
        while let Some(row) = found.next()? {
            let name = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            let record = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            rows.push(self.decode(path, name, record)?);
        }
        Ok(rows)
    }

    /// Path of the last one by name.
    pub(crate) fn last_commit_marker(
        &self,
        sql: &Connection,
        path: &RelPath,
    ) -> Result<Option<RelPath>> {
        let Some(directory) = self.directory(sql, path)? else { return Ok(None) };
        let last: Option<Vec<u8>> = sql
            .prepare_cached(
                "SELECT max(name) FROM object WHERE commit_marker = 1 AND directory = ?1",
            )?
            .query_row([directory], |row| row.get(0))?;
        Ok(last.map(|name| self.names.child(path, &name)))
    }

    /// Names of the directories directly in a directory below which rows stand, ascending.
    pub(crate) fn child_directories(
        &self,
        sql: &Connection,
        path: &RelPath,
        range: &NameRange<'_>,
    ) -> Result<Vec<Bytes>> {
        let Some(directory) = self.directory(sql, path)? else {
            return Ok(Vec::new());
        };
        let low = self.names.child(path, range.after.unwrap_or_default());
        let last = if range.last.is_some() { "AND path <= ?3" } else { "" };
        let mut statement = sql.prepare_cached(&format!(
            "SELECT path FROM directory WHERE parent = ?1 AND path > ?2 {last} ORDER BY path"
        ))?;
        let mut found = match range.last {
            Some(last) => {
                let high = self.names.child(path, last);
                statement.query(params![directory, low.as_bytes(), high.as_bytes()])?
            }
            None => statement.query(params![directory, low.as_bytes()])?,
        };
        let mut names = Vec::new();
        while let Some(row) = found.next()? {
            let child = RelPath::new(row.get::<_, Vec<u8>>(0)?);
            if child.parent().as_ref() != Some(path) {
                return Err(LedgerError::damaged(format!("the parent of directory {child}")));
            }
            names.push(Bytes::copy_from_slice(child.name()));
        }
        Ok(names)
    }

    /// True if a row stands at a path.
    pub(crate) fn has(&self, sql: &Connection, path: &RelPath) -> Result<bool> {
        Ok(self.get(sql, path)?.is_some())
    }

    /// The newest row of a file key that stands at another path.
    pub(crate) fn of_file_key(
        &self,
        sql: &Connection,
        file_key: u64,
        not: &RelPath,
    ) -> Result<Option<Row>> {
        let mut statement = sql.prepare_cached(
            "SELECT d.path, o.name, o.record FROM object o JOIN directory d ON d.id = o.directory
             WHERE o.file_key = ?1",
        )?;
        let mut found = statement.query([file_key.cast_signed()])?;
        let mut newest: Option<Row> = None;
        while let Some(row) = found.next()? {
            let directory = RelPath::new(row.get::<_, Vec<u8>>(0)?);
            let name = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let record = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            let candidate = self.decode(&directory, name, record)?;
            if candidate.identity.file_key() != Some(file_key) {
                return Err(LedgerError::damaged(format!("the file key of {}", candidate.path)));
            }
            let age = |row: &Row| (row.epoch, row.as_of, row.attempt, row.path.clone());
            if candidate.path != *not
                && newest.as_ref().is_none_or(|newest| age(newest) < age(&candidate))
            {
                newest = Some(candidate);
            }
        }
        Ok(newest)
    }

    /// Rows of directories in a span, in the order of directory and name, after a key. Only commit
    /// markers, only others, or (`None`) both.
    pub(crate) fn page(
        &self,
        sql: &Connection,
        span: &Span,
        after: Option<&Key>,
        commit_markers: Option<bool>,
        limit: usize,
    ) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut from = span.from.clone();
        let condition = match commit_markers {
            None => "1",
            Some(true) => "o.commit_marker = 1",
            Some(false) => "o.commit_marker = 0",
        };
        if let Some(after) = after {
            let mut next = after.directory.as_bytes().to_vec();
            next.push(0);
            if after.directory.as_bytes() >= span.from.as_slice() {
                self.rest(sql, after, condition, limit, &mut rows)?;
                from = next;
            }
        }
        let until = if span.until.is_some() { "AND d.path < ?3" } else { "" };
        let mut statement = sql.prepare_cached(&format!(
            "SELECT d.path, o.name, o.record FROM directory d CROSS JOIN object o
             WHERE o.directory = d.id AND d.path >= ?2 {until} AND {condition}
             ORDER BY d.path, o.name LIMIT ?1"
        ))?;
        let left = i64::try_from(limit.saturating_sub(rows.len())).unwrap_or(i64::MAX);
        let mut found = match &span.until {
            Some(until) => statement.query(params![left, from, until])?,
            None => statement.query(params![left, from])?,
        };
        while let Some(row) = found.next()? {
            let directory = RelPath::new(row.get::<_, Vec<u8>>(0)?);
            let name = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let record = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            rows.push(self.decode(&directory, name, record)?);
        }
        Ok(rows)
    }

    /// The rest of the directory that a page broke off in.
    fn rest(
        &self,
        sql: &Connection,
        after: &Key,
        condition: &str,
        limit: usize,
        rows: &mut Vec<Row>,
    ) -> Result<()> {
        let Some(directory) = self.directory(sql, &after.directory)? else {
            return Ok(());
        };
        let mut statement = sql.prepare_cached(&format!(
            "SELECT o.name, o.record FROM object o
             WHERE o.directory = ?1 AND o.name > ?2 AND {condition} ORDER BY o.name LIMIT ?3"
        ))?;
        let left = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut found = statement.query(params![directory, after.name.as_ref(), left])?;
        while let Some(row) = found.next()? {
            let name = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            let record = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            rows.push(self.decode(&after.directory, name, record)?);
        }
        Ok(())
    }

    /// The nearest of a path and its ancestors at which a file of ours stands. `known` keeps the
    /// answers for directories.
    pub(crate) fn file_at_or_above(
        &self,
        sql: &Connection,
        path: &RelPath,
        known: &mut HashMap<RelPath, Option<RelPath>>,
    ) -> Result<Option<RelPath>> {
        let mut asked = Vec::new();
        let mut answer = None;
        for directory in std::iter::once(path.clone()).chain(self.names.ancestors(path)) {
            if let Some(known) = known.get(&directory) {
                answer = known.clone();
                break;
            }
            asked.push(directory.clone());
            let row = self.get(sql, &directory)?;
            if row.is_some_and(|row| row.identity != Identity::Marker) {
                answer = Some(directory);
                break;
            }
        }
        for directory in asked {
            known.insert(directory, answer.clone());
        }
        Ok(answer)
    }
}

/// Reads where commit markers stand until one of a table is met.
fn any_table(sql: &Connection) -> Result<bool> {
    let mut statement = sql.prepare_cached(
        "SELECT path FROM directory
         WHERE id IN (SELECT DISTINCT directory FROM object WHERE commit_marker = 1)",
    )?;
    let mut directories = statement.query([])?;
    while let Some(row) = directories.next()? {
        let directory = RelPath::new(row.get::<_, Vec<u8>>(0)?);
        if commit_marker::TABLE_FOLDERS.contains(&directory.name()) {
            return Ok(true);
        }
    }
    Ok(false)
}
