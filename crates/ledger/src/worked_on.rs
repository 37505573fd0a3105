//! Where work was settled since a base snapshot of the source was asked for (rule 8.2). A
//! difference from that snapshot tells what is otherwise now, not what was otherwise in between: a
//! file made and removed since, a mode changed and changed back. Whatever of that reached the
//! target was settled since, so the directories in which that happened are kept, for as long as the
//! snapshot is.
//!
//! Kept as settings: `worked_on.SLOT` counts the parts, or is empty; a part has a directory a line.

use std::collections::BTreeMap;

use rusqlite::Connection;
use whimbrel_core::path::RelPath;
use whimbrel_core::planted::{Planted, planted};

use crate::Ledger;
use crate::error::{LedgerError, Result};
use crate::setting;

/// A base, and the next one that is to take its place.
pub const SLOTS: usize = 2;
/// Beyond so many directories a slot means everything.
const DIRECTORIES_MAX: usize = 20_000;
/// Directories of one part: what is written anew with each directory that joins it.
const PART_DIRECTORIES: usize = 64;
/// In place of the number of parts.
const EVERYTHING: &str = "everything";

/// Both slots.
#[derive(Debug, Default)]
pub(crate) struct WorkedOn {
    slots: [Option<Slot>; SLOTS],
    /// Settings that the next transaction writes.
    unwritten: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Slot {
    /// And whether all below them is meant.
    directories: BTreeMap<RelPath, bool>,
    everything: bool,
    parts: usize,
    /// The last part, as it is written, and how many directories it has.
    part: (String, usize),
}

impl Ledger {
    /// Begins to keep the directories in which work is settled from now on, for a base snapshot
    /// that is asked for after this; durable at return. A slot that was kept begins anew.
    ///
    /// # Errors
    /// `Closed`, `Full`, `Denied`, `Damaged`, `Database`.
    pub fn begin_worked_on(&mut self, slot: usize) -> Result<()> {
        self.transaction(|state, sql| {
            state.worked_on.begin(slot);
            state.note_half_done(sql)
        })
    }

    /// Forgets the directories of a slot; durable at return.
    ///
    /// # Errors
    /// As `begin_worked_on`.
    pub fn end_worked_on(&mut self, slot: usize) -> Result<()> {
        self.transaction(|state, _| {
            state.worked_on.end(slot);
            Ok(())
        })
    }

    /// How many directories a slot holds; `None` if too many for it, or if it is not kept.
    pub fn worked_on(&self, slot: usize) -> Option<usize> {
        self.state.worked_on.count(slot)
    }
}

impl WorkedOn {
    pub(crate) fn load(sql: &Connection) -> Result<Self> {
        let mut worked_on = Self::default();
        for (number, slot) in worked_on.slots.iter_mut().enumerate() {
            let head = setting::get(sql, &head(number))?.unwrap_or_default();
            *slot = match head.as_str() {
                "" => None,
                _ if planted(Planted::WorkedOnForgotten) => Some(Slot::default()),
                EVERYTHING => Some(Slot { everything: true, ..Slot::default() }),
                parts => Some(Slot::load(sql, number, parts)?),
            };
        }
        Ok(worked_on)
    }

    /// Something is to be noted.
    pub(crate) fn is_kept(&self) -> bool {
        self.slots.iter().any(Option::is_some)
    }

    /// Begins a slot anew.
    pub(crate) fn begin(&mut self, slot: usize) {
        if let Some(kept) = self.slots.get_mut(slot) {
            *kept = Some(Slot::default());
            self.unwritten.insert(head(slot), "0".to_owned());
        }
    }

    /// Forgets a slot.
    pub(crate) fn end(&mut self, slot: usize) {
        if self.slots.get_mut(slot).and_then(Option::take).is_some() {
            self.unwritten.insert(head(slot), String::new());
        }
    }

    /// Directories of a slot; `None` if it stands for everything, or is not kept.
    pub(crate) fn count(&self, slot: usize) -> Option<usize> {
        let slot = self.slots.get(slot)?.as_ref()?;
        (!slot.everything).then_some(slot.directories.len())
    }

    /// Work was settled in a directory, or on all below it.
    pub(crate) fn note(&mut self, directory: &RelPath, below: bool) {
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if let Some(slot) = slot {
                slot.note(number, directory, below, &mut self.unwritten);
            }
        }
    }

    /// What the slots hold together.
    pub(crate) fn directories(&self) -> Vec<(RelPath, bool)> {
        let mut all = BTreeMap::new();
        for slot in self.slots.iter().flatten() {
            if slot.everything {
                return vec![(RelPath::root(), true)];
            }
            for (directory, below) in &slot.directories {
                *all.entry(directory.clone()).or_default() |= *below;
            }
        }
        all.into_iter().collect()
    }

    /// Settings to be written in the present transaction.
    pub(crate) fn unwritten(&mut self) -> BTreeMap<String, String> {
        std::mem::take(&mut self.unwritten)
    }
}

impl Slot {
    fn load(sql: &Connection, number: usize, parts: &str) -> Result<Self> {
        let damaged = || LedgerError::damaged(format!("the setting {}", head(number)));
        let mut slot = Self { parts: parts.parse().map_err(|_| damaged())?, ..Self::default() };
        for at in 0..slot.parts {
            let text = setting::get(sql, &part(number, at))?.ok_or_else(damaged)?;
            for line in text.lines() {
                let (directory, below) = parse(line).ok_or_else(damaged)?;
                *slot.directories.entry(directory).or_default() |= below;
            }
            slot.part = (text.clone(), text.lines().count());
        }
        Ok(slot)
    }

    fn note(
        &mut self,
        number: usize,
        directory: &RelPath,
        below: bool,
        unwritten: &mut BTreeMap<String, String>,
    ) {
        let has_all = |above: &RelPath| self.directories.get(above) == Some(&true);
        let known = self.directories.get(directory).is_some_and(|known| *known >= below);
        if self.everything || known || directory.ancestors().any(|above| has_all(&above)) {
            return;
        }
        self.directories.insert(directory.clone(), below);
        if self.directories.len() > DIRECTORIES_MAX {
            *self = Self { everything: true, ..Self::default() };
            unwritten.insert(head(number), EVERYTHING.to_owned());
            return;
        }
        if self.parts == 0 || self.part.1 >= PART_DIRECTORIES {
            self.parts += 1;
            self.part = (String::new(), 0);
            unwritten.insert(head(number), self.parts.to_string());
        }
        self.part.0.push_str(&line(directory, below));
        self.part.1 += 1;
        unwritten.insert(part(number, self.parts - 1), self.part.0.clone());
    }
}

fn head(slot: usize) -> String {
    format!("worked_on.{slot}")
}

fn part(slot: usize, at: usize) -> String {
    format!("worked_on.{slot}.{at}")
}

/// Names need not be text.
fn line(directory: &RelPath, below: bool) -> String {
    let mut line = String::from(if below { "+" } else { "-" });
    line.extend(directory.as_bytes().iter().map(|byte| format!("{byte:02x}")));
    line.push('\n');
    line
}

fn parse(line: &str) -> Option<(RelPath, bool)> {
    let (kind, digits) = line.split_at_checked(1)?;
    let below = match kind {
        "+" => true,
        "-" => false,
        _ => return None,
    };
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    Some((RelPath::new(bytes?), below))
}

#[cfg(test)]
mod tests {
    use whimbrel_core::path::Namespace;
    use whimbrel_core::record::Change;

    use super::*;

    fn dropped(number: usize) -> Change {
        Change::DropRow(format!("d{number}/x").as_str().into())
    }

    fn settle(ledger: &mut Ledger, numbers: std::ops::Range<usize>) {
        let changes: Vec<Change> = numbers.map(dropped).collect();
        ledger.apply(&[&changes]).unwrap();
    }

    #[test]
    fn what_was_worked_on_is_kept_over_a_restart() {
        let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
        settle(&mut ledger, 0..3);
        assert_eq!(ledger.worked_on(0), None);
        ledger.begin_worked_on(0).unwrap();
        settle(&mut ledger, 0..200);
        ledger.begin_worked_on(1).unwrap();
        settle(&mut ledger, 150..300);
        let mut ledger = ledger.restart().unwrap();
        assert_eq!((ledger.worked_on(0), ledger.worked_on(1)), (Some(300), Some(150)));
        settle(&mut ledger, 300..301);
        ledger.end_worked_on(0).unwrap();
        ledger.begin_worked_on(0).unwrap();
        settle(&mut ledger, 0..1);
        let ledger = ledger.restart().unwrap();
        assert_eq!((ledger.worked_on(0), ledger.worked_on(1)), (Some(1), Some(152)));
        assert_eq!(ledger.state.worked_on.directories().len(), 152);
        ledger.check().unwrap();
    }

    #[test]
    fn too_many_directories_are_everything() {
        let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
        ledger.begin_worked_on(1).unwrap();
        settle(&mut ledger, 0..DIRECTORIES_MAX + 1);
        let ledger = ledger.restart().unwrap();
        assert_eq!(ledger.worked_on(1), None);
        assert_eq!(ledger.state.worked_on.directories(), [(RelPath::root(), true)]);
    }

    #[test]
    fn names_need_not_be_text() {
        for (path, below) in [(&b""[..], true), (b"a/\xff\n\0", false)] {
            let path = RelPath::new(path.to_vec());
            assert_eq!(parse(line(&path, below).trim_end()), Some((path, below)));
        }
        for damaged in ["", "?61", "+6", "+6g", "+\u{e9}"] {
            assert_eq!(parse(damaged), None, "{damaged:?}");
        }
    }
}
