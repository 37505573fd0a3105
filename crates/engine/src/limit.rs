//! Token buckets (rule 9.2): so much per second, changeable while they run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// Tokens are handed out in portions of a tenth of a second, so that the flow is smooth.
const QUANTUM: Duration = Duration::from_millis(100);
const QUANTA_PER_SECOND: f64 = 10.0;

/// The limits of one run. 0 is none.
#[derive(Debug, Default)]
pub struct Limits {
    /// Bytes read from the source per second.
    pub bandwidth_bytes: Rate,
    /// Calls to the source's metadata service per second.
    pub source_calls: Rate,
    /// Requests to the target per second.
    pub target_requests: Rate,
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
                tokio::time::sleep(Duration::from_secs_f64(lacking).min(QUANTUM)).await;
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
