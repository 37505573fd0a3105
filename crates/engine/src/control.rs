//! Orders to a running migration: from the process itself, and through `control.sock` in the state
//! folder (one JSON request per line, one JSON answer per line).

use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use whimbrel_core::budget::Ceilings;
use whimbrel_core::path::RelPath;
use whimbrel_core::timetable::{Timetable, Turn};

use crate::error::EngineError;
use crate::export::{self, ExportCursor};
use crate::ledger_thread::LedgerDesk;
use crate::local_clock;
use crate::progress::Progress;
use crate::story::told;

/// The socket's name in the state folder.
pub const SOCKET: &str = "control.sock";
/// Bytes of the longest request.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// How long a connection may stay silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long one waits for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What a running migration can be told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Stop in good order; a second one stops at once.
    Stop,
    /// Take no new work, or take it again.
    Pause(bool),
    /// A person confirms what a guard holds.
    Confirm,
    /// A person has what is gone and kept for a time go now.
    ConfirmDelayed,
    /// A person allows another pace; answered with all that is allowed then. Nobody waits for the
    /// answer where another migration passed it on.
    Limit { limits: NewLimits, answer: Option<oneshot::Sender<Allowed>> },
}

/// An order, and who waits until it is obeyed and progress tells of it.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) order: Order,
    pub(crate) obeyed: Option<oneshot::Sender<()>>,
}

/// What a person allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    pub(crate) now: Ceilings,
    /// When the timetable allows another number of bytes, by the clock on the wall.
    pub(crate) next: Option<Turn>,
}

/// Limits that are changed, per second; 0: none; `None`: as it is.
#[derive(Clone, Debug)]
pub(crate) struct NewLimits {
    bandwidth_bytes: Option<u64>,
    bandwidth_timetable: Option<Timetable>,
    source_calls: Option<u64>,
    target_requests: Option<u64>,
}

impl NewLimits {
    /// The timetable that holds from now on, or none, where the bandwidth is changed.
    pub(crate) fn timetable(&self) -> Option<Option<Timetable>> {
        let changed = self.bandwidth_bytes.is_some() || self.bandwidth_timetable.is_some();
        changed.then(|| self.bandwidth_timetable.clone())
    }

    /// What concerns others that read the same source too.
    pub(crate) fn of_source(&self) -> Self {
        Self { target_requests: None, ..self.clone() }
    }

    /// With what is left as it is.
    pub(crate) fn over(&self, now: Ceilings) -> Ceilings {
        let chosen = |asked: Option<u64>, before| match asked {
            None => before,
            Some(per_second) => Some(per_second).filter(|per_second| *per_second > 0),
        };
        Ceilings {
            bandwidth_bytes: chosen(self.bandwidth_bytes, now.bandwidth_bytes),
            source_calls: chosen(self.source_calls, now.source_calls),
            target_requests: chosen(self.target_requests, now.target_requests),
        }
    }
}

/// Gives orders to a run and looks at its progress. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    orders: mpsc::UnboundedSender<Given>,
    progress: watch::Receiver<Progress>,
}

/// The run's end of a [`Control`].
#[derive(Debug)]
pub struct Orders {
    pub(crate) orders: mpsc::UnboundedReceiver<Given>,
    pub(crate) progress: Arc<watch::Sender<Progress>>,
    pub(crate) control: Control,
}

impl Control {
    /// Both ends.
    pub fn channel() -> (Self, Orders) {
        let (sender, orders) = mpsc::unbounded_channel();
        let (told, progress) = watch::channel(Progress::default());
        let control = Self { orders: sender, progress };
        (control.clone(), Orders { orders, progress: Arc::new(told), control })
    }

    /// Stops the run: at first what is in flight may finish within ten seconds; the second time it
    /// ends at once.
    pub fn stop(&self) {
        self.give(Order::Stop);
    }

    /// Takes no new work until told otherwise.
    pub fn pause(&self, paused: bool) {
        self.give(Order::Pause(paused));
    }

    /// Lets go on what a guard holds.
    pub fn confirm(&self) {
        self.give(Order::Confirm);
    }

    /// Lets go now what is gone at the source and kept for a time.
    pub fn confirm_delayed(&self) {
        self.give(Order::ConfirmDelayed);
    }

    /// The newest view of the run, renewed twice a second.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Waits for the next view; `false` once the run is over.
    pub async fn changed(&mut self) -> bool {
        self.progress.changed().await.is_ok()
    }

    /// What another migration of the same source was told.
    pub(crate) fn limit_with_others(&self, limits: NewLimits) {
        self.give(Order::Limit { limits, answer: None });
    }

    /// Both give orders to the same run.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.orders.same_channel(&other.orders)
    }

    /// A run that is over takes no orders.
    fn give(&self, order: Order) {
        let _ = self.orders.send(Given { order, obeyed: None });
    }

    /// The same; at return progress tells of it.
    async fn give_and_wait(&self, order: Order) {
        let (told, obeyed) = oneshot::channel();
        if self.orders.send(Given { order, obeyed: Some(told) }).is_ok() {
            let _ = obeyed.await;
        }
    }
}

/// A request through the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Where it stands: answered with a `Progress` under `progress`.
    Status {},
    /// What is known of one path; one of the two.
    Path {
        /// Relative to the source root.
        path: Option<String>,
        /// The same where it is not UTF-8.
        path_base64: Option<String>,
    },
    /// A page of all that the ledger keeps: answered with `records`, and with `next` to ask for the
    /// rest, null at the end.
    Export {
        /// Where to go on.
        after: Option<ExportCursor>,
    },
    /// Changes limits, per second; 0: none; left out: as it is.
    Limit {
        /// Bytes read from the source and sent.
        bandwidth_bytes: Option<u64>,
        /// The same by the hours of the week, in place of one number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bandwidth_timetable: Option<Timetable>,
        /// Calls to the source's metadata service.
        source_calls: Option<u64>,
        /// Requests to the target.
        target_requests: Option<u64>,
    },
    /// Takes no new work.
    Pause {},
    /// Takes work again.
    Resume {},
    /// Stops in good order.
    Stop {},
    /// Lets go on what a guard holds, or what is kept for a time: answered with how many paths that
    /// are, under `confirmed`.
    Confirm {
        /// What is gone at the source and kept for a time.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        delayed: bool,
    },
}

/// Sends one request to the migration that runs in a state folder.
///
/// # Errors
/// `Local`: nothing runs there, or it does not answer; `WrongUse`: it refused the request.
pub async fn request(state: &Path, request: &Request) -> Result<Value, EngineError> {
    let asked = async {
        let folder = std::fs::File::open(state)?;
        let mut stream = UnixStream::connect(short_path(&folder)).await?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await?;
        Ok::<Value, std::io::Error>(serde_json::from_str(&answer)?)
    };
    let answer = match timeout(ANSWER_MAX, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(not_running(state, &error.to_string())),
        Err(_) => return Err(not_running(state, "no answer")),
    };
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => {
            Err(EngineError::WrongUse { message: error.to_owned(), remedy: String::new() })
        }
        None => Ok(answer),
    }
}

/// True if a migration runs in a state folder, however busy it is.
pub async fn is_listening(state: &Path) -> bool {
    let Ok(folder) = std::fs::File::open(state) else { return false };
    match timeout(ANSWER_MAX, UnixStream::connect(short_path(&folder))).await {
        Ok(Ok(_)) | Err(_) => true,
        Ok(Err(error)) => !matches!(
            error.kind(),
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
        ),
    }
}

fn not_running(state: &Path, why: &str) -> EngineError {
    EngineError::local(
        format!("no migration runs in {} ({why})", state.display()),
        "start it, or check --name and --state",
    )
}

/// The listening socket; closed and removed when dropped.
pub(crate) struct Socket {
    path: PathBuf,
    task: JoinHandle<()>,
}

/// What a connection can reach.
#[derive(Clone)]
struct Desk {
    control: Control,
    ledger: LedgerDesk,
}

impl Socket {
    /// Listens in the state folder, which this process has to itself. A migration does its work
    /// without a socket too, so failing is told and not more.
    pub(crate) fn open(state: &Path, orders: &Orders, ledger: LedgerDesk) -> Option<Self> {
        let path = state.join(SOCKET);
        let desk = Desk { control: orders.control.clone(), ledger };
        match listen(state, &path) {
            Ok(listener) => Some(Self { path, task: tokio::spawn(serve(listener, desk)) }),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "no control socket");
                None
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was gone already");
        }
    }
}

fn listen(state: &Path, path: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let folder = std::fs::File::open(state)?;
    // The folder itself is closed to others, so nobody connects before the mode is set.
    let listener = UnixListener::bind(short_path(&folder))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A socket's path may have at most 107 bytes; the way through the open folder is always short.
fn short_path(folder: &std::fs::File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
}

async fn serve(listener: UnixListener, desk: Desk) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, desk.clone()));
            }
            // Out of file descriptors, for example: those who ask can wait.
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Answers line by line until the other end goes, falls silent, or sends too much.
async fn converse(stream: UnixStream, desk: Desk) {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reading).take(REQUEST_BYTES_MAX);
        match timeout(SILENCE_MAX, bounded.read_until(b'\n', &mut line)).await {
            Ok(Ok(read)) if read > 0 => {}
            Ok(Ok(_) | Err(_)) | Err(_) => return,
        }
        let complete = line.ends_with(b"\n");
        let mut answer = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => desk.answer(request).await,
            Err(error) => refusal(format!("not a request: {error}")),
        }
        .to_string();
        answer.push('\n');
        if writing.write_all(answer.as_bytes()).await.is_err() || !complete {
            return;
        }
    }
}

impl Desk {
    async fn answer(&self, request: Request) -> Value {
        match request {
            Request::Status {} => json!({ "ok": true, "progress": self.control.progress() }),
            Request::Path { path, path_base64 } => match asked_path(path, path_base64) {
                Some(path) => self.story(path).await,
                None => refusal("give path or path_base64".to_owned()),
            },
            Request::Export { after } => self.export(after).await,
            Request::Limit {
                bandwidth_bytes,
                bandwidth_timetable,
                source_calls,
                target_requests,
            } => {
                let limits = NewLimits {
                    bandwidth_bytes,
                    bandwidth_timetable,
                    source_calls,
                    target_requests,
                };
                self.limit(limits).await
            }
            Request::Pause {} => self.done(Order::Pause(true)).await,
            Request::Resume {} => self.done(Order::Pause(false)).await,
            // A run with nothing in flight ends before anybody could wait for it.
            Request::Stop {} => {
                self.control.stop();
                json!({ "ok": true })
            }
            Request::Confirm { delayed } => self.confirm(delayed).await,
        }
    }

    async fn done(&self, order: Order) -> Value {
        self.control.give_and_wait(order).await;
        json!({ "ok": true })
    }

    /// Answered with what is allowed then.
    async fn limit(&self, limits: NewLimits) -> Value {
        if limits.bandwidth_timetable.is_some() {
            if limits.bandwidth_bytes.is_some() {
                return refusal("give bandwidth_bytes or bandwidth_timetable".to_owned());
            }
            if let Err(error) = local_clock::zone() {
                return refusal(error.to_string());
            }
        }
        let (answer, told) = oneshot::channel();
        self.control.give(Order::Limit { limits, answer: Some(answer) });
        match told.await {
            Ok(Allowed { now, next }) => json!({
                "ok": true,
                "bandwidth_bytes": now.bandwidth_bytes.unwrap_or_default(),
                "bandwidth_next_bytes": next.map(|turn| turn.bytes_per_second.unwrap_or_default()),
                "bandwidth_next_ms": next.map(|turn| turn.at),
                "source_calls": now.source_calls.unwrap_or_default(),
                "target_requests": now.target_requests.unwrap_or_default(),
            }),
            Err(_) => refusal("the run is ending".to_owned()),
        }
    }

    /// Answered with how many paths are meant.
    async fn confirm(&self, delayed: bool) -> Value {
        match self.ledger.query(|ledger| ledger.summary()).await {
            Some(Ok(summary)) if delayed => {
                self.control.confirm_delayed();
                json!({ "ok": true, "confirmed": summary.delayed })
            }
            Some(Ok(summary)) => {
                self.control.confirm();
                json!({ "ok": true, "confirmed": summary.guarded })
            }
            Some(Err(error)) => refusal(error.to_string()),
            None => refusal("the run is ending".to_owned()),
        }
    }

    async fn export(&self, after: Option<ExportCursor>) -> Value {
        match self.ledger.query(move |ledger| export::page(ledger, after.as_ref())).await {
            Some(Ok((records, next))) => json!({ "ok": true, "records": records, "next": next }),
            Some(Err(error)) => refusal(error.to_string()),
            None => refusal("the run is ending".to_owned()),
        }
    }

    async fn story(&self, path: RelPath) -> Value {
        let asked = path.clone();
        match self.ledger.query(move |ledger| ledger.story(&asked)).await {
            Some(Ok(story)) => json!({ "ok": true, "path": told(&path, &story) }),
            Some(Err(error)) => refusal(error.to_string()),
            None => refusal("the run is ending".to_owned()),
        }
    }
}

fn asked_path(path: Option<String>, path_base64: Option<String>) -> Option<RelPath> {
    match (path, path_base64) {
        (Some(path), None) => Some(RelPath::new(path.into_bytes())),
        (None, Some(encoded)) => Some(RelPath::new(STANDARD.decode(encoded).ok()?)),
        (None, None) | (Some(_), Some(_)) => None,
    }
}

fn refusal(message: String) -> Value {
    json!({ "ok": false, "error": message })
}
