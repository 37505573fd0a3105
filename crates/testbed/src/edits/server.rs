//! What stands before a NameNode and tells another edit stream than its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::message::{CONNECTION_HEADER, bytes, frame, number, put_number, take_delimited};
use super::recording::Recording;
use super::stream::{Rate, Stream};
use crate::TestbedError;
use crate::network::{accept, listen, runtime};

/// Hands every call to the NameNode but the two about its edits. It is silent until it is begun:
/// then its newest transaction is that of the NameNode at its start.
#[derive(Debug)]
pub struct EditsServer {
    address: SocketAddr,
    edits: Arc<Edits>,
    /// Ends every task when it is dropped.
    runtime: Option<Runtime>,
}

/// What was told since it began.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Events in replies; those of a reply that was asked for again count again.
    pub events: u64,
    /// Replies.
    pub replies: u64,
    /// At each look, for how many seconds the oldest event had been there that was not told yet.
    pub behind_seconds: Vec<f64>,
}

#[derive(Debug)]
struct Edits {
    stream: Stream,
    base: u64,
    begun: Mutex<Option<(Instant, Rate)>>,
    told: Mutex<Told>,
    /// The highest number of events that anybody asked behind.
    followed: AtomicU64,
}

/// A call that is answered here.
enum Asked {
    Edits(u64),
    Newest,
}

impl EditsServer {
    /// Listens on a free port before `namenode`; `newest` is that one's newest transaction.
    ///
    /// # Errors
    /// [`TestbedError::Start`].
    pub fn start(
        namenode: SocketAddr,
        newest: u64,
        recording: &Recording,
    ) -> Result<Self, TestbedError> {
        let edits = Arc::new(Edits {
            stream: Stream::of(recording)?,
            base: newest,
            begun: Mutex::default(),
            told: Mutex::default(),
            followed: AtomicU64::new(0),
        });
        let runtime = runtime()?;
        let (listener, address) = listen(&runtime)?;
        let served = edits.clone();
        runtime.spawn(accept(listener, move |client| carry(client, namenode, served.clone())));
        Ok(Self { address, edits, runtime: Some(runtime) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Events and transactions of one round of the recording.
    #[must_use]
    pub fn round(&self) -> (u64, u64) {
        (self.edits.stream.events(), self.edits.stream.transactions())
    }

    /// Lets the stream go on from now.
    pub fn begin(&self, rate: Rate) {
        *lock(&self.edits.told) = Told::default();
        *lock(&self.edits.begun) = Some((Instant::now(), rate));
    }

    /// Events that were written until now.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.edits.written()
    }

    /// Events that a follower knows, since it asked behind them.
    #[must_use]
    pub fn followed(&self) -> u64 {
        self.edits.followed.load(Ordering::Relaxed)
    }

    /// What was told since it began.
    #[must_use]
    pub fn told(&self) -> Told {
        lock(&self.edits.told).clone()
    }
}

impl Drop for EditsServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Edits {
    fn written(&self) -> u64 {
        let Some((begun, rate)) = *lock(&self.begun) else { return 0 };
        ((begun.elapsed().as_secs_f64() * rate.events_per_second) as u64).min(rate.events_max)
    }

    fn newest(&self) -> u64 {
        self.base + self.stream.transactions_at(self.written())
    }

    fn answer(&self, asked: &Asked) -> Vec<u8> {
        let newest = self.newest();
        let Asked::Edits(from) = asked else {
            let mut answer = Vec::new();
            put_number(&mut answer, 1, newest);
            return answer;
        };
        let begun = *lock(&self.begun);
        let shifts = begun.is_some_and(|(_, rate)| rate.shifts_paths);
        let (reply, events) = self.stream.reply(self.base, *from, newest, shifts);
        if let Some((begun, rate)) = begun {
            let known = self.stream.events_before(from.saturating_sub(self.base + 1));
            self.followed.fetch_max(known, Ordering::Relaxed);
            let due = known as f64 / rate.events_per_second;
            let behind = if *from > newest { 0.0 } else { begun.elapsed().as_secs_f64() - due };
            let mut told = lock(&self.told);
            told.events += events;
            told.replies += 1;
            told.behind_seconds.push(behind.max(0.0));
        }
        reply
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn carry(client: TcpStream, namenode: SocketAddr, edits: Arc<Edits>) {
    let Ok(server) = TcpStream::connect(namenode).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (sender, answers) = unbounded_channel();
    let asking = tokio::spawn(ask(from_client, to_server, sender.clone(), edits));
    let passing = tokio::spawn(pass_answers(from_server, sender));
    write_answers(to_client, answers).await;
    asking.abort();
    passing.abort();
}

/// Passes calls on, and answers those that are answered here.
async fn ask(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    answers: UnboundedSender<Vec<u8>>,
    edits: Arc<Edits>,
) -> std::io::Result<()> {
    let mut from = BufReader::new(from);
    let mut header = [0; CONNECTION_HEADER.len()];
    from.read_exact(&mut header).await?;
    to.write_all(&header).await?;
    loop {
        let call = read_frame(&mut from).await?;
        match own(&call[4..]) {
            Some((number, asked)) => {
                let (mut header, answer) = (Vec::new(), edits.answer(&asked));
                put_number(&mut header, 1, number);
                put_number(&mut header, 2, 0);
                let _ = answers.send(frame(&[&header, &answer]));
            }
            None => to.write_all(&call).await?,
        }
    }
}

async fn pass_answers(
    from: OwnedReadHalf,
    answers: UnboundedSender<Vec<u8>>,
) -> std::io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let answer = read_frame(&mut from).await?;
        let _ = answers.send(answer);
    }
}

async fn write_answers(to: OwnedWriteHalf, mut answers: UnboundedReceiver<Vec<u8>>) {
    let mut to = BufWriter::new(to);
    while let Some(answer) = answers.recv().await {
        let sent = to.write_all(&answer).await;
        if sent.is_err() || (answers.is_empty() && to.flush().await.is_err()) {
            return;
        }
    }
}

/// A frame with its length.
async fn read_frame(from: &mut BufReader<OwnedReadHalf>) -> std::io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize(4 + length as usize, 0);
    from.read_exact(&mut frame[4..]).await?;
    Ok(frame)
}

/// The number of a call that is answered here, and what it asks.
fn own(mut call: &[u8]) -> Option<(u64, Asked)> {
    let header = take_delimited(&mut call)?;
    let zigzag = number(header, 3)?;
    // Odd ones are negative: the connection's own.
    let number_of_call = (zigzag & 1 == 0).then_some(zigzag >> 1)?;
    let request_header = take_delimited(&mut call)?;
    let asked = match bytes(request_header, 1)? {
        b"getCurrentEditLogTxid" => Asked::Newest,
        b"getEditsFromTxid" => Asked::Edits(number(take_delimited(&mut call)?, 1)?),
        _ => return None,
    };
    Some((number_of_call, asked))
}
