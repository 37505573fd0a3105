//! Histories that are written down: the same run, but what happens between two effects, and what
//! becomes of an effect, is decided by the one who wrote the history.

use fastrand::Rng;
use whimbrel_core::config::Extras;
use whimbrel_core::effect::{Effect, Finish, Report, ReportKind};
use whimbrel_core::failure::Side;
use whimbrel_core::input::{Input, Listed, Streamed};
use whimbrel_core::migration::Migration;
use whimbrel_core::number::Time;
use whimbrel_core::path::RelPath;
use whimbrel_ledger::Ledger;

use super::target_side::Fate;
use super::{Happening, Run, unavailable};
use crate::options::Options;
use crate::oracle;
use crate::world::source::{Content, Source};
use crate::world::target::Target;

/// What becomes of an effect that was held back.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// It is carried out now; the core hears of it after so many milliseconds.
    Heard(u64),
    /// A write: the core hears of no end; it takes effect after so many milliseconds.
    Unheard(u64),
    /// A write: nothing happens, and the core hears that.
    Fails,
    /// A write: the store does not do such things.
    Refuses,
    /// A write: there are no rights at this place.
    Forbids,
}

impl Run {
    /// A history without weather.
    ///
    /// # Errors
    ///
    /// If the ledger cannot be opened.
    pub fn still(options: Options) -> Result<Self, String> {
        let verbose = std::env::var_os("WHIMBREL_SIM_VERBOSE").is_some();
        let run = Self::new(options, Rng::with_seed(1), verbose)?;
        // No later run makes good what this one left when it ended.
        Ok(Self { last_operation: Time(0), ..run })
    }

    /// The source, to look at or to change.
    pub fn source(&mut self) -> &mut Source {
        &mut self.source
    }

    /// The target, to look at or to change behind the core's back.
    pub fn target(&mut self) -> &mut Target {
        &mut self.target
    }

    /// What the core says of itself.
    pub fn core(&self) -> &Migration {
        &self.core
    }

    /// What is durable.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref()
    }

    /// What people were told.
    pub fn reports(&self) -> &[Report] {
        &self.reports
    }

    /// Simulated time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Goes on up to the next effect of this kind and hands it over instead of carrying it out.
    /// `None`: the history ended before.
    pub fn catch(&mut self, wanted: impl Fn(&Effect) -> bool) -> Option<Effect> {
        loop {
            self.drain();
            let first = self.happenings.first_entry();
            if let Some(first) = first
                && matches!(first.get(), Happening::Carry(effect) if wanted(effect))
            {
                let (at, _) = *first.key();
                self.now = self.now.max(at);
                if let Happening::Carry(effect) = first.remove() {
                    return Some(effect);
                }
            }
            if !self.turn() {
                return None;
            }
        }
    }

    /// Carries out what was held back.
    pub fn release(&mut self, effect: Effect, way: Way) {
        match way {
            Way::Heard(millis) => {
                self.forced.delay = Some(millis);
                self.forced.fate = Some(Fate::Heard);
            }
            Way::Unheard(millis) => self.forced.fate = Some(Fate::Unheard(millis)),
            Way::Fails => self.forced.fate = Some(Fate::Fails),
            Way::Refuses => self.forced.fate = Some(Fate::Refuses),
            Way::Forbids => self.forced.fate = Some(Fate::Forbids),
        }
        self.carry(effect);
        self.forced = super::Forced::default();
    }

    /// Another NameNode than the active one, with what it knew, answers what was held back; the
    /// core hears of it after so many milliseconds.
    pub fn answered_by(&mut self, other: &Source, effect: Effect, millis: u64) {
        let active = std::mem::replace(&mut self.source, other.clone());
        self.release(effect, Way::Heard(millis));
        self.source = active;
    }

    /// What is claimed now although it is not true (rule 10.2).
    pub fn false_claim(&self) -> Option<String> {
        let ledger = self.ledger.as_ref()?;
        oracle::false_claim(&self.source, &self.target, ledger, &self.core.progress())
    }

    /// Goes on until something is true. False: the history ended before.
    pub fn until(&mut self, wanted: impl Fn(&Self) -> bool) -> bool {
        while !wanted(self) {
            if !self.turn() {
                return false;
            }
        }
        true
    }

    /// Goes on until everything up to the source's newest transaction is marked.
    pub fn until_followed(&mut self) -> bool {
        let newest = self.source.txid;
        self.until(|run| run.core.progress().applied.is_some_and(|applied| applied >= newest))
    }

    /// The process dies here and is started again.
    pub fn die(&mut self) {
        self.finished = None;
        self.crash();
    }

    /// The next run begins after this one has ended.
    pub fn begin_again(&mut self) {
        self.finished = None;
        self.crash();
    }

    /// The next run is asked to keep what is gone for another time.
    pub fn delay_removals(&mut self, after_millis: u64) {
        self.options.removals_after_millis = after_millis;
        self.another_delay();
    }

    /// So much time passes while nothing runs.
    pub fn rest(&mut self, millis: u64) {
        self.now = self.now.plus_millis(millis);
    }

    /// The process dies, and before it is started again a person confirms what its guard holds.
    pub fn confirm_between_runs(&mut self) {
        self.confirm_at_rest();
        self.die();
    }

    /// How the run ended, if it did.
    pub fn finished(&self) -> Option<&Finish> {
        self.finished.as_ref()
    }

    /// How many things happened so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How often people were told of this.
    pub fn told(&self, kind: ReportKind) -> u64 {
        self.told.get(&kind).copied().unwrap_or_default()
    }

    /// Tells the core something that a person said.
    pub fn say(&mut self, input: Input) {
        self.core.handle(self.now, input);
    }

    /// Goes on up to the end of the run; what is wrong then, if anything.
    pub fn end(&mut self) -> Result<Finish, String> {
        self.go();
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        self.finished.clone().ok_or_else(|| "never ended".to_owned())
    }

    /// What differs between the source and the target now.
    pub fn difference(&self) -> Option<String> {
        let directories = || oracle::directory_differences(&self.source, self.ledger.as_ref()?);
        let kept = self.options.extras == Extras::Keep;
        oracle::differences(&self.source, &self.target, kept).or_else(directories)
    }

    /// The target holds these bytes at a path.
    pub fn holds(&self, path: &RelPath, content: Content) -> bool {
        self.target.objects.get(path).is_some_and(|object| object.content == content)
    }

    /// This travels with the object at a path.
    pub fn carries(&self, path: &RelPath, mode: u32) -> bool {
        self.target.objects.get(path).is_some_and(|object| object.carried.mode == mode)
    }

    /// Something stands on the target at a path.
    pub fn stands(&self, path: &RelPath) -> bool {
        self.target.objects.contains_key(path)
    }

    /// An effect of this kind was asked for and is not carried out yet.
    pub fn awaits(&self, wanted: impl Fn(&Effect) -> bool) -> bool {
        self.happenings
            .values()
            .any(|happening| matches!(happening, Happening::Carry(effect) if wanted(effect)))
    }

    /// As [`Run::catch`], for so many milliseconds, with another effect held back meanwhile; that
    /// one is carried out then.
    pub fn catch_while_holding(
        &mut self,
        held: Effect,
        millis: u64,
        wanted: impl Fn(&Effect) -> bool,
    ) -> Option<Effect> {
        let until = self.now.plus_millis(millis);
        let mut caught = None;
        while caught.is_none() && self.now < until {
            self.drain();
            let nothing_left = self.happenings.is_empty() && self.core.next_deadline().is_none();
            if nothing_left || !self.turn() {
                break;
            }
            self.drain();
            let at = self.happenings.iter().find_map(|(at, happening)| {
                matches!(happening, Happening::Carry(effect) if wanted(effect)).then_some(*at)
            });
            if let Some(Happening::Carry(effect)) = at.and_then(|at| self.happenings.remove(&at)) {
                caught = Some(effect);
            }
        }
        self.release(held, Way::Heard(1));
        caught
    }

    /// The source does not answer a look at the stream, or a listing.
    pub fn answer_unavailable(&mut self, asked: Effect) {
        let failure = unavailable(Side::Source);
        let told = if let Effect::Poll { ticket, .. } = asked {
            Input::Streamed { ticket, outcome: Streamed::Failed(failure) }
        } else if let Effect::List { ticket, .. } = asked {
            Input::Listed { ticket, outcome: Listed::Failed(failure) }
        } else {
            return;
        };
        self.at(50, Happening::Tell(told));
    }
}
