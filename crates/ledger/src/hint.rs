//! Renames whose old ends may still be of use (rules 6.1 and 6.2): bounded, in memory and in their
//! table.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use whimbrel_core::number::TxId;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Hint;

use crate::codec::{self, Kind};
use crate::error::{LedgerError, Result};
use crate::key::Names;

/// Beyond so many the oldest are dropped, which costs reading again.
pub const HINTS_MAX: usize = 10_000;

/// All hints. No two have the same ends.
#[derive(Debug)]
pub(crate) struct Hints {
    names: Names,
    /// By old and new path: the transaction and the table's number.
    hints: BTreeMap<(RelPath, RelPath), (TxId, i64)>,
    last: i64,
}

impl Hints {
    pub(crate) fn load(sql: &Connection, names: Names) -> Result<Self> {
        let mut hints = BTreeMap::new();
        let mut last = 0;
        let mut statement = sql.prepare_cached("SELECT id, record FROM hint ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let record = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let (id, hint): (i64, Hint) = codec::decode(Kind::Hint, record)?;
            if row.get::<_, i64>(0)? != id {
                return Err(LedgerError::damaged("the number of a hint"));
            }
            last = last.max(id);
            hints.insert((hint.from, hint.to), (hint.txid, id));
        }
        Ok(Self { names, hints, last })
    }

    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.hints.len()).unwrap_or(u64::MAX)
    }

    /// Old path, new path and transaction of each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&RelPath, &RelPath, TxId)> {
        self.hints.iter().map(|((from, to), (txid, _))| (from, to, *txid))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Hint> {
        self.iter().map(|(from, to, txid)| Hint { from: from.clone(), to: to.clone(), txid })
    }

    /// Adds a rename. Older ones that end at or under its old path end at or under its new one
    /// now, as of its transaction: that is since when their contents are pending there. One that
    /// leads back to where it began is of no use.
    pub(crate) fn add(&mut self, sql: &Connection, hint: &Hint) -> Result<()> {
        if hint.from != hint.to {
            let ends_there =
                |from: &RelPath, to: &RelPath| from != to && self.names.contains(&hint.from, to);
            let older: Vec<Hint> = self
                .iter()
                .filter(|(from, to, _)| ends_there(from, to))
                .map(|(from, to, txid)| Hint { from: from.clone(), to: to.clone(), txid })
                .collect();
            for older in older {
                let Some(to) = self.rebase(&hint.from, &older.to, &hint.to) else {
                    continue;
                };
                self.remove(sql, &older.from, &older.to)?;
                if older.from != to {
                    let txid = older.txid.max(hint.txid);
                    self.put(sql, &Hint { from: older.from, to, txid })?;
                }
            }
        }
        self.put(sql, hint)?;
        self.bound(sql)
    }

    fn rebase(&self, from: &RelPath, path: &RelPath, to: &RelPath) -> Option<RelPath> {
        if from == path { Some(to.clone()) } else { from.rebase(path, to) }
    }

    fn put(&mut self, sql: &Connection, hint: &Hint) -> Result<()> {
        let place = (hint.from.clone(), hint.to.clone());
        let known = self.hints.get(&place).map(|(txid, _)| *txid);
        let txid = known.map_or(hint.txid, |known| known.max(hint.txid));
        self.remove(sql, &hint.from, &hint.to)?;
        self.last += 1;
        let record = codec::encode(Kind::Hint, &(self.last, Hint { txid, ..hint.clone() }))?;
        sql.prepare_cached("INSERT INTO hint (id, record) VALUES (?1, ?2)")?
            .execute(params![self.last, record])?;
        self.hints.insert(place, (txid, self.last));
        Ok(())
    }

    /// Drops a hint, unless the same rename happened again after it.
    pub(crate) fn dropped(&mut self, sql: &Connection, hint: &Hint) -> Result<()> {
        match self.hints.get(&(hint.from.clone(), hint.to.clone())) {
            Some((txid, _)) if *txid <= hint.txid => self.remove(sql, &hint.from, &hint.to),
            Some(_) | None => Ok(()),
        }
    }

    fn remove(&mut self, sql: &Connection, from: &RelPath, to: &RelPath) -> Result<()> {
        if let Some((_, id)) = self.hints.remove(&(from.clone(), to.clone())) {
            sql.prepare_cached("DELETE FROM hint WHERE id = ?1")?.execute([id])?;
        }
        Ok(())
    }

    fn bound(&mut self, sql: &Connection) -> Result<()> {
        while self.hints.len() > HINTS_MAX {
            let oldest = self.hints.iter().min_by_key(|(_, (txid, id))| (*txid, *id));
            let Some(((from, to), _)) = oldest else {
                break;
            };
            let (from, to) = (from.clone(), to.clone());
            self.remove(sql, &from, &to)?;
        }
        Ok(())
    }
}
