//! Faults of ten kinds, drawn by chance: `verify` has to find every one, and nothing else.

mod inject;
mod look;
mod plan;
mod samples;

use std::error::Error;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use whimbrel_testbed::ChurnOptions;

use self::inject::{clear_hidden, inject, keep_older};
use self::look::{Judgement, Look};
use self::plan::{Draw, Fault, Kind, MOVING, Tree};
use super::book::Book;
use super::ground::{FINDINGS_KEPT, FOLDER, Ground, GroundPlan, demand};
use crate::whimbrel::{Edition, Seen};

const QUIET_LIMIT: Duration = Duration::from_secs(3600);
/// How long the churn goes on before faults are made beside it.
const CHURN_BEFORE: Duration = Duration::from_secs(5);
/// The longest that a comparison beside it may take.
const CHURN_SECONDS: u64 = 3600;

/// How many, of how much.
#[derive(Debug, Args)]
pub struct Faults {
    /// Files of the source.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    files: u64,
    /// Faults, a tenth of each kind; as many again under churn.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    faults: u64,
    /// Decides the files, the faults and the samples.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often the part changes that is under churn.
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    operations_per_second: f64,
    #[command(flatten)]
    edition: Edition,
}

/// Measures it; fails unless it held.
pub fn run(options: &Faults) -> Result<(), Box<dyn Error>> {
    let mut book = Book::open("faults")?;
    let call = json!({
        "files": options.files,
        "faults": options.faults,
        "seed": options.seed,
        "operations_per_second": options.operations_per_second,
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

fn measure(options: &Faults) -> Result<Value, Box<dyn Error>> {
    let edition = options.edition.clone();
    let ground = Ground::start(&GroundPlan { watched: true, edition, ..GroundPlan::default() })?;
    let tree = Tree::make(&ground, options.files, options.faults, options.seed)?;
    let mut draw = Draw::new(tree, options.seed);
    let (faults, later) = (draw.faults(options.faults)?, draw.faults(options.faults)?);
    to_the_end(&ground, &[])?;
    keep_older(&ground, &[faults.clone(), later.clone()].concat())?;
    to_the_end(&ground, &[])?;

    let mut measured = json!({"passed": true});
    clean(&ground, &mut measured)?;
    let (below, above): (Vec<Fault>, Vec<Fault>) =
        faults.iter().cloned().partition(|fault| fault.kind.is_below());
    inject(&ground, &below)?;
    below_the_checksums(&ground, &below, &mut measured)?;
    samples::measure(&ground, &below.iter().collect::<Vec<_>>(), options.seed, &mut measured)?;
    inject(&ground, &above)?;
    every_fault(&ground, &faults, &mut measured)?;
    repair(&ground, &faults, "repaired", &mut measured)?;
    under_churn(&ground, options, &later, &mut measured)?;
    if measured["passed"] != json!(true) {
        eprintln!("state and log are kept in {}", ground.keep().display());
    }
    Ok(measured)
}

/// Migrates until both sides are equal.
fn to_the_end(ground: &Ground, more: &[&str]) -> Result<Seen, Box<dyn Error>> {
    eprintln!("migrating");
    let more = [&["--until-quiet", "3s"], more].concat();
    let (code, seen) = ground.migrate(&more)?.finish(QUIET_LIMIT)?;
    if code != 0 {
        for problem in seen.problems.iter().take(FINDINGS_KEPT) {
            eprintln!("{problem}");
        }
        return Err(format!("the migration ended with {code}: {}", seen.result).into());
    }
    Ok(seen)
}

/// Nothing is wrong: nothing may be told, and nothing read.
fn clean(ground: &Ground, measured: &mut Value) -> Result<(), Box<dyn Error>> {
    eprintln!("comparing what is equal");
    let look = Look::at(ground, &[])?;
    let equal = look.says("equal", 0) && look.told.is_empty();
    demand(measured, equal, "equal sides were not called equal");
    demand(measured, look.read_nothing(), "data was read of equal sides");
    measured["clean"] = look.measured();
    Ok(())
}

/// Bits that turned below the checksums: those alone tell nothing, and the report says so.
fn below_the_checksums(
    ground: &Ground,
    below: &[Fault],
    measured: &mut Value,
) -> Result<(), Box<dyn Error>> {
    eprintln!("comparing checksums of {} files with turned bits", below.len());
    let report = ground.report("report");
    let look = Look::at(ground, &["--report", &report.display().to_string()])?;
    demand(measured, look.says("equal", 0), "turned bits were found without reading");
    demand(measured, look.read_nothing(), "data was read");
    let page = std::fs::read_to_string(report.join("report.html"))?;
    let says = page.contains("Bytes that a disk altered below a kept checksum are not seen");
    demand(measured, says, "the report does not say what it does not see");
    measured["below_the_checksums"] = look.measured();

    let sampled = Look::at(ground, &["--sample", "10%", "--sample-seed", "checksums"])?;
    demand(measured, sampled.says("no_difference_found", 0), "a sample of checksums found some");
    demand(measured, sampled.read_nothing(), "a sample of checksums read data");
    Ok(())
}

/// All of them: without reading all but those below the checksums, with reading all.
fn every_fault(
    ground: &Ground,
    faults: &[Fault],
    measured: &mut Value,
) -> Result<(), Box<dyn Error>> {
    eprintln!("looking for {} faults", faults.len());
    let above: Vec<&Fault> = faults.iter().filter(|fault| !fault.kind.is_below()).collect();
    let look = Look::at(ground, &[])?;
    judge(&look, &above, "by_checksum", measured);
    demand(measured, look.read_nothing(), "data was read of what differs");

    let sampled = Look::at(ground, &["--sample", "10%", "--sample-seed", "names"])?;
    let listed: Vec<&Fault> = above.iter().copied().filter(|it| it.kind.is_listed()).collect();
    let (all, some) = (Judgement::of(&sampled, &above), Judgement::of(&sampled, &listed));
    let held = all.is_true() && some.missed.is_empty();
    demand(measured, held, "a sample did not find all that the listings tell");
    demand(measured, sampled.read_nothing(), "a sample of checksums read data");
    let mut line = sampled.measured();
    line["found_by_kind"] = json!(all.found);
    measured["sample_of_checksums"] = line;

    let look = Look::at(ground, &["--read"])?;
    judge(&look, &faults.iter().collect::<Vec<_>>(), "by_reading", measured);
    let damaged = faults.iter().find(|fault| fault.kind == Kind::FlippedAtSource);
    let said = damaged.and_then(|fault| {
        look.told.iter().find(|line| fault.paths.iter().any(|path| line["path"] == json!(path)))
    });
    measured["by_reading"]["said_of_a_damaged_block"] = json!(said.map(|line| &line["message"]));
    Ok(())
}

/// Every fault was told, by its name, and nothing else.
fn judge(look: &Look, faults: &[&Fault], name: &str, measured: &mut Value) {
    let judgement = Judgement::of(look, faults);
    demand(measured, judgement.is_right(), &format!("{name}: not what was done"));
    demand(measured, look.says("different", 5), &format!("{name}: called otherwise"));
    measured[name] = look.measured();
    judgement.add_to(&mut measured[name]);
}

/// A migration makes good what tells it itself by a listing: names, lengths and bytes. The rest it
/// makes good once somebody took away what `verify` named; by the judge.
fn repair(
    ground: &Ground,
    faults: &[Fault],
    name: &str,
    measured: &mut Value,
) -> Result<(), Box<dyn Error>> {
    eprintln!("repairing");
    let policies = ["--existing", "replace", "--extras", "remove"];
    let seen = to_the_end(ground, &policies)?;
    let hidden = |fault: &&Fault| fault.kind.is_below() || fault.kind == Kind::Metadata;
    let left = Judgement::of(
        &Look::at(ground, &["--read"])?,
        &faults.iter().filter(hidden).collect::<Vec<_>>(),
    );
    demand(measured, left.is_true(), &format!("{name}: a migration left what it can tell"));

    clear_hidden(ground, faults)?;
    to_the_end(ground, &policies)?;
    let report = ground.compare()?;
    demand(measured, report.equal, &format!("{name}: a migration did not make it equal"));
    let kept: Vec<&Value> = report.findings.iter().take(FINDINGS_KEPT).collect();
    measured[name] = json!({
        "files_copied": seen.result["run_files_copied"],
        "files_removed": seen.result["run_files_removed"],
        "left_by_a_migration_alone": left.found,
        "differences": report.findings.len(),
        "findings": kept,
        "checked": report.summary,
    });
    Ok(())
}

/// The same beside a migration that brings what changes. What is rewritten at the source it brings,
/// too: that is no fault.
fn under_churn(
    ground: &Ground,
    options: &Faults,
    faults: &[Fault],
    measured: &mut Value,
) -> Result<(), Box<dyn Error>> {
    eprintln!("the same under churn");
    let mut migration = ground.migrate(&[])?;
    // Before it claims anything it compares the target with its state, and writes again what is gone.
    migration.wait_for("claim", QUIET_LIMIT, |seen| seen.progress["as_of_txid"].is_u64())?;
    ground.hadoop()?.start_churn(&ChurnOptions {
        operations_per_second: options.operations_per_second,
        seconds: CHURN_SECONDS,
        ..ChurnOptions::new(&format!("{FOLDER}/{MOVING}"), options.seed)
    })?;
    std::thread::sleep(CHURN_BEFORE);
    inject(ground, faults)?;
    let standing = faults.iter().filter(|fault| fault.kind != Kind::Rewritten);
    let above: Vec<&Fault> = standing.clone().filter(|fault| !fault.kind.is_below()).collect();
    let look = Look::at(ground, &[])?;
    judge(&look, &above, "by_checksum_under_churn", measured);
    let read = |look: &Look, side: &str| look.result[side].as_u64();
    let nothing = ["bytes_read_source", "bytes_read_target"].map(|side| read(&look, side));
    demand(measured, nothing == [Some(0), Some(0)], "data was read under churn");
    let look = Look::at(ground, &["--read"])?;
    judge(&look, &standing.collect::<Vec<_>>(), "by_reading_under_churn", measured);

    demand(measured, ground.hadoop()?.churn_is_running()?, "the churn ended too early");
    ground.hadoop()?.stop_churn()?;
    let churn = ground.hadoop()?.wait_for_churn()?;
    measured["operations_under_churn"] = json!(churn.operations);
    let (code, _) = migration.stop()?;
    measured["exit_code_of_the_stopped_migration"] = json!(code);
    repair(ground, faults, "repaired_after_churn", measured)
}
