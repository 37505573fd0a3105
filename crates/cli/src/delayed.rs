//! What a migration has stay on its target for a time, though it is gone at the source (rule 5.7).

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::RwLock;
use whimbrel_core::path::RelPath;
use whimbrel_engine::{Kept, Stamp, State, read_at_rest};
use whimbrel_store::target::Object;
use whimbrel_verify::{Keeper, Remains};

use crate::commands::verify::PATIENCE;
use crate::exit::CommandError;
use crate::record::Call;
use crate::request::Pair;
use crate::running::Running;
use crate::state::StatePlace;

/// How often a run that does not answer is asked again.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);

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

    /// Why it could not be told what is kept; nothing is said of the whole then.
    pub fn failure(&self) -> Option<CommandError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn asked(&self, path: &RelPath, object: &Object) -> Remains {
        let until = Instant::now() + PATIENCE;
        // What cannot be told of one makes nothing of all that is told.
        while !self.has_failed() {
            match self.told(path, object).await {
                Ok(Some(remains)) => return remains,
                Ok(None) if Instant::now() < until => tokio::time::sleep(LOOK_EVERY).await,
                Ok(None) => self.failed(no_answer(&self.place)),
                Err(error) => self.failed(error),
            }
        }
        Remains::Unknown
    }

    /// `None`: a run is there that does not answer yet, or any more.
    async fn told(&self, path: &RelPath, object: &Object) -> Result<Option<Remains>, CommandError> {
        let folder = &self.place.folder;
        let answer = self.at_rest.read().await.answer(path, object, folder);
        if answer.is_some() {
            return Ok(answer);
        }
        if let Some(remains) = Running::of(self.place.clone()).remains(path, object).await? {
            return Ok(Some(remains));
        }
        let mut at_rest = self.at_rest.write().await;
        // Another may have read it while this one waited, or waited in vain.
        let answer = at_rest.answer(path, object, folder);
        if answer.is_some() || self.has_failed() {
            return Ok(answer.or(Some(Remains::Unknown)));
        }
        let extras_go = extras_go(&self.place)?;
        let Some(read) = read_at_rest(folder, &self.fixed, extras_go, PATIENCE).await? else {
            return Ok(None);
        };
        *at_rest = AtRest { kept: read.kept, stamp: Some(State::stamp(folder)) };
        Ok(Some(at_rest.remains(path, object)))
    }

    fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn failed(&self, error: CommandError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
    }
}

/// A run listens there that does not answer.
pub fn no_answer(place: &StatePlace) -> CommandError {
    CommandError::local(
        format!("the migration {} does not say what it keeps for a time", place.name),
        "say it again once it answers: whimbrel status shows that",
    )
}

/// The migration was last asked to remove foreign objects: what it keeps of these for a time goes.
pub fn extras_go(place: &StatePlace) -> Result<bool, CommandError> {
    let call = Call::read(&place.folder)?;
    let flags = call.as_ref().and_then(Call::flags).unwrap_or_default();
    Ok(flags.iter().any(|flag| flag == "--extras=remove"))
}

impl AtRest {
    /// `None`: the state is not what it was.
    fn answer(&self, path: &RelPath, object: &Object, folder: &Path) -> Option<Remains> {
        let stamp = self.stamp.filter(|[database, _]| database.is_some())?;
        (stamp == State::stamp(folder)).then(|| self.remains(path, object))
    }

    fn remains(&self, path: &RelPath, object: &Object) -> Remains {
        if self.kept.keeps(path, object) {
            return Remains::Delayed;
        }
        if self.kept.may_keep(path, object) { Remains::DelayedIfWhole } else { Remains::Extra }
    }
}

impl Keeper for Delayed {
    fn remains<'a>(
        &'a self,
        path: &'a RelPath,
        object: &'a Object,
    ) -> Pin<Box<dyn Future<Output = Remains> + Send + 'a>> {
        Box::pin(self.asked(path, object))
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
        let object = Object::default();
        let answer = || at_rest.answer(&"a".into(), &object, folder.path());
        assert_eq!(answer(), Some(Remains::Extra));
        write("state.db-wal", "young");
        assert_eq!(answer(), None, "a run began");
        std::fs::remove_file(folder.path().join("state.db-wal")).unwrap();
        assert_eq!(answer(), Some(Remains::Extra));
        write("state.db", "another");
        assert_eq!(answer(), None, "a run ended");
        assert_eq!(AtRest::default().answer(&"a".into(), &object, folder.path()), None);
    }
}
