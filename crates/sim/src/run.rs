//! One history: the real core and the real ledger, a simulated outside, a clock that jumps from
//! one happening to the next. One seed gives one history.

mod bases;
mod delays;
mod examined;
mod ledger_side;
mod pace;
mod remains;
mod saved_image;
mod scoped;
mod script;
mod source_side;
mod tally;
mod target_side;
mod weather;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fastrand::Rng;
use whimbrel_core::budget::{Ceilings, Paced};
use whimbrel_core::config::{Config, Existing, Extras};
use whimbrel_core::effect::{CopyJob, Effect, Finish, Report, ReportKind};
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::input::{Examined, Input};
use whimbrel_core::migration::Migration;
use whimbrel_core::number::Time;
use whimbrel_core::record::{Change, Upload};
use whimbrel_ledger::Ledger;

pub(crate) use scoped::{Left, Turn, play};
pub use script::Way;

use crate::coverage::Coverage;
use crate::options::{BEGIN, Options};
use crate::oracle::{self, Verdict};
use crate::program;
use crate::world::source::{Content, ROOT_ID, Source};
use crate::world::step::Step;
use crate::world::target::{Target, Write};

/// Something that happens at a time.
#[derive(Debug)]
enum Happening {
    /// An effect is carried out outside.
    Carry(Effect),
    /// The core hears of something.
    Tell(Input),
    /// The answer to a listing or look comes in and is joined with the ledger.
    Join(Effect, Answer),
    /// The rest of a file is read, whose upload was begun with what `first` names.
    ReadRest { job: CopyJob, upload: Upload, first: Content },
    /// A write reaches the store.
    Land(Write),
    /// The source does its next operation.
    Operate,
    /// A side asks for less, having been asked so much in a second.
    Busy(Paced, u64),
    /// A person allows another pace.
    Limit(Ceilings),
    /// The process dies and is started again.
    Crash,
    /// The NameNode drops its old edits.
    Purge,
    /// The run is asked to stop; it is begun again when it did.
    Stop,
    /// A person confirms what is held.
    Confirm,
    /// Somebody else writes to the target, or removes something there.
    Intrude,
    /// The root is renamed away (another may take its place), or back.
    MoveRoot(bool),
    /// The source's state is kept, to be restored later.
    Keep,
    /// The kept state is restored.
    Restore,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Happening,
    Deadline(Time),
    Nothing,
}

/// What a written history decides in place of chance, each once.
#[derive(Debug, Default)]
struct Forced {
    fate: Option<target_side::Fate>,
    delay: Option<u64>,
}

/// What the source said, before the ledger is asked.
#[derive(Debug)]
enum Answer {
    Page(Option<whimbrel_core::entry::Page>),
    Stat(Examined),
}

/// The longest time in which the weather lets a request take effect.
const LATE_MILLIS_MAX: u64 = 5_000;
/// Copies at a time (rule 9.2).
const COPIES_MAX: usize = 4;
/// How the verdict on a history begins that does not come to its end.
pub const ENDLESS: &str = "does not converge";
/// Happenings after which a history counts as one that does not converge.
const STEPS_MAX: u64 = 300_000;

/// Steps of which one may be taken back.
const RECENT_STEPS: usize = 24;

/// Seeds from here on die around one effect besides. Those before keep their histories.
const AIMED_FROM: u64 = 100_000;

/// A history under way.
pub struct Run {
    options: Options,
    rng: Rng,
    now: Time,
    source: Source,
    target: Target,
    ledger: Option<Ledger>,
    core: Migration,
    happenings: BTreeMap<(Time, u64), Happening>,
    sequence: u64,
    ledger_free_at: Time,
    ledger_told_at: Time,
    operations_left: u64,
    finished: Option<Finish>,
    last_operation: Time,
    /// Happenings are told in the trace.
    traced: bool,
    trace: u64,
    steps: u64,
    /// Everything is examined after each step before this one.
    examined_to: u64,
    /// When another history of the source was told of, the last time.
    history_told_at: Time,
    problem: Option<String>,
    /// How often people were told of what.
    told: BTreeMap<ReportKind, u64>,
    verbose: bool,
    forced: Forced,
    paces: pace::Paces,
    /// The newest steps.
    recent: Vec<Step>,
    /// A state that is to be restored, and what was done since.
    kept: Option<(Box<Source>, Vec<Step>)>,
    bases: bases::Bases,
    delays: delays::Delays,
    image: Option<saved_image::SavedImage>,
    reports: Vec<Report>,
    coverage: Coverage,
    tally: tally::Tally,
}

/// Runs one seed to its end.
pub fn run(seed: u64, verbose: bool) -> Verdict {
    run_with(seed, verbose, |drawn| drawn)
}

/// The same with something that is not drawn.
pub fn run_with(seed: u64, verbose: bool, given: impl FnOnce(Options) -> Options) -> Verdict {
    tell(seed, verbose, true, given)
}

/// The same without a digest of what happens (the trace is 0), which is a fifth of the time.
pub fn judge(seed: u64, verbose: bool, given: impl FnOnce(Options) -> Options) -> Verdict {
    tell(seed, verbose, false, given)
}

fn tell(seed: u64, verbose: bool, traced: bool, given: impl FnOnce(Options) -> Options) -> Verdict {
    let mut rng = Rng::with_seed(seed);
    let drawn = given(Options::draw(&mut rng));
    let aimed = seed >= AIMED_FROM;
    let options = if aimed { drawn.rougher() } else { drawn };
    if verbose {
        println!("{options:?}");
    }
    let mut run = match Run::new(options, rng, verbose) {
        Ok(run) => run,
        Err(message) => return Verdict::failed(seed, message, 0),
    };
    if aimed {
        run.coverage = Coverage::aim(&mut run.rng);
    }
    run.traced = traced;
    run.go();
    run.verdict(seed)
}

impl Run {
    fn new(options: Options, mut rng: Rng, verbose: bool) -> Result<Self, String> {
        let mut source = Source::new();
        let mut image = None;
        for operation in 0..options.head_start {
            if options.images && operation == options.head_start / 2 {
                image = Some(saved_image::SavedImage::of(source.clone()));
            }
            program::operate(&mut source, &options, &mut rng);
        }
        let mut target = program::furnish(&source, &options, &mut rng);
        target.conditions = options.conditions;
        target.told = (options.existing == Existing::Replace, options.extras == Extras::Remove);
        let mut ledger = ledger_side::new_ledger().map_err(|error| error.to_string())?;
        let now = BEGIN;
        if let Some(image) = &image {
            // The stream is joined from there on.
            let position = Change::Position { txid: image.tree.txid, digest: 0 };
            ledger.apply(&[&[position]]).map_err(|error| error.to_string())?;
        }
        let meta = ledger.meta().map_err(|error| error.to_string())?;
        let core = Migration::new(config(&options), &meta, Vec::new(), now);
        let paces = pace::Paces::begin(&options);
        let summary = ledger.apply(&[]).map_err(|error| error.to_string())?;
        debug_assert_eq!(summary.rows, 0);
        let mut run = Self {
            operations_left: options.operations,
            options,
            rng,
            now,
            source,
            target,
            ledger: Some(ledger),
            core,
            happenings: BTreeMap::new(),
            sequence: 0,
            ledger_free_at: now,
            ledger_told_at: now,
            finished: None,
            last_operation: now,
            traced: true,
            trace: 0,
            steps: 0,
            examined_to: 0,
            history_told_at: Time(0),
            problem: None,
            told: BTreeMap::new(),
            verbose,
            forced: Forced::default(),
            paces,
            recent: Vec::new(),
            kept: None,
            bases: bases::Bases::default(),
            delays: delays::Delays::default(),
            image,
            reports: Vec::new(),
            coverage: Coverage::default(),
            tally: tally::Tally::default(),
        };
        run.plan_weather();
        Ok(run)
    }

    fn at(&mut self, millis: u64, happening: Happening) {
        self.sequence += 1;
        self.happenings.insert((self.now.plus_millis(millis), self.sequence), happening);
    }

    fn soon(&mut self, happening: Happening) {
        let millis = self.latency();
        self.at(millis, happening);
    }

    fn latency(&mut self) -> u64 {
        let millis = self.rng.u64(..self.options.latency_max);
        self.forced.delay.take().unwrap_or(millis)
    }

    fn go(&mut self) {
        while self.turn() {}
        self.land_late_writes();
    }

    /// One happening, or one deadline. False: the history is over.
    fn turn(&mut self) -> bool {
        self.drain();
        self.examine_pace();
        if self.finished.is_some() && self.goes_on() {
            if let Some(Finish::Guard(_)) = self.finished.take() {
                self.confirm_at_rest();
                self.clear_away();
            }
            self.coverage.ended();
            self.outlast_delays();
            self.crash();
            self.drain();
        }
        if self.problem.is_some() || self.finished.is_some() {
            return false;
        }
        if self.steps.is_multiple_of(oracle::PERIOD_STEPS) {
            self.examine_claims();
        }
        match self.next() {
            Next::Happening => self.step(),
            Next::Deadline(at) => self.tick(at),
            Next::Nothing => self.problem = Some("nothing will ever happen again".to_owned()),
        }
        self.steps += 1;
        self.note_losses();
        if self.steps.is_multiple_of(oracle::PERIOD_STEPS) || self.steps < self.examined_to {
            self.examine_everything();
        }
        if self.steps > STEPS_MAX {
            self.problem = Some(format!("{ENDLESS}: {:?}", self.core.progress()));
        }
        true
    }

    fn next(&self) -> Next {
        let deadline = self.core.next_deadline();
        let happening = self.happenings.first_key_value().map(|((at, _), _)| *at);
        match (happening, deadline) {
            (Some(at), Some(deadline)) if deadline < at => Next::Deadline(deadline),
            (None, Some(deadline)) => Next::Deadline(deadline),
            (Some(_), _) => Next::Happening,
            (None, None) => Next::Nothing,
        }
    }

    /// A run that ended although the history did not: a later run takes it up.
    fn goes_on(&self) -> bool {
        let quiet_too_early = self.operations_left > 0
            || self.source.root_away
            || self.now < self.last_operation.plus_millis(self.options.quiet_millis * 2);
        match &self.finished {
            Some(Finish::Stopped) => true,
            Some(Finish::Done) => {
                (self.options.live && quiet_too_early) || self.delayed_until().is_some()
            }
            Some(Finish::GaveUp(_)) => self.options.root_moves > 0,
            Some(Finish::Guard(_)) => self.options.asks_a_person,
            None => false,
        }
    }

    /// The next run is asked to hold removals otherwise.
    pub fn bound_removals(&mut self, guard: whimbrel_core::config::RemovalGuard) {
        self.options.removal_guard = guard;
    }

    fn tick(&mut self, deadline: Time) {
        self.now = self.now.max(deadline);
        self.core.handle(self.now, Input::Tick);
    }

    fn step(&mut self) {
        let Some(((at, _), happening)) = self.happenings.pop_first() else { return };
        self.now = self.now.max(at);
        if self.verbose {
            println!("{} {happening:?}", self.now.millis_since(BEGIN));
        }
        if self.traced {
            // Folding fails at nothing.
            let _ = write!(Trace(&mut self.trace), "{happening:?}");
        }
        match happening {
            Happening::Carry(effect) if self.coverage.dies_before(&effect, &mut self.rng) => {
                self.at(0, Happening::Carry(effect));
                self.crash();
            }
            Happening::Carry(effect) => self.carry(effect),
            Happening::Tell(input) if self.coverage.dies_between(&input, &mut self.rng) => {
                self.crash();
            }
            Happening::Tell(input) => {
                self.coverage.heard(&input);
                self.note_streamed(&input);
                self.core.handle(self.now, input);
            }
            Happening::Join(effect, answer) => self.join(effect, answer),
            Happening::ReadRest { job, upload, first } => self.read_rest(job, upload, first),
            Happening::Land(write) => self.land_late(write),
            Happening::Intrude => {
                self.tally.interfered();
                self.intrude();
            }
            Happening::Stop => self.core.handle(self.now, Input::Stop),
            Happening::Confirm => {
                self.core.handle(self.now, Input::Confirm);
                self.confirm_delayed();
            }
            Happening::Busy(what, in_use) => self.busy(what, in_use),
            Happening::Limit(ceilings) => {
                self.tally.interfered();
                self.limit(ceilings);
            }
            Happening::MoveRoot(away) => {
                self.tally.interfered();
                self.move_root(away);
                self.last_operation = self.now;
            }
            Happening::Keep => self.kept = Some((Box::new(self.source.clone()), Vec::new())),
            Happening::Restore => self.restore(),
            Happening::Operate => self.operate(),
            Happening::Crash => self.crash(),
            Happening::Purge => self.purge(),
        }
    }

    /// The process dies: what it sent may still land; what it did not make durable is lost.
    fn crash(&mut self) {
        self.tally.interfered();
        self.coverage.died(self.happenings.values().filter_map(|happening| match happening {
            Happening::Carry(effect) => Some(effect),
            Happening::Tell(_)
            | Happening::Join(..)
            | Happening::ReadRest { .. }
            | Happening::Land(_)
            | Happening::Busy(..)
            | Happening::Limit(_)
            | Happening::Operate
            | Happening::Crash
            | Happening::Purge
            | Happening::Stop
            | Happening::Confirm
            | Happening::Intrude
            | Happening::MoveRoot(_)
            | Happening::Keep
            | Happening::Restore => None,
        }));
        let kept: Vec<((Time, u64), Happening)> = std::mem::take(&mut self.happenings)
            .into_iter()
            .filter(|(_, happening)| match happening {
                Happening::Land(_)
                | Happening::Limit(_)
                | Happening::Operate
                | Happening::Crash
                | Happening::Purge
                | Happening::Stop
                | Happening::Confirm
                | Happening::Intrude
                | Happening::MoveRoot(_)
                | Happening::Keep
                | Happening::Restore => true,
                Happening::Carry(_)
                | Happening::Tell(_)
                | Happening::Join(..)
                | Happening::Busy(..)
                | Happening::ReadRest { .. } => false,
            })
            .collect();
        self.happenings = kept.into_iter().collect();
        self.target.begin_run();
        let Some(ledger) = self.ledger.take() else { return };
        let restarted = ledger.restart().and_then(|ledger| {
            let meta = ledger.meta()?;
            let attempts = ledger.attempts()?;
            Ok((ledger, meta, attempts))
        });
        match restarted {
            Ok((ledger, meta, attempts)) => {
                self.take_image_up(meta.scanned);
                self.ledger = Some(ledger);
                self.ledger_free_at = self.now;
                self.ledger_told_at = self.now;
                self.paces = pace::Paces::begin(&self.options);
                self.core = Migration::new(config(&self.options), &meta, attempts, self.now);
            }
            Err(error) => self.problem = Some(format!("restart: {error}")),
        }
    }

    /// Takes the core's effects; those of the ledger keep their order.
    fn drain(&mut self) {
        while let Some(effect) = self.core.poll() {
            match &effect {
                Effect::Finish(finish) => self.finished = Some(finish.clone()),
                Effect::Persist { .. }
                | Effect::Take { .. }
                | Effect::Rows { .. }
                | Effect::Group { .. }
                | Effect::CheckHints { .. }
                | Effect::CountRemovals { .. }
                | Effect::Densest { .. } => {
                    let after = self.ledger_free_at.max(self.now);
                    let at = after.plus_millis(self.rng.u64(..self.options.ledger_latency_max));
                    self.ledger_free_at = at;
                    self.sequence += 1;
                    self.happenings.insert((at, self.sequence), Happening::Carry(effect));
                }
                Effect::Pace(pace) => self.take_pace(pace.clone()),
                Effect::Report(report) => {
                    *self.told.entry(report.kind).or_default() += 1;
                    if report.kind == ReportKind::HistoryChanged {
                        // What is claimed of an older history is so for a few steps only.
                        self.examined_to = self.steps + oracle::PERIOD_STEPS;
                        self.history_told_at = self.now;
                    }
                    if self.verbose {
                        println!("report {report:?}");
                    }
                    self.reports.push(report.clone());
                }
                Effect::List { .. }
                | Effect::Examine { .. }
                | Effect::Checksum { .. }
                | Effect::Copy(_)
                | Effect::Complete { .. }
                | Effect::Abort { .. }
                | Effect::Relocate { .. }
                | Effect::PutMarker { .. }
                | Effect::Remove { .. }
                | Effect::Inspect { .. }
                | Effect::Inventory { .. }
                | Effect::Poll { .. }
                | Effect::Position { .. } => self.leave(effect),
            }
        }
    }

    fn carry(&mut self, effect: Effect) {
        self.coverage.carried(&effect);
        self.tally.sent(&effect);
        match effect {
            Effect::Persist { .. }
            | Effect::Take { .. }
            | Effect::Rows { .. }
            | Effect::Group { .. }
            | Effect::CheckHints { .. }
            | Effect::CountRemovals { .. }
            | Effect::Densest { .. } => self.carry_ledger(effect),
            Effect::List { .. }
            | Effect::Examine { .. }
            | Effect::Checksum { .. }
            | Effect::Poll { .. }
            | Effect::Position { .. } => self.carry_source(effect),
            Effect::Copy(_)
            | Effect::Complete { .. }
            | Effect::Abort { .. }
            | Effect::Relocate { .. }
            | Effect::PutMarker { .. }
            | Effect::Remove { .. }
            | Effect::Inspect { .. }
            | Effect::Inventory { .. } => self.carry_target(effect),
            Effect::Pace(_) | Effect::Report(_) | Effect::Finish(_) => {}
        }
    }
}

/// Folds what is written into one number.
struct Trace<'a>(&'a mut u64);

impl std::fmt::Write for Trace<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let fold = |sum: u64, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        *self.0 = text.bytes().fold(*self.0, fold);
        Ok(())
    }
}

fn config(options: &Options) -> Config {
    Config {
        migration: "simulated".to_owned(),
        live: options.live,
        // Never the other one, which may stand there at a start: a run that begins in it is right.
        root_key: Some(ROOT_ID),
        until_quiet_millis: options.live.then_some(options.quiet_millis),
        pending_max: options.pending_max,
        request_lifetime: options.request_lifetime,
        copy_bytes_max: options.copy_bytes_max,
        conditions: options.conditions,
        copies_max: COPIES_MAX,
        passes_max: 3,
        claims_max: 16,
        existing: options.existing,
        extras: options.extras,
        adopt: options.adopt,
        removal_guard: options.removal_guard,
        removals_after_millis: options.removals_after_millis,
        ceilings: options.ceilings,
        timetable: options.timetable.clone(),
        local_time: options.local_time.clone(),
        ..Config::default()
    }
}

/// A checksum that tells every content from every other.
pub(crate) fn checksum(content: u64) -> u32 {
    u32::try_from(content % u64::from(u32::MAX)).unwrap_or_default()
}

fn unavailable(side: Side) -> Failure {
    Failure {
        side,
        kind: FailureKind::Unavailable,
        message: "simulated".to_owned(),
        remedy: String::new(),
    }
}
