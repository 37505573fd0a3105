//! What one seed draws: sizes of the world, rates of its faults (swarm: each seed has its own
//! weather). Printed beside every failing seed.

use fastrand::Rng;

/// The weather of one history.
#[derive(Clone, Debug)]
pub struct Options {
    /// Operations at the source.
    pub operations: u64,
    /// Names at each level; fewer make more collisions.
    pub names: usize,
    /// Depth of directories.
    pub depth: usize,
    /// Operations before the migration begins.
    pub head_start: u64,
    /// Percent of target requests that fail without effect.
    pub fail_percent: u8,
    /// Percent of target writes that take effect although their sender hears nothing.
    pub lost_reply_percent: u8,
    /// Percent of those whose effect comes late.
    pub late_percent: u8,
    /// Percent of source requests that fail.
    pub source_fail_percent: u8,
    /// Crashes.
    pub crashes: u32,
    /// Purges of the edit log.
    pub purges: u32,
    /// Entries of a listing's page.
    pub page_entries: usize,
    /// Pending entries before they are coarsened.
    pub pending_max: u64,
    /// Files from so many bytes on are uploaded in parts.
    pub multipart_bytes: u64,
    /// Milliseconds that an effect takes at most.
    pub latency_max: u64,
    /// Follow the stream.
    pub live: bool,
}

impl Options {
    /// Draws the weather.
    pub fn draw(rng: &mut Rng) -> Self {
        let calm = rng.u8(..4) == 0;
        let percent = |rng: &mut Rng, max: u8| if calm { 0 } else { rng.u8(..=max) };
        Self {
            operations: rng.u64(4..120),
            names: rng.usize(2..5),
            depth: rng.usize(1..4),
            head_start: rng.u64(..60),
            fail_percent: percent(rng, 30),
            lost_reply_percent: percent(rng, 20),
            late_percent: rng.u8(..=100),
            source_fail_percent: percent(rng, 15),
            crashes: if calm { 0 } else { rng.u32(..4) },
            purges: if rng.u8(..4) == 0 { rng.u32(1..3) } else { 0 },
            page_entries: rng.usize(1..4),
            pending_max: if rng.u8(..4) == 0 { rng.u64(2..12) } else { 1_000 },
            multipart_bytes: rng.u64(1..40),
            latency_max: rng.u64(2..200),
            live: rng.u8(..8) != 0,
        }
    }
}
