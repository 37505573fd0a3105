//! What is written of the mutants: `docs/mutants.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs;

use super::book::Verdict;
use super::{Mutant, Run};
use crate::process::workspace;

/// Why mutants that no test notices change nothing, or too little to matter.
const REASONS: &str = "docs/mutants-reasons.txt";

/// What the goal is set for, and all else.
const FIRST: &str = "The reconciliation, and the ledger's recovery";
const BESIDE: &str = "What decides and remembers beside them";

/// By whether they are of all else, and by name.
type Files<'a> = BTreeMap<(bool, &'a str), Counts>;

/// How many ended how.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    caught: usize,
    endless: usize,
    missed: usize,
    unviable: usize,
    /// Not looked at yet, or not by all.
    open: usize,
}

/// Counts, writes the document if all were looked at, and fails if one is missed without a reason.
pub fn report(run: &Run, all: bool) -> Result<(), Box<dyn Error>> {
    let reasons = Reasons::read()?;
    let (mut files, mut missed) = (Files::new(), Vec::new());
    for (number, mutant) in run.mutants.iter().enumerate() {
        let counts = files.entry((!mutant.first, mutant.file.as_str())).or_default();
        match run.last(number) {
            Some(Verdict::Caught(_)) => counts.caught += 1,
            Some(Verdict::Endless(_)) => counts.endless += 1,
            Some(Verdict::Unviable) => counts.unviable += 1,
            Some(Verdict::Missed) => {
                counts.missed += 1;
                missed.push(mutant);
            }
            Some(Verdict::Left) | None => counts.open += 1,
        }
    }
    let silent: Vec<_> = missed.iter().filter(|it| reasons.of(it).is_none()).collect();
    for mutant in &silent {
        println!(
            "no test notices, and nobody said why: {}\n    {}",
            mutant.name,
            Reasons::key(mutant)
        );
    }
    if all {
        for unused in reasons.unused(&missed) {
            println!("a reason for what is noticed, or no more there: {unused}");
        }
        let text = document(&files, &missed, &reasons)?;
        fs::write(workspace().join("docs/mutants.md"), text)?;
    }
    let sum = files.values().fold(Counts::default(), Counts::plus);
    println!("{}", sum.told());
    match (silent.len(), sum.open) {
        (0, 0) => Ok(()),
        (0, open) => Err(format!("{open} mutants are to be looked at").into()),
        (silent, _) => Err(format!("{silent} mutants want a test or a reason").into()),
    }
}

fn document(
    files: &Files<'_>,
    missed: &[&Mutant],
    reasons: &Reasons,
) -> Result<String, Box<dyn Error>> {
    let mut text = "# Mutants\n\n\
         Written by `cargo xtask mutants` (see [testing.md](testing.md)): one thing at a time is \
         changed in what decides and what\n\
         remembers, and the tests are asked whether they notice.\n"
        .to_owned();
    for (beside, head) in [(false, FIRST), (true, BESIDE)] {
        let files = || files.iter().filter(|((it, _), _)| *it == beside);
        let sum = files().map(|(_, counts)| counts).fold(Counts::default(), Counts::plus);
        write!(
            text,
            "\n## {head}\n{}\n\n\
             | file | caught | endless | missed | not to be built | open | noticed |\n\
             |---|---|---|---|---|---|---|\n",
            sum.told()
        )?;
        for ((_, file), counts) in files() {
            let Counts { caught, endless, missed, unviable, open } = counts;
            let percent = counts.percent();
            let counts = format!("{caught} | {endless} | {missed} | {unviable} | {open}");
            writeln!(text, "| {file} | {counts} | {percent} |")?;
        }
    }
    text.push_str("\n## Not noticed\n");
    let mut by_reason = BTreeMap::<&str, Vec<String>>::new();
    for mutant in missed {
        let reason = reasons.of(mutant).unwrap_or("Nobody said why yet");
        let Mutant { file, what, line, .. } = mutant;
        by_reason.entry(reason).or_default().push(format!("- {file}: {what}: `{line}`\n"));
    }
    for (reason, mutants) in by_reason {
        write!(text, "\n{reason}:\n{}", mutants.concat())?;
    }
    Ok(text)
}

impl Counts {
    fn plus(self, other: &Self) -> Self {
        Self {
            caught: self.caught + other.caught,
            endless: self.endless + other.endless,
            missed: self.missed + other.missed,
            unviable: self.unviable + other.unviable,
            open: self.open + other.open,
        }
    }

    /// Tests that never end are noticed too.
    fn percent(&self) -> String {
        let noticed = self.caught + self.endless;
        match noticed + self.missed {
            // What is caught is known before what is missed: a share of these would flatter.
            _ if self.open > 0 => "open".to_owned(),
            0 => "-".to_owned(),
            viable => format!("{}.{} %", noticed * 100 / viable, noticed * 1000 / viable % 10),
        }
    }

    fn told(&self) -> String {
        let Self { caught, endless, missed, unviable, open } = self;
        let viable = caught + endless + missed;
        let told = format!(
            "Of {viable} mutants {caught} were caught, {endless} ran without an end, and {missed} \
             were missed. {unviable} more cannot be built."
        );
        match open {
            0 => format!("{told} Noticed: {}.", self.percent()),
            open => format!("{told} {open} are to be looked at, or not by all programs yet."),
        }
    }
}

/// By what is changed and the line that it is changed in: they move with their line, and have to be
/// thought over when it becomes another one.
#[derive(Debug)]
struct Reasons(BTreeMap<String, String>);

impl Reasons {
    /// A line `= reason` speaks for the lines below it.
    fn read() -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(workspace().join(REASONS))?;
        let (mut reasons, mut reason) = (BTreeMap::new(), None);
        for line in text.lines().filter(|line| !line.is_empty()) {
            match line.strip_prefix("= ") {
                Some(new) => reason = Some(new.to_owned()),
                None => {
                    let reason = reason.clone().ok_or_else(|| format!("no reason: {line}"))?;
                    reasons.insert(line.to_owned(), reason);
                }
            }
        }
        Ok(Self(reasons))
    }

    fn key(mutant: &Mutant) -> String {
        format!("{}: {} @ {}", mutant.file, mutant.what, mutant.line)
    }

    fn of(&self, mutant: &Mutant) -> Option<&str> {
        self.0.get(&Self::key(mutant)).map(String::as_str)
    }

    fn unused(&self, missed: &[&Mutant]) -> Vec<String> {
        let used: BTreeSet<String> = missed.iter().map(|mutant| Self::key(mutant)).collect();
        self.0.keys().filter(|key| !used.contains(*key)).cloned().collect()
    }
}
