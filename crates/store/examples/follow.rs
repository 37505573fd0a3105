//! Follows the edit stream of a NameNode on one thread, from the bytes of its connection through
//! the scope into the core, and says what that cost: `cargo xtask events --only decode`. The ledger
//! is left out: what the core makes durable is durable at once, and it is given no work.
//!
//! It begins at the newest transaction, says so by a line, waits for one, and ends at the next end
//! of the stream.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use whimbrel_core::config::Config;
use whimbrel_core::effect::Effect;
use whimbrel_core::entry::{DirectoryNode, Node};
use whimbrel_core::event::StreamReply;
use whimbrel_core::input::{Examined, Input, Streamed};
use whimbrel_core::metadata::Metadata;
use whimbrel_core::migration::Migration;
use whimbrel_core::number::{Time, TxId};
use whimbrel_core::record::{Meta, PendingSummary};
use whimbrel_store::hdfs::{HdfsSettings, HdfsSource};
use whimbrel_store::source::{ChangeStream, Poll, Source};

/// The core with everything around it that it needs to follow.
struct Follower {
    core: Migration,
    root_key: u64,
    stream: Arc<dyn ChangeStream>,
    spent: Spent,
}

/// Seconds of this thread's processor, and what came of them.
#[derive(Default)]
struct Spent {
    decode_seconds: f64,
    core_seconds: f64,
    events: u64,
    changes: u64,
    looks: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(user)) = (arguments.next(), arguments.next()) else {
        return Err("give the URL of a directory on HDFS and a superuser".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(follow(url, user))
}

async fn follow(url: String, user: String) -> Result<(), Box<dyn Error>> {
    let settings = HdfsSettings {
        url,
        configuration: None,
        user,
        caller_context: "whimbrel-events".to_owned(),
        acl: false,
        patience: Duration::from_secs(30),
    };
    let source = HdfsSource::open(&settings).await?;
    let stream = source.stream().await?;
    let position = stream.position().await?;
    let meta = Meta {
        position: Some(position),
        scan_begun: true,
        scanned: true,
        inventory_done: true,
        ..Meta::default()
    };
    let root_key = source.root_key().ok_or("the root has no number")?;
    let config = Config { live: true, root_key: Some(root_key), ..Config::default() };
    let core = Migration::new(config, &meta, Vec::new(), now());
    let mut follower = Follower { core, root_key, stream, spent: Spent::default() };
    follower.follow_to_the_end(position).await?;
    println!("at {}", position.0);
    std::io::stdout().flush()?;
    std::io::stdin().read_line(&mut String::new())?;
    follower.spent = Spent::default();
    follower.follow_to_the_end(position.next()).await?;
    let Spent { decode_seconds, core_seconds, events, changes, looks } = follower.spent;
    println!(
        "{}",
        json!({
            "decode_seconds": decode_seconds, "core_seconds": core_seconds,
            "events_in_scope": events, "changes": changes, "looks": looks,
        })
    );
    Ok(())
}

impl Follower {
    /// Ends at the first end of the stream that lies at or behind `least`.
    async fn follow_to_the_end(&mut self, least: TxId) -> Result<(), Box<dyn Error>> {
        loop {
            let begin = processor_seconds();
            let asked = self.next_look()?;
            self.spent.core_seconds += processor_seconds() - begin;
            let begin = processor_seconds();
            let (ticket, after) = asked;
            let reply = match self.stream.poll(after).await? {
                Poll::Reply(reply) => reply,
                Poll::Gap | Poll::Beyond => return Err("the stream does not go on".into()),
            };
            self.spent.decode_seconds += processor_seconds() - begin;
            self.spent.looks += 1;
            self.spent.events += events(&reply);
            let ended = reply.applied >= reply.synced && reply.applied >= least;
            let begin = processor_seconds();
            let outcome = Streamed::Reply(reply);
            self.core.handle(now(), Input::Streamed { ticket, outcome });
            self.spent.core_seconds += processor_seconds() - begin;
            if ended {
                return Ok(());
            }
        }
    }

    /// Carries out what the core asks for until it asks for the stream.
    fn next_look(&mut self) -> Result<(whimbrel_core::effect::Ticket, TxId), Box<dyn Error>> {
        loop {
            let effect = self.core.poll().ok_or("the core does not follow")?;
            let summary = PendingSummary::default();
            let input = match effect {
                Effect::Poll { ticket, after, .. } => return Ok((ticket, after)),
                Effect::Persist { batch, changes } => {
                    self.spent.changes += changes.len() as u64;
                    Input::Persisted { batch, summary }
                }
                Effect::Take { .. } => Input::Taken { work: Vec::new(), summary },
                Effect::Examine { ticket, .. } => {
                    let (file_key, metadata) = (self.root_key, Metadata::default());
                    let node = DirectoryNode { file_key, empty: None, metadata };
                    let outcome = Examined::Present(Node::Directory(node));
                    Input::Examined { ticket, outcome, renamed: None }
                }
                Effect::List { .. }
                | Effect::Checksum { .. }
                | Effect::Rows { .. }
                | Effect::Group { .. }
                | Effect::CheckHints { .. }
                | Effect::CountRemovals { .. }
                | Effect::Copy(_)
                | Effect::Complete { .. }
                | Effect::Abort { .. }
                | Effect::Relocate { .. }
                | Effect::PutMarker { .. }
                | Effect::Remove { .. }
                | Effect::Inspect { .. }
                | Effect::Inventory { .. }
                | Effect::Position { .. }
                | Effect::Pace(_)
                | Effect::Report(_)
                | Effect::Densest { .. }
                | Effect::Finish(_) => continue,
            };
            self.core.handle(now(), input);
        }
    }
}

fn events(reply: &StreamReply) -> u64 {
    reply.batches.iter().map(|batch| batch.events.len() as u64).sum()
}

fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or_default())
}
