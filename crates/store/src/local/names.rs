//! The names of a directory in byte order, in bounded memory: what does not fit is sorted in runs
//! on disk and merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Result, Write};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::AsFd;

use rustix::fs::{FileType, RawDir};

use super::node;

/// Names are kept in memory up to so many bytes; then they are sorted on disk.
pub(super) const RUN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Every so many names of the file on disk, one is kept in memory to start reading at.
const INDEX_STEP: usize = 1024;
const DIRECTORY_BUFFER_BYTES: usize = 64 * 1024;

/// All names of a directory, as they were while it was read.
#[derive(Debug)]
pub(super) enum SortedNames {
    /// Few enough.
    Memory { bytes: Vec<u8>, spans: Vec<Range<usize>> },
    /// A file without a name on disk: length (2 bytes, little endian) and bytes of each name. The
    /// index holds every `INDEX_STEP`th name with its place.
    Disk { file: File, index: Vec<(Vec<u8>, u64)> },
}

/// A part of the names, ascending, and whether more follow.
pub(super) struct NamesPage {
    pub(super) names: Vec<Vec<u8>>,
    pub(super) more: bool,
}

impl SortedNames {
    /// Reads a directory that is open for reading. With `mark_directories` the name of a directory
    /// gets a `/`, and sorts with it.
    pub(super) fn read(
        directory: impl AsFd,
        mark_directories: bool,
        run_bytes_max: usize,
    ) -> Result<Self> {
        rustix::fs::seek(&directory, rustix::fs::SeekFrom::Start(0))?;
        let mut sorter = Sorter { bytes: Vec::new(), spans: Vec::new(), runs: Vec::new() };
        let mut buffer = vec![MaybeUninit::uninit(); DIRECTORY_BUFFER_BYTES];
        let mut entries = RawDir::new(directory.as_fd(), &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let marked = mark_directories && is_directory(&directory, name, entry.file_type());
            sorter.add(name, marked);
            if sorter.bytes.len() >= run_bytes_max {
                sorter.spill()?;
            }
        }
        sorter.finish()
    }

    /// How many names there are, if they are in memory.
    pub(super) fn count(&self) -> Option<usize> {
        match self {
            Self::Memory { spans, .. } => Some(spans.len()),
            Self::Disk { .. } => None,
        }
    }

    /// At most `count` names from `from` on, itself included.
    pub(super) fn page(&self, from: &[u8], count: usize) -> Result<NamesPage> {
        match self {
            Self::Memory { bytes, spans } => {
                let first = spans.partition_point(|span| bytes[span.clone()] < *from);
                let last = spans.len().min(first.saturating_add(count));
                let names = spans[first..last].iter().map(|span| bytes[span.clone()].to_vec());
                Ok(NamesPage { names: names.collect(), more: last < spans.len() })
            }
            Self::Disk { file, index } => {
                let step =
                    index.partition_point(|(name, _)| name.as_slice() < from).saturating_sub(1);
                let start = index.get(step).map_or(0, |(_, place)| *place);
                let mut reader = Run::new(file.try_clone()?, start);
                let mut names = Vec::new();
                while let Some(name) = reader.next()? {
                    if name.as_slice() < from {
                        continue;
                    }
                    if names.len() == count {
                        return Ok(NamesPage { names, more: true });
                    }
                    names.push(name);
                }
                Ok(NamesPage { names, more: false })
            }
        }
    }
}

/// File systems that do not say what a name is are asked.
pub(super) fn is_directory(directory: impl AsFd, name: &[u8], told: FileType) -> bool {
    match told {
        FileType::Unknown => node::look(directory, name)
            .is_ok_and(|look| node::file_type(&look) == FileType::Directory),
        FileType::Directory => true,
        FileType::RegularFile
        | FileType::Symlink
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice => false,
    }
}

struct Sorter {
    bytes: Vec<u8>,
    spans: Vec<Range<usize>>,
    runs: Vec<File>,
}

impl Sorter {
    fn add(&mut self, name: &[u8], marked: bool) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        if marked {
            self.bytes.push(b'/');
        }
        self.spans.push(start..self.bytes.len());
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        self.spans.sort_unstable_by(|one, other| bytes[one.clone()].cmp(&bytes[other.clone()]));
    }

    fn spill(&mut self) -> Result<()> {
        self.sort();
        let mut run = BufWriter::new(tempfile::tempfile()?);
        for span in &self.spans {
            write_name(&mut run, &self.bytes[span.clone()])?;
        }
        self.runs.push(run.into_inner().map_err(std::io::IntoInnerError::into_error)?);
        self.bytes.clear();
        self.spans.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<SortedNames> {
        if self.runs.is_empty() {
            self.sort();
            return Ok(SortedNames::Memory { bytes: self.bytes, spans: self.spans });
        }
        self.spill()?;
        merge(self.runs)
    }
}

fn merge(files: Vec<File>) -> Result<SortedNames> {
    let mut runs = Vec::with_capacity(files.len());
    let mut heads = BinaryHeap::new();
    for (number, file) in files.into_iter().enumerate() {
        let mut run = Run::new(file, 0);
        if let Some(name) = run.next()? {
            heads.push(Reverse((name, number)));
        }
        runs.push(run);
    }
    let mut merged = BufWriter::new(tempfile::tempfile()?);
    let mut index = Vec::new();
    let (mut written, mut place) = (0_usize, 0_u64);
    while let Some(Reverse((name, number))) = heads.pop() {
        if written.is_multiple_of(INDEX_STEP) {
            index.push((name.clone(), place));
        }
        written += 1;
        place += write_name(&mut merged, &name)?;
        if let Some(next) = runs[number].next()? {
            heads.push(Reverse((next, number)));
        }
    }
    let file = merged.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    Ok(SortedNames::Disk { file, index })
}

/// Returns the bytes written.
fn write_name(file: &mut impl Write, name: &[u8]) -> Result<u64> {
    let length = u16::try_from(name.len()).map_err(std::io::Error::other)?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(name)?;
    Ok(u64::from(length) + 2)
}

/// Reads names from a place on, at its own position in the file.
struct Run {
    reader: BufReader<Positioned>,
}

struct Positioned {
    file: File,
    position: u64,
}

impl Run {
    fn new(file: File, position: u64) -> Self {
        Self { reader: BufReader::with_capacity(64 * 1024, Positioned { file, position }) }
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut length = [0; 2];
        match self.reader.read(&mut length[..1])? {
            0 => return Ok(None),
            _ => self.reader.read_exact(&mut length[1..])?,
        }
        let mut name = vec![0; usize::from(u16::from_le_bytes(length))];
        self.reader.read_exact(&mut name)?;
        Ok(Some(name))
    }
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = std::os::unix::fs::FileExt::read_at(&self.file, buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
