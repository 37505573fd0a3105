//! Runs in turn, each judged.

use std::error::Error;
use std::fs;
use std::path::Path;

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::ground::Ground;
use super::measure::{Usage, run};
use super::subject::{Callable, Job, Subject, shown};
use super::tree::write_file;
use super::workload::{Kind, Workload};

/// One of so many files changes.
const CHANGED_ONE_OF: usize = 1000;

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
    pub measured: Measured,
}

impl Course<'_> {
    /// So many rounds; each begins with another one.
    pub fn run(&mut self, rounds: usize) -> Result<(), Box<dyn Error>> {
        if self.workload.kind == Kind::Again {
            self.fill()?;
        }
        for round in 0..rounds {
            match self.workload.kind {
                Kind::Copy => self.copy_round(round)?,
                Kind::Again => self.again_round(round)?,
            }
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
            let (bucket, folder) = self.kept(index);
            fs::create_dir(&folder)?;
            self.ground.create_bucket(&bucket)?;
            self.call(subject, transfers, &bucket, Path::new(&folder), ("first", 0))?;
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
        let ran = run(&mut command, &output, &|| ground.server_seconds());
        let judged = ran.and_then(|usage| {
            ground.judge(subject, bucket)?;
            Ok(usage)
        });
        let requests = requests.and_then(|before| Some(ground.requests()? - before));
        self.note(subject, (phase, round), judged, requests);
        Ok(())
    }

    fn note(
        &mut self,
        subject: Subject,
        (phase, round): (&str, usize),
        judged: Result<Usage, Box<dyn Error>>,
        requests: Option<u64>,
    ) {
        let name = subject.name();
        let mut line = match judged {
            Ok(usage) => {
                eprintln!(
                    "{} {round} {phase}: {name}: {:.2} s, {:.2} CPU-s, {} MiB",
                    self.workload.name,
                    usage.wall_seconds,
                    usage.processor_seconds,
                    usage.peak_bytes >> 20
                );
                usage.json()
            }
            Err(error) => {
                let text = format!("{name}, {phase} {round}: {error}");
                eprintln!("{}: {text}", self.workload.name);
                if !subject.is_peer() {
                    self.measured.failures.push(text);
                }
                json!({"failure": error.to_string()})
            }
        };
        line["subject"] = json!(name);
        line["phase"] = json!(phase);
        line["round"] = json!(round);
        if let Some(requests) = requests {
            line["requests"] = json!(requests);
        }
        self.measured.runs.push(line);
    }
}
