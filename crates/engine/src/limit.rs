//! Token buckets (rule 9.2): so much per second, changeable while they run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::Instant;
use whimbrel_core::budget::{Ceilings, Pace, Paced};

use crate::control::{Control, NewLimits};

/// Tokens are handed out in portions of a tenth of a second, so that the flow is smooth.
const QUANTUM: Duration = Duration::from_millis(100);
const QUANTA_PER_SECOND: f64 = 10.0;
/// Timers are no finer; what rounding leaves of a token is not waited for without end.
const TICK: Duration = Duration::from_millis(1);

/// The limits of one run, as a person set them before it; then as fast as the core has it go. 0 is
/// none.
#[derive(Debug, Default)]
pub struct Limits {
    /// Bytes read from the source per second.
    pub bandwidth_bytes: Rate,
    /// Calls to the source's metadata service per second.
    pub source_calls: Rate,
    /// Requests to the target per second.
    pub target_requests: Rate,
    /// Of these, those that concern a prefix where the target asked for less.
    pub prefixes: Prefixes,
    /// What is spent on the source along with other migrations.
    pub common: Option<Arc<CommonLimits>>,
}

/// What several migrations of one source may spend on it together, as a person set it. What each
/// does less than that, because the source asked it for less, is its own.
#[derive(Debug, Default)]
pub struct CommonLimits {
    bandwidth_bytes: Rate,
    source_calls: Rate,
    told: std::sync::Mutex<Told>,
}

/// Who is to be told of new limits, and what was told since the beginning.
#[derive(Debug, Default)]
struct Told {
    controls: Vec<Control>,
    limits: Vec<NewLimits>,
}

impl CommonLimits {
    /// Beginning with what a person allows each.
    pub fn new(limits: &Limits) -> Self {
        let common = Self::default();
        common.follow(limits.ceilings());
        common
    }

    fn follow(&self, ceilings: Ceilings) {
        self.bandwidth_bytes.set(ceilings.bandwidth_bytes.unwrap_or_default());
        self.source_calls.set(ceilings.source_calls.unwrap_or_default());
    }

    /// A migration begins: what was told to the others holds for it too.
    pub(crate) fn join(&self, control: &Control) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.limits.iter().for_each(|limits| control.limit_with_others(limits.clone()));
        told.controls.push(control.clone());
    }

    /// What one was told of the source holds for all.
    pub(crate) fn pass_on(&self, own: &Control, limits: &NewLimits) {
        let limits = limits.of_source();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for control in told.controls.iter().filter(|control| !control.is_same(own)) {
            control.limit_with_others(limits.clone());
        }
        told.limits.push(limits);
    }
}

impl Limits {
    /// What holds now, as the core takes it.
    pub(crate) fn ceilings(&self) -> Ceilings {
        let limit = |rate: &Rate| Some(rate.get()).filter(|per_second| *per_second > 0);
        Ceilings {
            bandwidth_bytes: limit(&self.bandwidth_bytes),
            source_calls: limit(&self.source_calls),
            target_requests: limit(&self.target_requests),
        }
    }

    /// As the core has it from now on.
    pub(crate) fn pace(&self, pace: Pace) {
        let per_second = pace.per_second.unwrap_or_default();
        match pace.what {
            Paced::Bandwidth => self.bandwidth_bytes.set(per_second),
            Paced::SourceCalls => self.source_calls.set(per_second),
            Paced::TargetRequests => self.target_requests.set(per_second),
            Paced::Prefix(prefix) => self.prefixes.set(prefix, per_second),
        }
    }

    /// A run begins that obeys this.
    pub(crate) fn join(&self, control: &Control) {
        if let Some(common) = &self.common {
            common.join(control);
        }
    }

    /// What a person allows, to all who share it.
    pub(crate) fn share(&self, ceilings: Ceilings) {
        if let Some(common) = &self.common {
            common.follow(ceilings);
        }
    }

    /// Waits until one call to the source's metadata service may pass.
    pub(crate) async fn take_source_call(&self) {
        self.source_calls.take(1).await;
        if let Some(common) = &self.common {
            common.source_calls.take(1).await;
        }
    }

    /// Waits until so many bytes of the source may pass.
    pub(crate) async fn take_bandwidth(&self, bytes: u64) {
        self.bandwidth_bytes.take(bytes).await;
        if let Some(common) = &self.common {
            common.bandwidth_bytes.take(bytes).await;
        }
    }
}

/// Rates of those prefixes of the target that have one.
#[derive(Debug, Default)]
pub struct Prefixes {
    /// Most runs have none, and pay no more than this look for it.
    any: AtomicBool,
    rates: RwLock<BTreeMap<Bytes, Arc<Rate>>>,
}

impl Prefixes {
    fn set(&self, prefix: Bytes, per_second: u64) {
        let mut rates = self.rates.write().unwrap_or_else(PoisonError::into_inner);
        match per_second {
            // Those who wait for it go on.
            0 => rates.remove(&prefix).into_iter().for_each(|rate| rate.set(0)),
            _ => rates.entry(prefix).or_default().set(per_second),
        }
        self.any.store(!rates.is_empty(), Ordering::Relaxed);
    }

    /// Waits until one request may pass.
    pub(crate) async fn take(&self, prefix: &[u8]) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let rate = self.rates.read().unwrap_or_else(PoisonError::into_inner).get(prefix).cloned();
        if let Some(rate) = rate {
            rate.take(1).await;
        }
    }
}

/// So much per second, first come, first served. Over any time it hands out at most what the rate
/// allows for that time and one tenth of a second.
#[derive(Debug, Default)]
pub struct Rate {
    per_second: AtomicU64,
    bucket: Mutex<Option<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Rate {
    /// So much per second; 0: no limit.
    pub fn new(per_second: u64) -> Self {
        Self { per_second: AtomicU64::new(per_second), bucket: Mutex::default() }
    }

    /// So much per second from now on; 0: no limit. Those who wait feel it within a tenth of a
    /// second.
    pub fn set(&self, per_second: u64) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }

    /// What holds now; 0: no limit.
    pub fn get(&self) -> u64 {
        self.per_second.load(Ordering::Relaxed)
    }

    /// Waits until `amount` may pass.
    pub async fn take(&self, amount: u64) {
        if self.get() == 0 {
            return;
        }
        // Held while waiting: whoever comes later stands behind.
        let mut held = self.bucket.lock().await;
        let now = Instant::now();
        let bucket = held.get_or_insert(Bucket { tokens: 0.0, filled: now });
        let mut wanted = amount as f64;
        while wanted > 0.0 {
            let per_second = self.get() as f64;
            if per_second == 0.0 {
                *held = None;
                return;
            }
            bucket.fill(per_second);
            let granted = wanted.min(bucket.tokens.max(0.0));
            bucket.tokens -= granted;
            wanted -= granted;
            if wanted > 0.0 {
                let lacking = wanted.min(per_second / QUANTA_PER_SECOND) / per_second;
                tokio::time::sleep(Duration::from_secs_f64(lacking).clamp(TICK, QUANTUM)).await;
            }
        }
    }
}

impl Bucket {
    fn fill(&mut self, per_second: f64) {
        let now = Instant::now();
        let earned = now.duration_since(self.filled).as_secs_f64() * per_second;
        let most = (per_second / QUANTA_PER_SECOND).max(1.0);
        self.tokens = (self.tokens + earned).min(most);
        self.filled = now;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use whimbrel_core::number::Time;
    use whimbrel_core::timetable::{LocalTime, Period, Timetable};

    use super::*;

    /// Takes pieces for a minute and answers how much passed in each tenth of a second.
    async fn passed(rate: Arc<Rate>, piece: u64, seconds: u64) -> Vec<u64> {
        let start = Instant::now();
        let mut tenths = vec![0; usize::try_from(seconds * 10).unwrap()];
        loop {
            rate.take(piece).await;
            let tenth = usize::try_from(start.elapsed().as_millis() / 100).unwrap();
            match tenths.get_mut(tenth) {
                Some(sum) => *sum += piece,
                None => return tenths,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rule_9_2_exact_over_a_minute_and_smooth() {
        for (per_second, piece) in [(25_000_000, 65_536), (1_000_000, 1_000_000), (300, 1)] {
            let tenths = passed(Arc::new(Rate::new(per_second)), piece, 60).await;
            let sum: u64 = tenths.iter().sum();
            let expected = per_second * 60;
            let slack = per_second / 10 + piece;
            assert!(sum <= expected + slack, "{sum} of {expected}");
            assert!(sum + expected / 100 + slack >= expected, "{sum} of {expected}");
            let most = tenths.iter().max().copied().unwrap_or_default();
            assert!(most <= per_second / 5 + piece, "{most} in a tenth of a second");
        }
    }

    /// The bucket goes with the timetable: over any time it gives no more than the sum of what that
    /// says and a tenth of a second.
    #[tokio::test(start_paused = true)]
    async fn rule_9_2_a_timetable_is_held_to() {
        const PIECE: u64 = 100;
        // From Thursday, 00:00, in the core's first minutes.
        let minute = |number: u16, rate| Period {
            from_minute: 4_320 + number,
            to_minute: 4_321 + number,
            bytes_per_second: Some(rate),
        };
        let periods = vec![minute(0, 3_000), minute(1, 90_000), minute(2, 200), minute(4, 40_000)];
        let timetable = Timetable::new(periods, Some(1_000)).unwrap();
        let (local, start) = (LocalTime::default(), Instant::now());
        let says = move |millis: u64| timetable.at(&local, Time(millis)).unwrap();
        let limits = Arc::new(Limits::default());
        limits.bandwidth_bytes.set(says(0));
        let taker = tokio::spawn({
            let limits = limits.clone();
            async move {
                let mut taken = vec![0_i64; 360_000];
                loop {
                    limits.bandwidth_bytes.take(PIECE).await;
                    let millis = usize::try_from(start.elapsed().as_millis()).unwrap();
                    let Some(sum) = taken.get_mut(millis) else { return taken };
                    *sum += i64::try_from(PIECE * 1_000).unwrap();
                }
            }
        });
        for number in 1..=6 {
            tokio::time::sleep_until(start + Duration::from_secs(number * 60)).await;
            let per_second = Some(says(number * 60_000));
            limits.pace(Pace { what: Paced::Bandwidth, per_second });
        }
        let (mut ahead, mut lowest, mut all) = (0, 0, 0);
        for (millis, taken) in (0..).zip(taker.await.unwrap()) {
            let allowed = i64::try_from(says(millis)).unwrap();
            all += allowed - taken;
            ahead += taken - allowed;
            lowest = ahead.min(lowest);
            let most = i64::try_from(90_000 / 10 + PIECE).unwrap() * 1_000;
            assert!(ahead - lowest <= most, "{} too many at {millis} ms", ahead - lowest);
        }
        assert!(all < 90_000 * 1_000, "{all} thousandths of a byte were not taken");
    }

    #[tokio::test(start_paused = true)]
    async fn rule_9_2_idle_time_is_not_saved_up() {
        let rate = Rate::new(1000);
        rate.take(1).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let start = Instant::now();
        rate.take(1100).await;
        let waited = start.elapsed().as_millis();
        assert!((990..=1110).contains(&waited), "{waited} ms for 1.1 seconds' worth");
    }

    #[tokio::test(start_paused = true)]
    async fn rule_9_2_a_slow_prefix_slows_no_other() {
        let limits = Arc::new(Limits::default());
        let pace = |per_second| Pace { what: Paced::Prefix("hot".into()), per_second };
        limits.pace(pace(Some(2)));
        let start = Instant::now();
        for _ in 0..100 {
            limits.prefixes.take(b"cool").await;
        }
        assert!(start.elapsed().is_zero());
        for _ in 0..10 {
            limits.prefixes.take(b"hot").await;
        }
        let waited = start.elapsed().as_millis();
        assert!((4_400..=5_200).contains(&waited), "{waited} ms for 10 requests");
        let waiting = tokio::spawn({
            let limits = limits.clone();
            async move {
                for _ in 0..1_000 {
                    limits.prefixes.take(b"hot").await;
                }
            }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        limits.pace(pace(None));
        let within = tokio::time::timeout(Duration::from_secs(1), waiting).await;
        assert!(within.is_ok(), "no pace of its own any more, and still it waits");
    }

    #[tokio::test(start_paused = true)]
    async fn rule_9_2_change_while_somebody_waits() {
        let rate = Arc::new(Rate::new(10));
        let waiting = tokio::spawn({
            let rate = rate.clone();
            async move { rate.take(1_000_000).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        rate.set(0);
        let within = tokio::time::timeout(Duration::from_secs(1), waiting).await;
        assert!(within.is_ok(), "no limit any more, and still it waits");
    }
}
