//! What a run would do about one path, by the run's own rules, as far as names, lengths and the
//! state tell.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use whimbrel_core::adoption::Adoption;
use whimbrel_core::commit_marker::is_commit_marker;
use whimbrel_core::config::{Config, Existing, Extras};
use whimbrel_core::entry::{FileNode, Node};
use whimbrel_core::failure::Side;
use whimbrel_core::identity::Sameness;
use whimbrel_core::metadata::{Metadata, MetadataLevel};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{Found, Row};
use whimbrel_store::key::KeyMap;
use whimbrel_store::source::Source;
use whimbrel_store::target::{Object, Target};
use whimbrel_verify::{Difference, DifferenceKind, Equal, ask};

use super::above::{Above, Absence, failed};
use super::memory::{Memory, Recalled};
use crate::commands::verify::Told;
use crate::exit::CommandError;

/// Paths that are looked at at the same time.
const LOOKS: usize = 32;

/// What the comparison says of a path.
pub enum Met {
    /// It has the same length on both sides, or is a marker on both.
    Equal(Box<Equal>),
    /// It differs.
    Difference(Difference),
}

/// What a run does about a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Nothing,
    Copy(Copy),
    /// Looks at the bytes of both sides.
    Compare,
    /// Writes what travels with it.
    Metadata,
    MakeDirectory,
    Fails,
    /// Fails with every directory up to this one, in whose place a file of others stands.
    FailsBelow(RelPath),
    /// Fails, and what stands in its place goes: the source has nothing that could.
    Displaces,
    Open,
    /// A foreign object is left, for a person to decide.
    Held,
    /// Ends, for another migration wrote this.
    Refuses(RelPath),
    /// Leaves what others wrote.
    Leaves(Left),
    Removes(Removal),
    /// Removes it with this entry once its time is over; others wrote it.
    Waits(RelPath, bool),
}

/// What others wrote and is left, where directories are real.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// It is in nobody's way.
    Aside,
    /// It stands in a directory that is gone at the source with this entry.
    GoneWith(RelPath),
    /// It keeps a directory of the source from this place.
    BlocksDirectory(RelPath),
    /// It keeps a file of the source, of so many bytes, from this place.
    BlocksFile(RelPath, u64),
}

/// What a run does about this path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub path: RelPath,
    pub verdict: Verdict,
    /// The migration knows an object of its own there.
    pub is_ours: bool,
    /// It knows one of others there.
    pub is_found: bool,
}

/// A file that is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    pub bytes: u64,
    /// An object of another length stands there.
    pub replaces: bool,
    /// Of the file at the source, where that matters.
    pub file_key: Option<u64>,
}

/// An object that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    pub directory: bool,
    /// The entry with which the guard judges it; `None`: it does not.
    pub judged_with: Option<RelPath>,
    /// Others wrote it.
    pub theirs: bool,
    /// It makes room for a file of so many bytes, which comes at that entry.
    pub makes_room: Option<u64>,
    /// Of the file that it was a copy of.
    pub file_key: Option<u64>,
}

/// Who an object is of.
enum Writer {
    Ours(Box<Row>),
    /// Ours, or an imitation: the run looks.
    PerhapsOurs,
    Foreign(Box<Found>),
}

/// Both sides, and what is remembered of them.
pub struct Judge {
    pub source: Arc<dyn Source>,
    pub target: Arc<dyn Target>,
    pub keys: KeyMap,
    pub config: Config,
    pub memory: Memory,
    pub above: Above,
}

impl Met {
    pub fn of(told: Told<'_>) -> Self {
        match told {
            Told::Equal(equal) => Self::Equal(Box::new(equal.clone())),
            Told::Difference(difference) => Self::Difference(difference.clone()),
        }
    }

    fn path(&self) -> &RelPath {
        match self {
            Self::Equal(equal) => &equal.path,
            Self::Difference(difference) => &difference.path,
        }
    }
}

impl Judge {
    /// What would become of each of these, in their order.
    ///
    /// # Errors
    /// A side, or the state, cannot be asked.
    pub async fn judge(&self, page: Vec<Met>) -> Result<Vec<Judged>, CommandError> {
        let paths: Vec<RelPath> = page.iter().map(|met| met.path().clone()).collect();
        // Work on a marker is pending at its directory.
        let entries = paths.iter().map(|path| self.entry_of(path));
        let asked: Vec<RelPath> = paths.iter().cloned().chain(entries).collect();
        let mut objects = self.memory.recall(&asked).await?;
        let entries = objects.split_off(paths.len());
        stream::iter(page.into_iter().zip(objects.into_iter().zip(entries)))
            .map(|(met, (object, entry))| self.judged(met, object, entry))
            .buffered(LOOKS)
            .try_collect()
            .await
    }

    async fn judged(
        &self,
        met: Met,
        known: Recalled,
        entry: Recalled,
    ) -> Result<Judged, CommandError> {
        let path = met.path().clone();
        let (is_ours, is_found) = (known.row.is_some(), known.found.is_some());
        let verdict = self.look(met, known, entry).await?;
        Ok(Judged { path, verdict, is_ours, is_found })
    }

    /// Directories are objects of their own on the target.
    pub fn has_real_directories(&self) -> bool {
        self.is_tree() && !self.target.abilities().markers
    }

    fn is_tree(&self) -> bool {
        self.source.namespace() == Namespace::Tree
    }

    fn entry_of(&self, path: &RelPath) -> RelPath {
        let of_directory = path.is_marker() && self.is_tree();
        path.parent().filter(|_| of_directory).unwrap_or_else(|| path.clone())
    }

    async fn look(
        &self,
        met: Met,
        known: Recalled,
        entry: Recalled,
    ) -> Result<Verdict, CommandError> {
        let Difference { path, kind, length, .. } = match met {
            Met::Equal(equal) => return Ok(self.equal(*equal, &known)),
            Met::Difference(difference) => difference,
        };
        match kind {
            DifferenceKind::Missing => self.missing(&path, length).await,
            DifferenceKind::Different => match self.standing(&path).await? {
                Some(object) => Ok(self.different(&path, length, &object, &known)),
                None => self.missing(&path, length).await,
            },
            DifferenceKind::Extra | DifferenceKind::Delayed => {
                self.extra(&path, &known, &entry).await
            }
            DifferenceKind::MetadataDifferent => Ok(Verdict::Metadata),
            DifferenceKind::Unverifiable | DifferenceKind::Moving => {
                self.unread(&path, &known).await
            }
        }
    }

    async fn standing(&self, path: &RelPath) -> Result<Option<Object>, CommandError> {
        let Ok(key) = self.keys.key(path) else { return Ok(None) };
        let found = ask(|| self.target.inspect(&key)).await;
        found.map_err(|error| failed(error, Side::Target))
    }

    async fn node(&self, path: &RelPath) -> Result<Option<Node>, CommandError> {
        let found = ask(|| self.source.stat(path)).await;
        found.map_err(|error| failed(error, Side::Source))
    }

    /// What could not be compared: open, or nothing that can be migrated.
    async fn unread(&self, path: &RelPath, known: &Recalled) -> Result<Verdict, CommandError> {
        let special = match ask(|| self.source.stat(path)).await {
            Ok(Some(Node::File(file))) if file.open => return Ok(Verdict::Open),
            Ok(Some(Node::Special(_))) => true,
            Ok(_) | Err(_) => false,
        };
        if !special || known.row.is_none() {
            return Ok(Verdict::Fails);
        }
        Ok(match self.standing(path).await? {
            Some(object) if matches!(self.writer(&object, known, path), Writer::Ours(_)) => {
                Verdict::Displaces
            }
            Some(_) | None => Verdict::Fails,
        })
    }

    async fn missing(&self, path: &RelPath, bytes: u64) -> Result<Verdict, CommandError> {
        let key = self.keys.key(path);
        if key.and_then(|key| self.target.admit(&key)).is_err() {
            return Ok(Verdict::Fails);
        }
        if let Some(above) = self.above.file_above(path).await?
            && !self.goes_before(&above).await?
        {
            return Ok(Verdict::FailsBelow(above));
        }
        if path.is_marker() && self.is_tree() {
            return Ok(Verdict::MakeDirectory);
        }
        // Only what is known to stand somewhere may have come from there.
        let file_key = match self.memory.stand.rows {
            0 => None,
            _ => match self.node(path).await? {
                Some(Node::File(file)) => file.identity.file_key(),
                Some(Node::Directory(_) | Node::Special(_)) | None => None,
            },
        };
        Ok(Verdict::Copy(Copy { bytes, replaces: false, file_key }))
    }

    /// A file of the target where a directory belongs is removed first.
    async fn goes_before(&self, path: &RelPath) -> Result<bool, CommandError> {
        let known = self.memory.recall(std::slice::from_ref(path)).await?.pop();
        let Some(object) = self.standing(path).await? else { return Ok(true) };
        Ok(match self.writer(&object, &known.unwrap_or_default(), path) {
            Writer::Ours(_) | Writer::PerhapsOurs => true,
            Writer::Foreign(_) => self.config.extras == Extras::Remove,
        })
    }

    fn equal(&self, equal: Equal, known: &Recalled) -> Verdict {
        let Equal { path, file, object, .. } = equal;
        let Some(file) = file else {
            let refused = self.refuses(object.migration.as_deref());
            return if refused { Verdict::Refuses(path) } else { Verdict::Nothing };
        };
        match self.writer(&object, known, &path) {
            Writer::Ours(row) => self.renewed(&row, &file),
            Writer::PerhapsOurs => Verdict::Compare,
            Writer::Foreign(found) => self.taken_over(&found, Some(&file), file.identity.length()),
        }
    }

    fn different(&self, path: &RelPath, bytes: u64, object: &Object, known: &Recalled) -> Verdict {
        match self.writer(object, known, path) {
            Writer::Ours(_) => copied_over(bytes),
            Writer::PerhapsOurs => Verdict::Compare,
            Writer::Foreign(found) => self.taken_over(&found, None, bytes),
        }
    }

    /// An object whose copy stands: the file may have changed since.
    fn renewed(&self, row: &Row, file: &FileNode) -> Verdict {
        let believed = self.memory.stand.epoch.is_none_or(|epoch| epoch == row.epoch);
        match row.sameness(&file.identity, believed) {
            Sameness::Same | Sameness::SameBytes => self.stamped(&row.metadata, file),
            Sameness::Unproven if row.crc32c.is_some() => Verdict::Compare,
            Sameness::Unproven | Sameness::Different => {
                let bytes = file.identity.length();
                Verdict::Copy(Copy { bytes, replaces: false, file_key: None })
            }
        }
    }

    fn stamped(&self, carried: &Metadata, file: &FileNode) -> Verdict {
        match self.config.metadata {
            MetadataLevel::None => Verdict::Nothing,
            MetadataLevel::Basic | MetadataLevel::Full if *carried == file.metadata => {
                Verdict::Nothing
            }
            MetadataLevel::Basic | MetadataLevel::Full => Verdict::Metadata,
        }
    }

    /// An object of others where the source has a file.
    fn taken_over(&self, found: &Found, file: Option<&FileNode>, length: u64) -> Verdict {
        if self.refuses(found.migration.as_deref()) {
            return Verdict::Refuses(found.path.clone());
        }
        match self.config.adoption(found, length) {
            Adoption::Ask => Verdict::Compare,
            Adoption::Hold => Verdict::Held,
            Adoption::Replace => copied_over(length),
            Adoption::Take => {
                let carried = found.metadata.clone().unwrap_or_default();
                file.map_or(Verdict::Nothing, |file| self.stamped(&carried, file))
            }
        }
    }

    /// The first look at a target ends where another migration wrote; later ones where it is asked
    /// to remove what others wrote.
    fn refuses(&self, writer: Option<&str>) -> bool {
        let looks = !self.memory.stand.inventoried || self.config.extras == Extras::Remove;
        looks && self.memory.migration.is_some() && self.config.is_of_another_migration(writer)
    }

    fn writer(&self, object: &Object, known: &Recalled, path: &RelPath) -> Writer {
        if let Some(row) = &known.row
            && (row.etag == object.etag || row.etag.is_none() || path.is_marker())
        {
            return Writer::Ours(Box::new(row.clone()));
        }
        let says_ours = match &self.memory.migration {
            Some(migration) => object.migration.as_ref() == Some(migration),
            None => object.migration.is_some(),
        };
        let wrote = known
            .row
            .as_ref()
            .filter(|row| row.attempt.is_some_and(|attempt| Some(attempt.0) == object.attempt));
        let imitates = wrote.is_some_and(|row| !row.may_be_the_same_write(&object.clone().into()));
        if says_ours && !imitates {
            return Writer::PerhapsOurs;
        }
        let late = self.memory.stand.inventoried;
        // Without a checksum the first look at the target reads what is as long as its file.
        let reads = !late && self.config.existing == Existing::Check;
        let found = Found {
            path: path.clone(),
            length: object.length,
            etag: object.etag.clone(),
            version: object.version.clone(),
            crc32c: object.crc32c.or(reads.then_some(0)),
            metadata: object.metadata.clone(),
            migration: object.migration.clone(),
            late,
        };
        let known = known.found.clone().filter(|known| known.etag == object.etag);
        Writer::Foreign(Box::new(known.unwrap_or(found)))
    }

    /// What only the target has.
    async fn extra(
        &self,
        path: &RelPath,
        known: &Recalled,
        entry: &Recalled,
    ) -> Result<Verdict, CommandError> {
        let Some(object) = self.standing(path).await? else { return Ok(Verdict::Nothing) };
        let (row, theirs) = match self.writer(&object, known, path) {
            Writer::Ours(row) => (Some(*row), false),
            Writer::PerhapsOurs => (None, false),
            Writer::Foreign(_) if self.refuses(object.migration.as_deref()) => {
                return Ok(Verdict::Refuses(path.clone()));
            }
            Writer::Foreign(_) if self.config.extras == Extras::Keep => {
                return self.left(path).await;
            }
            Writer::Foreign(_) => (None, true),
        };
        let directory = path.is_marker();
        let file_key = row.and_then(|row| row.identity.file_key());
        let removal = Removal { directory, judged_with: None, theirs, makes_room: None, file_key };
        let removed = |judged_with| Verdict::Removes(Removal { judged_with, ..removal.clone() });
        let place = self.entry_of(path);
        if !self.is_tree() {
            return Ok(match self.stays(entry) {
                true => Verdict::Waits(place, theirs),
                false => removed(Some(place)),
            });
        }
        if self.node(&place).await?.is_some() {
            // What has its place goes first, unjudged (rule 5.5).
            return Ok(removed(None));
        }
        let top = match self.above.absence(&place).await? {
            Absence::Displaced(above, makes_room) => {
                let judged_with = Some(above);
                return Ok(Verdict::Removes(Removal { judged_with, makes_room, ..removal }));
            }
            Absence::Gone(top) => top,
        };
        let alone = is_commit_marker(path) && top == *path;
        // What a later run finds of others' directories it takes for its own, and lets go.
        let taken = theirs && directory && self.memory.stand.inventoried;
        if alone || taken || !self.stays(entry) {
            return Ok(removed(Some(top)));
        }
        Ok(Verdict::Waits(entry.delayed_with().unwrap_or(top), theirs))
    }

    /// What is gone at the source stays for its time, which is not over.
    pub fn stays(&self, entry: &Recalled) -> bool {
        self.config.removals_after_millis > 0 && !entry.is_due()
    }

    /// Where directories are real, what others wrote can keep the source's from its place.
    async fn left(&self, path: &RelPath) -> Result<Verdict, CommandError> {
        if !self.has_real_directories() {
            return Ok(Verdict::Leaves(Left::Aside));
        }
        let place = self.entry_of(path);
        if let Some(Node::Directory(_)) = self.node(&place).await? {
            return Ok(Verdict::Leaves(Left::BlocksDirectory(place)));
        }
        Ok(Verdict::Leaves(match self.above.absence(&place).await? {
            Absence::Displaced(above, Some(length)) => Left::BlocksFile(above, length),
            Absence::Displaced(_, None) => Left::Aside,
            Absence::Gone(top) => Left::GoneWith(top),
        }))
    }
}

fn copied_over(bytes: u64) -> Verdict {
    Verdict::Copy(Copy { bytes, replaces: true, file_key: None })
}
