//! The command `whimbrel`.

use std::process::ExitCode;

fn main() -> ExitCode {
    whimbrel_cli::main()
}
