//! What a run is asked to do, as the core needs to know it.

use serde::{Deserialize, Serialize};

use crate::budget::Ceilings;
use crate::metadata::MetadataLevel;
use crate::path::Namespace;
use crate::timetable::{LocalTime, Timetable};

/// Settings of one run. Plain values: the command line, a configuration file and the simulator all
/// end here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This migration's id, written into every object (rule 2.3).
    pub migration: String,
    /// Join the scan with the stream of changes and go on until stopped.
    pub live: bool,
    /// With `live`: end once everything is applied and nothing in scope changed for so long.
    pub until_quiet_millis: Option<u64>,
    /// How the source's names relate to each other.
    pub namespace: Namespace,
    /// The root in which the source answers (rule 1.5), where it tells.
    pub root_key: Option<u64>,
    /// What to do with an object that stood there before.
    pub existing: Existing,
    /// Take over objects that another state of Whimbrel wrote.
    pub adopt: bool,
    /// What to do with objects that the source does not have.
    pub extras: Extras,
    /// How much metadata travels.
    pub metadata: MetadataLevel,
    /// Which directories get a marker.
    pub directory_markers: DirectoryMarkers,
    /// Pending entries before they are coarsened (rule 9.1).
    pub pending_max: u64,
    /// Without `live`: how long a lost side is waited for.
    pub give_up_after_millis: u64,
    /// How long a write whose outcome is unknown may still take effect (rule 4.2).
    pub request_lifetime: RequestLifetime,
    /// Objects up to so many bytes can be copied within the target; 0: never (rule 6.4).
    pub copy_bytes_max: u64,
    /// The target minds what is expected to stand at a key, and says who wrote it (rule 4.4).
    pub conditions: bool,
    /// Metadata can be changed by copying an object onto itself (rule 11.1).
    pub metadata_by_copy: bool,
    /// Copies in flight at most.
    pub copies_max: usize,
    /// Directories being gone through at most.
    pub passes_max: usize,
    /// Pending paths being worked on at most.
    pub claims_max: usize,
    /// The guard against mass deletion (rule 5.6).
    pub removal_guard: RemovalGuard,
    /// How long what is gone at the source stays on the target (rule 5.7).
    pub removals_after_millis: u64,
    /// What the run goes over, in words, unless an earlier run began to scan the same: everything is
    /// scanned again, since no event names what was left out, and the words are kept.
    pub new_coverage: Option<String>,
    /// How much may be asked of both sides (rule 9.2).
    pub ceilings: Ceilings,
    /// How many bytes on which day and at which hour, in place of what `ceilings` say of them.
    pub timetable: Option<Timetable>,
    /// The clock by which it goes.
    pub local_time: LocalTime,
}

/// How long a write may still take effect after its call ended without an answer, or after its
/// process died: what we sent is out by then, and only others still handle it (rule 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestLifetime {
    /// For every request, in milliseconds.
    pub fixed_millis: u64,
    /// Bytes of the object that those others handle per second, at least; 0: bytes take no time.
    pub bytes_per_second_min: u64,
    /// Time for the bytes at most, in milliseconds.
    pub bytes_millis_max: u64,
}

impl RequestLifetime {
    /// The same for every request.
    pub fn fixed(fixed_millis: u64) -> Self {
        Self { fixed_millis, bytes_per_second_min: 0, bytes_millis_max: 0 }
    }

    /// Of a write that makes an object of so many bytes, in milliseconds.
    pub fn of(&self, bytes: u64) -> u64 {
        let per_second = u128::from(self.bytes_per_second_min);
        let needed = match per_second {
            0 => 0,
            _ => (u128::from(bytes) * 1000).div_ceil(per_second),
        };
        let for_bytes = u64::try_from(needed).unwrap_or(u64::MAX).min(self.bytes_millis_max);
        self.fixed_millis.saturating_add(for_bytes)
    }
}

/// `--existing`: objects that stood at a key of the source before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Existing {
    /// Adopt if length and checksum are equal, else replace.
    #[default]
    Check,
    /// Replace.
    Replace,
    /// Adopt if the length is equal.
    Trust,
    /// Ask a person.
    Refuse,
}

/// `--extras`: objects that the source does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extras {
    /// Count them.
    #[default]
    Keep,
    /// Remove them.
    Remove,
}

/// `--directory-markers`: which directories get a marker object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DirectoryMarkers {
    /// Those without children.
    #[default]
    Empty,
    /// Every one.
    All,
}

/// When removals wait for a person: what was lost within an hour, less what came anew, has to pass
/// both bounds. A bound that there is not is never passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovalGuard {
    /// So many objects may always go.
    pub count_max: Option<u64>,
    /// Percent of everything that stood.
    pub share_max_percent: Option<u64>,
}

impl RemovalGuard {
    /// Both bounds would be passed if so many of these were lost.
    pub fn holds(&self, lost: u64, stood: u64) -> bool {
        let beyond_count = self.count_max.is_some_and(|max| lost > max);
        let beyond_share = |percent: u64| lost.saturating_mul(100) > stood.saturating_mul(percent);
        beyond_count && self.share_max_percent.is_some_and(beyond_share)
    }

    /// A bound that there is not is never passed.
    pub fn never_asks(&self) -> bool {
        self.count_max.is_none() || self.share_max_percent.is_none()
    }
}

impl Default for RemovalGuard {
    fn default() -> Self {
        Self { count_max: Some(1_000), share_max_percent: Some(50) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            migration: String::new(),
            live: false,
            until_quiet_millis: None,
            namespace: Namespace::Tree,
            root_key: None,
            existing: Existing::default(),
            adopt: false,
            extras: Extras::default(),
            metadata: MetadataLevel::default(),
            directory_markers: DirectoryMarkers::default(),
            pending_max: 1_000_000,
            give_up_after_millis: 3_600_000,
            request_lifetime: RequestLifetime::fixed(60_000),
            copy_bytes_max: 5 << 30,
            conditions: true,
            metadata_by_copy: true,
            copies_max: 64,
            passes_max: 16,
            claims_max: 256,
            removal_guard: RemovalGuard::default(),
            removals_after_millis: 0,
            new_coverage: None,
            ceilings: Ceilings::default(),
            timetable: None,
            local_time: LocalTime::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_objects_may_take_effect_for_longer() {
        let lifetime = RequestLifetime {
            fixed_millis: 100_000,
            bytes_per_second_min: 4 << 20,
            bytes_millis_max: 300_000,
        };
        for (bytes, expected) in [
            (0, 100_000),
            (1, 100_001),
            (16 << 20, 104_000),
            (1 << 30, 356_000),
            (5 << 30, 400_000),
            (u64::MAX, 400_000),
        ] {
            assert_eq!(lifetime.of(bytes), expected, "{bytes}");
        }
        assert_eq!(RequestLifetime::fixed(7).of(u64::MAX), 7);
    }
}
