//! Servers that die with the process that started them.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::TestbedError;

/// Kills the server when the pipe on its standard input closes, which the system does for us when
/// the test dies, and then deletes the folder unless told to keep it. `setpriv --pdeathsig` would
/// be shorter, but that signal comes when the *thread* ends that started the server, and tests are
/// threads.
const WATCH: &str = r#"
exec 3<&0
folder="$1"; shift
"$@" </dev/null 3<&- &
server=$!
{
  word=$(cat <&3)
  kill -9 $server 2>/dev/null
  [ "$word" = keep ] || rm -rf "$folder"
} &
exec 3<&-
wait $server
"#;

/// How long a server may take to answer its first request; the machine may be busy building.
const START_LIMIT: Duration = Duration::from_secs(120);

/// One server process, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Server {
    /// Starts the command with its output in `log`. When this process dies without dropping the
    /// server, `folder` is deleted.
    pub(crate) fn start(
        name: &str,
        command: &Command,
        log: &Path,
        folder: &Path,
    ) -> Result<Self, TestbedError> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.map_err(TestbedError::file(log))?;
        let errors = output.try_clone().map_err(TestbedError::file(log))?;
        let mut watched = Command::new("sh");
        watched.args(["-c", WATCH, "sh"]).arg(folder);
        watched.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => watched.env(key, value),
                None => watched.env_remove(key),
            };
        }
        let mut child = watched
            // Ctrl-C is for the program that was started by hand; the pipe tells the rest.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| TestbedError::start(name, error))?;
        let pipe = child.stdin.take();
        Ok(Self { name: name.to_owned(), child, pipe })
    }

    /// Waits until the server answers HTTP, whatever the answer is.
    pub(crate) fn wait_until_it_answers(
        &mut self,
        address: SocketAddr,
        log: &Path,
    ) -> Result<(), TestbedError> {
        let deadline = Instant::now() + START_LIMIT;
        while http(address, "GET", "/").is_err() {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                let message = format!("it gives no answer; its log:\n{}", tail(log));
                return Err(TestbedError::start(&self.name, message));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Server {
    /// What its processes have worked until now.
    pub(crate) fn processor_seconds(&self) -> f64 {
        group_processor_seconds(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whoever drops the server owns the folder and may want to start it there again.
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(b"keep");
        }
        let _ = self.child.wait();
    }
}

/// What the processes of a group have worked, in and for them. Children that have ended count with
/// their parents.
pub(crate) fn group_processor_seconds(group: u32) -> f64 {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let stats =
        processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter_map(|stat| seconds_in_group(&stat, group)).sum()
}

/// The times in a line of `/proc/N/stat`, if the process belongs to the group.
fn seconds_in_group(stat: &str, group: u32) -> Option<f64> {
    /// The kernel counts so for programs, whatever it does itself.
    const TICKS_PER_SECOND: f64 = 100.0;
    // The name stands in brackets and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks: Option<Vec<u64>> = (11..15).map(number).collect();
    (number(2)? == u64::from(group)).then_some(())?;
    Some(ticks?.into_iter().sum::<u64>() as f64 / TICKS_PER_SECOND)
}

/// A folder of its own for a server, deleted when dropped.
pub(crate) fn folder(name: &str) -> Result<TempDir, TestbedError> {
    tempfile::Builder::new()
        .prefix(&format!("whimbrel-{name}-"))
        .tempdir()
        .map_err(TestbedError::file(std::env::temp_dir()))
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr, TestbedError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| TestbedError::start("a listener", error))
}

/// One request without a body; returns the status.
pub(crate) fn http(address: SocketAddr, method: &str, path: &str) -> std::io::Result<u16> {
    let limit = Duration::from_secs(10);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\
        Connection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

/// The last lines of a log.
pub(crate) fn tail(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::seconds_in_group;

    #[test]
    fn times_are_read_behind_any_name() {
        let stat = "7 (a) b) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 3 2 20 0 1 0 9 8 7";
        assert_eq!(seconds_in_group(stat, 42), Some(2.05));
        assert_eq!(seconds_in_group(stat, 1), None);
    }
}
