//! The signals that end a run in good order.

use std::collections::BTreeSet;
use std::future::Future;

use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

use crate::exit::{self, CommandError, Condition, Signal};
use crate::output;
use crate::output::result::{MigrationResult, Outcome};

/// Listens from its making on: nothing that comes later is missed.
pub struct Signals {
    interrupt: Listener,
    terminate: Listener,
}

impl Signals {
    /// Takes over what control-C and a polite kill do.
    ///
    /// # Errors
    /// The system gives no listener.
    pub fn listen() -> Result<Self, CommandError> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                let told = format!("signals cannot be listened to: {error}");
                CommandError::local(told, "raise this user's limit of open files (ulimit -n)")
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
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
