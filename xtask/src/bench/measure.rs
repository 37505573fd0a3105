//! What a command costs.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use wait4::Wait4;

/// The kernel counts so for programs, whatever it does itself.
pub const TICK_SECONDS: f64 = 0.01;
/// No run of the bench takes so long.
const LIMIT: Duration = Duration::from_secs(900);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One run.
#[derive(Clone, Debug)]
pub struct Usage {
    /// From start to end.
    pub wall_seconds: f64,
    /// Worked by the command and what it started, in and for them.
    pub processor_seconds: f64,
    /// The largest of these processes, at its largest.
    pub peak_bytes: u64,
    /// Worked by the servers.
    pub server_seconds: f64,
    /// Worked by all the rest of the machine: noise.
    pub other_seconds: f64,
}

impl Usage {
    /// As it is kept.
    pub fn json(&self) -> Value {
        json!({
            "wall_seconds": rounded(self.wall_seconds),
            "processor_seconds": rounded(self.processor_seconds),
            "peak_bytes": self.peak_bytes,
            "server_seconds": rounded(self.server_seconds),
            "other_seconds": rounded(self.other_seconds),
        })
    }
}

/// To a tenth of a millisecond.
pub fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

/// Runs the command to its end with its output in a file. `servers` tells what the servers have
/// worked until now. Fails when the command does, with the end of its output.
pub fn run(
    command: &mut Command,
    output: &Path,
    servers: &dyn Fn() -> f64,
) -> Result<Usage, Box<dyn Error>> {
    run_within(LIMIT, command, output, servers)
}

/// The same for what takes longer: it is killed after `limit`.
pub fn run_within(
    limit: Duration,
    command: &mut Command,
    output: &Path,
    servers: &dyn Fn() -> f64,
) -> Result<Usage, Box<dyn Error>> {
    let file = File::create(output)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let (servers_before, busy_before) = (servers(), machine_seconds()?);
    let begin = Instant::now();
    let child = command.spawn()?;
    let pid = Pid::from_child(&child);
    let (ended, watched) = channel::<()>();
    let watch = std::thread::spawn(move || watch(pid, limit, &watched));
    let waited = child.wait4()?;
    let wall_seconds = begin.elapsed().as_secs_f64();
    let _ = ended.send(());
    let peak_bytes = watch.join().map_err(|_| "the watch has died")?;
    let processor_seconds = (waited.rusage.utime + waited.rusage.stime).as_secs_f64();
    let server_seconds = servers() - servers_before;
    let busy_seconds = machine_seconds()? - busy_before;
    if !waited.status.success() {
        let said = fs::read(output)?;
        let said = String::from_utf8_lossy(&said);
        let tail = said.lines().rev().take(5).collect::<Vec<_>>();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        return Err(format!("{}: {tail}", waited.status).into());
    }
    Ok(Usage {
        wall_seconds,
        processor_seconds,
        peak_bytes,
        server_seconds,
        other_seconds: (busy_seconds - processor_seconds - server_seconds).max(0.0),
    })
}

/// Looks again and again how large the process has been, until the end is told; gives the last
/// answer. What the system says when it has ended would count this chore's own size, with which a
/// process begins.
fn watch(pid: Pid, limit: Duration, ended: &Receiver<()>) -> u64 {
    let deadline = Instant::now() + limit;
    let mut peak = 0;
    while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        peak = u64::max(peak, peak_bytes(pid.as_raw_nonzero().get().unsigned_abs()));
        if Instant::now() > deadline {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    peak
}

/// How large a process has been since it began its program; 0 when it has ended.
pub fn peak_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    let kilobytes: u64 = number.and_then(|number| number.parse().ok()).unwrap_or_default();
    kilobytes << 10
}

/// What this process has worked until now: servers that are part of it.
pub fn own_seconds() -> f64 {
    process_seconds("self")
}

/// What a process has worked until now, its children aside.
pub fn process_seconds(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * TICK_SECONDS
}

/// What the machine has worked until now.
pub fn machine_seconds() -> Result<f64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/stat")?;
    let first = text.lines().next().unwrap_or_default();
    let numbers = first.split_whitespace().skip(1).map(str::parse::<f64>);
    let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    // User, nice, system; neither idle nor waiting; interrupts of both kinds.
    let busy = [0, 1, 2, 5, 6].iter().filter_map(|index| numbers.get(*index)).sum::<f64>();
    Ok(busy * TICK_SECONDS)
}
