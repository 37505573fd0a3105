//! Renames whose old ends may still be of use (rules 6.1 and 6.2): bounded, in memory and in their
//! table.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use rusqlite::{Connection, params};
use whimbrel_core::number::TxId;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Hint;

use crate::codec::{self, Kind};
use crate::error::{LedgerError, Result};
use crate::key::{Names, Span};

/// Beyond so many the oldest are dropped, which costs reading again.
pub const HINTS_MAX: usize = 10_000;

/// All hints. No two have the same ends.
#[derive(Debug)]
pub(crate) struct Hints {
    names: Names,
    /// By old and new path.
    hints: BTreeMap<(RelPath, RelPath), Age>,
    /// New and old path of each: every rename asks for those that end where it begins.
    ends: BTreeSet<(RelPath, RelPath)>,
    /// Old and new path of each, the oldest first.
    by_age: BTreeMap<Age, (RelPath, RelPath)>,
    last: i64,
}

/// The transaction of a hint and its number in the table.
type Age = (TxId, i64);

/// Pairs of paths whose first one lies in a span.
type Pairs = (Bound<(RelPath, RelPath)>, Bound<(RelPath, RelPath)>);

impl Hints {
    pub(crate) fn load(sql: &Connection, names: Names) -> Result<Self> {
        let (hints, ends, by_age) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        let mut all = Self { names, hints, ends, by_age, last: 0 };
        let mut statement = sql.prepare_cached("SELECT id, record FROM hint ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let record = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let (id, hint): (i64, Hint) = codec::decode(Kind::Hint, record)?;
            if row.get::<_, i64>(0)? != id {
                return Err(LedgerError::damaged("the number of a hint"));
            }
            all.last = all.last.max(id);
            all.keep(hint, id);
        }
        Ok(all)
    }

    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.hints.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Hint> {
        self.hints.iter().map(|((from, to), (txid, _))| Hint {
            from: from.clone(),
            to: to.clone(),
            txid: *txid,
        })
    }

    /// New path and transaction of those whose old path is `path`, or lies above or below it.
    pub(crate) fn touching(&self, path: &RelPath) -> impl Iterator<Item = (&RelPath, TxId)> {
        let above = self.names.ancestors(path);
        let above = above.into_iter().flat_map(|above| self.hints.range(pairs(&Span::of(&above))));
        let below = self.names.at_or_below(path).into_iter();
        let below = below.flat_map(|span| self.hints.range(pairs(&span)));
        above.chain(below).map(|((_, to), (txid, _))| (to, *txid))
    }

    /// Adds a rename. Older ones that end at or under its old path end at or under its new one
    /// now, as of its transaction: that is since when their contents are pending there. One that
    /// leads back to where it began is of no use.
    pub(crate) fn add(&mut self, sql: &Connection, hint: &Hint) -> Result<()> {
        if hint.from != hint.to {
            let spans = self.names.at_or_below(&hint.from).into_iter();
            let ending = spans.flat_map(|span| self.ends.range(pairs(&span)));
            let older: Vec<_> = ending.filter(|(to, from)| from != to).cloned().collect();
            for (ends, from) in older {
                let Some(to) = self.rebase(&hint.from, &ends, &hint.to) else {
                    continue;
                };
                let Some((txid, _)) = self.remove(sql, &from, &ends)? else {
                    continue;
                };
                if from != to {
                    self.put(sql, &Hint { from, to, txid: txid.max(hint.txid) })?;
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
        let known = self.remove(sql, &hint.from, &hint.to)?;
        let txid = known.map_or(hint.txid, |(known, _)| known.max(hint.txid));
        let hint = Hint { txid, ..hint.clone() };
        self.last += 1;
        let record = codec::encode(Kind::Hint, &(self.last, &hint))?;
        sql.prepare_cached("INSERT INTO hint (id, record) VALUES (?1, ?2)")?
            .execute(params![self.last, record])?;
        self.keep(hint, self.last);
        Ok(())
    }

    fn keep(&mut self, hint: Hint, id: i64) {
        let age = (hint.txid, id);
        self.ends.insert((hint.to.clone(), hint.from.clone()));
        self.by_age.insert(age, (hint.from.clone(), hint.to.clone()));
        self.hints.insert((hint.from, hint.to), age);
    }

    /// Drops a hint, unless the same rename happened again after it.
    pub(crate) fn dropped(&mut self, sql: &Connection, hint: &Hint) -> Result<()> {
        let known = self.hints.get(&(hint.from.clone(), hint.to.clone()));
        if known.is_some_and(|(txid, _)| *txid <= hint.txid) {
            self.remove(sql, &hint.from, &hint.to)?;
        }
        Ok(())
    }

    fn remove(&mut self, sql: &Connection, from: &RelPath, to: &RelPath) -> Result<Option<Age>> {
        let age = self.hints.remove(&(from.clone(), to.clone()));
        if let Some(age) = age {
            self.ends.remove(&(to.clone(), from.clone()));
            self.by_age.remove(&age);
            sql.prepare_cached("DELETE FROM hint WHERE id = ?1")?.execute([age.1])?;
        }
        Ok(age)
    }

    fn bound(&mut self, sql: &Connection) -> Result<()> {
        while self.hints.len() > HINTS_MAX {
            let Some((_, (from, to))) = self.by_age.first_key_value() else {
                break;
            };
            let (from, to) = (from.clone(), to.clone());
            self.remove(sql, &from, &to)?;
        }
        Ok(())
    }
}

/// The pairs whose first path lies in a span.
fn pairs(span: &Span) -> Pairs {
    let at = |path: &[u8]| (RelPath::new(path.to_vec()), RelPath::root());
    let until = span.until.as_deref().map_or(Bound::Unbounded, |until| Bound::Excluded(at(until)));
    (Bound::Included(at(&span.from)), until)
}
