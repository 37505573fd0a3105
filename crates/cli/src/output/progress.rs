//! Progress of a run: a live display on a terminal, a line every ten seconds elsewhere, JSON lines
//! for programs.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use whimbrel_engine::{Progress, SlowedDown};

use super::result::{bytes, count, grouped};
use crate::output;

const LIVE_EVERY: Duration = Duration::from_millis(500);
const LINE_EVERY: Duration = Duration::from_secs(10);
const JSON_EVERY: Duration = Duration::from_secs(2);
const WIDTH_USUAL: usize = 80;
const ROWS_USUAL: usize = 24;

/// Shows progress until it is dropped.
pub struct Display {
    json: bool,
    live: bool,
    shown: Vec<Shown>,
    drawn: Option<Instant>,
    /// Lines of the live display that stand on the terminal.
    lines: usize,
}

/// What is shown of one migration.
struct Shown {
    name: String,
    /// When its last line was written.
    told: Option<Instant>,
    newest: Option<Progress>,
}

impl Display {
    /// A display for the migrations of these names.
    pub fn new(names: &[String], json: bool) -> Self {
        let live = std::io::stderr().is_terminal();
        let shown = |name: &String| Shown { name: name.clone(), told: None, newest: None };
        let shown = names.iter().map(shown).collect();
        Self { json, live, shown, drawn: None, lines: 0 }
    }

    /// Shows where the run of that number stands, as often as is fit.
    pub fn show(&mut self, number: usize, progress: &Progress) {
        let now = Instant::now();
        let due = |last: Option<Instant>, every| last.is_none_or(|at| now - at >= every);
        let several = self.shown.len() > 1;
        let Some(shown) = self.shown.get_mut(number) else { return };
        if self.json && due(shown.told, JSON_EVERY) {
            shown.told = Some(now);
            let mut fields = fields(progress);
            if several {
                fields.insert("migration".to_owned(), shown.name.as_str().into());
            }
            output::json_line("progress", &fields);
        }
        if self.live {
            shown.newest = Some(progress.clone());
            if due(self.drawn, LIVE_EVERY) {
                self.drawn = Some(now);
                self.draw();
            }
        } else if !self.json && due(shown.told, LINE_EVERY) {
            if shown.told.is_some() {
                let whose = if several { format!("{}: ", shown.name) } else { String::new() };
                output::standard_error(&format!("{} {whose}{}", output::now(), brief(progress)));
            }
            shown.told = Some(now);
        }
    }

    /// Shows nothing of that run any more.
    pub fn remove(&mut self, number: usize) {
        self.clear();
        if let Some(shown) = self.shown.get_mut(number) {
            shown.newest = None;
        }
    }

    /// Takes the live display away, so that something else can be written.
    pub fn clear(&mut self) {
        if self.lines > 0 {
            let text = format!("\x1b[{}A\x1b[J", self.lines);
            self.lines = 0;
            write(&text);
        }
    }

    fn draw(&mut self) {
        let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
        let known = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 1);
        let width = known.unwrap_or(WIDTH_USUAL);
        let rows = size.map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 1);
        let lines = self.block(rows.unwrap_or(ROWS_USUAL) - 1);
        let mut text = String::new();
        if self.lines > 0 {
            text.push_str(&format!("\x1b[{}A\x1b[J", self.lines));
        }
        for line in &lines {
            text.extend(line.chars().take(width - 1));
            text.push('\n');
        }
        self.lines = lines.len();
        write(&text);
    }

    /// Some lines of each, or one where there is no room for more.
    fn block(&self, rows_max: usize) -> Vec<String> {
        let all =
            || self.shown.iter().filter_map(|shown| Some((&shown.name, shown.newest.as_ref()?)));
        let whole: Vec<String> = all().flat_map(|(name, progress)| block(name, progress)).collect();
        if whole.len() <= rows_max || self.shown.len() == 1 {
            return whole;
        }
        let brief = all().map(|(name, progress)| format!("{name}: {}", brief(progress)));
        brief.take(rows_max).collect()
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.clear();
    }
}

/// As it stands in JSON: sums over the migration under their own names, those of this run with
/// `run_` before them.
pub fn fields(progress: &Progress) -> Map<String, Value> {
    flattened(serde_json::to_value(progress).unwrap_or_default())
}

/// The same of what came through the socket.
pub fn flattened(progress: Value) -> Map<String, Value> {
    let Value::Object(mut fields) = progress else { return Map::new() };
    for (group, prefix) in [("counters", ""), ("run", "run_")] {
        if let Some(Value::Object(sums)) = fields.remove(group) {
            for (name, value) in sums {
                fields.insert(format!("{prefix}{name}"), value);
            }
        }
    }
    fields
}

fn block(name: &str, progress: &Progress) -> Vec<String> {
    let run = &progress.run;
    let phase = if progress.paused { "paused" } else { progress.phase };
    let mut lines = vec![
        format!("{name}: {phase}, {}", clock(progress.elapsed_seconds)),
        format!(
            "  scanned {} | copied {}, {} | {}/s",
            grouped(run.files_scanned),
            count(run.files_copied, "file", "files"),
            bytes(run.bytes_copied),
            bytes(progress.bytes_per_second)
        ),
    ];
    let pending = progress.pending_live + progress.pending_backlog + progress.pending_metadata;
    let left = progress.eta_seconds.map_or_else(
        || "time left not known yet".to_owned(),
        |seconds| format!("time left {}", clock(seconds as f64)),
    );
    lines.push(format!(
        "  pending {} | in flight {} | unchanged {} | removed {} | {left}",
        grouped(pending),
        progress.copies,
        grouped(run.files_skipped),
        grouped(run.files_removed)
    ));
    if let Some(transactions) = progress.lag_transactions {
        let history = progress.history_seconds.map_or_else(
            || "edit history left not known".to_owned(),
            |seconds| format!("edit history left {}", clock(seconds as f64)),
        );
        lines.push(format!(
            "  changes {} | lag {:.1} s, {} transactions | {history}",
            grouped(run.changes_seen),
            progress.lag_seconds,
            grouped(transactions)
        ));
    }
    let next = progress.bandwidth_next_bytes.zip(progress.bandwidth_next_ms);
    lines.extend(next.map(|next| format!("  {}", bandwidth(progress.bandwidth_bytes, Some(next)))));
    lines.extend(troubles(progress).map(|text| format!("  {text}")));
    lines
}

/// In one line.
fn brief(progress: &Progress) -> String {
    let run = &progress.run;
    let mut parts = vec![
        progress.phase.to_owned(),
        format!("scanned {}", run.files_scanned),
        format!("copied {} {}", count(run.files_copied, "file", "files"), bytes(run.bytes_copied)),
        format!("{}/s", bytes(progress.bytes_per_second)),
        format!(
            "pending {}",
            progress.pending_live + progress.pending_backlog + progress.pending_metadata
        ),
    ];
    if let Some(transactions) = progress.lag_transactions {
        parts.push(format!("changes {}", run.changes_seen));
        parts.push(format!("lag {:.1} s, {transactions} transactions", progress.lag_seconds));
    }
    if let Some(seconds) = progress.eta_seconds.filter(|seconds| *seconds > 0) {
        parts.push(format!("time left {}", clock(seconds as f64)));
    }
    parts.extend(troubles(progress));
    parts.join(", ")
}

fn troubles(progress: &Progress) -> impl Iterator<Item = String> {
    let count = |number: u64, what: &str| (number > 0).then(|| format!("{number} {what}"));
    [
        count(progress.failures, "failed"),
        count(progress.files_open, "open at the source"),
        count(progress.guarded, "removals wait for whimbrel confirm"),
        delayed(progress.removals_delayed, progress.removals_delayed_next_ms)
            .map(|text| format!("delayed: {text}")),
        lost("source", progress.source_lost_seconds),
        root_lost(progress.source_root_lost_seconds),
        target_lost(progress.target_lost_seconds, progress.target_full),
        slowed_down(&progress.slowed),
        unknown_outcomes(progress.unknown_outcomes, progress.unknown_outcomes_seconds_max),
    ]
    .into_iter()
    .flatten()
}

/// A side that does not answer; `None` while it does.
pub fn lost(side: &str, seconds: Option<f64>) -> Option<String> {
    seconds.map(|seconds| format!("the {side} has not answered for {}", clock(seconds)))
}

/// The same of the target, which may answer and have no room.
pub fn target_lost(seconds: Option<f64>, full: bool) -> Option<String> {
    match seconds.filter(|_| full) {
        Some(seconds) => Some(format!("the target has been full for {}", clock(seconds))),
        None => lost("target", seconds),
    }
}

/// Another directory stands at the source's root, or none; `None` while it is the right one.
pub fn root_lost(seconds: Option<f64>) -> Option<String> {
    let told = "waits for the source's root, which is gone or another directory since";
    seconds.map(|seconds| format!("{told} {}", clock(seconds)))
}

/// How many bytes are allowed, and what a timetable allows next, as the socket tells it; `None`:
/// as many as can be had, and for ever.
pub fn allowed_bandwidth(told: &Value) -> Option<String> {
    let number = |name: &str| told.get(name).and_then(Value::as_u64);
    let now = number("bandwidth_bytes")?;
    let next = number("bandwidth_next_bytes").zip(number("bandwidth_next_ms"));
    (now > 0 || next.is_some()).then(|| bandwidth(now, next))
}

/// The same of numbers: bytes per second, 0 for none; those that come next, and when.
fn bandwidth(now: u64, next: Option<(u64, u64)>) -> String {
    let rate = |per_second: u64| match per_second {
        0 => "unlimited".to_owned(),
        _ => format!("at most {}/s", bytes(per_second)),
    };
    let turn = next.map(|(then, at)| format!(" until {}, then {}", hour(at), rate(then)));
    format!("bandwidth: {}{}", rate(now), turn.unwrap_or_default())
}

/// What is gone at the source and stays for a time, and when the first of it goes; `None`: nothing.
pub fn delayed(count: u64, next_ms: Option<u64>) -> Option<String> {
    let paths = match count {
        0 => return None,
        1 => "1 path gone at the source".to_owned(),
        _ => format!("{} paths gone at the source", grouped(count)),
    };
    let next = next_ms.map(|at| format!(", the first removed after {}", hour(at)));
    Some(format!("{paths}{}", next.unwrap_or_default()))
}

/// A time as the clock on the wall shows it.
pub fn hour(millis: u64) -> String {
    let at = i64::try_from(millis).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    let at = at.unwrap_or_default().to_zoned(TimeZone::system());
    at.strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}

/// Who asked for less, and how fast it is asked now; `None`: nobody.
pub fn slowed_down(slowed: &SlowedDown) -> Option<String> {
    let part = |side: &str, what: &str, rate: Option<u64>| {
        rate.map(|rate| format!("the {side} asks for less: {} {what}/s", grouped(rate)))
    };
    let prefixes = match slowed.prefixes.first_key_value() {
        None => None,
        Some((name, rate)) => {
            let (rate, name) = (grouped(*rate), output::printable(name));
            let more = match slowed.prefixes.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Some(format!("the target asks for less: {rate} requests/s below {name}/{more}"))
        }
    };
    let parts = [
        part("source", "calls", slowed.source_calls),
        part("target", "requests", slowed.target_requests),
        prefixes,
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What a run waits for before it says that both sides are equal; `None` for nothing.
pub fn unknown_outcomes(count: u64, seconds_max: Option<f64>) -> Option<String> {
    let outcomes = match count {
        0 => return None,
        1 => "1 write that was not answered".to_owned(),
        _ => format!("{} writes that were not answered", grouped(count)),
    };
    Some(match seconds_max {
        Some(seconds) => {
            let clock = clock(seconds.ceil());
            format!("waits at most {clock} until no late effect can come of {outcomes}")
        }
        None => outcomes,
    })
}

/// Hours, minutes and seconds as far as they matter.
fn clock(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 1e12).round() as u64;
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}

fn write(text: &str) {
    let mut output = std::io::stderr().lock();
    if let Err(error) = output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        tracing::debug!(%error, "nobody reads standard error any more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people() {
        for (seconds, expected) in [
            (0.4, "0 s"),
            (59.0, "59 s"),
            (61.0, "1 min 1 s"),
            (3661.0, "1 h 1 min"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(clock(seconds), expected);
        }
    }

    #[test]
    fn sums_stand_under_their_own_names() {
        let mut progress = Progress { phase: "running", ..Progress::default() };
        progress.counters.files_copied = 7;
        progress.run.files_copied = 3;
        let fields = fields(&progress);
        assert_eq!((&fields["files_copied"], &fields["run_files_copied"]), (&7.into(), &3.into()));
        assert!(!fields.contains_key("counters") && !fields.contains_key("run"));
    }

    #[test]
    fn bandwidth_in_words() {
        let day = Timestamp::from_second(1_774_746_000).unwrap().to_zoned(TimeZone::system());
        let day = day.strftime("%a %Y-%m-%d %H:%M %Z").to_string();
        for (now, next, expected) in [
            (0, None, None),
            (1 << 20, None, Some("bandwidth: at most 1.0 MiB/s".to_owned())),
            (
                2_048,
                Some(0),
                Some(format!("bandwidth: at most 2.0 KiB/s until {day}, then unlimited")),
            ),
            (
                0,
                Some(1_024),
                Some(format!("bandwidth: unlimited until {day}, then at most 1.0 KiB/s")),
            ),
        ] {
            let progress = Progress {
                bandwidth_bytes: now,
                bandwidth_next_bytes: next,
                bandwidth_next_ms: next.map(|_| 1_774_746_000_000),
                ..Progress::default()
            };
            assert_eq!(allowed_bandwidth(&Value::Object(fields(&progress))), expected);
            let told = block("name", &progress).join("\n");
            assert_eq!(told.contains("bandwidth: "), next.is_some(), "{told}");
        }
    }

    #[test]
    fn several_share_the_terminal() {
        let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
        let mut display = Display::new(&names, false);
        for shown in display.shown.iter_mut().take(2) {
            shown.newest = Some(Progress { phase: "running", ..Progress::default() });
        }
        let whole = display.block(ROWS_USUAL);
        assert!(whole.len() > 4 && whole[0].starts_with("a: running"), "{whole:?}");
        assert!(whole.iter().any(|line| line.starts_with("b: running")), "{whole:?}");
        for (rows, expected) in [(4, 2), (1, 1)] {
            let brief = display.block(rows);
            assert_eq!(brief.len(), expected, "{brief:?}");
            assert!(brief[0].starts_with("a: running, scanned 0"), "{brief:?}");
        }
        display.remove(0);
        assert!(display.block(4)[0].starts_with("b: running"));
    }

    #[test]
    fn troubles_are_named() {
        let progress = Progress {
            phase: "running",
            failures: 2,
            target_lost_seconds: Some(70.0),
            slowed: SlowedDown {
                source_calls: Some(1_200),
                target_requests: None,
                prefixes: [("a".to_owned(), 9), ("b".to_owned(), 5)].into(),
            },
            unknown_outcomes: 3,
            unknown_outcomes_seconds_max: Some(61.2),
            ..Progress::default()
        };
        let line = brief(&progress);
        assert!(line.contains("2 failed, the target has not answered for 1 min 10 s"), "{line}");
        let slower = "the source asks for less: 1,200 calls/s, \
                      the target asks for less: 9 requests/s below a/ and 1 more";
        assert!(line.contains(slower), "{line}");
        let waits = "waits at most 1 min 2 s until no late effect can come of 3 writes";
        assert!(line.contains(waits), "{line}");
    }
}
