//! Histories of small scopes: what the source does, and where the process dies, is decided turn by
//! turn; and how else it could have gone after the last decision is found on the way.
//!
//! Two histories that differ only in the order of two things that do not see each other are one:
//! an operation comes as late as it can, right before something that would go otherwise without it;
//! and the process dies right after something that outlives it. So what is left out is equal, step
//! by step, to what is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fastrand::Rng;
use whimbrel_core::effect::{CopyJob, Effect, Finish, Ticket};
use whimbrel_core::entry::{Node, Page};
use whimbrel_core::input::{Input, Streamed};
use whimbrel_core::number::{Time, TxId};

use super::target_side::Fate;
use super::{Happening, Next, Run};
use crate::program;
use crate::scope::operation::{Operation, Reach};
use crate::scope::{Decision, History, LATE_MILLIS, Placed, weather};
use crate::world::source::{Content, Source};

/// How long an answer is on its way that the stream overtakes: shorter than any deadline of it.
const OVERTAKEN_MILLIS: u64 = 30;
/// Happenings and deadlines between two looks at everything.
const LOOK_STEPS: u64 = 53;
/// Happenings after which a history counts as one that does not converge.
const HAPPENINGS_MAX: u64 = 5_000;

/// What a history came to.
#[derive(Debug, Default)]
pub struct Played {
    /// What is wrong; `None`: nothing.
    pub problem: Option<String>,
    /// Happenings.
    pub happenings: u64,
    /// How it could have gone otherwise after its last decision.
    pub turns: Vec<Turn>,
}

/// Another way that a history could have gone.
#[derive(Clone, Debug)]
pub struct Turn {
    /// What is decided otherwise.
    pub decisions: Vec<Placed>,
    /// What is left of the world after a death.
    pub remains: Option<u64>,
}

/// What may still be decided.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// Operations.
    pub operations: usize,
    /// Which.
    pub reach: Reach,
    /// The stream may tell of them before an answer that was given before is heard.
    pub overtaking: bool,
    /// Deaths.
    pub deaths: usize,
    /// What was on its way at a death may take effect later.
    pub late: bool,
}

impl Left {
    /// Nothing.
    pub fn nothing() -> Self {
        Self { operations: 0, reach: Reach::Plain, overtaking: false, deaths: 0, late: false }
    }
}

/// Plays one history to its end.
pub fn play(history: &History, left: Left, verbose: bool) -> Played {
    let mut run = match Run::new(weather(), Rng::with_seed(1), verbose) {
        Ok(run) => run,
        Err(problem) => return Played { problem: Some(problem), ..Played::default() },
    };
    run.traced = false;
    history.world.furnish(&mut run.source);
    let mut scout = Scout::new(left);
    run.follow(&history.decisions, &mut scout);
    let happenings = scout.happenings;
    Played { problem: run.verdict(0).problem, happenings, turns: scout.turns }
}

/// A question to the source, or the reading of a file.
#[derive(Clone, Debug)]
enum Question {
    Asked(Box<Effect>),
    Rest(Box<CopyJob>, Content),
}

/// All that an answer tells of the source.
#[derive(PartialEq)]
enum Told {
    Page(Option<Page>),
    Node(Option<Node>),
    Newest(TxId),
    Bytes(Content),
}

/// What the source would be after a few operations.
struct Branch {
    operations: Vec<Operation>,
    /// The branch without the last of them.
    shorter: usize,
    source: Source,
}

/// Looks for other ways while a history runs.
struct Scout {
    left: Left,
    happenings: u64,
    /// The migration knows a position of the source: what was before it is another world.
    joined: bool,
    /// Begins with what the source is; the others are looked for once nothing more is decided.
    branches: Vec<Branch>,
    /// Questions that were answered and whose answers were not heard.
    answered: BTreeMap<Ticket, Question>,
    turns: Vec<Turn>,
}

impl Scout {
    fn new(left: Left) -> Self {
        Self {
            left,
            happenings: 0,
            joined: false,
            branches: Vec::new(),
            answered: BTreeMap::new(),
            turns: Vec::new(),
        }
    }

    /// From here on nothing is decided: whatever the source could do is tried on copies of it.
    fn branch(&mut self, source: &Source) {
        if self.left.operations == 0 {
            return;
        }
        let branch = Branch { operations: Vec::new(), shorter: 0, source: source.clone() };
        self.branches.push(branch);
        let all = Operation::all(self.left.reach);
        let mut at = 0;
        while let Some(branch) = self.branches.get(at) {
            if branch.operations.len() == self.left.operations {
                break;
            }
            let longer: Vec<Branch> =
                all.iter().filter_map(|operation| branch.and(operation, at)).collect();
            self.branches.extend(longer);
            at += 1;
        }
    }

    /// Looks for operations that could come before this happening.
    fn consider(&mut self, happening: &Happening, is_new: bool) {
        if let Some(question) = Question::of(happening) {
            if is_new && self.joined {
                self.consider_operations(&question, false);
            }
            self.joined |= question.is_of_position();
            if let Some(ticket) = question.ticket() {
                self.answered.insert(ticket, question);
            }
        } else if let Some(question) = heard(happening).and_then(|it| self.answered.remove(&it))
            && is_new
            && self.left.overtaking
        {
            self.consider_operations(&question, true);
        }
    }

    /// Operations that have to come before this question if they are not to come after it.
    fn consider_operations(&mut self, question: &Question, overtaken: bool) {
        let told: Vec<Told> =
            self.branches.iter().map(|branch| question.put_to(&branch.source)).collect();
        let at = self.happenings;
        for (branch, answer) in self.branches.iter().zip(&told).skip(1) {
            if told.get(branch.shorter).is_none_or(|without| without == answer) {
                continue;
            }
            let last = branch.operations.len() - 1;
            let placed = |(number, operation): (usize, &Operation)| {
                let operation = operation.clone();
                let decision = match overtaken && number == last {
                    true => Decision::Overtake(operation),
                    false => Decision::Operate(operation),
                };
                Placed { at, decision }
            };
            let decisions = branch.operations.iter().enumerate().map(placed).collect();
            self.turns.push(Turn { decisions, remains: None });
        }
    }
}

impl Branch {
    fn and(&self, operation: &Operation, number: usize) -> Option<Self> {
        let mut source = self.source.clone();
        operation.carry_out(&mut source).then(|| {
            let operations = self.operations.iter().chain([operation]).cloned().collect();
            Self { operations, shorter: number, source }
        })
    }
}

impl Question {
    /// What this happening asks the source; `None`: nothing.
    fn of(happening: &Happening) -> Option<Self> {
        if let Happening::ReadRest { job, first, .. } = happening {
            return Some(Self::Rest(Box::new(job.clone()), *first));
        }
        let Happening::Carry(effect) = happening else { return None };
        let asks = matches!(
            effect,
            Effect::List { .. }
                | Effect::Examine { .. }
                | Effect::Checksum { .. }
                | Effect::Copy(_)
                | Effect::Position { .. }
                | Effect::Poll { .. }
        );
        asks.then(|| Self::Asked(Box::new(effect.clone())))
    }

    fn put_to(&self, source: &Source) -> Told {
        let effect = match self {
            Self::Rest(job, first) => {
                return Told::Bytes(source.read_rest(&job.path, &job.node, *first));
            }
            Self::Asked(effect) => effect.as_ref(),
        };
        if let Effect::List { directory, after, .. } = effect {
            Told::Page(source.list(directory, after.as_deref(), weather().page_entries))
        } else if let Effect::Examine { path, .. } = effect {
            Told::Node(source.stat(path))
        } else if let Effect::Checksum { path, node, length, .. } = effect {
            Told::Bytes(source.read_beginning(path, node, *length))
        } else if let Effect::Copy(job) = effect {
            Told::Bytes(source.read(&job.path, &job.node))
        } else {
            // Where the source is, and a look at the stream tells how far that goes.
            Told::Newest(source.txid)
        }
    }

    fn is_of_position(&self) -> bool {
        matches!(self, Self::Asked(effect) if matches!(**effect, Effect::Position { .. }))
    }

    fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Asked(effect) => ticket(effect),
            Self::Rest(..) => None,
        }
    }
}

/// The ticket of a question whose answer the stream can overtake.
fn ticket(effect: &Effect) -> Option<Ticket> {
    if let Effect::Copy(job) = effect {
        return Some(job.ticket);
    }
    if let Effect::List { ticket, .. }
    | Effect::Examine { ticket, .. }
    | Effect::Checksum { ticket, .. }
    | Effect::Position { ticket, .. } = effect
    {
        return Some(*ticket);
    }
    None
}

/// The ticket of the answer that is heard in this happening.
fn heard(happening: &Happening) -> Option<Ticket> {
    if let Happening::Join(effect, _) = happening {
        return ticket(effect);
    }
    if let Happening::Tell(
        Input::Checksummed { ticket, .. }
        | Input::Position { ticket, .. }
        | Input::Written { ticket, .. },
    ) = happening
    {
        return Some(*ticket);
    }
    None
}

/// A write that can be on its way to the target when its process dies.
fn writes(happening: &Happening) -> bool {
    matches!(
        happening,
        Happening::Carry(
            Effect::Copy(_)
                | Effect::Complete { .. }
                | Effect::Abort { .. }
                | Effect::Relocate { .. }
                | Effect::PutMarker { .. }
                | Effect::Remove { .. }
        )
    )
}

impl Run {
    fn follow(&mut self, decisions: &[Placed], scout: &mut Scout) {
        let mut decisions = decisions;
        if decisions.is_empty() {
            scout.branch(&self.source);
        }
        loop {
            self.drain();
            self.close_open_files(scout);
            if self.problem.is_some() || self.finished.is_some() {
                break;
            }
            match self.next() {
                Next::Happening => self.decide(&mut decisions, scout),
                Next::Deadline(at) => self.tick(at),
                Next::Nothing => {
                    self.problem = Some("nothing will ever happen again".to_owned());
                }
            }
            self.steps += 1;
            if self.steps.is_multiple_of(LOOK_STEPS) {
                self.examine_everything();
            }
            if self.steps > HAPPENINGS_MAX {
                self.problem = Some(format!("does not converge: {:?}", self.core.progress()));
            }
        }
        if let Some(placed) = decisions.first() {
            self.problem.get_or_insert_with(|| format!("{placed} was not come to"));
        }
        self.land_late_writes();
    }

    /// What was left open is closed in the end, and a later run brings it.
    fn close_open_files(&mut self, scout: &mut Scout) {
        let open = |run: &Self| run.source.files().values().any(Option::is_none);
        if self.finished == Some(Finish::Done) && open(self) {
            self.finished = None;
            scout.left = Left { operations: 0, deaths: 0, ..scout.left };
            scout.branches.clear();
            program::settle(&mut self.source);
            self.crash();
            self.drain();
        }
    }

    /// The next happening, with what was decided to come before and after it.
    fn decide(&mut self, decisions: &mut &[Placed], scout: &mut Scout) {
        scout.happenings += 1;
        let at = scout.happenings;
        let is_new = decisions.is_empty();
        let mut overtaken = false;
        while let Some((placed, rest)) = decisions.split_first()
            && placed.at == at
            && let Some(operation) = placed.decision.operation()
        {
            self.operate_as(operation);
            overtaken = matches!(placed.decision, Decision::Overtake(_));
            *decisions = rest;
        }
        if !is_new && decisions.is_empty() {
            scout.branch(&self.source);
        }
        if overtaken {
            return self.overtake();
        }
        let Some(happening) = self.happenings.first_entry().map(|first| first.into_mut()) else {
            return;
        };
        if scout.left.operations > 0 {
            scout.consider(happening, is_new);
        }
        let outlives =
            writes(happening) || matches!(happening, Happening::Carry(Effect::Persist { .. }));
        self.step();
        if decisions.first().is_some_and(|placed| placed.at == at) {
            let late = decisions[0].decision == Decision::DieLate;
            *decisions = &decisions[1..];
            self.die_as(late);
            scout.answered.clear();
            if decisions.is_empty() {
                scout.branch(&self.source);
            }
        } else if decisions.is_empty() && scout.left.deaths > 0 {
            self.consider_deaths(scout, outlives);
        }
    }

    fn operate_as(&mut self, operation: &Operation) {
        if self.verbose {
            println!("{} {operation}", self.now.0 - 1_000_000);
        }
        if !operation.carry_out(&mut self.source) {
            self.problem = Some(format!("{operation} cannot be done here"));
        }
    }

    /// The answer that comes next is heard later, and what the stream has to tell before it.
    fn overtake(&mut self) {
        let Some(((at, _), answer)) = self.happenings.pop_first() else { return };
        self.now = self.now.max(at);
        self.at(OVERTAKEN_MILLIS, answer);
        let waiting = self.happenings.iter().find_map(|(key, happening)| {
            let Happening::Tell(Input::Streamed { ticket, outcome }) = happening else {
                return None;
            };
            let Streamed::Reply(reply) = outcome else { return None };
            let poll = Effect::Poll { ticket: *ticket, after: reply.applied, quiet_since: None };
            reply.batches.is_empty().then_some((*key, poll))
        });
        if let Some((key, poll)) = waiting {
            self.happenings.remove(&key);
            self.at(0, Happening::Carry(poll));
        }
    }

    fn die_as(&mut self, late: bool) {
        if self.verbose {
            println!("{} the process dies", self.now.0 - 1_000_000);
        }
        let on_their_way: Vec<(Time, u64)> = self
            .happenings
            .iter()
            .filter(|(_, happening)| late && writes(happening))
            .map(|(key, _)| *key)
            .collect();
        for key in on_their_way {
            if let Some(Happening::Carry(effect)) = self.happenings.remove(&key) {
                self.land_after_death(effect);
            }
        }
        self.crash();
    }

    fn land_after_death(&mut self, effect: Effect) {
        let parts = if let Effect::Remove { ticket, items } = effect {
            let one = |item| Effect::Remove { ticket, items: vec![item] };
            items.into_iter().map(one).collect()
        } else {
            vec![effect]
        };
        for part in parts {
            self.forced.fate = Some(Fate::Unheard(LATE_MILLIS));
            self.carry(part);
            self.forced = super::Forced::default();
        }
    }

    /// The process could die now: after something that outlives it, or while writes are on their
    /// way.
    fn consider_deaths(&self, scout: &mut Scout, outlives: bool) {
        let late = scout.left.late && self.happenings.values().any(writes);
        if !outlives && !late {
            return;
        }
        let at = scout.happenings;
        let mut also = format!("{:?}", scout.left);
        if outlives {
            let decisions = vec![Placed { at, decision: Decision::Die }];
            scout.turns.push(Turn { decisions, remains: self.remains(&also) });
        }
        if late {
            for happening in self.happenings.values().filter(|it| writes(it)) {
                // Text takes everything.
                let _ = write!(also, " {happening:?}");
            }
            let decisions = vec![Placed { at, decision: Decision::DieLate }];
            scout.turns.push(Turn { decisions, remains: self.remains(&also) });
        }
    }
}
