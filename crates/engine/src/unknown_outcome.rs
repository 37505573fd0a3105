//! Writes whose outcome is unknown, told once each: an operator has to know what a run waits for.

use whimbrel_core::effect::Effect;
use whimbrel_core::input::Written;
use whimbrel_core::number::AttemptNumber;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Attempt;

/// What one effect writes, in order.
pub(crate) struct Writes {
    operation: &'static str,
    items: Vec<(AttemptNumber, RelPath)>,
}

impl Writes {
    /// Of an effect that writes; `None` of one that makes nothing visible.
    pub(crate) fn of(effect: &Effect) -> Option<Self> {
        let one = |operation, attempt: &AttemptNumber, path: &RelPath| {
            Some(Self { operation, items: vec![(*attempt, path.clone())] })
        };
        match effect {
            Effect::Copy(job) => one("copy", &job.attempt, &job.path),
            Effect::Complete { attempt, path, .. } => one("completion", attempt, path),
            Effect::Relocate { attempt, path, .. } => one("relocation", attempt, path),
            Effect::PutMarker { attempt, path, .. } => one("marker", attempt, path),
            Effect::Remove { items, .. } => {
                let items = items.iter().map(|it| (it.attempt, it.path.clone())).collect();
                Some(Self { operation: "removal", items })
            }
            Effect::Abort { .. }
            | Effect::Persist { .. }
            | Effect::Take { .. }
            | Effect::List { .. }
            | Effect::Examine { .. }
            | Effect::Checksum { .. }
            | Effect::Rows { .. }
            | Effect::Group { .. }
            | Effect::CheckHints { .. }
            | Effect::Inspect { .. }
            | Effect::Inventory { .. }
            | Effect::Poll { .. }
            | Effect::Position { .. }
            | Effect::Pace(_)
            | Effect::Report(_)
            | Effect::CountRemovals { .. }
            | Effect::Densest { .. }
            | Effect::Finish(_) => None,
        }
    }

    /// Tells of those that ended without an answer.
    pub(crate) fn tell_of_unknown(&self, outcomes: &[Written]) {
        for ((attempt, path), outcome) in self.items.iter().zip(outcomes) {
            let Written::Unknown(failure) = outcome else { continue };
            let cause = &failure.message;
            let operation = self.operation;
            tracing::warn!(%path, %attempt, operation, cause, "the outcome of a write is unknown");
        }
    }
}

/// Tells of those that an earlier run left without an answer.
pub(crate) fn tell_of_left(attempts: &[Attempt]) {
    for attempt in attempts.iter().filter(|attempt| attempt.doubtful_until.is_none()) {
        let (path, number, operation) = (&attempt.path, attempt.number, attempt.kind);
        tracing::warn!(
            %path, attempt = %number, ?operation, cause = "the run ended before the answer came",
            "the outcome of a write is unknown"
        );
    }
}
