//! `docs/events.md`, from what was measured.

use std::fmt::Write;

use serde_json::Value;

use super::WORKLOADS;

const HEAD: &str = "# Following the stream of changes

`cargo xtask events` wrote this from [events.jsonl](events.jsonl): the newest line of each workload.
A NameNode of the testbed is changed in many ways, a tenth of it below `/record/part`, and what it
answers to `getEditsFromTxid` is kept. That is told again and again, behind a position of the same
NameNode, which answers everything else; so the command that is measured is the real one, with its
ledger on a disk. The target takes whatever it is given. NameNode, target and command share the
machine.
";

const ABOUT: [(&str, &str); 7] = [
    ("record", "What the NameNode told of the changes."),
    (
        "decode",
        "One thread reads the replies from a connection, decodes them, cuts them to the scope and \
         hands them to the core; seconds of a processor. The ledger is left out.",
    ),
    (
        "sustained",
        "Everything is in scope, and each round has paths of its own, at which nothing stands any \
         more when they are looked at. Durable: what the ledger has counted.",
    ),
    ("at-once", "The same events, all of them there at the beginning."),
    (
        "lag",
        "A tenth is in scope, and the paths are the same in each round. `lag`: as the command \
         says; `behind`: for how long the oldest event that was not told yet had been there, at \
         each look.",
    ),
    (
        "cluster",
        "The NameNode's own stream while eight clients make empty files as fast as it lets them, \
         beside the migrated directory and inside it. The clients are part of the NameNode's \
         process, and so of what following adds to its work. For each answer the NameNode reads \
         its open segment anew, and by default an answer holds 1,000 events.",
    ),
    (
        "cluster-large-answers",
        "The same where `dfs.namenode.inotify.max.events.per.rpc` is 20,000, as `whimbrel doctor` \
         asks for on a busy cluster.",
    ),
];

/// The newest line of each workload.
pub fn text(lines: &[Value]) -> String {
    let mut text = HEAD.to_owned();
    for (name, _) in WORKLOADS {
        let newest = lines.iter().rev().find(|line| line["call"]["workload"] == name);
        let about = ABOUT.iter().find(|(about, _)| *about == name).map_or("", |(_, text)| text);
        if let Some(line) = newest {
            section(&mut text, name, about, line);
        }
    }
    text
}

fn section(text: &mut String, name: &str, about: &str, line: &Value) {
    let (call, machine) = (&line["call"], &line["machine"]);
    let _ = writeln!(text, "\n## {name}\n{about}\n");
    if let Some(goal) = line["goal"].as_str() {
        let met = if line["passed"] == Value::Bool(true) { "met" } else { "**not met**" };
        let _ = writeln!(text, "Set out: {goal}. It was {met}.\n");
    }
    let _ = writeln!(
        text,
        "`cargo xtask events --only {name} --seconds {} --operations {}` at commit {}, {} cores, \
         {} GiB, Linux {}\n",
        call["seconds"],
        call["operations"],
        line["commit"].as_str().unwrap_or_default(),
        machine["cores"],
        machine["memory_gib"],
        machine["kernel"].as_str().unwrap_or_default(),
    );
    text.push_str("| | |\n|---|---|\n");
    let known = ["call", "commit", "goal", "machine", "passed", "sources"];
    for (what, found) in line.as_object().into_iter().flatten() {
        match found.as_object() {
            _ if known.contains(&what.as_str()) => {}
            Some(parts) => {
                for (part, found) in parts {
                    row(text, &format!("{what}: {part}"), found);
                }
            }
            None => row(text, what, found),
        }
    }
}

fn row(text: &mut String, what: &str, found: &Value) {
    let found = match found.as_f64() {
        Some(number) if found.is_f64() => format!("{number:.4}"),
        Some(_) | None => found.to_string().trim_matches('"').to_owned(),
    };
    let _ = writeln!(text, "| {} | {found} |", what.replace('_', " "));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_line_counts_and_says_where_it_falls_short() {
        let line = |passed: bool, rate: f64| {
            json!({"call": {"workload": "lag", "seconds": 9, "operations": 7}, "commit": "c",
                "goal": "soon", "passed": passed, "part": {"events_per_second": rate}})
        };
        let text = text(&[line(true, 1.0), line(false, 2.5)]);
        assert!(text.contains("Set out: soon. It was **not met**."), "{text}");
        assert!(text.contains("| part: events per second | 2.5000 |"), "{text}");
        assert!(!text.contains("1.0000") && !text.contains("## decode"), "{text}");
    }
}
