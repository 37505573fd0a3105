//! `whimbrel cutover NAME`: fence, drain, compare, report; and only then yes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};
use whimbrel_engine::is_listening;
use whimbrel_report::{Facts, is_free};
use whimbrel_store::fence::Fence;
use whimbrel_verify::{Content, Options, Sums, Worker};

use super::verify::{self, Comparing, PARALLEL, PATIENCE, Told, compare};
use crate::arguments::{ConnectionArguments, CutoverArguments};
use crate::cutover::drain::{self, Patience};
use crate::cutover::fence::Undone;
use crate::cutover::migration::Watched;
use crate::cutover::record::{self, Record, Step};
use crate::cutover::{No, Reason, dry_run, fence};
use crate::exit::{self, CommandError, Condition, Signal};
use crate::location::Location;
use crate::open::{self, Absent, OpenSource};
use crate::output::problem::Problems;
use crate::output::{self};
use crate::record::Call;
use crate::report::{self, SignedReport};
use crate::request::{Coverage, Pair};
use crate::running::Running;
use crate::signal::Signals;
use crate::state::{self, StatePlace};

/// Cuts a migration over, or says what is missing.
///
/// # Errors
/// A call that cannot be; a source that does not answer.
pub async fn run(arguments: CutoverArguments, json: bool) -> Result<u8, CommandError> {
    let started = Instant::now();
    let place = state::existing(&arguments.name, arguments.state.as_deref())?;
    let call = Call::read(&place.folder)?.ok_or_else(|| {
        CommandError::usage(
            format!("the migration {} has never begun", place.name),
            "start it with whimbrel migrate SOURCE TARGET --live",
        )
    })?;
    let connection = call.connection(&arguments.connection);
    let pair = Pair::parse(&call.source(), &call.target(), &connection)?;
    // Before all that a cut-over wants: a fence has to go whatever ran since.
    if arguments.undo_fence {
        return undo_fence(&pair, &connection, &place, json).await;
    }
    if matches!(pair.source, Location::Bucket { .. }) {
        return Err(CommandError::usage(
            format!("{} has no stream of changes: nothing tells whether it changes", pair.source),
            "stop what writes to it, then whimbrel migrate and whimbrel verify --report DIR",
        ));
    }
    if !matches!(pair.source, Location::Hdfs { .. }) {
        fence::chosen(&[], arguments.fence)?;
    }
    if arguments.dry_run {
        return dry_run::run(&arguments, &place, json).await;
    }
    if !call.may_be_live() && !is_listening(&place.folder).await {
        return Err(CommandError::usage(
            format!("{} ran without --live last: nobody follows what changes", place.name),
            "start it with --live and its options, and say it again",
        ));
    }
    let _taken = record::take(&place.folder)?;
    let record = Record::read(&place.folder)?;
    fence::refuse_another(&record, &place.name, arguments.fence)?;
    let report = arguments.report.as_deref().map(absolute);
    make_way(report.as_deref(), &record)?;
    report::refuse(report.as_deref(), &pair)?;
    let coverage = Coverage::parse(&call.scope())?;
    let signals = Signals::listen()?;
    let source = open::source(&pair.source, &connection, true).await?;
    let fence = fence::chosen(&source.fences, arguments.fence)?;
    if let Some(fence) = &fence {
        fence::refuse_another_directory(fence.as_ref(), &record, &place.name)?;
    }
    // Before anybody is kept from working for a comparison that cannot be.
    open::target_to_look_at(&pair.target, &connection, Absent::Refused).await?;
    let cut = Cutover {
        problems: Problems::new(json, &place.name),
        patience: Patience { give_up_after: arguments.give_up_after, quiet: arguments.quiet, json },
        arguments,
        place,
        call,
        connection,
        pair,
        coverage,
        report,
        fences: source.fences.clone(),
        fence,
        proven: Proven::default(),
        started,
    };
    cut.run(record, source, signals).await
}

/// A call that was looked through, and what it has found so far.
struct Cutover {
    arguments: CutoverArguments,
    patience: Patience,
    place: StatePlace,
    call: Call,
    connection: ConnectionArguments,
    pair: Pair,
    coverage: Coverage,
    report: Option<PathBuf>,
    fences: Vec<Arc<dyn Fence>>,
    fence: Option<Arc<dyn Fence>>,
    problems: Problems,
    proven: Proven,
    started: Instant,
}

/// What was found out.
#[derive(Default)]
struct Proven {
    sums: Option<Sums>,
    as_of_txid: Option<u64>,
    report: Option<String>,
    /// The fence that this call took away.
    undone: Option<Undone>,
}

impl Cutover {
    async fn run(
        mut self,
        mut record: Record,
        source: OpenSource,
        mut signals: Signals,
    ) -> Result<u8, CommandError> {
        self.announce();
        let mut watched = None;
        // A signal that is there when everything is proven comes first: it is a no still.
        let proof = tokio::select! {
            biased;
            signal = signals.next() => Err(Ended::Stopped(signal)),
            proof = self.prove(&mut record, source, &mut watched) => proof.map_err(Ended::of),
        };
        let ended = match proof {
            Ok(proof) => decided(&mut signals, self.decide(proof, &mut record)).await,
            Err(ended) => ended,
        };
        if matches!(ended, Ended::Yes) {
            return Ok(self.answer(&ended, &record, Vec::new()));
        }
        // A second signal ends it at once: what undoes the fence is durable.
        let settled = tokio::select! {
            settled = self.put_back(&mut record, watched.as_ref()) => settled,
            signal = signals.next() => {
                return Ok(self.answer(&Ended::Stopped(signal), &record, Vec::new()));
            }
        };
        let (undone, errors) = settled;
        self.proven.undone = undone;
        Ok(self.answer(&ended, &record, errors))
    }

    /// Everything that the answer rests on. It can be given up anywhere: what it changed outside is
    /// put back, the migration goes on, and what there is of a report goes with it.
    async fn prove<'a>(
        &mut self,
        record: &mut Record,
        source: OpenSource,
        watching: &'a mut Option<Watched>,
    ) -> Result<Proof<'a>, No> {
        let watched = watching.insert(Watched::at(&self.place, &self.call).await?);
        drain::ready(watched, self.patience).await?;
        let kind = self.arguments.fence;
        fence::set(self.fence.as_ref(), kind, record).await?;
        self.tell_step(Step::Fenced);
        let seen = drain::drain(watched, self.patience, kind).await?;
        record.step(Step::Drained)?;
        self.tell_step(Step::Drained);
        let report = self.report.clone();
        if let Some(folder) = &report {
            record.reporting(folder)?;
        }
        let mut report = report.as_deref().map(SignedReport::of_comparison).transpose()?;
        let began = Instant::now();
        let sums = self.compare(source, watched.worker().await, report.as_mut()).await?;
        let took = began.elapsed();
        let mut reasons = different(&sums, self.arguments.ignore_extras);
        match drain::unchanged(watched, self.patience, seen).await {
            Ok(as_of_txid) => self.proven.as_of_txid = Some(as_of_txid),
            Err(No::Because(more)) => reasons.extend(more),
            Err(failed @ No::Failed(_)) => return Err(failed),
        }
        reasons.extend(self.fence_is_lost().await?);
        if let Some(as_of_txid) = self.proven.as_of_txid.filter(|_| reasons.is_empty()) {
            record.verified(as_of_txid, took)?;
            self.tell_step(Step::Verified);
        }
        Ok(Proof { watched, sums, reasons, report })
    }

    /// Signs the report and answers as it says. Never given up between the two: a signed yes, or a
    /// migration that was stopped for one, would stand beside an answer that is no.
    async fn decide(&mut self, proof: Proof<'_>, record: &mut Record) -> Result<(), No> {
        let Proof { watched, sums, reasons, report } = proof;
        if let Some(report) = report {
            let facts = self.facts(&sums, &reasons);
            self.proven.report = Some(report.finish(facts, &self.pair)?);
        }
        if !reasons.is_empty() {
            return Err(No::Because(reasons));
        }
        record.step(Step::Reported)?;
        if self.proven.report.is_some() {
            self.tell_step(Step::Reported);
        }
        watched.stop().await?;
        record.step(Step::Equal)?;
        Ok(())
    }

    async fn compare(
        &mut self,
        source: OpenSource,
        worker: Option<Running>,
        mut report: Option<&mut SignedReport>,
    ) -> Result<Sums, CommandError> {
        let looked_at = &self.pair.target;
        let target = open::target_to_look_at(looked_at, &self.connection, Absent::Refused).await?;
        let options = Options {
            content: Content::Checksum,
            ignore_extras: self.arguments.ignore_extras,
            metadata: self.call.metadata(),
            directory_markers: self.call.directory_markers(),
            parallel: PARALLEL,
            patience: PATIENCE,
            sample: None,
        };
        let worker = worker.map(|running| Arc::new(running) as Arc<dyn Worker>);
        let coverage = self.coverage.clone();
        let mut comparing = Comparing::new(source, target, coverage, options, worker)?;
        comparing.tell_equal = report.is_some();
        let json = self.patience.json;
        let sums = compare(comparing, json, Arc::default(), async |told: Told<'_>| {
            if let Some(report) = &mut report {
                report.compared(&told);
            }
            if let Told::Difference(difference) = told {
                verify::tell(difference, json);
            }
        })
        .await?;
        self.proven.sums = Some(sums);
        Ok(sums)
    }

    async fn fence_is_lost(&self) -> Result<Option<Reason>, CommandError> {
        let Some(fence) = &self.fence else { return Ok(None) };
        let stands = fence.stands().await.map_err(fence::of_source)?;
        Ok((!stands).then(|| Reason {
            kind: "fence_lost",
            message: "the fence does not stand any more".to_owned(),
            remedy: "find out who undid it (a fail-over leaves safe mode), and say it again",
        }))
    }

    /// The answer is no: everything goes on as before. What became of the fence is answered, and
    /// what cannot be put back.
    async fn put_back(
        &self,
        record: &mut Record,
        watched: Option<&Watched>,
    ) -> (Option<Undone>, Vec<CommandError>) {
        let (mut undone, mut errors) = (None, Vec::new());
        if !self.arguments.keep_fence {
            let name = &self.place.name;
            match fence::undo(&self.fences, record, name).await {
                Ok(done) => undone = done,
                Err(error) => errors.push(CommandError {
                    message: format!("the fence stands: {}", error.message),
                    remedy: format!("whimbrel cutover {name} --undo-fence; {}", error.remedy),
                    ..error
                }),
            }
        }
        if let Some(watched) = watched.filter(|watched| watched.started) {
            errors.extend(watched.stop().await.err());
        }
        errors.extend(record.step(Step::NotEqual).err());
        (undone, errors)
    }

    fn announce(&self) {
        if self.patience.json {
            let fields = json!({
                "name": self.place.name,
                "source": self.pair.source.to_string(),
                "target": self.pair.target.to_string(),
                "fence": self.arguments.fence.name(),
            });
            return output::json_line("started", &fields);
        }
        let (source, target) = (&self.pair.source, &self.pair.target);
        output::standard_error(&format!("{}: {source} -> {target}", self.place.name));
    }

    fn tell_step(&self, step: Step) {
        if self.patience.json {
            return output::json_line("progress", &json!({ "step": step.name() }));
        }
        output::standard_error(&format!("{} {}", output::now(), step.name()));
    }

    fn facts(&self, sums: &Sums, reasons: &[Reason]) -> Facts {
        let good = reasons.is_empty();
        let mut fields = self.fields(good);
        let told = reasons.iter().map(|it| json!({ "kind": it.kind, "message": it.message }));
        fields.insert("reasons".to_owned(), told.collect());
        let mut limits = report::limits_of_comparison(false);
        limits.push(
            "Nothing in scope changed at the source between the fence and the named transaction, \
             as its stream of changes tells."
                .to_owned(),
        );
        let mut facts = Facts {
            title: format!("Cut-over of {}", self.place.name),
            verdict: match self.proven.as_of_txid.filter(|_| good) {
                Some(as_of) => format!("Equal as of transaction {as_of}."),
                None => "Not equal: it must not be switched.".to_owned(),
            },
            good,
            totals: verify::rows(sums, self.started),
            limits,
            fields,
            ..Facts::default()
        };
        report::add_scope(&mut facts, &self.call.scope());
        facts.about.push(("fence".to_owned(), self.arguments.fence.name().to_owned()));
        facts.about.extend(
            self.proven.as_of_txid.map(|as_of| ("as of transaction".to_owned(), as_of.to_string())),
        );
        facts
    }

    /// What a program is told, but for how it ended.
    fn fields(&self, equal: bool) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("outcome".into(), if equal { "equal" } else { "incomplete" }.into());
        fields.insert("name".into(), self.place.name.clone().into());
        fields.insert("fence".into(), self.arguments.fence.name().into());
        fields.insert("as_of_txid".into(), self.proven.as_of_txid.into());
        fields.insert("ignore_extras".into(), self.arguments.ignore_extras.into());
        let metadata = serde_json::to_value(self.call.metadata()).unwrap_or_default();
        fields.insert("metadata".into(), metadata);
        let sums = self.proven.sums.and_then(|sums| serde_json::to_value(sums).ok());
        if let Some(Value::Object(counts)) = sums {
            fields.extend(counts);
        }
        fields.insert("elapsed_seconds".into(), self.started.elapsed().as_secs_f64().into());
        fields
    }

    /// Says how it ended; answers the exit code.
    fn answer(mut self, ended: &Ended, record: &Record, errors: Vec<CommandError>) -> u8 {
        for reason in ended.reasons() {
            self.problems.note(reason.kind, &reason.failure());
        }
        let mut conditions: BTreeSet<_> = errors.iter().map(|error| error.condition).collect();
        conditions.extend(ended.condition());
        let code = exit::code(&conditions);
        let failed = match ended {
            Ended::Failed(error) => Some(error),
            Ended::Yes | Ended::No(_) | Ended::Stopped(_) => errors.first(),
        };
        for error in errors.iter().chain(ended.error()) {
            output::error(error);
        }
        let mut fields = self.fields(matches!(ended, Ended::Yes));
        fields.insert("outcome".into(), ended.outcome().into());
        fields.insert("fence_stands".into(), record.fence().is_some().into());
        if let Some(now) = self.proven.undone.as_ref().and_then(Undone::left) {
            fields.insert("fence_left".into(), now.into());
        }
        fields.insert("reasons".into(), ended.reasons().len().into());
        fields.insert("exit_code".into(), code.into());
        if let Some(report) = &self.proven.report {
            fields.insert("report".into(), report.clone().into());
        }
        if let Some(error) = failed {
            fields.insert("message".into(), error.message.clone().into());
            fields.insert("remedy".into(), error.remedy.clone().into());
        }
        if self.patience.json {
            output::json_line("result", &fields);
        } else {
            output::standard_output(&self.text(ended, record));
        }
        code
    }

    fn text(&self, ended: &Ended, record: &Record) -> String {
        let verdict = match ended {
            Ended::Yes => "Yes: the target equals the source, and the migration has stopped.",
            Ended::No(_) => "No: it must not be switched.",
            Ended::Failed(_) => "Failed: it must not be switched.",
            Ended::Stopped(_) => "Stopped: it must not be switched.",
        };
        let mut rows = Vec::new();
        if let Some(as_of) = self.proven.as_of_txid {
            rows.push(("as of transaction".to_owned(), as_of.to_string()));
        }
        let fence = fence::row(self.arguments.fence, record, self.proven.undone.as_ref());
        rows.extend(fence.map(|fence| ("fence".to_owned(), fence)));
        rows.extend(self.proven.sums.iter().flat_map(|sums| verify::rows(sums, self.started)));
        rows.extend(self.proven.report.iter().map(|it| ("report".to_owned(), it.clone())));
        let rows = rows.iter().map(|(name, value)| format!("\n  {name:<22}{value}"));
        format!("{verdict}{}", rows.collect::<String>())
    }
}

/// Everything that the answer rests on, and what it is about.
struct Proof<'a> {
    watched: &'a Watched,
    sums: Sums,
    /// Why it is no; empty: it is yes.
    reasons: Vec<Reason>,
    report: Option<SignedReport>,
}

/// Sees a decision through: a signal changes it no more, and is told so.
async fn decided(signals: &mut Signals, deciding: impl Future<Output = Result<(), No>>) -> Ended {
    let mut deciding = pin!(deciding);
    let ended = loop {
        tokio::select! {
            ended = &mut deciding => break ended,
            _ = signals.next() => output::standard_error("it is decided: the answer follows"),
        }
    };
    // What came up to here is not taken for the second one, which would leave the fence.
    signals.forget();
    ended.map_or_else(Ended::of, |()| Ended::Yes)
}

/// How it ended.
enum Ended {
    Yes,
    No(Vec<Reason>),
    Failed(CommandError),
    Stopped(Signal),
}

impl Ended {
    fn of(no: No) -> Self {
        match no {
            No::Because(reasons) => Self::No(reasons),
            No::Failed(error) => Self::Failed(error),
        }
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Yes => "equal",
            Self::No(_) => "incomplete",
            Self::Failed(_) => "failed",
            Self::Stopped(_) => "stopped",
        }
    }

    fn reasons(&self) -> &[Reason] {
        match self {
            Self::No(reasons) => reasons,
            Self::Yes | Self::Failed(_) | Self::Stopped(_) => &[],
        }
    }

    fn error(&self) -> Option<&CommandError> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Yes | Self::No(_) | Self::Stopped(_) => None,
        }
    }

    fn condition(&self) -> Option<Condition> {
        match self {
            Self::Yes => None,
            Self::No(_) => Some(Condition::Incomplete),
            Self::Failed(error) => Some(error.condition),
            Self::Stopped(signal) => Some(Condition::Signal(*signal)),
        }
    }
}

/// What a comparison found.
fn different(sums: &Sums, ignore_extras: bool) -> Vec<Reason> {
    if sums.equal(ignore_extras) {
        return Vec::new();
    }
    let counts = [
        ("missing", sums.missing),
        ("extra", if ignore_extras { 0 } else { sums.extra }),
        ("different", sums.different),
        ("metadata different", sums.metadata_different),
        ("unverifiable", sums.unverifiable),
        ("moving", sums.moving),
    ];
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    let told: Vec<_> = counts.map(|(name, count)| format!("{count} {name}")).collect();
    vec![Reason {
        kind: "different",
        message: format!("source and target differ: {}", told.join(", ")),
        remedy: "each difference is told; whimbrel path tells what happened to it",
    }]
}

/// What an earlier call left in the report's folder is put aside: that one may have been killed.
fn make_way(folder: Option<&Path>, record: &Record) -> Result<(), CommandError> {
    let Some(folder) = folder.filter(|folder| record.report().as_deref() == Some(*folder)) else {
        return Ok(());
    };
    if is_free(folder)? {
        return Ok(());
    }
    let aside = (1_u32..).map(|number| {
        let mut aside = folder.as_os_str().to_owned();
        aside.push(format!(".{number}"));
        PathBuf::from(aside)
    });
    let Some(aside) = aside.into_iter().find(|aside| !aside.exists()) else { return Ok(()) };
    std::fs::rename(folder, &aside).map_err(|error| {
        CommandError::local(
            format!("{} cannot be renamed: {error}", folder.display()),
            "name a new folder for the report",
        )
    })
}

fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

async fn undo_fence(
    pair: &Pair,
    connection: &ConnectionArguments,
    place: &StatePlace,
    json: bool,
) -> Result<u8, CommandError> {
    let _taken = record::take(&place.folder)?;
    let mut record = Record::read(&place.folder)?;
    let undone = match record.fence() {
        None => None,
        Some(_) => {
            let source = open::source(&pair.source, connection, false).await?;
            fence::undo(&source.fences, &mut record, &place.name).await?
        }
    };
    let name = &place.name;
    if json {
        let left = undone.as_ref().and_then(Undone::left);
        let fields =
            json!({ "name": name, "undone": undone.is_some(), "fence_left": left, "exit_code": 0 });
        output::json_line("result", &fields);
        return Ok(0);
    }
    output::standard_output(&match undone {
        None => format!("{name}: no fence of a cut-over stands."),
        Some(Undone::AsBefore) => format!("{name}: the source can be changed again."),
        Some(Undone::Left(now)) => {
            format!("{name}: the fence did not stand any more; the source is left as it is, {now}.")
        }
    });
    Ok(0)
}
