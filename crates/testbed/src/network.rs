//! What stands between a program and a server: broken lines, proxies, TLS.

mod bodies;
mod delay;
mod fault;
mod http_proxy;
mod tls;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::TestbedError;

pub use delay::{DelayProxy, LongLine};
pub use fault::{Fault, FaultProxy};
pub use http_proxy::HttpProxy;
pub use tls::TlsFront;

/// Bytes that go through at once.
const CHUNK_BYTES: usize = 64 << 10;

/// A runtime of its own, so that a proxy serves whatever the test's own threads do.
pub(crate) fn runtime() -> Result<Runtime, TestbedError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("testbed-network")
        .enable_all()
        .build()
        .map_err(|error| TestbedError::start("a runtime", error))
}

/// Listens on a free port of the loopback interface.
pub(crate) fn listen(runtime: &Runtime) -> Result<(TcpListener, SocketAddr), TestbedError> {
    bind(runtime, (Ipv4Addr::LOCALHOST, 0).into())
}

fn bind(runtime: &Runtime, address: SocketAddr) -> Result<(TcpListener, SocketAddr), TestbedError> {
    let told = |error| TestbedError::start(&format!("a listener at {address}"), error);
    let listener = runtime.block_on(TcpListener::bind(address)).map_err(told)?;
    let address = listener.local_addr().map_err(told)?;
    Ok((listener, address))
}

/// Serves each connection by a task of its own, until the runtime is dropped.
pub(crate) async fn accept<Serve, Served>(listener: TcpListener, serve: Serve)
where
    Serve: Fn(TcpStream) -> Served,
    Served: Future<Output = ()> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream))),
            // Out of descriptors, most likely: they come back as connections end.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
}
