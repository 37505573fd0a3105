//! System calls, which noise hardly touches.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// Kinds of calls that are told.
const TOLD_MAX: usize = 6;

/// The same call, counted by `strace` into a file.
pub fn counted(command: &Command, into: &Path) -> Command {
    // The first two arguments are those of what ends the process with this one.
    let (bound, words): (Vec<_>, Vec<_>) =
        command.get_args().enumerate().partition(|(index, _)| *index < 2);
    let plain = |words: Vec<(usize, &std::ffi::OsStr)>| -> Vec<std::ffi::OsString> {
        words.into_iter().map(|(_, word)| word.to_owned()).collect()
    };
    let mut traced = Command::new(command.get_program());
    traced.args(plain(bound)).args(["strace", "-f", "-c", "-o"]).arg(into).args(plain(words));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    traced
}

/// What was counted: all, and the most frequent by name.
pub fn read(text: &str) -> Result<Value, Box<dyn Error>> {
    let mut calls: Vec<(u64, &str)> = text.lines().filter_map(counts).collect();
    let total = calls.iter().position(|(_, name)| *name == "total");
    let (total, _) = calls.remove(total.ok_or("strace gave no total")?);
    calls.sort_by(|one, other| other.cmp(one));
    calls.truncate(TOLD_MAX);
    let kinds: Value = calls.into_iter().map(|(count, name)| (name.to_owned(), count)).collect();
    Ok(json!({"system_calls": total, "kinds": kinds}))
}

/// The count and the name in a line: share, seconds, microseconds a call, calls, perhaps errors.
fn counts(line: &str) -> Option<(u64, &str)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.first()?.parse::<f64>().ok()?;
    Some((words.get(3)?.parse().ok()?, words.last()?))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn calls_are_counted_with_errors_and_without() {
        let text = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            60.00    0.000030          10        30         2 futex\n \
            40.00    0.000020           1        12           read\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.000050           1        42         2 total\n";
        let counted = read(text).unwrap();
        assert_eq!(counted["system_calls"], 42);
        assert_eq!(counted["kinds"]["futex"], 30);
        assert!(read("").is_err());
    }
}
