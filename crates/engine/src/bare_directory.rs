//! Directories that a target made on the way to a file, and that nobody asked for by their own
//! key: where directories are real they go with the last of their content (rule 5.4).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex as Lock, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use whimbrel_core::effect::{Expected, Removal};
use whimbrel_core::path::RelPath;
use whimbrel_ledger::{Ledger, LedgerError};
use whimbrel_store::error::StoreError;

use crate::removable::covers_path;
use crate::world::World;

/// For so long after a removal a directory above it is looked at: rows of what went with it may
/// still be on their way out of the ledger.
const LOOKED_AT: Duration = Duration::from_secs(5);

/// Directories above what was removed, where directories are real.
#[derive(Debug, Default)]
pub(crate) struct Directories {
    /// Held while a directory is made by its own key, or a bare one goes.
    pub(crate) alone: Mutex<()>,
    /// Held by the one that looks.
    looking: Mutex<()>,
    /// Since when each is to be looked at. One leaves when its look has ended, so that a look that
    /// is broken off forgets nothing.
    above: Lock<BTreeMap<RelPath, Instant>>,
}

impl Directories {
    /// Something went below these directories' paths.
    pub(crate) fn removed(&self, items: &[Removal]) {
        let now = Instant::now();
        self.above().extend(items.iter().filter_map(|it| Some((it.path.parent()?, now))));
    }

    /// True if a look could find something and none is under way.
    pub(crate) fn is_waiting(&self) -> bool {
        self.looking.try_lock().is_ok() && !self.above().is_empty()
    }

    /// The last one before `before`, so that what lies in others comes first.
    fn deepest(&self, before: Option<&RelPath>) -> Option<(RelPath, Instant)> {
        let until = before.map_or(Bound::Unbounded, Bound::Excluded);
        let above = self.above();
        let (directory, since) = above.range((Bound::Unbounded, until)).next_back()?;
        Some((directory.clone(), *since))
    }

    /// Nothing is left to see there, unless something went since.
    fn looked_at(&self, directory: &RelPath, since: Instant) {
        let mut above = self.above();
        if above.get(directory) == Some(&since) {
            above.remove(directory);
        }
    }

    fn above(&self) -> MutexGuard<'_, BTreeMap<RelPath, Instant>> {
        self.above.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// Looks for bare directories that a killed process left behind. They go with the next look.
    pub(crate) async fn find_bare(&self) -> Result<(), StoreError> {
        let Some(directories) = &self.directories else { return Ok(()) };
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.target.list(&self.keys.listing_prefix(), after.as_deref()).await?;
            let now = Instant::now();
            let paths = page.objects.iter().filter_map(|object| self.keys.path(&object.key));
            let ours = paths.filter(|path| path.is_marker() && covers_path(&self.scope, path));
            let bare = ours.filter_map(|marker| marker.parent());
            directories.above().extend(bare.map(|directory| (directory, now)));
            after = page.objects.into_iter().last().map(|object| object.key);
            if !page.more || after.is_none() {
                return Ok(());
            }
        }
    }

    /// Removes directories above what was removed that hold nothing, as far as no row, no write
    /// under way and no foreign object speaks for them.
    pub(crate) async fn remove_bare(&self) {
        let Some(directories) = &self.directories else { return };
        let _looking = directories.looking.lock().await;
        let mut before = None;
        while let Some((directory, since)) = directories.deepest(before.as_ref()) {
            before = Some(directory.clone());
            if !directory.is_root() && !self.remove_if_bare(directories, &directory, since).await {
                continue;
            }
            directories.looked_at(&directory, since);
        }
    }

    /// False if it has to be looked at again.
    async fn remove_if_bare(
        &self,
        directories: &Directories,
        directory: &RelPath,
        since: Instant,
    ) -> bool {
        // A marker's intent is durable before it is written, and it is written under this
        // lock: either it is seen here, or it is written after the directory went.
        let _alone = directories.alone.lock().await;
        let asked = directory.clone();
        match self.desk.query(move |ledger| spoken_for(ledger, &asked)).await {
            Some(Ok(false)) => {}
            Some(Ok(true)) => return since.elapsed() >= LOOKED_AT,
            Some(Err(_)) | None => return true,
        }
        let Ok(key) = self.keys.key(&directory.marker()) else { return true };
        // One that is not empty stays, and so does one that cannot be removed.
        match self.target.remove(&[(key, Expected::Anything)]).await {
            Ok(_) => {
                let parent = directory.parent().filter(|parent| !parent.is_root());
                directories.above().extend(parent.map(|parent| (parent, since)));
            }
            Err(error) => tracing::debug!(%directory, %error, "a bare directory stays"),
        }
        true
    }
}

/// True if something stands or is being written at or under the directory.
fn spoken_for(ledger: &Ledger, directory: &RelPath) -> Result<bool, LedgerError> {
    for commit_markers in [false, true] {
        if !ledger.rows(directory, None, commit_markers, true, 1)?.is_empty() {
            return Ok(true);
        }
    }
    let attempts = ledger.attempts()?;
    // Of a source of keys a marker is a row of its own, and lies under nothing.
    let marker = ledger.story(&directory.marker())?;
    Ok(attempts.iter().any(|attempt| directory.contains(&attempt.path))
        || marker.row.is_some()
        || marker.found.is_some())
}
