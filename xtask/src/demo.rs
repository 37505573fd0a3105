//! `cargo xtask demo`: a live migration to look at, between real systems.

use std::error::Error;
use std::io::IsTerminal;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use whimbrel_testbed::{
    ChurnOptions, CreateFiles, FileSizes, Hadoop, HadoopOptions, S3Server, VersityGateway,
};

use crate::interrupt::Interrupt;
use crate::local_tree::{Changes, LocalTree, TreePlan};
use crate::whimbrel::{Edition, Whimbrel};

const BUCKET: &str = "demo";
const TARGET: &str = "s3://demo/data";
/// The folder of the source on HDFS.
const HDFS_FOLDER: &str = "/data";
const SEED: u64 = 1;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What to show.
#[derive(Debug, Args)]
pub struct Demo {
    /// The source is an HDFS cluster instead of a local tree.
    #[arg(long)]
    hdfs: bool,
    #[command(flatten)]
    edition: Edition,
    /// Files at the start.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    files: u64,
    /// How long the source goes on changing.
    #[arg(long, value_name = "N", default_value_t = 20)]
    seconds: u64,
    /// How often it changes.
    #[arg(long, value_name = "N", default_value_t = 50.0)]
    operations_per_second: f64,
}

/// What is migrated, and what goes on changing it.
enum Source {
    Local { changes: Option<Changes>, _folder: TempDir },
    Hdfs(Hadoop),
}

/// Shows it; fails unless the target equals the source at last.
pub fn demo(options: &Demo) -> Result<(), Box<dyn Error>> {
    let whimbrel = Whimbrel::get(&options.edition)?;
    let interrupt = Interrupt::listen()?;
    let state = tempfile::Builder::new().prefix("whimbrel-demo-").tempdir()?;
    let gateway = VersityGateway::start()?;
    gateway.create_bucket(BUCKET)?;
    let endpoint = gateway.endpoint();
    say(&format!("an S3 server that checks signatures and checksums: {}", endpoint.url));
    let whimbrel = whimbrel
        .with(endpoint.environment())
        .with([("XDG_STATE_HOME", state.path().display().to_string())]);
    let (mut source, url, whimbrel) = start_source(options, whimbrel)?;
    say(&format!(
        "from now on it changes {} times a second, for {} s",
        options.operations_per_second, options.seconds
    ));
    if interrupt.came() {
        return Err("stopped".into());
    }

    let mut migrate = whimbrel.command();
    migrate.args(["migrate", &url, TARGET, "--live", "--until-quiet", "3s", "--name", "demo"]);
    show_call(&migrate);
    let changing = Duration::from_secs(options.seconds);
    let (status, counts) = attend(migrate.spawn()?, &mut source, changing, &interrupt)?;
    succeed(status, "migrate")?;
    say(&format!("the source was changed meanwhile: {counts}"));

    let mut verify = whimbrel.command();
    verify.args(["verify", "demo"]);
    show_call(&verify);
    succeed(wait(verify.spawn()?, &interrupt)?, "verify")?;
    say("verdict: equal");
    Ok(())
}

/// Makes the source and begins to change it.
fn start_source(
    options: &Demo,
    whimbrel: Whimbrel,
) -> Result<(Source, String, Whimbrel), Box<dyn Error>> {
    let directories = options.files.div_ceil(20);
    if options.hdfs {
        let hadoop = Hadoop::start(&HadoopOptions::default())?;
        let bytes = hadoop.create_files(&CreateFiles {
            directory: HDFS_FOLDER.to_owned(),
            count: options.files,
            directories,
            sizes: FileSizes::YARDSTICK,
            seed: SEED,
        })?;
        let url = format!("{}{HDFS_FOLDER}", hadoop.url());
        describe(options, directories, bytes, &url);
        let whimbrel = whimbrel.with([
            ("HADOOP_CONF_DIR", hadoop.configuration_directory().display().to_string()),
            ("HADOOP_USER_NAME", hadoop.superuser().to_owned()),
        ]);
        hadoop.start_churn(&ChurnOptions {
            operations_per_second: options.operations_per_second,
            seconds: options.seconds,
            ..ChurnOptions::new(HDFS_FOLDER, SEED)
        })?;
        return Ok((Source::Hdfs(hadoop), url, whimbrel));
    }
    let folder = tempfile::Builder::new().prefix("whimbrel-demo-").tempdir()?;
    let root = folder.path().join("data");
    let plan = TreePlan { files: options.files, directories, seed: SEED };
    let tree = LocalTree::create(&root, plan)?;
    let url = format!("file://{}", root.display());
    describe(options, directories, tree.bytes, &url);
    let changes = tree.change(options.operations_per_second);
    Ok((Source::Local { changes: Some(changes), _folder: folder }, url, whimbrel))
}

impl Source {
    /// Ends the changes; says what they were.
    fn stop(&mut self) -> Result<String, Box<dyn Error>> {
        let counts: Vec<String> = match self {
            Self::Local { changes, .. } => match changes.take() {
                Some(changes) => {
                    let counts = changes.stop()?;
                    counts.iter().map(|(name, count)| format!("{name} {count}")).collect()
                }
                None => Vec::new(),
            },
            Self::Hdfs(hadoop) => {
                if hadoop.churn_is_running()? {
                    hadoop.stop_churn()?;
                }
                let done = hadoop.wait_for_churn()?;
                let counts = done.all["operations"].as_object().cloned().unwrap_or_default();
                counts.iter().map(|(name, count)| format!("{name} {count}")).collect()
            }
        };
        Ok(counts.join(", "))
    }
}

/// Stops the changes after their time and waits for the migration's own end; gives what was done
/// to the source too. On a signal everything ends as soon as it can in good order.
fn attend(
    mut child: Child,
    source: &mut Source,
    changing: Duration,
    interrupt: &Interrupt,
) -> Result<(ExitStatus, String), Box<dyn Error>> {
    let begin = Instant::now();
    while begin.elapsed() < changing && !interrupt.came() && child.try_wait()?.is_none() {
        std::thread::sleep(LOOK_EVERY);
    }
    let counts = source.stop()?;
    Ok((wait(child, interrupt)?, counts))
}

/// Waits for its end; a signal that came to this process alone is passed on once.
fn wait(mut child: Child, interrupt: &Interrupt) -> Result<ExitStatus, Box<dyn Error>> {
    let mut passed_on = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        // On a terminal the child has the signal from there, and a second one would cut it short.
        if interrupt.came() && !passed_on && !std::io::stdin().is_terminal() {
            passed_on = true;
            kill_process(Pid::from_child(&child), Signal::TERM)?;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn succeed(status: ExitStatus, what: &str) -> Result<(), Box<dyn Error>> {
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(format!("whimbrel {what} ended with {code}").into()),
        None => Err(format!("whimbrel {what} was killed").into()),
    }
}

fn say(text: &str) {
    eprintln!("demo: {text}");
}

fn describe(options: &Demo, directories: u64, bytes: u64, url: &str) {
    let megabytes = bytes as f64 / 1e6;
    say(&format!(
        "a source: {} files in {directories} directories, {megabytes:.0} MB: {url}",
        options.files
    ));
}

/// The call as a person would type it.
fn show_call(command: &Command) {
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> =
        words.skip_while(|word| !word.ends_with("/whimbrel")).skip(1).collect();
    eprintln!("\n$ whimbrel {}", words.join(" "));
}
