//! Compares a source with a target as they are now: two streams of names in the same order, joined.
//!
//! Memory does not grow with the trees: a directory's page for each level of the source, a page of
//! keys of the target, and a bounded number of comparisons in flight, and of paths that a sample
//! holds. Whoever wants to go on from where it was is told now and then how far it is. A difference on a tree that moves is looked at again
//! before it is told: it counts only if the source stood still around it, and whoever works on the
//! target is done with it (rule 10.2).

mod attempt;
mod compare;
mod join;
mod keys;
mod moved;
mod note;
mod sample;
mod settle;
mod sides;
mod walk;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use whimbrel_core::config::DirectoryMarkers;
use whimbrel_core::entry::{FileNode, Node};
use whimbrel_core::failure::{Failure, Side};
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::scope::Scope;
use whimbrel_store::attributes::WithAttributes;
use whimbrel_store::error::StoreError;
use whimbrel_store::key::KeyMap;
use whimbrel_store::source::Source;
use whimbrel_store::target::{Object, Target};

pub use attempt::ask;
pub use moved::{Moved, Since, moved_between};
pub use note::{Continuation, Note};
pub use sample::{Extent, SHARE_WHOLE, Sample, SampleSums};

/// What is compared, and how closely.
#[derive(Clone)]
pub struct Verification {
    /// What should be there.
    pub source: Arc<dyn Source>,
    /// What is there.
    pub target: Arc<dyn Target>,
    /// Which path stands at which key.
    pub keys: KeyMap,
    /// Subtrees that are mapped elsewhere: the FROMs of `keys`.
    pub mapped: Vec<RelPath>,
    /// Which paths count.
    pub scope: Scope,
    /// How closely.
    pub options: Options,
    /// Who makes the target equal meanwhile, if anybody does.
    pub worker: Option<Arc<dyn Worker>>,
    /// Who has what is gone at the source stay on the target for a time, if anybody does.
    pub keeper: Option<Arc<dyn Keeper>>,
}

/// Whoever makes the target equal to the source while they are compared (rule 10.2).
pub trait Worker: Send + Sync {
    /// What is to be done about a path, now.
    fn stand<'a>(&'a self, path: &'a RelPath) -> Pin<Box<dyn Future<Output = Stand> + Send + 'a>>;
}

/// Whoever has what is gone at the source stay on the target for a time.
pub trait Keeper: Send + Sync {
    /// Why an object stands at a path that the source does not have, now.
    fn remains<'a>(
        &'a self,
        path: &'a RelPath,
        object: &'a Object,
    ) -> Pin<Box<dyn Future<Output = Remains> + Send + 'a>>;
}

/// Why something stands that the source does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// Its time is not over.
    Delayed,
    /// The same, if these are still the bytes that it was written with: its entity tag is another.
    DelayedIfWhole,
    /// Whoever would know is still to look at it.
    Moving,
    /// Nobody keeps it.
    Extra,
    /// Nobody can say.
    Unknown,
}

/// How far the work on a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It waits for its turn, or is under way.
    Moving,
    /// Nothing is left to be done of what happened at the source before this moment.
    Done(SystemTime),
    /// Nobody works any more.
    Ended,
}

/// How closely source and target are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How the bytes of two files are compared.
    pub content: Content,
    /// What only the target has is counted, but no difference.
    pub ignore_extras: bool,
    /// How much metadata is compared.
    pub metadata: MetadataLevel,
    /// Which directories have to have a marker, where the target has markers.
    pub directory_markers: DirectoryMarkers,
    /// Comparisons in flight; at least 1.
    pub parallel: usize,
    /// How long the worker is waited for until what it is not done with is told as moving.
    pub patience: Duration,
    /// Which files are looked at; `None`: all.
    pub sample: Option<Sample>,
}

/// How the bytes of two files are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Not at all: equal lengths are good enough. Counts nothing as verified.
    Length,
    /// By the checksums that both sides keep; a side that keeps none is read.
    Checksum,
    /// By reading both sides, even where checksums are kept.
    Read,
}

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// Only the source has it.
    Missing,
    /// Only the target has it.
    Extra,
    /// The bytes differ.
    Different,
    /// The bytes are the same, what travels with them is not.
    MetadataDifferent,
    /// It could not be told: open, moving, or unreadable.
    Unverifiable,
    /// It differs, and the worker is not done with it.
    Moving,
    /// Only the target has it, for a time and on purpose: counted, and never handed out.
    Delayed,
}

/// One path that is not equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Relative to the source root.
    pub path: RelPath,
    /// What is wrong.
    pub kind: DifferenceKind,
    /// Bytes of the file at the source; 0 where that is not known.
    pub length: u64,
    /// In words, both sides named.
    pub message: String,
}

/// One path that is equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equal {
    /// Relative to the source root; a marker's ends in `/`.
    pub path: RelPath,
    /// Bytes of the file at the source; 0 of a marker.
    pub length: u64,
    /// How that is known.
    pub method: Method,
    /// The file as it was compared; `None` of a marker.
    pub file: Option<Box<FileNode>>,
    /// What stands on the target.
    pub object: Box<Object>,
}

/// How a path is known to be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By the checksums that both sides keep.
    Checksum,
    /// By the checksum of what was read on at least one side.
    Reading,
    /// It has no bytes: a directory's marker stands there.
    Presence,
    /// By its length alone.
    Length,
}

/// Sums of one comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Files of the source that were compared.
    pub files_compared: u64,
    /// Directories of the source that were gone through.
    pub directories: u64,
    /// Only at the source.
    pub missing: u64,
    /// Only at the target.
    pub extra: u64,
    /// Other bytes.
    pub different: u64,
    /// Other metadata.
    pub metadata_different: u64,
    /// Could not be told.
    pub unverifiable: u64,
    /// Differ, and the worker is not done with them.
    pub moving: u64,
    /// Only at the target, for a time and on purpose.
    #[serde(default)]
    pub delayed: u64,
    /// Equal by the checksums that both sides keep.
    pub verified_by_checksum: u64,
    /// Equal by reading at least one side.
    pub verified_by_reading: u64,
    /// Bytes.
    pub bytes_read_source: u64,
    /// Bytes.
    pub bytes_read_target: u64,
}

/// Sums while they grow.
#[derive(Debug, Default)]
pub struct Meter {
    pub(crate) files_compared: AtomicU64,
    pub(crate) directories: AtomicU64,
    pub(crate) missing: AtomicU64,
    pub(crate) extra: AtomicU64,
    pub(crate) different: AtomicU64,
    pub(crate) metadata_different: AtomicU64,
    pub(crate) unverifiable: AtomicU64,
    pub(crate) moving: AtomicU64,
    pub(crate) delayed: AtomicU64,
    pub(crate) verified_by_checksum: AtomicU64,
    pub(crate) verified_by_reading: AtomicU64,
    pub(crate) bytes_read_source: AtomicU64,
    pub(crate) bytes_read_target: AtomicU64,
    pub(crate) files_listed: AtomicU64,
    pub(crate) bytes_listed: AtomicU64,
    pub(crate) files_apart: AtomicU64,
    pub(crate) files_looked_at: AtomicU64,
    pub(crate) bytes_looked_at: AtomicU64,
}

impl Meter {
    /// The sums as they are now.
    pub fn sums(&self) -> Sums {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Sums {
            files_compared: get(&self.files_compared),
            directories: get(&self.directories),
            missing: get(&self.missing),
            extra: get(&self.extra),
            different: get(&self.different),
            metadata_different: get(&self.metadata_different),
            unverifiable: get(&self.unverifiable),
            moving: get(&self.moving),
            delayed: get(&self.delayed),
            verified_by_checksum: get(&self.verified_by_checksum),
            verified_by_reading: get(&self.verified_by_reading),
            bytes_read_source: get(&self.bytes_read_source),
            bytes_read_target: get(&self.bytes_read_target),
        }
    }

    pub(crate) fn count(&self, kind: DifferenceKind) {
        let counter = match kind {
            DifferenceKind::Missing => &self.missing,
            DifferenceKind::Extra => &self.extra,
            DifferenceKind::Different => &self.different,
            DifferenceKind::MetadataDifferent => &self.metadata_different,
            DifferenceKind::Unverifiable => &self.unverifiable,
            DifferenceKind::Moving => &self.moving,
            DifferenceKind::Delayed => &self.delayed,
        };
        add(counter, 1);
    }
}

impl Sums {
    /// Paths of the source that are not equal, and that nobody works on.
    pub fn differences(&self) -> u64 {
        self.missing + self.different + self.metadata_different + self.unverifiable
    }

    /// True if nothing was found that makes the target other than the source.
    pub fn equal(&self, ignore_extras: bool) -> bool {
        self.differences() + self.moving == 0 && (ignore_extras || self.extra == 0)
    }
}

impl Verification {
    /// Compares everything, or a sample, and hands out differences as they are found. Extras are
    /// not handed out where they are ignored. A receiver that went away stops nothing.
    ///
    /// # Errors
    /// A side that could not be listed, after it was asked for a while; a source whose root is gone.
    pub async fn run(
        &self,
        meter: &Arc<Meter>,
        differences: &mpsc::Sender<Difference>,
    ) -> Result<Sums, Failure> {
        self.run_and_prove(meter, differences, None, Continuation::default()).await
    }

    /// The same, and hands out what is equal too, where somebody asks for it. Going on from a note,
    /// `meter` is [`Meter::of`] it, and what was equal before is not handed out again.
    ///
    /// # Errors
    /// A side that could not be listed, after it was asked for a while; a source whose root is gone.
    pub async fn run_and_prove(
        &self,
        meter: &Arc<Meter>,
        differences: &mpsc::Sender<Difference>,
        equals: Option<mpsc::Sender<Equal>>,
        continuation: Continuation,
    ) -> Result<Sums, Failure> {
        match self.options.metadata {
            MetadataLevel::Full => {
                let source = Arc::new(WithAttributes::new(self.source.clone()));
                let all = Self { source, ..self.clone() };
                join::run(&all, meter, differences, equals, continuation).await?;
            }
            MetadataLevel::None | MetadataLevel::Basic => {
                join::run(self, meter, differences, equals, continuation).await?;
            }
        }
        self.root_stands().await.map_err(|error| error.into_failure(Side::Source))?;
        Ok(meter.sums())
    }

    /// Of a root that is gone, or another by now, nothing was compared: it answers as if it were
    /// empty. Looked at after the answers that rest on it.
    async fn root_stands(&self) -> Result<(), StoreError> {
        if self.source.namespace() == Namespace::Flat {
            return Ok(());
        }
        let root = RelPath::root();
        let key = match attempt::ask(|| self.source.stat(&root)).await? {
            Some(Node::Directory(node)) => Some(node.file_key),
            Some(Node::File(node)) => node.identity.file_key(),
            Some(Node::Special(_)) | None => None,
        };
        if key.is_some() && self.source.root_key().is_none_or(|opened| key == Some(opened)) {
            return Ok(());
        }
        Err(StoreError::Missing {
            message: format!(
                "{}: the root went away while it was compared, or another took its place",
                self.source.describe()
            ),
            remedy: "look what stands there, and compare again".to_owned(),
        })
    }
}

pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
