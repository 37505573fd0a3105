//! How far a comparison has come, so that another process goes on from there.
//!
//! What a note counts as equal was seen equal before it was taken. What was not equal is named
//! alone, and looked at again by whoever goes on: nobody is told a difference that was mended since.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use whimbrel_core::path::RelPath;

use crate::moved::Moved;
use crate::{Meter, SampleSums, Sums};

/// Between two notes.
const EVERY: Duration = Duration::from_millis(500);
/// Before a note all that is in flight has to end. Of large files that takes long, and nothing is
/// begun meanwhile: at most a twentieth of the time goes into it.
const RARITY: u32 = 20;
/// Paths that are named. With more of them nothing is noted any more: the last note stands.
const UNEQUAL_MAX: usize = 10_000;

/// A moment of a comparison at which nothing was in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Subtrees that were gone through: the source root, then each that is mapped elsewhere.
    pub roots_done: usize,
    /// In the next one everything up to this path, in the order of keys.
    pub behind: Option<RelPath>,
    /// What was counted, but for what is not equal.
    pub sums: Sums,
    /// The same of a sample.
    pub sample: SampleSums,
    /// What is not equal, each once.
    pub unequal: Vec<RelPath>,
}

/// From where a comparison goes on, and who keeps how far it is.
#[derive(Debug)]
pub struct Continuation {
    /// Where an earlier one of the same things, compared in the same way, was.
    pub from: Option<Note>,
    /// What happened at the source since that was begun, where its stream tells: of what was gone
    /// through it is looked at again (rule 10.2).
    pub moved: Moved,
    /// Takes notes; of a sample that goes by time there are none.
    pub notes: Option<mpsc::Sender<Note>>,
    /// The shortest time between two.
    pub every: Duration,
}

impl Default for Continuation {
    fn default() -> Self {
        Self { from: None, moved: Moved::default(), notes: None, every: EVERY }
    }
}

impl Meter {
    /// Counts on from a note.
    pub fn of(note: &Note) -> Self {
        let (sums, sample) = (&note.sums, &note.sample);
        Self {
            files_compared: sums.files_compared.into(),
            directories: sums.directories.into(),
            delayed: sums.delayed.into(),
            verified_by_checksum: sums.verified_by_checksum.into(),
            verified_by_reading: sums.verified_by_reading.into(),
            bytes_read_source: sums.bytes_read_source.into(),
            bytes_read_target: sums.bytes_read_target.into(),
            files_listed: sample.files_listed.into(),
            bytes_listed: sample.bytes_listed.into(),
            files_apart: sample.files_apart.into(),
            files_looked_at: sample.files_looked_at.into(),
            bytes_looked_at: sample.bytes_looked_at.into(),
            ..Self::default()
        }
    }

    fn equal_sums(&self) -> Sums {
        let get = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        Sums {
            files_compared: get(&self.files_compared),
            directories: get(&self.directories),
            delayed: get(&self.delayed),
            verified_by_checksum: get(&self.verified_by_checksum),
            verified_by_reading: get(&self.verified_by_reading),
            bytes_read_source: get(&self.bytes_read_source),
            bytes_read_target: get(&self.bytes_read_target),
            ..Sums::default()
        }
    }
}

/// Takes notes, as long as they can tell the truth.
pub(crate) struct Notebook {
    notes: Option<mpsc::Sender<Note>>,
    roots_done: usize,
    unequal: Vec<RelPath>,
    every: Duration,
    due: Instant,
}

impl Notebook {
    pub fn new(notes: Option<mpsc::Sender<Note>>, every: Duration) -> Self {
        Self { notes, roots_done: 0, unequal: Vec::new(), every, due: Instant::now() + every }
    }

    /// A subtree begins.
    pub fn begin(&mut self, roots_done: usize) {
        self.roots_done = roots_done;
    }

    /// A path that was told.
    pub fn unequal(&mut self, path: &RelPath) {
        if self.unequal.len() >= UNEQUAL_MAX {
            self.close();
        } else if self.notes.is_some() {
            self.unequal.push(path.clone());
        }
    }

    /// What comes from now on is not in the order of keys, or was not gone through: the next one
    /// begins at the last note.
    pub fn close(&mut self) {
        (self.notes, self.unequal) = (None, Vec::new());
    }

    pub fn is_due(&self) -> bool {
        self.notes.is_some() && Instant::now() >= self.due
    }

    /// Notes that everything up to a path is done. `open` is told later.
    pub async fn note<'a>(
        &mut self,
        behind: &RelPath,
        meter: &Meter,
        open: impl Iterator<Item = &'a RelPath>,
        begun: Instant,
    ) {
        let mut unequal = self.unequal.clone();
        unequal.extend(open.cloned());
        let Some(notes) = &self.notes else { return };
        if unequal.len() > UNEQUAL_MAX {
            return;
        }
        let note = Note {
            roots_done: self.roots_done,
            behind: Some(behind.clone()),
            sums: meter.equal_sums(),
            sample: meter.sample_sums(),
            unequal,
        };
        // Nobody listens any more: the comparison goes on.
        let _ = notes.send(note).await;
        let rarity = if self.every.is_zero() { 0 } else { RARITY };
        self.due = Instant::now() + self.every.max(begun.elapsed() * rarity);
    }
}
