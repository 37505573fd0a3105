//! The one task that owns the core: inputs in, effects out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use whimbrel_core::effect::{Effect, Finish};
use whimbrel_core::input::Input;
use whimbrel_core::migration::Migration;
use whimbrel_core::timetable::Turn;

use crate::bare_directory::Directories;
use crate::clock::Clock;
use crate::control::{Allowed, Control, Given, NewLimits, Order};
use crate::error::EngineError;
use crate::ledger_thread::{LedgerDesk, Question, RowsQuestion};
use crate::limit::Limits;
use crate::local_clock::LocalClock;
use crate::problems::Problems;
use crate::progress::{Meter, Progress};
use crate::world::World;

/// How long what is in flight may go on after the first stop.
const GRACE: Duration = Duration::from_secs(10);
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// Inputs that are handled before effects are carried out again.
const INPUTS_MAX: usize = 512;
/// How long the timer sleeps where the core names no deadline.
const NO_DEADLINE: Duration = Duration::from_secs(3600);

/// Runs the core until it says that the run is over.
pub(crate) struct Driver {
    pub(crate) core: Migration,
    pub(crate) clock: Clock,
    pub(crate) local_clock: LocalClock,
    pub(crate) world: Arc<World>,
    pub(crate) desk: LedgerDesk,
    pub(crate) inputs: UnboundedReceiver<Input>,
    pub(crate) failed: UnboundedReceiver<EngineError>,
    pub(crate) orders: UnboundedReceiver<Given>,
    pub(crate) control: Control,
    pub(crate) problems: Problems,
    pub(crate) limits: Arc<Limits>,
    pub(crate) meter: Meter,
    pub(crate) told: Arc<watch::Sender<Progress>>,
    pub(crate) tasks: JoinSet<()>,
    pub(crate) stop_by: Option<Instant>,
}

impl Driver {
    /// Until the core finishes, the grace of a stop is over, or something breaks. Whatever is in
    /// flight then is cut off; what the core asked to persist is on its way to the disk.
    pub(crate) async fn drive(&mut self) -> Result<Finish, EngineError> {
        let mut tell = interval(TELL_EVERY);
        tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Some(effect) = self.core.poll() {
                if let Effect::Finish(finish) = effect {
                    return Ok(finish);
                }
                self.carry_out(effect);
            }
            if self.stop_by.is_some_and(|by| by <= Instant::now()) {
                return Ok(Finish::Stopped);
            }
            let wake = self.wake();
            tokio::select! {
                biased;
                Some(error) = self.failed.recv() => return Err(error),
                Some(Given { order, obeyed }) = self.orders.recv() => {
                    if self.obey(order) {
                        return Ok(Finish::Stopped);
                    }
                    // Nobody need wait for it any more.
                    let _ = obeyed.map(|obeyed| obeyed.send(()));
                }
                _ = tell.tick() => {
                    self.look_at_the_clock();
                    self.tell();
                    self.tidy();
                }
                Some(input) = self.inputs.recv() => self.handle(input),
                Some(ended) = self.tasks.join_next() => intact(ended)?,
                () = sleep_until(wake) => self.core.handle(self.clock.now(), Input::Tick),
            }
            while let Some(ended) = self.tasks.try_join_next() {
                intact(ended)?;
            }
        }
    }

    fn wake(&self) -> Instant {
        let due = self.core.next_deadline().map(|time| self.clock.deadline(time));
        let latest = Instant::now() + NO_DEADLINE;
        [due, self.stop_by].into_iter().flatten().fold(latest, Instant::min)
    }

    fn handle(&mut self, first: Input) {
        let now = self.clock.now();
        tracing::trace!(input = ?first);
        self.core.handle(now, first);
        for _ in 1..INPUTS_MAX {
            let Ok(input) = self.inputs.try_recv() else { return };
            tracing::trace!(?input);
            self.core.handle(now, input);
        }
    }

    /// True if everything is to end at once.
    fn obey(&mut self, order: Order) -> bool {
        let input = match order {
            Order::Stop if self.stop_by.is_some() => return true,
            Order::Stop => {
                self.stop_by = Some(Instant::now() + GRACE);
                Input::Stop
            }
            Order::Pause(paused) => Input::Pause(paused),
            Order::Confirm => Input::Confirm,
            Order::ConfirmDelayed => Input::ConfirmDelayed,
            Order::Limit { limits, answer } => {
                self.limit(&limits);
                self.tell_of_orders();
                if let Some(answer) = answer {
                    if let Some(common) = &self.limits.common {
                        common.pass_on(&self.control, &limits);
                    }
                    // Nobody need wait for the answer any more.
                    let _ = answer.send(self.allowed());
                }
                return false;
            }
        };
        self.core.handle(self.clock.now(), input);
        self.tell_of_orders();
        false
    }

    /// What was ordered is told at once; rates are measured over whole periods.
    fn tell_of_orders(&self) {
        let allowed = self.allowed();
        self.told.send_modify(|progress| progress.obeys(&self.core, allowed));
    }

    fn limit(&mut self, limits: &NewLimits) {
        let now = self.clock.now();
        if let Some(timetable) = limits.timetable() {
            self.core.handle(now, Input::Timetable(timetable));
        }
        let ceilings = limits.over(self.core.budget().ceilings());
        self.core.handle(now, Input::Limit(ceilings));
    }

    fn allowed(&self) -> Allowed {
        let budget = self.core.budget();
        let next = budget.next_turn();
        let next = next.map(|turn| Turn { at: self.local_clock.wall(turn.at), ..turn });
        Allowed { now: budget.ceilings(), next }
    }

    /// A timetable goes by the clock on the wall.
    fn look_at_the_clock(&mut self) {
        let now = self.clock.now();
        if self.local_clock.look(now) {
            let local_time = self.local_clock.told().clone();
            self.core.handle(now, Input::LocalTime(local_time));
        }
    }

    pub(crate) fn tell(&mut self) {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let progress = self.meter.read(&self.core, now, elapsed, self.allowed());
        if let Some(seat) = &self.world.seat {
            seat.heed(progress.scanned);
        }
        self.told.send_replace(progress);
    }

    /// Looks for directories that were left empty, where directories are real.
    fn tidy(&mut self) {
        if self.world.directories.as_ref().is_some_and(Directories::is_waiting) {
            let world = self.world.clone();
            self.tasks.spawn(async move { world.remove_bare().await });
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        tracing::trace!(?effect);
        match effect {
            Effect::Persist { batch, changes } => {
                self.desk.ask(Question::Persist { batch, changes });
            }
            Effect::Take { lane, limit, now } => {
                self.desk.ask(Question::Take { lane, limit, now });
            }
            Effect::Rows { ticket, under, after, which, strictly_below, limit } => {
                self.desk.ask(Question::Rows(RowsQuestion {
                    ticket,
                    under,
                    after,
                    which,
                    strictly_below,
                    limit,
                }));
            }
            Effect::Group { ticket, path, group, up_to } => {
                self.desk.ask(Question::Group { ticket, path, group, up_to });
            }
            Effect::CheckHints { ticket, path } => {
                self.desk.ask(Question::CheckHints { ticket, path });
            }
            Effect::CountRemovals { ticket, now } => {
                self.desk.ask(Question::CountRemovals { ticket, now });
            }
            Effect::Densest { ticket, excess } => {
                self.desk.ask(Question::Densest { ticket, excess });
            }
            Effect::Pace(pace) => {
                self.limits.pace(pace);
                self.limits.share(self.core.budget().ceilings());
            }
            Effect::Report(report) => self.problems.tell(report),
            outside @ (Effect::List { .. }
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
            | Effect::Position { .. }
            | Effect::Finish(_)) => {
                // Else the runtime moves the whole of the largest piece of work about, for each.
                self.tasks.spawn(Box::pin(self.world.clone().carry_out(outside)));
            }
        }
    }
}

/// A task that broke never answers: the core would wait for ever.
fn intact(ended: Result<(), JoinError>) -> Result<(), EngineError> {
    match ended {
        Ok(()) => Ok(()),
        Err(error) => Err(EngineError::defect(format!("a task broke: {error}"))),
    }
}
