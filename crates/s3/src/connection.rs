//! Making a connection: names, addresses, proxy, TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::endpoint::Endpoint;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::proxy::{Proxy, tunnel};
use crate::socket::{PeerGone, Socket};
use crate::trust::{self, client_config};

/// Bytes in both directions, whatever carries them.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection that was made.
pub(crate) struct Connected {
    pub io: Box<dyn Duplex>,
    pub peer_gone: PeerGone,
}

/// Makes connections to one endpoint.
pub(crate) struct Connector {
    pub endpoint: Endpoint,
    proxy: Option<Proxy>,
    tls: Option<TlsConnector>,
    limit: Duration,
    /// Where the next connection begins in the list of addresses, to spread over all of them.
    turn: AtomicUsize,
}

impl Connector {
    pub fn new(
        endpoint: Endpoint,
        environment: &Environment,
        ca_bundle: Option<&Path>,
        limit: Duration,
    ) -> Result<Self> {
        let proxy = Proxy::for_target(environment, &endpoint)?;
        Self::through(endpoint, proxy, ca_bundle, limit)
    }

    pub fn through(
        endpoint: Endpoint,
        proxy: Option<Proxy>,
        ca_bundle: Option<&Path>,
        limit: Duration,
    ) -> Result<Self> {
        let needs_tls = endpoint.tls || proxy.as_ref().is_some_and(|proxy| proxy.endpoint.tls);
        let tls = match needs_tls {
            true => Some(TlsConnector::from(client_config(ca_bundle)?)),
            false => None,
        };
        Ok(Self { endpoint, proxy, tls, limit, turn: AtomicUsize::new(0) })
    }

    /// The proxy that requests are handed to in absolute form.
    pub fn forwarding_proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|_| !self.endpoint.tls)
    }

    pub async fn connect(&self) -> Result<Connected> {
        let first = self.proxy.as_ref().map_or(&self.endpoint, |proxy| &proxy.endpoint);
        let unreachable = |reason| self.unreachable(reason);
        let target = (first.host.as_str(), first.port);
        let addresses = tokio::time::timeout(self.limit, tokio::net::lookup_host(target)).await;
        let addresses: Vec<SocketAddr> = match addresses {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => return Err(unreachable(format!("name not resolved: {error}"))),
            Err(_) => return Err(unreachable("no answer to the name look-up".to_owned())),
        };
        let mut error = unreachable("the name has no address".to_owned());
        let start = self.turn.fetch_add(1, Ordering::Relaxed);
        for index in 0..addresses.len().min(ADDRESSES_TRIED_MAX) {
            let address = addresses[(start.wrapping_add(index)) % addresses.len()];
            error = match tokio::time::timeout(self.limit, self.open(address)).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(failed)) => failed,
                Err(_) => {
                    let seconds = self.limit.as_secs_f32();
                    unreachable(format!("no connection within {seconds} s"))
                }
            };
        }
        Err(error)
    }

    /// That nothing was sent, and by which proxy.
    pub fn unreachable(&self, reason: String) -> Error {
        let first = self.proxy.as_ref().map_or(&self.endpoint, |proxy| &proxy.endpoint);
        let proxy = self.proxy.as_ref().map(|proxy| proxy.variable.to_owned());
        Error::Unreachable { endpoint: first.host_and_port(), proxy, reason }
    }

    async fn open(&self, address: SocketAddr) -> Result<Connected> {
        let unreachable = |reason| self.unreachable(reason);
        let system = |error: std::io::Error| self.unreachable(error.to_string());
        let socket = TcpStream::connect(address).await.map_err(system)?;
        socket.set_nodelay(true).map_err(system)?;
        // Closing then discards what the kernel has not delivered yet, so that no request arrives
        // after its time-out. A connection is only given up with all its replies read, or on
        // purpose.
        socket.set_zero_linger().map_err(system)?;
        let peer_gone = PeerGone::default();
        let mut socket: Box<dyn Duplex> = Box::new(Socket::new(socket, peer_gone.clone()));
        if let Some(proxy) = &self.proxy {
            if proxy.endpoint.tls {
                socket = self.secure(socket, &proxy.endpoint).await.map_err(unreachable)?;
            }
            if self.endpoint.tls {
                tunnel(&mut *socket, proxy, &self.endpoint).await.map_err(unreachable)?;
            }
        }
        if self.endpoint.tls {
            // A proxy has done its part by now.
            let endpoint = self.endpoint.host_and_port();
            let refused = |reason| Error::Unreachable { endpoint, proxy: None, reason };
            socket = self.secure(socket, &self.endpoint).await.map_err(refused)?;
        }
        Ok(Connected { io: socket, peer_gone })
    }

    async fn secure(
        &self,
        socket: Box<dyn Duplex>,
        peer: &Endpoint,
    ) -> std::result::Result<Box<dyn Duplex>, String> {
        let tls = self.tls.as_ref().ok_or("TLS is not set up")?;
        let name = ServerName::try_from(peer.host.clone()).map_err(|error| error.to_string())?;
        let socket = tls.connect(name, socket).await;
        Ok(Box::new(
            socket.map_err(|error| format!("TLS with {}: {}", peer.host, trust::reason(&error)))?,
        ))
    }
}

/// Of a name with many addresses this many are tried for one connection.
const ADDRESSES_TRIED_MAX: usize = 3;
