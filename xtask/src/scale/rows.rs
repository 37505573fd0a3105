//! A state with very many rows.

use std::error::Error;

use super::tree::size;
use super::{Findings, command, example, numbers, room};

pub const ABOUT: &str = "`crates/ledger/examples/rows.rs` writes finished copies through the \
    interface that the engine uses, each durable as an open attempt first, 1,000 files in a \
    directory in the order of a scan, 2,000 changes at most in a transaction; a transaction that \
    was cut off left nothing. Another process asks 300 times about places all over the tree: a \
    page has 1,000 files, 512 entries are taken at once.";

/// What a row takes at most on the disk.
const BYTES_PER_ROW: u64 = 380;

/// Writes them and asks about them.
pub fn rows(rows: u64) -> Result<Findings, Box<dyn Error>> {
    let folder = tempfile::Builder::new().prefix("whimbrel-scale-").tempdir()?;
    // The largest number for which there is room, in millions.
    let fits = room::free_bytes(folder.path())? / BYTES_PER_ROW / 1_000_000 * 1_000_000;
    let rows = rows.min(fits);
    let mut findings = Findings::of(rows);
    let program = example("whimbrel-ledger", "rows")?;
    let (state, log) = (folder.path().join("state"), folder.path().join("log"));
    let places = [(&*state, "STATE"), (&*program, "rows")];
    for (what, step) in [("write", "written"), ("ask", "asked")] {
        let mut command = command(&program);
        command.arg(what).arg(&state).arg(rows.to_string());
        let (usage, said) = findings.run(step, &mut command, &places, &log)?;
        for (name, number) in numbers(&said) {
            let (name, unit) = match name.rsplit_once('_') {
                Some((name, "ms")) => (name, "ms"),
                Some((name, "seconds")) => (name, "s"),
                _ => (name, ""),
            };
            findings.note(step, &name.replace('_', " "), number, unit);
        }
        findings.goal_of_memory(step, &usage);
        if what == "write" {
            let bytes = size(&state)?;
            findings.note(step, "size", bytes as f64 / f64::from(1 << 20), "MiB");
            findings.note(step, "size of a row", bytes as f64 / rows as f64, "bytes");
        }
    }
    Ok(findings)
}
