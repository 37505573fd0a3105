//! `--config FILE`: the options of the command line in TOML. Every entry is turned into the flag of
//! the same name and read by the same parser, so both mean the same and err the same.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches};

use crate::arguments::{Cli, Command};
use crate::exit::CommandError;

const FILE_BYTES_MAX: u64 = 1 << 20;
/// Commands that take a configuration; one file may serve all of them.
const COMMANDS: [&str; 3] = ["migrate", "verify", "doctor"];

/// What a run of a migration is told of itself alone, and what is kept otherwise.
const NOT_KEPT: [&str; 13] = [
    "live",
    "until-quiet",
    "fsimage",
    "dry-run",
    "report",
    "name",
    "state",
    "config",
    "json",
    "log",
    "log-format",
    "log-level",
    "forget-mount",
];

/// Why the command line came to nothing.
pub enum ParseError {
    /// What clap says: wrong flags, or a text that was asked for.
    Clap(clap::Error),
    /// The configuration file.
    Config(CommandError),
}

/// Reads the command line and the configuration file that it names.
///
/// # Errors
/// Wrong use, or a help text that was asked for.
pub fn parse(arguments: Vec<OsString>) -> Result<Cli, ParseError> {
    let matches = Cli::command().try_get_matches_from(&arguments).map_err(ParseError::Clap)?;
    let Some((name, chosen)) = matches.subcommand() else {
        return understood(&matches);
    };
    let file = COMMANDS
        .contains(&name)
        .then(|| chosen.get_one::<std::path::PathBuf>("config").cloned())
        .flatten();
    let Some(file) = file else { return understood(&matches) };
    let given = |option: &str| {
        chosen.value_source(&option.replace('-', "_")) == Some(ValueSource::CommandLine)
    };
    let text = read(&file).map_err(ParseError::Config)?;
    let flags =
        flags(&text, name, given).map_err(|reason| ParseError::Config(wrong(&file, &reason)))?;
    let mut joined = arguments;
    let at = joined.iter().position(|argument| argument == "--").unwrap_or(joined.len());
    joined.splice(at..at, flags);
    let matches = Cli::command().try_get_matches_from(joined).map_err(|error| {
        let told = error.to_string();
        let told = told.lines().next().unwrap_or_default().trim_start_matches("error: ");
        ParseError::Config(wrong(&file, told))
    })?;
    understood(&matches)
}

fn understood(matches: &ArgMatches) -> Result<Cli, ParseError> {
    let mut cli = Cli::from_arg_matches(matches).map_err(ParseError::Clap)?;
    if let (Command::Migrate(arguments), Some((name, chosen))) =
        (&mut cli.command, matches.subcommand())
    {
        arguments.flags = given_flags(name, chosen);
    }
    Ok(cli)
}

/// The options that were given, as flags with which the same can be asked for again.
fn given_flags(name: &str, chosen: &ArgMatches) -> Vec<String> {
    let mut command = Cli::command();
    command.build();
    let mut flags = Vec::new();
    for argument in command.find_subcommand(name).into_iter().flat_map(|it| it.get_arguments()) {
        let Some(long) = argument.get_long().filter(|long| !NOT_KEPT.contains(long)) else {
            continue;
        };
        let id = argument.get_id().as_str();
        if !matches!(chosen.try_contains_id(id), Ok(true))
            || chosen.value_source(id) != Some(ValueSource::CommandLine)
        {
            continue;
        }
        if !argument.get_action().takes_values() {
            flags.push(format!("--{long}"));
            continue;
        }
        let values = chosen.get_raw(id).into_iter().flatten();
        flags.extend(values.map(|value| format!("--{long}={}", value.to_string_lossy())));
    }
    flags
}

/// The flags that a file stands for, those left out that are given otherwise.
pub(crate) fn flags(
    text: &str,
    name: &str,
    given: impl Fn(&str) -> bool,
) -> Result<Vec<OsString>, String> {
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
    let (known, of_command) = (options(&COMMANDS), options(&[name]));
    let mut flags = Vec::new();
    for (key, value) in &table {
        if !known.contains(key) {
            let hint = known.iter().find(|option| option.replace('-', "_") == *key);
            let hint = hint.map(|option| format!("; write {option}")).unwrap_or_default();
            return Err(format!("there is no option {key:?}{hint}"));
        }
        let mut stands_for = Vec::new();
        add(&mut stands_for, key, value)?;
        if of_command.contains(key) && !given(key) {
            flags.append(&mut stands_for);
        }
    }
    Ok(flags)
}

fn add(flags: &mut Vec<OsString>, key: &str, value: &toml::Value) -> Result<(), String> {
    match value {
        toml::Value::Boolean(true) if is_switch(key) => flags.push(format!("--{key}").into()),
        toml::Value::Boolean(false) if is_switch(key) => {}
        _ if is_switch(key) => return Err(format!("{key} is true or false")),
        toml::Value::String(text) => flags.push(format!("--{key}={text}").into()),
        toml::Value::Integer(number) => flags.push(format!("--{key}={number}").into()),
        toml::Value::Array(_) if !takes_several(key) => {
            return Err(format!("{key} is one text, not a list"));
        }
        toml::Value::Array(items) => {
            for item in items {
                let text = item.as_str().ok_or_else(|| format!("{key} is a list of texts"))?;
                flags.push(format!("--{key}={text}").into());
            }
        }
        toml::Value::Boolean(_)
        | toml::Value::Float(_)
        | toml::Value::Datetime(_)
        | toml::Value::Table(_) => {
            return Err(format!("{key} is a text, a whole number or a list of texts"));
        }
    }
    Ok(())
}

/// Long names of all options of these commands that may stand in a file.
fn options(commands: &[&str]) -> BTreeSet<String> {
    let mut command = Cli::command();
    command.build();
    let chosen = commands.iter().filter_map(|name| command.find_subcommand(name));
    let names = chosen.flat_map(|command| command.get_arguments().filter_map(clap::Arg::get_long));
    names
        .filter(|name| !matches!(*name, "config" | "help" | "version"))
        .map(str::to_owned)
        .collect()
}

fn is_switch(key: &str) -> bool {
    acts(key, |action| !action.takes_values())
}

/// Of a list for another option all but the last would be lost.
fn takes_several(key: &str) -> bool {
    acts(key, |action| matches!(action, ArgAction::Append))
}

fn acts(key: &str, so: impl Fn(&ArgAction) -> bool) -> bool {
    let mut command = Cli::command();
    command.build();
    let mut commands = COMMANDS.iter().filter_map(|name| command.find_subcommand(name));
    commands.any(|command| {
        command.get_arguments().any(|a| a.get_long() == Some(key) && so(a.get_action()))
    })
}

fn read(file: &Path) -> Result<String, CommandError> {
    match std::fs::metadata(file) {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            return Err(wrong(file, "it is longer than 1 MiB"));
        }
        Ok(_) => {}
        Err(error) => return Err(wrong(file, &error.to_string())),
    }
    std::fs::read_to_string(file).map_err(|error| wrong(file, &error.to_string()))
}

fn wrong(file: &Path, reason: &str) -> CommandError {
    CommandError::usage(
        format!("configuration file {}: {reason}", file.display()),
        "correct the file; it takes the options of the command line, such as bandwidth = \
         \"200Mbit/s\"",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Command;
    use crate::timetable::bandwidth;

    fn parsed(config: &str, more: &[&str]) -> Result<Cli, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("whimbrel.toml");
        std::fs::write(&file, config).unwrap();
        let mut arguments: Vec<OsString> = vec!["whimbrel".into()];
        arguments.extend(more.iter().map(OsString::from));
        arguments.extend(["--config".into(), file.into()]);
        parse(arguments).map_err(|error| match error {
            ParseError::Clap(error) => error.to_string(),
            ParseError::Config(error) => error.message,
        })
    }

    fn migrate(config: &str, more: &[&str]) -> crate::arguments::MigrateArguments {
        let read = parsed(config, &[&["migrate", "/a", "/b"], more].concat()).unwrap();
        let Command::Migrate(arguments) = read.command else { panic!("{read:?}") };
        arguments
    }

    #[test]
    fn the_same_options_and_flags_win() {
        let config = "bandwidth = \"25MB/s\"\nlive = true\ninclude = [\"a\", \"b/**\"]\n\
                      transfers = 7\nexisting = \"trust\"\nadopt = false\n\
                      removals-max = 20\nremovals-share-max = \"none\"\nremovals-after = \"7d\"\n\
                      source-snapshots = \"only\"\n";
        let read = migrate(config, &[]);
        assert_eq!(read.limits.bandwidth, bandwidth("25MB/s").ok());
        assert!(read.live && !read.policy.adopt);
        assert_eq!(read.source_snapshots, Some(whimbrel_engine::Repair::Only));
        assert_eq!(read.scope.include, ["a", "b/**"]);
        assert_eq!(read.limits.transfers, Some(7));
        let bounds = read.guard.bounds();
        assert_eq!((bounds.count_max, bounds.share_max_percent), (Some(20), None));
        assert_eq!(read.guard.removals_after.as_secs(), 7 * 86_400);
        let read = migrate(config, &["--bandwidth", "1MB/s", "--include", "c"]);
        assert_eq!(read.limits.bandwidth, bandwidth("1MB/s").ok());
        assert_eq!(read.scope.include, ["c"]);
    }

    #[test]
    fn a_timetable_may_have_lines_of_its_own_and_is_kept_as_given() {
        let config = "bandwidth = '''\nmon-fri 08:00-18:00 1MB/s\notherwise 9MB/s\n'''\n";
        let read = migrate(config, &[]);
        let said = "mon-fri 08:00-18:00 1MB/s; otherwise 9MB/s";
        assert_eq!(read.limits.bandwidth, bandwidth(said).ok());
        let kept = read.flags.iter().find_map(|flag| flag.strip_prefix("--bandwidth="));
        assert_eq!(kept.map(bandwidth), Some(bandwidth(said)), "{:?}", read.flags);
    }

    #[test]
    fn one_file_serves_all_commands() {
        let config = "bandwidth = \"25MB/s\"\nexclude = [\"x\"]\n";
        let read = parsed(config, &["verify", "/a", "/b"]).unwrap();
        let Command::Verify(arguments) = read.command else { panic!("{read:?}") };
        assert_eq!(arguments.scope.exclude, ["x"]);
    }

    #[test]
    fn what_is_refused() {
        for (config, named) in [
            ("bandwith = \"25MB/s\"", "bandwith"),
            ("pending_max = 5", "pending-max"),
            ("bandwidth = 25", "25"),
            ("bandwidth = \"25\"", "25"),
            ("bandwidth = 2.5", "bandwidth"),
            ("bandwidth = [\"mon 5MB/s\", \"tue 5MB/s\"]", "bandwidth is one text"),
            ("bandwidth = \"mon 5MB/s; tues 5MB/s\"", "tues"),
            ("live = \"yes\"", "live"),
            ("live = 1", "live"),
            ("live = true\nsource-snapshots = true", "source-snapshots"),
            ("removals-share-max = 50", "50"),
            ("removals-after = 7", "7"),
            ("[limits]\nbandwidth = \"25MB/s\"", "limits"),
            ("config = \"other.toml\"", "config"),
            ("bandwidth = ", "whimbrel.toml"),
            ("include = [1]", "include"),
        ] {
            let error = parsed(config, &["migrate", "/a", "/b"]).unwrap_err();
            assert!(error.contains(named), "{config}: {error}");
        }
    }
}
