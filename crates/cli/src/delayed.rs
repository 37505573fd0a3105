//! What a migration has stay on its target for a time, though it is gone at the source (rule 5.7).

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::OnceCell;
use whimbrel_core::path::RelPath;
use whimbrel_engine::read_at_rest;
use whimbrel_verify::Keeper;

use crate::commands::verify::PATIENCE;
use crate::running::Running;
use crate::state::StatePlace;

/// Asks the migration while it runs, and what its state said else.
#[derive(Debug)]
pub struct Delayed {
    folder: PathBuf,
    running: Option<Arc<Running>>,
    /// Paths, each with all that is below it or without.
    at_rest: OnceCell<BTreeMap<RelPath, bool>>,
}

impl Delayed {
    /// Of a migration that runs.
    pub fn of(place: &StatePlace, running: Arc<Running>) -> Self {
        let folder = place.folder.clone();
        Self { folder, running: Some(running), at_rest: OnceCell::new() }
    }

    /// Of one that does not, by what its state keeps.
    pub fn at_rest(place: &StatePlace, delayed: BTreeMap<RelPath, bool>) -> Self {
        let at_rest = OnceCell::new_with(Some(delayed));
        Self { folder: place.folder.clone(), running: None, at_rest }
    }

    async fn delays(&self, path: &RelPath) -> bool {
        // Work on a marker is pending at its directory.
        let place = path.parent().filter(|_| path.is_marker()).unwrap_or_else(|| path.clone());
        if let Some(running) = &self.running
            && let Some(delays) = running.delays(&place).await
        {
            return delays;
        }
        let at_rest = self.at_rest.get_or_init(|| async {
            // It ended meanwhile. What cannot be read keeps nothing: that is told as what only the
            // target has.
            let read = read_at_rest(&self.folder, PATIENCE).await;
            read.ok().flatten().map(|read| read.delayed).unwrap_or_default()
        });
        is_among(at_rest.await, &place)
    }
}

impl Keeper for Delayed {
    fn keeps<'a>(&'a self, path: &'a RelPath) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(self.delays(path))
    }
}

fn is_among(delayed: &BTreeMap<RelPath, bool>, path: &RelPath) -> bool {
    let below = |above: RelPath| delayed.get(&above) == Some(&true);
    delayed.contains_key(path) || path.ancestors().any(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_a_tree_that_stays_stays_with_it() {
        let delayed = BTreeMap::from([("a/f".into(), false), ("d".into(), true)]);
        for (path, stays) in
            [("a/f", true), ("d", true), ("d/e/f", true), ("a/f/g", false), ("a", false)]
        {
            assert_eq!(is_among(&delayed, &path.into()), stays, "{path}");
        }
    }
}
