//! One history: the real core and the real ledger, a simulated outside, a clock that jumps from
//! one happening to the next. One seed gives one history.

use std::collections::BTreeMap;

use fastrand::Rng;
use whimbrel_core::config::Config;
use whimbrel_core::effect::{CopyJob, Effect, Finish, Ticket};
use whimbrel_core::entry::Node;
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::input::{Examined, Input, Listed, Standing, Streamed, Written};
use whimbrel_core::migration::Migration;
use whimbrel_core::number::{AttemptNumber, Time};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{Row, Upload};
use whimbrel_ledger::Ledger;

use crate::options::Options;
use crate::oracle::{self, Verdict};
use crate::program;
use crate::world::source::Source;
use crate::world::target::{Object, Target, Write};

/// Something that happens at a time.
#[derive(Debug)]
enum Happening {
    /// An effect is carried out outside.
    Carry(Effect),
    /// The core hears of something.
    Tell(Input),
    /// The answer to a listing or look comes in and is joined with the ledger.
    Join(Effect, Answer),
    /// A write reaches the store.
    Land(Write),
    /// The source does its next operation.
    Operate,
    /// The process dies and is started again.
    Crash,
    /// The NameNode drops its old edits.
    Purge,
}

/// What the source said, before the ledger is asked.
#[derive(Debug)]
enum Answer {
    Page(Option<whimbrel_core::entry::Page>),
    Stat(Examined),
}

/// The longest time in which a simulated request may take effect.
const LIFETIME_MILLIS: u64 = 5_000;
/// How long the source has to be quiet.
const QUIET_MILLIS: u64 = 1_000;
/// Happenings after which a history counts as one that does not converge.
const STEPS_MAX: u64 = 300_000;

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
    operations_left: u64,
    finished: Option<Finish>,
    last_operation: Time,
    trace: u64,
    steps: u64,
    problem: Option<String>,
    verbose: bool,
}

/// Runs one seed to its end.
pub fn run(seed: u64, verbose: bool) -> Verdict {
    let mut rng = Rng::with_seed(seed);
    let options = Options::draw(&mut rng);
    if verbose {
        println!("{options:?}");
    }
    let mut run = match Run::new(options, rng, verbose) {
        Ok(run) => run,
        Err(message) => return Verdict::failed(seed, message, 0),
    };
    run.go();
    run.verdict(seed)
}

impl Run {
    fn new(options: Options, mut rng: Rng, verbose: bool) -> Result<Self, String> {
        let mut source = Source::new();
        for _ in 0..options.head_start {
            program::operate(&mut source, &options, &mut rng);
        }
        let mut ledger =
            Ledger::open_in_memory(Namespace::Tree).map_err(|error| error.to_string())?;
        let now = Time(1_000_000);
        let meta = ledger.meta().map_err(|error| error.to_string())?;
        let core = Migration::new(config(&options), &meta, Vec::new(), now);
        let summary = ledger.apply(&[]).map_err(|error| error.to_string())?;
        debug_assert_eq!(summary.rows, 0);
        let mut run = Self {
            operations_left: options.operations,
            options,
            rng,
            now,
            source,
            target: Target::default(),
            ledger: Some(ledger),
            core,
            happenings: BTreeMap::new(),
            sequence: 0,
            ledger_free_at: now,
            finished: None,
            last_operation: now,
            trace: 0,
            steps: 0,
            problem: None,
            verbose,
        };
        run.plan_weather();
        Ok(run)
    }

    fn plan_weather(&mut self) {
        let horizon = self.options.operations * self.options.latency_max * 2 + 200;
        for _ in 0..self.options.crashes {
            let at = self.rng.u64(..horizon);
            self.at(at, Happening::Crash);
        }
        if self.options.live {
            for _ in 0..self.options.purges {
                let at = self.rng.u64(..horizon);
                self.at(at, Happening::Purge);
            }
            self.at(1, Happening::Operate);
        } else {
            self.operations_left = 0;
        }
    }

    fn at(&mut self, millis: u64, happening: Happening) {
        self.sequence += 1;
        self.happenings.insert((self.now.plus_millis(millis), self.sequence), happening);
    }

    fn soon(&mut self, happening: Happening) {
        let millis = self.rng.u64(..self.options.latency_max);
        self.at(millis, happening);
    }

    fn go(&mut self) {
        while self.problem.is_none() && self.finished.is_none() {
            self.drain();
            let still_changing = self.operations_left > 0
                || self.now < self.last_operation.plus_millis(QUIET_MILLIS * 2);
            if self.options.live && self.finished == Some(Finish::Done) && still_changing {
                // The source was quiet for a while, then went on: a later run takes it up.
                self.finished = None;
                self.crash();
                continue;
            }
            if self.finished.is_some() {
                break;
            }
            let deadline = self.core.next_deadline();
            let next = self.happenings.first_key_value().map(|((at, _), _)| *at);
            match (next, deadline) {
                (Some(at), Some(deadline)) if deadline < at => self.tick(deadline),
                (None, Some(deadline)) => self.tick(deadline),
                (Some(_), _) => self.step(),
                (None, None) => self.problem = Some("nothing will ever happen again".to_owned()),
            }
            self.steps += 1;
            if self.steps > STEPS_MAX {
                self.problem = Some(format!("does not converge: {:?}", self.core.progress()));
            }
        }
        self.land_late_writes();
    }

    fn tick(&mut self, deadline: Time) {
        self.now = self.now.max(deadline);
        self.core.handle(self.now, Input::Tick);
    }

    fn step(&mut self) {
        let Some(((at, _), happening)) = self.happenings.pop_first() else { return };
        self.now = self.now.max(at);
        if self.verbose {
            println!("{} {happening:?}", self.now.0 - 1_000_000);
        }
        self.note(&format!("{happening:?}"));
        match happening {
            Happening::Carry(effect) => self.carry(effect),
            Happening::Tell(input) => self.core.handle(self.now, input),
            Happening::Join(effect, answer) => self.join(effect, answer),
            Happening::Land(write) => {
                self.target.apply(write);
            }
            Happening::Operate => self.operate(),
            Happening::Crash => self.crash(),
            Happening::Purge => self.source.purge(),
        }
    }

    fn note(&mut self, text: &str) {
        for byte in text.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn operate(&mut self) {
        program::operate(&mut self.source, &self.options, &mut self.rng);
        self.operations_left -= 1;
        self.last_operation = self.now;
        if self.operations_left > 0 {
            let millis = self.rng.u64(..self.options.latency_max * 3);
            self.at(millis, Happening::Operate);
        } else {
            program::settle(&mut self.source);
        }
    }

    /// The process dies: what it sent may still land; what it did not make durable is lost.
    fn crash(&mut self) {
        let kept: Vec<((Time, u64), Happening)> = std::mem::take(&mut self.happenings)
            .into_iter()
            .filter(|(_, happening)| match happening {
                Happening::Land(_) | Happening::Operate | Happening::Crash | Happening::Purge => {
                    true
                }
                Happening::Carry(_) | Happening::Tell(_) | Happening::Join(..) => false,
            })
            .collect();
        self.happenings = kept.into_iter().collect();
        let Some(ledger) = self.ledger.take() else { return };
        let restarted = ledger.restart().and_then(|ledger| {
            let meta = ledger.meta()?;
            let attempts = ledger.attempts()?;
            Ok((ledger, meta, attempts))
        });
        match restarted {
            Ok((ledger, meta, attempts)) => {
                self.ledger = Some(ledger);
                self.ledger_free_at = self.now;
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
                | Effect::Densest { .. } => {
                    let after = self.ledger_free_at.max(self.now);
                    let at = after.plus_millis(self.rng.u64(..4));
                    self.ledger_free_at = at;
                    self.sequence += 1;
                    self.happenings.insert((at, self.sequence), Happening::Carry(effect));
                }
                Effect::Report(report) => {
                    if self.verbose {
                        println!("report {report:?}");
                    }
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
                | Effect::Position { .. } => self.soon(Happening::Carry(effect)),
            }
        }
    }

    fn carry(&mut self, effect: Effect) {
        match effect {
            Effect::Persist { .. }
            | Effect::Take { .. }
            | Effect::Rows { .. }
            | Effect::Group { .. }
            | Effect::CheckHints { .. }
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
            Effect::Report(_) | Effect::Finish(_) => {}
        }
    }

    fn carry_ledger(&mut self, effect: Effect) {
        let Some(ledger) = self.ledger.as_mut() else { return };
        let input = match effect {
            Effect::Persist { batch, changes } => {
                ledger.apply(&[&changes]).map(|summary| Input::Persisted { batch, summary })
            }
            Effect::Take { lane, limit, now } => {
                ledger.take(lane, limit, now).map(|(work, summary)| Input::Taken { work, summary })
            }
            Effect::Rows { ticket, under, after, commit_markers, strictly_below, limit } => ledger
                .rows(&under, after.as_ref(), commit_markers, strictly_below, limit)
                .map(|rows| Input::Rows { ticket, rows }),
            Effect::Group { ticket, path, group, up_to } => ledger
                .group_incomplete(&path, &group, up_to)
                .map(|incomplete| Input::Group { ticket, incomplete }),
            Effect::CheckHints { ticket, path } => {
                ledger.hints_wait(&path).map(|wait| Input::HintsChecked { ticket, wait })
            }
            Effect::Densest { ticket, excess } => {
                ledger.densest(excess).map(|directories| Input::Dense { ticket, directories })
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
            | Effect::Position { .. }
            | Effect::Report(_)
            | Effect::Finish(_) => return,
        };
        match input {
            Ok(input) => self.core.handle(self.now, input),
            Err(error) => self.problem = Some(format!("ledger: {error}")),
        }
    }

    fn source_fails(&mut self) -> bool {
        self.rng.u8(..100) < self.options.source_fail_percent && self.operations_left > 0
    }

    fn carry_source(&mut self, effect: Effect) {
        let fails = self.source_fails();
        match effect {
            Effect::List { ref directory, ref after, .. } => {
                let limit = self.options.page_entries;
                let page = self.source.list(directory, after.as_deref(), limit);
                let answer = if fails {
                    Answer::Stat(Examined::Failed(unavailable(Side::Source)))
                } else {
                    Answer::Page(page)
                };
                self.soon(Happening::Join(effect, answer));
            }
            Effect::Examine { ref path, .. } => {
                let answer = match self.source.stat(path) {
                    _ if fails => Examined::Failed(unavailable(Side::Source)),
                    Some(node) => Examined::Present(node),
                    None => Examined::Absent { root_key: Some(1) },
                };
                self.soon(Happening::Join(effect, Answer::Stat(answer)));
            }
            Effect::Checksum { ticket, path, node } => {
                let content = self.source.read(&path, &node);
                let outcome =
                    if fails { Err(unavailable(Side::Source)) } else { Ok(checksum(content)) };
                self.soon(Happening::Tell(Input::Checksummed { ticket, outcome }));
            }
            Effect::Position { ticket } => {
                let outcome =
                    if fails { Err(unavailable(Side::Source)) } else { Ok(self.source.txid) };
                self.soon(Happening::Tell(Input::Position { ticket, outcome }));
            }
            Effect::Poll { ticket, after } => {
                let limit = self.rng.usize(1..20);
                let outcome = match self.source.events_after(after, limit) {
                    _ if fails => Streamed::Failed(unavailable(Side::Source)),
                    Some(reply) => Streamed::Reply(reply),
                    None => Streamed::Gap,
                };
                let quiet = matches!(&outcome, Streamed::Reply(reply) if reply.batches.is_empty());
                let millis = if quiet { 50 } else { self.rng.u64(..self.options.latency_max) };
                self.at(millis, Happening::Tell(Input::Streamed { ticket, outcome }));
            }
            Effect::Persist { .. }
            | Effect::Take { .. }
            | Effect::Rows { .. }
            | Effect::Group { .. }
            | Effect::CheckHints { .. }
            | Effect::Densest { .. }
            | Effect::Copy(_)
            | Effect::Complete { .. }
            | Effect::Abort { .. }
            | Effect::Relocate { .. }
            | Effect::PutMarker { .. }
            | Effect::Remove { .. }
            | Effect::Inspect { .. }
            | Effect::Inventory { .. }
            | Effect::Report(_)
            | Effect::Finish(_) => {}
        }
    }

    /// The source's answer is joined with the ledger, in the ledger's order, when it comes in.
    fn join(&mut self, effect: Effect, answer: Answer) {
        let Some(ledger) = self.ledger.as_ref() else { return };
        let input = match (effect, answer) {
            (Effect::List { ticket, directory, after, by_file_key }, Answer::Page(page)) => {
                match page {
                    None => Ok(Input::Listed { ticket, outcome: Listed::NoDirectory }),
                    Some(page) => ledger
                        .join_page(&directory, after.as_deref(), &page, by_file_key)
                        .map(|join| Input::Listed {
                            ticket,
                            outcome: Listed::Page { page, join: Box::new(join) },
                        }),
                }
            }
            (Effect::List { ticket, .. }, Answer::Stat(_)) => {
                Ok(Input::Listed { ticket, outcome: Listed::Failed(unavailable(Side::Source)) })
            }
            (Effect::Examine { ticket, path, by_file_key }, Answer::Stat(outcome)) => {
                let key = match &outcome {
                    Examined::Present(Node::File(file)) if by_file_key => file.identity.file_key(),
                    Examined::Present(_) | Examined::Absent { .. } | Examined::Failed(_) => None,
                };
                let renamed = key.map_or(Ok(None), |key| ledger.row_of_file_key(key, &path));
                renamed.map(|renamed| Input::Examined { ticket, outcome, renamed })
            }
            (_, _) => return,
        };
        match input {
            Ok(input) => self.core.handle(self.now, input),
            Err(error) => self.problem = Some(format!("ledger: {error}")),
        }
    }

    fn carry_target(&mut self, effect: Effect) {
        match effect {
            Effect::Copy(job) => self.carry_copy(job),
            Effect::Complete { ticket, attempt, path, upload, crc32c } => {
                let Some((content, length, mode)) = oracle::parts_of(&upload) else { return };
                debug_assert_eq!(crc32c, checksum(content));
                let object = Object { content, length, attempt, mode, etag: 0 };
                let write = Write::Complete(upload.id, path, object.clone());
                self.write(ticket, write, object);
            }
            Effect::Abort { upload_id, .. } => {
                self.target.uploads.remove(&upload_id);
            }
            Effect::Relocate { ticket, attempt, from, path, metadata } => {
                self.carry_relocate(ticket, attempt, from, path, metadata.mode);
            }
            Effect::PutMarker { ticket, attempt, path, metadata } => {
                let mode = metadata.mode;
                let object = Object { content: 0, length: 0, attempt, mode, etag: 0 };
                self.write(ticket, Write::Put(path, object.clone()), object);
            }
            Effect::Remove { ticket, items } => self.carry_remove(ticket, items),
            Effect::Inspect { ticket, path } => {
                let standing = self.target.objects.get(&path).map(standing);
                self.soon(Happening::Tell(Input::Inspected { ticket, outcome: Ok(standing) }));
            }
            Effect::Inventory { ticket, .. } => {
                let outcome = Ok((Vec::new(), None));
                self.soon(Happening::Tell(Input::Inventoried { ticket, outcome }));
            }
            Effect::Persist { .. }
            | Effect::Take { .. }
            | Effect::Rows { .. }
            | Effect::Group { .. }
            | Effect::CheckHints { .. }
            | Effect::Densest { .. }
            | Effect::List { .. }
            | Effect::Examine { .. }
            | Effect::Checksum { .. }
            | Effect::Poll { .. }
            | Effect::Position { .. }
            | Effect::Report(_)
            | Effect::Finish(_) => {}
        }
    }

    fn carry_copy(&mut self, job: CopyJob) {
        let content = self.source.read(&job.path, &job.node);
        let length = job.node.identity.length();
        let mode = job.node.metadata.mode;
        if length < self.options.multipart_bytes {
            let object = Object { content, length, attempt: job.attempt, mode, etag: 0 };
            self.write(job.ticket, Write::Put(job.path, object.clone()), object);
            return;
        }
        let id = match &job.resume {
            Some(upload) if self.target.uploads.contains(&upload.id) => upload.id.clone(),
            Some(_) => {
                let outcome = Written::Failed(Failure {
                    kind: FailureKind::Missing,
                    side: Side::Source,
                    ..unavailable(Side::Target)
                });
                self.soon(Happening::Tell(Input::Written { ticket: job.ticket, outcome }));
                return;
            }
            None => {
                let id = format!("upload-{}", job.attempt);
                self.target.uploads.insert(id.clone());
                id
            }
        };
        let upload = Upload { id, part_bytes: length.max(1), parts: Vec::new() };
        let attempt = job.attempt;
        self.at(0, Happening::Tell(Input::UploadOpened { attempt, upload: upload.clone() }));
        let upload = oracle::with_part(upload, content, length, mode);
        if let Some(part) = upload.parts.first().cloned() {
            self.at(1, Happening::Tell(Input::PartDone { attempt, part }));
        }
        let outcome = if self.rng.u8(..100) < self.options.fail_percent {
            Written::Failed(unavailable(Side::Target))
        } else {
            Written::Staged { upload, crc32c: checksum(content) }
        };
        let millis = 2 + self.rng.u64(..self.options.latency_max * 2);
        self.at(millis, Happening::Tell(Input::Written { ticket: job.ticket, outcome }));
    }

    fn carry_relocate(
        &mut self,
        ticket: Ticket,
        attempt: AttemptNumber,
        from: Row,
        path: RelPath,
        mode: u32,
    ) {
        let there = self.target.objects.get(&from.path);
        let named = there.filter(|object| Some(object.etag.to_string()) == from.etag).cloned();
        match named {
            Some(object) => {
                let object = Object { attempt, mode, ..object };
                self.write(ticket, Write::Put(path, object.clone()), object);
            }
            None => {
                let kind = FailureKind::Conflict;
                let outcome = Written::Failed(Failure { kind, ..unavailable(Side::Target) });
                self.soon(Happening::Tell(Input::Written { ticket, outcome }));
            }
        }
    }

    fn carry_remove(&mut self, ticket: Ticket, items: Vec<(AttemptNumber, RelPath)>) {
        let outcomes = items
            .into_iter()
            .map(|(_, path)| match self.fate() {
                Fate::Fails => Written::Failed(unavailable(Side::Target)),
                Fate::Heard => {
                    self.target.apply(Write::Remove(path));
                    Written::Done(Standing::default())
                }
                Fate::Unheard(late) => {
                    self.land(Write::Remove(path), late);
                    Written::Unknown(unavailable(Side::Target))
                }
            })
            .collect();
        self.soon(Happening::Tell(Input::Removed { ticket, outcomes }));
    }

    fn fate(&mut self) -> Fate {
        let roll = self.rng.u8(..100);
        if roll < self.options.fail_percent {
            Fate::Fails
        } else if roll < self.options.fail_percent + self.options.lost_reply_percent {
            let late = self.rng.u8(..100) < self.options.late_percent;
            Fate::Unheard(if late { self.rng.u64(..LIFETIME_MILLIS) } else { 0 })
        } else {
            Fate::Heard
        }
    }

    fn write(&mut self, ticket: Ticket, write: Write, object: Object) {
        let outcome = match self.fate() {
            Fate::Fails => Written::Failed(unavailable(Side::Target)),
            Fate::Heard => {
                let path = match &write {
                    Write::Put(path, _) | Write::Complete(_, path, _) | Write::Remove(path) => {
                        path.clone()
                    }
                };
                if self.target.apply(write) {
                    let there = self.target.objects.get(&path).map(standing);
                    Written::Done(there.unwrap_or_else(|| standing(&object)))
                } else {
                    let kind = FailureKind::Conflict;
                    Written::Failed(Failure { kind, ..unavailable(Side::Target) })
                }
            }
            Fate::Unheard(late) => {
                self.land(write, late);
                Written::Unknown(unavailable(Side::Target))
            }
        };
        self.soon(Happening::Tell(Input::Written { ticket, outcome }));
    }

    fn land(&mut self, write: Write, late: u64) {
        if late == 0 {
            self.target.apply(write);
        } else {
            self.at(late, Happening::Land(write));
        }
    }

    /// Writes still on their way when the run ends would prove it wrong.
    fn land_late_writes(&mut self) {
        for (_, happening) in std::mem::take(&mut self.happenings) {
            if let Happening::Land(write) = happening {
                self.target.apply(write);
            }
        }
    }

    fn verdict(mut self, seed: u64) -> Verdict {
        let problem = self.problem.take().or_else(|| match &self.finished {
            Some(Finish::Done) => oracle::differences(&self.source, &self.target),
            Some(other) => Some(format!("ended by {other:?}")),
            None => Some("never ended".to_owned()),
        });
        match problem {
            Some(problem) => Verdict::failed(seed, problem, self.trace),
            None => Verdict { seed, problem: None, trace: self.trace, steps: self.steps },
        }
    }
}

enum Fate {
    Fails,
    Heard,
    Unheard(u64),
}

fn config(options: &Options) -> Config {
    Config {
        migration: "simulated".to_owned(),
        live: options.live,
        until_quiet_millis: options.live.then_some(QUIET_MILLIS),
        pending_max: options.pending_max,
        request_lifetime_millis: LIFETIME_MILLIS + 1,
        copies_max: 4,
        passes_max: 3,
        claims_max: 16,
        ..Config::default()
    }
}

fn standing(object: &Object) -> Standing {
    Standing {
        length: object.length,
        etag: Some(object.etag.to_string()),
        version: None,
        crc32c: Some(checksum(object.content)),
        attempt: Some(object.attempt),
        migration: Some("simulated".to_owned()),
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
