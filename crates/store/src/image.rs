//! What stood below a source's root at one transaction, as if every directory had been listed then
//! (rule 8.1). Pages are written once, to a file without a name, and read in any order. A directory
//! is told of as long as no event since that transaction concerns what is in it or where it stands:
//! so what is told is a listing as of the last event that was noted, and nothing older.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use whimbrel_core::entry::Page;
use whimbrel_core::event::{Event, StreamReply};
use whimbrel_core::number::TxId;
use whimbrel_core::path::RelPath;

const CHECKSUM_BYTES: usize = 4;
const BUFFER_BYTES: usize = 1 << 20;

/// Takes the pages of an image.
pub struct ImageWriter {
    file: BufWriter<File>,
    end: u64,
    hasher: RandomState,
    places: Vec<Place>,
    last: Option<RelPath>,
}

/// All of them.
pub struct Image {
    txid: TxId,
    file: File,
    hasher: RandomState,
    state: Mutex<State>,
}

struct State {
    /// Of all pages, by directory, then in their order; none once nothing is believed any more.
    places: Vec<Place>,
    /// Events up to here were noted.
    followed: TxId,
}

/// Where a page stands, and, at the first page of a directory, what became of that since.
struct Place {
    /// Hash of the directory's path.
    directory: u64,
    at: u64,
    length: u32,
    begins: bool,
    /// Something happened to what is in it.
    changed: bool,
    /// Something happened to itself, so to all below it.
    moved: bool,
}

impl ImageWriter {
    /// Writes to `file`, which has to be empty.
    pub fn new(file: File) -> Self {
        Self {
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            end: 0,
            hasher: RandomState::new(),
            places: Vec::new(),
            last: None,
        }
    }

    /// Takes the next page. All pages of one directory come together and in order.
    ///
    /// # Errors
    /// Of the disk.
    pub fn add(&mut self, directory: &RelPath, page: &Page) -> io::Result<()> {
        let body = postcard::to_stdvec(&(directory, page)).map_err(io::Error::other)?;
        let length = u32::try_from(CHECKSUM_BYTES + body.len()).map_err(io::Error::other)?;
        self.file.write_all(&crc32c::crc32c(&body).to_be_bytes())?;
        self.file.write_all(&body)?;
        let begins = self.last.as_ref() != Some(directory);
        self.last = Some(directory.clone());
        self.places.push(Place {
            directory: self.hasher.hash_one(directory.as_bytes()),
            at: self.end,
            length,
            begins,
            changed: false,
            moved: false,
        });
        self.end += u64::from(length);
        Ok(())
    }

    /// All pages were added; they say what stood there as of `txid`.
    ///
    /// # Errors
    /// Of the disk.
    pub fn finish(self, txid: TxId) -> io::Result<Image> {
        let Self { file, hasher, mut places, .. } = self;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        places.sort_unstable_by_key(|place| (place.directory, place.at));
        // Two directories of one hash: neither is told of, nor what is below them.
        for one in places.chunk_by_mut(|one, other| one.directory == other.directory) {
            if one.iter().filter(|place| place.begins).count() > 1
                && let Some(first) = one.first_mut()
            {
                (first.changed, first.moved) = (true, true);
            }
        }
        let state = Mutex::new(State { places, followed: txid });
        Ok(Image { txid, file, hasher, state })
    }
}

impl Image {
    /// The transaction that it is of.
    pub fn txid(&self) -> TxId {
        self.txid
    }

    /// Events up to here were noted.
    pub fn followed(&self) -> TxId {
        self.state().followed
    }

    /// Notes what happened after the transaction `after`, before anybody acts on it.
    pub fn note(&self, after: TxId, reply: &StreamReply) {
        if after > self.followed() {
            // What happened in between is not known.
            self.forget();
        }
        for batch in reply.batches.iter().filter(|batch| batch.txid > self.txid) {
            for event in &batch.events {
                self.note_event(event);
            }
        }
        let mut state = self.state();
        state.followed = state.followed.max(reply.applied);
    }

    fn note_event(&self, event: &Event) {
        match event {
            Event::MetadataChanged(path) => self.note_change(path, false),
            Event::Created(path)
            | Event::Reopened(path)
            | Event::Closed(path)
            | Event::Truncated(path)
            | Event::DirectoryMade(path)
            | Event::Removed(path) => self.note_change(path, true),
            Event::Renamed { from, to } => {
                for path in [from, to].into_iter().flatten() {
                    self.note_change(path, true);
                }
            }
            Event::RootTouched => self.forget(),
        }
    }

    /// `moves`: the path may lead elsewhere now.
    fn note_change(&self, path: &RelPath, moves: bool) {
        let parent = path.parent().map(|parent| self.hash(&parent));
        let own = self.hash(path);
        let mut state = self.state();
        if let Some(first) = parent.and_then(|parent| state.first_mut(parent)) {
            first.changed = true;
        }
        if let Some(first) = state.first_mut(own).filter(|_| moves) {
            first.moved = true;
        }
    }

    /// From now on it tells of nothing: every directory is to be listed.
    pub fn forget(&self) {
        self.state().places = Vec::new();
    }

    /// The first page of a directory after the name `after`, as of the last event that was noted;
    /// `None` if that is not known, and the source has to be asked.
    pub fn page(&self, directory: &RelPath, after: Option<&[u8]>) -> Option<Page> {
        let pages = self.pages(directory)?;
        let page = self.first_after(directory, after, &pages);
        if page.is_err() {
            // A disk that turns bits: nothing of it is believed any more.
            self.forget();
        }
        page.ok()
    }

    /// Where the pages of a directory stand, if they are still true.
    fn pages(&self, directory: &RelPath) -> Option<Vec<Range<u64>>> {
        let state = self.state();
        let above = std::iter::once(directory.clone()).chain(directory.ancestors());
        for path in above {
            if state.first(self.hash(&path))?.moved {
                return None;
            }
        }
        let range = state.range(self.hash(directory));
        let pages = state.places.get(range)?;
        if pages.first()?.changed {
            return None;
        }
        Some(pages.iter().map(|page| page.at..page.at + u64::from(page.length)).collect())
    }

    fn first_after(
        &self,
        directory: &RelPath,
        after: Option<&[u8]>,
        pages: &[Range<u64>],
    ) -> io::Result<Page> {
        let Some(after) = after else { return self.read(directory, pages.first()) };
        let (mut from, mut to) = (0, pages.len().saturating_sub(1));
        loop {
            let middle = usize::midpoint(from, to);
            let mut page = self.read(directory, pages.get(middle))?;
            let ends_before = page.entries.last().is_none_or(|last| last.path.name() <= after);
            if from < to {
                (from, to) = if ends_before { (middle + 1, to) } else { (from, middle) };
                continue;
            }
            page.entries.retain(|entry| entry.path.name() > after);
            return Ok(page);
        }
    }

    fn read(&self, directory: &RelPath, page: Option<&Range<u64>>) -> io::Result<Page> {
        let damaged = || io::Error::other("a page of the image is damaged");
        let Range { start, end } = page.cloned().ok_or_else(damaged)?;
        let mut record = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut record, start)?;
        let (sum, body) = record.split_at_checked(CHECKSUM_BYTES).ok_or_else(damaged)?;
        if sum != crc32c::crc32c(body).to_be_bytes() {
            return Err(damaged());
        }
        let (of, page): (RelPath, Page) = postcard::from_bytes(body).map_err(io::Error::other)?;
        if of == *directory { Ok(page) } else { Err(damaged()) }
    }

    fn hash(&self, directory: &RelPath) -> u64 {
        self.hasher.hash_one(directory.as_bytes())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn range(&self, directory: u64) -> Range<usize> {
        let begin = self.places.partition_point(|place| place.directory < directory);
        let rest = self.places.get(begin..).unwrap_or_default();
        begin..begin + rest.partition_point(|place| place.directory == directory)
    }

    fn first(&self, directory: u64) -> Option<&Place> {
        self.places.get(self.range(directory))?.first()
    }

    fn first_mut(&mut self, directory: u64) -> Option<&mut Place> {
        let range = self.range(directory);
        self.places.get_mut(range)?.first_mut()
    }
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
