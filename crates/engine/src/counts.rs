//! What went over the wires in this run.

use std::sync::atomic::{AtomicU64, Ordering};

/// Sums since the start of the run, for progress and metrics.
#[derive(Debug, Default)]
pub struct Counts {
    /// Calls to the source's metadata service.
    pub source_calls: Count,
    /// Those of them that listed a directory, or a page of one.
    pub source_listings: Count,
    /// Pages that an image gave in place of a listing.
    pub image_listings: Count,
    /// Pages that another migration of the same scan had listed.
    pub shared_listings: Count,
    /// Bytes read from the source.
    pub source_bytes: Count,
    /// Those of them that were read to be sent.
    pub copied_bytes: Count,
    /// Requests to the target.
    pub target_requests: Count,
    /// Bytes sent to the target, those of failed requests too.
    pub target_bytes: Count,
}

/// One sum that only rises.
#[derive(Debug, Default)]
pub struct Count {
    sum: AtomicU64,
    per_second: AtomicU64,
}

impl Count {
    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, amount: u64) {
        self.sum.fetch_add(amount, Ordering::Relaxed);
    }

    /// By how much it rises per second, as it was measured last; before that all of it.
    pub(crate) fn per_second(&self) -> u64 {
        match self.per_second.load(Ordering::Relaxed) {
            0 => self.get(),
            measured => measured,
        }
    }

    pub(crate) fn measured(&self, per_second: u64) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }
}
