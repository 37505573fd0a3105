//! How much edit history the source has left, watched beside the work (rule 8.3).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use whimbrel_core::effect::{Report, ReportKind};
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::number::TxId;

use crate::problems::Problems;
use crate::progress::Progress;
use crate::world::World;

/// Pause between two questions.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// With less than this left people are told: time enough to do something before the gap.
const LEFT_SECONDS_MIN: u64 = 900;

/// Asks now and then how much is left, keeps it in `seconds` (one more than it is, 0: not known)
/// and tells when it becomes short.
pub(crate) async fn watch_history(
    world: Arc<World>,
    told: watch::Receiver<Progress>,
    seconds: Arc<AtomicU64>,
    problems: Problems,
) {
    let Some(stream) = &world.stream else { return };
    let mut alarm = Alarm::default();
    loop {
        let applied = told.borrow().applied_txid;
        if let Some(applied) = applied {
            let left = stream.history_seconds(TxId(applied)).await;
            seconds.store(left.map_or(0, |left| left.saturating_add(1)), Ordering::Relaxed);
            if let Some(report) = left.and_then(|left| alarm.consider(left)) {
                problems.tell(report);
            }
        }
        let wait = if applied.is_some() { ASK_EVERY } else { Duration::from_secs(1) };
        tokio::time::sleep(wait).await;
    }
}

/// Raised once, until there was twice as much as it asks for.
#[derive(Debug, Default)]
struct Alarm {
    raised: bool,
}

impl Alarm {
    fn consider(&mut self, left_seconds: u64) -> Option<Report> {
        if left_seconds >= 2 * LEFT_SECONDS_MIN {
            self.raised = false;
        }
        if self.raised || left_seconds >= LEFT_SECONDS_MIN {
            return None;
        }
        self.raised = true;
        let message = format!(
            "the source drops the changes that are not read yet in about {left_seconds} s at the \
             present rate"
        );
        let remedy = "raise its limits (--namenode-calls, --transfers) if it lags, or have the \
                      NameNode keep more (dfs.namenode.num.extra.edits.retained); after a gap \
                      everything is listed again, and no unchanged file is read";
        Some(Report {
            path: None,
            kind: ReportKind::HistoryShort,
            failure: Failure {
                side: Side::Source,
                kind: FailureKind::Unavailable,
                message,
                remedy: remedy.to_owned(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_8_3_alarm_comes_before_the_gap_and_once() {
        let mut alarm = Alarm::default();
        for (left_seconds, raised) in [
            (100_000, false),
            (900, false),
            (899, true),
            (300, false),
            (1_799, false),
            (10, false),
            (1_800, false),
            (0, true),
        ] {
            let report = alarm.consider(left_seconds);
            assert_eq!(report.is_some(), raised, "{left_seconds}");
            assert!(report.is_none_or(|it| it.kind == ReportKind::HistoryShort));
        }
    }
}
