//! Runs what may notice a mutant: tests and random histories, cheapest first.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::book::{Asked, Verdict};
use super::tree::{Built, Tree};
use crate::process::workspace;

/// The variable that says which mutant is on.
const CHOSEN: &str = "WHIMBREL_MUTANT";
/// The variable that says where to note what is reached.
const REACHED: &str = "WHIMBREL_MUTANTS_REACHED";
/// A mutant that keeps what it should let go is ended before the machine suffers.
const MEMORY_BYTES_MAX: u64 = 3 << 30;
/// Random tests ask all the same, and are not told what failed with another mutant: a failure that
/// the code itself can bring would be put down to every mutant after it.
const SAME_FOR_ALL: [(&str, &str); 2] =
    [("PROPTEST_RNG_SEED", "1"), ("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")];
/// Where nothing waits for a disk.
const MEMORY_FOLDER: &str = "/dev/shm";
/// What may notice, cheapest first.
const PROGRAMS: [Named; 12] = [
    Named::of("core", "whimbrel-core", "whimbrel_core", &["crates/core"], 5),
    Named::of("known", "whimbrel-ledger", "known", &["crates/ledger/tests"], 5),
    Named::of("pending", "whimbrel-ledger", "pending", &["crates/ledger/tests"], 5),
    Named::of("histories", "whimbrel-sim", "histories", &["crates/sim"], 15),
    Named::of("model", "whimbrel-ledger", "model", &["crates/ledger/tests"], 20),
    Named::of("disk", "whimbrel-ledger", "disk", &["crates/ledger/tests"], 20),
    Named::of("ledger", "whimbrel-ledger", "whimbrel_ledger", &["crates/ledger/src"], 20),
    Named::simulator("300 seeds", &["--seeds", "300"], 40),
    Named::of("mended seeds", "whimbrel-sim", "seeds", &SIMULATOR, 30),
    Named::of("power", "whimbrel-crash", "ledger", &["crates/crash"], 80),
    Named::simulator("200 seeds from an image", &["--images", "--seeds", "200"], 40),
    Named::simulator("1,500 seeds", &["--first", "301", "--seeds", "1200"], 300),
];
const SIMULATOR: [&str; 2] = ["crates/sim/src", "crates/sim/tests/seeds.rs"];
/// One after the other: each is asked about what all before it leave.
pub const TIERS: [Range<usize>; 3] = [0..5, 5..9, 9..12];
/// Without a processor to itself it takes longer.
const PATIENCE: u32 = 10;

/// A program as it is called.
struct Named {
    name: &'static str,
    package: &'static str,
    target: &'static str,
    arguments: &'static [&'static str],
    /// Where its tests are.
    sources: &'static [&'static str],
    /// Of the processor; without a mutant it takes a tenth of these.
    seconds: u64,
}

impl Named {
    const fn of(
        name: &'static str,
        package: &'static str,
        target: &'static str,
        sources: &'static [&'static str],
        seconds: u64,
    ) -> Self {
        Self { name, package, target, arguments: &[], sources, seconds }
    }

    const fn simulator(
        name: &'static str,
        arguments: &'static [&'static str],
        seconds: u64,
    ) -> Self {
        let (package, target) = ("whimbrel-sim", "seeds");
        Self { name, package, target, arguments, sources: &["crates/sim/src"], seconds }
    }
}

/// What each program's tests are now: their hashes, by the program's name.
pub fn tests() -> Result<Asked, Box<dyn Error>> {
    let mut all = Asked::new();
    for Named { name, sources, .. } in PROGRAMS {
        all.insert(name.to_owned(), super::hash_of(sources)?);
    }
    Ok(all)
}

/// Of these, those of a tier's programs.
pub fn of_tier(tests: &Asked, tier: &Range<usize>) -> Asked {
    let names: Vec<&str> = PROGRAMS[tier.clone()].iter().map(|it| it.name).collect();
    let tests = tests.iter().filter(|(name, _)| names.contains(&name.as_str()));
    tests.map(|(name, hash)| (name.clone(), hash.clone())).collect()
}

/// Whether somebody of a tier is yet to be asked.
pub fn is_unasked(asked: &Asked, tests: &Asked, tier: &Range<usize>) -> bool {
    of_tier(tests, tier).iter().any(|(name, hash)| asked.get(name) != Some(hash))
}

/// One that may notice.
#[derive(Debug)]
struct Program {
    name: &'static str,
    path: PathBuf,
    folder: PathBuf,
    arguments: &'static [&'static str],
    limit: Duration,
    /// The mutants that it comes by; all of them where that is not known.
    reached: Option<BTreeSet<usize>>,
}

#[derive(Debug)]
pub struct Judge {
    programs: Vec<Program>,
}

/// How a program ended.
enum Ended {
    Well,
    /// It said so.
    Noticed(String),
    Late,
}

impl Judge {
    pub fn of(tree: &Tree, built: &Built) -> Result<Self, Box<dyn Error>> {
        let mut programs = Vec::new();
        for Named { name, package, target, arguments, seconds, .. } in PROGRAMS {
            let simulator = !arguments.is_empty();
            let found = built.programs.iter().find(|(of, is, path)| {
                *of == package && is == target && path.ends_with("whimbrel-sim") == simulator
            });
            let (_, _, path) = found.ok_or_else(|| format!("{package} has no {target}"))?;
            let (path, folder) = (path.clone(), tree.folder_of(package));
            let limit = Duration::from_secs(seconds);
            programs.push(Program { name, path, folder, arguments, limit, reached: None });
        }
        Ok(Self { programs })
    }

    /// Runs all without a mutant: they have to succeed, and note what they come by.
    pub fn note_reached(&mut self) -> Result<(), Box<dyn Error>> {
        for program in &mut self.programs {
            let begun = Instant::now();
            let notes = tempfile::NamedTempFile::new()?;
            match program.run(&[(REACHED, &notes.path().display().to_string())])? {
                Ended::Well => {}
                Ended::Noticed(what) => return Err(format!("without a mutant: {what}").into()),
                Ended::Late => return Err(format!("{} takes too long", program.name).into()),
            }
            let text = fs::read_to_string(notes.path())?;
            let reached: BTreeSet<usize> = text.lines().filter_map(|it| it.parse().ok()).collect();
            let seconds = begun.elapsed().as_secs_f64();
            println!("{}: comes by {} mutants, {seconds:.1} s", program.name, reached.len());
            program.reached = Some(reached);
        }
        Ok(())
    }

    /// What becomes of a mutant that is built in; of one with a switch, if it has a number. Nothing
    /// if this tier does not notice it. Whoever was asked of it with the same tests is left out.
    pub fn verdict(
        &self,
        number: Option<usize>,
        tier: &Range<usize>,
        unasked: impl Fn(&str) -> bool,
    ) -> Result<Option<Verdict>, Box<dyn Error>> {
        let chosen = number.map_or(String::new(), |number| number.to_string());
        for program in &self.programs[tier.clone()] {
            let comes_by = match (&program.reached, number) {
                (Some(reached), Some(number)) => reached.contains(&number),
                (None, _) | (_, None) => true,
            };
            if !comes_by || !unasked(program.name) {
                continue;
            }
            match program.run(&[(CHOSEN, &chosen)])? {
                Ended::Well => {}
                Ended::Noticed(what) => return Ok(Some(Verdict::Caught(what))),
                Ended::Late => return Ok(Some(Verdict::Endless(program.name.to_owned()))),
            }
        }
        Ok(None)
    }
}

impl Program {
    fn run(&self, variables: &[(&str, &str)]) -> Result<Ended, Box<dyn Error>> {
        let memory = Path::new(MEMORY_FOLDER);
        let parent = if memory.exists() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(parent)?;
        let mut command = Command::new(&self.path);
        command.args(self.arguments).current_dir(&self.folder).env("TMPDIR", folder.path());
        command.envs(variables.iter().copied()).env("RUST_BACKTRACE", "0");
        command.envs(SAME_FOR_ALL);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let ended = self.watch(&mut child);
        // It may have ended; what was asked for is known by then.
        let _ = child.kill();
        let status = child.wait()?;
        match ended? {
            Some(ended) => Ok(ended),
            None if status.success() => Ok(Ended::Well),
            None => Ok(Ended::Noticed(format!("{}: {status}", self.name))),
        }
    }

    /// Until it ends by itself, says that something is wrong, or takes too long.
    fn watch(&self, child: &mut Child) -> Result<Option<Ended>, Box<dyn Error>> {
        let pid = Pid::from_child(child);
        let limit = |maximum: u64| Rlimit { current: Some(maximum), maximum: Some(maximum) };
        prlimit(Some(pid), Resource::As, limit(MEMORY_BYTES_MAX))?;
        prlimit(Some(pid), Resource::Cpu, limit(self.limit.as_secs()))?;
        let (say, said) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().ok_or("no output")?);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    break;
                }
            }
        });
        let end = Instant::now() + self.limit * PATIENCE;
        loop {
            match said.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(what) = noticed(&line) {
                        return Ok(Some(Ended::Noticed(format!("{}: {what}", self.name))));
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Ok(Some(Ended::Late)),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        use std::os::unix::process::ExitStatusExt;
        let status = child.wait()?;
        let late = status.signal() == Some(rustix::process::Signal::KILL.as_raw());
        Ok(late.then_some(Ended::Late))
    }
}

/// What a line says of a test or a history that failed.
fn noticed(line: &str) -> Option<&str> {
    if let Some(name) = line.strip_prefix("test ").and_then(|it| it.strip_suffix(" ... FAILED")) {
        return Some(name);
    }
    line.starts_with("seed ").then_some(line)
}

/// The core's root, which gets the switches.
pub const LIBRARY: &str = "crates/core/src/lib.rs";

/// Writes what the core gets so that there are switches: which one is on, and which were come by.
pub fn write_switch(tree: &Tree, mutants: usize) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(workspace().join(LIBRARY))?;
    let switch = SWITCH.replace("COUNT", &mutants.to_string());
    tree.write(LIBRARY, &format!("{text}\n#[allow(missing_docs)]\npub mod mutant {{{switch}}}\n"))
}

const SWITCH: &str = r#"
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

static CHOSEN: AtomicU32 = AtomicU32::new(UNKNOWN);
static REACHED: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];
const UNKNOWN: u32 = u32::MAX;
const NOTED: u32 = u32::MAX - 1;
const NONE: u32 = u32::MAX - 2;

#[inline]
pub fn on(number: u32) -> bool {
    let chosen = CHOSEN.load(Relaxed);
    if chosen < NONE { chosen == number } else { chosen != NONE && asked(number) }
}

#[cold]
fn asked(number: u32) -> bool {
    if CHOSEN.load(Relaxed) == UNKNOWN {
        let chosen = match std::env::var_os("WHIMBREL_MUTANTS_REACHED") {
            Some(_) => NOTED,
            None => std::env::var("WHIMBREL_MUTANT").map_or(NONE, |it| it.parse().unwrap_or(NONE)),
        };
        CHOSEN.store(chosen, Relaxed);
        return on(number);
    }
    let reached = &REACHED[number as usize];
    if !reached.load(Relaxed) && !reached.swap(true, Relaxed) {
        let path = std::env::var_os("WHIMBREL_MUTANTS_REACHED").expect("a path");
        let mut notes = std::fs::File::options().append(true).open(path).expect("notes");
        notes.write_all(format!("{number}\n").as_bytes()).expect("notes");
    }
    false
}
"#;
