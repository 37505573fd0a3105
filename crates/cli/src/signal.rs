//! The signals that end a run in good order.

use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

use crate::exit::{CommandError, Signal};

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
