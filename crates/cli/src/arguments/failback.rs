//! What `whimbrel failback` is asked.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use whimbrel_core::config::RemovalGuard;
use whimbrel_engine::Conflicts;

use super::ConnectionArguments;
use crate::unit::{self, ByteRate, CallRate, Limit};

pub const EXAMPLES: &str = "\
Examples:
  whimbrel failback move --dry-run                 what would go back, and what is in conflict
  whimbrel failback move --bandwidth 200Mbit/s
  whimbrel failback move --conflicts replace       the target's takes its place at the source

It carries back to SOURCE what users changed at TARGET since the migration left it there: new and
changed files with owner, group, mode, time and ACL, as far as their objects carry them, empty
directories, and removals. The migration must not run, and no fence of a cut-over may stand.

A path that changed on both sides is a conflict: it is told by name and left as it is on both,
unless the bytes are equal. What the source alone changed is left for the next run of the migration,
and keeps its directory there if that was removed at the target. A directory that a file is to take
the place of makes room only if all in it goes; else it is a conflict, and nothing in it goes.

It can be killed at any time: the same call goes on. Called again, it finds nothing to do.

Exit code 0: all of it is back; 5: some paths are told that are not; 6: very much is gone at the
target, so look at it, and say --confirm-removals.";

#[derive(Clone, Debug, Args)]
pub struct FailbackArguments {
    /// The migration's name
    pub name: String,
    /// Tell what would go back, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// What becomes of a path that changed on both sides
    #[arg(long, value_enum, value_name = "WHICH", default_value = "keep")]
    pub conflicts: ConflictsArgument,
    /// Ask first (exit code 6) when more than N objects and more than the share below are gone at
    /// the target; none: never ask
    #[arg(long, value_name = "N", default_value = "1000", value_parser = unit::count_limit)]
    pub removals_max: Limit<u64>,
    /// The share of all objects that goes with it; none: never ask
    #[arg(long, value_name = "PERCENT", default_value = "50%", value_parser = unit::share_limit)]
    pub removals_share_max: Limit<u64>,
    /// You have looked at what is gone at the target, and it is to go at the source too
    #[arg(long)]
    pub confirm_removals: bool,
    /// Bytes read per second: 200Mbit/s, 25MB/s, 10MiB/s
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = unit::byte_rate)]
    pub bandwidth: Option<ByteRate>,
    /// Calls to the NameNode per second: 300/s
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = unit::call_rate)]
    pub namenode_calls: Option<CallRate>,
    /// Requests to the target per second: 3500/s
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = unit::call_rate)]
    pub target_requests: Option<CallRate>,
    /// Files in flight at the same time
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub transfers: u32,
    /// Its state folder, where it was given one
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    #[command(flatten)]
    pub connection: ConnectionArguments,
}

impl FailbackArguments {
    /// When a person is asked.
    pub fn guard(&self) -> RemovalGuard {
        let bound = |limit| match limit {
            Limit::Unlimited => None,
            Limit::AtMost(number) => Some(number),
        };
        RemovalGuard {
            count_max: bound(self.removals_max),
            share_max_percent: bound(self.removals_share_max),
        }
    }
}

/// What becomes of a path that changed on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConflictsArgument {
    /// Both sides keep what they have; it is told by name
    Keep,
    /// What the target has, or that it has nothing, goes to the source
    Replace,
}

impl ConflictsArgument {
    /// As the engine takes it.
    pub fn policy(self) -> Conflicts {
        match self {
            Self::Keep => Conflicts::Keep,
            Self::Replace => Conflicts::Replace,
        }
    }
}
