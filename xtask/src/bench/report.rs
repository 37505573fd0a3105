//! `docs/benchmarks.md`, written from what was measured.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::figures::{Figures, Ratio, Spread};
use super::subject::Subject;
use super::workload::{Kind, WORKLOADS, Workload};

const INTRODUCTION: &str = "\
# Benchmarks

Written by `cargo xtask bench`, which fetches the peers, starts the servers and measures everybody in turn, \
round by round, on the same files. `--only WORKLOAD` measures one, `--small` tries it out. Each run is judged by \
what stands behind the server: every path, length and checksum; one that was not right does not count, and is \
told. Servers share the machine's cores with whoever is measured, and nothing is forced to the disk, so files a \
second are at times those of the server: then CPU tells more. Each figure is a median, with its range in brackets.

- **CPU** is what the tool's processes worked, in and for them. **Servers** is what versitygw, HDFS, the sink \
and the line worked meanwhile; **noise** is what the rest of the machine did.
- **Bare load** puts objects of the same lengths from memory, signed beforehand, with CRC32C: what the server can take.
- The **null sink** checks CRC32C and drops the bytes.
- A live migration is measured while it runs: its seconds count from the last change until the target is equal, its CPU by hundredths of a second, at least one.
- Whimbrel runs with its default settings: durable state, checksums, metadata, conditional writes.
- The files are the yardstick's: log-normal, median 20 kB, sigma 1.3, at most 8 MiB, 50 in a directory; large ones as told. They do not compress.

![Whimbrel beside the best peer](benchmarks.svg)
";

/// For each workload the last line at full size, or the last one at all.
pub fn chosen(lines: &[Value]) -> Vec<(&'static Workload, &Value)> {
    let of = |workload: &'static Workload| {
        let own = |line: &&Value| line["call"]["workload"] == json!(workload.name);
        let full = |line: &&Value| line["call"]["small"] == json!(false);
        let mut newest = lines.iter().rev().filter(own);
        let line = newest.clone().find(full).or_else(|| newest.next())?;
        Some((workload, line))
    };
    WORKLOADS.iter().filter_map(of).collect()
}

/// The document.
pub fn text(chosen: &[(&'static Workload, &Value)]) -> String {
    let mut text = INTRODUCTION.to_owned();
    write_ratios(&mut text, chosen);
    for (workload, line) in chosen {
        write_workload(&mut text, workload, line);
    }
    write_calls(&mut text, chosen);
    text
}

/// Writing to a text cannot fail.
macro_rules! add {
    ($($all:tt)*) => { let _ = writeln!($($all)*); };
}

fn write_ratios(text: &mut String, chosen: &[(&'static Workload, &Value)]) {
    text.push_str("\n## Whimbrel beside the others\nAbove 1 it is faster, or works less.\n\n");
    text.push_str("| workload | speed | CPU | beside its mark | set out to show |\n");
    text.push_str("|---|---|---|---|---|\n");
    for (workload, line) in chosen {
        for figures in Figures::of(workload, line) {
            let ratios = figures.ratios();
            let peers = |what: &str| {
                let found =
                    ratios.iter().find(|ratio| ratio.beside.is_peer() && ratio.what == what);
                found.map(told).unwrap_or_default()
            };
            let mark = ratios.iter().find(|ratio| !ratio.beside.is_peer());
            let mark = mark.map(told).unwrap_or_default();
            let (name, goal) = (title(&figures), workload.goal);
            if !ratios.is_empty() {
                let (speed, work) = (peers("speed"), peers("CPU") + &peers("calls"));
                add!(text, "| {name} | {speed} | {work} | {mark} | {goal} |");
            }
        }
    }
}

/// A ratio beside whom.
fn told(ratio: &Ratio) -> String {
    let what = if ratio.what == "calls" { "calls: " } else { "" };
    format!("{what}{} {}", spread(ratio.spread), ratio.beside.name())
}

fn title(figures: &Figures<'_>) -> String {
    let phase = match (figures.workload.kind, figures.phase) {
        (Kind::Again, "nothing") => ": nothing changed",
        (Kind::Again | Kind::Live, _) => ": one file in a thousand, at the same length",
        (Kind::Events, "outside") => ": beside the source",
        (Kind::Events, _) => ": in the source",
        (Kind::Copy | Kind::Calls, _) => "",
    };
    format!("{}{phase}", figures.workload.title)
}

fn write_workload(text: &mut String, workload: &'static Workload, line: &Value) {
    let number = |name: &str| line[name].as_f64().unwrap_or_default();
    let (files, bytes) = (number("files"), number("bytes"));
    let small = line["call"]["small"] == json!(true);
    for figures in Figures::of(workload, line) {
        add!(text, "\n## {}", title(&figures));
        let machine = &line["machine"];
        add!(
            text,
            "`{}`: {files} files, {:.1} MB, {} rounds; commit {}; {} cores, {} GiB, Linux {}.{}\n",
            workload.name,
            bytes / 1e6,
            line["call"]["pairs"],
            line["commit"].as_str().unwrap_or_default(),
            machine["cores"],
            machine["memory_gib"],
            machine["kernel"].as_str().unwrap_or_default(),
            if small {
                " **A small run: it shows that everything works, and no more.**"
            } else {
                ""
            }
        );
        match workload.kind {
            Kind::Events => write_events(text, &figures),
            Kind::Calls => write_system_calls(text, &figures, files),
            Kind::Copy | Kind::Again | Kind::Live => write_runs(text, &figures, files, bytes),
        }
    }
}

fn write_runs(text: &mut String, figures: &Figures<'_>, files: f64, bytes: f64) {
    let requests = if figures.workload.sink { " requests a file |" } else { "" };
    add!(
        text,
        "| | seconds | files/s | MB/s | CPU s | CPU ms/file | CPU s/GiB | peak MiB | servers' CPU s \
        | noise, CPU s |{requests}"
    );
    add!(text, "|---{}|", "|---".repeat(if figures.workload.sink { 10 } else { 9 }));
    for (subject, _) in figures.workload.subjects {
        write_subject(text, figures, *subject, files, bytes);
    }
}

/// How fast events came, and how far behind it was.
fn write_events(text: &mut String, figures: &Figures<'_>) {
    text.push_str("| | median (range) |\n|---|---|\n");
    let rows = [
        ("transactions of the NameNode", "transactions"),
        ("seconds in which they were made", "load_seconds"),
        ("seconds until all was done after the last", "behind_seconds"),
        ("lag while they were made, median, s", "lag_median_seconds"),
        ("lag while they were made, p99, s", "lag_p99_seconds"),
        ("CPU s", "processor_seconds"),
        ("servers' CPU s", "server_seconds"),
        ("noise, CPU s", "other_seconds"),
    ];
    for (title, name) in rows {
        let found = figures.spread(Subject::Whimbrel, name);
        add!(text, "| {title} | {} |", found.map(spread).unwrap_or_default());
    }
    let median = |name: &str| figures.spread(Subject::Whimbrel, name).map_or(0.0, |s| s.median);
    let (events, work) = (median("transactions"), median("processor_seconds"));
    let rate = events / median("load_seconds");
    add!(text, "| transactions a second | {rate:.0} |");
    add!(text, "| CPU µs a transaction | {:.0} |", work / events * 1e6);
    add!(text, "| peak MiB | {:.0} |", median("peak_bytes") / f64::from(1 << 20));
}

fn write_system_calls(text: &mut String, figures: &Figures<'_>, files: f64) {
    text.push_str("Counted by `strace -f -c`, what a run does once included.\n\n");
    text.push_str("| | calls a file | most frequent, a file |\n|---|---|---|\n");
    for (subject, _) in figures.workload.subjects {
        let Some(calls) = figures.spread(*subject, "calls/system_calls") else { continue };
        let mut runs = figures.line["runs"].as_array().into_iter().flatten();
        let run = runs.rfind(|run| run["subject"] == json!(subject.name()));
        let kinds = run.and_then(|run| run["calls"]["kinds"].as_object()).into_iter().flatten();
        let mut kinds: Vec<(f64, &String)> =
            kinds.filter_map(|(name, count)| Some((count.as_f64()? / files, name))).collect();
        kinds.sort_by(|one, other| other.0.total_cmp(&one.0));
        let kinds = kinds.iter().map(|(count, name)| format!("{name} {count:.1}"));
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        add!(text, "| {} | {:.1} | {kinds} |", subject.name(), calls.median / files);
    }
}

fn write_subject(
    text: &mut String,
    figures: &Figures<'_>,
    subject: Subject,
    files: f64,
    bytes: f64,
) {
    let failures = figures.failures(subject);
    let failed = if failures > 0 { format!(" ({failures} runs not right)") } else { String::new() };
    let name = format!("{}{failed}", subject.name());
    let get = |name: &str| figures.spread(subject, name);
    let (Some(wall), Some(work)) = (get("wall_seconds"), get("processor_seconds")) else {
        if failures > 0 {
            add!(text, "| {name} {}|", "| ".repeat(if figures.workload.sink { 10 } else { 9 }));
        }
        return;
    };
    let median = |name: &str| get(name).map_or(0.0, |spread| spread.median);
    let _ = write!(
        text,
        "| {name} | {} | {:.0} | {:.1} | {} | {:.3} | {:.2} | {:.0} | {:.2} | {:.2} |",
        spread(wall),
        files / wall.median,
        bytes / 1e6 / wall.median,
        spread(work),
        work.median * 1e3 / files,
        work.median / (bytes / f64::from(1 << 30)),
        median("peak_bytes") / f64::from(1 << 20),
        median("server_seconds"),
        median("other_seconds"),
    );
    if figures.workload.sink {
        let _ = write!(text, " {:.2} |", median("requests") / files);
    }
    text.push('\n');
}

fn spread(spread: Spread) -> String {
    format!("{:.2} ({:.2}-{:.2})", spread.median, spread.least, spread.most)
}

fn write_calls(text: &mut String, chosen: &[(&'static Workload, &Value)]) {
    text.push_str("\n## The calls\n");
    text.push_str("Keys and the region come from AWS's variables, unless they are shown.\n");
    if let Some((_, line)) = chosen.last() {
        let versions = line["versions"].as_object().into_iter().flatten();
        let versions = versions.filter_map(|(_, version)| version.as_str());
        let versions = versions.collect::<Vec<_>>().join("; ");
        add!(text, "Versions: {versions}; versitygw 1.7.0; Hadoop 3.5.0.");
    }
    for (workload, line) in chosen {
        add!(text, "\n`{}`\n", workload.name);
        for (_, call) in line["calls"].as_object().into_iter().flatten() {
            add!(text, "    {}", call.as_str().unwrap_or_default());
        }
    }
}
