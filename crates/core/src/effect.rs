//! What the core asks for. Every effect with a ticket is answered by exactly one closing input
//! with the same ticket.

use bytes::Bytes;

use crate::budget::Pace;
use crate::entry::FileNode;
use crate::failure::Failure;
use crate::metadata::Metadata;
use crate::number::{AttemptNumber, Time, TxId};
use crate::path::RelPath;
use crate::record::{Change, Lane, Row, Upload};

/// Ties an effect to its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What is asked for to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removable {
    /// Rows of commit markers (rule 7.1).
    CommitMarkers,
    /// Other rows.
    Others,
    /// Foreign objects.
    Found,
}

/// One thing to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make these changes durable in one transaction; answered by `Input::Persisted`. Batches and
    /// reads of the ledger are carried out in the order in which they are asked for.
    Persist {
        /// Rises by one.
        batch: u64,
        /// All or nothing.
        changes: Vec<Change>,
    },
    /// Hand out unclaimed, unparked, due entries of a lane; answered by `Input::Taken`. An entry
    /// handed out is claimed until it is settled, parked or deferred.
    Take {
        /// Which lane.
        lane: Lane,
        /// At most so many, at most 512.
        limit: usize,
        /// Entries that are due by now.
        now: Time,
    },
    /// One page of a directory, joined with the ledger; answered by `Input::Listed`.
    List {
        /// Answer with this.
        ticket: Ticket,
        /// The directory.
        directory: RelPath,
        /// After this name.
        after: Option<Bytes>,
        /// Look up rows of unknown files by their file keys (rule 6.1).
        by_file_key: bool,
    },
    /// What stands at a path now; answered by `Input::Examined`.
    Examine {
        /// Answer with this.
        ticket: Ticket,
        /// The path.
        path: RelPath,
        /// Look up a row of the same file key (rule 6.1).
        by_file_key: bool,
    },
    /// The CRC32C of a file's first bytes, from stored checksums where the source keeps them, else
    /// by reading; answered by `Input::Checksummed`.
    Checksum {
        /// Answer with this.
        ticket: Ticket,
        /// The path.
        path: RelPath,
        /// The pinned file.
        node: FileNode,
        /// How many of its bytes; at most all.
        length: u64,
    },
    /// What is to be removed at and under a path, in path order; answered by `Input::Rows`.
    Rows {
        /// Answer with this.
        ticket: Ticket,
        /// The subtree.
        under: RelPath,
        /// After this path.
        after: Option<RelPath>,
        /// Which of it.
        which: Removable,
        /// Without the path's own object.
        strictly_below: bool,
        /// At most so many.
        limit: usize,
    },
    /// Whether the group of a commit marker is complete (rule 7.1); answered by `Input::Group`.
    Group {
        /// Answer with this.
        ticket: Ticket,
        /// The commit marker.
        path: RelPath,
        /// The directory that makes its group.
        group: RelPath,
        /// Only entries first pending at or before this transaction.
        up_to: TxId,
    },
    /// Whether something at or under a hinted destination is still pending (rule 6.2); answered
    /// by `Input::HintsChecked`.
    CheckHints {
        /// Answer with this.
        ticket: Ticket,
        /// The path that is to be removed.
        path: RelPath,
    },
    /// What would go with the entries parked as `Removal` (rule 5.6); answered by
    /// `Input::RemovalsCounted`.
    CountRemovals {
        /// Answer with this.
        ticket: Ticket,
        /// What is lost is counted for the hour before it.
        now: Time,
    },
    /// Write an object from the source's bytes; answered by `Input::Written`, before that by
    /// `Input::UploadOpened` and `Input::PartDone` if it becomes a multipart upload. A multipart
    /// upload is staged, not completed.
    Copy(CopyJob),
    /// Complete a staged upload; answered by `Input::Written`.
    Complete {
        /// Answer with this.
        ticket: Ticket,
        /// Which attempt.
        attempt: AttemptNumber,
        /// Where.
        path: RelPath,
        /// The upload with all its parts.
        upload: Upload,
        /// CRC32C of the whole.
        crc32c: u32,
        /// What has to stand there until then.
        expected: Expected,
    },
    /// Give an upload up; not answered. Aborting fences its late completion (rule 4.3).
    Abort {
        /// Where.
        path: RelPath,
        /// The target's name for it.
        upload_id: String,
    },
    /// Copy within the target with new metadata; `from` may be the same path (rule 11.1). Answered
    /// by `Input::Written`.
    Relocate {
        /// Answer with this.
        ticket: Ticket,
        /// Which attempt.
        attempt: AttemptNumber,
        /// What is copied: version, ETag and checksum name it (rule 6.3).
        from: Row,
        /// Where to.
        path: RelPath,
        /// What travels with it.
        metadata: Metadata,
        /// What has to stand there until then.
        expected: Expected,
    },
    /// Write a directory marker; answered by `Input::Written`.
    PutMarker {
        /// Answer with this.
        ticket: Ticket,
        /// Which attempt.
        attempt: AttemptNumber,
        /// The marker's path, ending in `/`.
        path: RelPath,
        /// What travels with it.
        metadata: Metadata,
        /// What has to stand there until then.
        expected: Expected,
    },
    /// Remove objects, in this order; answered by `Input::Removed`.
    Remove {
        /// Answer with this.
        ticket: Ticket,
        /// What.
        items: Vec<Removal>,
    },
    /// What stands on the target at a path (rule 4.1); answered by `Input::Inspected`.
    Inspect {
        /// Answer with this.
        ticket: Ticket,
        /// The path.
        path: RelPath,
    },
    /// A page of what stands under the target; answered by `Input::Inventoried`.
    Inventory {
        /// Answer with this.
        ticket: Ticket,
        /// After this key, as the target gave it; on from where the answer before ended.
        after: Option<Bytes>,
        /// Compare it with the ledger's rows: only what does not agree is answered.
        again: bool,
    },
    /// Follow the stream after a transaction; answered by `Input::Streamed`.
    Poll {
        /// Answer with this.
        ticket: Ticket,
        /// Everything up to here is known.
        after: TxId,
        /// Whether the source was quiet since then is to be decided: the answer reaches the end
        /// only if what no event tells of was looked for, too, by a look that began after the
        /// first question that says so.
        quiet_since: Option<Time>,
    },
    /// The newest transaction that the source has written; answered by `Input::Position`.
    Position {
        /// Answer with this.
        ticket: Ticket,
        /// After a gap: what the source changed after this transaction is asked for with it, where
        /// that can be told (rule 8.2).
        since: Option<TxId>,
    },
    /// Go at this pace from now on (rule 9.2); not answered.
    Pace(Pace),
    /// Tell people; not answered.
    Report(Report),
    /// The densest directories of what is pending; answered by `Input::Dense`.
    Densest {
        /// Answer with this.
        ticket: Ticket,
        /// How many entries should go.
        excess: u64,
    },
    /// The run is over; not answered.
    Finish(Finish),
}

/// What the ledger believes to stand at a key: a write that finds something else there takes no
/// effect and ends as `Written::Unexpected` (rule 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever stands there.
    Anything,
    /// Nothing.
    Nothing,
    /// The object with this entity tag.
    Object(String),
}

/// One object to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Which attempt.
    pub attempt: AttemptNumber,
    /// Where.
    pub path: RelPath,
    /// What goes; anything else stays.
    pub expected: Expected,
}

/// One file to be copied.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyJob {
    /// Answer with this.
    pub ticket: Ticket,
    /// Which attempt.
    pub attempt: AttemptNumber,
    /// Where.
    pub path: RelPath,
    /// The pinned file.
    pub node: FileNode,
    /// What has to stand there until then, if the copy ends as an object.
    pub expected: Expected,
    /// An upload of the same bytes that was begun before.
    pub resume: Option<Upload>,
    /// A live change, which goes ahead of the backlog.
    pub live: bool,
    /// The file does not stand still: if it is the same one and not shorter, what it begins with is
    /// read, and staged however small it is, for nothing is proven of it yet (rule 3.4).
    pub beginning: bool,
}

/// Something a person should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The path it is about, if one.
    pub path: Option<RelPath>,
    /// What it is.
    pub kind: ReportKind,
    /// What happened and what to do.
    pub failure: Failure,
}

/// Kinds of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportKind {
    /// A path failed and stays pending.
    Failed,
    /// A file is open at the source.
    Open,
    /// A side does not answer, or is full; work on it waits.
    SideLost,
    /// A lost side answers again.
    SideBack,
    /// The stream had a gap; everything is looked at again.
    Gap,
    /// What snapshots of the source told after a gap, or why they do not (rule 8.2).
    Snapshots,
    /// An image of the source is of no use (rule 8.1).
    Image,
    /// The source keeps its history only a short time longer than it takes to follow it.
    HistoryShort,
    /// The root of the source is not the pinned one; everything waits.
    RootChanged,
    /// It is again.
    RootBack,
    /// Another history of the source.
    HistoryChanged,
    /// A guard holds removals.
    Guard,
    /// A file changes faster than it can be copied.
    Hot,
    /// Foreign objects or another migration's objects stand under the target.
    Foreign,
    /// A file's newer metadata is in the ledger, and its object carries the older (rule 11.1).
    LedgerOnly,
    /// The scope does not cover any more what earlier runs brought; it stays on the target.
    OutOfScope {
        /// How many objects; the report's path is one of them.
        objects: u64,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Finish {
    /// Everything that the run was to do is done; parked paths decide between equal and not.
    Done,
    /// A side stayed lost for longer than allowed.
    GaveUp(Failure),
    /// A guard stopped it and wants a person's word.
    Guard(Failure),
    /// Asked to stop; nothing is in flight any more.
    Stopped,
}
