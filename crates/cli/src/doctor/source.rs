//! What the source has to offer: reachable, rights, a stream and how long it is kept.

use std::time::Duration;

use whimbrel_core::failure::{FailureKind, Side};
use whimbrel_core::number::TxId;
use whimbrel_core::path::RelPath;
use whimbrel_engine::{State, setting_at_rest};
use whimbrel_hdfs::{Client, Configuration, Settings};
use whimbrel_store::source::{ChangeStream, Memory, Poll, Source};

use super::Check;
use crate::arguments::ConnectionArguments;
use crate::exit::Condition;
use crate::location::Location;
use crate::open::{self, hadoop_user};
use crate::pinned_root::refuse_another_root;
use crate::request::hadoop_conf;
use crate::state::StatePlace;

/// Seconds of edit history below which a pause of the migration is dangerous.
const HISTORY_SECONDS_GOOD: u64 = 3600;
/// How long the growth of the edit log is watched.
const WATCH: Duration = Duration::from_secs(11);
const PATIENCE: Duration = Duration::from_secs(5);
/// What one answer of the NameNode should be able to hold: looks are up to a second apart.
const ANSWER_SECONDS_MIN: u64 = 2;
const ANSWER_EVENTS: &str = "dfs.namenode.inotify.max.events.per.rpc";
/// The name of a check.
const SNAPSHOTS: &str = "snapshots of the source";

/// What the migration is to do with the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Follow its changes.
    pub live: bool,
    /// Keep a snapshot of it.
    pub snapshots: bool,
}

/// Opens the source, lists its root, and looks at its stream.
pub async fn checks(
    location: &Location,
    connection: &ConnectionArguments,
    wanted: Wanted,
    place: &StatePlace,
) -> Vec<Check> {
    let live = wanted.live;
    let (source, has_snapshots) = match open::source(location, connection, true).await {
        Ok(opened) => (opened.source, opened.snapshots.is_some()),
        Err(error) => return vec![Check::failed(Side::Source, "source", error)],
    };
    let mut checks = vec![Check::fine(Side::Source, "source", format!("{location} answers"))];
    checks.push(listing(source.as_ref()).await);
    checks.extend(pinned_root(location, place, source.as_ref()).await);
    let mut answer_events = None;
    if let Location::Hdfs { authority, path } = location {
        let snapshots = wanted.snapshots && has_snapshots;
        let cluster = cluster(authority, path, connection, Wanted { snapshots, live }).await;
        answer_events = cluster.answer_events;
        checks.extend(cluster.checks);
    }
    if wanted.snapshots && !has_snapshots {
        let told = "this source has none";
        checks.push(Check::problem(Side::Source, SNAPSHOTS, told, "leave --source-snapshots out"));
    }
    if live || matches!(location, Location::Hdfs { .. }) {
        checks.extend(stream(source.as_ref(), live, answer_events).await);
    }
    checks
}

async fn listing(source: &dyn Source) -> Check {
    let name = "rights to list the root";
    match source.list(&RelPath::root(), None).await {
        Ok(Some(page)) if page.more => Check::fine(Side::Source, name, "more than one page"),
        Ok(Some(page)) => Check::fine(Side::Source, name, format!("{} names", page.entries.len())),
        Ok(None) => Check::problem(Side::Source, name, "the root is gone", "check the URL"),
        Err(error) => {
            let remedy = error.remedy().to_owned();
            Check::problem(Side::Source, name, error.to_string(), remedy)
        }
    }
}

/// Where the migration of this state ran before, it goes on with the directory that it began with.
async fn pinned_root(
    location: &Location,
    place: &StatePlace,
    source: &dyn Source,
) -> Option<Check> {
    let name = "root of the migration";
    if !State::stands(&place.folder) {
        return None;
    }
    // Whose state that is, a run says: that of another source pinned another root.
    let of = setting_at_rest(&place.folder, "source").ok().flatten();
    if of.is_some_and(|of| of != location.to_string()) {
        return None;
    }
    Some(match refuse_another_root(place, source).await {
        Ok(()) => Check::fine(Side::Source, name, "is the one that was migrated"),
        Err(error) if error.condition == Condition::Source => {
            Check::failed(Side::Source, name, error)
        }
        Err(error) => Check::failed(Side::Local, name, error),
    })
}

/// The stream; missing it is a problem for a live migration only.
async fn stream(source: &dyn Source, live: bool, answer_events: Option<u64>) -> Vec<Check> {
    let name = "stream of changes";
    match source.stream().await {
        Err(error) => {
            let (told, remedy) = (error.to_string(), error.remedy().to_owned());
            let needed = live || error.kind() == FailureKind::Unavailable;
            vec![if needed {
                Check::problem(Side::Source, name, told, remedy)
            } else {
                Check::warning(Side::Source, name, format!("{told} (needed for --live)"), remedy)
            }]
        }
        Ok(stream) => followed(stream.as_ref(), answer_events).await,
    }
}

async fn followed(stream: &dyn ChangeStream, answer_events: Option<u64>) -> Vec<Check> {
    let name = "stream of changes";
    let failed = |error: whimbrel_store::error::StoreError| {
        let remedy = error.remedy().to_owned();
        vec![Check::problem(Side::Source, name, error.to_string(), remedy)]
    };
    let position = match stream.position().await {
        Ok(position) => position,
        Err(error) => return failed(error),
    };
    match stream.poll(position).await {
        Ok(Poll::Reply(_) | Poll::Gap | Poll::Beyond) => {}
        Err(error) => return failed(error),
    }
    let told = format!("can be followed; the newest transaction is {position}");
    let mut checks = vec![Check::fine(Side::Source, name, told)];
    if let Memory::Follower { .. } = stream.memory() {
        let told = "nothing is kept while nobody follows: a run that is started again lists \
                    everything, and reads what changed";
        checks.push(Check::fine(Side::Source, "changes between runs", told));
        return checks;
    }
    tokio::time::sleep(WATCH).await;
    if let (Some(events), Ok(newest)) = (answer_events, stream.position().await) {
        let per_second = newest.0.saturating_sub(position.0) / WATCH.as_secs();
        checks.push(answers(events, per_second));
    }
    // The stream learns how fast the log grows by looking at it.
    let now = match stream.poll(position).await {
        Ok(Poll::Reply(reply)) => reply.applied,
        Ok(Poll::Gap | Poll::Beyond) => position,
        Err(error) => return failed(error),
    };
    checks.push(history(stream, now).await);
    checks
}

/// How long the edits behind a position are kept.
async fn history(stream: &dyn ChangeStream, position: TxId) -> Check {
    let name = "edit history that is kept";
    let remedy = "raise dfs.namenode.num.extra.edits.retained on the NameNode (and \
                  dfs.namenode.max.extra.edits.segments.retained with it)";
    match stream.history_seconds(position).await {
        Ok(Some(seconds)) if seconds < HISTORY_SECONDS_GOOD => Check::warning(
            Side::Source,
            name,
            format!("about {seconds} s at the present rate: a longer pause needs a new scan"),
            remedy,
        ),
        Ok(Some(seconds)) => {
            let told = format!("about {} h at the present rate", seconds / 3600);
            Check::fine(Side::Source, name, told)
        }
        Ok(None) => Check::warning(
            Side::Source,
            name,
            "how long it is kept cannot be told",
            "name dfs.namenode.http-address in hdfs-site.xml (--hadoop-conf), so that the \
             NameNode can be asked",
        ),
        Err(error) => {
            Check::warning(Side::Source, name, error.to_string(), error.remedy().to_owned())
        }
    }
}

/// For each answer the NameNode reads its open segment from the beginning: at a high rate many small
/// ones cost it much, and take longer than what they tell took to happen.
fn answers(events: u64, per_second: u64) -> Check {
    let name = "events in one answer";
    let told = format!(
        "{events} at most, and the log grows by {per_second} transactions a second; the NameNode \
         reads its open segment anew for each answer"
    );
    if events >= per_second.saturating_mul(ANSWER_SECONDS_MIN) {
        return Check::fine(Side::Source, name, told);
    }
    let remedy = format!(
        "set {ANSWER_EVENTS} on the NameNode to 20000, or to the transactions of three seconds if \
         that is more"
    );
    Check::warning(Side::Source, name, told, remedy)
}

/// What a cluster says of itself.
struct Cluster {
    checks: Vec<Check>,
    /// Events that one answer of the NameNode may hold, where it tells its settings.
    answer_events: Option<u64>,
}

/// What only the cluster's own configuration tells.
async fn cluster(
    authority: &str,
    path: &str,
    connection: &ConnectionArguments,
    wanted: Wanted,
) -> Cluster {
    let asked = async {
        let configuration = match hadoop_conf(connection) {
            Some(folder) => Configuration::read(&folder)?,
            None => Configuration::new(),
        };
        let settings = Settings { patience: PATIENCE, ..Settings::new(&hadoop_user()) };
        let client = Client::connect(&configuration, authority, settings).await?;
        let defaults = client.server_defaults().await?;
        let identity = client.namespace_identity().await?;
        Ok::<_, whimbrel_hdfs::Error>((client, defaults, identity))
    };
    let (client, defaults, identity) = match asked.await {
        Ok(answers) => answers,
        Err(error) => {
            let remedy = "check the Hadoop configuration";
            let check = Check::problem(Side::Source, "cluster", error.to_string(), remedy);
            return Cluster { checks: vec![check], answer_events: None };
        }
    };
    let version = format!("Hadoop {}, {}", identity.software_version, identity.cluster_id);
    let mut checks = vec![Check::fine(Side::Source, "cluster", version)];
    if client.is_in_safe_mode().await.unwrap_or(false) {
        checks.push(Check::warning(
            Side::Source,
            "safe mode",
            "the NameNode is in safe mode: files can be read, but nothing changes, no snapshot is \
             made, and files may lack blocks until DataNodes have reported them",
            "wait until it ends (hdfs dfsadmin -safemode wait), or have it leave",
        ));
    }
    checks.push(match defaults.key_provider {
        None => Check::fine(Side::Source, "encryption zones", "the cluster has no key provider"),
        Some(_) => Check::warning(
            Side::Source,
            "encryption zones",
            "the cluster has a key provider: files in encryption zones are not copied",
            "each is told by name; leave their folders out with --exclude",
        ),
    });
    checks.push(if defaults.writes_crc32c {
        Check::fine(Side::Source, "checksums", "CRC32C: verification reads no data here")
    } else {
        Check::warning(
            Side::Source,
            "checksums",
            "new files get CRC32 instead of CRC32C: verification has to read them",
            "set dfs.checksum.type to CRC32C where files are written",
        )
    });
    let server = client.server_configuration().await.ok();
    checks.push(access_times(server.as_ref()));
    if wanted.snapshots {
        checks.push(snapshots(&client, path).await);
    }
    let answer_events = server.and_then(|server| server.get(ANSWER_EVENTS)?.parse().ok());
    Cluster { checks, answer_events }
}

/// Whether snapshots of the root are allowed, and to this user. None is made for that.
async fn snapshots(client: &Client, path: &str) -> Check {
    let status = match client.file_status(path.as_bytes()).await {
        Ok(Some(status)) => status,
        Ok(None) => {
            let remedy = "check the URL, or put the root back";
            return Check::problem(Side::Source, SNAPSHOTS, "the root is gone", remedy);
        }
        Err(error) => return Check::problem(Side::Source, SNAPSHOTS, error.to_string(), ""),
    };
    if !status.is_snapshottable {
        return Check::problem(
            Side::Source,
            SNAPSHOTS,
            format!("snapshots of {path} are not allowed: after a gap everything is listed"),
            format!("let an HDFS superuser say hdfs dfsadmin -allowSnapshot {path}"),
        );
    }
    let user = hadoop_user();
    // Only superusers are told of the edits.
    let may = *status.owner == *user.as_bytes() || client.current_transaction_id().await.is_ok();
    if may {
        return Check::fine(Side::Source, SNAPSHOTS, format!("of {path} can be made by {user}"));
    }
    Check::problem(
        Side::Source,
        SNAPSHOTS,
        format!("{user} may make none of {path}: it is neither its owner nor a superuser"),
        "run as one of them (HADOOP_USER_NAME)",
    )
}

/// Whimbrel reads by the locations of listings, which writes no access time; other readers do.
fn access_times(server: Option<&Configuration>) -> Check {
    let name = "access times";
    let precision = server.and_then(|server| server.get("dfs.namenode.accesstime.precision"));
    match precision.as_deref() {
        Some("0") => Check::fine(Side::Source, name, "are not kept"),
        Some(milliseconds) => Check::fine(
            Side::Source,
            name,
            format!(
                "are kept to {milliseconds} ms; Whimbrel writes none, but every other reader \
                 of files fills the edit log with them"
            ),
        ),
        None => Check::fine(
            Side::Source,
            name,
            "their precision cannot be told (the NameNode's web server gives no answer); Whimbrel \
             writes none",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Finding;
    use super::*;

    #[test]
    fn answers_have_to_hold_what_happens_between_looks() {
        for (events, per_second, fine) in
            [(1_000, 0, true), (1_000, 500, true), (1_000, 501, false), (20_000, 10_000, true)]
        {
            let check = answers(events, per_second);
            assert_eq!(matches!(check.finding, Finding::Fine(_)), fine, "{check:?}");
        }
    }
}
