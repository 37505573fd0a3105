//! An S3 server that drops what it is given and remembers what it was: the limit is the client.

mod answer;
mod http;
mod objects;
mod text;

use std::collections::BTreeMap;
use std::io::BufReader;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{S3Endpoint, S3Server, TestbedError};
use objects::Objects;

/// What the system takes from a connection at once.
const READ_BYTES: usize = 128 << 10;

/// Objects without their bytes: it checks CRC32C and conditions, and no signature; it takes whole
/// objects and parts, copies whole objects, lists and removes, and gives nothing back.
#[derive(Debug)]
pub struct NullSink {
    endpoint: S3Endpoint,
    state: Arc<State>,
    stopped: Arc<AtomicBool>,
}

/// What became of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sunk {
    /// Its length.
    pub bytes: u64,
    /// Its checksum, taken from the bytes that came.
    pub crc32c: u32,
}

#[derive(Debug, Default)]
struct State {
    objects: Mutex<Objects>,
    requests: Mutex<BTreeMap<&'static str, u64>>,
}

impl State {
    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requests(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NullSink {
    /// Listens on a free port, with a thread for each connection.
    ///
    /// # Errors
    /// [`TestbedError::Start`].
    pub fn start() -> Result<Self, TestbedError> {
        let told = |error| TestbedError::start("the null sink", error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(told)?;
        let address = listener.local_addr().map_err(told)?;
        let state = Arc::new(State::default());
        let stopped = Arc::new(AtomicBool::new(false));
        let (shared, wanted) = (state.clone(), stopped.clone());
        std::thread::spawn(move || accept(&listener, &shared, &wanted));
        let endpoint = S3Endpoint::new(address, "NULLSINKACCESSKEY", "null-sink-secret-key");
        Ok(Self { endpoint, state, stopped })
    }

    /// What was put into the bucket and is there.
    #[must_use]
    pub fn sunk(&self, bucket: &str) -> BTreeMap<String, Sunk> {
        self.state.objects().sunk(bucket)
    }

    /// How many objects are there; those whose keys end with a slash aside.
    #[must_use]
    pub fn files(&self, bucket: &str) -> usize {
        self.state.objects().files(bucket)
    }

    /// Requests by the name of their operation, since the start.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.state.requests().clone()
    }

    /// Removes the bucket with all that is in it.
    pub fn remove_bucket(&self, bucket: &str) {
        self.state.objects().remove_bucket(bucket);
    }
}

impl S3Server for NullSink {
    fn endpoint(&self) -> &S3Endpoint {
        &self.endpoint
    }

    fn create_bucket(&self, name: &str) -> Result<(), TestbedError> {
        self.state.objects().create_bucket(name);
        Ok(())
    }
}

impl Drop for NullSink {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // The listener looks at that when somebody comes.
        let _ = TcpStream::connect(self.endpoint.address);
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>, stopped: &AtomicBool) {
    for stream in listener.incoming() {
        if stopped.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let state = state.clone();
        std::thread::spawn(move || serve(&stream, &state));
    }
}

/// Answers until the client goes, or says what no client says.
fn serve(stream: &TcpStream, state: &State) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::with_capacity(READ_BYTES, stream);
    while let Ok(Some(request)) = http::Request::read(&mut reader) {
        if answer::answer(&request, &mut reader, stream, state).is_err() {
            return;
        }
    }
}
