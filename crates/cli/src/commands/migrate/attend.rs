//! A run looked after: what it says is shown, and signals are passed on.

use std::time::Duration;

use tokio::sync::mpsc;
use whimbrel_core::effect::Report;
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_engine::{Control, EngineError, RunResult, Setup};

use super::{Aside, signal_code};
use crate::exit::Signal;
use crate::output::problem::Problems;
use crate::output::view::View;
use crate::signal::Signals;

/// How long a second signal leaves the run to put its state away.
const LAST_GRACE: Duration = Duration::from_secs(3);

/// Runs the engine, shows what it says, and passes signals on.
pub(super) async fn attend(
    setup: Setup,
    mut reports: mpsc::Receiver<Report>,
    signals: &mut Signals,
    problems: &mut Problems,
    view: &View,
    aside: &Aside,
) -> (Result<RunResult, EngineError>, Option<Signal>) {
    let (mut control, orders) = Control::channel();
    let mut stopped_by = None;
    let mut engine = std::pin::pin!(whimbrel_engine::run(setup, orders));
    let mut watching = true;
    let mut owners_told = false;
    let mut look_at_owners = |problems: &mut Problems| {
        if !owners_told && aside.owners_not_set() > 0 {
            owners_told = true;
            view.quietly(|| tell_of_owners(problems));
        }
    };
    let result = loop {
        tokio::select! {
            biased;
            ended = &mut engine => break ended,
            signal = signals.next() => {
                control.stop();
                if stopped_by.replace(signal).is_some() {
                    match tokio::time::timeout(LAST_GRACE, &mut engine).await {
                        Ok(ended) => break ended,
                        // The state is durable at every moment: nothing is lost by going now.
                        Err(_) => std::process::exit(i32::from(signal_code(signal))),
                    }
                }
            }
            Some(report) = reports.recv() => view.quietly(|| problems.report(&report)),
            more = control.changed(), if watching => {
                watching = more;
                look_at_owners(problems);
                view.show(&control.progress());
            }
        }
    };
    view.ended();
    look_at_owners(problems);
    view.quietly(|| {
        while let Ok(report) = reports.try_recv() {
            problems.report(&report);
        }
        let parked = result.iter().flat_map(|result| &result.parked);
        parked.for_each(|parked| problems.parked(parked));
    });
    (result, stopped_by)
}

/// Said once, as soon as it is known.
fn tell_of_owners(problems: &mut Problems) {
    problems.note(
        "owner",
        &Failure {
            side: Side::Target,
            kind: FailureKind::Denied,
            message: "owner or group of what is written to the target cannot be set".to_owned(),
            remedy:
                "run as root, with the users and groups of the source known to this machine; each \
                 file keeps the names in its attribute user.whimbrel.stamp. How many they are \
                 stands in the result (run_owners_not_set)"
                    .to_owned(),
        },
    );
}
