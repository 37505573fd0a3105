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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use clap::Args;
use serde_json::Value;

use self::book::{Asked, Book, Noted, Verdict};
use self::judge::Judge;
use self::switches::{Change, Switched, Syntax};
use self::tree::{Built, Tree};
use crate::process::{cargo, output, run, target, workspace};

const CARGO_MUTANTS_VERSION: &str = "27.1.0";
/// The reconciliation, and what of the ledger writes, reads and judges its state around a crash.
const RECONCILIATION: [&str; 3] = [
    "crates/core/src/migration/*.rs",
    "crates/ledger/src/{attempt,check,codec,folder,header,lib,pending,row,schema,state}.rs",
    "crates/ledger/src/{write_ahead_log,pending/*}.rs",
];
/// What else decides and remembers.
const BESIDE: [&str; 3] = [
    "crates/core/src/{budget,commit_marker,config,identity,input,losses,metadata,record}.rs",
    "crates/core/src/{path,timetable}.rs",
    "crates/ledger/src/**/*.rs",
];
/// How many are looked at at a time: most programs have one thread.
const AT_ONCE: usize = 2;
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
    /// Of the reconciliation or of the ledger's recovery: these come first.
    first: bool,
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
    tests: Asked,
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
        for first in [true, false] {
            run.judge_switched(&tree, first)?;
            run.judge_single(&tree, first)?;
        }
    }
    report::report(&run, options.only.is_none())
}

impl Run {
    fn begin(only: Option<&str>) -> Result<Self, Box<dyn Error>> {
        let (mut mutants, mut sources) = (Vec::<Mutant>::new(), BTreeMap::new());
        let mut known = BTreeSet::new();
        for (files, first) in [(RECONCILIATION, true), (BESIDE, false)] {
            for value in listed(&files)? {
                let file = value["file"].as_str().ok_or("a mutant without a file")?.to_owned();
                if !sources.contains_key(&file) {
                    sources.insert(file.clone(), Source::read(&file)?);
                }
                let mutant = Mutant::of(&value, file, first, &sources, mutants.len())?;
                let planted = sources[&mutant.file].syntax.is_planted(&mutant.change);
                let asked_for = only.is_none_or(|only| mutant.name.contains(only));
                if asked_for && !planted && known.insert(mutant.name.clone()) {
                    mutants.push(mutant);
                }
            }
        }
        Ok(Self { mutants, sources, tests: judge::tests()?, book: Book::open()? })
    }

    fn noted(&self, number: usize) -> Option<&Noted> {
        let mutant = &self.mutants[number];
        self.book.noted(&mutant.name, &self.sources[&mutant.file].hash)
    }

    /// Nothing, if a tier of programs does not notice it.
    fn note(
        &mut self,
        number: usize,
        tier: &Range<usize>,
        verdict: Option<Verdict>,
    ) -> Result<(), Box<dyn Error>> {
        let mut asked = Asked::new();
        if verdict.is_none() {
            asked = self.noted(number).map(|noted| noted.asked.clone()).unwrap_or_default();
            asked.extend(judge::of_tier(&self.tests, tier));
        }
        let missed = judge::TIERS.iter().all(|it| !judge::is_unasked(&asked, &self.tests, it));
        let verdict = verdict.unwrap_or(if missed { Verdict::Missed } else { Verdict::Left });
        let mutant = &self.mutants[number];
        println!("{verdict}: {}", mutant.name);
        let hash = &self.sources[&mutant.file].hash;
        self.book.add(&mutant.name, hash, Noted { verdict, asked })
    }

    /// What became of it when it was looked at last, whatever other tests there are since.
    fn last(&self, number: usize) -> Option<&Verdict> {
        self.noted(number).map(|noted| &noted.verdict)
    }

    /// Nobody noticed it yet, and somebody of the tier was not asked.
    fn is_unasked(&self, number: usize, tier: &Range<usize>) -> bool {
        let Some(Noted { verdict, asked }) = self.noted(number) else { return true };
        match verdict {
            Verdict::Caught(_) | Verdict::Endless(_) | Verdict::Unviable => false,
            Verdict::Left | Verdict::Missed => judge::is_unasked(asked, &self.tests, tier),
        }
    }

    fn is_open(&self, number: usize) -> bool {
        judge::TIERS.iter().any(|tier| self.is_unasked(number, tier))
    }

    fn is_single(&self, number: usize) -> bool {
        let mutant = &self.mutants[number];
        self.book.is_single(&mutant.name, &self.sources[&mutant.file].hash)
    }

    /// Those of what comes first, or of all else, of which somebody is yet to be asked.
    fn open_ones(&self, first: bool) -> Vec<usize> {
        let all = 0..self.mutants.len();
        all.filter(|it| self.mutants[*it].first == first && self.is_open(*it)).collect()
    }

    /// Looks at all that can be built behind switches.
    fn judge_switched(&mut self, tree: &Tree, first: bool) -> Result<(), Box<dyn Error>> {
        if self.open_ones(first).into_iter().all(|number| self.is_single(number)) {
            return Ok(());
        }
        let judge = self.build_switched(tree)?;
        for tier in &judge::TIERS {
            let wanted =
                |number: &usize| self.is_unasked(*number, tier) && !self.is_single(*number);
            let numbers: Vec<usize> = self.open_ones(first).into_iter().filter(wanted).collect();
            self.judge_all(&judge, &numbers, tier)?;
        }
        Ok(())
    }

    fn judge_all(
        &mut self,
        judge: &Judge,
        numbers: &[usize],
        tier: &Range<usize>,
    ) -> Result<(), Box<dyn Error>> {
        let (tests, next) = (self.tests.clone(), AtomicUsize::new(0));
        let (say, said) = mpsc::channel();
        let asked = |number: usize| self.noted(number).map(|it| it.asked.clone());
        let asked: Vec<Asked> =
            numbers.iter().map(|number| asked(*number).unwrap_or_default()).collect();
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                let (say, next, tests, asked) = (say.clone(), &next, &tests, &asked);
                scope.spawn(move || {
                    while let Some((number, asked)) = {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        numbers.get(at).zip(asked.get(at))
                    } {
                        let unasked = |name: &str| asked.get(name) != tests.get(name);
                        let verdict = judge.verdict(Some(*number), tier, unasked);
                        let verdict = verdict.map_err(|error| error.to_string());
                        if say.send((*number, verdict)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(say);
            for (number, verdict) in said {
                self.note(number, tier, verdict?)?;
            }
            Ok(())
        })
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

    /// Looks at the others, each built by itself; first whether it can be, which most cannot.
    fn judge_single(&mut self, tree: &Tree, first: bool) -> Result<(), Box<dyn Error>> {
        let open = self.open_ones(first);
        if open.is_empty() {
            return Ok(());
        }
        for (file, source) in &self.sources {
            tree.write(file, &source.text)?;
        }
        if !tree.is_sound()? {
            return Err("the copy cannot be built without a mutant".into());
        }
        let all = 0..judge::TIERS.iter().map(|tier| tier.end).max().unwrap_or_default();
        let mut viable = Vec::new();
        for number in open {
            match self.with_single(tree, number, Tree::is_sound)? {
                true => viable.push(number),
                false => self.note(number, &all, Some(Verdict::Unviable))?,
            }
        }
        for number in viable {
            let asked = |tree: &Tree| judge(tree)?.verdict(None, &all, |_| true);
            let verdict = self.with_single(tree, number, asked)?;
            self.note(number, &all, verdict)?;
        }
        Ok(())
    }

    /// Does something with the tree while one mutant is in it.
    fn with_single<T>(
        &self,
        tree: &Tree,
        number: usize,
        work: impl FnOnce(&Tree) -> Result<T, Box<dyn Error>>,
    ) -> Result<T, Box<dyn Error>> {
        let Mutant { file, change, .. } = &self.mutants[number];
        let text = &self.sources[file].text;
        let (before, after) = (&text[..change.replaced.start], &text[change.replaced.end..]);
        tree.write(file, &format!("{before}{}{after}", change.by))?;
        let done = work(tree)?;
        tree.write(file, text)?;
        Ok(done)
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
        first: bool,
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
        Ok(Self { name, file, first, what, line, change })
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

fn listed(files: &[&str]) -> Result<Vec<Value>, Box<dyn Error>> {
    let cargo_mutants = cargo_mutants()?;
    let mut all = Vec::new();
    for files in files {
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

/// Of all that is in some folders or files.
fn hash_of(sources: &[&str]) -> Result<String, Box<dyn Error>> {
    let mut files = Command::new("git");
    files.current_dir(workspace()).args(["ls-files", "--cached", "--others"]);
    files.arg("--exclude-standard").args(sources);
    let mut all = String::new();
    for file in output(&mut files)?.lines() {
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
