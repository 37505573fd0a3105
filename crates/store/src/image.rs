//! What stood below a source's root at one transaction, as if every directory had been listed then
//! (rule 8.1). Pages are written once, to a file without a name, and read in any order. A directory
//! is told of as long as no event since that transaction concerns what is in it or where it stands:
//! so what is told is a listing as of the last event that was noted, and nothing older. What the
//! source shows otherwise although no event says why contradicts the image.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use whimbrel_core::entry::{Node, Page};
use whimbrel_core::event::{Event, StreamReply};
use whimbrel_core::number::TxId;
use whimbrel_core::path::RelPath;

const CHECKSUM_BYTES: usize = 4;
const BUFFER_BYTES: usize = 1 << 20;
/// What a look shows is in the stream once that was asked anew, reached its end, and did so once
/// more (rule 10.2); the first end may be of a question from before the look.
const ENDS_AWAITED: u8 = 3;
/// So many paths to which something happened are remembered, and up to as many before them: a look
/// at one that was forgotten may cost listings, nothing else.
const TOUCHED_MAX: usize = 1 << 19;

/// Takes the pages of an image.
pub struct ImageWriter {
    file: BufWriter<File>,
    end: u64,
    hasher: RandomState,
    places: Vec<Place>,
    last: Option<RelPath>,
    sum: u32,
}

/// All of them.
pub struct Image {
    txid: TxId,
    file: File,
    hasher: RandomState,
    sum: u32,
    state: Mutex<State>,
}

struct State {
    /// Of all pages, by directory, then in their order; none once nothing is believed any more.
    places: Vec<Place>,
    /// Events up to here were noted.
    followed: TxId,
    /// Hashes of paths to which something happened after their directories were told of; the newer
    /// ones first.
    touched: [HashSet<u64>; 2],
    /// Paths at which the source showed something else, for a reason that is not known yet, and how
    /// many ends of the stream were reached since.
    doubts: BTreeMap<RelPath, u8>,
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
    /// Somebody was told what is in it.
    told: bool,
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
            sum: 0,
        }
    }

    /// Takes the next page. All pages of one directory come together and in order.
    ///
    /// # Errors
    /// Of the disk.
    pub fn add(&mut self, directory: &RelPath, page: &Page) -> io::Result<()> {
        let body = postcard::to_stdvec(&(directory, page)).map_err(io::Error::other)?;
        self.sum = crc32c::crc32c_append(self.sum, &body);
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
            told: false,
        });
        self.end += u64::from(length);
        Ok(())
    }

    /// All pages were added; they say what stood there as of `txid`.
    ///
    /// # Errors
    /// Of the disk.
    pub fn finish(self, txid: TxId) -> io::Result<Image> {
        let Self { file, hasher, mut places, sum, .. } = self;
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
        let (touched, doubts) = (Default::default(), BTreeMap::new());
        let state = Mutex::new(State { places, followed: txid, touched, doubts });
        Ok(Image { txid, file, hasher, sum, state })
    }
}

impl Image {
    /// The transaction that it is of.
    pub fn txid(&self) -> TxId {
        self.txid
    }

    /// Tells it from every other one; `None` once nothing of it is believed.
    pub fn mark(&self) -> Option<String> {
        let (txid, sum) = (self.txid.0, self.sum);
        (!self.state().places.is_empty()).then(|| format!("image {txid} {sum:08x}"))
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
        if reply.applied >= reply.synced.max(reply.written) {
            for ends in state.doubts.values_mut() {
                *ends = ends.saturating_add(1);
            }
        }
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
            if first.told {
                state.touch(own);
            }
        }
        if let Some(first) = state.first_mut(own).filter(|_| moves) {
            first.moved = true;
        }
    }

    /// From now on it tells of nothing: every directory is to be listed.
    pub fn forget(&self) {
        let mut state = self.state();
        (state.places, state.touched) = (Vec::new(), Default::default());
        state.doubts.clear();
    }

    /// Whether the source, which shows this at a path now, contradicts what was told of it: then
    /// nobody is to act on what it shows until an event explains it or [`Image::contradicted`] was
    /// heeded. Ask again later.
    pub fn doubts(&self, path: &RelPath, shown: Option<&Node>) -> bool {
        let doubted = self.told_of(path).is_some_and(|told| !is_same(told.as_ref(), shown));
        let mut state = self.state();
        // It may have been forgotten meanwhile.
        if doubted && !self.is_explained(&state, path) {
            state.doubts.entry(path.clone()).or_default();
            return true;
        }
        state.doubts.remove(path);
        false
    }

    /// A path at which the source shows something else, although the stream was followed beyond
    /// that and tells of nothing that happened there.
    pub fn contradicted(&self) -> Option<RelPath> {
        let state = self.state();
        let mut certain = state.doubts.iter().filter(|(_, ends)| **ends >= ENDS_AWAITED);
        certain.find(|(path, _)| !self.is_explained(&state, path)).map(|(path, _)| path.clone())
    }

    /// What somebody was told to stand at a path, unless something happened to it since.
    fn told_of(&self, path: &RelPath) -> Option<Option<Node>> {
        let directory = path.parent()?;
        let pages = {
            let state = self.state();
            if self.is_explained(&state, path) {
                return None;
            }
            state.pages(self.hash(&directory))
        };
        let name = path.name();
        let Ok(page) = self.find(&directory, &pages, |other| other >= name) else {
            self.forget();
            return None;
        };
        Some(page.entries.into_iter().next().filter(|first| first.path == *path).map(|it| it.node))
    }

    /// Nobody was told of the path, or something happened to it or to a directory above it.
    fn is_explained(&self, state: &State, path: &RelPath) -> bool {
        let own = self.hash(path);
        let parent = path.parent().and_then(|parent| state.first(self.hash(&parent)));
        let mut above = path.ancestors();
        !parent.is_some_and(|parent| parent.told)
            || state.touched.iter().any(|touched| touched.contains(&own))
            || state.first(own).is_some_and(|place| place.moved)
            || above.any(|above| state.first(self.hash(&above)).is_none_or(|place| place.moved))
    }

    /// The first page of a directory after the name `after`, as of the last event that was noted;
    /// `None` if that is not known, and the source has to be asked.
    pub fn page(&self, directory: &RelPath, after: Option<&[u8]>) -> Option<Page> {
        let pages = self.pages(directory)?;
        let page = match after {
            None => self.read(directory, pages.first()),
            Some(after) => self.find(directory, &pages, |name| name > after),
        };
        if page.is_err() {
            // A disk that turns bits: nothing of it is believed any more.
            self.forget();
        }
        page.ok()
    }

    /// Where the pages of a directory stand, if they are still true.
    fn pages(&self, directory: &RelPath) -> Option<Vec<Range<u64>>> {
        let mut state = self.state();
        let above = std::iter::once(directory.clone()).chain(directory.ancestors());
        for path in above {
            if state.first(self.hash(&path))?.moved {
                return None;
            }
        }
        let first = state.first_mut(self.hash(directory))?;
        if first.changed {
            return None;
        }
        first.told = true;
        Some(state.pages(self.hash(directory)))
    }

    /// The page of the first name that is wanted, from there on; all names after it are wanted too.
    fn find(
        &self,
        directory: &RelPath,
        pages: &[Range<u64>],
        wanted: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Page> {
        let (mut from, mut to) = (0, pages.len().saturating_sub(1));
        loop {
            let middle = usize::midpoint(from, to);
            let mut page = self.read(directory, pages.get(middle))?;
            let ends_before = page.entries.last().is_none_or(|last| !wanted(last.path.name()));
            if from < to {
                (from, to) = if ends_before { (middle + 1, to) } else { (from, middle) };
                continue;
            }
            page.entries.retain(|entry| wanted(entry.path.name()));
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

    /// Where the pages of a directory stand.
    fn pages(&self, directory: u64) -> Vec<Range<u64>> {
        let pages = self.places.get(self.range(directory)).unwrap_or_default();
        pages.iter().map(|page| page.at..page.at + u64::from(page.length)).collect()
    }

    fn touch(&mut self, path: u64) {
        let [newer, older] = &mut self.touched;
        if newer.len() == TOUCHED_MAX {
            *older = std::mem::take(newer);
        }
        newer.insert(path);
    }

    fn first(&self, directory: u64) -> Option<&Place> {
        self.places.get(self.range(directory))?.first()
    }

    fn first_mut(&mut self, directory: u64) -> Option<&mut Place> {
        let range = self.range(directory);
        self.places.get_mut(range)?.first_mut()
    }
}

/// The same inode, or nothing: what it holds is compared where it is used.
fn is_same(told: Option<&Node>, shown: Option<&Node>) -> bool {
    match (told, shown) {
        (None, None) | (Some(Node::Special(_)), Some(Node::Special(_))) => true,
        (Some(Node::File(told)), Some(Node::File(shown))) => {
            told.identity.file_key() == shown.identity.file_key()
        }
        (Some(Node::Directory(told)), Some(Node::Directory(shown))) => {
            told.file_key == shown.file_key
        }
        (None | Some(_), None | Some(_)) => false,
    }
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
