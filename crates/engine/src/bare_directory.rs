//! Directories that a target made on the way to a file, and that nobody asked for by their own
//! key: where directories are real they go with the last of their content (rule 5.4).

use std::collections::BTreeMap;
use std::sync::{Mutex as Lock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use whimbrel_core::number::AttemptNumber;
use whimbrel_core::path::RelPath;
use whimbrel_ledger::{Ledger, LedgerError};

use crate::world::World;

/// For so long after a removal a directory above it is looked at: rows of what went with it may
/// still be on their way out of the ledger.
const LOOKED_AT: Duration = Duration::from_secs(5);

/// Directories above what was removed, where directories are real.
#[derive(Debug, Default)]
pub(crate) struct Directories {
    /// Held while a directory is made by its own key, or a bare one goes.
    pub(crate) alone: Mutex<()>,
    above: Lock<BTreeMap<RelPath, Instant>>,
}

impl Directories {
    /// Something went below these directories' paths.
    pub(crate) fn removed(&self, items: &[(AttemptNumber, RelPath)]) {
        let now = Instant::now();
        let above = items.iter().filter_map(|(_, path)| Some((path.parent()?, now)));
        self.above.lock().unwrap_or_else(PoisonError::into_inner).extend(above);
    }

    /// Takes what is to be looked at, the deepest last.
    fn take(&self) -> BTreeMap<RelPath, Instant> {
        std::mem::take(&mut *self.above.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// True if a look could find something.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.above.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn look_again(&self, directory: RelPath, since: Instant) {
        let mut above = self.above.lock().unwrap_or_else(PoisonError::into_inner);
        above.entry(directory).or_insert(since);
    }
}

impl World {
    /// Removes directories above what was removed that hold nothing, as far as no row, no write
    /// under way and no foreign object speaks for them.
    pub(crate) async fn remove_bare(&self) {
        let Some(directories) = &self.directories else { return };
        let mut above = directories.take();
        while let Some((directory, since)) = above.pop_last() {
            let Some(parent) = directory.parent() else { continue };
            // A marker's intent is durable before it is written, and it is written under this
            // lock: either it is seen here, or it is written after the directory went.
            let _alone = directories.alone.lock().await;
            let asked = directory.clone();
            match self.desk.query(move |ledger| spoken_for(ledger, &asked)).await {
                Some(Ok(false)) => {}
                Some(Ok(true)) if since.elapsed() < LOOKED_AT => {
                    directories.look_again(directory, since);
                    continue;
                }
                Some(_) | None => continue,
            }
            let Ok(key) = self.keys.key(&directory.marker()) else { continue };
            // One that is not empty stays, and so does one that cannot be removed.
            match self.target.remove(&[key]).await {
                Ok(_) => drop(above.insert(parent, since)),
                Err(error) => tracing::debug!(%directory, %error, "a bare directory stays"),
            }
        }
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
    Ok(attempts.iter().any(|attempt| directory.contains(&attempt.path))
        || ledger.story(&directory.marker())?.found.is_some())
}
