//! `whimbrel migrate SOURCE TARGET`.

mod attend;
mod several;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::mpsc;
use whimbrel_core::config::Config;
use whimbrel_core::effect::Report;
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_core::path::Namespace;
use whimbrel_engine::{BaseSnapshots, Ending, Limits, Rate, RunResult, Setup, State};
use whimbrel_report::Facts;
use whimbrel_store::error::StoreError;
use whimbrel_store::hdfs::ImageFrom;
use whimbrel_store::image::Image;
use whimbrel_store::local::{LocalTarget, Taken};
use whimbrel_store::s3::{Named, WriteOptions};
use whimbrel_store::source::Source;
use whimbrel_store::target::Finding;

use crate::arguments::{MigrateArguments, StateArguments, WriteArguments};
use crate::exit::{self, CommandError, Condition, Signal};
use crate::location::Location;
use crate::open::{self, OpenSource, OpenTarget, Writer};
use crate::output;
use crate::output::problem::{Problems, with_name};
use crate::output::result::{MigrationResult, Outcome};
use crate::output::view::View;
use crate::record::{self, Call, LastResult};
use crate::report::{self, SignedReport};
use crate::request::{Coverage, Pair};
use crate::signal::{Signals, interruptible};
use crate::state::{self, StatePlace};
use crate::timetable::Bandwidth;
use crate::unit::Limit;
use attend::attend;
use several::Together;

/// How long somebody who is about to go may hold the state.
pub const IN_USE_MAX: Duration = Duration::from_secs(10);
/// What a state remembers: whether a URL of an object store was taken for a prefix or for an object.
const SOURCE_NAMED: &str = "source_named";
/// And which directory of this machine was written to.
pub const TARGET_DIRECTORY: &str = "target_directory";

/// A call that was looked through before anything is touched, as far as it concerns one target.
struct Request {
    arguments: MigrateArguments,
    pair: Pair,
    coverage: Coverage,
    place: StatePlace,
    /// Where other targets are named too.
    together: Option<Together>,
}

/// Runs a migration to its end, or one for each target.
///
/// # Errors
/// What keeps it from beginning. What ends it later is its result.
pub async fn run(arguments: MigrateArguments, json: bool) -> Result<u8, CommandError> {
    if !arguments.more_targets.is_empty() {
        return several::run(arguments, json).await;
    }
    let StateArguments { name, state } = arguments.state.clone();
    let place =
        |pair: &Pair| state::place(&pair.source, &pair.target, name.as_deref(), state.as_deref());
    let request = Request::parse(arguments, place)?;
    refuse_options_of_buckets(&request.arguments.write, [&request.pair.target])?;
    if request.arguments.dry_run {
        let Request { pair, coverage, place, arguments, .. } = &request;
        let run = super::dry_run::run((pair, coverage, place), arguments, json);
        return interruptible(run, json).await;
    }
    let mut signals = Signals::listen()?;
    let result = request.migrate(&mut signals, &View::of_one(&request.place.name, json)).await?;
    if let Some(error) = &result.error {
        output::error(error);
    }
    match json {
        true => output::json_line("result", &result.fields()),
        false => output::standard_output(&result.text()),
    }
    Ok(result.exit_code)
}

/// A run that both sides have answered to.
struct Begun {
    setup: Setup,
    reports: mpsc::Receiver<Report>,
    findings: Vec<Finding>,
    aside: Aside,
    /// What earlier runs took.
    seconds_before: f64,
}

/// What is told or held beside the run.
struct Aside {
    /// A target of this machine.
    local: Option<LocalTarget>,
    /// What the source's URL was taken for, if it could have been taken for another.
    left_out: Option<Named>,
    _taken: Option<Taken>,
}

impl Aside {
    fn tell_left_out(&self, problems: &mut Problems, source: &Location) {
        let Some(named) = self.left_out else { return };
        let (taken, left) = match named {
            Named::Prefix => ("the keys below it", "the object of that very key"),
            Named::Object => ("the object of that very key", "the keys below it"),
        };
        problems.note(
            "left_out",
            &Failure {
                side: Side::Source,
                kind: FailureKind::Conflict,
                message: format!("{source} stands for {taken}; {left} are not migrated"),
                remedy: "migrate the prefix above, with --include for both, to have both"
                    .to_owned(),
            },
        );
    }

    fn owners_not_set(&self) -> u64 {
        self.local.as_ref().map_or(0, LocalTarget::owners_not_set)
    }
}

fn word(named: Named) -> &'static str {
    match named {
        Named::Prefix => "prefix",
        Named::Object => "object",
    }
}

fn named(word: &str) -> Option<Named> {
    [Named::Prefix, Named::Object].into_iter().find(|named| self::word(*named) == word)
}

impl Request {
    fn parse(
        arguments: MigrateArguments,
        place: impl FnOnce(&Pair) -> Result<StatePlace, CommandError>,
    ) -> Result<Self, CommandError> {
        let pair = Pair::parse(&arguments.source, &arguments.target, &arguments.connection)?;
        let coverage = Coverage::parse(&arguments.scope)?;
        if arguments.live && matches!(pair.source, Location::Bucket { .. }) {
            return Err(CommandError::usage(
                format!("--live: {} has no stream of changes", pair.source),
                "leave --live out and run the same call again and again: only what differs is \
                 copied",
            ));
        }
        if let Some(given) = &arguments.fsimage {
            image_from(given)?;
            if !matches!(pair.source, Location::Hdfs { .. }) {
                return Err(CommandError::usage(
                    format!("--fsimage: {} is not HDFS", pair.source),
                    "leave it out: a NameNode saves images",
                ));
            }
        }
        let place = place(&pair)?;
        pair.refuse_state_inside(&place.folder)?;
        report::refuse(arguments.report.as_deref(), &pair)?;
        Ok(Self { arguments, pair, coverage, place, together: None })
    }

    /// From the first look at both sides to its end.
    ///
    /// # Errors
    /// What keeps it from beginning, or its result from being kept.
    async fn migrate(
        &self,
        signals: &mut Signals,
        view: &View,
    ) -> Result<MigrationResult, CommandError> {
        let begun = tokio::select! {
            begun = self.begin() => begun?,
            signal = signals.next() => return Ok(stopped_early(&self.place, signal)),
        };
        let started = output::now();
        self.announce(view);
        let Begun { setup, reports, findings, aside, seconds_before } = begun;
        let mut problems = view.problems(&self.place.name);
        view.quietly(|| {
            findings.into_iter().for_each(|finding| problems.finding(finding));
            aside.tell_left_out(&mut problems, &self.pair.source);
        });
        let (result, signal) = attend(setup, reports, signals, &mut problems, view, &aside).await;
        let mut result = match result {
            Ok(result) => MigrationResult {
                run_owners_not_set: aside.owners_not_set(),
                elapsed_seconds: seconds_before + result.progress.elapsed_seconds,
                ..self.result(&result, signal)
            },
            Err(error) => self.failed(error.into()),
        };
        if let Some(error) = &mut result.error {
            error.remedy = with_name(&error.remedy, &self.place.name);
        }
        // A disk that is full for the one may be full for the other: the first is what is told.
        let kept = record::write_result(&self.place.folder, &result.fields());
        kept.or_else(|error| if result.error.is_some() { Ok(()) } else { Err(error) })?;
        self.write_report(&mut result, started, signals).await;
        Ok(result)
    }

    /// The result of a migration that came to nothing.
    fn failed(&self, error: CommandError) -> MigrationResult {
        let code = exit::code(&BTreeSet::from([error.condition]));
        let name = self.place.name.clone();
        MigrationResult { name, ..MigrationResult::of_error(error, code) }
    }

    /// Opens state and sides. The state comes first: where it is in use, nothing else is touched.
    async fn begin(&self) -> Result<Begun, CommandError> {
        let new = !self.place.folder.exists();
        let begun = self.open_all().await;
        if begun.is_err() && new {
            // Nothing but an empty ledger is in there.
            let _ = std::fs::remove_dir_all(&self.place.folder);
        }
        if let Some(together) = &self.together {
            together.gather(begun.is_err()).await;
        }
        begun
    }

    async fn open_all(&self) -> Result<Begun, CommandError> {
        let arguments = &self.arguments;
        let write = write_options(&arguments.write)?;
        let mut state = open_state(&self.place, &self.pair, &self.coverage).await?;
        let uploads = state.uploads()?;
        let directory = state.remembered(TARGET_DIRECTORY)?.filter(|_| !arguments.policy.adopt);
        let directory = directory.as_deref();
        let of_keys = matches!(self.pair.source, Location::Bucket { .. });
        let writer = Writer { migration: state.migration(), uploads: &uploads, directory, of_keys };
        let before = state.remembered(SOURCE_NAMED)?.and_then(|word| named(&word));
        let source = self.source(before);
        let target = open::target(&self.pair.target, &arguments.connection, write, writer);
        let (source, target) = match self.pair.target {
            // Both have to have answered within half a minute.
            Location::Bucket { .. } => {
                let (source, target) = tokio::join!(source, target);
                (source?, target?)
            }
            // A directory is made by opening it: not before the source has answered.
            Location::Local { .. } | Location::Hdfs { .. } => (source.await?, target.await?),
        };
        let image = self.image(&source, state.scanned()?).await?;
        // It can be written, or this is where it ends; what else it cannot do is worked around.
        let findings = target.probe().await?;
        let taken = self.take(&target, &mut state)?;
        if let Some(named) = source.named {
            state.remember(SOURCE_NAMED, word(named).to_owned());
        }
        let left_out = source.named.filter(|_| source.names_both);
        let coverage = match source.single_file {
            Some(name) => self.coverage.clone().of_single_file(name)?,
            None => self.coverage.clone(),
        };
        let base_snapshots = source.snapshots.map(|snapshots| {
            BaseSnapshots::new(snapshots, &self.place.name, arguments.source_snapshots)
        });
        let (problems, reports) = whimbrel_engine::Problems::channel();
        let keys = coverage.keys(target.prefix())?;
        let local = target.local().cloned();
        let usual = Setup::new(state, source.source, target.into_target());
        let transfers = arguments.limits.transfers;
        let transfers = transfers.map_or(usual.transfers, |transfers| transfers as usize);
        let setup = Setup {
            keys,
            scope: coverage.scope,
            forgotten_mounts: arguments.guard.forgotten_mounts(),
            config: config(&self.arguments),
            transfers,
            limits: Arc::new(self.limits()),
            problems,
            base_snapshots,
            image,
            seat: self.together.as_ref().and_then(Together::take_seat),
            ..usual
        };
        let seconds_before = self.remember()?;
        let aside = Aside { local, left_out, _taken: taken };
        Ok(Begun { setup, reports, findings, aside, seconds_before })
    }

    /// The source: one of its own, or that of all.
    async fn source(&self, before: Option<Named>) -> Result<OpenSource, CommandError> {
        match &self.together {
            Some(together) => together.source(before, self.open_source(before)).await,
            None => self.open_source(before).await,
        }
    }

    async fn open_source(&self, before: Option<Named>) -> Result<OpenSource, CommandError> {
        let arguments = &self.arguments;
        let acl = arguments.write.metadata != MetadataLevel::None;
        let opening = open::source_as(&self.pair.source, &arguments.connection, acl, before);
        let source = opening.await?;
        // Asking costs nothing here, and saves the target from being written in vain.
        if arguments.live && matches!(self.pair.source, Location::Hdfs { .. }) {
            refuse_without_stream(source.source.as_ref()).await?;
        }
        if arguments.source_snapshots.is_some() && source.snapshots.is_none() {
            return Err(CommandError::usage(
                format!("--source-snapshots: {} has none", self.pair.source),
                "leave it out: directories of HDFS have snapshots",
            ));
        }
        Ok(source)
    }

    /// The image to begin with. A scan that is done needs none, and its file may be gone by now.
    async fn image(
        &self,
        source: &OpenSource,
        scanned: bool,
    ) -> Result<Option<Image>, CommandError> {
        let (Some(given), Some(hdfs)) = (&self.arguments.fsimage, &source.hdfs) else {
            return Ok(None);
        };
        if scanned {
            return Ok(None);
        }
        output::standard_error(&format!("reading the image {}", given.display()));
        let xattrs = self.arguments.write.metadata == MetadataLevel::Full;
        let image = hdfs.image(image_from(given)?, &self.place.folder, xattrs).await;
        image.map(Some).map_err(|failure| match failure.kind {
            FailureKind::Refused => {
                CommandError::usage(format!("--fsimage: {}", failure.message), failure.remedy)
            }
            FailureKind::Unavailable
            | FailureKind::Throttled
            | FailureKind::Denied
            | FailureKind::Forbidden
            | FailureKind::Missing
            | FailureKind::Conflict
            | FailureKind::Full
            | FailureKind::Corrupt
            | FailureKind::Moved
            | FailureKind::Unsupported
            | FailureKind::Defect => failure.into(),
        })
    }

    fn limits(&self) -> Limits {
        let limits = &self.arguments.limits;
        let always = match &limits.bandwidth {
            Some(Bandwidth::Always(Limit::AtMost(rate))) => rate.bytes_per_second,
            Some(Bandwidth::Always(Limit::Unlimited) | Bandwidth::Weekly(_)) | None => 0,
        };
        let calls = limits.namenode_calls.map_or(0, |rate| rate.calls_per_second);
        let requests = limits.target_requests.map_or(0, |rate| rate.calls_per_second);
        Limits {
            bandwidth_bytes: Rate::new(always),
            source_calls: Rate::new(calls),
            target_requests: Rate::new(requests),
            common: self.together.as_ref().map(Together::limits),
            ..Limits::default()
        }
    }

    /// Keeps other migrations from a target of this machine as long as the answer lives, and has
    /// later runs know it again.
    fn take(&self, target: &OpenTarget, state: &mut State) -> Result<Option<Taken>, CommandError> {
        let Some(local) = target.local() else { return Ok(None) };
        let failed = |error: StoreError| CommandError::from(error.into_failure(Side::Target));
        state.remember(TARGET_DIRECTORY, local.root_name().map_err(failed)?);
        let taken = local.take().map_err(failed)?;
        if taken.is_some() || self.arguments.policy.adopt {
            return Ok(taken);
        }
        Err(CommandError {
            condition: Condition::Guard,
            message: format!("another migration is writing to {}", self.pair.target),
            remedy: "wait until it has ended, or stop it; --adopt lets both write, and takes over \
                     what the other wrote"
                .to_owned(),
        })
    }

    /// Leaves beside the state what `verify NAME` and `status` need; answers how long earlier runs
    /// took.
    fn remember(&self) -> Result<f64, CommandError> {
        let (source, target) = (self.pair.source.url(), self.pair.target.url());
        Call::new(&source, &target, &self.arguments).write(&self.place.folder)?;
        let before = match record::read_result(&self.place.folder)? {
            LastResult::Told(result) => result,
            LastResult::None | LastResult::Unreadable { .. } => Map::new(),
        };
        record::forget_result(&self.place.folder)?;
        state::register(&self.place);
        Ok(before.get("elapsed_seconds").and_then(Value::as_f64).unwrap_or_default())
    }

    /// Says that it runs, and where it can be found.
    fn announce(&self, view: &View) {
        let (source, target) = (self.pair.source.to_string(), self.pair.target.to_string());
        let state = self.place.folder.display().to_string();
        tracing::info!(name = self.place.name, state, source, target, "started");
        if !view.json {
            let text = format!("{}: {source} -> {target}", self.place.name);
            return view.quietly(|| output::standard_error(&text));
        }
        let mut fields = Map::new();
        for (name, value) in [
            ("name", &self.place.name),
            ("state", &state),
            ("source", &source),
            ("target", &target),
        ] {
            fields.insert(name.to_owned(), value.as_str().into());
        }
        fields.insert("live".to_owned(), self.arguments.live.into());
        fields.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
        view.line("started", fields);
    }

    /// Leaves a signed report where one was asked for. One that cannot be written, or is not
    /// waited for, has its say in the exit code.
    async fn write_report(
        &self,
        result: &mut MigrationResult,
        started: String,
        signals: &mut Signals,
    ) {
        let Some(folder) = self.arguments.report.clone() else { return };
        let totals = result.rows().into_iter().map(|(name, value)| (name.to_owned(), value));
        let mut facts = Facts {
            title: format!("Migration {}", result.name),
            verdict: result.verdict(),
            good: result.outcome == Outcome::Equal,
            totals: totals.collect(),
            limits: report::limits_of_migration(),
            fields: result.fields(),
            ..Facts::default()
        };
        report::add_scope(&mut facts, &self.arguments.scope);
        facts.fields.insert("live".to_owned(), self.arguments.live.into());
        let (state, pair) = (self.place.folder.clone(), self.pair.clone());
        let written = tokio::task::spawn_blocking(move || {
            SignedReport::of_migration(&folder, &state, started)?.finish(facts, &pair)
        });
        let written = tokio::select! {
            written = written => written,
            signal = signals.next() => {
                result.exit_code = signal_code(signal);
                return;
            }
        };
        let broken = |error| CommandError {
            condition: Condition::Defect,
            message: format!("the report broke: {error}"),
            remedy: "report it".to_owned(),
        };
        match written.map_err(broken).flatten() {
            Ok(folder) => result.report = Some(folder),
            Err(error) => result.exit_code = report::not_written(&error, result.exit_code),
        }
    }

    fn result(&self, run: &RunResult, signal: Option<Signal>) -> MigrationResult {
        let progress = &run.progress;
        let mut conditions = BTreeSet::new();
        let error = match &run.ending {
            Ending::Done | Ending::Stopped => None,
            Ending::Failed(error) => Some(CommandError::from(error.clone())),
        };
        conditions.extend(error.as_ref().map(|error| error.condition));
        if run.ending == Ending::Stopped {
            // Stopped through the socket: as by a service manager.
            conditions.insert(Condition::Signal(signal.unwrap_or(Signal::Terminate)));
        }
        let outcome = match run.outcome() {
            whimbrel_engine::Outcome::Equal => Outcome::Equal,
            whimbrel_engine::Outcome::Incomplete => Outcome::Incomplete,
            whimbrel_engine::Outcome::Failed => Outcome::Failed,
            whimbrel_engine::Outcome::Stopped => Outcome::Stopped,
        };
        if outcome == Outcome::Incomplete {
            conditions.insert(Condition::Incomplete);
        }
        MigrationResult {
            outcome,
            total: progress.counters,
            run: progress.run,
            spilled: progress.spilled,
            failures: progress.failures,
            files_open: progress.files_open,
            guarded: progress.guarded,
            guard: self.arguments.guard.bounds(),
            removals_delayed: progress.removals_delayed,
            removals_delayed_next_ms: progress.removals_delayed_next_ms,
            removals_after_seconds: progress.removals_after_seconds,
            extras: progress.extras,
            out_of_scope: progress.out_of_scope,
            metadata_ledger_only: progress.metadata_ledger_only,
            run_source_listings: progress.source_listings,
            run_image_listings: progress.image_listings,
            run_shared_listings: progress.shared_listings,
            as_of_txid: progress.as_of_txid,
            lag_seconds: progress.lag_seconds,
            run_elapsed_seconds: progress.elapsed_seconds,
            name: self.place.name.clone(),
            error,
            exit_code: exit::code(&conditions),
            ..MigrationResult::default()
        }
    }
}

/// What the call asks of a run.
pub fn config(arguments: &MigrateArguments) -> Config {
    let usual = Config::default();
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Config {
        live: arguments.live,
        until_quiet_millis: arguments.until_quiet.map(millis),
        existing: arguments.policy.existing,
        adopt: arguments.policy.adopt,
        extras: arguments.policy.extras,
        removal_guard: arguments.guard.bounds(),
        removals_after_millis: millis(arguments.guard.removals_after),
        metadata: arguments.write.metadata,
        directory_markers: arguments.write.directory_markers,
        pending_max: arguments.limits.pending_max.unwrap_or(usual.pending_max),
        give_up_after_millis: millis(arguments.limits.give_up_after),
        timetable: arguments.limits.timetable(),
        ..usual
    }
}

/// The state of a migration between two locations, which this process has to itself from now on.
///
/// # Errors
/// It is in use, damaged, or of another migration.
pub async fn open_state(
    place: &StatePlace,
    pair: &Pair,
    coverage: &Coverage,
) -> Result<State, CommandError> {
    record::refuse_what_lost_its_state(&place.folder)?;
    let namespace = match pair.source {
        Location::Bucket { .. } => Namespace::Flat,
        Location::Hdfs { .. } | Location::Local { .. } => Namespace::Tree,
    };
    let mut fixed = pair.settings();
    // What stands at the old places would be taken for what belongs at the new ones.
    fixed.push(("mapping".to_owned(), coverage.mapping()));
    Ok(State::open_when_free(&place.folder, namespace, fixed, IN_USE_MAX).await?)
}

fn signal_code(signal: Signal) -> u8 {
    exit::code(&BTreeSet::from([Condition::Signal(signal)]))
}

fn stopped_early(place: &StatePlace, signal: Signal) -> MigrationResult {
    MigrationResult {
        outcome: Outcome::Stopped,
        name: place.name.clone(),
        exit_code: signal_code(signal),
        ..MigrationResult::default()
    }
}

/// A file, or a NameNode that sends its image.
fn image_from(given: &Path) -> Result<ImageFrom, CommandError> {
    let text = given.to_string_lossy();
    if text.starts_with("https://") {
        return Err(CommandError::usage(
            "--fsimage: an image is fetched by http:// alone",
            "fetch it by hdfs dfsadmin -fetchImage DIR, and give the file",
        ));
    }
    let Some(address) = text.strip_prefix("http://") else {
        return Ok(ImageFrom::File(given.to_owned()));
    };
    let address = address.trim_end_matches('/');
    let is_address = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
    });
    if !is_address {
        return Err(CommandError::usage(
            format!("--fsimage: {text} is not http://HOST:PORT"),
            "name the NameNode's web interface alone (dfs.namenode.http-address): the path of \
             its image is known",
        ));
    }
    Ok(ImageFrom::NameNode(address.to_owned()))
}

async fn refuse_without_stream(source: &dyn Source) -> Result<(), CommandError> {
    match source.stream().await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == FailureKind::Unsupported => {
            Err(CommandError::usage(format!("--live: {error}"), error.remedy().to_owned()))
        }
        Err(error) => Err(error.into_failure(Side::Source).into()),
    }
}

/// Refuses what only objects have where no target has objects: whoever asks for encryption is not to
/// find plain files.
///
/// # Errors
/// Wrong use.
fn refuse_options_of_buckets<'a>(
    arguments: &WriteArguments,
    targets: impl IntoIterator<Item = &'a Location>,
) -> Result<(), CommandError> {
    let given = [
        ("--sse", arguments.sse.is_some()),
        ("--sse-kms-key-id", arguments.sse_kms_key_id.is_some()),
        ("--bucket-key", arguments.bucket_key),
        ("--storage-class", arguments.storage_class.is_some()),
        ("--tag", !arguments.tag.is_empty()),
        ("--acl", arguments.acl.is_some()),
    ];
    let mut targets = targets.into_iter().filter(|to| matches!(to, Location::Bucket { .. }));
    match given.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) if targets.next().is_none() => Err(CommandError::usage(
            format!("{flag} says something of objects, and TARGET is no bucket"),
            "leave it out",
        )),
        Some(_) | None => Ok(()),
    }
}

/// The options that go on every write.
///
/// # Errors
/// Two tags of one key; a key for another encryption than that of a key service.
pub fn write_options(arguments: &WriteArguments) -> Result<WriteOptions, CommandError> {
    let mut tags = BTreeMap::new();
    for (key, value) in &arguments.tag {
        if tags.insert(key.clone(), value.clone()).is_some() {
            let told = format!("--tag {key}=... stands there twice");
            return Err(CommandError::usage(told, "give each tag one value"));
        }
    }
    if arguments.sse.as_deref() != Some("aws:kms") {
        let keyed = arguments.sse_kms_key_id.as_ref().map(|_| "--sse-kms-key-id");
        if let Some(flag) = keyed.or(arguments.bucket_key.then_some("--bucket-key")) {
            let told = format!("{flag} says something of aws:kms only");
            return Err(CommandError::usage(told, "add --sse aws:kms, or leave it out"));
        }
    }
    Ok(WriteOptions {
        encryption: arguments.sse.clone(),
        kms_key_id: arguments.sse_kms_key_id.clone(),
        bucket_key: arguments.bucket_key.then_some(true),
        storage_class: arguments.storage_class.clone(),
        tags,
        acl: arguments.acl.clone(),
    })
}
