//! Inodes in the order of the walk, sorted on disk where they do not fit into memory.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A record is its directory's rank, where its name begins and how long it is, then the message.
const HEADER_BYTES: usize = 12;
/// More sorted files than this are merged into one: each one that is open takes a buffer.
const RUNS_MAX: usize = 128;
const RUN_BUFFER_BYTES: usize = 64 << 10;

/// Takes records in any order.
pub(crate) struct Sorter {
    directory: PathBuf,
    memory_bytes: usize,
    records: Vec<u8>,
    slots: Vec<Slot>,
    runs: Vec<File>,
}

/// Where a record lies, with as much of its key as settles most comparisons.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    rank: u32,
    length: u32,
    prefix: u64,
    at: usize,
}

/// Records in order.
pub(crate) enum Sorted {
    Memory { records: Vec<u8>, slots: std::vec::IntoIter<Slot> },
    Disk { directory: PathBuf, merge: Merge },
}

pub(crate) struct Merge {
    runs: Vec<BufReader<File>>,
    heads: BinaryHeap<Head>,
}

/// The first record of a run that was not given yet.
struct Head {
    record: Vec<u8>,
    run: usize,
}

impl Sorter {
    pub(crate) fn new(directory: &Path, memory_bytes: usize) -> Self {
        let directory = directory.to_owned();
        Self { directory, memory_bytes, records: Vec::new(), slots: Vec::new(), runs: Vec::new() }
    }

    /// Takes a message; `name` is where in it the name stands.
    pub(crate) fn push(
        &mut self,
        rank: u32,
        name: Range<usize>,
        message: &[u8],
    ) -> Result<(), Error> {
        let length = HEADER_BYTES + message.len();
        let slots_bytes = (self.slots.len() + 1) * size_of::<Slot>();
        // A vector that grows holds up to twice what it needs.
        let full = 2 * (self.records.len() + length + slots_bytes) > self.memory_bytes;
        if full && !self.slots.is_empty() {
            self.spill().map_err(|error| spill_error(&self.directory, error))?;
        }
        let mut prefix = [0; 8];
        let begin = message.get(name.clone()).unwrap_or_default();
        let some = begin.len().min(prefix.len());
        prefix[..some].copy_from_slice(&begin[..some]);
        let at = self.records.len();
        let prefix = u64::from_be_bytes(prefix);
        self.slots.push(Slot { rank, length: length as u32, prefix, at });
        self.records.extend_from_slice(&rank.to_le_bytes());
        self.records.extend_from_slice(&(name.start as u32).to_le_bytes());
        self.records.extend_from_slice(&(name.len() as u32).to_le_bytes());
        self.records.extend_from_slice(message);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Sorted, Error> {
        if self.runs.is_empty() {
            self.sort();
            return Ok(Sorted::Memory { records: self.records, slots: self.slots.into_iter() });
        }
        let mut merged = || {
            self.spill()?;
            (self.records, self.slots) = (Vec::new(), Vec::new());
            Merge::new(std::mem::take(&mut self.runs))
        };
        let merge = merged().map_err(|error| spill_error(&self.directory, error))?;
        Ok(Sorted::Disk { directory: self.directory, merge })
    }

    fn sort(&mut self) {
        let records = &self.records;
        self.slots.sort_unstable_by(|one, other| {
            let first = (one.rank, one.prefix).cmp(&(other.rank, other.prefix));
            first.then_with(|| name(slice(records, *one)).cmp(name(slice(records, *other))))
        });
    }

    fn spill(&mut self) -> io::Result<()> {
        self.sort();
        if self.runs.len() == RUNS_MAX {
            let mut merge = Merge::new(std::mem::take(&mut self.runs))?;
            let mut output = self.new_run()?;
            let mut record = Vec::new();
            while merge.next(&mut record)? {
                write_record(&mut output, &record)?;
            }
            self.runs.push(output.into_inner()?);
        }
        let mut output = self.new_run()?;
        for slot in &self.slots {
            write_record(&mut output, slice(&self.records, *slot))?;
        }
        self.runs.push(output.into_inner()?);
        self.records.clear();
        self.slots.clear();
        Ok(())
    }

    fn new_run(&self) -> io::Result<BufWriter<File>> {
        let file = tempfile::tempfile_in(&self.directory)?;
        Ok(BufWriter::with_capacity(RUN_BUFFER_BYTES, file))
    }
}

impl Sorted {
    /// The next record's rank and message; the record lies in `record`.
    pub(crate) fn next<'a>(
        &mut self,
        record: &'a mut Vec<u8>,
    ) -> Result<Option<(u32, &'a [u8])>, Error> {
        let is_one = match self {
            Self::Memory { records, slots } => {
                let slot = slots.next();
                if let Some(slot) = slot {
                    record.clear();
                    record.extend_from_slice(slice(records, slot));
                }
                slot.is_some()
            }
            Self::Disk { directory, merge } => {
                merge.next(record).map_err(|error| spill_error(directory, error))?
            }
        };
        let message = record.get(HEADER_BYTES..).filter(|_| is_one);
        Ok(message.map(|message| (number(record, 0), message)))
    }
}

impl Merge {
    fn new(files: Vec<File>) -> io::Result<Self> {
        let mut merge = Self { runs: Vec::new(), heads: BinaryHeap::new() };
        for mut file in files {
            file.seek(SeekFrom::Start(0))?;
            let mut input = BufReader::with_capacity(RUN_BUFFER_BYTES, file);
            let mut record = Vec::new();
            if read_record(&mut input, &mut record)? {
                merge.heads.push(Head { record, run: merge.runs.len() });
            }
            merge.runs.push(input);
        }
        Ok(merge)
    }

    fn next(&mut self, record: &mut Vec<u8>) -> io::Result<bool> {
        let Some(mut head) = self.heads.peek_mut() else { return Ok(false) };
        std::mem::swap(record, &mut head.record);
        let more = match self.runs.get_mut(head.run) {
            Some(run) => read_record(run, &mut head.record)?,
            None => false,
        };
        if !more {
            PeekMut::pop(head);
        }
        Ok(true)
    }
}

/// The smallest record is the greatest of a heap that gives its greatest first.
impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |head: &Self| number(&head.record, 0);
        let ranks = key(other).cmp(&key(self));
        ranks.then_with(|| name(&other.record).cmp(name(&self.record)))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

pub(crate) fn spill_error(directory: &Path, source: io::Error) -> Error {
    Error::Spill { directory: directory.to_owned(), source }
}

fn slice(records: &[u8], slot: Slot) -> &[u8] {
    records.get(slot.at..slot.at + slot.length as usize).unwrap_or_default()
}

fn number(record: &[u8], at: usize) -> u32 {
    record.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
}

fn name(record: &[u8]) -> &[u8] {
    let begin = HEADER_BYTES + number(record, 4) as usize;
    record.get(begin..begin + number(record, 8) as usize).unwrap_or_default()
}

fn write_record(output: &mut impl Write, record: &[u8]) -> io::Result<()> {
    output.write_all(&(record.len() as u32).to_le_bytes())?;
    output.write_all(record)
}

fn read_record(input: &mut impl Read, record: &mut Vec<u8>) -> io::Result<bool> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error),
    }
    record.resize(u32::from_le_bytes(length) as usize, 0);
    input.read_exact(record)?;
    Ok(true)
}
