//! The durable state of one migration, opened before anything outside is asked.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use whimbrel_core::number::Epoch;
use whimbrel_core::path::Namespace;
use whimbrel_ledger::{Ledger, LedgerError, Options};

use crate::clock::Clock;
use crate::control::is_listening;
use crate::error::EngineError;

/// The setting that holds the migration's id.
const MIGRATION: &str = "migration";
/// How often it is tried to have a state that somebody else holds for a moment.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A state folder that this process has to itself.
pub struct State {
    folder: PathBuf,
    ledger: Ledger,
    migration: String,
    fixed: Vec<(String, String)>,
    remembered: Vec<(String, String)>,
}

/// Length in bytes and time of the last change of the database and of its log, where there are any.
pub type Stamp = [Option<(u64, SystemTime)>; 2];

/// What a state knows of its target as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// All that stood there before was looked at.
    pub inventoried: bool,
    /// The history that files are known by (rule 1.7); `None`: any.
    pub epoch: Option<Epoch>,
    /// Objects that the migration wrote or adopted.
    pub rows: u64,
    /// Objects of others.
    pub found: u64,
    /// Entries whose removal a guard holds.
    pub guarded: u64,
    /// Objects that were lost within the hour (rule 5.6).
    pub went: u64,
}

impl State {
    /// Takes the state in `folder`, which is made where there is none, for a source of this
    /// namespace. `fixed` are settings that may not change over the life of a migration (URLs,
    /// scope, mapping), by name. Other files in the folder are left alone.
    ///
    /// # Errors
    /// `Local`: in use, damaged, newer, full; `WrongUse`: it belongs to another migration.
    pub fn open(
        folder: &Path,
        namespace: Namespace,
        fixed: Vec<(String, String)>,
    ) -> Result<Self, EngineError> {
        let options = Options { namespace: Some(namespace), ..Options::default() };
        Self::of(Ledger::open(folder, options)?, folder, fixed)
    }

    /// The same, where somebody may hold the state for a moment who is not there for long: a run
    /// that is just ending, or a call that reads it. It is waited for, `patience` at most, unless a
    /// run listens there.
    ///
    /// # Errors
    /// As `open`.
    pub async fn open_when_free(
        folder: &Path,
        namespace: Namespace,
        fixed: Vec<(String, String)>,
        patience: Duration,
    ) -> Result<Self, EngineError> {
        let ledger = ledger_when_free(folder, Some(namespace), patience).await?;
        Self::of(ledger, folder, fixed)
    }

    fn of(
        mut ledger: Ledger,
        folder: &Path,
        fixed: Vec<(String, String)>,
    ) -> Result<Self, EngineError> {
        refuse_another_migration(&ledger, folder, &fixed)?;
        let migration = match ledger.setting(MIGRATION)? {
            Some(kept) => kept,
            None => {
                // Kept before anything is written with it: a probe that is killed is known again.
                let id = uuid::Uuid::new_v4().to_string();
                ledger.set_setting(MIGRATION, &id)?;
                id
            }
        };
        let remembered = Vec::new();
        Ok(Self { folder: folder.to_owned(), ledger, migration, fixed, remembered })
    }

    /// True if something is remembered in `folder`: nobody removed or emptied it.
    pub fn stands(folder: &Path) -> bool {
        let [database, log] = Self::stamp(folder);
        let holds = |file: Option<(u64, SystemTime)>| file.is_some_and(|(bytes, _)| bytes > 0);
        // What is young may be in the log alone.
        holds(database) || database.is_some() && holds(log)
    }

    /// Lengths and times of the files that hold the state in `folder`: they change with it.
    pub fn stamp(folder: &Path) -> Stamp {
        let database = folder.join(whimbrel_ledger::DATABASE);
        let mut log = database.clone().into_os_string();
        log.push("-wal");
        [database, PathBuf::from(log)].map(|file| {
            let metadata = std::fs::metadata(file).ok()?;
            Some((metadata.len(), metadata.modified().ok()?))
        })
    }

    /// Refuses a state that a run would refuse, without opening it, as far as its first bytes tell.
    ///
    /// # Errors
    /// `Local`: of a newer version, of another program, or no state at all.
    pub fn look(folder: &Path) -> Result<(), EngineError> {
        Ok(whimbrel_ledger::look(folder)?)
    }

    /// The migration's id, which every object carries (rule 2.3).
    pub fn migration(&self) -> &str {
        &self.migration
    }

    /// The uploads that were begun and may be gone on with.
    ///
    /// # Errors
    /// `Local`.
    pub fn uploads(&self) -> Result<Vec<String>, EngineError> {
        let attempts = self.ledger.attempts()?;
        Ok(attempts.into_iter().filter_map(|attempt| Some(attempt.upload?.id)).collect())
    }

    /// What an earlier run remembered.
    ///
    /// # Errors
    /// `Local`.
    pub fn remembered(&self, name: &str) -> Result<Option<String>, EngineError> {
        Ok(self.ledger.setting(name)?)
    }

    /// Has later runs know what this one found, once both sides have answered.
    pub fn remember(&mut self, name: &str, text: String) {
        self.remembered.push((name.to_owned(), text));
    }

    /// The first scan came to its end.
    ///
    /// # Errors
    /// `Local`.
    pub fn scanned(&self) -> Result<bool, EngineError> {
        Ok(self.ledger.meta()?.scanned)
    }

    /// What it knows of its target as a whole.
    ///
    /// # Errors
    /// `Local`.
    pub fn stand(&self) -> Result<Stand, EngineError> {
        let (meta, summary) = (self.ledger.meta()?, self.ledger.summary()?);
        Ok(Stand {
            inventoried: meta.inventory_done,
            epoch: Some(meta.epoch),
            rows: summary.rows,
            found: summary.found,
            guarded: summary.guarded,
            went: meta.losses.within_the_hour(Clock::start().now()),
        })
    }

    /// The state folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Remembers what the migration is; only done once both sides have answered, so that a URL
    /// mistyped at the first call can be corrected.
    pub(crate) fn settle(self) -> Result<(Ledger, String), EngineError> {
        let Self { mut ledger, migration, fixed, remembered, .. } = self;
        for (name, text) in &fixed {
            if ledger.setting(name)?.is_none() {
                ledger.set_setting(name, text)?;
            }
        }
        for (name, text) in &remembered {
            if ledger.setting(name)?.as_ref() != Some(text) {
                ledger.set_setting(name, text)?;
            }
        }
        Ok((ledger, migration))
    }
}

/// A state belongs to the migration that began it: its locations and scope.
pub(crate) fn refuse_another_migration(
    ledger: &Ledger,
    folder: &Path,
    fixed: &[(String, String)],
) -> Result<(), EngineError> {
    for (name, asked) in fixed {
        if let Some(kept) = ledger.setting(name)?.filter(|kept| kept != asked) {
            return Err(EngineError::WrongUse {
                message: format!(
                    "the state in {} is of a migration with {name} {kept:?}, not {asked:?}",
                    folder.display()
                ),
                remedy: "give another --name (or --state) for another migration, or the same \
                         locations and scope as before; put its own state back if this one was \
                         put there"
                    .to_owned(),
            });
        }
    }
    Ok(())
}

/// The ledger in a folder, which somebody may hold for a moment: `InUse` if a run listens there, or
/// after `patience`.
pub(crate) async fn ledger_when_free(
    folder: &Path,
    namespace: Option<Namespace>,
    patience: Duration,
) -> Result<Ledger, LedgerError> {
    let until = Instant::now() + patience;
    loop {
        match Ledger::open(folder, Options { namespace, ..Options::default() }) {
            Err(LedgerError::InUse { .. })
                if Instant::now() < until && !is_listening(folder).await =>
            {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fail-back right after a yes found the state of the migration that was just ending.
    #[tokio::test]
    async fn a_state_that_is_held_for_a_moment_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let open =
            |patience| State::open_when_free(folder.path(), Namespace::Tree, Vec::new(), patience);
        let first = open(Duration::ZERO).await.unwrap();
        let refused = open(Duration::from_millis(150)).await.err();
        assert!(matches!(refused, Some(EngineError::Local { .. })), "{refused:?}");
        let second = tokio::join!(open(Duration::from_secs(60)), async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            drop(first);
        });
        assert!(second.0.is_ok(), "{:?}", second.0.err());
    }
}
