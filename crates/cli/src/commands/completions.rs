//! `whimbrel completions SHELL`.

use clap::CommandFactory;

use crate::arguments::{Cli, CompletionsArguments};
use crate::output;

/// Prints the completions for a shell.
pub fn run(arguments: &CompletionsArguments) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "whimbrel", &mut script);
    output::standard_output(String::from_utf8_lossy(&script).trim_end());
    0
}
