//! `whimbrel verify SOURCE TARGET` and `whimbrel verify NAME`.

mod followed;
mod history;
pub mod notes;
mod sampled;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use whimbrel_engine::{AtRest, State, read_at_rest};
use whimbrel_report::Facts;
use whimbrel_store::key::KeyMap;
use whimbrel_store::source::Source;
use whimbrel_store::target::Target;
use whimbrel_verify::{
    Content, Continuation, Difference, DifferenceKind, Equal, Keeper, Meter, Moved, Note, Options,
    Sample, Since, Sums, Verification, Worker,
};

use crate::arguments::{ScopeArguments, VerifyArguments};
use crate::delayed::{self, Delayed, LOOK_EVERY};
use crate::exit::{self, CommandError, Condition};
use crate::location::Location;
use crate::open::{self, Absent, OpenSource, OpenTarget};
use crate::output::result::{bytes, count, grouped};
use crate::output::{self, path_fields, printable};
use crate::record::{self, Call};
use crate::report::{self, SignedReport};
use crate::request::{Coverage, Pair};
use crate::running::Running;
use crate::state::{self, StatePlace};
use followed::{Followed, Follower};
use history::History;
use notes::{Earlier, Notes};
use sampled::Sampled;

/// Comparisons in flight.
pub const PARALLEL: usize = 32;
/// How long a migration that runs may take for what differs.
pub const PATIENCE: Duration = Duration::from_secs(10);
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
const PROGRESS_LINE_EVERY: Duration = Duration::from_secs(10);
const DIFFERENCES_WAITING_MAX: usize = 1024;

/// Compares both sides and tells every difference.
///
/// # Errors
/// A call that cannot be, a side that cannot be opened or listed.
pub async fn run(arguments: VerifyArguments, json: bool) -> Result<u8, CommandError> {
    let started = Instant::now();
    let (arguments, place) = filled_in(arguments)?;
    let named = place.is_some();
    let target = arguments.target.clone().unwrap_or_default();
    let pair = Pair::parse(&arguments.source, &target, &arguments.connection)?;
    let coverage = Coverage::parse(&arguments.scope)?;
    report::refuse(arguments.report.as_deref(), &pair)?;
    let place = place.or_else(|| {
        state::place(&pair.source, &pair.target, None, arguments.state.as_deref()).ok()
    });
    let (running, at_rest) = known(place.as_ref(), named, &pair).await?;
    let stands = running.is_some() || at_rest.is_some();
    let expected = files_expected(running.as_deref(), at_rest.as_ref()).await;
    let kept = at_rest.map(|at_rest| at_rest.kept);
    let keeper = place.as_ref().filter(|_| stands);
    let keeper = keeper.map(|place| Arc::new(Delayed::of(place, &pair, kept)));
    let source = open::source(&pair.source, &arguments.connection, true).await?;
    let connection = &arguments.connection;
    let target = open::target_to_look_at(&pair.target, connection, Absent::Refused).await?;
    let (notes, mut earlier) = match goes_on(&arguments) {
        true => Notes::open(&arguments, &pair, source.source.as_ref(), place.as_ref()),
        false => (None, Earlier::default()),
    };
    let (moved, whole) = caught_up(&mut earlier, &source, &arguments).await;
    let mut options = options(&arguments);
    if let (Some(sample), Some(seed)) = (&mut options.sample, earlier.seed.clone()) {
        sample.seed = seed;
    }
    let sample = options.sample.clone();
    let worker = running.clone().map(|running| running as Arc<dyn Worker>);
    let mut comparing = Comparing::new(source, target, coverage, options, worker)?;
    let running_now = running.as_deref();
    let history = History::of(&earlier, whole.as_ref(), moved.named(), running_now).await;
    let seed = sample.as_ref().map(|sample| sample.seed.clone());
    comparing.notes = notes.map(|notes| notes.with(seed, history.as_of_txid, &earlier));
    comparing.moved = moved;
    comparing.files_expected = expected;
    comparing.verification.keeper = keeper.clone().map(|keeper| keeper as Arc<dyn Keeper>);
    let mut report = arguments.report.as_deref().map(SignedReport::of_comparison).transpose()?;
    comparing.tell_equal = report.is_some();
    announce(&pair, sample.as_ref(), &history, json);
    let meter = Arc::new(earlier.note.as_ref().map(Meter::of).unwrap_or_default());
    comparing.from = earlier.note;
    let sums = compare(comparing, json, meter.clone(), async |told: Told<'_>| {
        if let Some(report) = &mut report {
            report.compared(&told);
        }
        if let Told::Difference(difference) = told {
            tell(difference, json);
        }
    })
    .await?;
    if let Some(failure) = keeper.and_then(|keeper| keeper.failure()) {
        return Err(failure);
    }
    let sampled = sample.map(|sample| Sampled { sample, sums: meter.sample_sums() });
    let mut answer = Answer::of(&sums, arguments.ignore_extras, started, sampled.as_ref());
    history.add_to(&mut answer, &sums);
    answer.add_migration(running.as_deref()).await;
    if let Some(report) = report {
        answer.add_report(report, &pair, &arguments);
    }
    answer.tell(json);
    Ok(answer.code)
}

/// What a report signs was compared by one process; a sample that goes by time ends soon.
fn goes_on(arguments: &VerifyArguments) -> bool {
    arguments.report.is_none() && arguments.sample.sample_for.is_none()
}

fn options(arguments: &VerifyArguments) -> Options {
    Options {
        content: if arguments.read { Content::Read } else { Content::Checksum },
        ignore_extras: arguments.ignore_extras,
        metadata: arguments.metadata.unwrap_or_default(),
        directory_markers: arguments.directory_markers.unwrap_or_default(),
        parallel: PARALLEL,
        patience: PATIENCE,
        sample: sampled::sample(&arguments.sample),
    }
}

/// What is to be looked at again of what earlier processes compared, and where the source stood then
/// so that all of it holds as of there. What cannot be followed is not gone on with; where nobody can
/// tell, each part holds as of its own time. A sample draws what it looks at.
async fn caught_up(
    earlier: &mut Earlier,
    source: &OpenSource,
    arguments: &VerifyArguments,
) -> (Moved, Option<Followed>) {
    if sampled::sample(&arguments.sample).is_some() {
        return (Moved::default(), None);
    }
    let follower = Follower::of(source).await;
    if earlier.note.is_none() {
        earlier.followed = follower.map(|follower| follower.now);
        return (Moved::default(), earlier.followed.clone());
    }
    let (Some(follower), Some(before)) = (follower, earlier.followed.clone()) else {
        return (Moved::default(), None);
    };
    let moved = match follower.since(&before).await {
        Ok(Since::Moved(moved)) => moved,
        Ok(Since::Anything(reason)) => {
            *earlier = Earlier { refused: Some(reason.to_owned()), ..Earlier::default() };
            Moved::default()
        }
        Err(_) => return (Moved::default(), None),
    };
    earlier.followed = Some(follower.now);
    (moved, earlier.followed.clone())
}

/// What is known of the migration of this place. One that was named has to be there.
async fn known(
    place: Option<&StatePlace>,
    named: bool,
    pair: &Pair,
) -> Result<(Option<Arc<Running>>, Option<AtRest>), CommandError> {
    let known = match place.filter(|place| place.folder.is_dir()) {
        Some(place) => standing(place, pair).await?,
        None => (None, None),
    };
    match (place, &known) {
        (Some(place), (None, None)) if named => Err(gone(place)),
        (_, _) => Ok(known),
    }
}

/// The migration of this place while it runs, else what its state says: that knows what is gone at
/// the source and stays for a time, which would seem extra without it.
async fn standing(
    place: &StatePlace,
    pair: &Pair,
) -> Result<(Option<Arc<Running>>, Option<AtRest>), CommandError> {
    let until = Instant::now() + PATIENCE;
    loop {
        let running = Running::of(place.clone());
        if running.progress().await.is_some() {
            refuse_run_of_another(place, pair)?;
            return Ok((Some(Arc::new(running)), None));
        }
        record::refuse_what_lost_its_state(&place.folder)?;
        if !State::stands(&place.folder) {
            return Ok((None, None));
        }
        let (fixed, extras_go) = (pair.settings(), delayed::extras_go(place)?);
        if let Some(read) = read_at_rest(&place.folder, &fixed, extras_go, PATIENCE).await? {
            return Ok((None, Some(read)));
        }
        // One began meanwhile, or does not answer.
        if Instant::now() > until {
            return Err(delayed::no_answer(place));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Its call was there a moment ago, which no migration has without a state.
fn gone(place: &StatePlace) -> CommandError {
    CommandError::local(
        format!("the state of {} in {} went away", place.name, place.folder.display()),
        "put it back, or say whimbrel verify SOURCE TARGET, which knows nothing of it",
    )
}

/// What another migration keeps says nothing of these two; at rest its state is asked whose it is.
fn refuse_run_of_another(place: &StatePlace, pair: &Pair) -> Result<(), CommandError> {
    let Some(call) = Call::read(&place.folder)? else { return Ok(()) };
    for (side, text, asked) in
        [("source", call.source(), &pair.source), ("target", call.target(), &pair.target)]
    {
        let theirs = Location::parse(&text).map(|location| location.to_string());
        if theirs.as_ref().is_ok_and(|theirs| *theirs != asked.to_string()) {
            return Err(CommandError::usage(
                format!(
                    "the migration that runs with the state in {} is one with {side} {}, not {asked}",
                    place.folder.display(),
                    theirs.unwrap_or_default()
                ),
                "give the --state of a migration of these two, or none",
            ));
        }
    }
    Ok(())
}

/// How many objects the migration of these two has, where there is one and it can be asked.
async fn files_expected(running: Option<&Running>, at_rest: Option<&AtRest>) -> Option<u64> {
    let status = match running {
        Some(running) => running.progress().await.map(Value::Object),
        None => at_rest.map(|at_rest| at_rest.status.clone()),
    };
    status?.get("objects").and_then(Value::as_u64)
}

fn announce(pair: &Pair, sample: Option<&Sample>, history: &History, json: bool) {
    if json {
        let mut fields = Map::new();
        fields.insert("source".into(), pair.source.to_string().into());
        fields.insert("target".into(), pair.target.to_string().into());
        if let Some(sample) = sample {
            fields.insert("sample".into(), sampled::asked(sample).into());
        }
        fields.extend(history.begun());
        return output::json_line("started", &fields);
    }
    if let Some(sample) = sample {
        output::standard_error(&format!("sample: {}", sampled::flags(sample)));
    }
    if let Some(line) = history.line() {
        output::standard_error(&line);
    }
}

/// What is said at the end.
struct Answer {
    /// Nothing that was looked at differs.
    good: bool,
    verdict: String,
    code: u8,
    /// For programs.
    fields: Map<String, Value>,
    /// For people.
    rows: Vec<(String, String)>,
    sampled: bool,
}

impl Answer {
    fn of(sums: &Sums, ignore_extras: bool, started: Instant, sampled: Option<&Sampled>) -> Self {
        let good = sums.equal(ignore_extras);
        let condition = (!good).then_some(Condition::Incomplete);
        let code = exit::code(&condition.into_iter().collect());
        let part = sampled.filter(|sampled| !sampled.sums.whole());
        let (outcome, verdict) = match (good, part) {
            (true, None) => ("equal", "Equal.".to_owned()),
            (true, Some(sampled)) => ("no_difference_found", sampled.verdict()),
            (false, _) if Sums { moving: 0, ..*sums }.equal(ignore_extras) => {
                let moving = "Moving: what differs is still to be done by the running migration.";
                ("different", moving.to_owned())
            }
            (false, _) => ("different", "Different.".to_owned()),
        };
        let mut fields = result_fields(sums, outcome, started, code);
        let mut rows = rows(sums, started);
        if let Some(sampled) = sampled {
            fields.insert("sample".into(), sampled.fields(sums));
            rows.splice(0..0, sampled.rows(sums));
        }
        Self { good, verdict, code, fields, rows, sampled: sampled.is_some() }
    }

    /// How far the migration is that runs meanwhile.
    async fn add_migration(&mut self, running: Option<&Running>) {
        self.fields.insert("migration_running".into(), running.is_some().into());
        let Some(running) = running else { return };
        let progress = running.progress().await.unwrap_or_default();
        for name in ["lag_seconds", "as_of_txid"] {
            let value = progress.get(name).cloned().unwrap_or_default();
            self.fields.insert(format!("migration_{name}"), value);
        }
        let lag = progress.get("lag_seconds").and_then(Value::as_f64);
        let lag = lag.map_or("has ended".to_owned(), |lag| format!("runs, {lag:.1} s behind"));
        self.rows.push(("migration".to_owned(), format!("{} {lag}", running.name())));
        if let Some(txid) = progress.get("as_of_txid").and_then(Value::as_u64) {
            self.rows.push(("as of transaction".to_owned(), txid.to_string()));
        }
    }

    /// Ends and signs the report; one that cannot be written has its say in the exit code.
    fn add_report(&mut self, report: SignedReport, pair: &Pair, arguments: &VerifyArguments) {
        let sample = self.sampled.then(sampled::limits).into_iter().flatten();
        let limits = sample.chain(report::limits_of_comparison(arguments.read)).collect();
        let mut facts = Facts {
            title: "Comparison of a source with a target".to_owned(),
            verdict: self.verdict.clone(),
            good: self.good,
            totals: self.rows.clone(),
            limits,
            fields: self.fields.clone(),
            ..Facts::default()
        };
        report::add_scope(&mut facts, &arguments.scope);
        let metadata = arguments.metadata.unwrap_or_default();
        for (name, value) in [
            ("read", Value::from(arguments.read)),
            ("ignore_extras", Value::from(arguments.ignore_extras)),
            ("metadata", serde_json::to_value(metadata).unwrap_or_default()),
        ] {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            facts.about.push((name.replace('_', " "), text));
            facts.fields.insert(name.to_owned(), value);
        }
        match report.finish(facts, pair) {
            Ok(folder) => {
                self.rows.push(("report".to_owned(), folder.clone()));
                self.fields.insert("report".into(), folder.into());
            }
            Err(error) => self.code = report::not_written(&error, self.code),
        }
        self.fields.insert("exit_code".into(), self.code.into());
    }

    fn tell(&self, json: bool) {
        if json {
            return output::json_line("result", &self.fields);
        }
        let rows = self.rows.iter().map(|(name, value)| format!("\n  {name:<22}{value}"));
        output::standard_output(&format!("{}{}", self.verdict, rows.collect::<String>()));
    }
}

/// Everything that a comparison is made of.
pub struct Comparing {
    verification: Verification,
    /// What is equal is told too.
    pub tell_equal: bool,
    /// Keeps how far it is.
    pub notes: Option<Notes>,
    /// Where an earlier one was.
    pub from: Option<Note>,
    /// What happened since at the source, as far as it is known.
    pub moved: Moved,
    /// How many files there are, where that is known.
    pub files_expected: Option<u64>,
}

/// What a comparison says of one path.
pub enum Told<'a> {
    /// It is equal.
    Equal(&'a Equal),
    /// It is not.
    Difference(&'a Difference),
}

impl Comparing {
    /// Source and target as opened, and who works on the target meanwhile.
    ///
    /// # Errors
    /// Mappings that contradict each other.
    pub fn new(
        source: OpenSource,
        target: OpenTarget,
        coverage: Coverage,
        options: Options,
        worker: Option<Arc<dyn Worker>>,
    ) -> Result<Self, CommandError> {
        let coverage = match source.single_file {
            Some(name) => coverage.of_single_file(name)?,
            None => coverage,
        };
        let keys = coverage.keys(target.prefix())?;
        let mapped = coverage.moves.iter().map(|(from, _)| from.clone()).collect();
        let (source, target, scope) = (source.source, target.into_target(), coverage.scope);
        let keeper = None;
        let verification =
            Verification { source, target, keys, mapped, scope, options, worker, keeper };
        let (notes, from, moved, files_expected) = (None, None, Moved::default(), None);
        Ok(Self { verification, tell_equal: false, notes, from, moved, files_expected })
    }

    /// Both sides, and which path stands at which key.
    pub fn sides(&self) -> (Arc<dyn Source>, Arc<dyn Target>, KeyMap) {
        let Verification { source, target, keys, .. } = &self.verification;
        (source.clone(), target.clone(), keys.clone())
    }
}

/// Compares, shows progress, and hands every difference to `tell`, and what is equal where that is
/// asked for.
///
/// # Errors
/// A side that could not be listed.
pub async fn compare(
    comparing: Comparing,
    json: bool,
    meter: Arc<Meter>,
    mut tell: impl AsyncFnMut(Told<'_>),
) -> Result<Sums, CommandError> {
    let Comparing { verification, tell_equal, mut notes, from, moved, files_expected } = comparing;
    let (sender, mut differences) = mpsc::channel(DIFFERENCES_WAITING_MAX);
    let (equal, mut equals) = mpsc::channel(DIFFERENCES_WAITING_MAX);
    let (note, mut noted) = mpsc::channel(1);
    let equal = Some(equal).filter(|_| tell_equal);
    let sampled = verification.options.sample.is_some();
    let shown = Shown { meter: meter.clone(), sampled, files_expected };
    let kept = Some(note).filter(|_| notes.is_some());
    let continuation = Continuation { from, moved, notes: kept, ..Continuation::default() };
    let mut run = tokio::spawn(async move {
        verification.run_and_prove(&meter, &sender, equal, continuation).await
    });
    let every = if json { PROGRESS_EVERY } else { PROGRESS_LINE_EVERY };
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    let outcome = loop {
        tokio::select! {
            biased;
            Some(difference) = differences.recv() => tell(Told::Difference(&difference)).await,
            Some(equal) = equals.recv() => tell(Told::Equal(&equal)).await,
            Some(note) = noted.recv() => if let Some(notes) = &mut notes { notes.keep(&note) },
            outcome = &mut run => break outcome,
            _ = tick.tick() => shown.show(json),
        }
    };
    while let Some(difference) = differences.recv().await {
        tell(Told::Difference(&difference)).await;
    }
    while let Some(equal) = equals.recv().await {
        tell(Told::Equal(&equal)).await;
    }
    match outcome {
        Ok(sums) => {
            let sums = sums?;
            if let Some(notes) = notes {
                notes.forget();
            }
            Ok(sums)
        }
        Err(error) => Err(CommandError {
            condition: Condition::Defect,
            message: format!("the comparison broke: {error}"),
            remedy: "report it".to_owned(),
        }),
    }
}

/// `verify NAME`: locations and scope as the migration was started with; what is said now wins.
fn filled_in(
    arguments: VerifyArguments,
) -> Result<(VerifyArguments, Option<StatePlace>), CommandError> {
    if arguments.target.is_some() {
        return Ok((arguments, None));
    }
    let name = arguments.source.to_str().unwrap_or_default();
    if name.contains('/') {
        return Err(CommandError::usage(
            "verify takes a SOURCE and a TARGET, or the NAME of a migration",
            "whimbrel verify SOURCE TARGET, or whimbrel verify NAME",
        ));
    }
    let place = state::existing(name, arguments.state.as_deref())?;
    let call = Call::read(&place.folder)?.ok_or_else(|| {
        CommandError::usage(
            format!("the migration {name} has never begun: nothing tells its locations"),
            "say whimbrel verify SOURCE TARGET",
        )
    })?;
    let filled_in = VerifyArguments {
        source: call.source(),
        target: Some(call.target()),
        scope: narrowed(call.scope(), arguments.scope),
        connection: call.connection(&arguments.connection),
        metadata: arguments.metadata.or(Some(call.metadata())),
        directory_markers: arguments.directory_markers.or(Some(call.directory_markers())),
        ..arguments
    };
    Ok((filled_in, Some(place)))
}

/// The migration's scope with what is said now: nothing that was left out was migrated.
fn narrowed(migrated: ScopeArguments, said: ScopeArguments) -> ScopeArguments {
    let said_or = |said: Vec<String>, migrated| if said.is_empty() { migrated } else { said };
    ScopeArguments {
        include: said_or(said.include, migrated.include),
        exclude: [migrated.exclude, said.exclude].concat(),
        map: said_or(said.map, migrated.map),
        no_default_excludes: migrated.no_default_excludes || said.no_default_excludes,
        no_default_exclude: [migrated.no_default_exclude, said.no_default_exclude].concat(),
    }
}

/// Tells a difference.
pub fn tell(difference: &Difference, json: bool) {
    let kind = kind(difference.kind);
    if json {
        let mut fields = path_fields(&difference.path);
        fields.insert("kind".into(), kind.into());
        fields.insert("message".into(), difference.message.as_str().into());
        output::json_line("difference", &fields);
    } else {
        let path = printable(&difference.path.to_string());
        output::standard_output(&format!("{kind}: {path}: {}", printable(&difference.message)));
    }
}

/// One word for scripts.
pub fn kind(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Missing => "missing",
        DifferenceKind::Extra => "extra",
        DifferenceKind::Different => "different",
        DifferenceKind::MetadataDifferent => "metadata_different",
        DifferenceKind::Unverifiable => "unverifiable",
        DifferenceKind::Moving => "moving",
        DifferenceKind::Delayed => "delayed",
    }
}

/// What is shown while it goes on.
struct Shown {
    meter: Arc<Meter>,
    sampled: bool,
    files_expected: Option<u64>,
}

impl Shown {
    fn show(&self, json: bool) {
        let (sums, sample) = (self.meter.sums(), self.meter.sample_sums());
        if json {
            let mut fields = counts(&sums);
            fields.insert("files_expected".into(), self.files_expected.into());
            if self.sampled {
                fields.insert("sample".into(), counts(&sample).into());
            }
            return output::json_line("progress", &fields);
        }
        let compared = match (self.sampled, self.files_expected) {
            (true, _) => format!("looked at {}", sampled::looked_at(&sample)),
            (false, None) => format!("compared {}", count(sums.files_compared, "file", "files")),
            (false, Some(expected)) => {
                let (compared, expected) = (grouped(sums.files_compared), grouped(expected));
                format!("compared {compared} of about {expected} files")
            }
        };
        let line = format!(
            "{compared}, {}, read {}",
            count(sums.differences() + sums.extra, "difference", "differences"),
            bytes(sums.bytes_read_source + sums.bytes_read_target)
        );
        if std::io::stderr().is_terminal() {
            output::standard_error(&format!("\x1b[2m{line}\x1b[0m"));
        } else {
            output::standard_error(&format!("{} {line}", output::now()));
        }
    }
}

fn counts(sums: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(sums) {
        Ok(Value::Object(counts)) => counts,
        Ok(_) | Err(_) => Map::new(),
    }
}

fn result_fields(sums: &Sums, outcome: &str, started: Instant, code: u8) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("outcome".into(), outcome.into());
    fields.extend(counts(sums));
    fields.insert("elapsed_seconds".into(), started.elapsed().as_secs_f64().into());
    fields.insert("exit_code".into(), code.into());
    fields
}

/// What was compared, for people.
pub fn rows(sums: &Sums, started: Instant) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    row("files compared", grouped(sums.files_compared));
    row("verified by checksum", grouped(sums.verified_by_checksum));
    row("verified by reading", grouped(sums.verified_by_reading));
    for (name, number) in [
        ("missing", sums.missing),
        ("extra", sums.extra),
        ("different", sums.different),
        ("metadata different", sums.metadata_different),
        ("unverifiable", sums.unverifiable),
        ("moving", sums.moving),
    ] {
        if number > 0 {
            row(name, grouped(number));
        }
    }
    if sums.delayed > 0 {
        let count = grouped(sums.delayed);
        row(
            "delayed",
            format!("{count} gone at the source, on the target until their time is over"),
        );
    }
    row("read at the source", bytes(sums.bytes_read_source));
    row("read on the target", bytes(sums.bytes_read_target));
    row("time", format!("{:.1} s", started.elapsed().as_secs_f64()));
    rows
}
