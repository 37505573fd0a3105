//! What a run is asked to do, as the core needs to know it.

use serde::{Deserialize, Serialize};

use crate::metadata::MetadataLevel;
use crate::path::Namespace;

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
    /// The longest time in which a request may still take effect (rule 4.2).
    pub request_lifetime_millis: u64,
    /// Objects up to so many bytes can be copied within the target; 0: never (rule 6.4).
    pub copy_bytes_max: u64,
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

/// When removals wait for a person: both bounds have to be passed within one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovalGuard {
    /// So many removals are always allowed.
    pub count_max: u64,
    /// Percent of everything that stood at the start of the hour; 100 switches the guard off.
    pub share_max_percent: u64,
}

impl Default for RemovalGuard {
    fn default() -> Self {
        Self { count_max: 1_000, share_max_percent: 80 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            migration: String::new(),
            live: false,
            until_quiet_millis: None,
            namespace: Namespace::Tree,
            existing: Existing::default(),
            adopt: false,
            extras: Extras::default(),
            metadata: MetadataLevel::default(),
            directory_markers: DirectoryMarkers::default(),
            pending_max: 1_000_000,
            give_up_after_millis: 3_600_000,
            request_lifetime_millis: 60_000,
            copy_bytes_max: 5 << 30,
            metadata_by_copy: true,
            copies_max: 64,
            passes_max: 16,
            claims_max: 256,
            removal_guard: RemovalGuard::default(),
        }
    }
}
