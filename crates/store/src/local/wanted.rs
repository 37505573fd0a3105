//! Whether anybody still waits for an answer. Work on a blocking thread goes on when its question
//! is dropped; it must not take effect then (rule 4.2).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::failure::shown;
use crate::error::StoreError;

/// Shared by who asks and who works.
#[derive(Clone, Debug)]
pub(super) struct Wanted(Arc<Mutex<bool>>);

/// Held by who asks: dropped with the question, nothing takes effect afterwards.
#[derive(Debug)]
pub(super) struct Asking(Wanted);

impl Wanted {
    pub(super) fn new() -> (Self, Asking) {
        let wanted = Self(Arc::new(Mutex::new(true)));
        (wanted.clone(), Asking(wanted))
    }

    /// Leave to take effect, as long as it is held; the question cannot be dropped meanwhile.
    pub(super) fn leave(&self, key: &[u8]) -> Result<MutexGuard<'_, bool>, StoreError> {
        let wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *wanted {
            return Ok(wanted);
        }
        Err(StoreError::Unavailable {
            message: format!("nobody waits for the write of {} any more", shown(key)),
            remedy: "it is tried again".to_owned(),
        })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}
