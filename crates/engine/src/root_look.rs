//! One look at the root serves every answer that waits for one (rule 1.5): where much is removed at
//! the source, every second call would be one more look at the root otherwise.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use whimbrel_store::error::StoreError;

/// What the root is known by, as of the last look.
#[derive(Debug, Default)]
pub(crate) struct RootLook {
    /// How many have asked.
    asked: AtomicU64,
    last: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// So many had asked when that look began.
    covered: u64,
    key: Option<u64>,
}

impl RootLook {
    /// What a look says that began after this call.
    ///
    /// # Errors
    /// Those of `look`.
    pub(crate) async fn after_now(
        &self,
        look: impl AsyncFnOnce() -> Result<Option<u64>, StoreError>,
    ) -> Result<Option<u64>, StoreError> {
        let before = self.asked.fetch_add(1, Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if before < last.covered {
            return Ok(last.key);
        }
        let covered = self.asked.load(Ordering::SeqCst);
        let key = look().await?;
        *last = Seen { covered, key };
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_that_began_before_serves_nobody() {
        let root = Arc::<RootLook>::default();
        let looks = Arc::<AtomicU64>::default();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..100_u64 {
            let (root, looks) = (root.clone(), looks.clone());
            tasks.spawn(async move {
                tokio::time::sleep(Duration::from_millis(number)).await;
                let begun = looks.load(Ordering::SeqCst);
                let look = async || {
                    let this = looks.fetch_add(1, Ordering::SeqCst) + 1;
                    tokio::time::sleep(Duration::from_millis(25)).await;
                    Ok(Some(this))
                };
                let seen = root.after_now(look).await.unwrap().unwrap();
                assert!(seen > begun, "look {seen} began before, when {begun} had begun");
            });
        }
        tasks.join_all().await;
        let looks = looks.load(Ordering::SeqCst);
        assert!((2..=7).contains(&looks), "{looks} looks for 100 answers in a tenth of a second");
    }

    #[tokio::test]
    async fn what_failed_serves_nobody() {
        let root = RootLook::default();
        let lost = async || Err(StoreError::Moved { message: "lost".to_owned() });
        root.after_now(lost).await.unwrap_err();
        assert_eq!(root.after_now(async || Ok(Some(7))).await.unwrap(), Some(7));
    }
}
