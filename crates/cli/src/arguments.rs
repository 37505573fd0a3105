//! What can be asked for on the command line. The help texts are the manual.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use whimbrel_core::config::{DirectoryMarkers, Existing, Extras, RemovalGuard};
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_core::path::RelPath;
use whimbrel_engine::Repair;

use crate::unit::{self, Limit};

mod connection;
mod cutover;
mod failback;
mod limit;
mod sample;

pub use connection::{AddressingArgument, ConnectionArguments};
pub use cutover::{CutoverArguments, FenceArgument};
pub use failback::FailbackArguments;
pub use limit::{LimitArguments, RunLimitArguments};
pub use sample::SampleArguments;

const EXAMPLES: &str = "\
Examples:
  Check first whether everything is in place, and how to mend what is not:
    whimbrel doctor hdfs://namenode:8020/warehouse s3://new-home/warehouse

  Copy once, and again later: only what differs is copied.
    whimbrel migrate hdfs://namenode:8020/warehouse s3://new-home/warehouse

  Keep the target equal while the source goes on changing; Control-C stops, the same call resumes:
    whimbrel migrate hdfs://namenode:8020/warehouse s3://new-home/warehouse --live --name move

  Look on, slow down, and prove it:
    whimbrel status move
    whimbrel limit move --bandwidth 200Mbit/s
    whimbrel verify move

Locations:
  hdfs://HOST:PORT/path, hdfs://NAMESERVICE/path, hdfs:///path   configuration: HADOOP_CONF_DIR
  s3://BUCKET/prefix                credentials, region and endpoint as the AWS tools take them
  file:///path or a plain path      this machine

Exit codes:
  0 done, equal        1 a defect of Whimbrel       2 wrong use          3 the source
  4 the target         5 some paths failed          6 wants your word    7 this machine
  130, 143 stopped by a signal; start the same call again to resume";

const MIGRATE_EXAMPLES: &str = "\
Examples:
  whimbrel migrate hdfs:///warehouse s3://new-home/warehouse
  whimbrel migrate hdfs:///warehouse s3://new-home/warehouse --live --bandwidth 200Mbit/s
  whimbrel migrate /data s3://backup/data --live --until-quiet 5m
  whimbrel migrate /data /mnt/new/data --exclude 'tmp/**' --exclude '**/*.bak'
  whimbrel migrate hdfs:///warehouse s3://new-home/warehouse s3://copy/warehouse --live --name move
  whimbrel migrate s3://old/p s3://new/p --source-profile old --target-profile new

What it does is kept in a state folder. The same call again goes on where the last one ended,
after Control-C as after a crash. Files that stand on the target already and are equal are not
copied again, whoever wrote them.

A --live run whose SOURCE is renamed, unmounted or made anew waits for ever until the old one is
back, says so again and again, and takes nothing from what stands there meanwhile.

Globs match the path of a file relative to SOURCE. * and ? stop at /, ** does not. A glob whose
last name has no wildcard, or that ends in / or /**, means a directory with all below it too:
  '*.csv'  files at the top          '**/*.csv'  files anywhere
  'tmp'    tmp and all below it      'tmp/*'     files right in tmp, none further down
  'tmp*'   files at the top, and nothing in tmp1; 'tmp*/' is tmp1 and tmp2 with all below them

A timetable (--bandwidth) is a text of entries. Each ends with a rate or unlimited, and begins with
days, hours or both, in local time; otherwise stands for the rest of the week, which is unlimited
where nothing is said of it. Hours may go over midnight: they belong to the day of their begin.
  'mon-fri 08:00-18:00 200Mbit/s'                        unlimited at night and on weekends
  'mon,wed 22:00-06:00 1Gbit/s; otherwise 100Mbit/s'     two nights, until Tuesday and Thursday
  'mon-fri 08:00-12:00,13:00-18:00 50MB/s; sat 100MB/s'";

const VERIFY_EXAMPLES: &str = "\
Examples:
  whimbrel verify hdfs:///warehouse s3://new-home/warehouse
  whimbrel verify move                 the locations and scope of the migration called move
  whimbrel verify move --report proof  leaves a signed report in the new folder proof
  whimbrel verify /data s3://backup/data --read --ignore-extras
  whimbrel verify move --read --sample 1%         reads a hundredth of the files
  whimbrel verify move --read --sample-for 10m    reads as many as ten minutes allow

Where both sides keep checksums no data is read. Exit code 0: equal; 5: different.

Killed, stopped, or after a lost side, the same call goes on where it was, in the last hour
(--resume-within). What was not equal is looked at again, and from HDFS, for a superuser, all
that its stream of changes names since: then all of it holds as of one transaction (as_of_txid).
Where the stream has dropped that, it begins anew. Elsewhere each part of the result is as of its
own time, and says so. What changed on the target alone is not looked at again. --restart begins
anew, and so does every call with --report or --sample-for.

A sample finds every file whose name is missing or whose length differs, and looks at the bytes and
metadata of the share that is asked for. If nothing differs it ends with exit code 0, says how much
was looked at and what it may have missed, and never says equal unless nothing was left out. Another
seed draws other files; the one that is printed draws the same again.";

const EXPORT_EXAMPLES: &str = "\
Examples:
  whimbrel export move > move.jsonl
  whimbrel export move --format parquet > move.parquet
  duckdb -c \"SELECT kind, count(*), sum(length) FROM 'move.parquet' GROUP BY kind\"

All forms have the same columns (docs/ledger.md). In CSV, a text is escaped as in a JSON string
where it holds a control character, or would begin a formula in a spreadsheet.";

const REPORT_CHECK_EXAMPLES: &str = "\
Examples:
  whimbrel report check proof --key signer.pem
  whimbrel report check proof

Every file that was altered since it was signed, that is missing or was added is told by name.
signer.pem is a copy of the signer's public_key.pem (each report holds it) that came another way
than the report. Without --key the one beside the report is taken: that shows that all of it is of
one hand, not whose.
Exit code 0: as it was signed; 5: altered.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  whimbrel doctor hdfs:///warehouse s3://new-home/warehouse --live
  whimbrel doctor /data s3://backup/data --sse aws:kms --sse-kms-key-id KEY

It writes one small probe object to the target, with the options that the migration would use,
and removes it. Exit code 0: nothing stands in the way; 3: the source, 4: the target, 7: this
machine has to be mended.";

/// Moves a live data platform: copies a tree once, follows its changes, and proves the result.
#[derive(Debug, Parser)]
#[command(name = "whimbrel", version, after_help = EXAMPLES, args_override_self = true)]
#[command(arg_required_else_help = true, disable_help_subcommand = false)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one value per process")]
pub enum Command {
    /// Make TARGET equal to SOURCE, once or for as long as SOURCE changes
    #[command(after_help = MIGRATE_EXAMPLES, args_override_self = true)]
    Migrate(MigrateArguments),
    /// Compare SOURCE with TARGET as they are now
    #[command(after_help = VERIFY_EXAMPLES, args_override_self = true)]
    Verify(VerifyArguments),
    /// Fence the source, drain and prove a live migration, and say whether the target takes over
    #[command(after_help = cutover::EXAMPLES, args_override_self = true)]
    Cutover(CutoverArguments),
    /// Carry back to SOURCE what users changed at TARGET since
    #[command(after_help = failback::EXAMPLES, args_override_self = true)]
    Failback(FailbackArguments),
    /// Check everything that a migration needs, and say how to mend what is missing
    #[command(after_help = DOCTOR_EXAMPLES, args_override_self = true)]
    Doctor(DoctorArguments),
    /// Where a migration stands; without NAME: all of this user's migrations
    Status(StatusArguments),
    /// What happened to one path
    Path(PathArguments),
    /// Write all that is remembered of files and directories: JSON lines, CSV or Parquet
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(ExportArguments),
    /// Check a signed report (--report of migrate and verify)
    #[command(subcommand)]
    Report(ReportCommand),
    /// Change the limits of a running migration
    Limit(LimitArguments),
    /// Let a running migration take no new work; changes are still noted
    Pause(NameArguments),
    /// Let a paused migration go on
    Resume(NameArguments),
    /// Stop a running migration in good order; start it again to resume
    Stop(NameArguments),
    /// Say that what a guard holds back is meant, or what waits for its time (--delayed)
    Confirm(ConfirmArguments),
    /// Print the version
    Version,
    /// Print completions for a shell
    Completions(CompletionsArguments),
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArguments {
    /// One JSON object per line on standard output; the last is the result
    #[arg(long, global = true)]
    pub json: bool,
    /// Append a log to FILE
    #[arg(long, global = true, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// How the log is written
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// How much the log says
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Debug, Args)]
pub struct MigrateArguments {
    /// What is moved: a directory, a file, a prefix
    pub source: OsString,
    /// Where to
    pub target: OsString,
    /// Where to as well: one scan of SOURCE for all targets, each a migration of its own with its own
    /// name and state. --name NAME calls them NAME-1, NAME-2 and so on, --state DIR keeps them in DIR
    #[arg(value_name = "TARGET", conflicts_with = "dry_run")]
    pub more_targets: Vec<OsString>,
    /// Join the scan with the stream of changes and go on until stopped
    #[arg(long)]
    pub live: bool,
    /// With --live: end once everything is applied and nothing changed for this long (30s, 5m, 1h)
    #[arg(long, value_name = "DURATION", requires = "live", value_parser = unit::duration)]
    pub until_quiet: Option<Duration>,
    /// With --live from HDFS: keep a snapshot of SOURCE, which writes to it, so that after a gap in
    /// the stream it tells what changed. first: that is looked at before everything is listed; only:
    /// nothing else is listed, though snapshots do not tell of times alone, nor of bytes that were
    /// written anew in place to the same length. Left out, an earlier snapshot is removed
    #[arg(long, value_name = "USE", requires = "live", value_parser = repair)]
    pub source_snapshots: Option<Repair>,
    /// With --live from HDFS: begin with an image of the namespace that the NameNode saved, and list
    /// only directories in which something happened since: a FILE (hdfs dfsadmin -fetchImage), or
    /// http://HOST:PORT of its web interface, which sends the newest. Each file is asked for by itself
    /// before it is read. Of no use once the first scan is done; an image that is older than what
    /// the stream tells is told, and everything listed
    #[arg(long, value_name = "FILE|URL", requires = "live", conflicts_with = "dry_run")]
    pub fsimage: Option<PathBuf>,
    /// Show what a run would do, by names, lengths and what the state knows; write nothing. Exit code 0
    /// if that is nothing, 5 if it is anything, 6 if a person would be asked. Files that a run has to
    /// compare are told as such (would_compare_files): no bytes are read, nor metadata of directories
    #[arg(long)]
    pub dry_run: bool,
    /// At the end leave a signed report in DIR, a new or empty folder
    #[arg(long, value_name = "DIR", conflicts_with = "dry_run")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub state: StateArguments,
    #[command(flatten)]
    pub scope: ScopeArguments,
    #[command(flatten)]
    pub policy: PolicyArguments,
    #[command(flatten)]
    pub guard: GuardArguments,
    #[command(flatten)]
    pub write: WriteArguments,
    #[command(flatten)]
    pub limits: RunLimitArguments,
    #[command(flatten)]
    pub connection: ConnectionArguments,
    #[command(flatten)]
    pub config: ConfigArguments,
    /// All of these as they were given.
    #[arg(skip)]
    pub flags: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct VerifyArguments {
    /// The source; or the name of a migration, alone: what that leaves out stays left out
    pub source: OsString,
    /// The target
    pub target: Option<OsString>,
    /// Read all data on both sides, even where checksums are kept
    #[arg(long)]
    pub read: bool,
    /// What only the target has is no difference
    #[arg(long)]
    pub ignore_extras: bool,
    /// Leave a signed report in DIR, a new or empty folder
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// How much metadata is compared: none, basic or full [default: basic, or as migrated]
    #[arg(long, value_name = "LEVEL", value_parser = metadata_level)]
    pub metadata: Option<MetadataLevel>,
    /// Which directories have to have a marker: empty or all [default: empty, or as migrated]
    #[arg(long, value_name = "WHICH", value_parser = directory_markers)]
    pub directory_markers: Option<DirectoryMarkers>,
    /// The state folder of the migration that is named
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Begin anew, though an earlier call of this kind did not come to its end
    #[arg(long)]
    pub restart: bool,
    /// Go on where such a call was only if that is not longer ago
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = unit::duration)]
    pub resume_within: Duration,
    #[command(flatten)]
    pub sample: SampleArguments,
    #[command(flatten)]
    pub scope: ScopeArguments,
    #[command(flatten)]
    pub connection: ConnectionArguments,
    #[command(flatten)]
    pub config: ConfigArguments,
}

#[derive(Clone, Debug, Args)]
pub struct DoctorArguments {
    /// What is to be moved
    pub source: OsString,
    /// Where to
    pub target: OsString,
    /// Check what a live migration needs too
    #[arg(long)]
    pub live: bool,
    /// Check too whether snapshots of SOURCE can be made
    #[arg(long, value_name = "USE", value_parser = repair)]
    pub source_snapshots: Option<Repair>,
    #[command(flatten)]
    pub state: StateArguments,
    #[command(flatten)]
    pub write: WriteArguments,
    #[command(flatten)]
    pub connection: ConnectionArguments,
    #[command(flatten)]
    pub config: ConfigArguments,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "State")]
pub struct StateArguments {
    /// The migration's name [default: made from both URLs]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where its durable state lives [default: $XDG_STATE_HOME/whimbrel/NAME]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Scope")]
pub struct ScopeArguments {
    /// Only what matches; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Not what matches; wins over --include; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Put the subtree FROM at TO under the target; may be given several times
    #[arg(long, value_name = "FROM=TO")]
    pub map: Vec<String>,
    /// Without any of: .Trash .snapshot _temporary .hive-staging* *._COPYING_
    #[arg(long)]
    pub no_default_excludes: bool,
    /// Without this one of the ready-made exclusions; may be given several times
    #[arg(long, value_name = "NAME")]
    pub no_default_exclude: Vec<String>,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What stands on the target already")]
pub struct PolicyArguments {
    /// An object that the source has too: check, replace, trust or refuse
    #[arg(long, value_name = "POLICY", default_value = "check", value_parser = existing)]
    pub existing: Existing,
    /// An object that the source does not have: keep or remove
    #[arg(long, value_name = "POLICY", default_value = "keep", value_parser = extras)]
    pub extras: Extras,
    /// Take over what another state of Whimbrel wrote, and write to a local directory that is not
    /// the one of earlier runs
    #[arg(long)]
    pub adopt: bool,
}

/// When removals wait for a person.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Guard against mass deletion")]
pub struct GuardArguments {
    /// Ask first (exit code 6, whimbrel confirm) when more than N objects and more than the share
    /// below are gone at the source within an hour; on a local target directories are objects, too;
    /// a small tree wants a smaller N; none: never ask, and let go of what an earlier run holds
    #[arg(long, value_name = "N", default_value = "1000", value_parser = unit::count_limit)]
    pub removals_max: Limit<u64>,
    /// The share of all objects, on a local target with its directories, that goes with it; 0%: N
    /// alone decides; none: never ask
    #[arg(long, value_name = "PERCENT", default_value = "50%", value_parser = unit::share_limit)]
    pub removals_share_max: Limit<u64>,
    /// What is gone at the source stays on the target for so long (12h, 7d) after that was first
    /// found (below a directory that comes back without all of it: after that), and goes then unless
    /// the source has it again; not commit markers, and not what is in the way of something that the
    /// source has. whimbrel confirm NAME --delayed has it go at once
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = unit::duration)]
    pub removals_after: Duration,
    /// A file system that was mounted at PATH, relative to SOURCE, is gone for good: its files count
    /// as removed; may be given several times
    #[arg(long, value_name = "PATH")]
    pub forget_mount: Vec<String>,
}

impl GuardArguments {
    /// As paths of the source.
    pub fn forgotten_mounts(&self) -> Vec<RelPath> {
        self.forget_mount.iter().map(|path| RelPath::from(path.trim_matches('/'))).collect()
    }

    /// As the core takes it.
    pub fn bounds(&self) -> RemovalGuard {
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

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What is written")]
pub struct WriteArguments {
    /// Owner, group, mode, mtime and ACL: none, basic, or full with extended attributes
    #[arg(long, value_name = "LEVEL", default_value = "basic", value_parser = metadata_level)]
    pub metadata: MetadataLevel,
    /// Which directories get a marker object: empty or all
    #[arg(long, value_name = "WHICH", default_value = "empty", value_parser = directory_markers)]
    pub directory_markers: DirectoryMarkers,
    /// Server-side encryption: AES256 or aws:kms
    #[arg(long, value_name = "METHOD", value_parser = ["AES256", "aws:kms"])]
    pub sse: Option<String>,
    /// The key for aws:kms
    #[arg(long, value_name = "KEY")]
    pub sse_kms_key_id: Option<String>,
    /// Use a bucket key for aws:kms
    #[arg(long)]
    pub bucket_key: bool,
    /// Storage class, such as STANDARD_IA
    #[arg(long, value_name = "CLASS")]
    pub storage_class: Option<String>,
    /// A tag on every object; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    pub tag: Vec<(String, String)>,
    /// Canned ACL, such as bucket-owner-full-control
    #[arg(long, value_name = "ACL")]
    pub acl: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub struct ConfigArguments {
    /// The same options in TOML (bandwidth = "200Mbit/s"); what stands on the command line wins
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct StatusArguments {
    /// The migration's name
    pub name: Option<String>,
    /// Its state folder, where it was given one
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct ExportArguments {
    /// The migration's name
    pub name: String,
    /// The form of the records
    #[arg(long, value_enum, default_value = "jsonl")]
    pub format: ExportFormat,
    /// Its state folder, where it was given one
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// The form in which records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object per line
    Jsonl,
    /// Comma-separated values
    Csv,
    /// Apache Parquet
    Parquet,
}

#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// Tell whether a report is as it was signed
    #[command(after_help = REPORT_CHECK_EXAMPLES)]
    Check(ReportCheckArguments),
}

#[derive(Clone, Debug, Args)]
pub struct ReportCheckArguments {
    /// The report's folder
    pub folder: PathBuf,
    /// The signer's public key, as PEM [default: the one beside the report, which proves less]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct PathArguments {
    /// The migration's name
    pub name: String,
    /// The path, relative to the source root
    pub path: OsString,
    /// Its state folder, where it was given one
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct NameArguments {
    /// The migration's name
    pub name: String,
    /// Its state folder, where it was given one
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct ConfirmArguments {
    /// The migration's name
    pub name: String,
    /// What is gone at the source and stays for a time (--removals-after) goes now
    #[arg(long)]
    pub delayed: bool,
    /// Its state folder, where it was given one
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct CompletionsArguments {
    /// bash, elvish, fish, powershell or zsh
    pub shell: clap_complete::Shell,
}

fn metadata_level(text: &str) -> Result<MetadataLevel, String> {
    one_of(
        text,
        &[
            ("none", MetadataLevel::None),
            ("basic", MetadataLevel::Basic),
            ("full", MetadataLevel::Full),
        ],
    )
}

fn directory_markers(text: &str) -> Result<DirectoryMarkers, String> {
    one_of(text, &[("empty", DirectoryMarkers::Empty), ("all", DirectoryMarkers::All)])
}

fn existing(text: &str) -> Result<Existing, String> {
    one_of(
        text,
        &[
            ("check", Existing::Check),
            ("replace", Existing::Replace),
            ("trust", Existing::Trust),
            ("refuse", Existing::Refuse),
        ],
    )
}

fn repair(text: &str) -> Result<Repair, String> {
    one_of(text, &[("first", Repair::First), ("only", Repair::Only)])
}

fn extras(text: &str) -> Result<Extras, String> {
    one_of(text, &[("keep", Extras::Keep), ("remove", Extras::Remove)])
}

fn one_of<T: Copy>(text: &str, known: &[(&str, T)]) -> Result<T, String> {
    known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!("{text:?} is none of: {}", names.join(", "))
    })
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err(format!("{text:?} is no tag; write KEY=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// A longer line is broken in its middle.
    #[test]
    fn help_texts_fit_the_width_at_which_help_is_wrapped() {
        let mut open = vec![Cli::command()];
        while let Some(command) = open.pop() {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in text.lines() {
                assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
            }
            open.extend(command.get_subcommands().cloned());
        }
    }
}
