//! Programs that chores run.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

/// Says what is run, runs it, and fails unless it succeeds.
pub fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    eprintln!("\n== {}", text(command));
    let status = command.status().map_err(|error| format!("{}: {error}", text(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed", text(command)).into()) }
}

/// Runs a program and gives what it printed.
pub fn output(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let output = command.output().map_err(|error| format!("{}: {error}", text(command)))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} failed: {message}", text(command)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The cargo that runs this chore, in the workspace's folder.
pub fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace());
    // What cargo told this chore about itself: build scripts that look at it would run anew, and
    // all that depends on them would be built again, each time somebody changes between the two.
    for (name, _) in std::env::vars_os() {
        let told = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if told {
            command.env_remove(name);
        }
    }
    command
}

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    let mut folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.pop();
    folder
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => folder.into(),
        None => workspace().join("target"),
    }
}

fn text(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Runs this chore again in an optimised build, if this one is none: servers that are part of a
/// chore would be the limit of what it measures. True if that was done.
pub fn again_optimised() -> Result<bool, Box<dyn Error>> {
    if !cfg!(debug_assertions) {
        return Ok(false);
    }
    let mut again = cargo();
    again.args(["run", "--quiet", "--release", "--package", "xtask", "--"]);
    run(again.args(std::env::args_os().skip(1)))?;
    Ok(true)
}

/// Refuses the name of a workload that there is not.
pub fn refuse_unknown(
    only: &[String],
    workloads: impl Iterator<Item = &'static str>,
) -> Result<(), Box<dyn Error>> {
    let names: Vec<&str> = workloads.collect();
    match only.iter().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(format!("no workload {name}; there are {}", names.join(", ")).into()),
        None => Ok(()),
    }
}
