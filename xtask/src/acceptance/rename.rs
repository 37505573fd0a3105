//! A directory of files that have arrived is renamed: they are copied on the target.

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use whimbrel_testbed::{CreateFiles, FileSizes};

use super::book::Book;
use super::ground::{FOLDER, Ground, GroundPlan, conclude, demand, ending};
use crate::whimbrel::Edition;

const QUIET_LIMIT: Duration = Duration::from_secs(1800);

/// What is renamed.
#[derive(Debug, Args)]
pub struct Rename {
    /// Files in the directory.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    files: u64,
    /// Decides their sizes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    edition: Edition,
}

/// Measures it; fails unless it held.
pub fn run(options: &Rename) -> Result<(), Box<dyn Error>> {
    let mut book = Book::open("rename")?;
    let call =
        json!({"files": options.files, "seed": options.seed, "release": options.edition.release});
    if book.has_passed(&call) {
        eprintln!("it stands in the book already");
        return Ok(());
    }
    let measured = measure(options)?;
    book.add(&call, &measured)?;
    if measured["passed"] == json!(true) { Ok(()) } else { Err("it did not hold".into()) }
}

fn measure(options: &Rename) -> Result<Value, Box<dyn Error>> {
    let ground =
        Ground::start(&GroundPlan { edition: options.edition.clone(), ..GroundPlan::default() })?;
    let hadoop = ground.hadoop()?;
    hadoop.create_files(&CreateFiles {
        directory: format!("{FOLDER}/before"),
        count: options.files,
        directories: options.files.div_ceil(100),
        sizes: FileSizes::YARDSTICK,
        seed: options.seed,
    })?;
    let (code, seen) = ground.migrate(&["--until-quiet", "3s"])?.finish(QUIET_LIMIT)?;
    if code != 0 {
        return Err(format!("the first migration ended with {code}: {}", seen.result).into());
    }

    let mut migration = ground.migrate(&["--until-quiet", "10s"])?;
    migration.wait_for("scan", QUIET_LIMIT, |seen| seen.progress["scanned"] == json!(true))?;
    let bytes_read = hadoop.stats()?.bytes_read;
    let begin = Instant::now();
    let rename = json!({
        "operation": "rename", "path": format!("{FOLDER}/before"), "to": format!("{FOLDER}/after"),
    });
    hadoop.operations(&[rename])?;
    let (code, seen) = migration.finish(QUIET_LIMIT)?;
    let seconds = begin.elapsed().as_secs_f64();
    let bytes_read = hadoop.stats()?.bytes_read - bytes_read;

    let mut measured = ending(code, &seen, &ground.compare()?);
    measured["bytes_read_from_data_nodes"] = json!(bytes_read);
    measured["seconds_until_quiet_for_ten"] = json!(seconds);
    demand(&mut measured, bytes_read == 0, "data was read again");
    let relocated = seen.result["run_files_relocated"] == json!(options.files);
    demand(&mut measured, relocated, "not every file was relocated");
    conclude(ground, &seen, measured["passed"] == json!(true));
    Ok(measured)
}
