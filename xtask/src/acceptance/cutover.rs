//! Cut-overs under load, behind each fence: a no while the source changes, a yes once it is fenced,
//! every step killed and taken again.

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use whimbrel_testbed::{ChurnOptions, CreateFiles, FileSizes};

use super::book::Book;
use super::ground::{FINDINGS_KEPT, FOLDER, Ground, GroundPlan, demand, kinds, result};
use crate::whimbrel::{Edition, Migration};

/// For the scan, and for one cut-over.
const LIMIT: Duration = Duration::from_secs(1800);
const STEP_LIMIT: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long it changes before anybody asks.
const CHURN_BEFORE: Duration = Duration::from_secs(5);
/// Until the answer is no, while it goes on changing.
const GIVE_UP_AFTER: &str = "30s";
const STEPS: [&str; 6] = ["fencing", "fenced", "drained", "verified", "reported", "equal"];

/// How much, and how fast it changes.
#[derive(Debug, Args)]
pub struct Cutover {
    /// Files at the start.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    files: u64,
    /// How often they change.
    #[arg(long, value_name = "N", default_value_t = 300.0)]
    operations_per_second: f64,
    /// Decides the files and the changes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    edition: Edition,
}

/// Measures one cut-over behind each fence, one after the other; fails if one did not hold.
pub fn run(options: &Cutover) -> Result<(), Box<dyn Error>> {
    let mut book = Book::open("cutover")?;
    let call = json!({
        "files": options.files,
        "operations_per_second": options.operations_per_second,
        "seed": options.seed,
        "release": options.edition.whimbrel.is_none().then_some(options.edition.release),
    });
    if book.has_passed(&call) {
        eprintln!("it stands in the book already");
        return Ok(());
    }
    let measured = measure(options)?;
    book.add(&call, &measured)?;
    if measured["passed"] == json!(true) { Ok(()) } else { Err("it did not hold".into()) }
}

fn measure(options: &Cutover) -> Result<Value, Box<dyn Error>> {
    let edition = options.edition.clone();
    let ground = Ground::start(&GroundPlan { edition, ..GroundPlan::default() })?;
    ground.hadoop()?.create_files(&CreateFiles {
        directory: FOLDER.to_owned(),
        count: options.files,
        directories: options.files.div_ceil(20),
        sizes: FileSizes::Fixed(2_000),
        seed: options.seed,
    })?;
    let mut measured = json!({"passed": true, "rounds": []});
    for (number, fence) in ["safe-mode", "permissions", "check"].into_iter().enumerate() {
        eprintln!("behind {fence}");
        let seed = options.seed + u64::try_from(number)?;
        let rehearsed = Round { ground: &ground, fence, measured: json!({"fence": fence}) };
        let round = rehearsed.measure(options, seed);
        // Another process of it may have been started by a cut-over.
        let _ = ground.answer("stop", &[]);
        let round = round?;
        let held = round["reasons"].is_null();
        demand(&mut measured, held, &format!("behind {fence}"));
        if let Some(rounds) = measured["rounds"].as_array_mut() {
            rounds.push(round);
        }
    }
    if measured["passed"] != json!(true) {
        eprintln!("state and log are kept in {}", ground.keep().display());
    }
    Ok(measured)
}

struct Round<'a> {
    ground: &'a Ground,
    fence: &'static str,
    measured: Value,
}

impl Round<'_> {
    fn measure(mut self, options: &Cutover, seed: u64) -> Result<Value, Box<dyn Error>> {
        let hadoop = self.ground.hadoop()?;
        hadoop.start_churn(&ChurnOptions {
            operations_per_second: options.operations_per_second,
            seconds: 24 * 3600,
            ..ChurnOptions::new(FOLDER, seed)
        })?;
        let mut migration = self.ground.migrate(&[])?;
        migration.wait_for("scan", LIMIT, |seen| seen.progress["scanned"] == json!(true))?;
        std::thread::sleep(CHURN_BEFORE);
        self.dry_run("dry_run_under_churn")?;
        self.while_it_changes()?;
        hadoop.stop_churn()?;
        let churn = hadoop.wait_for_churn()?;
        self.measured["operations"] = json!(churn.operations);
        self.measured["operations_refused"] = json!(churn.failed);
        self.demand(churn.operations > 0, "nothing changed");
        let is_the_operators = self.fence == "check";
        if is_the_operators {
            hadoop.set_safe_mode(true)?;
        }
        self.dry_run("dry_run_behind_churn")?;
        self.killed_at_each_step()?;
        self.yes(migration)?;
        if is_the_operators {
            hadoop.set_safe_mode(false)?;
        } else {
            let (code, lines) = self.ground.answer("cutover", &["--undo-fence"])?;
            let undone = result(&lines)["undone"] == json!(true);
            self.demand(code == 0 && undone, "the fence was not undone");
        }
        Ok(self.measured)
    }

    fn demand(&mut self, holds: bool, why: &str) {
        demand(&mut self.measured, holds, why);
    }

    /// What is missing, and how long it takes.
    fn dry_run(&mut self, name: &str) -> Result<(), Box<dyn Error>> {
        let (code, lines) = self.ground.answer("cutover", &["--dry-run"])?;
        let result = result(&lines);
        self.demand(code == 0 || code == 5, "a dry run failed");
        let told = code == 0 || !kinds(&lines).is_empty();
        self.demand(told, "a dry run does not say what is missing");
        self.measured[name] = json!({
            "exit_code": code,
            "estimated_seconds": result["estimated_seconds"],
            "reasons": kinds(&lines),
        });
        Ok(())
    }

    /// Safe mode holds the churn off, and files that it left open are a reason; a superuser goes on
    /// behind the mode 000; and nobody has fenced anything where it is only checked.
    fn while_it_changes(&mut self) -> Result<(), Box<dyn Error>> {
        let more = ["--fence", self.fence, "--quiet", "3s", "--give-up-after", GIVE_UP_AFTER];
        let begin = Instant::now();
        let (code, lines) = self.ground.answer("cutover", &more)?;
        let (seconds, result) = (begin.elapsed().as_secs_f64(), result(&lines));
        self.measured["while_it_changes"] = json!({
            "exit_code": code, "reasons": kinds(&lines), "seconds": seconds,
        });
        if code == 0 && self.fence == "safe-mode" {
            let report = self.ground.compare()?;
            self.demand(report.equal, "a yes behind safe mode was not equal");
            let (code, _) = self.ground.answer("cutover", &["--undo-fence"])?;
            self.demand(code == 0, "the fence was not undone");
            return Ok(());
        }
        let reasons = kinds(&lines);
        let known = ["changed", "not_drained", "open", "different"];
        let fits = !reasons.is_empty() && reasons.iter().all(|kind| known.contains(&kind.as_str()));
        self.demand(code == 5 && fits, "it did not say no, or not why, while the source changed");
        self.demand(result["fence_stands"] == json!(false), "a fence stands after a no");
        Ok(())
    }

    /// Kills a call once it has come to each step; the next one begins behind what it left.
    fn killed_at_each_step(&mut self) -> Result<(), Box<dyn Error>> {
        let mut killed = Vec::new();
        let begin = if self.fence == "check" { 1 } else { 0 };
        for (number, wanted) in STEPS.iter().enumerate().skip(begin) {
            let before = self.ground.cutover_record();
            let report = self.ground.report(&format!("killed-{}", self.fence));
            let report = report.display().to_string();
            let more = ["--fence", self.fence, "--quiet", "1s", "--report", &report];
            let mut call = self.ground.begin("cutover", &more)?;
            let started = Instant::now();
            loop {
                let record = self.ground.cutover_record();
                let step = record["step"].as_str().unwrap_or_default().to_owned();
                let at = STEPS.iter().position(|each| **each == *step);
                if record != before && at >= Some(number) {
                    call.kill()?;
                    call.wait()?;
                    killed.push(json!({"wanted": wanted, "at": step}));
                    break;
                }
                // One that came to its end first has taken all steps.
                if call.try_wait()?.is_some() {
                    break;
                }
                if started.elapsed() > STEP_LIMIT {
                    call.kill()?;
                    call.wait()?;
                    return Err(format!("it does not come to {wanted}: {record}").into());
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
        let all = killed.len() == STEPS.len() - begin;
        self.measured["killed"] = json!(killed);
        self.demand(all, "it was not killed at every step");
        Ok(())
    }

    /// Nothing is in its way any more; the checker and the command that checks reports agree.
    fn yes(&mut self, migration: Migration) -> Result<(), Box<dyn Error>> {
        let report = self.ground.report(&format!("proof-{}", self.fence));
        let folder = report.display().to_string();
        let begin = Instant::now();
        let more = ["--fence", self.fence, "--quiet", "3s", "--report", &folder];
        let (code, lines) = self.ground.answer("cutover", &more)?;
        let result = result(&lines);
        self.measured["seconds"] = json!(begin.elapsed().as_secs_f64());
        self.measured["result"] = result.clone();
        self.measured["problems"] = json!(kinds(&lines));
        let equal = code == 0 && result["outcome"] == json!("equal");
        self.demand(equal, "it did not say yes");
        self.demand(result["bytes_read_source"] == json!(0), "data was read at the source");
        self.demand(result["bytes_read_target"] == json!(0), "data was read on the target");
        let (checked, _) = self.ground.check_report(&folder)?;
        self.demand(checked == 0, "the report does not hold");
        let told = std::fs::read(report.join("report.json")).unwrap_or_default();
        let told: Value = serde_json::from_slice(&told).unwrap_or_default();
        let agrees =
            told["outcome"] == json!("equal") && told["as_of_txid"] == result["as_of_txid"];
        self.demand(agrees, "the report says something else");
        let judged = self.ground.compare()?;
        let kept: Vec<&Value> = judged.findings.iter().take(FINDINGS_KEPT).collect();
        self.measured["findings"] = json!(kept);
        self.measured["checked"] = judged.summary.clone();
        self.demand(judged.equal, "the checker finds differences");
        // It was stopped by one of the calls.
        migration.finish(STEP_LIMIT)?;
        Ok(())
    }
}
