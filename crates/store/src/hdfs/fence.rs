//! Fences around a root in HDFS.

use whimbrel_hdfs::{Client, Error};

use super::failure::{Asked, told};
use crate::error::StoreError;
use crate::fence::{Fence, FenceKind};
use crate::source::Answer;

/// What safe mode was before.
const ON: &str = "on";
const OFF: &str = "off";
/// Nobody reads, writes or passes but a superuser. An access control list counts no more either:
/// the bits of the group are its mask.
const CLOSED: u16 = 0;
const MODE_MAX: u16 = 0o1777;

/// Safe mode of the active NameNode.
pub(crate) struct SafeMode {
    pub client: Client,
}

impl Fence for SafeMode {
    fn kind(&self) -> FenceKind {
        FenceKind::SafeMode
    }

    fn directory(&self) -> Option<u64> {
        None
    }

    fn before(&self) -> Answer<'_, String> {
        Box::pin(async {
            let on = self.stands().await?;
            Ok(if on { ON } else { OFF }.to_owned())
        })
    }

    fn set(&self) -> Answer<'_, ()> {
        Box::pin(async { self.client.set_safe_mode(true).await.map_err(of_safe_mode) })
    }

    fn stands(&self) -> Answer<'_, bool> {
        Box::pin(async { self.client.is_in_safe_mode().await.map_err(of_safe_mode) })
    }

    fn undo<'a>(&'a self, before: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            match before {
                // Somebody else's: not ours to leave.
                ON => Ok(()),
                OFF => self.client.set_safe_mode(false).await.map_err(of_safe_mode),
                other => Err(not_understood(other)),
            }
        })
    }
}

/// The mode of one root, known by its number: another directory in its place is never touched.
pub(crate) struct Permissions {
    pub client: Client,
    /// Its number.
    pub directory: u64,
    /// By its number, as it is asked for.
    pub reached: Vec<u8>,
    /// The same for people.
    pub shown: String,
}

impl Permissions {
    async fn mode(&self) -> Result<u16, StoreError> {
        let status = self.client.file_status(&self.reached).await;
        let status = status.map_err(|error| told(&self.shown, Asked::Fence, error))?;
        let gone = || StoreError::Moved { message: format!("{} is gone", self.shown) };
        Ok(status.ok_or_else(gone)?.permission)
    }

    async fn set_mode(&self, mode: u16) -> Result<(), StoreError> {
        let set = self.client.set_permission(&self.reached, mode).await;
        set.map_err(|error| told(&self.shown, Asked::Fence, error))
    }
}

impl Fence for Permissions {
    fn kind(&self) -> FenceKind {
        FenceKind::Permissions
    }

    fn directory(&self) -> Option<u64> {
        Some(self.directory)
    }

    fn before(&self) -> Answer<'_, String> {
        Box::pin(async { Ok(format!("{:04o}", self.mode().await?)) })
    }

    fn set(&self) -> Answer<'_, ()> {
        Box::pin(self.set_mode(CLOSED))
    }

    fn stands(&self) -> Answer<'_, bool> {
        Box::pin(async { Ok(self.mode().await? == CLOSED) })
    }

    fn undo<'a>(&'a self, before: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let mode = u16::from_str_radix(before, 8).ok().filter(|mode| *mode <= MODE_MAX);
            self.set_mode(mode.ok_or_else(|| not_understood(before))?).await
        })
    }
}

fn of_safe_mode(error: Error) -> StoreError {
    told("safe mode", Asked::Fence, error)
}

fn not_understood(before: &str) -> StoreError {
    StoreError::Refused {
        message: format!("{before:?} is not how the source was before the fence"),
        remedy: "restore cutover.json in the state folder".to_owned(),
    }
}
