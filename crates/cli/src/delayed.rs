//! What a migration has stay on its target for a time, though it is gone at the source (rule 5.7).

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::RwLock;
use whimbrel_core::path::RelPath;
use whimbrel_engine::{Kept, Stamp, State, read_at_rest};
use whimbrel_verify::Keeper;

use crate::commands::verify::PATIENCE;
use crate::exit::CommandError;
use crate::request::Pair;
use crate::running::Running;
use crate::state::StatePlace;

/// How often a run that does not answer is asked again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Asks the migration while it runs, and what its state says else. Runs may begin and end meanwhile.
#[derive(Debug)]
pub struct Delayed {
    place: StatePlace,
    /// What its state begins with.
    fixed: Vec<(String, String)>,
    at_rest: RwLock<AtRest>,
    failure: Mutex<Option<CommandError>>,
}

/// What the state said, and what its files were like then; `None` of one that ran.
#[derive(Debug, Default)]
struct AtRest {
    kept: Kept,
    stamp: Option<Stamp>,
}

impl Delayed {
    /// Of the migration of this place; `kept` is what its state says if it does not run.
    pub fn of(place: &StatePlace, pair: &Pair, kept: Option<Kept>) -> Self {
        let stamp = kept.is_some().then(|| State::stamp(&place.folder));
        let at_rest = AtRest { kept: kept.unwrap_or_default(), stamp };
        let (place, fixed, at_rest) = (place.clone(), pair.settings(), RwLock::new(at_rest));
        Self { place, fixed, at_rest, failure: Mutex::default() }
    }

    /// Why it could not be told what is kept: what was called extra may be.
    pub fn failure(&self) -> Option<CommandError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn delays(&self, path: &RelPath) -> bool {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.told(path).await {
                Ok(Some(keeps)) => return keeps,
                Ok(None) if Instant::now() < until => tokio::time::sleep(LOOK_EVERY).await,
                Ok(None) => return self.failed(no_answer(&self.place)),
                Err(error) => return self.failed(error),
            }
        }
    }

    /// `None`: a run is there that does not answer yet, or any more.
    async fn told(&self, path: &RelPath) -> Result<Option<bool>, CommandError> {
        let answer = self.at_rest.read().await.answer(path, &self.place.folder);
        if answer.is_some() {
            return Ok(answer);
        }
        if let Some(delays) = Running::of(self.place.clone()).delays(path).await {
            return Ok(Some(delays));
        }
        let mut at_rest = self.at_rest.write().await;
        // Another may have read it while this one waited.
        let answer = at_rest.answer(path, &self.place.folder);
        if answer.is_some() {
            return Ok(answer);
        }
        let Some(read) = read_at_rest(&self.place.folder, &self.fixed, PATIENCE).await? else {
            return Ok(None);
        };
        *at_rest = AtRest { kept: read.kept, stamp: Some(State::stamp(&self.place.folder)) };
        Ok(Some(at_rest.kept.keeps(path)))
    }

    fn failed(&self, error: CommandError) -> bool {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
        false
    }
}

/// A run listens there that does not answer.
pub fn no_answer(place: &StatePlace) -> CommandError {
    CommandError::local(
        format!("the migration {} does not say what it keeps for a time", place.name),
        "say it again once it answers: whimbrel status shows that",
    )
}

impl AtRest {
    /// `None`: the state is not what it was.
    fn answer(&self, path: &RelPath, folder: &Path) -> Option<bool> {
        (self.stamp? == State::stamp(folder)).then(|| self.kept.keeps(path))
    }
}

impl Keeper for Delayed {
    fn keeps<'a>(&'a self, path: &'a RelPath) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(self.delays(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run that began in the middle of a `verify` kept what that called extra.
    #[test]
    fn a_state_that_changed_is_asked_anew() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("state.db", "one");
        let at_rest = AtRest { kept: Kept::default(), stamp: Some(State::stamp(folder.path())) };
        let answer = || at_rest.answer(&"a".into(), folder.path());
        assert_eq!(answer(), Some(false));
        write("state.db-wal", "young");
        assert_eq!(answer(), None, "a run began");
        std::fs::remove_file(folder.path().join("state.db-wal")).unwrap();
        assert_eq!(answer(), Some(false));
        write("state.db", "another");
        assert_eq!(answer(), None, "a run ended");
        assert_eq!(AtRest::default().answer(&"a".into(), folder.path()), None);
    }
}
