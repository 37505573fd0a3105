//! What a run needs to begin, and what is looked at before it does.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use whimbrel_core::config::{Config, DirectoryMarkers};
use whimbrel_core::failure::Side;
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::scope::Scope;
use whimbrel_ledger::Options as LedgerOptions;
use whimbrel_store::error::StoreError;
use whimbrel_store::first_contact::ask_again;
use whimbrel_store::image::Image;
use whimbrel_store::key::KeyMap;
use whimbrel_store::source::{ChangeStream, Source};
use whimbrel_store::target::Target;
use whimbrel_transfer::Options as TransferOptions;

use crate::base_snapshot::BaseSnapshots;
use crate::error::EngineError;
use crate::limit::Limits;
use crate::problems::Problems;
use crate::shared_scan::Seat;
use crate::state::State;

/// How long a side may take for its first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(28);
/// Paths that may be worked on however few may be pending.
const CLAIMS_MIN: usize = 256;

/// Everything that one run is made of.
pub struct Setup {
    /// What is remembered.
    pub state: State,
    /// Where the files come from.
    pub source: Arc<dyn Source>,
    /// Where the objects go.
    pub target: Arc<dyn Target>,
    /// Which path stands at which key.
    pub keys: KeyMap,
    /// Which paths belong to the migration.
    pub scope: Scope,
    /// Where file systems were mounted that are gone for good: what they held counts as removed.
    pub forgotten_mounts: Vec<RelPath>,
    /// What the run is asked to do. The migration's id, the namespace and what the target can do
    /// are filled in by the engine.
    pub config: Config,
    /// Transfers at the same time.
    pub transfers: usize,
    /// Paths being worked on at the same time; `None`: as many as suit `Config::pending_max`.
    pub claims_max: Option<usize>,
    /// Files up to so many bytes go in one request; parts of larger ones have at least so many.
    pub part_bytes: u64,
    /// Bytes that all transfers together hold in memory at most.
    pub memory_bytes: u64,
    /// What a person allows per second; a running migration is told another by its socket.
    pub limits: Arc<Limits>,
    /// Where reports go.
    pub problems: Problems,
    /// Snapshots of the source, where it has any (rule 8.2).
    pub base_snapshots: Option<BaseSnapshots>,
    /// What stood below the source's root at an earlier transaction: with a stream, directories in
    /// which nothing happened since are not listed.
    pub image: Option<Image>,
    /// Its place in a scan that it shares with migrations of the same source to other targets.
    pub seat: Option<Seat>,
}

impl Setup {
    /// The usual sizes between two stores.
    pub fn new(state: State, source: Arc<dyn Source>, target: Arc<dyn Target>) -> Self {
        let usual = TransferOptions::new(String::new());
        Self {
            state,
            source,
            target,
            keys: KeyMap::default(),
            scope: Scope::everything(),
            forgotten_mounts: Vec::new(),
            config: Config::default(),
            transfers: 32,
            claims_max: None,
            part_bytes: usual.part_bytes,
            memory_bytes: usual.memory_bytes,
            limits: Arc::default(),
            problems: Problems::channel().0,
            base_snapshots: None,
            image: None,
            seat: None,
        }
    }

    /// The configuration of the core with what only the engine knows.
    pub(crate) fn core_config(&self) -> Config {
        let abilities = self.target.abilities();
        Config {
            migration: self.state.migration().to_owned(),
            namespace: self.source.namespace(),
            root_key: self.source.root_key(),
            request_lifetime: abilities.request_lifetime,
            copy_bytes_max: abilities.copy_bytes_max,
            conditions: abilities.conditions.writes,
            metadata_by_copy: abilities.metadata_by_copy,
            copies_max: self.transfers,
            ceilings: self.limits.ceilings(),
            claims_max: self.claims_max.unwrap_or_else(|| claims_max(self.config.pending_max)),
            // Where directories are real, each is made, dressed and removed by its own key.
            directory_markers: match abilities.markers {
                true => self.config.directory_markers,
                false => DirectoryMarkers::All,
            },
            ..self.config.clone()
        }
    }
}

/// Paths being worked on at most. Most of them wait for the stream to be followed beyond their last
/// read: a look at a long edit segment takes a NameNode a second, and hundreds of files change in
/// it. What is worked on cannot be coarsened, so it is at most half of what may be pending.
fn claims_max(pending_max: u64) -> usize {
    usize::try_from(pending_max / 2).unwrap_or(usize::MAX).clamp(CLAIMS_MIN, 1_024)
}

/// Pending entries that the ledger keeps in memory at most: as many as may be pending, and twice
/// what is worked on at least, which has to stay there.
pub(crate) fn hot_entries_max(pending_max: u64) -> usize {
    let usual = LedgerOptions::default().hot_entries_max;
    usize::try_from(pending_max).unwrap_or(usize::MAX).clamp(2 * CLAIMS_MIN, usual)
}

/// The two sides of a run before it begins.
pub(crate) struct Sides {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) target: Arc<dyn Target>,
}

impl Sides {
    /// Both sides answer, and the source's root is there.
    pub(crate) async fn first_contact(&self, prefix: &[u8]) -> Result<(), EngineError> {
        let source = async {
            let answer = timeout(FIRST_ANSWER, ask_again(|| self.root_stands())).await;
            let silent = Err(no_answer(&self.source.describe()));
            answer.unwrap_or(silent).map_err(|error| on_side(error, Side::Source))
        };
        let target = async {
            let answer = timeout(FIRST_ANSWER, ask_again(|| self.target.list(prefix, None))).await;
            let silent = Err(no_answer(&self.target.describe()));
            answer.unwrap_or(silent).map(drop).map_err(|error| on_side(error, Side::Target))
        };
        let (source, target) = tokio::join!(source, target);
        source.and(target)
    }

    async fn root_stands(&self) -> Result<(), StoreError> {
        let root = RelPath::root();
        let stands = match self.source.namespace() {
            Namespace::Tree => self.source.stat(&root).await?.is_some(),
            Namespace::Flat => self.source.list(&root, None).await?.is_some(),
        };
        if stands {
            return Ok(());
        }
        Err(StoreError::Missing {
            message: format!("{} does not exist", self.source.describe()),
            remedy: "check the URL; a mount may be missing".to_owned(),
        })
    }

    /// The stream of changes.
    pub(crate) async fn open_stream(&self) -> Result<Arc<dyn ChangeStream>, EngineError> {
        let answer = timeout(FIRST_ANSWER, ask_again(|| self.source.stream())).await;
        match answer.unwrap_or_else(|_| Err(no_answer(&self.source.describe()))) {
            Ok(stream) => Ok(stream),
            Err(StoreError::Unsupported { message, remedy }) => {
                Err(EngineError::WrongUse { message, remedy })
            }
            Err(error) => Err(on_side(error, Side::Source)),
        }
    }
}

fn on_side(error: StoreError, side: Side) -> EngineError {
    error.into_failure(side).into()
}

fn no_answer(what: &str) -> StoreError {
    StoreError::Unavailable {
        message: format!("{what} did not answer within {} s", FIRST_ANSWER.as_secs()),
        remedy: "check the address, the network and that it is up".to_owned(),
    }
}
