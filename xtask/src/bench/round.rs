//! Runs in turn, each judged.

use std::error::Error;
use std::fs;
use std::path::Path;

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::calls;
use super::ground::Ground;
use super::live::{Follower, follow_changes, follow_events};
use super::measure::run;
use super::subject::{Callable, Job, Subject, shown};
use super::tree::write_file;
use super::workload::{Kind, Workload};

/// One of so many files changes.
const CHANGED_ONE_OF: usize = 1000;

/// Files that are made for events: outside of the source, and in it, where each is copied.
const EVENTS: [(&str, u64, u64); 2] = [("outside", 20_000, 1_000), ("inside", 2_000, 200)];

/// What came of a workload.
#[derive(Debug, Default)]
pub struct Measured {
    /// A line for each run.
    runs: Vec<Value>,
    /// How each was called.
    calls: Map<String, Value>,
    /// Why it does not count.
    failures: Vec<String>,
}

impl Measured {
    /// As it is kept.
    pub fn json(self) -> Value {
        json!({
            "passed": self.failures.is_empty(),
            "failures": self.failures,
            "calls": self.calls,
            "runs": self.runs,
        })
    }
}

/// Everything that does not change between the runs of a workload.
pub struct Course<'a> {
    pub workload: &'a Workload,
    pub callable: &'a Callable,
    pub ground: Ground,
    /// To try it out.
    pub small: bool,
    pub measured: Measured,
}

impl Course<'_> {
    /// So many rounds; each begins with another one.
    pub fn run(&mut self, rounds: usize) -> Result<(), Box<dyn Error>> {
        let kind = self.workload.kind;
        if matches!(kind, Kind::Again | Kind::Live) {
            self.fill()?;
        }
        let follower = match kind {
            Kind::Live | Kind::Events => Some(self.follow()?),
            Kind::Copy | Kind::Again | Kind::Calls => None,
        };
        for round in 0..rounds {
            match (kind, &follower) {
                (Kind::Again, _) => self.again_round(round)?,
                (Kind::Live, Some(follower)) => self.live_round(follower, round)?,
                (Kind::Events, Some(follower)) => self.event_round(follower, round)?,
                (Kind::Copy | Kind::Calls | Kind::Live | Kind::Events, _) => {
                    self.copy_round(round)?;
                }
            }
        }
        if let Some(follower) = follower {
            follower.stop()?;
        }
        Ok(())
    }

    fn in_turn(&self, round: usize) -> Vec<(Subject, usize)> {
        let mut subjects = self.workload.subjects.to_vec();
        let count = subjects.len();
        subjects.rotate_left(round % count);
        subjects
    }

    fn copy_round(&mut self, round: usize) -> Result<(), Box<dyn Error>> {
        for (subject, transfers) in self.in_turn(round) {
            let bucket = format!("bench-{round}");
            let folder = self.ground.folder.path().join("run");
            fs::create_dir(&folder)?;
            self.ground.create_bucket(&bucket)?;
            self.call(subject, transfers, &bucket, &folder, ("copy", round))?;
            self.ground.remove_bucket(&bucket)?;
            fs::remove_dir_all(&folder)?;
        }
        Ok(())
    }

    /// The first copy, which each makes into a bucket of its own.
    fn fill(&mut self) -> Result<(), Box<dyn Error>> {
        for (index, (subject, transfers)) in self.in_turn(0).into_iter().enumerate() {
            if self.workload.kind == Kind::Live && subject == Subject::Whimbrel {
                continue;
            }
            let (bucket, folder) = self.kept(index);
            fs::create_dir(&folder)?;
            self.ground.create_bucket(&bucket)?;
            self.call(subject, transfers, &bucket, Path::new(&folder), ("first", 0))?;
        }
        Ok(())
    }

    /// A live migration into a bucket of its own.
    fn follow(&mut self) -> Result<Follower, Box<dyn Error>> {
        let (bucket, _) = self.kept(0);
        self.ground.create_bucket(&bucket)?;
        let endpoint = self.ground.endpoint(Subject::Whimbrel);
        let follower = Follower::start(self.callable, &self.ground, &endpoint, &bucket)?;
        self.ground.judge(Subject::Whimbrel, &bucket)?;
        self.measured.calls.insert(Subject::Whimbrel.name().to_owned(), json!(Follower::shown()));
        Ok(follower)
    }

    fn live_round(&mut self, follower: &Follower, round: usize) -> Result<(), Box<dyn Error>> {
        let followed = follow_changes(follower, &mut self.ground, round, CHANGED_ONE_OF);
        let judged = followed.and_then(|usage| {
            self.ground.judge(Subject::Whimbrel, &self.kept(0).0)?;
            Ok(usage.json())
        });
        self.note(Subject::Whimbrel, ("changed", round), judged);
        for (index, (subject, transfers)) in self.workload.subjects.iter().enumerate().skip(1) {
            let (bucket, folder) = self.kept(index);
            self.call(*subject, *transfers, &bucket, &folder, ("changed", round))?;
        }
        Ok(())
    }

    fn event_round(&mut self, follower: &Follower, round: usize) -> Result<(), Box<dyn Error>> {
        for (phase, files, small_files) in EVENTS {
            let files = if self.small { small_files } else { files };
            let course = (phase == "inside", round);
            let followed = follow_events(follower, &mut self.ground, course, files);
            let judged = followed.and_then(|line| {
                self.ground.judge(Subject::Whimbrel, &self.kept(0).0)?;
                Ok(line)
            });
            self.note(Subject::Whimbrel, (phase, round), judged);
        }
        Ok(())
    }

    fn again_round(&mut self, round: usize) -> Result<(), Box<dyn Error>> {
        for what in ["nothing", "changed"] {
            if what == "changed" {
                self.change(round)?;
            }
            for (subject, transfers) in self.in_turn(round) {
                let same = |(other, _): &(Subject, usize)| *other == subject;
                let index = self.workload.subjects.iter().position(same).unwrap_or_default();
                let (bucket, folder) = self.kept(index);
                if subject == Subject::WhimbrelCold {
                    fs::remove_dir_all(&folder)?;
                    fs::create_dir(&folder)?;
                }
                self.call(subject, transfers, &bucket, Path::new(&folder), (what, round))?;
            }
        }
        Ok(())
    }

    fn kept(&self, index: usize) -> (String, std::path::PathBuf) {
        (format!("bench-{index}"), self.ground.folder.path().join(format!("kept-{index}")))
    }

    /// Other bytes of the same length in one of a thousand files.
    fn change(&mut self, round: usize) -> Result<(), Box<dyn Error>> {
        let root = self.ground.source().to_owned();
        let mut rng = Rng::with_seed(round as u64);
        let files = self.ground.manifest.contents.iter_mut().skip(round);
        for (path, file) in files.step_by(CHANGED_ONE_OF) {
            *file = write_file(&root.join(path), file.bytes, &mut rng)?;
        }
        Ok(())
    }

    /// One run, and what is to be said of it.
    fn call(
        &mut self,
        subject: Subject,
        transfers: usize,
        bucket: &str,
        folder: &Path,
        (phase, round): (&str, usize),
    ) -> Result<(), Box<dyn Error>> {
        let ground = &self.ground;
        let endpoint = ground.endpoint(subject);
        let job = Job {
            from: ground.from(),
            endpoint: &endpoint,
            bucket,
            transfers,
            large: self.workload.is_large(),
            sink: self.workload.sink,
            again: matches!(phase, "nothing" | "changed"),
            folder,
            list: &ground.folder.path().join("list"),
        };
        let mut command = subject.command(self.callable, &job)?;
        let replaced = ground.replaced(folder, &endpoint);
        let call = self.callable.shown(shown(&command, &replaced));
        let key = match phase {
            "copy" | "first" => subject.name().to_owned(),
            _ => format!("{}, again", subject.name()),
        };
        self.measured.calls.insert(key, json!(call));
        let requests = ground.requests();
        let output = ground.folder.path().join("output");
        let counts = ground.folder.path().join("calls");
        let counted = self.workload.kind == Kind::Calls;
        if counted {
            command = calls::counted(&command, &counts);
        }
        let ran = run(&mut command, &output, &|| ground.server_seconds());
        let judged = ran.and_then(|usage| {
            ground.judge(subject, bucket)?;
            let mut line = usage.json();
            if let Some(before) = requests {
                line["requests"] = json!(ground.requests().unwrap_or_default() - before);
            }
            if counted {
                line["calls"] = calls::read(&fs::read_to_string(&counts)?)?;
            }
            Ok(line)
        });
        self.note(subject, (phase, round), judged);
        Ok(())
    }

    fn note(
        &mut self,
        subject: Subject,
        (phase, round): (&str, usize),
        judged: Result<Value, Box<dyn Error>>,
    ) {
        let (name, workload) = (subject.name(), self.workload.name);
        let mut line = match judged {
            Ok(line) => {
                let (wall, work) = (&line["wall_seconds"], &line["processor_seconds"]);
                eprintln!("{workload} {round} {phase}: {name}: {wall} s, {work} CPU-s");
                line
            }
            Err(error) => {
                let text = format!("{name}, {phase} {round}: {error}");
                eprintln!("{workload}: {text}");
                if !subject.is_peer() {
                    self.measured.failures.push(text);
                }
                json!({"failure": error.to_string()})
            }
        };
        line["subject"] = json!(name);
        line["phase"] = json!(phase);
        line["round"] = json!(round);
        self.measured.runs.push(line);
    }
}
