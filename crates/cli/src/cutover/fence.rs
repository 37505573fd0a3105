//! Sets and undoes the fence of a cut-over. How the source was before is durable first, so that
//! whoever is killed at any moment leaves what undoes it.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_core::failure::Side;
use whimbrel_store::error::StoreError;
use whimbrel_store::fence::{Fence, FenceKind};

use super::record::{Record, Standing, Step};
use crate::arguments::FenceArgument;
use crate::exit::{CommandError, Condition};

/// A request to set a fence that was given up, by a signal, may take effect so much later.
const LATE_MAX: Duration = Duration::from_millis(500);

/// The fence that is asked for, of those that the source has; `None` where it is only checked.
///
/// # Errors
/// The source has no such fence.
pub fn chosen(
    fences: &[Arc<dyn Fence>],
    asked: FenceArgument,
) -> Result<Option<Arc<dyn Fence>>, CommandError> {
    let kind = match asked {
        FenceArgument::Check => return Ok(None),
        FenceArgument::SafeMode => FenceKind::SafeMode,
        FenceArgument::Permissions => FenceKind::Permissions,
    };
    let found = fences.iter().find(|fence| fence.kind() == kind).cloned();
    found.map(Some).ok_or_else(|| {
        CommandError::usage(
            format!("--fence {}: this source has none", asked.name()),
            "directories of HDFS have fences; set the source read-only yourself, and leave \
             --fence out",
        )
    })
}

/// Refuses another fence than the one that an earlier call left.
///
/// # Errors
/// Wrong use.
pub fn refuse_another(
    record: &Record,
    name: &str,
    asked: FenceArgument,
) -> Result<(), CommandError> {
    match record.fence() {
        Some(standing) if standing.kind != asked => Err(CommandError::usage(
            format!("the fence {} of an earlier cut-over stands", standing.kind.name()),
            format!(
                "say --fence {} to go on behind it, or whimbrel cutover {name} --undo-fence",
                standing.kind.name()
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a fence around another directory than the one that an earlier call closed: how that one
/// was is no matter of this one.
///
/// # Errors
/// The source has another directory in its place.
pub fn refuse_another_directory(
    fence: &dyn Fence,
    record: &Record,
    name: &str,
) -> Result<(), CommandError> {
    let Some(standing) = record.fence() else { return Ok(()) };
    // What an older version wrote does not say which one it was.
    let (Some(closed), Some(found)) = (standing.directory, fence.directory()) else {
        return Ok(());
    };
    if closed == found {
        return Ok(());
    }
    let (kind, before) = (standing.kind.name(), &standing.before);
    Err(CommandError {
        condition: Condition::Source,
        message: format!(
            "another directory (number {found}) stands at the source than the one that the fence \
             {kind} is around (number {closed}): nothing was changed"
        ),
        remedy: format!(
            "rename that one back to the source, then whimbrel cutover {name} --undo-fence; if it \
             is to stay where it is, or is gone, give it the mode {before} yourself, and remove {}",
            record.path().display()
        ),
    })
}

/// Sets the fence.
///
/// # Errors
/// The record cannot be written, or the source refuses: the fence may stand then.
pub async fn set(
    fence: Option<&Arc<dyn Fence>>,
    kind: FenceArgument,
    record: &mut Record,
) -> Result<(), CommandError> {
    let Some(fence) = fence else { return record.step(Step::Fenced) };
    let directory = fence.directory();
    let standing = match record.fence() {
        None => {
            let before = fence.before().await.map_err(of_source)?;
            Standing { kind, before, directory }
        }
        Some(standing) => match otherwise(fence.as_ref()).await.map_err(of_source)? {
            // What an earlier call found is how it was, as long as its fence stands.
            None => standing.clone(),
            // Somebody had it another way since: that is how it is to be again.
            Some(before) => Standing { kind, before, directory },
        },
    };
    record.fencing(standing)?;
    fence.set().await.map_err(of_source)?;
    record.step(Step::Fenced)
}

/// How it is where the fence does not stand. What a killed call asked for may still set it: between
/// two looks that agree it did not.
async fn otherwise(fence: &dyn Fence) -> Result<Option<String>, StoreError> {
    loop {
        let found = fence.before().await?;
        if fence.stands().await? {
            return Ok(None);
        }
        if fence.before().await? == found {
            return Ok(Some(found));
        }
    }
}

/// What became of a fence that was to be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// All is as it was before.
    AsBefore,
    /// Somebody had it otherwise meanwhile, and so it stays: how it is now.
    Left(String),
}

impl Undone {
    /// How it is now, where that is not as it was before.
    pub fn left(&self) -> Option<&str> {
        match self {
            Self::AsBefore => None,
            Self::Left(now) => Some(now),
        }
    }
}

/// What people are told of the fence at the end; `None`: it came to none.
pub fn row(kind: FenceArgument, record: &Record, undone: Option<&Undone>) -> Option<String> {
    match (record.fence(), undone) {
        (Some(standing), _) => Some(format!("{} stands", standing.kind.name())),
        (None, _) if kind == FenceArgument::Check => Some("yours".to_owned()),
        (None, Some(Undone::AsBefore)) => Some(format!("{} is undone", kind.name())),
        (None, Some(Undone::Left(now))) => {
            Some(format!("{} did not stand any more: {now} stays", kind.name()))
        }
        (None, None) => None,
    }
}

/// Undoes the fence that the record tells of; `None` if there is none.
///
/// # Errors
/// The source refuses, or has another directory in its place; the record cannot be written.
pub async fn undo(
    fences: &[Arc<dyn Fence>],
    record: &mut Record,
    name: &str,
) -> Result<Option<Undone>, CommandError> {
    let Some(standing) = record.fence().cloned() else { return Ok(None) };
    let undone = match chosen(fences, standing.kind)? {
        None => Undone::AsBefore,
        Some(fence) => {
            refuse_another_directory(fence.as_ref(), record, name)?;
            undo_standing(fence.as_ref(), &standing.before).await.map_err(of_source)?
        }
    };
    record.undone()?;
    Ok(Some(undone))
}

/// Takes away what stands of the fence alone: what a person set in its place is that one's.
async fn undo_standing(fence: &dyn Fence, before: &str) -> Result<Undone, StoreError> {
    loop {
        if fence.stands().await? {
            fence.undo(before).await?;
        }
        tokio::time::sleep(LATE_MAX).await;
        let now = fence.before().await?;
        if now == before {
            return Ok(Undone::AsBefore);
        }
        if !fence.stands().await? {
            return Ok(Undone::Left(now));
        }
    }
}

/// What the source says of its fence.
pub fn of_source(error: StoreError) -> CommandError {
    error.into_failure(Side::Source).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use whimbrel_store::source::Answer;

    use super::*;

    /// A directory with a mode, which a superuser changes behind a cut-over's back.
    struct Directory(Mutex<u16>);

    impl Directory {
        fn fence(mode: u16) -> (Arc<Self>, Arc<dyn Fence>) {
            let directory = Arc::new(Self(Mutex::new(mode)));
            (directory.clone(), directory)
        }

        fn chmod(&self, mode: u16) {
            *self.0.lock().unwrap() = mode;
        }

        fn mode(&self) -> u16 {
            *self.0.lock().unwrap()
        }
    }

    impl Fence for Directory {
        fn kind(&self) -> FenceKind {
            FenceKind::Permissions
        }

        fn directory(&self) -> Option<u64> {
            Some(7)
        }

        fn before(&self) -> Answer<'_, String> {
            Box::pin(async { Ok(format!("{:04o}", self.mode())) })
        }

        fn set(&self) -> Answer<'_, ()> {
            Box::pin(async {
                self.chmod(0);
                Ok(())
            })
        }

        fn stands(&self) -> Answer<'_, bool> {
            Box::pin(async { Ok(self.mode() == 0) })
        }

        fn undo<'a>(&'a self, before: &'a str) -> Answer<'a, ()> {
            Box::pin(async move {
                self.chmod(u16::from_str_radix(before, 8).unwrap());
                Ok(())
            })
        }
    }

    const KIND: FenceArgument = FenceArgument::Permissions;

    /// A mode that somebody set between two cut-overs was lost: the one before both came back.
    #[tokio::test]
    async fn a_fence_set_anew_remembers_what_was_set_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::read(folder.path()).unwrap();
        let (directory, fence) = Directory::fence(0o1750);
        for _ in 0..2 {
            set(Some(&fence), KIND, &mut record).await.unwrap();
            assert_eq!(record.fence().unwrap().before, "1750", "the fence is nobody's own mode");
        }
        directory.chmod(0o711);
        set(Some(&fence), KIND, &mut record).await.unwrap();
        assert_eq!((directory.mode(), &*record.fence().unwrap().before), (0, "0711"));
        // Killed before it was set, it stands in the record alone.
        directory.chmod(0o711);
        let mut read = Record::read(folder.path()).unwrap();
        let undone = undo(std::slice::from_ref(&fence), &mut read, "m").await.unwrap();
        assert_eq!((undone.as_ref(), directory.mode()), (Some(&Undone::AsBefore), 0o711));
        assert_eq!(undo(&[fence], &mut read, "m").await.unwrap(), None, "it is gone");
        // A call that could not begin said of such a one that it was undone.
        assert_eq!(row(KIND, &read, None), None);
        assert_eq!(row(KIND, &read, undone.as_ref()).as_deref(), Some("permissions is undone"));
    }

    /// It was given the mode of before.
    #[tokio::test]
    async fn a_mode_that_somebody_set_behind_the_fence_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::read(folder.path()).unwrap();
        let (directory, fence) = Directory::fence(0o1750);
        set(Some(&fence), KIND, &mut record).await.unwrap();
        directory.chmod(0o777);
        let undone = undo(&[fence], &mut record, "m").await.unwrap();
        assert_eq!(undone, Some(Undone::Left("0777".to_owned())));
        assert_eq!((directory.mode(), record.fence()), (0o777, None));
    }
}
