//! The migration that is cut over: found running, or started as it was last.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use whimbrel_engine::{Request, is_listening};

use super::stand::Stand;
use super::{No, Reason};
use crate::control;
use crate::exit::{self, CommandError, Condition};
use crate::output::progress::flattened;
use crate::output::{self};
use crate::record::Call;
use crate::running::Running;
use crate::state::StatePlace;

/// What a migration that a cut-over starts has to say.
const LOG: &str = "cutover-run.log";
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the state of one that is to be started may be in use.
const IN_USE_MAX: Duration = Duration::from_secs(10);
/// How long one that was told to stop may take: ten seconds for what is in flight, and its state.
const STOP_MAX: Duration = Duration::from_secs(60);

/// A migration that runs.
pub struct Watched {
    place: StatePlace,
    running: Running,
    /// True if this cut-over started it.
    pub started: bool,
    elapsed_seconds: f64,
}

impl Watched {
    /// The migration of this place, started if it does not run.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn at(place: &StatePlace, call: &Call) -> Result<Self, CommandError> {
        let of = |running, started| Self {
            place: place.clone(),
            running,
            started,
            elapsed_seconds: 0.0,
        };
        if let Some(running) = Running::at(place.clone()).await {
            return Ok(of(running, false));
        }
        let until = Instant::now() + IN_USE_MAX;
        let mut begun = start(place, call)?;
        output::standard_error(&format!("starting {}", place.name));
        loop {
            if let Some(running) = Running::at(place.clone()).await {
                return Ok(of(running, true));
            }
            if let Ok(Some(status)) = begun.0.try_wait() {
                let failed = not_started(&place.name, status.code(), &mut begun.1);
                // One that ended a moment ago, or was asked for its status, holds its state still.
                if failed.condition != Condition::Local || Instant::now() >= until {
                    return Err(failed);
                }
                tokio::time::sleep(LOOK_EVERY).await;
                begun = start(place, call)?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Where it stands. It has to be the same run as before: what happened between two runs over a
    /// local tree is told by nobody.
    ///
    /// # Errors
    /// It has ended, or was started anew.
    pub async fn look(&mut self) -> Result<Stand, No> {
        let progress = loop {
            match self.running.progress().await {
                Some(progress) => break progress,
                None if is_listening(&self.place.folder).await => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                None => return Err(ended("has ended").into()),
            }
        };
        let stand = Stand::new(flattened(progress.into()));
        if stand.elapsed_seconds() < self.elapsed_seconds {
            return Err(ended("was started anew").into());
        }
        self.elapsed_seconds = stand.elapsed_seconds();
        Ok(stand)
    }

    /// Who is asked about single paths while they are compared.
    pub async fn worker(&self) -> Option<Running> {
        Running::at(self.place.clone()).await
    }

    /// Has what is gone at the source and stays for a time go now.
    ///
    /// # Errors
    /// It refuses.
    pub async fn confirm_delayed(&self) -> Result<(), CommandError> {
        control::ask(&self.place, &Request::Confirm { delayed: true }).await.map(drop)
    }

    /// Stops it in good order, and waits for its end.
    ///
    /// # Errors
    /// It refuses, or does not end in time.
    pub async fn stop(&self) -> Result<(), CommandError> {
        if control::ask(&self.place, &Request::Stop {}).await?.is_none() {
            return Ok(());
        }
        let until = Instant::now() + STOP_MAX;
        while is_listening(&self.place.folder).await {
            if Instant::now() >= until {
                return Err(CommandError::local(
                    format!("the migration {} was told to stop and still runs", self.place.name),
                    "stop its process: what happens at the source later must not reach the target",
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

fn ended(what: &str) -> Reason {
    Reason {
        kind: "migration_ended",
        message: format!("the migration {what} while it was cut over"),
        remedy: "whimbrel status tells how it ended; then say it again",
    }
}

/// In a group of its own: Control-C is for the cut-over.
fn start(place: &StatePlace, call: &Call) -> Result<(Child, File), CommandError> {
    let Some(flags) = call.flags() else {
        return Err(CommandError::usage(
            format!(
                "the migration {} does not run, and how it was started is not kept",
                place.name
            ),
            "start it with --live and its options, and say it again",
        ));
    };
    let path = place.folder.join(LOG);
    let failed = |error: std::io::Error| {
        let told = format!("{} cannot be started: {error}", place.name);
        CommandError::local(told, "start it yourself, with --live, and say it again")
    };
    let log = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
    // Opened by itself: where the child writes is no matter of where this reads.
    let mut told = File::open(&path).map_err(failed)?;
    told.seek(SeekFrom::End(0)).map_err(failed)?;
    let child = Command::new(std::env::current_exe().map_err(failed)?)
        .arg("migrate")
        .args([call.source(), call.target()])
        .args(flags)
        .args(["--live", "--name", &place.name, "--state"])
        .arg(&place.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    Ok((child, told))
}

/// As the migration itself says it.
fn not_started(name: &str, code: Option<i32>, log: &mut File) -> CommandError {
    let mut told = String::new();
    // What was written is for people; where it cannot be read, the code says enough.
    let _ = log.read_to_string(&mut told);
    let message = told.lines().find_map(|line| line.strip_prefix("whimbrel: "));
    let remedy = told.lines().find_map(|line| line.strip_prefix("  what to do: "));
    let condition = code.and_then(|code| u8::try_from(code).ok()).and_then(exit::condition_of_code);
    CommandError {
        condition: condition.unwrap_or(Condition::Local),
        message: format!("{name} cannot be started: {}", message.unwrap_or("it ended at once")),
        remedy: remedy.unwrap_or("start it yourself, with --live, and say it again").to_owned(),
    }
}
