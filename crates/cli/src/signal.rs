//! The signals that end a run in good order.

use std::collections::BTreeSet;
use std::future::Future;

use tokio::signal::unix::{Signal as Listener, SignalKind, signal};
use tokio::sync::mpsc;

use crate::exit::{self, CommandError, Condition, Signal};
use crate::output;
use crate::output::result::{MigrationResult, Outcome};

/// Listens from its making on: nothing that comes later is missed.
pub struct Signals {
    heard: mpsc::UnboundedReceiver<Signal>,
}

struct Listeners {
    interrupt: Listener,
    terminate: Listener,
    /// A terminal that is closed; none where whoever called said that it does not matter (`nohup`).
    hang_up: Option<Listener>,
}

impl Signals {
    /// Takes over what control-C and a polite kill do.
    ///
    /// # Errors
    /// The system gives no listener.
    pub fn listen() -> Result<Self, CommandError> {
        let (teller, heard) = mpsc::unbounded_channel();
        Listeners::new()?.tell(vec![teller]);
        Ok(Self { heard })
    }

    /// The same for so many who each hear all of it.
    ///
    /// # Errors
    /// The system gives no listener.
    pub fn listen_for(count: usize) -> Result<Vec<Self>, CommandError> {
        let listeners = Listeners::new()?;
        let channels = (0..count).map(|_| mpsc::unbounded_channel());
        let (tellers, heard): (Vec<_>, Vec<_>) = channels.unzip();
        listeners.tell(tellers);
        Ok(heard.into_iter().map(|heard| Self { heard }).collect())
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        match self.heard.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }

    /// Those that came up to now are no matter of what comes next.
    pub fn forget(&mut self) {
        while self.heard.try_recv().is_ok() {}
    }
}

impl Listeners {
    fn new() -> Result<Self, CommandError> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                let told = format!("signals cannot be listened to: {error}");
                CommandError::local(told, "raise this user's limit of open files (ulimit -n)")
            })
        };
        // Beyond a limit of this process (`ulimit -f`) a write fails and is told: unheard, the
        // signal would end it without a word.
        drop(listen(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: match is_ignored(SignalKind::hangup()) {
                true => None,
                false => Some(listen(SignalKind::hangup())?),
            },
        })
    }

    /// As long as anybody hears it.
    fn tell(mut self, mut tellers: Vec<mpsc::UnboundedSender<Signal>>) {
        tokio::spawn(async move {
            while !tellers.is_empty() {
                let signal = self.next().await;
                tellers.retain(|teller| teller.send(signal).is_ok());
            }
        });
    }

    async fn next(&mut self) -> Signal {
        let hang_up = async {
            match &mut self.hang_up {
                Some(listener) => listener.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = hang_up => Signal::Terminate,
        }
    }
}

/// Listening would undo that.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or_default();
    mask.is_some_and(|mask| mask & (1 << bit) != 0)
}

/// Work that keeps nothing: a signal ends it at once, with a result all the same.
///
/// # Errors
/// Those of the work.
pub async fn interruptible(
    work: impl Future<Output = Result<u8, CommandError>>,
    json: bool,
) -> Result<u8, CommandError> {
    let mut signals = Signals::listen()?;
    let signal = tokio::select! {
        ended = work => return ended,
        signal = signals.next() => signal,
    };
    let exit_code = exit::code(&BTreeSet::from([Condition::Signal(signal)]));
    if json {
        let outcome = Outcome::Stopped;
        let result = MigrationResult { outcome, exit_code, ..MigrationResult::default() };
        output::json_line("result", &result.fields());
    }
    Ok(exit_code)
}
