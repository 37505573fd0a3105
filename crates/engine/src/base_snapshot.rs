//! Base snapshots of the source's root (rule 8.2): after a gap in the stream the source itself
//! tells what changed since one. They are written to the source, so only on demand, and nothing
//! else is ever removed there than what our own state says that we made.
//!
//! One is of use if it is not younger than the last transaction that was followed. So it is made,
//! then the newest transaction is taken, and once that was durably followed it takes the place of
//! the one before, which goes. Before it is made its name is kept, and the ledger begins to keep
//! where work is settled from then on: what was settled since may be changed back without a trace
//! in the difference.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use whimbrel_core::effect::{Report, ReportKind};
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::input::Difference;
use whimbrel_core::number::TxId;
use whimbrel_core::record::Reach;
use whimbrel_ledger::{Ledger, LedgerError, SLOTS};
use whimbrel_store::error::StoreError;
use whimbrel_store::snapshots::Snapshots;

use crate::ledger_thread::LedgerDesk;
use crate::problems::Problems;
use crate::progress::Progress;
use crate::removable::covers_path;
use crate::world::World;

/// The setting that says which snapshots are ours.
const SETTING: &str = "base_snapshots";
/// Paths of a difference; with more of them everything is listed.
const PATHS_MAX: usize = 200_000;
/// Directories in which work was settled since a base, before it is renewed early.
const WORN_DIRECTORIES: usize = 10_000;
/// How often it is looked whether something is to be done.
const TEND_EVERY: Duration = Duration::from_secs(1);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(60);

/// What is listed after a gap of which a difference tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// What it names, and then everything.
    First,
    /// What it names, and nothing else.
    Only,
}

/// How snapshots of the source are used.
#[derive(Clone)]
pub struct BaseSnapshots {
    /// Access to them.
    pub snapshots: Arc<dyn Snapshots>,
    /// The migration's name, which their names begin with.
    pub name: String,
    /// `None`: not at all; those that earlier runs left are removed.
    pub repair: Option<Repair>,
    /// When a base is old enough to be renewed: it pins what was removed since.
    pub renew_after: Duration,
}

impl BaseSnapshots {
    /// Renewed every hour.
    pub fn new(snapshots: Arc<dyn Snapshots>, name: &str, repair: Option<Repair>) -> Self {
        let renew_after = Duration::from_secs(3_600);
        Self { snapshots, name: name.to_owned(), repair, renew_after }
    }
}

/// The snapshots of one run.
pub(crate) struct Bases {
    used: BaseSnapshots,
    root: Option<u64>,
    desk: LedgerDesk,
    problems: Problems,
    kept: Mutex<Kept>,
}

/// What is durable of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    base: Option<Base>,
    /// The one that is to take its place.
    next: Option<Base>,
    /// To be removed.
    going: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Base {
    name: String,
    /// Where the ledger keeps what was settled since.
    slot: usize,
    /// The root's number.
    root: Option<u64>,
    /// It is not younger than this transaction; `None` while it is being made.
    as_of: Option<u64>,
    asked_unix_seconds: u64,
}

/// Why something is not as wished, for people.
struct Trouble {
    message: String,
    remedy: String,
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self { message: error.to_string(), remedy: error.remedy().to_owned() }
    }
}

impl Trouble {
    fn new(message: &str) -> Self {
        Self { message: message.to_owned(), remedy: String::new() }
    }
}

/// Keeps one base for as long as the run goes on, or removes what is there.
pub(crate) async fn tend(
    bases: Option<Arc<Bases>>,
    world: Arc<World>,
    told: watch::Receiver<Progress>,
) {
    let Some(bases) = bases else { return };
    if bases.used.repair.is_none() {
        return bases.remove_all().await;
    }
    let mut last = String::new();
    loop {
        tokio::time::sleep(TEND_EVERY).await;
        let seen = told.borrow().clone();
        if let Err(trouble) = bases.tend_once(&world, &seen).await {
            if last != trouble.message {
                last.clone_from(&trouble.message);
                bases.tell("no snapshot of the source is kept for a gap", trouble);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Bases {
    /// What earlier runs left.
    pub(crate) fn kept(ledger: &Ledger) -> Result<Kept, LedgerError> {
        let text = ledger.setting(SETTING)?.unwrap_or_default();
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    pub(crate) fn new(
        used: BaseSnapshots,
        kept: Kept,
        root: Option<u64>,
        desk: LedgerDesk,
        problems: Problems,
    ) -> Self {
        Self { used, root, desk, problems, kept: Mutex::new(kept) }
    }

    async fn tend_once(&self, world: &World, seen: &Progress) -> Result<(), Trouble> {
        let mut kept = self.kept.lock().await;
        self.remove_going(&mut kept).await?;
        match kept.next.as_ref().map(|next| next.as_of) {
            // Its making failed, or was cut off.
            Some(None) => return self.drop_next(&mut kept).await,
            Some(Some(as_of)) => return self.replace(&mut kept, TxId(as_of)).await,
            None => {}
        }
        let busy = !seen.scanned || seen.pending_backlog > 0;
        let astray = seen.source_root_lost_seconds.is_some() || seen.applied_txid.is_none();
        if busy || astray || !self.is_due(&kept).await {
            return Ok(());
        }
        self.make(&mut kept, world).await
    }

    async fn is_due(&self, kept: &Kept) -> bool {
        let Some(base) = &kept.base else { return true };
        let slot = base.slot;
        let directories = self.desk.query(move |ledger| ledger.worked_on(slot)).await.flatten();
        let worn = directories.is_none_or(|directories| directories > WORN_DIRECTORIES);
        let age = unix_seconds().saturating_sub(base.asked_unix_seconds);
        worn || age >= self.used.renew_after.as_secs() || base.root != self.root
    }

    /// Makes the next one. Whatever comes of it, its name is kept before.
    async fn make(&self, kept: &mut Kept, world: &World) -> Result<(), Trouble> {
        let slot = kept.base.as_ref().map_or(0, |base| (base.slot + 1) % SLOTS);
        let id = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("{}-{}", plain(&self.used.name), &id[..12]);
        let asked_unix_seconds = unix_seconds();
        let next =
            Base { name: name.clone(), slot, root: self.root, as_of: None, asked_unix_seconds };
        self.ledger(move |ledger| ledger.begin_worked_on(slot)).await?;
        kept.next = Some(next);
        self.save(kept).await?;
        self.used.snapshots.make(&name).await?;
        let Some(stream) = &world.stream else {
            return Err(Trouble::new("there is no stream of changes"));
        };
        let as_of = stream.position().await?;
        if let Some(next) = &mut kept.next {
            next.as_of = Some(as_of.0);
        }
        self.save(kept).await
    }

    /// The next one takes its place once it is older than what was durably followed.
    async fn replace(&self, kept: &mut Kept, as_of: TxId) -> Result<(), Trouble> {
        let followed = self.ledger(|ledger| Ok(ledger.meta()?.position)).await?;
        if followed.is_none_or(|followed| followed < as_of) {
            return Ok(());
        }
        let older = kept.base.take();
        kept.base = kept.next.take();
        kept.going.extend(older.as_ref().map(|older| older.name.clone()));
        self.save(kept).await?;
        if let Some(slot) = older.map(|older| older.slot) {
            self.ledger(move |ledger| ledger.end_worked_on(slot)).await?;
        }
        self.remove_going(kept).await
    }

    async fn drop_next(&self, kept: &mut Kept) -> Result<(), Trouble> {
        let Some(next) = kept.next.take() else { return Ok(()) };
        kept.going.push(next.name);
        self.save(kept).await?;
        self.ledger(move |ledger| ledger.end_worked_on(next.slot)).await?;
        self.remove_going(kept).await
    }

    async fn remove_going(&self, kept: &mut Kept) -> Result<(), Trouble> {
        while let Some(name) = kept.going.last() {
            self.used.snapshots.remove(name).await?;
            kept.going.pop();
            self.save(kept).await?;
        }
        Ok(())
    }

    /// After a gap: what changed since `since`, up to a moment that is later than the position
    /// fetched before. `None`, and people are told why, if that cannot be said.
    pub(crate) async fn difference(&self, world: &World, since: TxId) -> Option<Difference> {
        let repair = self.used.repair?;
        match self.compared(world, since).await {
            Ok(difference) => {
                let complete = repair == Repair::Only;
                let found = difference.stale.len();
                let remedy = match repair {
                    Repair::First => "nothing: they are looked at first, then everything is listed",
                    Repair::Only => {
                        "nothing now. They do not tell of times alone, nor of bytes written anew \
                         in place to the same length: a run without --live finds these, and so \
                         does whimbrel verify"
                    }
                };
                let message = format!("snapshots of the source name {found} paths of the gap");
                self.tell("", Trouble { message, remedy: remedy.to_owned() });
                Some(Difference { complete, ..difference })
            }
            Err(trouble) => {
                self.tell("everything is listed after the gap", trouble);
                None
            }
        }
    }

    async fn compared(&self, world: &World, since: TxId) -> Result<Difference, Trouble> {
        let mut kept = self.kept.lock().await;
        let Some(base) = kept.base.clone() else {
            return Err(Trouble::new("there is no base snapshot yet"));
        };
        if base.root != self.root {
            return Err(Trouble::new("the base snapshot is of another root"));
        }
        if base.as_of.is_none_or(|as_of| since < TxId(as_of)) {
            return Err(Trouble::new("the base snapshot is younger than what was followed"));
        }
        self.drop_next(&mut kept).await?;
        self.make(&mut kept, world).await?;
        let later = kept.next.as_ref().map(|next| next.name.clone()).unwrap_or_default();
        let stale = self.used.snapshots.difference(&base.name, &later, PATHS_MAX).await?;
        let Some(mut stale) = stale else {
            return Err(Trouble::new(&format!("more than {PATHS_MAX} paths changed")));
        };
        // They were opened in the gap, perhaps: that is all the next difference would not tell of.
        let open = self.used.snapshots.open_files().await?;
        stale.extend(open.into_iter().map(|path| (path, Reach::Path)));
        stale.retain(|(path, _)| covers_path(&world.scope, path));
        Ok(Difference { stale, complete: false })
    }

    /// Another history of the source: what was noted of this one says nothing about it.
    pub(crate) async fn forget(&self) {
        let mut kept = self.kept.lock().await;
        let gone = [kept.base.take(), kept.next.take()].into_iter().flatten();
        let gone: Vec<String> = gone.map(|base| base.name).collect();
        // What is not durable of this is tried again: the run ends with its ledger.
        if !gone.is_empty() {
            kept.going.extend(gone);
            let _ = self.save(&kept).await;
        }
        for slot in 0..SLOTS {
            let _ = self.ledger(move |ledger| ledger.end_worked_on(slot)).await;
        }
    }

    /// Removes what we made.
    pub(crate) async fn remove_all(&self) {
        self.forget().await;
        let mut kept = self.kept.lock().await;
        if let Err(trouble) = self.remove_going(&mut kept).await {
            let names = kept.going.join(" ");
            let root = self.used.snapshots.root();
            let remedy = format!("hdfs dfs -deleteSnapshot {root} NAME, for each of: {names}");
            self.tell("a snapshot of the source stays", Trouble { remedy, ..trouble });
        }
    }

    async fn save(&self, kept: &Kept) -> Result<(), Trouble> {
        let text = serde_json::to_string(kept).map_err(|error| Trouble::new(&error.to_string()))?;
        self.ledger(move |ledger| ledger.set_setting(SETTING, &text)).await
    }

    async fn ledger<T: Send + 'static>(
        &self,
        asked: impl FnOnce(&mut Ledger) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, Trouble> {
        match self.desk.query(asked).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(Trouble::new(&error.to_string())),
            None => Err(Trouble::new("the state is closed")),
        }
    }

    fn tell(&self, what: &str, trouble: Trouble) {
        let Trouble { message, remedy } = trouble;
        let message = if what.is_empty() { message } else { format!("{what}: {message}") };
        let (side, kind) = (Side::Source, FailureKind::Unsupported);
        self.problems.tell(Report {
            path: None,
            kind: ReportKind::Snapshots,
            failure: Failure { side, kind, message, remedy },
        });
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// As a part of a snapshot's name.
fn plain(name: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let kept = name.chars().map(|letter| if fits(letter) { letter } else { '-' });
    format!("whimbrel-{}", kept.take(100).collect::<String>())
}
