//! How much a migration may take of both sides.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use whimbrel_core::timetable::Timetable;

use crate::timetable::{Bandwidth, bandwidth};
use crate::unit::{self, CallRate, Limit};

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct RunLimitArguments {
    /// Bytes read per second: 200Mbit/s, 25MB/s, 10MiB/s; or a timetable of the week, in local
    /// time: 'mon-fri 08:00-18:00 200Mbit/s; otherwise unlimited'
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = bandwidth)]
    pub bandwidth: Option<Bandwidth>,
    /// Calls to the NameNode per second: 300/s
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = unit::call_rate)]
    pub namenode_calls: Option<CallRate>,
    /// Requests to the target per second: 3500/s
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = unit::call_rate)]
    pub target_requests: Option<CallRate>,
    /// Files in flight at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub transfers: Option<u32>,
    /// Pending entries before they are coarsened into directories
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub pending_max: Option<u64>,
    /// Without --live: how long a lost side is waited for (a full target: a minute at most)
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = unit::duration)]
    pub give_up_after: Duration,
}

impl RunLimitArguments {
    /// The timetable, where the bandwidth has one.
    pub fn timetable(&self) -> Option<Timetable> {
        match &self.bandwidth {
            Some(Bandwidth::Weekly(timetable)) => Some(timetable.clone()),
            Some(Bandwidth::Always(_)) | None => None,
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true)
    .args(["bandwidth", "namenode_calls", "target_requests"]))]
pub struct LimitArguments {
    /// The migration's name
    pub name: String,
    /// Bytes read per second: 200Mbit/s, 25MB/s, 10MiB/s, unlimited; or a timetable, as for migrate
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = bandwidth)]
    pub bandwidth: Option<Bandwidth>,
    /// Calls to the NameNode per second: 300/s, unlimited
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = unit::call_limit)]
    pub namenode_calls: Option<Limit<CallRate>>,
    /// Requests to the target per second: 3500/s, unlimited
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = unit::call_limit)]
    pub target_requests: Option<Limit<CallRate>>,
    /// Its state folder, where it was given one
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}
