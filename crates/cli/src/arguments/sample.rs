//! How much a comparison looks at.

use std::time::Duration;

use clap::Args;

use crate::unit;

/// Which files are looked at; all, if nothing is said.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Sample")]
pub struct SampleArguments {
    /// Look at this share of the files (1%, 0.05%); names and lengths are compared of all
    #[arg(long, value_name = "SHARE", group = "sampling", value_parser = unit::sample_share)]
    pub sample: Option<u32>,
    /// Look at one file after the other in random order, for this long once the tree was listed;
    /// names and lengths are compared of all
    #[arg(long, value_name = "DURATION", group = "sampling", value_parser = unit::some_duration)]
    pub sample_for: Option<Duration>,
    /// Any text: the same gives the same files, another gives others [default: drawn and printed]
    #[arg(long, value_name = "SEED", requires = "sampling", allow_hyphen_values = true)]
    pub sample_seed: Option<String>,
}
