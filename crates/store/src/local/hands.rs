//! Threads for short pieces of work that may block. To wake a thread costs more than to look at a
//! small file, so whoever is at work goes on with what came meanwhile, and another hand joins only
//! where something was left lying for a moment: the others wait for a disk or a network then.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::ended_early;
use crate::error::StoreError;

/// What lies for so long is taken by another hand, and so often one may join.
const LYING_MAX: Duration = Duration::from_millis(1);
/// A hand that has nothing to do for so long goes.
const IDLE_MAX: Duration = Duration::from_secs(10);
const HANDS_MAX: usize = 512;

type Work = Box<dyn FnOnce() + Send>;

static HANDS: Hands = Hands::new();

/// Runs a short piece of work that may block.
pub(super) async fn lend<T, F>(work: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    HANDS.give(Box::new(move || {
        // Where nobody waits any more, nobody misses it.
        let _ = answer.send(work());
    }));
    answered.await.unwrap_or_else(|gone| Err(ended_early(&gone)))
}

struct Hands {
    desk: Mutex<Desk>,
    called: Condvar,
}

struct Desk {
    /// With the time since when it lies there.
    lying: VecDeque<(Instant, Work)>,
    hands: usize,
    at_work: usize,
    /// When a hand went to work beside others.
    joined: Option<Instant>,
    /// One hand looks whether work is left lying.
    watched: bool,
    /// A hand was called and has not come yet.
    coming: bool,
}

impl Desk {
    /// When another hand is to take what lies longest; `None` if nothing does.
    fn due(&self) -> Option<Instant> {
        let (since, _) = self.lying.front()?;
        if self.at_work == 0 {
            return Some(*since);
        }
        Some(self.joined.map_or(*since, |joined| joined.max(*since)) + LYING_MAX)
    }
}

impl Hands {
    const fn new() -> Self {
        let desk = Desk {
            lying: VecDeque::new(),
            hands: 0,
            at_work: 0,
            joined: None,
            watched: false,
            coming: false,
        };
        Self { desk: Mutex::new(desk), called: Condvar::new() }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&'static self, work: Work) {
        let mut desk = self.desk();
        desk.lying.push_back((Instant::now(), work));
        let is_called = self.call(&mut desk);
        if desk.at_work == 0 && !is_called {
            // No thread is to be had: whoever asks for it does the work.
            drop(self.work(desk));
        }
    }

    /// Sees to it that somebody looks after what lies there; false if nobody can.
    fn call(&'static self, desk: &mut Desk) -> bool {
        if desk.coming || desk.at_work > 0 && desk.watched {
            return true;
        }
        if desk.hands > desk.at_work {
            self.called.notify_one();
        } else {
            let hand = std::thread::Builder::new().name("local".to_owned());
            if desk.hands >= HANDS_MAX || hand.spawn(|| self.serve()).is_err() {
                return false;
            }
            desk.hands += 1;
        }
        desk.coming = true;
        true
    }

    /// One hand, until it has had nothing to do for a while.
    fn serve(&'static self) {
        let mut desk = self.desk();
        loop {
            desk.coming = false;
            let left = desk.due().map(|due| due.saturating_duration_since(Instant::now()));
            match left {
                Some(Duration::ZERO) => desk = self.work(desk),
                Some(left) if !desk.watched => {
                    desk.watched = true;
                    desk = self.wait(desk, left).0;
                    desk.watched = false;
                }
                Some(_) | None => {
                    let (woken, in_vain) = self.wait(desk, IDLE_MAX);
                    desk = woken;
                    if in_vain && desk.lying.is_empty() {
                        desk.hands -= 1;
                        return;
                    }
                }
            }
        }
    }

    fn work(&'static self, mut desk: MutexGuard<'static, Desk>) -> MutexGuard<'static, Desk> {
        desk.joined = Some(Instant::now());
        desk.at_work += 1;
        while let Some((_, work)) = desk.lying.pop_front() {
            if !desk.lying.is_empty() {
                // Those at work go on if nobody else can.
                self.call(&mut desk);
            }
            drop(desk);
            // What panics has dropped its answer, and the hand is needed.
            let _ = catch_unwind(AssertUnwindSafe(work));
            desk = self.desk();
        }
        desk.at_work -= 1;
        desk
    }

    /// Until it is called; true if it was not.
    fn wait<'a>(
        &self,
        desk: MutexGuard<'a, Desk>,
        at_most: Duration,
    ) -> (MutexGuard<'a, Desk>, bool) {
        let waited = self.called.wait_timeout(desk, at_most);
        let (desk, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        (desk, waited.timed_out())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{channel, sync_channel};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn hands() -> &'static Hands {
        Box::leak(Box::new(Hands::new()))
    }

    #[test]
    fn what_lies_behind_work_that_waits_is_done() {
        let hands = hands();
        let (begun, begins) = channel();
        let (go_on, wait) = sync_channel::<()>(0);
        let wait = std::sync::Arc::new(Mutex::new(wait));
        for number in 0..20 {
            let (begun, wait) = (begun.clone(), wait.clone());
            hands.give(Box::new(move || {
                begun.send(number).unwrap();
                // All of them wait: one for the channel, the others for their turn at it.
                let _ = wait.lock().unwrap().recv();
            }));
        }
        let mut seen: Vec<i32> = (0..20).map(|_| begins.recv_timeout(PATIENCE).unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        drop(go_on);
        let (answer, answered) = channel();
        hands.give(Box::new(move || answer.send(()).unwrap()));
        answered.recv_timeout(PATIENCE).unwrap();
    }

    #[test]
    fn a_hand_joins_once_in_a_while() {
        let hands = hands();
        let begun = Instant::now();
        let (answer, answered) = channel();
        for _ in 0..2_000 {
            let answer = answer.clone();
            hands.give(Box::new(move || answer.send(()).unwrap()));
        }
        for _ in 0..2_000 {
            answered.recv_timeout(PATIENCE).unwrap();
        }
        // One works and one watches; each further one came after a moment.
        let most = 2 + begun.elapsed().as_millis();
        assert!(hands.desk().hands as u128 <= most, "{} hands", hands.desk().hands);
    }

    #[tokio::test]
    async fn work_that_breaks_is_an_error_and_the_next_is_done() {
        for _ in 0..3 {
            let broken = lend(|| -> Result<(), StoreError> { panic!("of the test") }).await;
            assert!(matches!(broken, Err(StoreError::Unavailable { .. })), "{broken:?}");
            assert_eq!(lend(|| Ok(7)).await.unwrap(), 7);
        }
    }
}
