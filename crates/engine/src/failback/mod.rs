//! The way back: carries to the source what changed on the target since the migration left it
//! there. What is done about each path is decided in `whimbrel_core::failback`; the ledger's rows
//! are what both sides are compared with, and say afterwards what stands there, so that neither a
//! later run of the migration nor another fail-back does anything again.

mod act;
mod ahead;
mod belongings;
mod look;
mod pass;
mod room;
mod so_far;

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use whimbrel_core::config::RemovalGuard;
use whimbrel_core::failback::asks_first;
use whimbrel_core::failure::Side;
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_core::number::{Epoch, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::scope::Scope;
use whimbrel_ledger::Ledger;
use whimbrel_store::attributes::WithAttributes;
use whimbrel_store::error::StoreError;
use whimbrel_store::failback::Failback;
use whimbrel_store::key::KeyMap;
use whimbrel_store::source::Source;
use whimbrel_store::target::Target;

use crate::error::EngineError;
use crate::limit::Limits;
use crate::mounts;
use crate::pinned_root::refuse_another_root;
use crate::state::State;
use act::Problem;
use pass::Pass;
use so_far::SoFar;

/// Rows of one page's range that are held at most: more are taken in several rounds.
const MISSING_MAX: usize = 100_000;

/// The setting that names the paths whose files may be half written at the source.
const BEGUN: &str = "failback_begun";
/// The setting that holds the bounds with which removals wait for a person; empty if none do.
const HELD: &str = "failback_held";

/// Everything that one fail-back is made of.
pub struct FailbackSetup {
    /// What the migration remembers.
    pub state: State,
    /// Where the files came from.
    pub source: Arc<dyn Source>,
    /// The same, to be written to.
    pub writer: Arc<dyn Failback>,
    /// Where users worked since.
    pub target: Arc<dyn Target>,
    /// Which path stands at which key.
    pub keys: KeyMap,
    /// Which paths belong to the migration.
    pub scope: Scope,
    /// How much metadata travels.
    pub metadata: MetadataLevel,
    /// What is done where both sides changed.
    pub conflicts: Conflicts,
    /// When removals wait for a person.
    pub guard: RemovalGuard,
    /// A person has looked at what goes.
    pub removals_confirmed: bool,
    /// Tell what would be done, and do nothing.
    pub dry_run: bool,
    /// What a person allows per second.
    pub limits: Arc<Limits>,
    /// Files at the same time.
    pub transfers: usize,
}

/// What is done where both sides changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflicts {
    /// The source's stays.
    Keep,
    /// The target's takes its place.
    Replace,
}

/// What was done at one path, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A file was written to the source.
    Carried,
    /// A file was removed from it.
    Removed,
    /// An empty directory was made there.
    DirectoryMade,
    /// A directory that had become empty was removed there.
    DirectoryRemoved,
}

/// What people are told while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Something was done, or would be.
    Done {
        /// Where.
        path: RelPath,
        /// What.
        deed: Deed,
    },
    /// A person has to look.
    Problem {
        /// Where.
        path: RelPath,
        /// One word for scripts.
        kind: &'static str,
        /// What happened.
        message: String,
        /// What to do next.
        remedy: String,
    },
}

/// What was done, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FailbackSums {
    /// Files written to the source.
    pub files_carried: u64,
    /// Their bytes.
    pub bytes_carried: u64,
    /// Files removed from the source.
    pub files_removed: u64,
    /// Empty directories made there.
    pub directories_made: u64,
    /// Directories removed there.
    pub directories_removed: u64,
    /// Files that changed on both sides, and are equal.
    pub files_equal: u64,
    /// Paths that changed on both sides and are not equal.
    pub conflicts: u64,
    /// All problems, conflicts among them.
    pub failures: u64,
    /// Objects that are gone at the target and were not removed: the guard waits for a person.
    pub guarded: u64,
}

/// Tells what happens.
pub type Tell<'a> = &'a mut (dyn FnMut(Told) + Send);

/// One fail-back under way.
struct Job {
    ledger: Ledger,
    sides: Sides,
    guard: RemovalGuard,
    removals_confirmed: bool,
    transfers: usize,
    so_far: SoFar,
    /// Objects of the ledger that the target does not have.
    going: u64,
    /// Of those, what the pass that removes came to.
    removing: u64,
    /// So many of them are held at once.
    missing_max: usize,
    /// The target has a file that the ledger knows.
    any_file: bool,
    /// Commit markers that go back, once all that they speak for is back.
    commit_markers: Vec<RelPath>,
    /// Commit markers that are gone at the target: they go before what they speak for.
    commit_markers_going: BTreeSet<RelPath>,
    /// Directories of the source that cannot make room for a file of the target.
    no_room: BTreeSet<RelPath>,
}

/// Both sides, and how they are dealt with.
struct Sides {
    source: Arc<dyn Source>,
    writer: Arc<dyn Failback>,
    target: Arc<dyn Target>,
    keys: KeyMap,
    scope: Scope,
    metadata: MetadataLevel,
    conflicts: Conflicts,
    dry_run: bool,
    limits: Arc<Limits>,
    /// Rows of another history are believed only once a checksum proves them (rule 1.7).
    epoch: Epoch,
    as_of: TxId,
    /// Of a dry run: files that would have been removed by now, and rows that would have gone.
    would_go: BTreeSet<RelPath>,
    /// Of a dry run: directories that would have been removed by now.
    would_be_cleaned: BTreeSet<RelPath>,
}

/// Carries back what changed at the target.
///
/// # Errors
/// A side that does not answer or refuses; the guard; the state. What was done until then is
/// remembered, and the same call goes on.
pub async fn failback(setup: FailbackSetup, tell: Tell<'_>) -> Result<FailbackSums, EngineError> {
    Job::open(setup).await?.run(tell).await
}

impl Job {
    async fn run(mut self, tell: Tell<'_>) -> Result<FailbackSums, EngineError> {
        self.refuse_mounts()?;
        self.tell_doubtful(tell)?;
        // What comes back in this call makes no smaller share of what went.
        let known = self.ledger.summary()?.rows;
        self.pass(Pass::Carry, tell).await?;
        self.late(tell).await?;
        let asks = asks_first(&self.guard, self.going, known, !self.any_file);
        let asks = self.guards() && self.going > 0 && (asks || self.is_held()?);
        if asks {
            self.so_far.sums.guarded = self.going;
            self.hold(true)?;
        }
        self.refuse_mounts()?;
        if self.going > 0 {
            self.look_for_room(tell).await?;
        }
        // A dry run names what a person is to look at.
        if self.going > 0 && (!asks || self.sides.dry_run) {
            self.removals(tell).await?;
        }
        let blocked = std::mem::take(&mut self.so_far.blocked);
        self.paths(Pass::Blocked, blocked, tell).await?;
        self.carry_commit_markers(tell).await?;
        self.begin(&[])?;
        self.hold(self.so_far.sums.guarded > 0)?;
        self.ledger.close()?;
        Ok(self.so_far.sums)
    }

    /// Removals may have to wait for a person.
    fn guards(&self) -> bool {
        let bounded = self.guard.count_max.is_some() && self.guard.share_max_percent.is_some();
        bounded && !self.removals_confirmed
    }

    /// What stands at the target under a mount point cannot be seen, and would be taken for gone.
    fn refuse_mounts(&self) -> Result<(), EngineError> {
        let place = self.sides.target.mounted_below();
        match place.map_err(|error| of_side(error, Side::Target))? {
            None => Ok(()),
            Some(place) => Err(EngineError::Target {
                message: format!(
                    "{place}: another file system is mounted there, so that nobody sees what the \
                     migration wrote under it; nothing goes back"
                ),
                remedy: "unmount it, then say the same again".to_owned(),
            }),
        }
    }

    /// An earlier call held removals, and no person has looked since: files that it brought back
    /// may make few of what are many. Other bounds are a person's word.
    fn is_held(&self) -> Result<bool, EngineError> {
        Ok(self.ledger.setting(HELD)?.is_some_and(|held| held == self.bounds()))
    }

    /// Whether removals wait for a person from now on; durable at return.
    fn hold(&mut self, waits: bool) -> Result<(), EngineError> {
        let held = if waits { self.bounds() } else { String::new() };
        if !self.sides.dry_run && self.ledger.setting(HELD)?.unwrap_or_default() != held {
            self.ledger.set_setting(HELD, &held)?;
        }
        Ok(())
    }

    fn bounds(&self) -> String {
        let bound = |bound: Option<u64>| bound.map_or("none".to_owned(), |max| max.to_string());
        format!("{} {}", bound(self.guard.count_max), bound(self.guard.share_max_percent))
    }

    async fn open(setup: FailbackSetup) -> Result<Self, EngineError> {
        let (mut ledger, _) = setup.state.settle()?;
        let meta = ledger.meta()?;
        // What lies below a mount point is not taken for gone, nor written into it.
        let known = mounts::known(&mut ledger, &[])?;
        setup.source.keep_mounts(known, Box::new(|_| Ok(false)));
        let source: Arc<dyn Source> = match setup.metadata {
            MetadataLevel::Full => Arc::new(WithAttributes::new(setup.source)),
            MetadataLevel::Basic | MetadataLevel::None => setup.source,
        };
        let sides = Sides {
            source,
            writer: setup.writer,
            target: setup.target,
            keys: setup.keys,
            scope: setup.scope,
            metadata: setup.metadata,
            conflicts: setup.conflicts,
            dry_run: setup.dry_run,
            limits: setup.limits,
            epoch: meta.epoch,
            as_of: meta.position.unwrap_or(TxId(0)),
            would_go: BTreeSet::new(),
            would_be_cleaned: BTreeSet::new(),
        };
        // Files would go into another tree than they came from.
        refuse_another_root(meta.root_key, sides.source.as_ref()).map_err(|error| {
            let message = format!("{}: {error}", sides.source.describe());
            let remedy = "put that one back, or mount it again".to_owned();
            EngineError::Source { message, remedy }
        })?;
        let mut job = Self {
            ledger,
            sides,
            guard: setup.guard,
            removals_confirmed: setup.removals_confirmed,
            transfers: setup.transfers.max(1),
            so_far: SoFar::default(),
            going: 0,
            removing: 0,
            missing_max: MISSING_MAX,
            any_file: false,
            commit_markers: Vec::new(),
            commit_markers_going: BTreeSet::new(),
            no_room: BTreeSet::new(),
        };
        job.sweep().await?;
        Ok(job)
    }

    /// Removes what a killed fail-back left at the source.
    async fn sweep(&mut self) -> Result<(), EngineError> {
        let begun = self.ledger.setting(BEGUN)?.unwrap_or_default();
        let begun: Vec<RelPath> = begun
            .split(' ')
            .filter(|text| !text.is_empty())
            .filter_map(|text| STANDARD.decode(text).ok().map(RelPath::new))
            .collect();
        if begun.is_empty() || self.sides.dry_run {
            return Ok(());
        }
        let swept = self.sides.writer.sweep(&begun).await;
        swept.map_err(|error| of_side(error, Side::Source))?;
        self.begin(&[])
    }

    /// Files may be half written at the source at these paths alone from now on; durable at return.
    fn begin(&mut self, paths: &[RelPath]) -> Result<(), EngineError> {
        if self.sides.dry_run {
            return Ok(());
        }
        let text: Vec<String> = paths.iter().map(|path| STANDARD.encode(path.as_bytes())).collect();
        let text = text.join(" ");
        if self.ledger.setting(BEGUN)?.unwrap_or_default() != text {
            self.ledger.set_setting(BEGUN, &text)?;
        }
        Ok(())
    }

    /// What a write of the migration made of these paths is not known, so nothing says what users
    /// made of them.
    fn tell_doubtful(&mut self, tell: Tell<'_>) -> Result<(), EngineError> {
        for attempt in self.ledger.attempts()? {
            let problem = Problem {
                kind: "unknown_outcome",
                message: "a write of the migration has no known end here".to_owned(),
                remedy: "leave it, or compare both sides by hand; the next run of the migration \
                         looks at it"
                    .to_owned(),
            };
            self.so_far.left(attempt.path, problem, tell);
        }
        Ok(())
    }
}

/// A failure that ends all of it.
fn of_side(error: StoreError, side: Side) -> EngineError {
    error.into_failure(side).into()
}

#[cfg(test)]
mod tests;
