//! Which DataNode is asked, and over which connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::peer::Peer;
use crate::error::Error;
use crate::pinned::Datanode;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// DataNodes close a connection that idles for four seconds.
const IDLE_MAX: Duration = Duration::from_secs(3);
const IDLE_PEERS_MAX: usize = 16;
/// How long a DataNode that could not be reached is asked last.
const SUSPICION: Duration = Duration::from_secs(30);

/// Idle connections, streams under way and recent failures, by DataNode.
#[derive(Debug)]
pub(crate) struct Peers {
    by_host_name: bool,
    silence_max: Duration,
    nodes: Mutex<HashMap<String, Node>>,
}

#[derive(Debug, Default)]
struct Node {
    idle: Vec<(Peer, Instant)>,
    streams: usize,
    failed: Option<Instant>,
}

/// Counts a stream for as long as it lives.
#[derive(Debug)]
pub(crate) struct Stream {
    peers: Arc<Peers>,
    address: String,
}

impl Peers {
    pub(crate) fn new(by_host_name: bool, silence_max: Duration) -> Self {
        Self { by_host_name, silence_max, nodes: Mutex::default() }
    }

    /// Positions of the replicas in the order in which they are to be asked: those that answered
    /// lately first, then those that we load least, then as the NameNode gave them.
    pub(crate) fn order(&self, datanodes: &[Arc<Datanode>]) -> Vec<usize> {
        let nodes = self.nodes();
        let mut order: Vec<_> = (0..datanodes.len()).collect();
        order.sort_by_cached_key(|&index| {
            let address = datanodes.get(index).map(|node| node.authority(self.by_host_name));
            let node = address.and_then(|address| nodes.get(&address));
            node.map_or((false, 0), |node| {
                (node.failed.is_some_and(|at| at.elapsed() < SUSPICION), node.streams)
            })
        });
        order
    }

    /// A connection to a DataNode, an idle one if there is any and `fresh` does not forbid it.
    pub(crate) async fn peer(&self, datanode: &Datanode, fresh: bool) -> Result<Peer, Error> {
        let address = datanode.authority(self.by_host_name);
        if !fresh && let Some(peer) = self.idle(&address) {
            return Ok(peer);
        }
        let opened = Peer::open(address.clone(), CONNECT_TIMEOUT, self.silence_max).await;
        let failed = opened.is_err().then(Instant::now);
        self.nodes().entry(address).or_default().failed = failed;
        opened
    }

    /// Keeps a connection whose operation is complete.
    pub(crate) fn put_back(&self, mut peer: Peer) {
        if !peer.received().is_empty() {
            return;
        }
        peer.is_reused = true;
        peer.release_buffer();
        let mut nodes = self.nodes();
        let node = nodes.entry(peer.address.clone()).or_default();
        node.idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
        if node.idle.len() < IDLE_PEERS_MAX {
            node.idle.push((peer, Instant::now()));
        }
    }

    /// Counts a stream from a DataNode.
    pub(crate) fn stream(self: &Arc<Self>, datanode: &Datanode) -> Stream {
        let address = datanode.authority(self.by_host_name);
        self.nodes().entry(address.clone()).or_default().streams += 1;
        Stream { peers: Arc::clone(self), address }
    }

    fn idle(&self, address: &str) -> Option<Peer> {
        let mut nodes = self.nodes();
        let node = nodes.get_mut(address)?;
        node.idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
        node.idle.pop().map(|(peer, _)| peer)
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<String, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(node) = self.peers.nodes().get_mut(&self.address) {
            node.streams = node.streams.saturating_sub(1);
        }
    }
}
