//! `cargo xtask mutants`: changes one thing at a time in what decides and what remembers, and looks
//! whether a test notices. [cargo-mutants](https://mutants.rs) says what is changed; all of it is
//! built once, behind switches.

mod book;
mod judge;
mod report;
mod switches;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use serde_json::Value;

use self::book::{Book, Verdict};
use self::judge::Judge;
use self::switches::{Change, Switched, Syntax};
use self::tree::{Built, Tree};
use crate::process::{cargo, output, run, target, workspace};

const CARGO_MUTANTS_VERSION: &str = "27.1.0";
/// What is changed, in this order: the reconciliation, what decides beside it, the ledger.
const SCOPE: [&str; 4] = [
    "crates/core/src/migration/*.rs",
    "crates/core/src/{budget,commit_marker,config,identity,input,losses,metadata,record}.rs",
    "crates/core/src/{path,timetable}.rs",
    "crates/ledger/src/**/*.rs",
];
/// What is built for fuzz targets alone.
const OUTSIDE: &str = "crates/ledger/src/fuzzing.rs";

/// Which mutants.
#[derive(Debug, Args)]
pub struct Mutants {
    /// Those alone whose name holds this text; nothing is written then.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Looks at nothing, and writes what is known so far.
    #[arg(long, conflicts_with = "only")]
    report: bool,
}

/// One thing that is changed.
#[derive(Debug)]
pub struct Mutant {
    /// With its place.
    name: String,
    file: String,
    /// What is done, without its place.
    what: String,
    /// The line that it begins in.
    line: String,
    change: Change,
}

/// A file that is changed.
#[derive(Debug)]
struct Source {
    text: String,
    syntax: Syntax,
    /// Of its text above its tests.
    hash: String,
}

/// Everything that a call works with.
struct Run {
    mutants: Vec<Mutant>,
    sources: BTreeMap<String, Source>,
    /// Of all that decides about a mutant.
    everything: String,
    book: Book,
}

/// Looks for tests that notice; fails where a mutant is not noticed, and nobody said why.
pub fn mutants(options: &Mutants) -> Result<(), Box<dyn Error>> {
    let mut run = Run::begin(options.only.as_deref())?;
    let open = (0..run.mutants.len()).filter(|number| run.is_open(*number)).count();
    println!("{} mutants, {open} of them open", run.mutants.len());
    if open > 0 && !options.report {
        let mut except: BTreeSet<String> = run.sources.keys().cloned().collect();
        except.insert(judge::LIBRARY.to_owned());
        let tree = Tree::copy(&except)?;
        run.judge_switched(&tree)?;
        run.judge_single(&tree)?;
    }
    report::report(&run, options.only.is_none())
}

impl Run {
    fn begin(only: Option<&str>) -> Result<Self, Box<dyn Error>> {
        let (mut mutants, mut sources) = (Vec::new(), BTreeMap::new());
        for value in listed()? {
            let file = value["file"].as_str().ok_or("a mutant without a file")?.to_owned();
            if !sources.contains_key(&file) {
                sources.insert(file.clone(), Source::read(&file)?);
            }
            let mutant = Mutant::of(&value, file, &sources, mutants.len())?;
            let planted = sources[&mutant.file].syntax.is_planted(&mutant.change);
            let asked_for = only.is_none_or(|only| mutant.name.contains(only));
            if asked_for && !planted {
                mutants.push(mutant);
            }
        }
        Ok(Self { mutants, sources, everything: everything()?, book: Book::open()? })
    }

    fn verdict(&self, number: usize) -> Option<Verdict> {
        let mutant = &self.mutants[number];
        self.book.verdict(&mutant.name, &self.sources[&mutant.file].hash, &self.everything)
    }

    fn note(&mut self, number: usize, verdict: Verdict) -> Result<(), Box<dyn Error>> {
        let mutant = &self.mutants[number];
        println!("{verdict}: {}", mutant.name);
        let hash = &self.sources[&mutant.file].hash;
        self.book.add(&mutant.name, hash, &self.everything, verdict)
    }

    /// What became of it when it was looked at last, whatever other tests there are since.
    fn last(&self, number: usize) -> Option<&Verdict> {
        let mutant = &self.mutants[number];
        self.book.last(&mutant.name, &self.sources[&mutant.file].hash)
    }

    fn is_open(&self, number: usize) -> bool {
        matches!(self.verdict(number), None | Some(Verdict::Left))
    }

    fn is_single(&self, number: usize) -> bool {
        let mutant = &self.mutants[number];
        self.book.is_single(&mutant.name, &self.sources[&mutant.file].hash)
    }

    /// Looks at all that can be built behind switches.
    fn judge_switched(&mut self, tree: &Tree) -> Result<(), Box<dyn Error>> {
        let judge = self.build_switched(tree)?;
        let open = |run: &Self| -> Vec<usize> {
            let all = 0..run.mutants.len();
            all.filter(|number| run.is_open(*number) && !run.is_single(*number)).collect()
        };
        for number in open(self) {
            if self.verdict(number).is_none() {
                let verdict = judge.verdict(Some(number), false)?;
                self.note(number, verdict)?;
            }
        }
        for number in open(self) {
            let verdict = judge.verdict(Some(number), true)?;
            self.note(number, verdict)?;
        }
        Ok(())
    }

    /// Builds all behind switches; what cannot be built so is noted as to be built by itself.
    fn build_switched(&mut self, tree: &Tree) -> Result<Judge, Box<dyn Error>> {
        judge::write_switch(tree, self.mutants.len())?;
        loop {
            let switched = self.write_switches(tree)?;
            let written = switched.values().flat_map(|file| &file.mutants);
            let written: BTreeSet<usize> = written.map(|(number, _)| *number).collect();
            let built = tree.check()?;
            let mut single = wrong(&switched, &built);
            if !built.well && single.is_empty() {
                return Err(built.told.join("\n").into());
            }
            single.extend((0..self.mutants.len()).filter(|number| !written.contains(number)));
            single.retain(|number| !self.is_single(*number));
            for number in single {
                let mutant = &self.mutants[number];
                self.book.add_single(&mutant.name, &self.sources[&mutant.file].hash)?;
            }
            if built.well {
                break;
            }
        }
        let mut judge = judge(tree)?;
        judge.note_reached()?;
        Ok(judge)
    }

    fn write_switches(&self, tree: &Tree) -> Result<BTreeMap<String, Switched>, Box<dyn Error>> {
        let mut written = BTreeMap::new();
        for (file, source) in &self.sources {
            let of_file = self.mutants.iter().filter(|mutant| mutant.file == *file);
            let together = of_file.filter(|mutant| !self.is_single(mutant.change.number));
            let changes: Vec<Change> = together.map(|mutant| mutant.change.clone()).collect();
            let on = match file.starts_with("crates/core/") {
                true => "crate::mutant::on",
                false => "whimbrel_core::mutant::on",
            };
            let switched = switches::switched(&source.text, &source.syntax, &changes, on);
            tree.write(file, &switched.text)?;
            written.insert(file.clone(), switched);
        }
        Ok(written)
    }

    /// Looks at the others, each built by itself.
    fn judge_single(&mut self, tree: &Tree) -> Result<(), Box<dyn Error>> {
        for (file, source) in &self.sources {
            tree.write(file, &source.text)?;
        }
        let all = 0..self.mutants.len();
        let open: Vec<usize> = all.filter(|number| self.is_open(*number)).collect();
        for number in open {
            let Mutant { file, change, .. } = &self.mutants[number];
            let text = &self.sources[file].text;
            let (before, after) = (&text[..change.replaced.start], &text[change.replaced.end..]);
            tree.write(file, &format!("{before}{}{after}", change.by))?;
            let mut verdict = Verdict::Unviable;
            if tree.check()?.well {
                let judge = judge(tree)?;
                verdict = judge.verdict(None, false)?;
                if verdict == Verdict::Left {
                    verdict = judge.verdict(None, true)?;
                }
            }
            tree.write(file, text)?;
            self.note(number, verdict)?;
        }
        Ok(())
    }
}

impl Source {
    fn read(file: &str) -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(workspace().join(file))?;
        let syntax = Syntax::of(&text).map_err(|error| format!("{file}: {error}"))?;
        // Its own tests are tests as others are.
        let code = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
        Ok(Self { hash: hash(code), syntax, text })
    }
}

impl Mutant {
    fn of(
        value: &Value,
        file: String,
        sources: &BTreeMap<String, Source>,
        number: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let text = &sources[&file].text;
        let field = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let (start, end) = (&value["span"]["start"], &value["span"]["end"]);
        let replaced = offset(text, start)?..offset(text, end)?;
        let name = field("name");
        let what = name.split_once(": ").map_or(name.as_str(), |(_, what)| what).to_owned();
        let line = text[..replaced.start].matches('\n').count();
        let line = text.lines().nth(line).unwrap_or_default().trim().to_owned();
        let change = Change { number, genre: field("genre"), replaced, by: field("replacement") };
        Ok(Self { name, file, what, line, change })
    }
}

fn judge(tree: &Tree) -> Result<Judge, Box<dyn Error>> {
    let built = tree.build()?;
    match built.well {
        true => Judge::of(tree, &built),
        false => Err(built.told.join("\n").into()),
    }
}

/// The mutants that the compiler does not take.
fn wrong(switched: &BTreeMap<String, Switched>, built: &Built) -> BTreeSet<usize> {
    let of_file = |(file, range): &(String, Range<usize>)| {
        switched.get(file).map(|it| it.at(range)).unwrap_or_default()
    };
    built.wrong.iter().flat_map(of_file).collect()
}

fn listed() -> Result<Vec<Value>, Box<dyn Error>> {
    let cargo_mutants = cargo_mutants()?;
    let mut all = Vec::new();
    for files in SCOPE {
        let mut list = Command::new(&cargo_mutants);
        list.current_dir(workspace()).args(["mutants", "--list", "--json", "--no-config"]);
        list.args(["--file", files, "--exclude", OUTSIDE]);
        all.extend(serde_json::from_str::<Vec<Value>>(&output(&mut list)?)?);
    }
    Ok(all)
}

/// Builds cargo-mutants once; it does nothing but list.
fn cargo_mutants() -> Result<PathBuf, Box<dyn Error>> {
    let root = target().join("tools");
    let binary = root.join("bin/cargo-mutants");
    if !binary.exists() {
        let mut install = cargo();
        install.args(["install", "cargo-mutants", "--locked", "--debug", "--version"]);
        run(install.arg(CARGO_MUTANTS_VERSION).arg("--root").arg(&root))?;
    }
    Ok(binary)
}

/// Lines and columns count from 1, and characters.
fn offset(text: &str, place: &Value) -> Result<usize, Box<dyn Error>> {
    let number = |name: &str| {
        let number = place[name].as_u64().and_then(|it| usize::try_from(it).ok());
        number.and_then(|it| it.checked_sub(1)).ok_or("a mutant without a place")
    };
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines.by_ref().take(number("line")?).map(str::len).sum();
    let line = lines.next().unwrap_or_default();
    let column = line.char_indices().nth(number("column")?).map_or(line.len(), |(at, _)| at);
    Ok(before + column)
}

/// All sources and tests of the packages that are asked.
fn everything() -> Result<String, Box<dyn Error>> {
    let mut files = Command::new("git");
    files.current_dir(workspace()).args(["ls-files", "--cached", "--others"]);
    files.args(["--exclude-standard", "crates/core", "crates/ledger", "crates/sim"]);
    let mut all = String::new();
    for file in output(files.arg("crates/crash"))?.lines() {
        let path = workspace().join(file);
        if path.exists() {
            all += &format!("{file} {}\n", hash(&String::from_utf8_lossy(&fs::read(path)?)));
        }
    }
    Ok(hash(&all))
}

fn hash(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
