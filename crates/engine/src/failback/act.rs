//! One path: both sides are looked at, the verdict is carried out.

use whimbrel_core::entry::{DirectoryNode, FileNode, Node};
use whimbrel_core::failback::{Since, Verdict, decide};
use whimbrel_core::failure::{FailureKind, Side};
use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Change, Row};
use whimbrel_store::error::StoreError;
use whimbrel_store::failback::{Carried, Put};
use whimbrel_store::source::ByteStream;
use whimbrel_store::target::Object;

use super::belongings::{belongings, of_file};
use super::look::patiently;
use super::pass::Pass;
use super::{Conflicts, Deed, Sides, of_side};
use crate::error::EngineError;

/// Both sides changed.
pub(super) const CONFLICT: &str = "conflict";
/// Something else comes first.
const WAITS: &str = "waits";
/// An object that is changed again and again while it is read is left for another call.
const READS_MAX: u32 = 3;
const DECIDE: &str = "look at both sides, and remove or rename the one that is not wanted; or say \
                      it again with --conflicts replace, and the target's takes its place";
pub(super) const RENAME: &str = "have one of both renamed at the target";

/// What became of one path.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) path: RelPath,
    pub(super) deed: Option<Deed>,
    pub(super) bytes: u64,
    /// Both sides changed, and are equal.
    pub(super) equal: bool,
    pub(super) changes: Vec<Change>,
    /// Nothing stands there any more on both sides: its row goes, and its directory may be empty.
    pub(super) gone: bool,
    /// Something is in the way that may go yet: it is done after the removals.
    pub(super) blocked: bool,
    pub(super) problem: Option<Problem>,
}

#[derive(Debug)]
pub(super) struct Problem {
    pub(super) kind: &'static str,
    pub(super) message: String,
    pub(super) remedy: String,
}

/// Why a path was left.
pub(super) enum Left {
    /// Something is in the way that removals may take away.
    Blocked(Problem),
    /// A person has to look.
    Problem(Problem),
    /// A side does not go on at all.
    Ended(EngineError),
}

/// What stands on both sides.
struct Both<'a> {
    path: &'a RelPath,
    row: Option<&'a Row>,
    object: Option<Object>,
    node: Option<Node>,
    /// Nothing is removed: it is foreseen.
    ahead: bool,
}

impl Sides {
    /// Does what is to be done about a path.
    pub(super) async fn act(
        &self,
        pass: Pass,
        path: RelPath,
        row: Option<Row>,
    ) -> Result<Ended, EngineError> {
        let outcome = self.looked_at(pass, &path, row.as_ref(), self.dry_run).await;
        let ended = match outcome {
            Ok(ended) => ended,
            Err(Left::Ended(error)) => return Err(error),
            Err(Left::Blocked(_)) if pass == Pass::Carry => {
                Ended { blocked: true, ..Ended::default() }
            }
            Err(Left::Blocked(problem) | Left::Problem(problem)) => {
                Ended { problem: Some(problem), ..Ended::default() }
            }
        };
        Ok(Ended { path, ..ended })
    }

    /// Whether the removals leave nothing at a path of the source.
    pub(super) async fn would_remove(
        &self,
        path: &RelPath,
        row: Option<&Row>,
    ) -> Result<bool, EngineError> {
        match self.looked_at(Pass::Remove, path, row, true).await {
            Ok(ended) => Ok(ended.gone),
            Err(Left::Ended(error)) => Err(error),
            Err(Left::Blocked(_) | Left::Problem(_)) => Ok(false),
        }
    }

    async fn looked_at(
        &self,
        pass: Pass,
        path: &RelPath,
        row: Option<&Row>,
        ahead: bool,
    ) -> Result<Ended, Left> {
        let object = self.inspect(path).await.map_err(|error| left(error, Side::Target))?;
        // What came or went since the listing is left for another call.
        if object.is_some() == (pass == Pass::Remove) {
            return Ok(Ended::default());
        }
        let directory = if path.is_marker() { path.parent() } else { None };
        self.writer.admit(directory.as_ref().unwrap_or(path)).map_err(of_source)?;
        let at = directory.as_ref().unwrap_or(path);
        let node = self.stat(at).await.map_err(of_source)?;
        let gone = pass == Pass::Blocked && self.would_be_gone(path, at, node.as_ref());
        let node = node.filter(|_| !gone);
        let both = Both { path, row, object, node, ahead };
        match directory {
            Some(directory) => self.directory(&both, &directory).await,
            None => self.file(&both).await,
        }
    }

    async fn file(&self, both: &Both<'_>) -> Result<Ended, Left> {
        let target = self.target_since(both.row, both.object.as_ref());
        // A directory has taken its place: as a file it is gone.
        let node = match &both.node {
            Some(Node::Directory(_)) if target == Since::Absent => None,
            Some(Node::Directory(_)) if target == Since::Other => {
                let told = format!("{} is a directory at the source", both.path);
                return Err(Left::Blocked(conflict(told, RENAME)));
            }
            node => node.as_ref(),
        };
        let source = self.source_since(both.row, node).await.map_err(of_source)?;
        match decide(both.row.is_some(), target, source) {
            Verdict::Nothing => Ok(Ended::default()),
            Verdict::Carry => self.carry(both).await,
            Verdict::Remove => self.remove(both).await,
            Verdict::Forget => Ok(gone()),
            Verdict::Compare => self.compare(both).await,
            Verdict::Conflict => self.conflict(both).await,
        }
    }

    /// Equal bytes are no conflict: a killed fail-back may have carried them, or users did.
    async fn compare(&self, both: &Both<'_>) -> Result<Ended, Left> {
        let (Some(object), Some(Node::File(file))) = (&both.object, &both.node) else {
            return self.conflict(both).await;
        };
        if file.open || object.length != file.identity.length() {
            return self.conflict(both).await;
        }
        let at_source = self.source_checksum(both.path, file).await.map_err(of_source)?;
        let at_target = self.object_checksum(both.path, object).await;
        let at_target = at_target.map_err(|error| left(error, Side::Target))?;
        if at_source.is_none() || at_source != at_target {
            return self.conflict(both).await;
        }
        let identity = file.identity.clone();
        let row = self.row(both.path, object, identity, &file.metadata, at_target);
        Ok(Ended { equal: true, changes: vec![Change::PutRow(row)], ..Ended::default() })
    }

    async fn conflict(&self, both: &Both<'_>) -> Result<Ended, Left> {
        let (path, at_target) = (both.path, both.object.is_some());
        let message = match (&both.node, at_target) {
            (Some(Node::File(file)), _) if file.open => {
                let told =
                    format!("{path} changed at the target, and is being written at the source");
                return Err(Left::Problem(conflict(
                    told,
                    "have it closed there, and say it again",
                )));
            }
            (Some(Node::Special(what)), _) => {
                let told = format!("{path} changed at the target, and is a {what} at the source");
                return Err(Left::Problem(conflict(told, RENAME)));
            }
            (Some(_), true) if both.row.is_none() => {
                format!("{path} differs, and the migration left neither side's there")
            }
            (Some(_), true) => format!("{path} changed on both sides"),
            (Some(_), false) => {
                format!("{path} was removed at the target and changed at the source")
            }
            (None, _) => format!("{path} changed at the target and was removed at the source"),
        };
        match (self.conflicts, at_target) {
            (Conflicts::Keep, _) => Err(Left::Problem(conflict(message, DECIDE))),
            (Conflicts::Replace, true) => self.carry(both).await,
            (Conflicts::Replace, false) => self.remove(both).await,
        }
    }

    async fn remove(&self, both: &Both<'_>) -> Result<Ended, Left> {
        let Some(Node::File(file)) = &both.node else { return Ok(gone()) };
        if both.object.is_none() {
            self.is_seen(both.path).await.map_err(|error| left(error, Side::Target))?;
        }
        if both.ahead {
            self.look_ahead(both.path, Deed::Removed).await?;
        } else {
            self.limits.source_calls.take(self.writer.calls_per_change()).await;
            self.writer.remove(both.path, file).await.map_err(of_source)?;
        }
        Ok(Ended { deed: Some(Deed::Removed), ..gone() })
    }

    async fn carry(&self, both: &Both<'_>) -> Result<Ended, Left> {
        let mut replaced = match &both.node {
            Some(Node::File(file)) => Some(file.clone()),
            Some(Node::Directory(_) | Node::Special(_)) | None => None,
        };
        let mut object = both.object.clone();
        let of_target = |error| left(error, Side::Target);
        let key = self.keys.key(both.path).map_err(of_target)?;
        // Bytes without the checksum that is kept of them, and nobody was seen at work.
        let mut as_it_stood = object.as_ref().is_some_and(|object| object.crc32c.is_some());
        if object.is_some() && !self.target.is_file(&key).await.map_err(of_target)? {
            let told = format!("{} is no file at the target, nor an object", both.path);
            return Err(Left::Problem(conflict(told, "have it removed there")));
        }
        for _ in 0..READS_MAX {
            let Some(standing) = object else { return Ok(Ended::default()) };
            let done =
                Ended { deed: Some(Deed::Carried), bytes: standing.length, ..Ended::default() };
            if self.dry_run {
                self.look_ahead(both.path, Deed::Carried).await?;
                return Ok(done);
            }
            let put = self.put(both, &standing, replaced.as_ref()).await?;
            object = self.inspect(both.path).await.map_err(|error| left(error, Side::Target))?;
            let Some(crc32c) = put else {
                as_it_stood &= object.as_ref().is_some_and(|now| now.etag == standing.etag);
                continue;
            };
            let node = self.stat(both.path).await.map_err(of_source)?;
            let Some(Node::File(file)) = node else { return Ok(done) };
            // Another object by now: it goes over what was written. One that is gone goes there
            // with the next call, which its row leads to.
            if object.as_ref().is_some_and(|now| now.etag != standing.etag) {
                replaced = Some(file);
                continue;
            }
            let row = self.row(both.path, &standing, file.identity, &file.metadata, Some(crc32c));
            return Ok(Ended { changes: vec![Change::PutRow(row)], ..done });
        }
        Err(Left::Problem(if as_it_stood { corrupt(both.path) } else { changes(both.path) }))
    }

    /// Answers the checksum of what was written; `None` if the object was changed meanwhile.
    async fn put(
        &self,
        both: &Both<'_>,
        object: &Object,
        replaced: Option<&FileNode>,
    ) -> Result<Option<u32>, Left> {
        let replaced = self.with_xattrs(both.path, replaced).await.map_err(of_source)?;
        let rights = replaced.as_ref().map(|file| &file.metadata);
        let metadata = of_file(self.metadata, object, both.row, rights);
        let mut metadata = metadata.ok_or_else(|| {
            Left::Problem(Problem {
                kind: "metadata",
                message: format!("{}: its object carries a digest of its metadata", both.path),
                remedy: "copy it by hand: what belongs to it is not known here".to_owned(),
            })
        })?;
        match (self.metadata, rights) {
            (MetadataLevel::Full, _) => {
                let key = self.keys.key(both.path).map_err(|error| left(error, Side::Target))?;
                let standing = self.target.attributes(&key).await;
                let standing = standing.map_err(|error| left(error, Side::Target))?;
                metadata.xattrs = standing.unwrap_or(metadata.xattrs);
            }
            // They do not travel, so those that the file has stay.
            (_, Some(rights)) => metadata.xattrs.clone_from(&rights.xattrs),
            (_, None) => {}
        }
        let file = Carried {
            path: both.path,
            length: object.length,
            crc32c: object.crc32c,
            metadata,
            expected: replaced.as_ref(),
        };
        let pour = || -> ByteStream {
            match self.read_unchanged(both.path, object) {
                Ok(bytes) => bytes,
                Err(error) => Box::pin(futures_util::stream::iter([Err(error)])),
            }
        };
        // Read again where the target is busy: nothing was put in its place.
        let put = patiently(|| async {
            self.limits.source_calls.take(self.writer.calls_per_change()).await;
            match self.writer.put(&file, &pour).await {
                Ok(Put::Done { crc32c }) => Ok(Ok(Some(crc32c))),
                Ok(Put::Changed | Put::Unread(StoreError::Moved { .. })) => Ok(Ok(None)),
                Ok(Put::Unread(error)) => Err(error),
                Err(error) => Ok(Err(error)),
            }
        });
        put.await.map_err(|error| left(error, Side::Target))?.map_err(of_source)
    }

    /// No look at a file tells of its extended attributes.
    async fn with_xattrs(
        &self,
        path: &RelPath,
        file: Option<&FileNode>,
    ) -> Result<Option<FileNode>, StoreError> {
        let Some(mut file) = file.cloned() else { return Ok(None) };
        file.metadata.xattrs = self.source.xattrs(path).await?;
        Ok(Some(file))
    }

    /// A directory's marker: an empty directory goes back, or goes.
    async fn directory(&self, both: &Both<'_>, directory: &RelPath) -> Result<Ended, Left> {
        match (&both.object, &both.node) {
            (Some(object), _) if object.length > 0 => Err(Left::Problem(Problem {
                kind: "refused",
                message: format!("{}: a directory cannot hold bytes", both.path),
                remedy: RENAME.to_owned(),
            })),
            (Some(object), None) if both.row.is_none() => self.make(both, object, directory).await,
            (Some(object), None) if self.target_since(both.row, Some(object)) == Since::Other => {
                let told =
                    format!("{directory} was made anew at the target, and removed at the source");
                match self.conflicts {
                    Conflicts::Keep => Err(Left::Problem(conflict(told, DECIDE))),
                    Conflicts::Replace => self.make(both, object, directory).await,
                }
            }
            (Some(object), Some(Node::Directory(node))) => Ok(self.marked(both, object, node)),
            (Some(_), Some(Node::File(_) | Node::Special(_))) => {
                let told =
                    format!("{directory} is a directory at the target and none at the source");
                Err(Left::Blocked(conflict(told, RENAME)))
            }
            (Some(_), None) => Ok(Ended::default()),
            (None, Some(Node::Directory(_))) => self.unmarked(both, directory).await,
            (None, Some(Node::File(_) | Node::Special(_)) | None) => Ok(gone()),
        }
    }

    async fn make(
        &self,
        both: &Both<'_>,
        object: &Object,
        directory: &RelPath,
    ) -> Result<Ended, Left> {
        let done = Ended { deed: Some(Deed::DirectoryMade), ..Ended::default() };
        if self.dry_run {
            self.look_ahead(directory, Deed::DirectoryMade).await?;
            return Ok(done);
        }
        let metadata = belongings(self.metadata, object, both.row, None);
        let metadata = metadata.filter(|metadata| metadata.has_rights());
        self.limits.source_calls.take(self.writer.calls_per_change()).await;
        let made = self.writer.make_directory(directory, metadata.as_ref()).await;
        made.map_err(of_source)?;
        match self.stat(directory).await.map_err(of_source)? {
            Some(Node::Directory(node)) => {
                Ok(Ended { deed: done.deed, ..self.marked(both, object, &node) })
            }
            Some(Node::File(_) | Node::Special(_)) | None => Ok(done),
        }
    }

    /// Only of an empty directory the marker is remembered: the next run looks at the others.
    fn marked(&self, both: &Both<'_>, object: &Object, node: &DirectoryNode) -> Ended {
        if node.empty != Some(true) {
            return Ended::default();
        }
        let row = self.row(both.path, object, Identity::Marker, &node.metadata, object.crc32c);
        Ended { changes: vec![Change::PutRow(row)], ..Ended::default() }
    }

    /// Its marker went at the target, so it goes if nothing is left in it; what the target has in
    /// it keeps it.
    async fn unmarked(&self, both: &Both<'_>, directory: &RelPath) -> Result<Ended, Left> {
        if !self.target_has_below(directory).await.map_err(Left::Ended)? {
            return Ok(gone());
        }
        let changes = vec![Change::DropRow(both.path.clone())];
        Ok(Ended { changes, ..Ended::default() })
    }
}

fn gone() -> Ended {
    Ended { gone: true, ..Ended::default() }
}

fn changes(path: &RelPath) -> Problem {
    Problem {
        kind: "moved",
        message: format!("{path} is changed at the target while it is read"),
        remedy: "say it again when nobody writes there".to_owned(),
    }
}

fn corrupt(path: &RelPath) -> Problem {
    Problem {
        kind: "corrupt",
        message: format!(
            "{path} does not have the checksum at the target with which it was written: its bytes \
             rotted, or were changed in place with their time kept"
        ),
        remedy:
            "look at it (whimbrel verify --read names it too): to have it go back as it is now, touch \
                 it at the target, or write it there anew; else restore it"
                .to_owned(),
    }
}

pub(super) fn waits_for_files(commit_marker: &RelPath) -> Problem {
    Problem {
        kind: WAITS,
        message: format!("{commit_marker} speaks for files that are not all back"),
        remedy: "see to what is told of these, and say it again".to_owned(),
    }
}

pub(super) fn waits_for_marker(path: &RelPath) -> Problem {
    Problem {
        kind: WAITS,
        message: format!("{path} stays as long as the commit marker that speaks for it"),
        remedy: "see to what is told of that one, and say it again".to_owned(),
    }
}

pub(super) fn kept(directory: &RelPath) -> Problem {
    Problem {
        kind: "kept",
        message: format!("{directory} is empty at the source, and cannot be removed"),
        remedy: "unmount what is mounted there, delete the snapshots of it, or leave it".to_owned(),
    }
}

pub(super) fn conflict(message: String, remedy: &str) -> Problem {
    Problem { kind: CONFLICT, message, remedy: remedy.to_owned() }
}

pub(super) fn of_source(error: StoreError) -> Left {
    left(error, Side::Source)
}

/// What concerns one path is told of it; what concerns a side ends the call.
fn left(error: StoreError, side: Side) -> Left {
    let (kind, message, remedy) = (error.kind(), error.to_string(), error.remedy().to_owned());
    let problem = |kind| Problem { kind, message: message.clone(), remedy: remedy.clone() };
    let one = |kind| Left::Problem(problem(kind));
    match kind {
        FailureKind::Conflict if matches!(error, StoreError::Unexpected { .. }) => {
            Left::Problem(conflict(message, DECIDE))
        }
        FailureKind::Conflict => Left::Blocked(conflict(message, RENAME)),
        FailureKind::Full => Left::Blocked(problem("full")),
        FailureKind::Refused => one("refused"),
        FailureKind::Forbidden => one("denied"),
        FailureKind::Corrupt => one("corrupt"),
        FailureKind::Moved => one("moved"),
        FailureKind::Unsupported => one("unsupported"),
        FailureKind::Unavailable
        | FailureKind::Throttled
        | FailureKind::Denied
        | FailureKind::Missing
        | FailureKind::Defect => Left::Ended(of_side(error, side)),
    }
}
