//! Directories that a target made on the way to a file, and that nobody asked for by their own
//! key: where directories are real they go with the last of their content (rule 5.4).

use std::collections::BTreeSet;

use whimbrel_core::number::AttemptNumber;
use whimbrel_core::path::RelPath;
use whimbrel_ledger::{Ledger, LedgerError};

use crate::world::World;

impl World {
    /// After these paths were removed: removes the directories above them that hold nothing, as
    /// far as no row, no write under way and no foreign object speaks for them.
    pub(crate) async fn remove_bare(&self, removed: &[(AttemptNumber, RelPath)]) {
        let Some(directories) = &self.directories else { return };
        let gone: BTreeSet<RelPath> = removed.iter().map(|(_, path)| path.clone()).collect();
        let mut above: BTreeSet<RelPath> = gone.iter().filter_map(RelPath::parent).collect();
        while let Some(directory) = above.pop_last() {
            let Some(parent) = directory.parent() else { continue };
            // A marker's intent is durable before it is written, and it is written under this
            // lock: either it is seen here, or it is written after the directory went.
            let _alone = directories.lock().await;
            let (asked, but) = (directory.clone(), gone.clone());
            let spoken_for = self.desk.query(move |ledger| spoken_for(ledger, &asked, &but)).await;
            if !matches!(spoken_for, Some(Ok(false))) {
                continue;
            }
            let Ok(key) = self.keys.key(&directory.marker()) else { continue };
            // One that is not empty stays, and so does one that cannot be removed.
            match self.target.remove(&[key]).await {
                Ok(_) => drop(above.insert(parent)),
                Err(error) => tracing::debug!(%directory, %error, "a bare directory stays"),
            }
        }
    }
}

/// True if something else than what is gone stands or is being written at or under the directory.
fn spoken_for(
    ledger: &Ledger,
    directory: &RelPath,
    gone: &BTreeSet<RelPath>,
) -> Result<bool, LedgerError> {
    for commit_markers in [false, true] {
        let rows = ledger.rows(directory, None, commit_markers, true, gone.len() + 1)?;
        if rows.iter().any(|row| !gone.contains(&row.path)) {
            return Ok(true);
        }
    }
    let attempts = ledger.attempts()?;
    let writes = |path: &RelPath| directory.contains(path) && !gone.contains(path);
    Ok(attempts.iter().any(|attempt| writes(&attempt.path))
        || ledger.story(&directory.marker())?.found.is_some())
}
