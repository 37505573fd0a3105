//! What `whimbrel cutover` is asked.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::ConnectionArguments;
use crate::unit;

pub const EXAMPLES: &str = "\
Examples:
  whimbrel cutover move --dry-run                  what is missing, and how long it will take
  whimbrel cutover move --report proof             you have set the source read-only
  whimbrel cutover move --fence safe-mode --report proof
  whimbrel cutover move --undo-fence               let the source be changed again

The migration has to follow the source (--live); one that does not run is started as it was last.
In this order: the source is fenced, the migration drains it to the last transaction, all of both
sides is compared, and looked at once more: nothing in scope may have changed since the fence. Then
the report is written and signed, the migration is stopped, and only then the answer is yes.

A fence that was set stands on after a yes. After everything else it is undone, also by Control-C
(once the report is being signed, a signal changes the answer no more); after kill -9 it stands:
say the same call again, or --undo-fence.

Exit code 0: yes, equal; 5: no, and each reason is told.";

#[derive(Clone, Debug, Args)]
pub struct CutoverArguments {
    /// The migration's name
    pub name: String,
    /// Who keeps the source from being changed
    #[arg(long, value_enum, value_name = "FENCE", default_value = "check")]
    pub fence: FenceArgument,
    /// For so long nothing may change behind the fence before the rest begins (30s, 5m)
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = unit::duration)]
    pub quiet: Duration,
    /// How long everything may take until it is on the target; then the answer is no
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = unit::duration)]
    pub give_up_after: Duration,
    /// Leave a signed report in DIR, a new or empty folder
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// What only the target has is no difference
    #[arg(long)]
    pub ignore_extras: bool,
    /// Tell what is missing, and how long it will take; change nothing
    #[arg(long, conflicts_with_all = ["report", "undo_fence", "keep_fence"])]
    pub dry_run: bool,
    /// Leave the fence where it is when the answer is no
    #[arg(long)]
    pub keep_fence: bool,
    /// Undo the fence of an earlier call, and nothing else
    #[arg(long, conflicts_with_all = ["report", "keep_fence"])]
    pub undo_fence: bool,
    /// Its state folder, where it was given one
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    #[command(flatten)]
    pub connection: ConnectionArguments,
}

/// Who keeps the source from being changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FenceArgument {
    /// You have seen to it; here it is only checked that nothing in scope changes
    Check,
    /// The NameNode enters safe mode: it takes no changes of anything (superuser)
    SafeMode,
    /// The mode of SOURCE becomes 000: nobody but superusers gets into it (HDFS superuser)
    Permissions,
}

impl FenceArgument {
    /// As it stands on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::SafeMode => "safe-mode",
            Self::Permissions => "permissions",
        }
    }
}
