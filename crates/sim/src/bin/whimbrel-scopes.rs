//! `whimbrel-scopes --operations N [--sweep NAME] [--done FILE]`, `whimbrel-scopes --history TEXT`:
//! every history of a small scope, or one of them.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use whimbrel_sim::scope::History;
use whimbrel_sim::scope::explore::{Found, Scope, Share, Sweep, tell_aloud};

fn main() -> ExitCode {
    let mut operations = 2;
    let mut done = None;
    let mut only = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match (argument.as_str(), value.parse()) {
            ("--operations", Ok(number)) => operations = number,
            ("--sweep", _) => only = Some(value),
            ("--done", _) => done = Some(PathBuf::from(value)),
            ("--history", _) => return aloud(&value),
            _ => {
                eprintln!("use --operations N [--sweep NAME] [--done FILE], or --history TEXT");
                return ExitCode::from(2);
            }
        }
    }
    match explore(operations, only.as_deref(), done) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the file of what is done: {error}");
            ExitCode::FAILURE
        }
    }
}

fn aloud(text: &str) -> ExitCode {
    let history: History = match text.parse() {
        Ok(history) => history,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let problem = tell_aloud(&history);
    println!("{history}: {}", problem.as_deref().unwrap_or("nothing is wrong"));
    if problem.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How many histories went wrong.
fn explore(operations: usize, only: Option<&str>, done: Option<PathBuf>) -> std::io::Result<u64> {
    let done = Done::open(done)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut histories, mut failures) = done.before;
    let wanted = |sweep: &Sweep| only.is_none_or(|only| only == sweep.name);
    for sweep in Sweep::all(operations).into_iter().filter(wanted) {
        let (begun, name) = (Instant::now(), sweep.name);
        let scope = Scope::new(sweep);
        let (mut shares, mut found) = scope.begin();
        shares.retain(|share| !done.names.contains(&share.name));
        found.add(scope.tell_all(&shares, threads, &|share, found| done.add(share, found)));
        tell(name, &found, begun);
        histories += found.histories;
        failures += found.failures;
    }
    println!("{histories} histories, {failures} failures");
    Ok(failures)
}

fn tell(name: &str, found: &Found, begun: Instant) {
    for (history, problem) in &found.failed {
        println!("{history}: {problem}");
        println!("  cargo xtask scopes --history {history}");
    }
    println!(
        "{name}: {} programs, {} histories ({} more are equal to one of them), {} happenings, {:.0} s",
        found.programs.len(),
        found.histories,
        found.equal,
        found.happenings,
        begun.elapsed().as_secs_f64()
    );
}

/// What earlier calls of this same program did, one share a line, and this one adds.
struct Done {
    program: String,
    file: Option<Mutex<std::fs::File>>,
    names: BTreeSet<String>,
    /// Histories and failures.
    before: (u64, u64),
}

impl Done {
    fn open(path: Option<PathBuf>) -> std::io::Result<Self> {
        let mut done =
            Self { program: program()?, file: None, names: BTreeSet::new(), before: (0, 0) };
        let Some(path) = path else { return Ok(done) };
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(&path)?;
        for line in std::fs::read_to_string(&path)?.lines() {
            done.take_over(line);
        }
        println!("{} shares were done before", done.names.len());
        done.file = Some(Mutex::new(file));
        Ok(done)
    }

    /// A line that broke off, or that another program wrote, says nothing.
    fn take_over(&mut self, line: &str) -> Option<()> {
        let mut words = line.split('\t');
        let ours = words.next()? == self.program;
        let name = words.next()?.to_owned();
        let (histories, failures) = (words.next()?, words.next()?);
        let (histories, failures): (u64, u64) = (histories.parse().ok()?, failures.parse().ok()?);
        let whole = words.next()? == "done";
        // Whoever comes back for a failure wants to see it.
        if ours && whole && failures == 0 && self.names.insert(name) {
            self.before.0 += histories;
        }
        Some(())
    }

    fn add(&self, share: &Share, found: &Found) {
        let Some(Ok(mut file)) = self.file.as_ref().map(|file| file.lock()) else { return };
        let (program, name) = (&self.program, &share.name);
        let (histories, failures) = (found.histories, found.failures);
        if let Err(error) = writeln!(file, "{program}\t{name}\t{histories}\t{failures}\tdone") {
            eprintln!("{name} is done, and cannot be noted: {error}");
        }
    }
}

/// Names this program: another one may find something else.
fn program() -> std::io::Result<String> {
    let mut hasher = DefaultHasher::new();
    hasher.write(&std::fs::read(std::env::current_exe()?)?);
    Ok(format!("{:016x}", hasher.finish()))
}
