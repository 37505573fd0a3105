//! What is looked at while a history runs, and at its end.

use whimbrel_core::config::Extras;
use whimbrel_core::effect::Finish;
use whimbrel_core::path::RelPath;

use super::{COPIES_MAX, Happening, Run, ledger_side};
use crate::oracle::{self, Verdict};
use crate::world::target::{Applied, Write};

impl Run {
    /// Writes still on their way when the run ends would prove it wrong.
    pub(super) fn land_late_writes(&mut self) {
        for (_, happening) in std::mem::take(&mut self.happenings) {
            if let Happening::Land(write) = happening {
                self.land_late(write);
            }
        }
    }

    /// A write takes effect that nobody heard of.
    pub(super) fn land_late(&mut self, write: Write) {
        let removed = if let Write::Remove(key, _) = &write { Some(key.clone()) } else { None };
        self.apply(write);
        if let Some(key) = removed {
            self.note_left(&key);
        }
    }

    /// Lets a write take effect, and looks at what readers of the target see now.
    pub(super) fn apply(&mut self, write: Write) -> Applied {
        let (key, gone) = match &write {
            Write::Put(path, ..) | Write::Complete(_, path, ..) => (Some(path.clone()), None),
            Write::Remove(path, ..) => (None, Some(path.clone())),
        };
        self.tally.at(self.now, &self.source);
        let unfounded = gone.as_ref().and_then(|path| {
            let object = self.target.objects.get(path)?;
            self.tally.unfounded(&self.source, path, object, self.now)
        });
        let early = gone.as_ref().and_then(|path| self.gone_early(path));
        let sent = write.clone();
        let applied = self.target.apply(write);
        if applied == Applied::Done {
            self.tally.landed(&sent);
            self.problem = self.problem.take().or(unfounded).or(early);
        }
        let trampled = self.target.trampled.take();
        self.problem = self.problem.take().or(trampled);
        // A write that was refused makes nothing visible.
        let key = key.filter(|_| applied == Applied::Done);
        if let Some(path) = &key {
            self.note_written(path);
        }
        if let (Some(path), Some(ledger), true) = (key, &self.ledger, self.history_is_told()) {
            let told_at = self.history_told_at;
            let early =
                oracle::early_commit_marker(&self.source, &self.target, ledger, &path, told_at);
            self.problem = self.problem.take().or(early);
        }
        if let (Some(path), Applied::Done) = (gone, applied) {
            let late = oracle::late_commit_marker(&self.source, &self.target, &path);
            self.problem = self.problem.take().or(late);
        }
        applied
    }

    /// All rows are true, and what the core claims of them is.
    pub(super) fn examine_everything(&mut self) {
        let Some(ledger) = self.ledger.as_ref().filter(|_| self.history_is_told()) else { return };
        let progress = self.core.progress();
        if progress.copies > COPIES_MAX {
            self.problem.get_or_insert(format!("{} copies at a time", progress.copies));
        }
        let wrong = oracle::claim_of_nothing(&self.source, &progress);
        let wrong = wrong.or_else(|| oracle::untrue_rows(&self.source, &self.target, ledger));
        let wrong = wrong.or_else(|| {
            let there = !self.source.root_away;
            there.then(|| oracle::false_claim(&self.source, &self.target, ledger, &progress))?
        });
        let wrong = wrong.or_else(|| {
            let parked = ledger.parked(None, 10_000).ok()?;
            let aside = |path: &RelPath| parked.iter().any(|(entry, _)| entry.path.contains(path));
            // A side that takes few requests a second answers the last of many so much later.
            let sides = [self.options.target_capacity, self.options.source_capacity];
            let turns: u64 = sides.into_iter().flatten().map(|capacity| 1_000 / capacity).sum();
            let slowest = self.options.latency_max + self.options.ledger_latency_max + turns;
            self.options
                .live
                .then(|| self.tally.stale(&self.source, &self.target, aside, (self.now, slowest)))?
        });
        self.problem = self.problem.take().or(wrong);
        self.tally.at(self.now, &self.source);
    }

    /// Nothing pending is claimed. The core knows what is pending once it was told all that the
    /// ledger did, and the ledger once all was done that the core wants.
    pub(super) fn examine_claims(&mut self) {
        let told = self.ledger_told_at < self.now && self.ledger_free_at < self.now;
        let ledger = self.ledger.as_ref().filter(|_| told && self.history_is_told());
        let Some(ledger) = ledger else { return };
        let wrong = oracle::claim_of_pending(ledger, &self.core.progress());
        self.problem = self.problem.take().or(wrong);
    }

    /// A source that was restored a moment ago has told nobody: until then what is written is of
    /// the state before it.
    pub(super) fn history_is_told(&self) -> bool {
        self.told_past() == self.source.past
    }

    pub(super) fn verdict(mut self, seed: u64) -> Verdict {
        let problem = self.problem.take().or_else(|| match &self.finished {
            Some(Finish::Done) => {
                self.target.end_run();
                let kept = self.options.extras == Extras::Keep;
                let ledger = self.ledger.as_ref();
                oracle::differences(&self.source, &self.target, kept)
                    .or_else(|| oracle::directory_differences(&self.source, ledger?))
                    .or_else(|| {
                        let (counted, intruders) =
                            (ledger?.meta().ok()?.counters, self.options.intrusions > 0);
                        self.tally.miscounted(&self.target, &counted, intruders)
                    })
            }
            Some(other) => Some(format!("ended by {other:?}")),
            None => Some("never ended".to_owned()),
        });
        ledger_side::done_with(self.ledger.take());
        let (trace, steps, coverage) = (self.trace, self.steps, self.coverage);
        Verdict { seed, problem, trace, steps, coverage }
    }
}
