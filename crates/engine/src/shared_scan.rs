//! One scan of a source for several migrations: a page that one of them listed answers the same
//! question of the others, as if each had asked then. What an earlier listing is trusted for is what
//! nobody can tell from a listing of one's own that took long: since it began, the migration that is
//! given it was told of nothing in that directory, and saw nothing there itself (rules 1.2, 1.4, 8.1).
//! So whatever a migration looks at again is asked of the source again. Each gets a page once; one
//! that is too slow for what is kept asks by itself, and holds back nobody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use whimbrel_core::entry::{Entry, Node, Page};
use whimbrel_core::event::{Event, StreamReply};
use whimbrel_core::number::Epoch;
use whimbrel_core::path::{Namespace, RelPath};

/// As long a look may be old: what it shows is read within that time anyway.
const AGE_MAX: Duration = Duration::from_secs(60);
/// All pages together.
const BYTES_MAX: usize = 64 << 20;
/// What an entry takes beside its path and its pin.
const ENTRY_BYTES: usize = size_of::<Entry>() + 128;

/// So many migrations share a scan at most.
pub const SEATS_MAX: usize = 64;

/// The place of one migration in a scan that several share.
#[derive(Debug)]
pub struct Seat {
    scan: Arc<Mutex<Scan>>,
    /// One bit.
    own: u64,
    /// Its first scan goes on.
    scanning: AtomicBool,
}

#[derive(Debug)]
struct Scan {
    namespace: Namespace,
    pages: BTreeMap<RelPath, BTreeMap<Option<Bytes>, Kept>>,
    /// Of all pages, oldest first; those that are gone may stand there still.
    order: VecDeque<(u64, RelPath, Option<Bytes>)>,
    bytes: usize,
    next_number: u64,
    /// Seats that may be given what is listed from now on.
    present: u64,
    /// Seats that ask for themselves alone.
    gone: u64,
    epochs: BTreeMap<u64, Epoch>,
}

/// A page, or a listing that is under way.
#[derive(Debug)]
struct Kept {
    number: u64,
    begun: Instant,
    /// Seats that it may be given to.
    wanted: u64,
    bytes: usize,
    page: watch::Receiver<Option<Arc<Page>>>,
}

/// A listing of one's own that others may wait for; dropped without an answer, they ask themselves.
#[derive(Debug)]
pub(crate) struct Listing {
    scan: Arc<Mutex<Scan>>,
    number: u64,
    directory: RelPath,
    after: Option<Bytes>,
    page: watch::Sender<Option<Arc<Page>>>,
}

impl Seat {
    /// The places of so many migrations of one source; `SEATS_MAX` at most.
    pub fn of_one_scan(count: usize, namespace: Namespace) -> Vec<Self> {
        let scan = Arc::new(Mutex::new(Scan {
            namespace,
            pages: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            next_number: 0,
            present: 0,
            gone: 0,
            epochs: BTreeMap::new(),
        }));
        let seat = |number| Self {
            scan: scan.clone(),
            own: 1_u64 << number,
            scanning: AtomicBool::default(),
        };
        (0..count.min(SEATS_MAX)).map(seat).collect()
    }

    /// From now on everything that happens at the source will be told, or nothing is to be told at
    /// all: only what is listed later may be given to it (rule 1.1).
    pub(crate) fn join(&self) {
        lock(&self.scan).join(self.own);
    }

    /// Asks for itself alone from now on.
    pub(crate) fn leave(&self) {
        lock(&self.scan).leave(self.own);
    }

    /// Whether its scan has come to an end: what it lists from then on are looks at what changed.
    pub(crate) fn heed(&self, scanned: bool) {
        if self.scanning.swap(!scanned, Ordering::Relaxed) && scanned {
            self.leave();
        }
    }

    /// The page after the name `after`, if another one listed it or is about to.
    pub(crate) async fn find(&self, directory: &RelPath, after: Option<&[u8]>) -> Option<Page> {
        let after = after.map(Bytes::copy_from_slice);
        let (number, mut page) = {
            let scan = lock(&self.scan);
            let kept = scan.pages.get(directory)?.get(&after)?;
            let fits = kept.wanted & self.own != 0 && kept.begun.elapsed() < AGE_MAX;
            fits.then(|| (kept.number, kept.page.clone()))?
        };
        let page = page.wait_for(Option::is_some).await.ok()?.clone()?;
        let mut scan = lock(&self.scan);
        let kept = scan.pages.get_mut(directory)?.get_mut(&after)?;
        // Something may have been heard of it meanwhile.
        if kept.number != number || kept.wanted & self.own == 0 {
            return None;
        }
        kept.wanted &= !self.own;
        if kept.wanted == 0 {
            scan.remove(directory, &after);
        }
        Some(Arc::unwrap_or_clone(page))
    }

    /// This one asks the source; `None` if nobody could use the answer.
    pub(crate) fn begin(&self, directory: &RelPath, after: Option<&[u8]>) -> Option<Listing> {
        let mut scan = lock(&self.scan);
        if scan.namespace == Namespace::Tree {
            // What stands below is to be newer than what says that it stands there.
            scan.unwant_below(directory, self.own);
        }
        let wanted = scan.present & !self.own;
        if wanted == 0 {
            return None;
        }
        let after = after.map(Bytes::copy_from_slice);
        let number = scan.next_number;
        scan.next_number += 1;
        scan.remove(directory, &after);
        let (page, answer) = watch::channel(None);
        let kept = Kept { number, begun: Instant::now(), wanted, bytes: 0, page: answer };
        scan.pages.entry(directory.clone()).or_default().insert(after.clone(), kept);
        scan.order.push_back((number, directory.clone(), after.clone()));
        scan.drop_old();
        let (scan, directory) = (self.scan.clone(), directory.clone());
        Some(Listing { scan, number, directory, after, page })
    }

    /// It looked at a path itself: an older listing of it counts for nothing any more. Looks at the
    /// root ask which one stands there, and show nothing of what it holds.
    pub(crate) fn saw(&self, path: &RelPath) {
        if !path.is_root() {
            lock(&self.scan).unwant(path, self.own);
        }
    }

    /// It is about to be told what happened.
    pub(crate) fn note(&self, reply: &StreamReply) {
        let mut scan = lock(&self.scan);
        if scan.epochs.insert(self.own, reply.epoch).is_some_and(|before| before != reply.epoch) {
            // Another NameNode need not know what the one before it showed (rule 1.4).
            scan.unwant_all(self.own);
        }
        scan.join(self.own);
        for event in reply.batches.iter().flat_map(|batch| &batch.events) {
            scan.note(event, self.own);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Listing {
    /// Answers all who wait.
    pub(crate) fn done(self, page: &Page) {
        let mut scan = lock(&self.scan);
        let bytes = page.entries.iter().map(bytes_of).sum();
        let kept = scan.pages.get_mut(&self.directory).and_then(|pages| pages.get_mut(&self.after));
        if let Some(kept) = kept.filter(|kept| kept.number == self.number && kept.wanted != 0) {
            kept.bytes = bytes;
            scan.bytes += bytes;
            self.page.send_replace(Some(Arc::new(page.clone())));
            scan.drop_old();
        }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        if self.page.borrow().is_none() {
            let mut scan = lock(&self.scan);
            scan.remove_numbered(self.number, &self.directory, &self.after);
        }
    }
}

impl Scan {
    fn note(&mut self, event: &Event, seat: u64) {
        match event {
            Event::Created(path)
            | Event::Reopened(path)
            | Event::Closed(path)
            | Event::Truncated(path)
            | Event::DirectoryMade(path)
            | Event::Removed(path)
            | Event::MetadataChanged(path) => self.unwant(path, seat),
            Event::Renamed { from, to } => {
                for path in [from, to].into_iter().flatten() {
                    self.unwant(path, seat);
                }
            }
            // What happens below it while it stands elsewhere is told by nobody.
            Event::RootTouched => self.leave(seat),
        }
    }

    fn join(&mut self, seat: u64) {
        self.present |= seat & !self.gone;
    }

    fn leave(&mut self, seat: u64) {
        self.gone |= seat;
        self.present &= !seat;
        self.unwant_all(seat);
    }

    /// Something is known of a path that is newer than any page that was begun.
    fn unwant(&mut self, path: &RelPath, seat: u64) {
        if self.pages.is_empty() {
            return;
        }
        let (directory, name) = match self.namespace {
            Namespace::Tree => path.split(),
            Namespace::Flat => (RelPath::root(), Bytes::copy_from_slice(path.as_bytes())),
        };
        for (after, kept) in self.pages.get_mut(&directory).into_iter().flatten() {
            if after.as_ref().is_none_or(|after| *after < name) && kept.reaches(path) {
                kept.wanted &= !seat;
            }
        }
        if self.namespace == Namespace::Tree {
            self.unwant_below(path, seat);
        }
    }

    fn unwant_below(&mut self, directory: &RelPath, seat: u64) {
        for kept in self.pages.get_mut(directory).into_iter().flat_map(BTreeMap::values_mut) {
            kept.wanted &= !seat;
        }
        let first = if directory.is_root() { RelPath::root() } else { directory.marker() };
        let below = self.pages.range_mut(first..);
        for (_, pages) in below.take_while(|(path, _)| directory.contains(path)) {
            pages.values_mut().for_each(|kept| kept.wanted &= !seat);
        }
    }

    fn unwant_all(&mut self, seat: u64) {
        for kept in self.pages.values_mut().flat_map(BTreeMap::values_mut) {
            kept.wanted &= !seat;
        }
        self.drop_old();
    }

    /// What nobody wants at its end, what is too old, and the oldest of what is too much.
    fn drop_old(&mut self) {
        while let Some((number, directory, after)) = self.order.front() {
            let kept = self.pages.get(directory).and_then(|pages| pages.get(after));
            let kept = kept.filter(|kept| kept.number == *number);
            if self.bytes <= BYTES_MAX
                && kept.is_some_and(|kept| kept.wanted != 0 && kept.begun.elapsed() < AGE_MAX)
            {
                return;
            }
            let Some((number, directory, after)) = self.order.pop_front() else { return };
            self.remove_numbered(number, &directory, &after);
        }
    }

    fn remove_numbered(&mut self, number: u64, directory: &RelPath, after: &Option<Bytes>) {
        let kept = self.pages.get(directory).and_then(|pages| pages.get(after));
        if kept.is_some_and(|kept| kept.number == number) {
            self.remove(directory, after);
        }
    }

    fn remove(&mut self, directory: &RelPath, after: &Option<Bytes>) {
        let Some(pages) = self.pages.get_mut(directory) else { return };
        if let Some(kept) = pages.remove(after) {
            self.bytes -= kept.bytes;
        }
        if pages.is_empty() {
            self.pages.remove(directory);
        }
    }
}

impl Kept {
    /// True unless the page is known to end before the path.
    fn reaches(&self, path: &RelPath) -> bool {
        let page = self.page.borrow();
        let last = page.as_ref().filter(|page| page.more).and_then(|page| page.entries.last());
        last.is_none_or(|last| *path <= last.path)
    }
}

fn bytes_of(entry: &Entry) -> usize {
    let pin = match &entry.node {
        Node::File(file) => file.pin.len(),
        Node::Directory(_) | Node::Special(_) => 0,
    };
    ENTRY_BYTES + entry.path.as_bytes().len() + pin
}

fn lock(scan: &Mutex<Scan>) -> MutexGuard<'_, Scan> {
    scan.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "shared_scan_tests.rs"]
mod tests;
