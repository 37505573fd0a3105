//! What people should know, on its way to them without ever holding the run up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use whimbrel_core::effect::Report;

/// Reports that wait to be shown; later ones are counted only.
const WAITING_MAX: usize = 4_096;

/// The engine's end. What does not fit is dropped and counted: paths that failed stand in the
/// ledger, and the result names them all.
#[derive(Clone, Debug)]
pub struct Problems {
    reports: mpsc::Sender<Report>,
    dropped: Arc<AtomicU64>,
}

impl Problems {
    /// The engine's end and the end of whoever shows the reports.
    pub fn channel() -> (Self, mpsc::Receiver<Report>) {
        let (reports, shown) = mpsc::channel(WAITING_MAX);
        (Self { reports, dropped: Arc::default() }, shown)
    }

    /// Reports that nobody took in time.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn tell(&self, report: Report) {
        if self.reports.try_send(report).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_core::effect::ReportKind;
    use whimbrel_core::failure::{Failure, FailureKind, Side};

    use super::*;

    #[test]
    fn nobody_listening_never_blocks_and_is_counted() {
        let (problems, mut shown) = Problems::channel();
        let report = Report {
            path: Some("a".into()),
            kind: ReportKind::Failed,
            failure: Failure {
                side: Side::Target,
                kind: FailureKind::Refused,
                message: "no".into(),
                remedy: String::new(),
            },
        };
        for _ in 0..WAITING_MAX + 3 {
            problems.tell(report.clone());
        }
        assert_eq!(problems.dropped(), 3);
        assert_eq!(shown.try_recv().unwrap(), report);
    }
}
