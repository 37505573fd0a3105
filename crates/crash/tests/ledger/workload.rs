//! What a migration does to its ledger, by chance, and what has to be known after it.

use std::path::Path;
use std::sync::Arc;

use whimbrel_core::number::{AttemptNumber, Mark, Time, TxId};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{Change, Counters, Lane, Parked, Part, Reach, Row, Upload};
use whimbrel_crash::{Call, Disk, Draw, Image, Remains, vfs};
use whimbrel_ledger::{Ledger, LedgerError, Options};

use crate::support::model::Model;
use crate::support::{advance, attempt, coarsen, defer, directory, found, hint, mark, park, row};

const DIRECTORIES: &[&str] = &["", "a", "a/b", "a/b/c", "d", "d/e", "logs/2026", "tables/orders"];
const NAMES: usize = 40;
const SETTING: &str = "source";

/// One thing done to a ledger.
#[derive(Clone, Debug)]
pub enum Act {
    Open,
    Apply(Vec<Vec<Change>>),
    Take(Lane, usize, Time),
    Set(String),
    Close { clean: bool },
}

/// What a ledger has to know.
#[derive(Clone, Debug, Default)]
pub struct Known {
    model: Model,
    setting: Option<String>,
}

impl Known {
    pub fn after(&self, act: &Act) -> Self {
        let mut next = self.clone();
        match act {
            Act::Open => next.model.restart(),
            Act::Apply(batches) => {
                batches.iter().flatten().for_each(|change| next.model.apply(change));
            }
            Act::Take(lane, limit, now) => drop(next.model.take(*lane, *limit, *now)),
            Act::Set(text) => next.setting = Some(text.clone()),
            Act::Close { .. } => {}
        }
        next
    }

    /// The first thing that a ledger has otherwise.
    pub fn difference(&self, ledger: &Ledger) -> Result<Option<String>, LedgerError> {
        let model = &self.model;
        let (summary, meta) = (ledger.summary()?, ledger.meta()?);
        if summary != model.summary() {
            return Ok(Some(format!("{summary:?}, not {:?}", model.summary())));
        }
        if meta != model.meta {
            return Ok(Some(format!("{meta:?}, not {:?}", model.meta)));
        }
        for (path, entry) in &model.entries {
            let stored = ledger.pending_entry(path)?;
            if stored.as_ref() != Some(&entry.pending) {
                return Ok(Some(format!("{stored:?}, not {:?}", entry.pending)));
            }
        }
        let parked = ledger.parked(None, usize::MAX >> 1)?;
        let message = |path| model.entries.get(path).and_then(|entry| entry.message.as_ref());
        if let Some(other) = parked.iter().find(|told| message(&told.0.path) != Some(&told.1)) {
            return Ok(Some(format!("{other:?}")));
        }
        let mut rows: Vec<_> = model.rows.values().cloned().collect();
        rows.sort_by_key(|row| row.path.split());
        let mut directories: Vec<_> = model.directories.values().cloned().collect();
        directories.sort_by_key(|record| record.path.split());
        let other = [
            (ledger.rows_after(None, usize::MAX >> 1)? != rows, "rows"),
            (ledger.directories_after(None, usize::MAX >> 1)? != directories, "directories"),
            (!ledger.attempts()?.iter().eq(model.attempts.values()), "attempts"),
            (!ledger.hints()?.iter().eq(model.hints.iter()), "hints"),
            (ledger.setting(SETTING)? != self.setting, "settings"),
            (!self.same_of_paths(ledger)?, "rows or found objects, each asked for"),
        ];
        Ok(other.iter().find(|(differs, _)| *differs).map(|(_, what)| (*what).to_owned()))
    }

    /// By the path, and rows by their file key.
    fn same_of_paths(&self, ledger: &Ledger) -> Result<bool, LedgerError> {
        for (path, row) in &self.model.rows {
            let key = row.identity.file_key();
            let elsewhere = key.map(|key| ledger.row_of_file_key(key, &"none".into()));
            let told = elsewhere.transpose()?.flatten().and_then(|row| row.identity.file_key());
            if ledger.row(path)?.as_ref() != Some(row) || told != key {
                return Ok(false);
            }
        }
        for (path, found) in &self.model.found {
            if ledger.story(path)?.found.as_ref() != Some(found) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn options(vfs: Option<String>) -> Options {
    Options { namespace: Some(Namespace::Tree), vfs, hot_entries_max: 12 }
}

/// Opens the ledger in a folder where a disk is mounted.
pub fn open(folder: &Path) -> Result<Ledger, LedgerError> {
    Ledger::open(folder, options(Some(vfs::NAME.to_owned())))
}

/// The same with the system's files, which are written to a folder.
pub fn open_files(image: &Image, folder: &Path) -> Result<Ledger, LedgerError> {
    for (name, bytes) in image {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    Ledger::open(folder, options(None))
}

/// Does it, to a ledger that is open if it has to be.
pub fn perform(act: &Act, folder: &Path, slot: &mut Option<Ledger>) -> Result<(), LedgerError> {
    match act {
        Act::Open => *slot = Some(open(folder)?),
        Act::Close { clean } => {
            let ledger = slot.take().unwrap();
            if *clean {
                ledger.close()?;
            }
        }
        Act::Apply(batches) => {
            let batches: Vec<&[Change]> = batches.iter().map(Vec::as_slice).collect();
            slot.as_mut().unwrap().apply(&batches)?;
        }
        Act::Take(lane, limit, now) => {
            slot.as_mut().unwrap().take(*lane, *limit, *now)?;
        }
        Act::Set(text) => slot.as_mut().unwrap().set_setting(SETTING, text)?,
    }
    Ok(())
}

/// One thing that was done.
#[derive(Clone, Debug)]
pub struct Step {
    pub act: Act,
    /// What is known after it.
    pub known: Known,
    /// The length of the log after it: what the ledger said is durable then.
    pub end: usize,
}

/// What came of doing many things to a ledger.
#[derive(Debug)]
pub struct Recording {
    pub base: Image,
    pub before: Known,
    pub log: Vec<Call>,
    pub steps: Vec<Step>,
}

impl Recording {
    /// What a process that is killed after a step leaves.
    pub fn left(&self, step: usize) -> Image {
        let mut remains = Remains::new(&self.base);
        let mut draw = Draw::new(0);
        self.log[..self.steps[step].end].iter().for_each(|call| remains.add(call, &mut draw));
        remains.whole()
    }
}

/// So many things, drawn from a seed. The first one opens a new ledger.
pub fn record(seed: u64, acts: usize) -> Recording {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::default());
    let _mount = vfs::Mount::new(folder.path(), disk.clone());
    let mut chance = Chance { draw: Draw::new(seed), mark: 1, attempt: 1, txid: 1, now: 1 };
    let mut ledger = None;
    let mut steps: Vec<Step> = Vec::new();
    let mut known = Known::default();
    for _ in 0..acts {
        let act = if ledger.is_none() { Act::Open } else { chance.act(&known.model) };
        perform(&act, folder.path(), &mut ledger).unwrap();
        known = known.after(&act);
        if let Some(ledger) = &ledger {
            let other = known.difference(ledger).unwrap();
            assert!(other.is_none(), "seed {seed}: {act:?}: {other:?}");
        }
        steps.push(Step { act, known: known.clone(), end: disk.calls() });
    }
    let log = disk.log();
    Recording { base: Image::new(), before: Known::default(), log, steps }
}

struct Chance {
    draw: Draw,
    mark: u64,
    attempt: u64,
    txid: u64,
    now: u64,
}

impl Chance {
    fn act(&mut self, model: &Model) -> Act {
        self.now += 1_000;
        match self.draw.below(24) {
            0 => Act::Close { clean: self.draw.once_in(2) },
            1 => Act::Set(format!("hdfs:///{}", "x".repeat(self.draw.below(2_000)))),
            2..6 => {
                let lane = *self.draw.one(&[Lane::Live, Lane::Backlog, Lane::Metadata]);
                Act::Take(lane, 1 + self.draw.below(12), Time(self.now))
            }
            _ => {
                let batches = 1 + self.draw.below(4);
                Act::Apply((0..batches).map(|_| self.batch(model)).collect())
            }
        }
    }

    fn batch(&mut self, model: &Model) -> Vec<Change> {
        match self.draw.below(12) {
            0..4 => self.stream(),
            4 => self.listing(),
            5 | 6 => self.begin(),
            7..10 => self.finish(model),
            10 => self.remove(model),
            _ => self.turn(model),
        }
    }

    fn path(&mut self) -> RelPath {
        let directory = RelPath::from(*self.draw.one(DIRECTORIES));
        let name = match self.draw.below(NAMES) {
            0 => "_SUCCESS".to_owned(),
            number => format!("part-{number:05}"),
        };
        directory.join(name.as_bytes())
    }

    fn pending(&mut self, model: &Model) -> Option<(RelPath, u64)> {
        let place = self.draw.below(model.entries.len());
        let entry = model.entries.values().nth(place)?;
        Some((entry.pending.path.clone(), entry.pending.mark.0))
    }

    fn next_mark(&mut self) -> u64 {
        self.mark += 1;
        self.mark
    }

    /// Changes that the source told of.
    fn stream(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for _ in 0..=self.draw.below(8) {
            let (path, number) = (self.path().to_string(), self.next_mark());
            changes.push(mark(&path, Reach::Path, Lane::Live, number));
        }
        if self.draw.once_in(4) {
            let from = *self.draw.one(DIRECTORIES);
            let to = *self.draw.one(DIRECTORIES);
            let number = self.next_mark();
            changes.push(mark(to, Reach::Subtree, Lane::Live, number));
            // No directory is moved into itself.
            if !RelPath::from(from).contains(&to.into())
                && !RelPath::from(to).contains(&from.into())
            {
                changes.push(Change::HintAdded(hint(from, to, number)));
            }
        }
        self.txid += 1;
        changes.push(Change::Position { txid: TxId(self.txid), digest: self.draw.number() });
        changes
    }

    /// A page of a directory.
    fn listing(&mut self) -> Vec<Change> {
        let under = *self.draw.one(DIRECTORIES);
        let reach = *self.draw.one(&[Reach::Directory, Reach::Subtree]);
        let number = self.next_mark();
        let mut changes = vec![
            mark(under, reach, Lane::Backlog, number),
            Change::PutDirectory(directory(under, number)),
            advance(under, number, "part-00020"),
        ];
        for _ in 0..self.draw.below(20) {
            let (path, number) = (self.path().to_string(), self.next_mark());
            changes.push(mark(&path, Reach::Path, Lane::Backlog, number));
        }
        changes
    }

    /// Copies begin.
    fn begin(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for _ in 0..=self.draw.below(5) {
            self.attempt += 1;
            let path = self.path().to_string();
            changes.push(Change::AttemptOpened(attempt(self.attempt, &path)));
            if self.draw.once_in(3) {
                let number = AttemptNumber(self.attempt);
                let upload = Upload { id: path, part_bytes: 8, parts: Vec::new() };
                let part = Part { number: 1, length: 8, crc32c: 9, etag: "e".into() };
                changes.push(Change::UploadOpened { number, upload });
                changes.push(Change::PartDone { number, part });
            }
        }
        changes
    }

    /// Copies end: rule 4.5.
    fn finish(&mut self, model: &Model) -> Vec<Change> {
        let mut changes = Vec::new();
        for _ in 0..=self.draw.below(6) {
            let place = self.draw.below(model.attempts.len());
            let open = model.attempts.values().nth(place);
            let path = open.map_or_else(|| self.path(), |attempt| attempt.path.clone());
            let key = self.draw.below(1_000) as u64;
            let etag = Some("e".repeat(self.draw.below(700)));
            let ledger_only = self.draw.once_in(9);
            changes.push(Change::PutRow(Row { etag, ledger_only, ..row(&path.to_string(), key) }));
            changes.extend(open.map(|attempt| Change::AttemptClosed(attempt.number)));
            let up_to = Mark(self.mark);
            changes.push(Change::Settle { path, up_to, as_of: TxId(self.txid) });
        }
        let files_copied = changes.len() as u64;
        changes.push(Change::Count(Counters { files_copied, ..Counters::default() }));
        changes
    }

    fn remove(&mut self, model: &Model) -> Vec<Change> {
        let mut changes = Vec::new();
        for _ in 0..=self.draw.below(5) {
            let place = self.draw.below(model.rows.len());
            let Some(path) = model.rows.keys().nth(place).cloned() else { break };
            let (loss, at) = (self.draw.once_in(2), Time(self.now));
            changes.push(Change::Removed { path: path.clone(), loss, at });
            let up_to = Mark(self.mark);
            changes.push(Change::Settle { path, up_to, as_of: TxId(self.txid) });
        }
        if self.draw.once_in(4) {
            let path = RelPath::from(*self.draw.one(DIRECTORIES));
            changes.push(Change::DropDirectory { path, below: self.draw.once_in(2) });
        }
        changes
    }

    /// What comes now and then.
    fn turn(&mut self, model: &Model) -> Vec<Change> {
        use Parked::{Delayed, Failed, Foreign, Guard, Open, Removal};
        let any = self.path();
        let (path, up_to) = self.pending(model).unwrap_or((any.clone(), 0));
        let text = path.to_string();
        let reason = *self.draw.one(&[Open, Failed, Guard, Removal, Foreign, Delayed]);
        let retry = self.draw.once_in(2).then_some(self.now + 5_000);
        let number = AttemptNumber(1 + self.draw.below(self.attempt as usize) as u64);
        let directory = *self.draw.one(DIRECTORIES);
        vec![match self.draw.below(16) {
            0..3 => park(&text, up_to, reason, retry),
            3 => defer(&text, up_to, self.now + 2_000, self.draw.once_in(2)),
            4 => Change::Release(reason),
            5 => Change::Confirmed,
            6 => Change::HoldRemovals { message: "held".to_owned() },
            7 => Change::Hasten(path),
            8 => Change::FoundAdded(found(&any.to_string())),
            9 => Change::AttemptDoubtful { number, until: Time(self.now) },
            10 => Change::Distrust(any),
            11 => Change::Gone { path, since: Time(self.now), below: false },
            14 => {
                let (first_txid, seen) = (TxId(self.txid), Time(self.now));
                Change::Present { path, first_txid, seen }
            }
            12 => Change::DelayRemovals { after_millis: 5_000 },
            13 => Change::EndDelays {
                due_by: Some(Time(self.now)),
                first_txid: TxId(self.txid),
                seen: Time(self.now),
            },
            _ => coarsen(directory, self.draw.once_in(2)),
        }]
    }
}
