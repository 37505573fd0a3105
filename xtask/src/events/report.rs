//! `docs/events.md`, from what was measured.

use serde_json::Value;

use super::WORKLOADS;

/// The newest line of each workload.
pub fn text(lines: &[Value]) -> String {
    let mut text = String::from("# Following the stream of changes\n");
    for (name, _) in WORKLOADS {
        let newest = lines.iter().rev().find(|line| line["call"]["workload"] == name);
        if let Some(line) = newest {
            text.push_str(&format!("\n## {name}\n{line}\n"));
        }
    }
    text
}
