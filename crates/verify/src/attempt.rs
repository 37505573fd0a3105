//! Asking again: stores try nothing twice themselves.

use std::time::Duration;

use whimbrel_core::failure::FailureKind;
use whimbrel_store::error::StoreError;
use whimbrel_store::source::Answer;

/// Tries in a row; with the pauses between them a side may be away for about 20 seconds.
const TRIES_MAX: u32 = 7;
const PAUSE_FIRST: Duration = Duration::from_millis(300);

/// Asks until there is an answer that asking again would not change.
pub async fn ask<'a, T>(question: impl Fn() -> Answer<'a, T>) -> Result<T, StoreError> {
    let mut pause = PAUSE_FIRST;
    for _ in 1..TRIES_MAX {
        match question().await {
            Err(error) if passing(&error) => tokio::time::sleep(pause).await,
            other => return other,
        }
        pause *= 2;
    }
    question().await
}

/// True if the same question may be answered later.
pub(crate) fn passing(error: &StoreError) -> bool {
    matches!(error.kind(), FailureKind::Unavailable | FailureKind::Throttled)
}
