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
    /// Of its text.
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
    let open: BTreeSet<usize> =
        (0..run.mutants.len()).filter(|number| run.verdict(*number).is_none()).collect();
    println!("{} mutants, {} of them not looked at yet", run.mutants.len(), open.len());
    if !open.is_empty() {
        let tree = Tree::copy()?;
        let single = run.judge_switched(&tree, &open)?;
        run.judge_single(&tree, &single)?;
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

    /// Builds these behind switches; what cannot be built so is left.
    fn judge_switched(
        &mut self,
        tree: &Tree,
        open: &BTreeSet<usize>,
    ) -> Result<BTreeSet<usize>, Box<dyn Error>> {
        judge::write_switch(tree, self.mutants.len())?;
        let mut inside = open.clone();
        let switched = loop {
            let switched = self.write_switches(tree, &inside)?;
            let built = tree.check()?;
            if built.well {
                break switched;
            }
            let wrong = wrong(&switched, &built);
            if wrong.is_empty() {
                return Err(built.told.join("\n").into());
            }
            println!("{} cannot be built behind switches", wrong.len());
            inside.retain(|number| !wrong.contains(number));
        };
        let built = switched.values().flat_map(|file| &file.mutants);
        let inside: BTreeSet<usize> = built.map(|(number, _)| *number).collect();
        let mut judge = judge(tree)?;
        judge.note_reached()?;
        for number in &inside {
            let verdict = judge.verdict(Some(*number))?;
            self.note(*number, verdict)?;
        }
        for (file, source) in &self.sources {
            tree.write(file, &source.text)?;
        }
        Ok(open.difference(&inside).copied().collect())
    }

    fn write_switches(
        &self,
        tree: &Tree,
        numbers: &BTreeSet<usize>,
    ) -> Result<BTreeMap<String, Switched>, Box<dyn Error>> {
        let mut written = BTreeMap::new();
        for (file, source) in &self.sources {
            let of_file = numbers.iter().map(|number| &self.mutants[*number]);
            let of_file = of_file.filter(|mutant| mutant.file == *file);
            let changes: Vec<Change> = of_file.map(|mutant| mutant.change.clone()).collect();
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

    /// Builds each of these by itself.
    fn judge_single(
        &mut self,
        tree: &Tree,
        numbers: &BTreeSet<usize>,
    ) -> Result<(), Box<dyn Error>> {
        for number in numbers {
            let Mutant { file, change, .. } = &self.mutants[*number];
            let text = &self.sources[file].text;
            let (before, after) = (&text[..change.replaced.start], &text[change.replaced.end..]);
            tree.write(file, &format!("{before}{}{after}", change.by))?;
            let verdict = match tree.check()?.well {
                true => judge(tree)?.verdict(None)?,
                false => Verdict::Unviable,
            };
            tree.write(file, text)?;
            self.note(*number, verdict)?;
        }
        Ok(())
    }
}

impl Source {
    fn read(file: &str) -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(workspace().join(file))?;
        let syntax = Syntax::of(&text).map_err(|error| format!("{file}: {error}"))?;
        Ok(Self { hash: hash(&text), syntax, text })
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
