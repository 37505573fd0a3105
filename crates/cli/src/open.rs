//! Opens both sides, and says within half a minute if one does not answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use whimbrel_core::failure::Side;
use whimbrel_core::path::RelPath;
use whimbrel_store::error::StoreError;
use whimbrel_store::fence::Fence;
use whimbrel_store::first_contact::ask_again;
use whimbrel_store::hdfs::{HdfsSettings, HdfsSource, RootKind};
use whimbrel_store::local::{LocalSource, LocalTarget};
use whimbrel_store::s3::{Addressing, Named, S3Settings, S3Source, S3Target, WriteOptions};
use whimbrel_store::snapshots::Snapshots;
use whimbrel_store::source::Source;
use whimbrel_store::target::{Finding, Target};

use crate::arguments::{AddressingArgument, ConnectionArguments};
use crate::exit::CommandError;
use crate::location::Location;
use crate::request::hadoop_conf;

/// How long a side is tried at the start.
const PATIENCE: Duration = Duration::from_secs(20);
/// The end of all patience: what does not even fail by itself.
const DEADLINE: Duration = Duration::from_secs(27);

/// A source that answers.
#[derive(Clone)]
pub struct OpenSource {
    /// To read from.
    pub source: Arc<dyn Source>,
    /// The one file that is meant, where the location names a file.
    pub single_file: Option<RelPath>,
    /// HDFS itself, of which images are saved.
    pub hdfs: Option<Arc<HdfsSource>>,
    /// Of HDFS: snapshots of the root.
    pub snapshots: Option<Arc<dyn Snapshots>>,
    /// Of HDFS: what keeps others from changing it.
    pub fences: Vec<Arc<dyn Fence>>,
    /// What a URL of an object store was taken for; `None` elsewhere.
    pub named: Option<Named>,
    /// The URL names both, and the other one is left out.
    pub names_both: bool,
}

impl OpenSource {
    fn of(source: Arc<dyn Source>, single_file: Option<RelPath>) -> Self {
        let (hdfs, snapshots, fences) = (None, None, Vec::new());
        Self { source, single_file, hdfs, snapshots, fences, named: None, names_both: false }
    }
}

/// Opens a source.
///
/// # Errors
/// It does not answer in time, has no such path, or gives no rights.
pub async fn source(
    location: &Location,
    connection: &ConnectionArguments,
    acl: bool,
) -> Result<OpenSource, CommandError> {
    source_as(location, connection, acl, None).await
}

/// The same of a source whose URL an earlier run took for `before`.
///
/// # Errors
/// As of `source`.
pub async fn source_as(
    location: &Location,
    connection: &ConnectionArguments,
    acl: bool,
    before: Option<Named>,
) -> Result<OpenSource, CommandError> {
    let opening = || async {
        let opened = match location {
            Location::Hdfs { .. } => hdfs_source(location, connection, acl).await,
            Location::Local { path } => local_source(path),
            Location::Bucket { .. } => bucket_source(location, connection, before).await,
        }?;
        // Whoever may not list the root cannot migrate anything of it.
        let listed = opened.source.list(&RelPath::root(), None).await?;
        // Nothing would seem to be there, and an empty target equal to it.
        let missing = || StoreError::Missing {
            message: format!("{location}: there is no directory to list"),
            remedy: "name a directory or a file that is there".to_owned(),
        };
        listed.map(|_| opened).ok_or_else(missing)
    };
    in_time(Side::Source, location, opening).await
}

/// A target that answers.
pub enum OpenTarget {
    /// A directory of this machine.
    Local(LocalTarget),
    /// A bucket. What its server can do is known once it was probed.
    Bucket(Arc<S3Target>),
}

/// What a target needs to know of the migration that writes to it.
pub struct Writer<'a> {
    /// Names the folder in which files are made, and the objects of a probe.
    pub migration: &'a str,
    /// Uploads that are to be resumed.
    pub uploads: &'a [String],
    /// The directory that an earlier run wrote to, where another one is not to be written to.
    pub directory: Option<&'a str>,
    /// What it writes comes from an object store.
    pub of_keys: bool,
}

impl OpenTarget {
    /// To write to.
    pub fn into_target(self) -> Arc<dyn Target> {
        match self {
            Self::Local(target) => Arc::new(target),
            Self::Bucket(target) => target,
        }
    }

    /// The directory of this machine, if it is one.
    pub fn local(&self) -> Option<&LocalTarget> {
        match self {
            Self::Local(target) => Some(target),
            Self::Bucket(_) => None,
        }
    }

    /// What all keys begin with.
    pub fn prefix(&self) -> &str {
        match self {
            Self::Local(_) => "",
            Self::Bucket(target) => target.prefix(),
        }
    }

    /// Tries out what the target can do, by writing to it.
    ///
    /// # Errors
    /// It cannot be asked at all.
    pub async fn probe(&self) -> Result<Vec<Finding>, CommandError> {
        match self {
            // It was tried out when it was opened.
            Self::Local(_) => Ok(Vec::new()),
            Self::Bucket(target) => {
                target.probe().await.map_err(|error| error.into_failure(Side::Target).into())
            }
        }
    }
}

/// Opens a target to write to it.
///
/// # Errors
/// It does not answer in time, has no such bucket, gives no rights, or cannot be written.
pub async fn target(
    location: &Location,
    connection: &ConnectionArguments,
    write: WriteOptions,
    writer: Writer<'_>,
) -> Result<OpenTarget, CommandError> {
    let opening = async || match location {
        Location::Local { path } => {
            let Writer { migration, uploads, directory, of_keys } = writer;
            let target = LocalTarget::open_as(path, migration, uploads, directory)?;
            Ok(OpenTarget::Local(if of_keys { target.of_keys() } else { target }))
        }
        Location::Bucket { .. } => {
            let settings = bucket_settings(location, connection, Side::Target, write.clone());
            let target = S3Target::open(&settings).await?.of_migration(writer.migration);
            Ok(OpenTarget::Bucket(Arc::new(target)))
        }
        Location::Hdfs { .. } => Err(no_target(location)),
    };
    in_time(Side::Target, location, opening).await
}

/// What a look takes a local target for that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// For an error.
    Refused,
    /// For an empty one, as a run would make it.
    Empty,
}

/// Opens a target to look at it: nothing is made that is not there.
///
/// # Errors
/// As for writing, and a local target that does not exist where that is refused.
pub async fn target_to_look_at(
    location: &Location,
    connection: &ConnectionArguments,
    absent: Absent,
) -> Result<OpenTarget, CommandError> {
    let opening = async || match location {
        Location::Local { path } => match absent {
            Absent::Refused => LocalTarget::look_at(path),
            Absent::Empty => LocalTarget::look_ahead(path),
        }
        .map(OpenTarget::Local),
        Location::Bucket { .. } => {
            let write = WriteOptions::default();
            let settings = bucket_settings(location, connection, Side::Target, write);
            S3Target::open(&settings).await.map(Arc::new).map(OpenTarget::Bucket)
        }
        Location::Hdfs { .. } => Err(no_target(location)),
    };
    in_time(Side::Target, location, opening).await
}

fn no_target(location: &Location) -> StoreError {
    StoreError::Unsupported {
        message: format!("{location} cannot be a target"),
        remedy: "choose s3://BUCKET/prefix or a local path".to_owned(),
    }
}

async fn bucket_source(
    location: &Location,
    connection: &ConnectionArguments,
    before: Option<Named>,
) -> Result<OpenSource, StoreError> {
    let settings = bucket_settings(location, connection, Side::Source, WriteOptions::default());
    let source = S3Source::open_as(&settings, before).await?;
    let (named, names_both) = (Some(source.named()), source.names_both());
    let single_file = source.single().cloned();
    let source = Arc::new(source);
    Ok(OpenSource { named, names_both, ..OpenSource::of(source, single_file) })
}

fn bucket_settings(
    location: &Location,
    connection: &ConnectionArguments,
    side: Side,
    write: WriteOptions,
) -> S3Settings {
    let (profile, endpoint, region) = match side {
        Side::Source => {
            (&connection.source_profile, &connection.source_endpoint, &connection.source_region)
        }
        Side::Target | Side::Local => {
            (&connection.target_profile, &connection.target_endpoint, &connection.target_region)
        }
    };
    S3Settings {
        url: location.to_string(),
        profile: profile.clone(),
        endpoint: endpoint.clone(),
        region: region.clone(),
        addressing: connection.s3_addressing.map(|style| match style {
            AddressingArgument::Path => Addressing::Path,
            AddressingArgument::Virtual => Addressing::Virtual,
        }),
        credentials: None,
        environment: None,
        write,
    }
}

async fn hdfs_source(
    location: &Location,
    connection: &ConnectionArguments,
    acl: bool,
) -> Result<OpenSource, StoreError> {
    let source = HdfsSource::open(&HdfsSettings {
        url: location.to_string(),
        configuration: hadoop_conf(connection),
        user: hadoop_user(),
        caller_context: "whimbrel".to_owned(),
        acl,
        patience: PATIENCE,
    })
    .await?;
    let single_file = match source.root_kind() {
        RootKind::Directory => None,
        RootKind::File(name) => Some(name.clone()),
    };
    let (snapshots, fences) = (source.snapshots(), source.fences());
    let source = Arc::new(source);
    let hdfs = Some(source.clone());
    Ok(OpenSource { hdfs, snapshots, fences, ..OpenSource::of(source, single_file) })
}

fn local_source(path: &Path) -> Result<OpenSource, StoreError> {
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if is_file => {
            use std::os::unix::ffi::OsStrExt;
            let single_file = Some(RelPath::new(name.as_bytes().to_vec()));
            Ok(OpenSource::of(Arc::new(LocalSource::open_shallow(folder)?), single_file))
        }
        _ => Ok(OpenSource::of(Arc::new(LocalSource::open(path)?), None)),
    }
}

/// The user that the NameNode sees: `HADOOP_USER_NAME`, or who runs this.
pub fn hadoop_user() -> String {
    let named = std::env::var("HADOOP_USER_NAME").ok().filter(|name| !name.is_empty());
    let own = || uzers::get_current_username().map(|name| name.to_string_lossy().into_owned());
    named.or_else(own).unwrap_or_else(|| "whimbrel".to_owned())
}

async fn in_time<T, Opening>(
    side: Side,
    location: &Location,
    opening: impl Fn() -> Opening,
) -> Result<T, CommandError>
where
    Opening: Future<Output = Result<T, StoreError>>,
{
    match tokio::time::timeout(DEADLINE, ask_again(opening)).await {
        Ok(Ok(opened)) => Ok(opened),
        // A client that cannot be made from its settings: nobody was asked.
        Ok(Err(error @ StoreError::Refused { .. }))
            if matches!(location, Location::Bucket { .. }) =>
        {
            Err(CommandError::usage(error.to_string(), error.remedy()))
        }
        Ok(Err(error)) => Err(error.into_failure(side).into()),
        Err(_) => Err(StoreError::Unavailable {
            message: format!("{location} did not answer within {} seconds", DEADLINE.as_secs()),
            remedy: "check host, port, network and firewall; whimbrel doctor looks closer"
                .to_owned(),
        }
        .into_failure(side)
        .into()),
    }
}
