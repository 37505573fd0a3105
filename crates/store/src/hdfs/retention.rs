//! How long the NameNode still keeps the edits behind a position, estimated (rule 8.3).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use whimbrel_core::number::TxId;
use whimbrel_hdfs::{Client, Configuration};

const PROPERTY: &str = "dfs.namenode.num.extra.edits.retained";
const CONF_TIMEOUT: Duration = Duration::from_secs(5);
const CONF_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Rates are measured over at least so long, and over at most twice the second.
const WINDOW_MIN: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(120);

/// What is known of the edit log's length and growth.
pub(crate) struct Retention {
    /// Transactions that a NameNode keeps at least.
    kept: Option<u64>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    newest: u64,
    /// The begin of this window and of the one before.
    marks: [Option<(Instant, u64)>; 2],
}

impl Retention {
    /// Asks the active NameNode's web server for its configuration. Without an answer (no address
    /// in our own configuration, a firewall) the length of the log stays unknown.
    pub async fn learn(client: &Client) -> Self {
        let (_, index) = client.position();
        let address = client.cluster().namenodes.get(index);
        let address = address.and_then(|namenode| {
            let address = namenode.http_address.clone()?;
            let port = address.strip_prefix("0.0.0.0:");
            Some(port.map(|port| format!("{}:{port}", namenode.host)).unwrap_or(address))
        });
        let kept = match address {
            Some(address) => configured(&address).await,
            None => None,
        };
        Self::new(kept)
    }

    fn new(kept: Option<u64>) -> Self {
        Self { kept, seen: Mutex::default() }
    }

    /// Notes how far the log has come.
    pub fn observe(&self, newest: TxId) {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.newest = newest.0;
        let full = seen.marks[0].is_none_or(|(begin, _)| now.duration_since(begin) > WINDOW);
        if full {
            seen.marks = [Some((now, newest.0)), seen.marks[0]];
        }
    }

    /// Seconds until the edits behind `position` may be gone at the present rate.
    pub fn seconds(&self, position: TxId) -> Option<u64> {
        let kept = self.kept?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (begin, from) = seen.marks[1].or(seen.marks[0])?;
        let elapsed = begin.elapsed();
        if elapsed < WINDOW_MIN {
            return None;
        }
        let made = seen.newest.saturating_sub(from).max(1);
        let left = kept.saturating_sub(seen.newest.saturating_sub(position.0));
        let seconds = u128::from(left) * elapsed.as_millis() / u128::from(made) / 1000;
        Some(u64::try_from(seconds).unwrap_or(u64::MAX))
    }
}

async fn configured(address: &str) -> Option<u64> {
    let text = tokio::time::timeout(CONF_TIMEOUT, page(address)).await.ok()?.ok()?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    let mut configuration = Configuration::new();
    configuration.add_xml(body.trim_start()).ok()?;
    configuration.get(PROPERTY)?.parse().ok()
}

/// HTTP/1.0, so that the answer is one piece that ends with the connection.
async fn page(address: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!("GET /conf HTTP/1.0\r\nHost: {address}\r\nAccept: text/xml\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    connection.take(CONF_BYTES_MAX).read_to_string(&mut text).await?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn seconds_follow_from_rate_and_lag() {
        let retention = Retention::new(Some(1000));
        assert_eq!(retention.seconds(TxId(0)), None, "nothing was seen yet");
        retention.observe(TxId(5000));
        tokio::time::advance(Duration::from_secs(20)).await;
        retention.observe(TxId(5200));
        // Ten a second; 1,000 are kept, and the position lies 100 behind.
        assert_eq!(retention.seconds(TxId(5100)), Some(90));
        assert_eq!(retention.seconds(TxId(100)), Some(0));
        assert_eq!(Retention::new(None).seconds(TxId(1)), None);
    }
}
