//! A bound on the bytes that all transfers together hold in memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that one permit of the semaphore stands for: permits are counted in 32 bits.
const PERMIT_BYTES: u64 = 4096;

/// Room for bytes, handed out first come, first served.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    permits: Arc<Semaphore>,
    permits_max: u32,
}

/// Bytes held; given back when dropped.
pub(crate) type Room = Option<OwnedSemaphorePermit>;

impl Memory {
    /// Room for `bytes` bytes in all.
    pub(crate) fn new(bytes: u64) -> Self {
        let permits_max = permits(bytes).max(1);
        Self { permits: Arc::new(Semaphore::new(permits_max as usize)), permits_max }
    }

    /// Waits for room. A piece larger than all of it gets all of it, so that it can pass at all.
    pub(crate) async fn reserve(&self, bytes: u64) -> Room {
        let wanted = permits(bytes).min(self.permits_max);
        // The semaphore is never closed, so this never answers with an error.
        self.permits.clone().acquire_many_owned(wanted).await.ok()
    }
}

fn permits(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_are_bounded_and_a_larger_piece_still_passes() {
        let memory = Memory::new(64 * 1024);
        let first = memory.reserve(40 * 1024).await;
        assert!(first.is_some());
        let waiting =
            tokio::time::timeout(std::time::Duration::from_millis(20), memory.reserve(40 * 1024));
        assert!(waiting.await.is_err(), "80 KiB cannot be held in 64 KiB");
        drop(first);
        let all = memory.reserve(u64::MAX).await;
        assert!(all.is_some());
        assert_eq!(memory.permits.available_permits(), 0);
    }
}
