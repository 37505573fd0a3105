//! A side that is asked for the first time may be busy for a moment, or lose a connection: that is
//! no reason to end a run that has hardly begun.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::StoreError;

/// So long it is asked again: whoever waits is to know soon that nobody is there.
const PATIENCE: Duration = Duration::from_secs(4);
/// Before it is asked for the second time; twice as long each time after.
const PAUSE: Duration = Duration::from_millis(200);

/// Asks again, for a few seconds, what is out of reach or busy.
///
/// # Errors
/// What the last answer was, or the first that more asking does not mend.
pub async fn ask_again<T, Answer>(ask: impl Fn() -> Answer) -> Result<T, StoreError>
where
    Answer: Future<Output = Result<T, StoreError>>,
{
    let begun = Instant::now();
    let mut pause = PAUSE;
    loop {
        let answer = ask().await;
        let passing =
            matches!(answer, Err(StoreError::Unavailable { .. } | StoreError::Throttled { .. }));
        if !passing || begun.elapsed() + pause > PATIENCE {
            return answer;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn busy() -> StoreError {
        StoreError::Throttled { message: "busy".to_owned(), remedy: String::new() }
    }

    /// How often it is asked that is busy so often, then says something else.
    async fn asked(busy_times: u32, then: Result<(), StoreError>) -> (u32, bool) {
        let asked = Cell::new(0);
        let answer = ask_again(|| async {
            asked.set(asked.get() + 1);
            if asked.get() <= busy_times { Err(busy()) } else { then.clone() }
        })
        .await;
        (asked.get(), answer.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn one_busy_answer_ends_no_start() {
        let denied = StoreError::Denied { message: String::new(), remedy: String::new() };
        assert_eq!(asked(0, Ok(())).await, (1, true));
        assert_eq!(asked(1, Ok(())).await, (2, true));
        assert_eq!(asked(0, Err(denied)).await, (1, false));
        let begun = Instant::now();
        assert_eq!(asked(u32::MAX, Ok(())).await, (5, false));
        assert!(begun.elapsed() <= PATIENCE);
    }
}
