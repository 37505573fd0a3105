//! The NameNodes of one cluster: which one is active, and what is tried again.
//!
//! Calls that read may be repeated; those that write say what they answer then. An answer counts only
//! if the NameNode that gave it is still the one that this client takes for active (see [`Epoch`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prost::Message;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;

use super::connection::Connection;
use super::frame::{CLIENT_PROTOCOL, Call, CallId, Caller, Response};
use crate::configuration::Cluster;
use crate::error::{Error, seconds};
use crate::proto::namenode::{EmptyRequest, HaServiceStateResponse, ha_state};
use crate::proto::rpc::RPC_STATUS_SUCCESS;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
const LANES: usize = 2;
/// How an exception ends that names an ancestor which is a file.
const ANCESTOR_IS_A_FILE: &str = "(is not a directory)";

/// Counts the NameNode processes that this client took for active, one after the other.
///
/// It rises whenever answers may come from another process than before: at a fail-over and after a
/// lost connection. Two answers of the same epoch come from one active NameNode.
pub type Epoch = u64;

/// Which connection a call takes: a reply of 100 MB must not hold up small ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Everything but the edit stream.
    Namespace,
    /// The edit stream.
    Edits,
}

/// An answer with where it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<T> {
    pub(crate) value: T,
    pub(crate) epoch: Epoch,
}

#[derive(Debug)]
pub(crate) struct Namenodes {
    cluster: Cluster,
    caller: Caller,
    current: Mutex<Current>,
    connections: Vec<[AsyncMutex<Option<Arc<Connection>>>; LANES]>,
    busy_answers: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    index: usize,
    epoch: Epoch,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// One attempt.
    pub(crate) call_timeout: Duration,
    /// So long after its begin a call that failed is tried again.
    pub(crate) retries: Duration,
    /// The whole call.
    pub(crate) patience: Duration,
}

/// What to do about a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    /// Ask another NameNode, if there is one.
    Elsewhere,
    /// Ask the same one, later.
    Later,
    /// It is the answer.
    Never,
}

impl Namenodes {
    pub(crate) fn new(cluster: Cluster, caller: Caller) -> Self {
        let connections = cluster.namenodes.iter().map(|_| Default::default()).collect();
        let current = Mutex::new(Current { index: 0, epoch: 1 });
        Self { cluster, caller, current, connections, busy_answers: AtomicU64::new(0) }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The epoch, and the position of its NameNode in the cluster's list.
    pub(crate) fn position(&self) -> (Epoch, usize) {
        let current = *self.current();
        (current.epoch, current.index)
    }

    /// How often a NameNode asked to come back later.
    pub(crate) fn busy_answers(&self) -> u64 {
        self.busy_answers.load(Ordering::Relaxed)
    }

    /// Calls the active NameNode, for as long as `times` allow.
    pub(crate) async fn call<R: Message + Default>(
        &self,
        lane: Lane,
        call: &Call,
        times: Times,
    ) -> Result<Answer<R>, Error> {
        let Times { call_timeout, patience, .. } = times;
        let retries = times.retries.min(patience);
        let started = Instant::now();
        let mut backoff = BACKOFF_FIRST;
        let mut attempts = 0_usize;
        let mut id = self.caller.call_id();
        loop {
            let current = *self.current();
            let remaining = patience.saturating_sub(started.elapsed());
            let limit = remaining.min(call_timeout);
            let sent = id;
            id = id.again();
            let error = match self.attempt(lane, (call, sent), current, limit).await {
                Ok(response) if self.current().epoch == current.epoch => {
                    let value = decode(response, self.address(current.index), call.method)?;
                    return Ok(Answer { value, epoch: current.epoch });
                }
                // Another process may have taken over while this one answered: ask again.
                Ok(_) if started.elapsed() < patience => continue,
                Ok(_) => self.no_answer(current, limit),
                Err(error) => error,
            };
            attempts += 1;
            let all_tried = match retry(&error) {
                Retry::Never => return Err(error),
                Retry::Later => {
                    self.busy_answers.fetch_add(1, Ordering::Relaxed);
                    true
                }
                Retry::Elsewhere => {
                    self.leave(current);
                    attempts.is_multiple_of(self.cluster.namenodes.len())
                }
            };
            let pause = if all_tried { backoff } else { Duration::ZERO };
            if started.elapsed() + pause >= retries {
                return Err(Error::Unreachable {
                    cluster: self.cluster.name.clone(),
                    waited: started.elapsed(),
                    last: Box::new(error),
                });
            }
            if all_tried {
                tokio::time::sleep(pause).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
    }

    async fn attempt(
        &self,
        lane: Lane,
        (call, id): (&Call, CallId),
        current: Current,
        limit: Duration,
    ) -> Result<Response, Error> {
        let started = Instant::now();
        // Only the wait for a connection ends from outside: a call that ends by itself can tell
        // whether its connection has fallen silent.
        let connection = timeout(limit, self.connection(lane, current, limit)).await;
        let connection = connection.unwrap_or_else(|_| Err(self.no_answer(current, limit)))?;
        let limit = limit.saturating_sub(started.elapsed());
        let response = connection.call(call, id, &self.caller, limit).await?;
        let response = accept(response, &self.address(current.index), call.method)?;
        if lane == Lane::Edits {
            // An observer would answer too, with fewer edits than there are.
            self.require_active(&connection, current.index, limit).await?;
        }
        Ok(response)
    }

    async fn connection(
        &self,
        lane: Lane,
        current: Current,
        limit: Duration,
    ) -> Result<Arc<Connection>, Error> {
        let address = self.address(current.index);
        let lanes = self.connections.get(current.index);
        let slot = lanes.and_then(|lanes| lanes.get(lane as usize)).ok_or_else(|| {
            Error::Configuration { message: format!("{address} is not of this cluster") }
        })?;
        let mut slot = slot.lock().await;
        if let Some(open) = slot.as_ref().filter(|connection| connection.is_open()) {
            return Ok(Arc::clone(open));
        }
        if self.current().epoch != current.epoch {
            return Err(Error::Standby { address, message: "it was left".to_owned() });
        }
        let connection =
            Connection::open(&address, &self.caller, CONNECT_TIMEOUT.min(limit)).await?;
        self.require_active(&connection, current.index, limit).await?;
        let connection = Arc::new(connection);
        // A closed connection stays in its slot until now, so that its loss is not forgotten.
        if slot.replace(Arc::clone(&connection)).is_some() {
            self.renew(current);
        }
        Ok(connection)
    }

    /// In a highly available cluster only the active NameNode's answers count.
    async fn require_active(
        &self,
        connection: &Connection,
        index: usize,
        limit: Duration,
    ) -> Result<(), Error> {
        if self.cluster.namenodes.len() < 2 {
            return Ok(());
        }
        let method = "getHAServiceState";
        let call = Call::new(CLIENT_PROTOCOL, method, &EmptyRequest {});
        let response = connection.call(&call, self.caller.call_id(), &self.caller, limit).await?;
        let address = self.address(index);
        let response = accept(response, &address, method)?;
        let state: HaServiceStateResponse = decode(response, address.clone(), method)?;
        if state.state == ha_state::ACTIVE {
            return Ok(());
        }
        Err(Error::Standby { address, message: format!("its state is {}", state.state) })
    }

    /// Turns to the next NameNode, unless another call already did.
    fn leave(&self, from: Current) {
        let mut current = self.current();
        if current.epoch == from.epoch && self.cluster.namenodes.len() > 1 {
            current.index = (current.index + 1) % self.cluster.namenodes.len();
            current.epoch += 1;
        }
    }

    /// The same NameNode after a lost connection: perhaps a new process.
    fn renew(&self, from: Current) {
        let mut current = self.current();
        if current.epoch == from.epoch {
            current.epoch += 1;
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn no_answer(&self, current: Current, limit: Duration) -> Error {
        Error::connection(
            &self.address(current.index),
            format!("no answer within {}", seconds(limit)),
        )
    }

    fn address(&self, index: usize) -> String {
        self.cluster.namenodes.get(index).map(|node| node.authority()).unwrap_or_default()
    }
}

fn decode<R: Message + Default>(
    response: Response,
    address: String,
    method: &str,
) -> Result<R, Error> {
    let mut body = response.body;
    super::frame::take_delimited(&mut body, &format!("{address} ({method})"))
}

fn retry(error: &Error) -> Retry {
    match error {
        Error::Connection { .. } | Error::Standby { .. } => Retry::Elsewhere,
        Error::Busy { .. } => Retry::Later,
        Error::Configuration { .. }
        | Error::Kerberos { .. }
        | Error::Unreachable { .. }
        | Error::Denied { .. }
        | Error::NotFound { .. }
        | Error::InvalidPath { .. }
        | Error::SourceMoved { .. }
        | Error::Unsupported { .. }
        | Error::InvalidReply { .. }
        | Error::Corrupt { .. }
        | Error::Datanode { .. }
        | Error::NoReplica { .. }
        | Error::Remote { .. } => Retry::Never,
    }
}

/// Turns an answer that is an exception into an error, by the exception's class.
fn accept(response: Response, address: &str, method: &'static str) -> Result<Response, Error> {
    if response.header.status == RPC_STATUS_SUCCESS {
        return Ok(response);
    }
    let class = response.header.exception_class.unwrap_or_default();
    let message = response.header.message.unwrap_or_default();
    let message = message.lines().next().unwrap_or_default().to_owned();
    let address = address.to_owned();
    // The same exception lives in several packages over Hadoop's versions.
    let name = class.rsplit(['.', '$']).next().unwrap_or_default();
    Err(match name {
        "StandbyException" | "ObserverRetryOnActiveException" => {
            Error::Standby { address, message }
        }
        "RetriableException" | "SafeModeException" | "CallQueueOverflowException" => {
            Error::Busy { address, message }
        }
        "AccessControlException" if message.contains("KERBEROS") => {
            Error::Kerberos { server: address, methods: message }
        }
        // What the NameNode says of a path below a file, to its superuser as to others: there is
        // nothing, whoever asks.
        "AccessControlException" if message.ends_with(ANCESTOR_IS_A_FILE) => {
            Error::NotFound { method, message }
        }
        "AccessControlException" | "AuthorizationException" => Error::Denied { method, message },
        "FileNotFoundException" | "ParentNotDirectoryException" => {
            Error::NotFound { method, message }
        }
        // No version of encryption was offered: this crate cannot encrypt.
        "UnknownCryptoProtocolVersionException" => {
            Error::Unsupported { what: format!("{method} in an encryption zone") }
        }
        "RpcNoSuchMethodException" | "RpcNoSuchProtocolException" => {
            Error::Unsupported { what: format!("{method} by the NameNode: {message}") }
        }
        "UnresolvedPathException" => {
            Error::Unsupported { what: format!("symbolic links: {message}") }
        }
        "InvalidPathException" => {
            Error::InvalidPath { path: message, reason: "refused by the NameNode" }
        }
        _other_class => Error::Remote { method, class, message },
    })
}

#[cfg(test)]
mod tests;
