//! Goes through the target's listing beside the ledger, as runs that begin anew do (`recount.rs`),
//! and hands on what does not agree.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use whimbrel_core::commit_marker::{in_turns, is_commit_marker};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Change, Row};
use whimbrel_ledger::{KeyRange, Seen};
use whimbrel_store::target::Object;

use super::act::{kept, waits_for_files, waits_for_marker};
use super::look::Cleaned;
use super::{Deed, Job, Tell, Told};
use crate::error::EngineError;
use crate::removable::covers_object;

/// Paths that are worked on between two looks at the ledger.
const PATHS_AT_ONCE: usize = 500;
/// Paths of which the state becomes durable at once.
const DURABLE_AT_ONCE: usize = 32;
/// Foreign objects that are read at once.
const FOUND_MAX: usize = 500;

/// What is done about what does not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// What stands at the target goes back; what does not is counted.
    Carry,
    /// What does not stand at the target goes at the source.
    Remove,
    /// What was in the way may have gone: the rest of the first pass.
    Blocked,
}

impl Job {
    /// Goes through everything that the target has, and through all rows.
    pub(super) async fn pass(&mut self, pass: Pass, tell: Tell<'_>) -> Result<(), EngineError> {
        for root in self.sides.keys.roots() {
            let prefix = self.sides.keys.prefix_of_root(&root);
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = self.sides.list(&prefix, after.as_deref()).await?;
                let last = page.objects.last().filter(|_| page.more).map(|last| last.key.clone());
                self.page(pass, &root, (after.as_deref(), last.as_deref()), &page.objects, tell)
                    .await?;
                match last {
                    Some(last) => after = Some(last),
                    None => break,
                }
            }
        }
        Ok(())
    }

    async fn page(
        &mut self,
        pass: Pass,
        root: &RelPath,
        keys: (Option<&[u8]>, Option<&[u8]>),
        objects: &[Object],
        tell: Tell<'_>,
    ) -> Result<(), EngineError> {
        self.any_file = self.any_file || self.any_known(objects)?;
        let mut behind: Option<RelPath> = None;
        loop {
            let (stands, mut missing, more) =
                self.differing(root, keys, behind.as_ref(), objects)?;
            let first = behind.is_none();
            behind = missing.last().cloned();
            if pass == Pass::Remove {
                missing.retain(|path| !self.commit_markers_going.contains(path));
                self.removing += missing.len() as u64;
                // More is gone by now than was judged.
                if self.guards() && self.removing > self.going {
                    self.so_far.sums.guarded = self.removing;
                    return Ok(());
                }
                self.remove(missing, tell).await?;
            } else {
                if first {
                    self.carry(stands, tell).await?;
                }
                self.going += missing.len() as u64;
                let missing = missing.into_iter().filter(is_commit_marker);
                self.commit_markers_going.extend(missing);
            }
            if !more {
                return Ok(());
            }
        }
    }

    async fn carry(&mut self, paths: Vec<RelPath>, tell: Tell<'_>) -> Result<(), EngineError> {
        let (markers, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(is_commit_marker);
        self.commit_markers.extend(markers);
        self.paths(Pass::Carry, files, tell).await
    }

    /// What says that others are complete goes before these (rule 7.1), and comes after them.
    pub(super) async fn carry_commit_markers(&mut self, tell: Tell<'_>) -> Result<(), EngineError> {
        for turn in in_turns(std::mem::take(&mut self.commit_markers)) {
            let (early, due): (Vec<_>, Vec<_>) =
                turn.into_iter().partition(|marker| self.so_far.is_early(marker));
            for marker in early {
                let problem = waits_for_files(&marker);
                self.so_far.left(marker, problem, tell);
            }
            self.paths(Pass::Blocked, due, tell).await?;
        }
        Ok(())
    }

    /// Removes what is gone at the target.
    pub(super) async fn removals(&mut self, tell: Tell<'_>) -> Result<(), EngineError> {
        let markers: Vec<RelPath> = self.commit_markers_going.iter().cloned().collect();
        self.removing += markers.len() as u64;
        self.remove(markers, tell).await?;
        self.pass(Pass::Remove, tell).await
    }

    async fn remove(&mut self, mut paths: Vec<RelPath>, tell: Tell<'_>) -> Result<(), EngineError> {
        paths.retain(|path| !self.is_without_room(path));
        let (markers, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(is_commit_marker);
        for turn in in_turns(markers).into_iter().rev().chain([files]) {
            let (kept, due): (Vec<_>, Vec<_>) =
                turn.into_iter().partition(|path| self.so_far.is_spoken_for(path));
            for path in kept {
                let problem = waits_for_marker(&path);
                self.so_far.left(path, problem, tell);
            }
            self.paths(Pass::Remove, due, tell).await?;
        }
        Ok(())
    }

    /// Something stands where the migration left a file: what else stands there says nothing of it.
    fn any_known(&self, objects: &[Object]) -> Result<bool, EngineError> {
        for object in objects {
            let Some(path) = self.sides.keys.path(&object.key) else { continue };
            if !path.is_marker() && self.ledger.row(&path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What stands otherwise than the rows of the range say, what does not stand any more behind a
    /// path, and whether there is more of the latter.
    fn differing(
        &self,
        root: &RelPath,
        (after, last): (Option<&[u8]>, Option<&[u8]>),
        behind: Option<&RelPath>,
        objects: &[Object],
    ) -> Result<(Vec<RelPath>, Vec<RelPath>, bool), EngineError> {
        let (keys, scope) = (&self.sides.keys, &self.sides.scope);
        let markers = self.sides.target.abilities().markers;
        let belongs = |path: &RelPath| keys.root_of(path) == *root && covers_object(scope, path);
        let seen = objects.iter().filter_map(|object| {
            let path = keys.path(&object.key)?;
            Some(Seen { path, length: object.length, etag: object.etag.clone() })
        });
        let mut seen: Vec<Seen> = seen.filter(|it| belongs(&it.path)).collect();
        seen.sort_by(|one, other| one.path.cmp(&other.path));
        let place = |key: &[u8]| keys.place_in_root(root, key);
        let (after, last) = (after.map(place), last.map(place));
        let range = KeyRange { after: after.as_deref(), last: last.as_deref(), behind };
        let differs = self.ledger.recount(&seen, &range, markers, self.missing_max, &belongs)?;
        let listed = |path: &RelPath| seen.binary_search_by(|it| it.path.cmp(path)).is_ok();
        let (mut stands, missing): (Vec<_>, Vec<_>) =
            differs.doubtful.into_iter().partition(listed);
        stands.extend(differs.unknown_markers);
        if !markers {
            // Empty directories of this machine: the ledger has no record of those that are new.
            for marker in seen.iter().filter(|it| it.path.is_marker()) {
                if self.ledger.row(&marker.path)?.is_none() {
                    stands.push(marker.path.clone());
                }
            }
        }
        Ok((stands, missing, differs.more))
    }

    /// Objects that came since the first look at the target, and that a later run noted: they
    /// agree with what was noted, and are no less new.
    pub(super) async fn late(&mut self, tell: Tell<'_>) -> Result<(), EngineError> {
        let mut after = None;
        loop {
            let page = self.ledger.found_below(&RelPath::root(), after.as_ref(), FOUND_MAX)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.path.clone());
            let late = page.into_iter().filter(|found| found.late).map(|found| found.path);
            let late = late.filter(|path| covers_object(&self.sides.scope, path)).collect();
            self.carry(late, tell).await?;
        }
    }

    /// Works on some paths, and remembers what became of them.
    pub(super) async fn paths(
        &mut self,
        pass: Pass,
        paths: Vec<RelPath>,
        tell: Tell<'_>,
    ) -> Result<(), EngineError> {
        for paths in paths.chunks(PATHS_AT_ONCE) {
            if pass != Pass::Remove {
                self.begin(paths)?;
            }
            let mut rows = Vec::with_capacity(paths.len());
            for path in paths {
                if pass != Pass::Remove || !self.holds_rows(path)? {
                    rows.push((path.clone(), self.ledger.row(path)?));
                }
            }
            let gone = self.chunk(pass, rows, tell).await?;
            if self.sides.dry_run {
                self.sides.would_go.extend(gone.iter().cloned());
            }
            self.clean(&gone, tell).await?;
            if self.sides.dry_run {
                continue;
            }
            // Not before: else a kill would leave directories that nothing leads to any more.
            let dropped: Vec<Change> = gone.into_iter().map(Change::DropRow).collect();
            if !dropped.is_empty() {
                self.ledger.apply(&[&dropped])?;
            }
        }
        Ok(())
    }

    /// The marker of a directory that something of ours lies in: it goes, or stays, with that.
    fn holds_rows(&self, path: &RelPath) -> Result<bool, EngineError> {
        match path.parent().filter(|_| path.is_marker()) {
            Some(directory) => self.holds_more_than(&directory, &BTreeSet::new()),
            None => Ok(false),
        }
    }

    /// Answers what is gone on both sides: its rows are still there.
    async fn chunk(
        &mut self,
        pass: Pass,
        rows: Vec<(RelPath, Option<Row>)>,
        tell: Tell<'_>,
    ) -> Result<BTreeSet<RelPath>, EngineError> {
        let Self { sides, ledger, so_far, transfers, .. } = &mut *self;
        // Collected: a closure over what is borrowed is not general enough in the stream.
        let work: Vec<_> = rows.into_iter().map(|(path, row)| sides.act(pass, path, row)).collect();
        let ended = stream::iter(work).buffer_unordered(*transfers);
        let mut ended = ended.ready_chunks(DURABLE_AT_ONCE);
        let mut gone = BTreeSet::new();
        while let Some(some) = ended.next().await {
            let mut changes: Vec<Change> = Vec::new();
            let mut failed = None;
            for outcome in some {
                match outcome {
                    Ok(one) => so_far.count(pass, one, &mut gone, &mut changes, tell),
                    Err(error) => failed = Some(error),
                }
            }
            if !changes.is_empty() && !sides.dry_run {
                ledger.apply(&[&changes])?;
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(gone)
    }

    /// Removes directories in which nothing is left, deepest first, as far as the target does not
    /// have them any more either. What the source alone has keeps its directory, and those above.
    async fn clean(&mut self, gone: &BTreeSet<RelPath>, tell: Tell<'_>) -> Result<(), EngineError> {
        let mut emptied: BTreeSet<RelPath> = gone.iter().filter_map(above).collect();
        while let Some(directory) = take_deepest(&mut emptied) {
            if self.holds_more_than(&directory, gone)?
                || self.sides.target_has_below(&directory).await?
            {
                continue;
            }
            let cleaned = self.sides.clean(&directory).await?;
            self.forget(&directory, cleaned)?;
            emptied.extend(above(&directory));
            match cleaned {
                Cleaned::Removed => {
                    self.so_far.sums.directories_removed += 1;
                    tell(Told::Done { path: directory, deed: Deed::DirectoryRemoved });
                }
                Cleaned::Kept => self.so_far.left(directory.clone(), kept(&directory), tell),
                Cleaned::Absent | Cleaned::Holds => {}
            }
        }
        Ok(())
    }

    /// Nothing of it is at the target: what the ledger says of it goes, but for what lies in one
    /// that stays.
    fn forget(&mut self, directory: &RelPath, cleaned: Cleaned) -> Result<(), EngineError> {
        if self.sides.dry_run {
            self.sides.would_go.insert(directory.marker());
            if cleaned == Cleaned::Removed {
                self.sides.would_be_cleaned.insert(directory.clone());
            }
            return Ok(());
        }
        let mut changes = vec![Change::DropRow(directory.marker())];
        if cleaned != Cleaned::Holds {
            changes.push(Change::DropDirectory { path: directory.clone(), below: true });
        }
        self.ledger.apply(&[&changes])?;
        Ok(())
    }

    /// The ledger has more below a directory than what is gone, or would be in a dry run, its own
    /// marker aside.
    pub(super) fn holds_more_than(
        &self,
        directory: &RelPath,
        gone: &BTreeSet<RelPath>,
    ) -> Result<bool, EngineError> {
        let (marker, would_go) = (directory.marker(), &self.sides.would_go);
        let known = |path: &RelPath| gone.contains(path) || would_go.contains(path);
        for commit_markers in [false, true] {
            let limit = gone.len() + would_go.len() + 2;
            let rows = self.ledger.rows(directory, None, commit_markers, true, limit)?;
            if rows.iter().any(|row| row.path != marker && !known(&row.path)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn above(path: &RelPath) -> Option<RelPath> {
    path.parent().filter(|directory| !directory.is_root())
}

fn take_deepest(directories: &mut BTreeSet<RelPath>) -> Option<RelPath> {
    let depth = |path: &RelPath| path.as_bytes().iter().filter(|byte| **byte == b'/').count();
    let deepest = directories.iter().max_by_key(|path| depth(path)).cloned()?;
    directories.take(&deepest)
}
