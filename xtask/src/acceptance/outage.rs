//! Parts of the world go away under churn: the migration goes on by itself and ends equal.

use std::error::Error;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use whimbrel_testbed::ChurnOptions;

use super::book::Book;
use super::equal::{QUIET_LIMIT, wait_until_equal};
use super::ground::{FOLDER, Ground, GroundPlan, conclude, demand, ending};
use crate::whimbrel::{Edition, Migration};

/// Files twenty to a directory; two replicas, so that one DataNode may be lost.
const REPLICATION: u64 = 2;
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What is lost, and what is migrated meanwhile.
#[derive(Debug, Args)]
pub struct Outage {
    /// Only this; may be given several times.
    #[arg(long)]
    only: Vec<Loss>,
    /// Files at the start.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    files: u64,
    /// How long they change.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// How often.
    #[arg(long, value_name = "N", default_value_t = 50.0)]
    operations_per_second: f64,
    /// Decides the files and the changes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long the S3 server is gone.
    #[arg(long, value_name = "N", default_value_t = 60)]
    gone_seconds: u64,
    #[command(flatten)]
    edition: Edition,
}

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Loss {
    /// The other NameNode becomes active.
    Failover,
    /// The NameNode is killed, started again and kept in safe mode for a while.
    NameNode,
    /// A DataNode, for good.
    DataNode,
    /// The S3 server, for a while.
    S3,
    /// The edit log is purged while the migration is down.
    Purge,
}

/// Measures each loss; fails if one did not hold.
pub fn run(options: &Outage) -> Result<(), Box<dyn Error>> {
    let mut book = Book::open("outage")?;
    let mut failed = Vec::new();
    let all = Loss::value_variants();
    for loss in if options.only.is_empty() { all } else { &options.only } {
        let name = loss.to_possible_value().map(|value| value.get_name().to_owned());
        let call = json!({
            "loss": name,
            "seed": options.seed,
            "files": options.files,
            "seconds": options.seconds,
            "operations_per_second": options.operations_per_second,
            "gone_seconds": options.gone_seconds,
            "release": options.edition.release,
        });
        if book.has_passed(&call) {
            eprintln!("{loss:?} stands in the book already");
            continue;
        }
        let measured = measure(options, *loss)?;
        book.add(&call, &measured)?;
        if measured["passed"] != json!(true) {
            failed.push(*loss);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("it did not hold: {failed:?}").into()) }
}

fn measure(options: &Outage, loss: Loss) -> Result<Value, Box<dyn Error>> {
    let mut ground = Ground::start(&GroundPlan {
        high_availability: loss == Loss::Failover,
        edition: options.edition.clone(),
        ..GroundPlan::default()
    })?;
    ground.hadoop()?.command(&json!({
        "command": "create_files", "directory": FOLDER, "count": options.files,
        "directories": options.files.div_ceil(20), "seed": options.seed,
        "median_bytes": 20_000, "sigma": 1.3, "maximum_bytes": 8 << 20,
        "replication": REPLICATION,
    }))?;
    ground.hadoop()?.start_churn(&ChurnOptions {
        operations_per_second: options.operations_per_second,
        seconds: options.seconds,
        replication: REPLICATION,
        ..ChurnOptions::new(FOLDER, options.seed)
    })?;
    // Without --until-quiet: while something is lost, nothing changes either.
    let mut migration = ground.migrate(&[])?;
    migration.wait_for("copies", QUIET_LIMIT, |seen| {
        seen.progress["files_copied"].as_u64().unwrap_or_default() > options.files / 10
    })?;
    let mut migration = match loss {
        Loss::Purge => lose_history(&ground, migration)?,
        Loss::Failover | Loss::NameNode | Loss::DataNode | Loss::S3 => {
            lose(&mut ground, loss, options)?;
            migration
        }
    };
    let back = Instant::now();
    while ground.hadoop()?.churn_is_running()? {
        sleep(LOOK_EVERY);
    }
    let done = ground.hadoop()?.wait_for_churn()?;
    let caught_up = wait_until_equal(&ground, true);
    let seconds_to_equal = back.elapsed().as_secs_f64();
    let ended =
        if migration.is_running()? { migration.stop() } else { migration.finish(QUIET_LIMIT) };
    let problems = ended?.1.problems;
    let (code, mut seen) = ground.migrate(&["--until-quiet", "3s"])?.finish(QUIET_LIMIT)?;
    seen.problems.extend(problems);
    let mut measured = ending(code, &seen, &ground.compare()?);
    measured["seconds_from_return_to_equal"] = json!(seconds_to_equal);
    if let Err(error) = caught_up {
        demand(&mut measured, false, &format!("it did not go on by itself: {error}"));
    }
    measured["operations"] = done.all["operations"].clone();
    measured["operations_refused"] = json!(done.failed);
    let kinds = seen.problems.iter().filter_map(|problem| problem["kind"].as_str());
    let mut kinds: Vec<&str> = kinds.collect();
    kinds.sort_unstable();
    kinds.dedup();
    measured["problem_kinds"] = json!(kinds);
    if loss == Loss::Purge {
        let gap = kinds.contains(&"gap") && seen.result["gaps"].as_u64() >= Some(1);
        demand(&mut measured, gap, "the gap was not reported");
    }
    if loss == Loss::S3 {
        let told = kinds.contains(&"target_lost") && kinds.contains(&"target_back");
        demand(&mut measured, told, "the loss was not reported");
    }
    conclude(ground, &seen, measured["passed"] == json!(true));
    Ok(measured)
}

/// Takes something away, and gives it back unless it is a DataNode.
fn lose(ground: &mut Ground, loss: Loss, options: &Outage) -> Result<(), Box<dyn Error>> {
    match loss {
        Loss::Failover => {
            ground.hadoop()?.fail_over()?;
        }
        Loss::NameNode => {
            let hadoop = ground.hadoop()?;
            hadoop.kill_name_node()?;
            sleep(Duration::from_secs(5));
            hadoop.restart_name_node(0)?;
            hadoop.set_safe_mode(true)?;
            sleep(Duration::from_secs(10));
            hadoop.set_safe_mode(false)?;
        }
        Loss::DataNode => ground.hadoop()?.stop_data_node(0)?,
        Loss::S3 => {
            let gateway = ground.gateway()?;
            gateway.stop();
            sleep(Duration::from_secs(options.gone_seconds));
            gateway.start_again()?;
        }
        // The migration has to be down for it.
        Loss::Purge => {}
    }
    Ok(())
}

/// Nobody reads the edits that are purged meanwhile.
fn lose_history(ground: &Ground, migration: Migration) -> Result<Migration, Box<dyn Error>> {
    migration.stop()?;
    sleep(Duration::from_secs(5));
    let hadoop = ground.hadoop()?;
    hadoop.roll_edits()?;
    hadoop.purge_edits()?;
    ground.migrate(&[])
}
