//! Waits behind the fence until the migration has brought everything, and sees that nothing
//! changes.
//!
//! What decides is the migration's own clock: how far the stream was followed, and what was seen
//! until then. So a change is noticed whoever made it, and whatever the fence is worth.

use std::io::IsTerminal;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::migration::Watched;
use super::stand::{Seen, Stand, millis};
use super::{No, Reason};
use crate::arguments::FenceArgument;
use crate::exit::CommandError;
use crate::output;
use crate::output::result::count;
use crate::running::STREAM_DELAY;

const LOOK_EVERY: Duration = Duration::from_millis(250);
const JSON_EVERY: Duration = Duration::from_secs(2);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How long it is waited, and how that is told.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For everything.
    pub give_up_after: Duration,
    /// Nothing may change for so long.
    pub quiet: Duration,
    /// To programs.
    pub json: bool,
}

/// Waits for the first scan, before anybody is kept from working. What nobody but a person can mend
/// is told now.
///
/// # Errors
/// It has no stream; it does not come to that; something is set aside.
pub async fn ready(watched: &mut Watched, patience: Patience) -> Result<(), No> {
    let mut clock = Clock::new("scanning", patience);
    loop {
        let stand = watched.look().await?;
        if stand.is_without_stream() {
            return Err(No::Failed(CommandError::usage(
                "the migration runs without --live: nothing tells whether the source changes",
                "stop it, start it with --live, and say it again",
            )));
        }
        if stand.is_scanned() {
            let aside = stand.set_aside();
            return if aside.is_empty() { Ok(()) } else { Err(No::Because(aside)) };
        }
        clock.wait(&stand).await?;
    }
}

/// Waits until everything that happened before now is on the target, and nothing happened for as
/// long as was asked for; answers what was seen by then. Behind a fence that was just set, what was
/// under way comes to its end; else the source was read-only before, and any change is one too many.
///
/// # Errors
/// It changes, does not come to that in time, or something is set aside.
pub async fn drain(
    watched: &mut Watched,
    patience: Patience,
    fence: FenceArgument,
) -> Result<Seen, No> {
    let from = now();
    let waits_for_writers = fence == FenceArgument::Permissions;
    let mut clock = Clock::new("draining", patience);
    let mut quiet_since: Option<(u64, Seen)> = None;
    loop {
        let stand = watched.look().await?;
        if stand.delayed() > 0 {
            // The target has to equal the source, not what that was.
            watched.confirm_delayed().await?;
        }
        if let Some(followed) = followed_since(&stand, from) {
            let seen = stand.seen();
            let (since, before) = *quiet_since.get_or_insert((followed, seen));
            if before != seen {
                if fence == FenceArgument::Check {
                    return Err(changed(seen.since(before)).into());
                }
                quiet_since = Some((followed, seen));
            }
            let quiet = followed.saturating_sub(since) >= millis(patience.quiet) && before == seen;
            let waits = waits_for_writers && stand.open_files().is_some();
            let done = stand.waits_for().is_none() && stand.delayed() == 0;
            if quiet && !waits && done {
                let aside: Vec<_> =
                    stand.set_aside().into_iter().chain(stand.open_files()).collect();
                return if aside.is_empty() { Ok(seen) } else { Err(No::Because(aside)) };
            }
        }
        clock.wait(&stand).await?;
    }
}

/// Follows the source up to now; answers the transaction as of which all of it is on the target.
///
/// # Errors
/// Something changed since `before`, or it does not come to that in time.
pub async fn unchanged(watched: &mut Watched, patience: Patience, before: Seen) -> Result<u64, No> {
    let from = now();
    let mut clock = Clock::new("following", patience);
    loop {
        let stand = watched.look().await?;
        if stand.seen() != before {
            return Err(changed(stand.seen().since(before)).into());
        }
        let followed = followed_since(&stand, from).is_some();
        if let Some(as_of) = stand.as_of_txid().filter(|_| followed && stand.waits_for().is_none())
        {
            return Ok(as_of);
        }
        clock.wait(&stand).await?;
    }
}

fn now() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// How far the stream was followed, if that is beyond a moment.
fn followed_since(stand: &Stand, from: u64) -> Option<u64> {
    stand.followed_ms().filter(|followed| *followed >= from + millis(STREAM_DELAY))
}

fn changed(times: u64) -> Reason {
    Reason {
        kind: "changed",
        message: format!("the source changed {} behind the fence", count(times, "time", "times")),
        remedy: "end what still writes to it, and say it again",
    }
}

/// Bounds a wait, and tells of it.
struct Clock {
    phase: &'static str,
    patience: Patience,
    until: Instant,
    told: Instant,
}

impl Clock {
    fn new(phase: &'static str, patience: Patience) -> Self {
        let now = Instant::now();
        Self { phase, patience, until: now + patience.give_up_after, told: now }
    }

    async fn wait(&mut self, stand: &Stand) -> Result<(), No> {
        let left = stand.waits_for().or_else(|| Some(stand.open_files()?.message));
        if Instant::now() >= self.until {
            let left = left.unwrap_or_else(|| "the source was not quiet".to_owned());
            return Err(Reason {
                kind: "not_drained",
                message: format!("not everything is on the target in time: {left}"),
                remedy: "wait until whimbrel cutover --dry-run finds little; then say it again",
            }
            .into());
        }
        let every = if self.patience.json { JSON_EVERY } else { LINE_EVERY };
        if self.told.elapsed() >= every {
            self.told = Instant::now();
            self.tell(stand, left);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        Ok(())
    }

    fn tell(&self, stand: &Stand, left: Option<String>) {
        if self.patience.json {
            let fields = json!({
                "phase": self.phase,
                "waits_for": left,
                "lag_seconds": stand.field("lag_seconds"),
                "eta_seconds": stand.field("eta_seconds"),
                "as_of_txid": stand.field("as_of_txid"),
            });
            return output::json_line("progress", &fields);
        }
        let left = left.unwrap_or_else(|| "quiet so far".to_owned());
        let line = format!("{}: {left}", self.phase);
        if std::io::stderr().is_terminal() {
            output::standard_error(&format!("\x1b[2m{line}\x1b[0m"));
        } else {
            output::standard_error(&format!("{} {line}", output::now()));
        }
    }
}
