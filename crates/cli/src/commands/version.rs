//! `whimbrel version`.

use serde_json::json;

use crate::output;

/// Prints the version.
pub fn run(json: bool) -> u8 {
    let version = env!("CARGO_PKG_VERSION");
    if json {
        output::json_line("result", &json!({ "version": version }));
    } else {
        output::standard_output(&format!("whimbrel {version}"));
    }
    0
}
