//! Writes whose end is not known (rule 4.1): few enough to be in memory as well as in their table.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};
use whimbrel_core::number::{AttemptNumber, Time};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Attempt, Part, Upload};

use crate::codec::{self, Kind};
use crate::error::{LedgerError, Result};
use crate::key::{Key, Names};
use crate::number::integer;
use crate::pending::NameRange;

/// All attempts without a known end. The parts of an upload have a table of their own, so that
/// each is written once.
#[derive(Debug)]
pub(crate) struct Attempts {
    names: Names,
    attempts: BTreeMap<AttemptNumber, Attempt>,
    places: BTreeSet<(Key, AttemptNumber)>,
}

impl Attempts {
    pub(crate) fn load(sql: &Connection, names: Names) -> Result<Self> {
        let mut loaded = Self { names, attempts: BTreeMap::new(), places: BTreeSet::new() };
        let mut statement = sql.prepare_cached("SELECT number, record FROM attempt")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let record = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let attempt: Attempt = codec::decode(Kind::Attempt, record)?;
            if row.get::<_, i64>(0)? != integer(attempt.number.0) {
                return Err(LedgerError::damaged(format!(
                    "the number of attempt {}",
                    attempt.number
                )));
            }
            loaded.place(attempt);
        }
        let mut statement = sql
            .prepare_cached("SELECT attempt, number, record FROM part ORDER BY attempt, number")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let record = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            let (number, part): (AttemptNumber, Part) = codec::decode(Kind::Part, record)?;
            let columns = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
            let upload = loaded.attempts.get_mut(&number).and_then(|a| a.upload.as_mut());
            match upload {
                Some(upload) if columns == (integer(number.0), i64::from(part.number)) => {
                    upload.parts.push(part);
                }
                _ => return Err(LedgerError::damaged(format!("a part of attempt {number}"))),
            }
        }
        Ok(loaded)
    }

    fn place(&mut self, attempt: Attempt) {
        self.places.insert((self.names.key(&attempt.path), attempt.number));
        self.attempts.insert(attempt.number, attempt);
    }

    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.attempts.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.values()
    }

    /// Attempts on exactly this path, ascending.
    pub(crate) fn on(&self, path: &RelPath) -> impl Iterator<Item = &Attempt> {
        let key = self.names.key(path);
        let from = (key.clone(), AttemptNumber(0));
        let found = self.places.range(from..).take_while(move |(place, _)| *place == key);
        found.filter_map(|(_, number)| self.attempts.get(number))
    }

    /// Attempts on direct children of a directory, ascending by name.
    pub(crate) fn children(&self, directory: &RelPath, range: &NameRange<'_>) -> Vec<Attempt> {
        let name = bytes::Bytes::copy_from_slice(range.after.unwrap_or_default());
        let from = (Key { directory: directory.clone(), name }, AttemptNumber(0));
        self.places
            .range(from..)
            .take_while(|(key, _)| {
                key.directory == *directory
                    && range.last.is_none_or(|last| key.name.as_ref() <= last)
            })
            .filter(|(key, _)| range.contains(&key.name))
            .filter_map(|(_, number)| self.attempts.get(number).cloned())
            .collect()
    }

    pub(crate) fn open(&mut self, sql: &Connection, attempt: &Attempt) -> Result<()> {
        self.close(sql, attempt.number)?;
        self.place(attempt.clone());
        self.write(sql, attempt.number)?;
        let parts = attempt.upload.as_ref().map(|upload| upload.parts.as_slice());
        for part in parts.unwrap_or_default() {
            write_part(sql, attempt.number, part)?;
        }
        Ok(())
    }

    pub(crate) fn upload_opened(
        &mut self,
        sql: &Connection,
        number: AttemptNumber,
        upload: &Upload,
    ) -> Result<()> {
        let Some(attempt) = self.attempts.get_mut(&number) else {
            return Ok(());
        };
        attempt.upload = Some(upload.clone());
        sql.prepare_cached("DELETE FROM part WHERE attempt = ?1")?.execute([integer(number.0)])?;
        for part in &upload.parts {
            write_part(sql, number, part)?;
        }
        self.write(sql, number)
    }

    pub(crate) fn part_done(
        &mut self,
        sql: &Connection,
        number: AttemptNumber,
        part: &Part,
    ) -> Result<()> {
        let upload = self.attempts.get_mut(&number).and_then(|attempt| attempt.upload.as_mut());
        let Some(upload) = upload else {
            return Ok(());
        };
        match upload.parts.binary_search_by_key(&part.number, |part| part.number) {
            Ok(index) => upload.parts[index] = part.clone(),
            Err(index) => upload.parts.insert(index, part.clone()),
        }
        write_part(sql, number, part)
    }

    pub(crate) fn doubtful(
        &mut self,
        sql: &Connection,
        number: AttemptNumber,
        until: Time,
    ) -> Result<()> {
        let Some(attempt) = self.attempts.get_mut(&number) else {
            return Ok(());
        };
        attempt.doubtful_until = Some(until);
        self.write(sql, number)
    }

    pub(crate) fn close(&mut self, sql: &Connection, number: AttemptNumber) -> Result<()> {
        let Some(attempt) = self.attempts.remove(&number) else {
            return Ok(());
        };
        self.places.remove(&(self.names.key(&attempt.path), number));
        let column = integer(number.0);
        sql.prepare_cached("DELETE FROM attempt WHERE number = ?1")?.execute([column])?;
        if attempt.upload.is_some() {
            sql.prepare_cached("DELETE FROM part WHERE attempt = ?1")?.execute([column])?;
        }
        Ok(())
    }

    /// Writes an attempt without its parts.
    fn write(&self, sql: &Connection, number: AttemptNumber) -> Result<()> {
        let Some(attempt) = self.attempts.get(&number) else {
            return Ok(());
        };
        let mut attempt = attempt.clone();
        if let Some(upload) = &mut attempt.upload {
            upload.parts.clear();
        }
        sql.prepare_cached("INSERT OR REPLACE INTO attempt (number, record) VALUES (?1, ?2)")?
            .execute(params![integer(number.0), codec::encode(Kind::Attempt, &attempt)?])?;
        Ok(())
    }
}

fn write_part(sql: &Connection, number: AttemptNumber, part: &Part) -> Result<()> {
    sql.prepare_cached(
        "INSERT OR REPLACE INTO part (attempt, number, record) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![
        integer(number.0),
        part.number,
        codec::encode(Kind::Part, &(number, part))?
    ])?;
    Ok(())
}
