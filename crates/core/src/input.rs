//! What the core is told.

use bytes::Bytes;

use crate::budget::{Ceilings, Paced};
use crate::effect::{Report, Ticket};
use crate::entry::{Entry, Node, Page};
use crate::event::StreamReply;
use crate::failure::Failure;
use crate::metadata::Metadata;
use crate::number::{AttemptNumber, TxId};
use crate::path::RelPath;
use crate::record::{
    Attempt, DirectoryRecord, Found, Parked, Part, Pending, PendingSummary, Reach, Row, Upload,
};
use crate::timetable::{LocalTime, Timetable};

/// How much of what a commit marker speaks for is on the target (rule 7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// Everything.
    Complete,
    /// Something is under way.
    Incomplete {
        /// Some of what waits for its turn among the backlog.
        backlog: Vec<RelPath>,
    },
    /// All that is left is set aside.
    SetAside {
        /// For a person to decide (then `Guard` or `Foreign`), or failed.
        reason: Parked,
        /// One of these.
        path: RelPath,
    },
}

/// An object that is to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Going {
    /// Where.
    pub path: RelPath,
    /// As far as is known.
    pub etag: Option<String>,
}

/// Objects that would go with removals, and those that went (rule 5.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removals {
    /// What would go with the entries that wait for the guard.
    pub objects: u64,
    /// Those of files that stand nowhere else: not those that were relocated (rule 6.2).
    pub lost: u64,
    /// What stands of that which the guard let go.
    pub leaving: u64,
    /// What was lost within the hour, and what is about to be with that which leaves.
    pub went: u64,
}

impl Removals {
    /// How many objects went within the hour if these went too, and how many stood before, of
    /// `standing` that stand now.
    pub fn lost_of(&self, standing: u64) -> (u64, u64) {
        let lost = self.went + self.lost;
        (lost, standing.saturating_sub(self.objects + self.leaving) + lost)
    }
}

/// Something that happened outside.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "moved once, never stored in bulk")]
pub enum Input {
    /// A batch is durable.
    Persisted {
        /// Which.
        batch: u64,
        /// What is pending now.
        summary: PendingSummary,
    },
    /// Work to do; fewer than asked for means that the lane holds no more that is due.
    Taken {
        /// Joined with the ledger.
        work: Vec<Work>,
        /// What is pending now.
        summary: PendingSummary,
    },
    /// A page of a directory.
    Listed {
        /// Of which question.
        ticket: Ticket,
        /// The page with what the ledger knows of the same range.
        outcome: Listed,
    },
    /// What stands at a path.
    Examined {
        /// Of which question.
        ticket: Ticket,
        /// What the source says.
        outcome: Examined,
        /// A row of the same file key elsewhere (rule 6.1), if asked for.
        renamed: Option<Row>,
    },
    /// A file's checksum.
    Checksummed {
        /// Of which question.
        ticket: Ticket,
        /// CRC32C of the pinned bytes.
        outcome: Result<u32, Failure>,
    },
    /// What is to be removed.
    Rows {
        /// Of which question.
        ticket: Ticket,
        /// In path order, with what is pending for each left out.
        objects: Vec<Going>,
    },
    /// The state of a commit marker's group.
    Group {
        /// Of which question.
        ticket: Ticket,
        /// How much of it is on the target.
        group: Group,
    },
    /// Whether a removal has to wait for a renamed destination.
    HintsChecked {
        /// Of which question.
        ticket: Ticket,
        /// It has to wait.
        wait: bool,
    },
    /// What would go with the entries that wait for the guard.
    RemovalsCounted {
        /// Of which question.
        ticket: Ticket,
        /// How much.
        removals: Removals,
    },
    /// The target named a multipart upload.
    UploadOpened {
        /// Which attempt.
        attempt: AttemptNumber,
        /// Without parts.
        upload: Upload,
    },
    /// A part stands on the target.
    PartDone {
        /// Which attempt.
        attempt: AttemptNumber,
        /// The part.
        part: Part,
    },
    /// A write came to an end.
    Written {
        /// Of which effect.
        ticket: Ticket,
        /// How.
        outcome: Written,
    },
    /// A batch of removals came to an end.
    Removed {
        /// Of which effect.
        ticket: Ticket,
        /// In the order of the items.
        outcomes: Vec<Written>,
    },
    /// What stands on the target at a path.
    Inspected {
        /// Of which question.
        ticket: Ticket,
        /// What was found there; `None` if nothing.
        outcome: Result<Option<Standing>, Failure>,
    },
    /// A page of what stands under the target.
    Inventoried {
        /// Of which question.
        ticket: Ticket,
        /// What was met on it.
        outcome: Result<Inventoried, Failure>,
    },
    /// What the stream says.
    Streamed {
        /// Of which question.
        ticket: Ticket,
        /// How far it was followed.
        outcome: Streamed,
    },
    /// The newest transaction written.
    Position {
        /// Of which question.
        ticket: Ticket,
        /// The transaction.
        outcome: Result<TxId, Failure>,
        /// What changed up to a moment after it, if that was asked for and can be told.
        difference: Option<Difference>,
    },
    /// Directories to coarsen.
    Dense {
        /// Of which question.
        ticket: Ticket,
        /// Directory and whether everything below it is meant.
        directories: Vec<(RelPath, bool)>,
    },
    /// A side answered that it is asked too much (rule 9.2).
    Busy {
        /// Of what.
        what: Paced,
        /// How much of it, or of more than it, was asked in the last second.
        in_use: u64,
    },
    /// A person allows another pace.
    Limit(Ceilings),
    /// A person allows as many bytes as a timetable says, in place of what is said with `Limit`;
    /// `None`: no more.
    Timetable(Option<Timetable>),
    /// The clock by which a timetable goes was set, or its zone.
    LocalTime(LocalTime),
    /// Time has passed.
    Tick,
    /// Stop taking work; end when nothing is in flight.
    Stop,
    /// Stop taking new work until resumed (or go on).
    Pause(bool),
    /// A person confirmed what a guard holds.
    Confirm,
    /// A person has what is gone at the source and kept for a time go now (rule 5.7).
    ConfirmDelayed,
    /// Listings of the scan were wrong, as the report says: everything is listed again.
    ListAgain(Report),
}

/// What the source says to have changed since a moment at or before the last transaction that was
/// followed (rule 8.2). What was changed and changed back since that moment may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Paths to look at, as they were called at its begin or are called at its end.
    pub stale: Vec<(RelPath, Reach)>,
    /// All the rest is taken to be as it was; else it is listed too, after these.
    pub complete: bool,
}

/// A page of an inventory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventoried {
    /// Objects of which the ledger knows nothing, with their checksums.
    pub found: Vec<Found>,
    /// Paths at which something else stands, or nothing, than the ledger says: each is to be
    /// looked at. None in a first inventory.
    pub doubtful: Vec<RelPath>,
    /// Where to go on; that may be the place of this page, if more on it is doubtful than one
    /// answer holds.
    pub cursor: Option<Bytes>,
    /// Nothing follows.
    pub done: bool,
}

/// One pending entry with what the ledger knows of its path.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// The entry.
    pub pending: Pending,
    /// What stands at the path.
    pub row: Option<Row>,
    /// What stands at the path's marker.
    pub marker: Option<Row>,
    /// Something of ours stands below the path (its marker aside).
    pub rows_below: bool,
    /// The nearest ancestor at whose path a file of ours stands (rule 5.5).
    pub file_above: Option<RelPath>,
    /// A foreign object at the path.
    pub found: Option<Found>,
    /// Foreign objects below the path, of an entry that reaches them.
    pub found_below: bool,
    /// Attempts on the path or its marker whose end is not known.
    pub attempts: Vec<Attempt>,
    /// Commit markers of the same directory that stand on the target and are pending themselves
    /// (rule 7.1: stale ones go first).
    pub stale_commit_markers: Vec<RelPath>,
    /// Commit markers in the directories above that stand on the target, at most one of each
    /// directory: nothing is known against them, but they may be stale all the same.
    pub commit_markers: Vec<Row>,
}

/// The answer to a listing.
#[derive(Clone, Debug, PartialEq)]
pub enum Listed {
    /// A page, joined.
    Page {
        /// What the source lists.
        page: Page,
        /// What the ledger knows of the same range.
        join: Box<PageJoin>,
    },
    /// No directory stands there (any more).
    NoDirectory,
    /// It could not be read.
    Failed(Failure),
}

/// What the ledger knows of the range of names that a page covers: after the asked-for name up to
/// the page's last name, or to the end of the directory if nothing follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageJoin {
    /// Rows of direct children (files; the directory's own marker first), ascending.
    pub rows: Vec<Row>,
    /// Names of child directories below which something of ours stands, ascending.
    pub directories: Vec<Bytes>,
    /// Directories directly in it as they were last seen, ascending; whether something of ours
    /// stands below them or not.
    pub directory_records: Vec<DirectoryRecord>,
    /// Names below which such records are kept, ascending; whatever stands there now, and whether
    /// there is a record of the directory itself or not.
    pub record_directories: Vec<Bytes>,
    /// There is such a record of the directory itself.
    pub own_record: bool,
    /// Children that are pending, ascending.
    pub pending: Vec<RelPath>,
    /// Those of them whose removal waits for its time, ascending (rule 5.7).
    pub delayed: Vec<RelPath>,
    /// Children with attempts whose end is not known, ascending (rule 1.3).
    pub attempts: Vec<Attempt>,
    /// Foreign objects, ascending.
    pub found: Vec<Found>,
    /// Names of child directories below which foreign objects stand, ascending.
    pub found_directories: Vec<Bytes>,
    /// Rows elsewhere with the file keys of listed files, in no order (rule 6.1).
    pub renamed: Vec<Row>,
    /// A file of ours stands at the directory's own path or above it (rule 5.5).
    pub file_above: Option<RelPath>,
    /// Commit markers that speak for the directory, stand on the target and may have to go before
    /// its files change: pending in it, or as `Work::stale_commit_markers` above it (rule 7.1).
    pub stale_commit_markers: Vec<RelPath>,
    /// As `Work::commit_markers`: of the directory itself, unless the page's range has it, and of
    /// those above it.
    pub commit_markers: Vec<Row>,
}

/// The answer to a look at one path.
#[derive(Clone, Debug, PartialEq)]
pub enum Examined {
    /// Something stands there.
    Present(Node),
    /// Nothing stands there; and the root, looked at afterwards, has this file key (rule 1.5).
    Absent {
        /// `None` if the root itself is gone.
        root_key: Option<u64>,
    },
    /// It could not be told.
    Failed(Failure),
}

impl Examined {
    /// The node, as an entry of a listing has it.
    pub fn into_entry(self, path: RelPath) -> Option<Entry> {
        match self {
            Self::Present(node) => Some(Entry { path, node }),
            Self::Absent { .. } | Self::Failed(_) => None,
        }
    }
}

/// How a write ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// It took effect (a removal: nothing stands there).
    Done(Standing),
    /// All parts of the upload stand on the target; it is not completed.
    Staged {
        /// With all parts.
        upload: Upload,
        /// CRC32C of the whole.
        crc32c: u32,
    },
    /// The source changed under the reading, or is gone; nothing was made visible.
    SourceMoved,
    /// It did not take effect and will not: something else stands there than was expected, or
    /// nothing does (rule 4.4).
    Unexpected(Failure),
    /// The request may have taken effect, or may yet (rule 4.1).
    Unknown(Failure),
    /// It did not take effect and will not.
    Failed(Failure),
}

/// What the target says of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Bytes.
    pub length: u64,
    /// Entity tag.
    pub etag: Option<String>,
    /// Version id.
    pub version: Option<String>,
    /// Full-object CRC32C, computed on the way or stored.
    pub crc32c: Option<u32>,
    /// The attempt that wrote it, as its metadata says.
    pub attempt: Option<AttemptNumber>,
    /// The migration that wrote it, as its metadata says.
    pub migration: Option<String>,
    /// What it carries of its file's; a look tells, a write does not.
    pub metadata: Option<Metadata>,
}

/// The answer to a look at the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Streamed {
    /// Events, or that there are none.
    Reply(StreamReply),
    /// Transactions after the asked-for one are gone (rule 8.1).
    Gap {
        /// What to do that it does not come again; `None` for the gap that every start of a stream
        /// brings which is remembered only while it is followed: nothing is wrong then.
        remedy: Option<String>,
    },
    /// The position lies beyond the log, or its digest differs: another history (rule 1.7).
    OtherHistory {
        /// What names it from outside.
        name: Option<String>,
    },
    /// It could not be read.
    Failed(Failure),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_at_a_path_is_an_entry_of_it() {
        let (path, node) = (RelPath::from("a"), Node::Special("a socket".to_owned()));
        let entry = Examined::Present(node.clone()).into_entry(path.clone());
        assert_eq!(entry, Some(Entry { path: path.clone(), node }));
        assert_eq!(Examined::Absent { root_key: Some(7) }.into_entry(path), None);
    }
}
