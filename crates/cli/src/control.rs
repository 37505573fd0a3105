//! Speaks to a running migration through the socket in its state folder.

use serde_json::Value;
use whimbrel_engine::{ErrorKind, Request, request};

use crate::exit::CommandError;
use crate::state::StatePlace;

/// The answer of the running migration; `None` if none is running.
///
/// # Errors
/// It refuses.
pub async fn ask(place: &StatePlace, asked: &Request) -> Result<Option<Value>, CommandError> {
    match request(&place.folder, asked).await {
        Ok(answer) => Ok(Some(answer)),
        // Nobody listens: the one thing that this side of the socket can tell.
        Err(error) if error.kind() == ErrorKind::Local => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The answer of a migration that has to be running.
///
/// # Errors
/// It does not run, or refuses.
pub async fn order(place: &StatePlace, asked: &Request) -> Result<Value, CommandError> {
    ask(place, asked).await?.ok_or_else(|| {
        CommandError::usage(
            format!("the migration {} is not running", place.name),
            "whimbrel status shows what there is; whimbrel migrate starts it",
        )
    })
}
