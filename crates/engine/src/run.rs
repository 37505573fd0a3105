//! One run from its setup to its result.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use whimbrel_core::config::{Config, Existing, Extras};
use whimbrel_core::effect::Finish;
use whimbrel_core::failure::Side;
use whimbrel_core::input::Input;
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_core::migration::Migration;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Change, Meta, Parked};
use whimbrel_core::scope::Scope;
use whimbrel_ledger::Ledger;
use whimbrel_store::attributes::WithAttributes;
use whimbrel_store::image::Image;
use whimbrel_store::key::KeyMap;
use whimbrel_store::source::{ChangeStream, Memory, Source};
use whimbrel_store::target::Target;
use whimbrel_transfer::{Carrier, Options as TransferOptions};

use crate::bare_directory::Directories;
use crate::base_snapshot::{BaseSnapshots, Bases, Kept, tend};
use crate::clock::Clock;
use crate::control::{Orders, Socket};
use crate::counts::Counts;
use crate::coverage;
use crate::driver::Driver;
use crate::error::EngineError;
use crate::followed::Followed;
use crate::history::watch_history;
use crate::imaged::{self, ImagedSource};
use crate::ledger_thread::{LedgerDesk, LedgerThread, Sums, View};
use crate::limit::Limits;
use crate::limited_source::LimitedSource;
use crate::limited_target::LimitedTarget;
use crate::local_clock::{self, LocalClock};
use crate::mounts;
use crate::out_of_scope;
use crate::problems::Problems;
use crate::progress::{Meter, Progress};
use crate::root_look::RootLook;
use crate::setup::{Setup, Sides, hot_entries_max};
use crate::shared_scan::Seat;
use crate::unknown_outcome;
use crate::world::{Lanes, World};

const LISTINGS: usize = 16;
const EXAMINATIONS: usize = 32;
const TARGET_CALLS: usize = 64;
/// Parked paths that a result names; the ledger holds them all.
const PARKED_MAX: usize = 100_000;

/// How a run ended and where it left things.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// How it ended.
    pub ending: Ending,
    /// The last view of it.
    pub progress: Progress,
    /// Paths set aside, with what happened, at most 100,000.
    pub parked: Vec<ParkedPath>,
    /// Reports that nobody took in time.
    pub reports_dropped: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything that it was to do is done; parked paths aside.
    Done,
    /// Asked to stop; starting again goes on.
    Stopped,
    /// Something ended it; starting again goes on.
    Failed(EngineError),
}

/// A path set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedPath {
    /// Which.
    pub path: RelPath,
    /// Why.
    pub reason: Parked,
    /// What happened and what to do.
    pub message: String,
}

/// The word for a run's end in the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target equals the source.
    Equal,
    /// Some paths failed, are open, or wait for a person.
    Incomplete,
    /// Something ended the run.
    Failed,
    /// Asked to stop.
    Stopped,
}

impl RunResult {
    /// The word for it.
    pub fn outcome(&self) -> Outcome {
        let aside = self.progress.failures + self.progress.files_open + self.progress.guarded;
        match &self.ending {
            Ending::Done if aside == 0 => Outcome::Equal,
            Ending::Done => Outcome::Incomplete,
            Ending::Stopped => Outcome::Stopped,
            Ending::Failed(_) => Outcome::Failed,
        }
    }
}

/// Runs a migration until it is done, stopped or broken. Everything that was told to be durable
/// is, however it ends.
///
/// # Errors
/// What keeps it from beginning: `WrongUse`, `Local`, `Source`, `Target`. What ends it later is
/// part of the result.
pub async fn run(setup: Setup, orders: Orders) -> Result<RunResult, EngineError> {
    let config = setup.core_config();
    if config.timetable.is_some() {
        local_clock::zone()?;
    }
    let Setup { state, source, target, keys, scope, limits, problems, base_snapshots, .. } = setup;
    let tree = source.clone();
    let image = setup.image.map(Arc::new);
    let (transfers, part_bytes, memory_bytes) =
        (setup.transfers, setup.part_bytes, setup.memory_bytes);
    let counts = Arc::<Counts>::default();
    let seat = seated(setup.seat, config.live);
    let (told, inputs) = mpsc::unbounded_channel();
    let (limited, heard) = (limits.clone(), told.clone());
    let source = LimitedSource::new(source, limited, counts.clone(), heard, seat.clone());
    let [source, copied_source] = asked_and_copied(source, config.metadata, &image, &counts);
    let target: Arc<dyn Target> = Arc::new(LimitedTarget {
        inner: target,
        root: keys.listing_prefix(),
        limits: limits.clone(),
        counts: counts.clone(),
        inputs: told.clone(),
    });
    let sides = Sides { source: source.clone(), target: target.clone() };
    sides.first_contact(&keys.listing_prefix()).await?;
    let stream = match config.live {
        true => Some(sides.open_stream().await?),
        false => None,
    };
    let folder = state.folder().to_owned();
    let (mut ledger, migration) = state.settle()?;
    let mut meta = begun(&mut ledger, stream.as_deref()).await?;
    if let Some(image) = &image {
        meta = imaged::join(image, stream.as_deref(), &mut ledger, &problems).await?;
    }
    let told_from = image.as_ref().and_then(|image| image.mark());
    let new_coverage = coverage::new(&ledger, &scope, &config, told_from, meta.scanned)?;
    // After its scan it lists what changed, and never joins the scan of others.
    let seat = seat.filter(|_| !(config.live && meta.scanned && new_coverage.is_none()));
    let config = Config { new_coverage, ..config };
    let known_mounts = mounts::known(&mut ledger, &setup.forgotten_mounts)?;
    let options = TransferOptions {
        metadata: config.metadata,
        part_bytes,
        memory_bytes,
        ..TransferOptions::new(migration)
    };
    let last = meta.position.map(|txid| (txid, meta.digest));
    let history = meta.history.clone();
    let stream = stream.map(|stream| Followed::new(stream, (image, seat.clone()), history, last));
    let carrier = Carrier::new(copied_source, target.clone(), keys.clone(), options);
    let parts = Parts {
        reads_found: config.existing == Existing::Check,
        folder,
        tree,
        known_mounts,
        source,
        target,
        keys,
        scope,
        carrier,
        stream,
        transfers,
        limits,
        problems,
        counts,
        base_snapshots,
        seat,
    };
    parts.run(ledger, meta, config, orders, (told, inputs)).await
}

/// Without a stream nothing is going to be told: the place in a shared scan is taken at once.
fn seated(seat: Option<Seat>, live: bool) -> Option<Arc<Seat>> {
    let seat = seat.map(Arc::new);
    seat.iter().filter(|_| !live).for_each(|seat| seat.join());
    seat
}

/// The source as it is asked, and as its files are read to be sent.
fn asked_and_copied(
    source: LimitedSource,
    metadata: MetadataLevel,
    image: &Option<Arc<Image>>,
    counts: &Arc<Counts>,
) -> [Arc<dyn Source>; 2] {
    let copied: Arc<dyn Source> = Arc::new(source.for_copies());
    let asked: Arc<dyn Source> = match metadata {
        MetadataLevel::Full => Arc::new(WithAttributes::new(Arc::new(source))),
        MetadataLevel::None | MetadataLevel::Basic => Arc::new(source),
    };
    [asked, copied].map(|inner| match image {
        Some(image) => Arc::new(ImagedSource::new(inner, image.clone(), counts.clone())),
        None => inner,
    })
}

/// The first run in a history remembers its name (rule 1.7). A follower's history is as old as its
/// process: before a position is durable nothing was followed in that of an earlier one.
async fn begun(
    ledger: &mut Ledger,
    stream: Option<&dyn ChangeStream>,
) -> Result<Meta, EngineError> {
    let meta = ledger.meta()?;
    let Some(stream) = stream else { return Ok(meta) };
    let followed = match stream.memory() {
        Memory::Source { .. } => true,
        Memory::Follower { .. } => meta.position.is_some(),
    };
    if followed && meta.history.is_some() {
        return Ok(meta);
    }
    let name = stream.history().await.map_err(|error| error.into_failure(Side::Source))?;
    let named = Change::History { epoch: meta.epoch, name: Some(name) };
    ledger.apply(&[&[named]])?;
    Ok(ledger.meta()?)
}

/// What a run is made of once both sides have answered.
struct Parts {
    reads_found: bool,
    folder: PathBuf,
    /// The source without limits.
    tree: Arc<dyn Source>,
    known_mounts: Vec<RelPath>,
    source: Arc<dyn Source>,
    target: Arc<dyn Target>,
    keys: KeyMap,
    scope: Scope,
    carrier: Carrier,
    stream: Option<Followed>,
    transfers: usize,
    limits: Arc<Limits>,
    problems: Problems,
    counts: Arc<Counts>,
    base_snapshots: Option<BaseSnapshots>,
    seat: Option<Arc<Seat>>,
}

impl Parts {
    async fn run(
        self,
        mut ledger: Ledger,
        meta: Meta,
        config: Config,
        orders: Orders,
        (input_sender, inputs): (UnboundedSender<Input>, UnboundedReceiver<Input>),
    ) -> Result<RunResult, EngineError> {
        let (failed_sender, failed) = mpsc::unbounded_channel();
        let attempts = ledger.attempts()?;
        unknown_outcome::tell_of_left(&attempts);
        ledger.keep_in_memory(hot_entries_max(config.pending_max));
        let sums = Sums { counters: meta.counters, spilled: ledger.spilled()? };
        let sums = Arc::new(Mutex::new(sums));
        let answers = input_sender.clone();
        let children_first = !self.target.abilities().markers;
        let extras_go = config.extras == Extras::Remove;
        let view = View { scope: self.scope.clone(), children_first, extras_go };
        let kept = Bases::kept(&ledger)?;
        let thread = LedgerThread::start(ledger, view, sums.clone(), answers, failed_sender)
            .map_err(|error| {
                EngineError::local(format!("no thread for the ledger: {error}"), "free memory")
            })?;
        let memory = mounts::memory(thread.desk.clone(), self.scope.clone());
        self.tree.keep_mounts(self.known_mounts.clone(), memory);
        let clock = Clock::start();
        let bases = self.bases(kept, &thread.desk);
        let resumed = meta.inventory_done;
        let local_clock = LocalClock::start(clock.now());
        let config = Config { local_time: local_clock.told().clone(), ..config };
        let core = Migration::new(config, &meta, attempts, clock.now());
        let limits = self.limits.clone();
        limits.join(&orders.control);
        let meter = Meter::new(sums, self.counts.clone(), self.target.clone());
        let problems = self.problems.clone();
        let socket = Socket::open(&self.folder, &orders, thread.desk.clone());
        let told = orders.progress.clone();
        let world = Arc::new(self.world(thread.desk.clone(), input_sender, bases.clone()));
        let mut tasks = JoinSet::new();
        let history = meter.history.clone();
        tasks.spawn(watch_history(world.clone(), told.subscribe(), history, problems.clone()));
        tasks.spawn(tend(bases.clone(), world.clone(), told.subscribe()));
        let mut beside = JoinSet::new();
        if resumed {
            beside.spawn(find_bare(world.clone()));
        }
        let left = meter.out_of_scope.clone();
        beside.spawn(out_of_scope::tell_of_left(world.clone(), left, problems.clone()));
        let driver = Driver {
            core,
            clock,
            local_clock,
            world,
            desk: thread.desk.clone(),
            inputs,
            failed,
            orders: orders.orders,
            control: orders.control,
            problems: problems.clone(),
            limits,
            meter,
            told: told.clone(),
            tasks,
            stop_by: None,
        };
        let ending = driven(driver, beside).await;
        put_bases_away(bases, &ending).await;
        drop(socket);
        let closed = thread.end().await.map_or(Ok(Vec::new()), put_away);
        let progress = told.borrow().clone();
        let (ending, parked) = match (ending, closed) {
            (ending, Ok(parked)) => (ending, parked),
            (failed @ Ending::Failed(_), Err(_)) => (failed, Vec::new()),
            (Ending::Done | Ending::Stopped, Err(error)) => (Ending::Failed(error), Vec::new()),
        };
        Ok(RunResult { ending, progress, parked, reports_dropped: problems.dropped() })
    }

    fn bases(&self, kept: Kept, desk: &LedgerDesk) -> Option<Arc<Bases>> {
        let (root, problems) = (self.source.root_key(), self.problems.clone());
        let used = self.base_snapshots.clone()?;
        Some(Arc::new(Bases::new(used, kept, root, desk.clone(), problems)))
    }

    fn world(
        self,
        desk: LedgerDesk,
        inputs: UnboundedSender<Input>,
        bases: Option<Arc<Bases>>,
    ) -> World {
        let real_directories = !self.target.abilities().markers;
        World {
            directories: real_directories.then(Directories::default),
            reads_found: self.reads_found,
            source: self.source,
            target: self.target,
            carrier: self.carrier,
            keys: self.keys,
            scope: self.scope,
            stream: self.stream,
            bases,
            desk,
            inputs,
            root_look: RootLook::default(),
            seat: self.seat,
            lanes: Lanes {
                transfers: Semaphore::new(self.transfers.max(1)),
                listings: Semaphore::new(LISTINGS),
                examinations: Semaphore::new(EXAMINATIONS),
                target_calls: Semaphore::new(TARGET_CALLS),
            },
        }
    }
}

/// A run that came to its end wants no base any more; one that is gone on with does.
async fn put_bases_away(bases: Option<Arc<Bases>>, ending: &Ending) {
    if let (Some(bases), Ending::Done) = (bases, ending) {
        bases.remove_all().await;
    }
}

/// Drives in a task of its own, so that not even the core's own breaking passes the ledger by. What
/// goes on `beside` is waited for only when everything else is done.
async fn driven(mut driver: Driver, mut beside: JoinSet<()>) -> Ending {
    let driven = tokio::spawn(async move {
        let finish = driver.drive().await;
        driver.tell();
        driver.tasks.shutdown().await;
        if matches!(finish, Ok(Finish::Done)) {
            while beside.join_next().await.is_some() {}
            driver.tell();
        }
        beside.shutdown().await;
        driver.world.remove_bare().await;
        finish
    });
    let finish = match driven.await {
        Ok(finish) => finish,
        Err(error) => Err(EngineError::defect(format!("the core broke: {error}"))),
    };
    match finish {
        Ok(Finish::Done) => Ending::Done,
        Ok(Finish::Stopped) => Ending::Stopped,
        Ok(Finish::GaveUp(failure)) => Ending::Failed(failure.into()),
        Ok(Finish::Guard(failure)) => {
            Ending::Failed(EngineError::Guard { message: failure.message, remedy: failure.remedy })
        }
        Err(error) => Ending::Failed(error),
    }
}

/// What is parked, and a ledger closed in order.
fn put_away(ledger: Ledger) -> Result<Vec<ParkedPath>, EngineError> {
    let parked = ledger.parked(None, PARKED_MAX)?;
    ledger.close()?;
    let named = parked.into_iter().filter_map(|(entry, message)| {
        Some(ParkedPath { path: entry.path, reason: entry.parked?, message })
    });
    Ok(named.collect())
}

/// What a killed process left behind is looked for once, beside the work.
async fn find_bare(world: Arc<World>) {
    if let Err(error) = world.find_bare().await {
        tracing::warn!(%error, "directories that a killed run left empty were not all looked for");
    }
}
