//! Finds what the kernel tells nobody: a store through a memory mapping changes a file and raises
//! no event. So the tree is gone through now and then, and what was modified since the last time,
//! with nothing told of it since, is told as changed.
//!
//! The kernel moves a file's times at the first store into a page that it holds no change of;
//! further ones move nothing until it has written that page back.

use std::hash::{BuildHasher, RandomState};
use std::mem::MaybeUninit;
use std::sync::Weak;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, OFlags, RawDir};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use whimbrel_core::number::Time;
use whimbrel_core::path::RelPath;

use super::super::failure::is_absent;
use super::super::names::is_directory;
use super::super::node;
use super::super::root::{ANOTHER_ROOT, Root, open_quietly};
use super::super::source::COARSE_TICK_NS;
use super::Shared;

/// A walk is owed when the kernel told nothing for so long.
const REST: Duration = Duration::from_millis(500);
/// Pause between two walks, if none is owed.
const PAUSE: Duration = Duration::from_secs(5);
/// Walks take at most this part of the time, if none is owed.
const PAUSE_FACTOR: u32 = 20;
/// Whether one is due, or may go on, is asked so often.
const WAIT: Duration = Duration::from_millis(100);
/// The clock of file times lags behind by less.
const MARGIN_NS: i64 = 100_000_000;
/// A file modified later than that from now has a time that somebody set.
const AHEAD_NS: i64 = 1_000_000_000;
/// With more events that nobody took a walk waits.
const BACKLOG_MAX: usize = 10_000;
/// So many files are told of at once.
const FOUND_MAX: usize = 1_000;
/// Files of which it is remembered that they were told of.
const TOLD_MAX: usize = 1 << 18;
const BUFFER_BYTES: usize = 64 * 1024;

/// When the tree is gone through, and what need not be told.
#[derive(Debug)]
pub(super) struct Walks {
    told: Told,
    /// What was modified earlier the walk before has seen.
    since_ns: i64,
    began: Instant,
    began_ns: i64,
    ended: Instant,
    /// How long the last one took.
    length: Duration,
    last_news: Instant,
    /// The kernel told something since the last one began.
    owed: bool,
    /// One that was owed is under way.
    paying: bool,
    /// The last one told of something.
    found: bool,
    /// When the last one that ended had begun.
    gone_through: Instant,
    /// To decide whether it was quiet since a moment, one is waited for that begins after this.
    wanted: Option<(Time, Instant)>,
}

impl Walks {
    /// What was modified before now is for a scan to find.
    pub(super) fn new() -> Self {
        let (now, now_ns) = (Instant::now(), now_ns());
        Self {
            told: Told { slots: vec![(0, 0); TOLD_MAX], hasher: RandomState::new() },
            since_ns: now_ns.saturating_add(MARGIN_NS),
            began: now,
            began_ns: now_ns,
            ended: now,
            length: Duration::ZERO,
            last_news: now,
            owed: true,
            paying: false,
            found: false,
            gone_through: now,
            wanted: None,
        }
    }

    /// The kernel told something.
    pub(super) fn news(&mut self) {
        self.last_news = Instant::now();
        self.owed = true;
    }

    /// Somebody looks at the file because of what is told of it now.
    pub(super) fn told(&mut self, path: &RelPath) {
        self.told.note(path, now_ns());
    }

    /// Somebody looks at the file as it was modified then.
    pub(super) fn told_as_of(&mut self, path: &RelPath, modified_ns: i64) {
        self.told.note(path, modified_ns.min(now_ns()));
        self.found = true;
    }

    /// Somebody is about to take the source for quiet since that moment. True until a walk ended
    /// that began after the first time that this was said.
    pub(super) fn want(&mut self, quiet_since: Time) -> bool {
        if self.wanted.is_none_or(|(since, _)| since != quiet_since) {
            self.wanted = Some((quiet_since, Instant::now()));
        }
        self.is_wanted()
    }

    /// One is waited for.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.is_some_and(|(_, asked)| self.gone_through < asked)
    }

    /// Nothing was told of the file since it was modified.
    pub(super) fn is_untold(&self, path: &RelPath, modified_ns: i64) -> bool {
        self.told.last(path).is_none_or(|told_ns| told_ns < modified_ns)
    }

    /// The source has come to rest, and was not gone through since. While it does not rest what
    /// was followed is told all the same: it may never rest.
    pub(super) fn is_unsettled(&self) -> bool {
        (self.owed || self.paying) && self.last_news.elapsed() >= REST
    }

    /// Begins a walk if one is due; answers since when it is to find what was modified. One that is
    /// owed waits for a rest as long as itself, and one that is wanted for a pause as long, if
    /// anything happened since the last one began: so changes now and then do not keep the source's
    /// disks busy.
    fn begin(&mut self) -> Option<i64> {
        let now = Instant::now();
        let rested = now.duration_since(self.last_news) >= REST.max(self.length);
        let pause = now.duration_since(self.ended);
        let paused = pause >= PAUSE.max(self.length * PAUSE_FACTOR);
        let idle = !(self.owed || self.found);
        let wanted = self.is_wanted() && (idle || pause >= self.length);
        if !(paused || wanted || self.owed && rested) {
            return None;
        }
        let passed = now.duration_since(self.began).as_nanos();
        let passed_ns = i64::try_from(passed).unwrap_or(i64::MAX);
        let now_ns = now_ns();
        if now_ns < self.began_ns.saturating_add(passed_ns).saturating_sub(MARGIN_NS) {
            // The clock was set back: what was modified since bears times from before.
            self.told.slots.fill((0, 0));
            self.since_ns = self.since_ns.min(now_ns.saturating_sub(passed_ns));
        }
        self.paying = std::mem::take(&mut self.owed);
        self.found = false;
        (self.began, self.began_ns) = (now, now_ns);
        Some(self.since_ns)
    }

    /// A walk ended, `waited` of its time for others. What one that did not come to the end has
    /// left out the next finds.
    fn end(&mut self, whole: bool, waited: Duration) {
        if whole {
            self.since_ns = self.began_ns;
        }
        self.ended = Instant::now();
        self.length = self.ended.duration_since(self.began).saturating_sub(waited);
        self.gone_through = self.began;
        self.paying = false;
    }
}

/// When files were told of last. Of as many as there is room for: one that is forgotten is told
/// once more.
#[derive(Debug)]
struct Told {
    slots: Vec<(u64, i64)>,
    hasher: RandomState,
}

impl Told {
    fn note(&mut self, path: &RelPath, at_ns: i64) {
        let (hash, place) = self.place(path);
        self.slots[place] = (hash, at_ns);
    }

    fn last(&self, path: &RelPath) -> Option<i64> {
        let (hash, place) = self.place(path);
        let (known, at_ns) = self.slots[place];
        (known == hash).then_some(at_ns)
    }

    fn place(&self, path: &RelPath) -> (u64, usize) {
        let hash = self.hasher.hash_one(path.as_bytes());
        let places = u64::try_from(self.slots.len()).unwrap_or(u64::MAX);
        (hash, usize::try_from(hash % places).unwrap_or_default())
    }
}

/// Goes through the tree whenever it is due, for as long as anybody follows.
pub(super) fn walk_on(shared: &Weak<Shared>, root: &Root, shallow: bool) {
    while let Some(owner) = shared.upgrade() {
        let mut state = owner.lock();
        let Some(since_ns) = state.follower.walks.begin() else {
            drop(owner.walk_wanted.wait_timeout(state, WAIT));
            continue;
        };
        drop(state);
        drop(owner);
        let mut walk = Walk { shared, root, since_ns, waited: Duration::ZERO };
        let whole = walk.go(shallow);
        let Some(owner) = shared.upgrade() else { return };
        owner.lock().follower.walks.end(whole, walk.waited);
        owner.news.notify_all();
    }
}

struct Walk<'a> {
    shared: &'a Weak<Shared>,
    root: &'a Root,
    since_ns: i64,
    waited: Duration,
}

/// Files, and when each was modified.
type Found = Vec<(RelPath, i64)>;

impl Walk<'_> {
    /// True if nothing was left out.
    fn go(&mut self, shallow: bool) -> bool {
        let mut whole = true;
        let mut open = vec![RelPath::root()];
        while let Some(directory) = open.pop() {
            if self.shared.strong_count() == 0 {
                return false;
            }
            whole &= match self.look_in(&directory, &mut open) {
                Ok(told) => told,
                // What went is told, what may not be read is reported when it is listed, and all
                // is listed when the root is back.
                Err(errno) => is_absent(errno) || matches!(errno, Errno::ACCESS | ANOTHER_ROOT),
            };
            if shallow {
                open.clear();
            }
        }
        whole
    }

    fn look_in(&mut self, path: &RelPath, below: &mut Vec<RelPath>) -> Result<bool, Errno> {
        let handle = self.root.directory(path.as_bytes())?;
        let directory = open_quietly(handle, b"", OFlags::DIRECTORY)?;
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut entries = RawDir::new(&directory, &mut buffer);
        let (mut found, mut told) = (Found::new(), true);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let kind = entry.file_type();
            if is_directory(&directory, name, kind) {
                below.push(path.join(name));
                continue;
            }
            if !matches!(kind, FileType::RegularFile | FileType::Unknown) {
                continue;
            }
            let Ok(look) = node::look(&directory, name) else { continue };
            let modified_ns = node::nanoseconds(&look.stx_mtime);
            let regular = node::file_type(&look) == FileType::RegularFile;
            if regular && is_since(modified_ns, self.since_ns) {
                found.push((path.join(name), modified_ns));
            }
            if found.len() >= FOUND_MAX {
                told &= self.tell(std::mem::take(&mut found));
            }
        }
        Ok(told && (found.is_empty() || self.tell(found)))
    }

    /// Tells of what the kernel told nothing of. False if that is not known.
    fn tell(&mut self, found: Found) -> bool {
        while let Some(shared) = self.shared.upgrade() {
            let mut state = shared.lock();
            if state.follower.journal.len() <= BACKLOG_MAX {
                // What it told of these files until the look is read first.
                let known = state.broken.is_none() && state.follow().is_ok();
                if known {
                    state.follower.found(found);
                    shared.news.notify_all();
                }
                return known;
            }
            drop(state);
            drop(shared);
            std::thread::sleep(WAIT);
            self.waited += WAIT;
        }
        false
    }
}

/// Modified since then, by a clock of file times that may keep whole seconds only.
fn is_since(modified_ns: i64, since_ns: i64) -> bool {
    let coarse = modified_ns % 1_000_000_000 == 0;
    let lag_ns = if coarse { COARSE_TICK_NS } else { MARGIN_NS };
    let latest_ns = now_ns().saturating_add(AHEAD_NS);
    (since_ns.saturating_sub(lag_ns)..=latest_ns).contains(&modified_ns)
}

/// By the clock that the kernel takes file times from, which ticks: by a finer one a store right
/// after an event would seem to lie before it.
fn now_ns() -> i64 {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(walks: &mut Walks) {
        walks.last_news -= REST;
    }

    /// A source that never rests is followed all the same, and one that came to rest is gone
    /// through before anybody takes it for quiet.
    #[test]
    fn a_walk_is_owed_after_each_rest() {
        let mut walks = Walks::new();
        assert!(!walks.is_unsettled() && walks.begin().is_none(), "it does not rest yet");
        rest(&mut walks);
        assert!(walks.is_unsettled() && walks.begin().is_some() && walks.is_unsettled());
        walks.news();
        assert!(!walks.is_unsettled(), "not while news come");
        rest(&mut walks);
        walks.end(true, Duration::ZERO);
        assert!(walks.is_unsettled(), "what came meanwhile");
        assert!(walks.begin().is_some());
        walks.end(true, Duration::ZERO);
        assert!(!walks.is_unsettled() && walks.begin().is_none(), "all was paid");
        walks.ended -= PAUSE;
        assert!(walks.begin().is_some() && !walks.is_unsettled(), "nothing holds back for this");
    }

    /// Before anybody takes it for quiet, whether it rests or not; a walk that began before that
    /// was wanted may have missed something.
    #[test]
    fn a_walk_that_is_wanted_begins_at_once() {
        let mut walks = Walks::new();
        assert!(walks.want(Time(1)) && walks.begin().is_some(), "it need not rest");
        assert!(walks.want(Time(1)), "under way");
        walks.end(true, Duration::ZERO);
        assert!(!walks.want(Time(1)) && walks.begin().is_none(), "that is decided");
        walks.ended -= PAUSE;
        assert!(walks.begin().is_some());
        assert!(walks.want(Time(2)));
        walks.end(true, Duration::ZERO);
        assert!(walks.want(Time(2)), "that one began before");
        assert!(walks.begin().is_some());
        walks.end(false, Duration::ZERO);
        assert!(!walks.want(Time(2)), "what it could not read is told by others");
    }

    /// While something happens, or is found, walks that are wanted take half of the time; if
    /// nothing does, nobody waits for longer than a walk takes.
    #[test]
    fn wanted_walks_pause_as_long_as_they_take() {
        let mut walks = Walks::new();
        let long_walk = |walks: &mut Walks, number: u64| {
            assert!(walks.want(Time(number)) && walks.begin().is_some());
            walks.began -= PAUSE;
        };
        let found: fn(&mut Walks) = |walks| walks.told_as_of(&RelPath::from("a"), 0);
        for (number, happens) in [(1, Walks::news as fn(&mut Walks)), (2, found)] {
            long_walk(&mut walks, number);
            happens(&mut walks);
            walks.end(true, Duration::ZERO);
            assert!(walks.want(Time(number + 10)) && walks.begin().is_none());
            walks.ended -= walks.length;
        }
        for number in [3, 4] {
            long_walk(&mut walks, number);
            walks.end(true, Duration::ZERO);
        }
    }

    /// Going through a large tree takes a part of the time, whatever comes.
    #[test]
    fn long_walks_pause_longer() {
        let mut walks = Walks::new();
        rest(&mut walks);
        assert!(walks.begin().is_some());
        walks.began -= PAUSE;
        walks.end(true, Duration::ZERO);
        walks.news();
        rest(&mut walks);
        assert!(walks.begin().is_none(), "it rested for less than a walk takes");
        walks.ended -= PAUSE * PAUSE_FACTOR / 2;
        assert!(walks.begin().is_none());
        walks.ended -= PAUSE * PAUSE_FACTOR;
        assert!(walks.begin().is_some());
    }

    /// What a walk was to find is found by the next one if that one did not come to the end, and
    /// after the clock was set back.
    #[test]
    fn what_was_left_out_is_found_later() {
        let mut walks = Walks::new();
        rest(&mut walks);
        let first = walks.begin().expect("due");
        walks.end(false, Duration::ZERO);
        walks.ended -= PAUSE;
        assert_eq!(walks.begin(), Some(first));
        walks.end(true, Duration::ZERO);
        walks.ended -= PAUSE;
        let path = RelPath::from("a");
        walks.told(&path);
        assert!(!walks.is_untold(&path, now_ns() - AHEAD_NS) && walks.is_untold(&path, i64::MAX));
        let hour_ns = 3_600_000_000_000;
        walks.began_ns += hour_ns;
        walks.since_ns = walks.began_ns;
        assert!(walks.begin().expect("due") <= now_ns());
        assert!(walks.is_untold(&path, now_ns() - AHEAD_NS), "told by another clock");
    }

    #[test]
    fn times_within_a_walk() {
        let second_ns = 1_000_000_000;
        let now = now_ns() / second_ns * second_ns - 10 * second_ns;
        for (modified_ns, since) in [
            (now + 1, true),
            (now - MARGIN_NS, true),
            (now - MARGIN_NS - 1, false),
            (now - second_ns, true),
            (now - 3 * second_ns, false),
            (now + 60 * second_ns, false),
        ] {
            assert_eq!(is_since(modified_ns, now), since, "{}", modified_ns - now);
        }
    }
}
