//! `whimbrel completions SHELL`.

use clap::CommandFactory;
use serde_json::json;

use crate::arguments::{Cli, CompletionsArguments};
use crate::output;

/// Prints the completions for a shell; for programs as the `script` of the result.
pub fn run(arguments: &CompletionsArguments, json: bool) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "whimbrel", &mut script);
    let script = String::from_utf8_lossy(&script);
    if json {
        let shell = arguments.shell.to_string();
        output::json_line("result", &json!({ "shell": shell, "script": script }));
    } else {
        output::standard_output(script.trim_end());
    }
    0
}
