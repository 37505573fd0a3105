//! How long the NameNode still keeps the edits behind a position, estimated (rule 8.3).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use whimbrel_core::number::TxId;
use whimbrel_hdfs::{Client, Configuration};

const EXTRA: &str = "dfs.namenode.num.extra.edits.retained";
const CHECKPOINT_TRANSACTIONS: &str = "dfs.namenode.checkpoint.txns";
const CHECKPOINT_PERIOD: &str = "dfs.namenode.checkpoint.period";
/// Rates are measured over at least so long, and over at most twice the second.
const WINDOW_MIN: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(120);

/// What is known of the edit log's length and growth.
pub(crate) struct Retention {
    kept: Option<Kept>,
    seen: Mutex<Seen>,
}

/// What a NameNode keeps: the edits since the checkpoint before the latest, and some more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    extra: u64,
    checkpoint_transactions: u64,
    checkpoint_seconds: u64,
}

#[derive(Default)]
struct Seen {
    newest: u64,
    /// The begin of this window and of the one before.
    marks: [Option<(Instant, u64)>; 2],
}

impl Retention {
    /// Asks the active NameNode's web server for its configuration. Without an answer (another
    /// port than the usual one, a firewall) the length of the log stays unknown.
    pub async fn learn(client: &Client) -> Self {
        let configuration = client.server_configuration().await.ok();
        let kept = configuration.as_ref().and_then(Kept::of);
        Self::new(kept)
    }

    fn new(kept: Option<Kept>) -> Self {
        Self { kept, seen: Mutex::default() }
    }

    /// Notes how far the log has come.
    pub fn observe(&self, newest: TxId) {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.newest = newest.0;
        let full = seen.marks[0].is_none_or(|(begin, _)| now.duration_since(begin) > WINDOW);
        if full {
            seen.marks = [Some((now, newest.0)), seen.marks[0]];
        }
    }

    /// Seconds until the edits behind `position` may be gone at the present rate.
    pub fn seconds(&self, position: TxId) -> Option<u64> {
        let kept = self.kept?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (begin, from) = seen.marks[1].or(seen.marks[0])?;
        let elapsed = begin.elapsed();
        if elapsed < WINDOW_MIN {
            return None;
        }
        let made = u128::from(seen.newest.saturating_sub(from).max(1));
        let millis = elapsed.as_millis();
        let period = u128::from(kept.checkpoint_seconds) * made * 1000 / millis.max(1);
        let since_checkpoint = period.min(u128::from(kept.checkpoint_transactions));
        let behind = u128::from(seen.newest.saturating_sub(position.0));
        let left = (u128::from(kept.extra) + since_checkpoint).saturating_sub(behind);
        let seconds = left * millis / made / 1000;
        Some(u64::try_from(seconds).unwrap_or(u64::MAX))
    }
}

impl Kept {
    fn of(configuration: &Configuration) -> Option<Self> {
        Some(Self {
            extra: configuration.get(EXTRA)?.parse().ok()?,
            checkpoint_transactions: configuration.get(CHECKPOINT_TRANSACTIONS)?.parse().ok()?,
            checkpoint_seconds: seconds(&configuration.get(CHECKPOINT_PERIOD)?)?,
        })
    }
}

/// A time as Hadoop writes it: seconds, or a number with its unit.
fn seconds(text: &str) -> Option<u64> {
    let cut = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(cut);
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rule_8_3_seconds_follow_from_rate_and_lag() {
        let kept = Kept { extra: 1000, checkpoint_transactions: 300, checkpoint_seconds: 20 };
        let retention = Retention::new(Some(kept));
        assert_eq!(retention.seconds(TxId(0)), None, "nothing was seen yet");
        retention.observe(TxId(5000));
        tokio::time::advance(Duration::from_secs(20)).await;
        retention.observe(TxId(5200));
        // Ten a second: 1,200 are kept, and the position lies 100 behind.
        assert_eq!(retention.seconds(TxId(5100)), Some(110));
        assert_eq!(retention.seconds(TxId(100)), Some(0));
        assert_eq!(Retention::new(None).seconds(TxId(1)), None);
    }

    #[test]
    fn times_have_units() {
        for (text, expected) in [("3600", 3600), ("3600s", 3600), ("60m", 3600), ("1d", 86_400)] {
            assert_eq!(super::seconds(text), Some(expected), "{text}");
        }
        assert_eq!(super::seconds("1 fortnight"), None);
    }
}
