//! The changes of a local tree, told by the kernel through inotify.
//!
//! Numbers are this process's own. They begin at the time of the start in microseconds, so that a
//! later process never begins below them, and the history's name changes with each start: what
//! happened while nobody watched is found by listing.
//!
//! A change made through one of several hard links is told under all names in the tree; what is
//! done through a name outside of it is found by looking (`links.rs`), and so is what is written
//! through a memory mapping (`walk.rs`).
//!
//! Limits: a write that is still under way in another process is told when it ends; the times that
//! a reader checks change when it begins. Other hosts' changes on a network file system are not
//! told at all, and neither is what is mounted over a directory below the root.

mod follower;
mod journal;
mod links;
mod tree;
mod walk;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec};
use whimbrel_core::number::{Time, TxId};

use self::follower::{Follower, MEND_FIRST};
pub(super) use self::links::Links;
use super::blocking;
use super::root::Root;
use crate::error::StoreError;
use crate::source::{Answer, ChangeStream, Memory, Poll};

/// An answer waits so long for news.
const NEWS_WAIT: Duration = Duration::from_millis(100);
/// The reading thread looks whether it is still wanted so often.
const IDLE_WAIT: Duration = Duration::from_millis(250);
/// Whether files with several names are to be looked at is asked so often.
const LINKS_WAIT: Duration = Duration::from_millis(100);

/// The stream of a local tree's changes.
#[derive(Debug)]
pub(super) struct LocalWatch {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    history: String,
    state: Mutex<State>,
    news: Condvar,
    walk_wanted: Condvar,
}

#[derive(Debug)]
struct State {
    follower: Follower,
    /// Following failed: begun anew at the next question.
    broken: Option<StoreError>,
}

impl LocalWatch {
    /// Watches the root, and every directory below it unless it is to be `shallow`; returns when
    /// all are watched. Blocks.
    pub(super) fn open(root: Root, shallow: bool, links: Arc<Links>) -> Result<Self, StoreError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start = u64::try_from(now.as_micros()).unwrap_or(u64::MAX / 2);
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let history = format!("inotify {} {}", boot.trim(), uuid::Uuid::new_v4());
        links.begin();
        let follower = Follower::new(root.clone(), shallow, links.clone(), start)?;
        let handle = follower.handle().map_err(|error| thread_failed(&error))?;
        let state = Mutex::new(State { follower, broken: None });
        let shared =
            Arc::new(Shared { history, state, news: Condvar::new(), walk_wanted: Condvar::new() });
        let weak = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("inotify".to_owned())
            .spawn(move || read_on(&weak, &handle))
            .map_err(|error| thread_failed(&error))?;
        let (weak, whole) = (Arc::downgrade(&shared), root.clone());
        std::thread::Builder::new()
            .name("links".to_owned())
            .spawn(move || keep_up(&weak, &links, &whole, shallow))
            .map_err(|error| thread_failed(&error))?;
        let weak = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("walks".to_owned())
            .spawn(move || walk::walk_on(&weak, &root, shallow))
            .map_err(|error| thread_failed(&error))?;
        Ok(Self { shared })
    }
}

impl ChangeStream for LocalWatch {
    fn position(&self) -> Answer<'_, TxId> {
        let shared = self.shared.clone();
        Box::pin(blocking(move || {
            let mut state = shared.lock();
            state.follow()?;
            Ok(state.follower.journal.newest())
        }))
    }

    fn history(&self) -> Answer<'_, String> {
        Box::pin(std::future::ready(Ok(self.shared.history.clone())))
    }

    fn poll(&self, after: TxId) -> Answer<'_, Poll> {
        let shared = self.shared.clone();
        Box::pin(blocking(move || shared.poll(after, None)))
    }

    fn poll_thoroughly(&self, after: TxId, quiet_since: Time) -> Answer<'_, Poll> {
        let shared = self.shared.clone();
        Box::pin(blocking(move || shared.poll(after, Some(quiet_since))))
    }

    fn digest(&self, txid: TxId) -> Answer<'_, Option<u64>> {
        let digest = self.shared.lock().follower.journal.digest(txid);
        Box::pin(std::future::ready(Ok(digest)))
    }

    fn history_seconds(&self, _position: TxId) -> Answer<'_, Option<u64>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn memory(&self) -> Memory {
        Memory::Follower { remedy: self.shared.lock().follower.gap_remedy }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, after: TxId, quiet_since: Option<Time>) -> Result<Poll, StoreError> {
        let until = Instant::now() + NEWS_WAIT;
        let mut state = self.lock();
        let waits = quiet_since.is_some_and(|since| state.follower.walks.want(since));
        if waits {
            self.walk_wanted.notify_all();
        }
        state.follow()?;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let unwalked = waits && state.follower.walks.is_wanted();
            let unsettled = unwalked || state.follower.is_unsettled();
            let decided = waits && !unsettled;
            if state.follower.journal.has_news(after) || left.is_zero() || decided {
                return Ok(state.follower.journal.poll(after, unsettled));
            }
            let waited = self.news.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    fn follow(&mut self) -> Result<(), StoreError> {
        let outcome = match self.broken.take() {
            Some(_) => self.follower.start_over(MEND_FIRST),
            None => self.follower.follow(),
        };
        self.broken = outcome.clone().err();
        outcome
    }
}

/// Empties the kernel's queue as it fills, for as long as anybody follows.
fn read_on(shared: &Weak<Shared>, handle: &impl std::os::fd::AsFd) {
    let mut wait = IDLE_WAIT;
    loop {
        let nanoseconds = i64::from(wait.subsec_nanos());
        let timeout = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: nanoseconds };
        // Woken for no reason, the queue is looked at for nothing.
        let _ = rustix::event::poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&timeout));
        let Some(shared) = shared.upgrade() else { return };
        let mut state = shared.lock();
        if state.broken.is_none() {
            // A failure stays in the state, and is told to whoever asks next.
            let _ = state.follow();
        }
        let deadline = state.follower.next_deadline();
        let broken = state.broken.is_some();
        drop(state);
        shared.news.notify_all();
        wait = deadline.map_or(IDLE_WAIT, |deadline| {
            deadline.saturating_duration_since(Instant::now()).clamp(NEWS_WAIT / 100, IDLE_WAIT)
        });
        if broken {
            std::thread::sleep(IDLE_WAIT);
        }
    }
}

/// Finds what the kernel does not tell of files with several names, for as long as anybody follows.
fn keep_up(shared: &Weak<Shared>, links: &Links, root: &Root, shallow: bool) {
    let wanted = || shared.strong_count() > 0;
    while wanted() {
        links.keep_up(root, shallow, &wanted);
        std::thread::sleep(LINKS_WAIT);
    }
}

fn thread_failed(error: &std::io::Error) -> StoreError {
    StoreError::Unavailable {
        message: format!("no thread to follow changes with: {error}"),
        remedy: "raise the limits of processes and open files".to_owned(),
    }
}

#[cfg(test)]
mod tests;
