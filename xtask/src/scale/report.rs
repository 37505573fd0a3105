//! `docs/scale.md`, written from what was measured.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{WORKLOADS, Workload};

const INTRODUCTION: &str = "\
# Very many files, rows and inodes

Written by `cargo xtask scale`, which makes what is large, measures and removes it; what was \
found is kept in `scale.jsonl`, and measured again when the sources have changed. `--only \
WORKLOAD` measures one, `--share 1` tries it out at a hundredth of the size. Peak memory is the \
largest that the process was (`VmHWM`); processor time is what it worked; the rest of the \
machine is what others worked meanwhile, the sink aside: noise.
";

/// Writing to a text cannot fail.
macro_rules! add {
    ($($all:tt)*) => { let _ = writeln!($($all)*); };
}

/// The document: of each workload the newest line.
pub fn text(lines: &[Value]) -> String {
    let newest = |workload: &Workload| {
        lines.iter().rev().find(|line| line["call"]["workload"] == json!(workload.name))
    };
    let measured: Vec<_> = WORKLOADS.iter().filter_map(|one| Some((one, newest(one)?))).collect();
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n| set out to show | wanted | found | |\n|---|---|---|---|\n");
    for (workload, line) in &measured {
        for goal in list(&line["goals"]) {
            let name = workload.name;
            let [what, wanted, found] =
                ["what", "wanted", "found"].map(|key| goal[key].as_str().unwrap_or_default());
            let met = if goal["met"] == json!(true) { "" } else { "**missed**" };
            add!(text, "| `{name}`: {what} | {wanted} | {found} | {met} |");
        }
    }
    for (workload, line) in measured {
        text.push('\n');
        text.push_str(&section(workload, line));
    }
    text
}

/// What was found of one workload.
pub fn section(workload: &Workload, line: &Value) -> String {
    let mut text = String::new();
    add!(text, "## {}", workload.title);
    add!(text, "`{}`: {}", workload.name, workload.about);
    add!(text);
    let machine = &line["machine"];
    let commit = line["commit"].as_str().map(|it| format!("commit {it}; ")).unwrap_or_default();
    let [cores, memory] = ["cores", "memory_gib"].map(|key| machine[key].as_u64().unwrap_or(0));
    let kernel = machine["kernel"].as_str().unwrap_or_default();
    let size = line["size"].as_u64().unwrap_or(0);
    add!(text, "Measured with {size}; {commit}{cores} cores, {memory} GiB, Linux {kernel}.");
    if size < workload.size {
        add!(text, "**That is less than {}.**", workload.size);
    }
    add!(text);
    for call in list(&line["calls"]) {
        add!(text, "    {}", call.as_str().unwrap_or_default());
    }
    text.push_str("\n| step | what | found |\n|---|---|---|\n");
    for figure in list(&line["figures"]) {
        let [step, what, unit] =
            ["step", "what", "unit"].map(|key| figure[key].as_str().unwrap_or_default());
        let value = shown(figure["value"].as_f64().unwrap_or(0.0));
        add!(text, "| {step} | {what} | {} |", format!("{value} {unit}").trim_end());
    }
    add!(text);
    for goal in list(&line["goals"]) {
        let [what, wanted, found] =
            ["what", "wanted", "found"].map(|key| goal[key].as_str().unwrap_or_default());
        let met = if goal["met"] == json!(true) { "reached" } else { "**missed**" };
        add!(text, "- {what}: {wanted}; {found}: {met}");
    }
    text
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Three digits at least, and no more after the point than that takes.
fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        large if large >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn a_missed_goal_and_a_lesser_size_are_told() {
        let line = |size: u64, met: bool| {
            json!({
                "call": {"workload": "rows"}, "commit": "abc", "size": size,
                "calls": ["rows write STATE 7"], "machine": {"cores": 2},
                "figures": [{"step": "written", "what": "size", "value": 1234.5, "unit": "MiB"}],
                "goals": [{"what": "peak", "wanted": "little", "found": "much", "met": met}],
            })
        };
        let reached = text(&[line(7, false), line(100_000_000, true)]);
        assert!(!reached.contains("missed") && !reached.contains("less than"), "{reached}");
        assert!(reached.contains("| written | size | 1234 MiB |"), "{reached}");
        let missed = text(&[line(100_000_000, true), line(7, false)]);
        assert!(missed.contains("| `rows`: peak | little | much | **missed** |"), "{missed}");
        assert!(missed.contains("**That is less than 100000000.**"), "{missed}");
    }
}
