//! What the ledger remembers, as plain values.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::identity::{Identity, Sameness};
use crate::input::Standing;
use crate::losses::Losses;
use crate::metadata::Metadata;
use crate::number::{AttemptNumber, Epoch, Mark, Time, TxId};
use crate::path::RelPath;

/// What stands on the target at a path, and of which state of the source it is a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Where; a directory marker's path ends in `/`.
    pub path: RelPath,
    /// The state of the source that was copied.
    pub identity: Identity,
    /// Bytes of the object.
    pub length: u64,
    /// CRC32C of the whole object, where known.
    pub crc32c: Option<u32>,
    /// The object's entity tag.
    pub etag: Option<String>,
    /// The object's version id, where the target keeps versions.
    pub version: Option<String>,
    /// The write that made the object; `None` if it was adopted (rule 2.3).
    pub attempt: Option<AttemptNumber>,
    /// Everything up to this transaction is in it.
    pub as_of: TxId,
    /// The history in which `identity` was read; an older one is not believed (rule 1.7).
    pub epoch: Epoch,
    /// What travels with it, as the source last had it.
    pub metadata: Metadata,
    /// The object carries older metadata than this, and no copy can bring it the newer: the ledger
    /// alone has it (rule 11.1).
    pub ledger_only: bool,
}

impl Row {
    /// How the remembered state of the source compares with a fresh one; one of an older history is
    /// not `believed` (rule 1.7).
    pub fn sameness(&self, fresh: &Identity, believed: bool) -> Sameness {
        if self.length != fresh.length() {
            return Sameness::Different;
        }
        let sameness = self.identity.compare(fresh);
        match sameness {
            Sameness::Same | Sameness::SameBytes if !believed => Sameness::Unproven,
            Sameness::Same | Sameness::SameBytes | Sameness::Unproven | Sameness::Different => {
                sameness
            }
        }
    }

    /// Nothing speaks against the bytes of the row. Some servers name an object that was put
    /// together from parts in more than one way.
    pub fn may_be_the_same_write(&self, standing: &Standing) -> bool {
        if self.length != standing.length {
            return false;
        }
        let of_parts = |etag: &Option<String>| etag.as_ref().is_none_or(|etag| etag.contains('-'));
        match (self.crc32c, standing.crc32c) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (_, _) => of_parts(&self.etag) || of_parts(&standing.etag),
        }
    }
}

/// A directory of the source as it was last seen (rule 11.2). Its metadata is kept here whether it
/// has a marker on the target or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryRecord {
    /// Where.
    pub path: RelPath,
    /// Inode number; local: mixed with the device.
    pub file_key: u64,
    /// Owner, group, mode, time and ACL.
    pub metadata: Metadata,
}

/// How much below a path is pending. A later one covers the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reach {
    /// The path itself.
    Path,
    /// A directory's direct children too.
    Directory,
    /// Everything below it too.
    Subtree,
}

/// Which work goes first; smaller first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// Live changes.
    Live,
    /// The scan and repairs.
    Backlog,
    /// Changes of metadata alone (rule 11.1).
    Metadata,
}

/// Why an entry waits for something other than a free hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Parked {
    /// Open at the source; waits for its close (rule 3.5).
    Open,
    /// Failed; tried again at `not_before`, or at the next start.
    Failed,
    /// A guard holds its removal until a person confirms (rule 5.6).
    Guard,
    /// Gone at the source; the guard has not looked at its removal yet (rule 5.6).
    Removal,
    /// An object stands in its place that was not written by this migration, and a person decides
    /// (`--existing refuse`, or it came after the first look at the target).
    Foreign,
    /// Gone at the source, and kept for as long as an operator has it stay; due at `not_before`
    /// (rule 5.7).
    Delayed,
}

impl Parked {
    /// It goes on by itself in a moment: nobody else has to do something first.
    pub fn in_a_moment(self) -> bool {
        match self {
            Self::Removal => true,
            Self::Open | Self::Failed | Self::Guard | Self::Foreign | Self::Delayed => false,
        }
    }
}

/// Who let a removal go (rule 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LetGo {
    /// The guard: it counts what goes.
    Guard,
    /// A person: what goes is meant, and counts for nothing.
    Person,
}

/// One entry of what is pending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Where.
    pub path: RelPath,
    /// How far below.
    pub reach: Reach,
    /// Which work goes first.
    pub lane: Lane,
    /// The first change that is not yet on the target because of this entry.
    pub first_txid: TxId,
    /// The last change that made it pending.
    pub last_txid: TxId,
    /// When the first was seen.
    pub first_seen: Time,
    /// When the last was seen.
    pub last_seen: Time,
    /// The newest mark on it (rule 1.6).
    pub mark: Mark,
    /// Marks up to this one are covered by the pass under way; `None` before a pass began.
    pub begun: Option<Mark>,
    /// How far the pass under way came: everything up to and including this name is done.
    pub cursor: Option<Bytes>,
    /// Failed attempts in a row.
    pub tries: u32,
    /// Not before this time.
    pub not_before: Time,
    /// Waits for the other end of a rename (rule 6.2); others do not wait for it.
    pub waiting: bool,
    /// Why it is set aside.
    pub parked: Option<Parked>,
    /// Who let its removal go (rule 5.6).
    pub let_go: Option<LetGo>,
    /// When a look first found nothing at the source, and none found anything since: its removal
    /// waits from then on (rule 5.7). Kept by the ledger beside the other fields.
    #[serde(skip)]
    pub gone_since: Option<Time>,
}

impl Pending {
    /// Nobody found anything at the source when it was last looked at, and its removal waits, or
    /// waited, for its time: nothing else waits for it (rule 5.7).
    pub fn is_gone_for_a_time(&self) -> bool {
        match self.parked {
            Some(Parked::Delayed) => true,
            Some(Parked::Removal | Parked::Guard) => self.gone_since.is_some(),
            None | Some(Parked::Open | Parked::Failed | Parked::Foreign) => false,
        }
    }
}

/// A write to the target whose end is not durably known (rule 4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, written into the object's metadata.
    pub number: AttemptNumber,
    /// Where it writes.
    pub path: RelPath,
    /// What it does.
    pub kind: AttemptKind,
    /// When its intent was made durable.
    pub started: Time,
    /// Until when its request may still take effect; `None` while its end is awaited.
    pub doubtful_until: Option<Time>,
    /// The state of the source that it copies; used to resume an upload.
    pub identity: Identity,
    /// The multipart upload, once the target named it.
    pub upload: Option<Upload>,
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptKind {
    /// Writes an object from the source's bytes.
    Copy,
    /// Copies within the target (relocate, or new metadata).
    Relocate,
    /// Writes a directory marker.
    Marker,
    /// Removes an object.
    Remove,
}

/// A multipart upload under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The target's name for it.
    pub id: String,
    /// Bytes of every part but the last.
    pub part_bytes: u64,
    /// Parts that the target holds, ascending by number.
    pub parts: Vec<Part>,
}

/// One finished part of a multipart upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// From 1 to 10,000.
    pub number: u32,
    /// Bytes.
    pub length: u64,
    /// CRC32C of its bytes.
    pub crc32c: u32,
    /// The target's entity tag for it.
    pub etag: String,
}

/// An object under the target that this migration did not write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Where, as a path of the source.
    pub path: RelPath,
    /// Bytes.
    pub length: u64,
    /// Entity tag.
    pub etag: Option<String>,
    /// Version id.
    pub version: Option<String>,
    /// Stored full-object CRC32C.
    pub crc32c: Option<u32>,
    /// Modification time that its user metadata gives, nanoseconds since the Unix epoch.
    pub metadata: Option<Metadata>,
    /// The migration that wrote it, if one did.
    pub migration: Option<String>,
    /// It came after this migration's first look at the target, and is not written over unless
    /// that is asked for (rule 4.4). Kept by the ledger beside the other fields.
    #[serde(skip)]
    pub late: bool,
}

/// A rename of which the old end's objects may still be of use (rule 6.1). Removals at or under
/// `from` wait while something that is not itself waiting is pending at or under `to` since before
/// `txid` (rule 6.2). A repair is a hint from the root to the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hint {
    /// The old path.
    pub from: RelPath,
    /// The new path.
    pub to: RelPath,
    /// The transaction of the rename.
    pub txid: TxId,
}

/// Counts over the whole migration, kept durable with what they count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Files met by listings and looks, once each while they do not change.
    pub files_scanned: u64,
    /// Files whose copy stands on the target.
    pub files_copied: u64,
    /// Bytes of these.
    pub bytes_copied: u64,
    /// Copies that replaced an object which this migration had not written.
    pub files_replaced: u64,
    /// Files moved on the target by a server-side copy.
    pub files_relocated: u64,
    /// Objects removed.
    pub files_removed: u64,
    /// Files found unchanged, or adopted.
    pub files_skipped: u64,
    /// Adopted on equal length alone (`--existing trust`).
    pub unverified: u64,
    /// Objects whose metadata alone was written again.
    pub metadata_updated: u64,
    /// Directory markers written.
    pub markers_written: u64,
    /// Events in scope.
    pub changes_seen: u64,
    /// Times that pending entries were coarsened (rule 9.1).
    pub coarsened: u64,
    /// Gaps in the stream (rule 8.1).
    pub gaps: u64,
}

impl Counters {
    /// Adds `other` to this.
    pub fn add(&mut self, other: &Self) {
        self.files_scanned += other.files_scanned;
        self.files_copied += other.files_copied;
        self.bytes_copied += other.bytes_copied;
        self.files_replaced += other.files_replaced;
        self.files_relocated += other.files_relocated;
        self.files_removed += other.files_removed;
        self.files_skipped += other.files_skipped;
        self.unverified += other.unverified;
        self.metadata_updated += other.metadata_updated;
        self.markers_written += other.markers_written;
        self.changes_seen += other.changes_seen;
        self.coarsened += other.coarsened;
        self.gaps += other.gaps;
    }
}

/// What is remembered once per migration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The last transaction whose marks are durable; `None` before the first run took one, and
    /// before one of another history was taken.
    pub position: Option<TxId>,
    /// Digest of that transaction's events (rule 1.7).
    pub digest: u64,
    /// The history that the position belongs to.
    pub epoch: Epoch,
    /// What names the source's history from outside (HDFS: cluster and block pool id).
    pub history: Option<String>,
    /// The root's file key, pinned at the first run (rule 1.5).
    pub root_key: Option<u64>,
    /// The next mark to give.
    pub next_mark: Mark,
    /// The next attempt to number.
    pub next_attempt: AttemptNumber,
    /// A scan was begun, so its root was made pending.
    pub scan_begun: bool,
    /// Everything under the target has been looked at for what stood there before.
    pub inventory_done: bool,
    /// The last key that the inventory saw.
    pub inventory_cursor: Option<Bytes>,
    /// The first scan came to its end.
    pub scanned: bool,
    /// Sums so far.
    pub counters: Counters,
    /// Objects that the guard let go and that were removed, by the minute since the Unix epoch, as
    /// far as nothing came in their stead (rule 5.6).
    pub losses: Losses,
}

/// A change of the durable state. The changes of one batch become durable together or not at all
/// (rule 4.5); batches become durable in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Makes a path pending, or adds to its entry: reach and last transaction grow, lane and first
    /// transaction fall, parking, waiting and backing off end. A pass's cursor stays only if the
    /// reach stays. Of an entry parked as `Delayed` the first transaction and sight are those of the
    /// mark: what it lacks since before is kept on purpose (rule 5.7).
    Mark {
        /// Where.
        path: RelPath,
        /// How far below.
        reach: Reach,
        /// How urgent.
        lane: Lane,
        /// First change.
        first_txid: TxId,
        /// Last change.
        last_txid: TxId,
        /// When it was seen.
        seen: Time,
        /// The mark's number.
        mark: Mark,
    },
    /// Removes the entry unless it was marked after `up_to`; then it stays, free to be taken again,
    /// and reaches as far as the marks after `up_to` did (rule 1.6), its first transaction at least the one after `as_of`, its first sight that of
    /// its newest mark.
    Settle {
        /// Where.
        path: RelPath,
        /// The newest mark that the work covers.
        up_to: Mark,
        /// Every change up to here is on the target; 0: not known.
        as_of: TxId,
    },
    /// Sets the entry aside unless it was marked after `up_to` (rule 1.6).
    Park {
        /// Where.
        path: RelPath,
        /// The newest mark that the evidence covers.
        up_to: Mark,
        /// Why.
        reason: Parked,
        /// Parked as failed: tried again then; `None`: at the next start. Parked as delayed: due
        /// then.
        retry_at: Option<Time>,
        /// For people: what happened.
        message: String,
    },
    /// Has the entry go with live changes, in the place that its marks give it.
    Hasten(RelPath),
    /// Something happened to everything below the path: entries strictly below it that are parked
    /// as open or failed and were not marked after `up_to` are free to be taken again. Of a `Flat`
    /// source these are the keys that go on with a slash.
    Reconsider {
        /// The path.
        below: RelPath,
        /// The newest mark that is covered.
        up_to: Mark,
    },
    /// Gives the entry back, not to be taken before a time unless it was marked after `up_to`.
    Defer {
        /// Where.
        path: RelPath,
        /// The newest mark that the evidence covers.
        up_to: Mark,
        /// Earliest time.
        not_before: Time,
        /// Failed attempts in a row.
        tries: u32,
        /// Waits for the other end of a rename (rule 6.2).
        waiting: bool,
    },
    /// Every entry parked for the reason is free to be taken; if that was `Removal`, the guard lets
    /// it go (rule 5.6).
    Release(Parked),
    /// A look found nothing at the source at that time, or before, and the removal waits
    /// (rule 5.7).
    Gone {
        /// Where.
        path: RelPath,
        /// When.
        since: Time,
        /// What stands below it waits with it: from now on the entry reaches that.
        below: bool,
    },
    /// A look found something at the source: nothing is gone at the path or above it, and what is
    /// parked there as `Delayed` is free to be taken, and pending since this transaction and moment
    /// (rule 5.7).
    Present {
        /// Where.
        path: RelPath,
        /// What follows is not known to be there.
        first_txid: TxId,
        /// The same as a time.
        seen: Time,
    },
    /// Every entry parked as `Delayed` is due so long after it was found to be gone (rule 5.7).
    DelayRemovals {
        /// So long.
        after_millis: u64,
    },
    /// Entries parked as `Delayed` that are due by a time are free to be taken, and pending since
    /// this transaction and moment; the longest due first, some thousands of them. `None`: all of
    /// them, whose time is over for good, since a person says so (rule 5.7).
    EndDelays {
        /// By then.
        due_by: Option<Time>,
        /// Since then nothing keeps them.
        first_txid: TxId,
        /// The same as a time.
        seen: Time,
    },
    /// A person means what the guard holds: every entry parked as `Guard` or `Removal` is let go,
    /// and what went before counts no more (rule 5.6).
    Confirmed,
    /// Every entry parked as `Removal` is parked as `Guard` from now on (rule 5.6).
    HoldRemovals {
        /// For people: why.
        message: String,
    },
    /// A pass over a directory came so far; from now on marks below it are not absorbed by it.
    Advance {
        /// The directory.
        path: RelPath,
        /// The newest mark that the pass covers.
        begun: Mark,
        /// The last name whose work is done; `None` at the start.
        cursor: Option<Bytes>,
    },
    /// A file came where none of ours stood: it makes one loss good (rule 5.6).
    Arrived,
    /// An attempt's intent (rule 4.1).
    AttemptOpened(Attempt),
    /// The target named the upload of an attempt.
    UploadOpened {
        /// Which attempt.
        number: AttemptNumber,
        /// Upload without parts.
        upload: Upload,
    },
    /// A part stands on the target.
    PartDone {
        /// Which attempt.
        number: AttemptNumber,
        /// The part.
        part: Part,
    },
    /// An attempt's end is unknown; its request may take effect until then (rule 4.2).
    AttemptDoubtful {
        /// Which attempt.
        number: AttemptNumber,
        /// Until when.
        until: Time,
    },
    /// An attempt's end is known, or cannot matter any more.
    AttemptClosed(AttemptNumber),
    /// What stands on the target now. Removes the `Found` of the same path.
    PutRow(Row),
    /// Nothing of ours stands at the path any more. Removes the `Found` of the same path too.
    DropRow(RelPath),
    /// The object of a path was removed: as `DropRow`. If something stood there, it is counted, in
    /// `Counters::files_removed` if it was no directory marker.
    Removed {
        /// Where.
        path: RelPath,
        /// Counts among `Meta::losses` too, unless its file stands elsewhere on the target.
        loss: bool,
        /// When.
        at: Time,
    },
    /// Something stands at the path, but what is not known any more; if the row's write still does,
    /// it is known as that.
    Distrust(RelPath),
    /// A directory stands at the source.
    PutDirectory(DirectoryRecord),
    /// What was known of the directory at the path does not hold any more.
    DropDirectory {
        /// The path.
        path: RelPath,
        /// Nor does what was known of those below it.
        below: bool,
    },
    /// Everything up to here is durably marked (rule 1.1).
    Position {
        /// The position.
        txid: TxId,
        /// Digest of its transaction.
        digest: u64,
    },
    /// Another history of the source began (rule 1.7); there is no position until one of it is
    /// taken.
    History {
        /// Its number.
        epoch: Epoch,
        /// What names it from outside.
        name: Option<String>,
    },
    /// The root's identity (rule 1.5).
    RootPinned(u64),
    /// A rename whose old end may be of use. Composed with older hints that end at or under
    /// `from`: these end at or under `to` now.
    HintAdded(Hint),
    /// The hint serves nobody any more.
    HintDropped(Hint),
    /// An object found by the inventory.
    FoundAdded(Found),
    /// How far the inventory came.
    InventoryAt {
        /// The last key seen.
        cursor: Option<Bytes>,
        /// All was seen.
        done: bool,
    },
    /// A scan begins: `Meta::scan_begun` is set, `Meta::scanned` cleared. What is left of earlier
    /// scans and repairs joins the root's entry.
    ScanBegun {
        /// What it goes over, if that is to be kept anew.
        coverage: Option<String>,
    },
    /// The scan came to its end: `Meta::scanned` is set.
    Scanned,
    /// Collapses every unclaimed `Path` entry that is a direct child of the directory into one
    /// `Directory` entry for it, and every unclaimed entry below it into one `Subtree` entry if
    /// `subtree`. The new entry keeps the smallest first and the largest last transaction, the
    /// largest mark, goes with the backlog, and absorbs marks below it until a pass over it begins
    /// (rule 9.1). Entries that are parked, may be removed, or are of the backlog and reach below
    /// their path, are left.
    Coarsen {
        /// The directory.
        path: RelPath,
        /// Everything below it instead of direct children.
        subtree: bool,
    },
    /// Adds to the sums.
    Count(Counters),
    /// Makes pending where work was settled since the oldest base snapshot that is kept: what the
    /// source changed and changed back since then is in no difference from it (rule 8.2).
    Revisit {
        /// First change.
        first_txid: TxId,
        /// Last change.
        last_txid: TxId,
        /// When it was seen.
        seen: Time,
        /// The number of all these marks.
        mark: Mark,
    },
}

/// How much is pending, as the ledger counts it after a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingSummary {
    /// Entries that are not parked, per lane: live, backlog, metadata.
    pub lanes: [u64; 3],
    /// Those of them that may be coarsened.
    pub coarsenable: u64,
    /// Entries parked as open.
    pub open: u64,
    /// Entries parked as failed.
    pub failed: u64,
    /// Entries whose removal a guard holds.
    pub guarded: u64,
    /// Entries whose removal the guard has not looked at yet.
    pub removals: u64,
    /// Entries in whose place a foreign object stands, for a person to decide.
    pub foreign: u64,
    /// Entries gone at the source whose removal waits for its time (rule 5.7).
    pub delayed: u64,
    /// When the first of them is due.
    pub delayed_next: Option<Time>,
    /// Entries found to be gone since a time, these among them.
    pub gone: u64,
    /// Smallest first transaction of the entries that are not parked (rule 10.1).
    pub first_txid: Option<TxId>,
    /// Smallest `first_seen` of the entries that are not parked.
    pub first_seen: Option<Time>,
    /// Attempts without a known end.
    pub attempts: u64,
    /// Objects under the target that the source does not have and that were not written by this
    /// migration; not those for which a person decides.
    pub found: u64,
    /// Objects that this migration wrote or adopted.
    pub rows: u64,
    /// Those of them of whose metadata the ledger alone has the newest (rule 11.1).
    pub ledger_only: u64,
    /// Entries that the guard let go (rule 5.6).
    pub let_go: u64,
    /// Objects lost within the hour before the last that was (rule 5.6).
    pub lost: u64,
    /// Smallest `not_before` of the unparked entries that wait for a time, and of failed ones with
    /// a retry.
    pub next_due: Option<Time>,
}
