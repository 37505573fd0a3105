//! The client: calls to the NameNode, each one a read but those of `snapshot`,
//! `fence`, `change` and `write`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use crate::acl::{AclStatus, XAttr};
use crate::configuration::{Cluster, Configuration};
use crate::datanode::peers::Peers;
use crate::edits::Head;
use crate::error::{Error, ErrorKind};
use crate::pinned::DatanodeTable;
use crate::proto::namenode as proto;
use crate::rpc::frame::{CLIENT_PROTOCOL, Call, Caller};
use crate::rpc::namenodes::{Answer, Epoch, Lane, Namenodes, Times};
use crate::status::{ContentSummary, FileStatus, Page};

const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(120);
const DATANODE_SILENCE: Duration = Duration::from_secs(30);

/// Who calls, and how long the client tries.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The user that the NameNode checks rights for.
    pub user: String,
    /// What operators see in the NameNode's audit log; empty: nothing.
    pub caller_context: String,
    /// How long one attempt of a call may take.
    pub call_timeout: Duration,
    /// How long a call is tried altogether, over reconnections, fail-overs and safe mode, before
    /// it answers [`Error::Unreachable`].
    pub patience: Duration,
    /// How long a DataNode may send nothing before another replica is asked.
    pub datanode_silence: Duration,
}

/// A client of one cluster. Clones share its connections.
///
/// Paths are bytes, absolute, without `.` and `..`; `/.reserved/.inodes/ID` names a file by its id.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    times: Times,
}

#[derive(Debug)]
pub(crate) struct Shared {
    namenodes: Namenodes,
    datanodes: DatanodeTable,
    pub(crate) peers: Arc<Peers>,
    /// How DataNodes' logs name this client.
    pub(crate) client_name: String,
    encrypts_transfer: AtomicBool,
    pub(crate) head: Head,
}

impl Settings {
    /// Settings for a user with the times that suit long runs: half a minute per attempt, two minutes
    /// per call.
    #[must_use]
    pub fn new(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            caller_context: String::new(),
            call_timeout: CALL_TIMEOUT,
            patience: PATIENCE,
            datanode_silence: DATANODE_SILENCE,
        }
    }
}

impl Client {
    /// Connects to the cluster that `authority` names (see [`Configuration::cluster`]) and makes
    /// sure that its active NameNode answers.
    ///
    /// # Errors
    /// [`Error::Configuration`], [`Error::Kerberos`], and [`Error::Unreachable`] after
    /// `settings.patience`.
    pub async fn connect(
        configuration: &Configuration,
        authority: &str,
        settings: Settings,
    ) -> Result<Self, Error> {
        let client = Self::new(configuration, authority, settings)?;
        client.server_defaults().await?;
        Ok(client)
    }

    /// The same without a first call: connections are opened as calls need them.
    ///
    /// # Errors
    /// [`Error::Configuration`] and [`Error::Kerberos`].
    pub fn new(
        configuration: &Configuration,
        authority: &str,
        settings: Settings,
    ) -> Result<Self, Error> {
        let cluster = configuration.cluster(authority)?;
        let uuid = uuid::Uuid::new_v4();
        let client_id = Bytes::copy_from_slice(uuid.as_bytes());
        let context = Some(settings.caller_context).filter(|context| !context.is_empty());
        let caller = Caller::new(client_id, context, settings.user);
        let shared = Shared {
            namenodes: Namenodes::new(cluster, caller),
            datanodes: DatanodeTable::default(),
            peers: Arc::new(Peers::new(
                configuration.uses_datanode_hostname(),
                settings.datanode_silence,
            )),
            client_name: format!("DFSClient_{uuid}"),
            encrypts_transfer: AtomicBool::new(false),
            head: Head::default(),
        };
        let times = Times {
            call_timeout: settings.call_timeout,
            retries: settings.patience,
            patience: settings.patience,
        };
        Ok(Self { shared: Arc::new(shared), times })
    }

    /// A clone that tries for another length of time.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { times: Times { retries: patience, patience, ..self.times }, ..self.clone() }
    }

    /// A clone that begins no further attempt of a call this long after its begin, so that its
    /// caller soon hears of a NameNode that is away; one that is slow has as long as before.
    #[must_use]
    pub fn with_retries_for(&self, retries: Duration) -> Self {
        Self { times: Times { retries, ..self.times }, ..self.clone() }
    }

    /// The cluster that it speaks to.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        self.shared.namenodes.cluster()
    }

    /// The epoch, and the position in [`Cluster::namenodes`] of the NameNode taken for active.
    #[must_use]
    pub fn position(&self) -> (Epoch, usize) {
        self.shared.namenodes.position()
    }

    /// How often a NameNode asked so far to come back later (overload, start, safe mode); the call
    /// was tried again.
    #[must_use]
    pub fn busy_answers(&self) -> u64 {
        self.shared.namenodes.busy_answers()
    }

    /// Counts the processes taken for active; an answer obtained under another value than now is
    /// of an older active NameNode.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.position().0
    }

    /// What a path is; `None` if there is nothing. Changes no access time.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Denied`], [`Error::InvalidPath`].
    pub async fn file_status(&self, path: &[u8]) -> Result<Option<FileStatus>, Error> {
        let answer: Option<Answer<proto::FileInfoResponse>> =
            self.find("getFileInfo", &path_request(path)?).await?;
        let status = answer.and_then(|answer| answer.value.status);
        status.map(|status| FileStatus::from_proto(status, &self.shared.datanodes)).transpose()
    }

    /// Children of a directory behind `start_after` (empty: from the first), or a file itself;
    /// `None` if there is nothing. With `need_locations` each file carries its block list.
    ///
    /// The server bounds a page by `dfs.ls.limit`, counting replicas if locations are asked for. It
    /// changes no access time.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Denied`], [`Error::InvalidPath`].
    pub async fn list(
        &self,
        path: &[u8],
        start_after: &[u8],
        need_locations: bool,
    ) -> Result<Option<Page>, Error> {
        let request = proto::ListingRequest {
            path: checked(path)?,
            start_after: Bytes::copy_from_slice(start_after),
            need_location: need_locations,
        };
        let answer: Option<Answer<proto::ListingResponse>> =
            self.find("getListing", &request).await?;
        let Some(Answer { value, epoch }) = answer else { return Ok(None) };
        let Some(listing) = value.listing else { return Ok(None) };
        let entries = listing.entries.into_iter();
        let entries = entries.map(|entry| FileStatus::from_proto(entry, &self.shared.datanodes));
        Ok(Some(Page {
            entries: entries.collect::<Result<_, _>>()?,
            remaining: listing.remaining,
            epoch,
        }))
    }

    /// One path with its block list; `None` if there is nothing. A directory answers without one.
    ///
    /// Unlike an open it changes no access time.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Denied`], [`Error::InvalidPath`].
    pub async fn located_status(&self, path: &[u8]) -> Result<Option<FileStatus>, Error> {
        let request =
            proto::LocatedFileInfoRequest { path: checked(path)?, need_token: Some(false) };
        let answer: Option<Answer<proto::FileInfoResponse>> =
            match self.find("getLocatedFileInfo", &request).await {
                // NameNodes before 3.1 answer the same through a listing of the path.
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    return self.listed_status(path).await;
                }
                answer => answer?,
            };
        let status = answer.and_then(|answer| answer.value.status);
        status.map(|status| FileStatus::from_proto(status, &self.shared.datanodes)).transpose()
    }

    /// Totals of a tree. The NameNode walks all of it: dear for large ones.
    ///
    /// # Errors
    /// Those of the connection; [`Error::NotFound`], [`Error::Denied`].
    pub async fn content_summary(&self, path: &[u8]) -> Result<ContentSummary, Error> {
        let answer: Answer<proto::ContentSummaryResponse> =
            self.call("getContentSummary", &path_request(path)?).await?;
        let summary = answer.value.summary;
        Ok(ContentSummary {
            length_bytes: summary.length,
            files: summary.file_count,
            directories: summary.directory_count,
            space_bytes: summary.space_consumed,
        })
    }

    /// Whether nobody has the file open for writing.
    ///
    /// # Errors
    /// Those of the connection; [`Error::NotFound`], [`Error::Denied`].
    pub async fn is_file_closed(&self, path: &[u8]) -> Result<bool, Error> {
        let answer: Answer<proto::BoolResponse> =
            self.call("isFileClosed", &path_request(path)?).await?;
        Ok(answer.value.result)
    }

    /// ACL entries beyond the mode.
    ///
    /// # Errors
    /// Those of the connection; [`Error::NotFound`], [`Error::Denied`].
    pub async fn acl_status(&self, path: &[u8]) -> Result<AclStatus, Error> {
        let answer: Answer<proto::AclStatusResponse> =
            self.call("getAclStatus", &path_request(path)?).await?;
        AclStatus::from_proto(answer.value.acl)
    }

    /// All extended attributes that the user may see.
    ///
    /// # Errors
    /// Those of the connection; [`Error::NotFound`], [`Error::Denied`].
    pub async fn xattrs(&self, path: &[u8]) -> Result<Vec<XAttr>, Error> {
        let answer: Answer<proto::XAttrsResponse> =
            self.call("getXAttrs", &path_request(path)?).await?;
        answer.value.xattrs.into_iter().map(XAttr::from_proto).collect()
    }

    async fn listed_status(&self, path: &[u8]) -> Result<Option<FileStatus>, Error> {
        let page = self.list(path, &[], true).await?;
        let own = page.into_iter().flat_map(|page| page.entries).find(|e| e.name.is_empty());
        match own {
            Some(file) => Ok(Some(file)),
            None => self.file_status(path).await,
        }
    }

    pub(crate) async fn call<R: Message + Default>(
        &self,
        method: &'static str,
        request: &impl Message,
    ) -> Result<Answer<R>, Error> {
        self.call_in(Lane::Namespace, method, request).await
    }

    pub(crate) async fn call_of<R: Message + Default>(
        &self,
        protocol: &'static str,
        method: &'static str,
        request: &impl Message,
    ) -> Result<Answer<R>, Error> {
        let call = Call::new(protocol, method, request);
        let namenodes = &self.shared.namenodes;
        namenodes.call(Lane::Namespace, &call, self.times).await
    }

    pub(crate) async fn call_in<R: Message + Default>(
        &self,
        lane: Lane,
        method: &'static str,
        request: &impl Message,
    ) -> Result<Answer<R>, Error> {
        let call = Call::new(CLIENT_PROTOCOL, method, request);
        self.shared.namenodes.call(lane, &call, self.times).await
    }

    /// A call for which "there is nothing" is an answer.
    async fn find<R: Message + Default>(
        &self,
        method: &'static str,
        request: &impl Message,
    ) -> Result<Option<Answer<R>>, Error> {
        match self.call(method, request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Shared {
    /// As far as the NameNode was asked for its defaults.
    pub(crate) fn encrypts_transfer(&self) -> bool {
        self.encrypts_transfer.load(Ordering::Relaxed)
    }

    pub(crate) fn learn_encryption(&self, encrypts_transfer: bool) {
        self.encrypts_transfer.store(encrypts_transfer, Ordering::Relaxed);
    }
}

pub(crate) fn path_request(path: &[u8]) -> Result<proto::PathRequest, Error> {
    Ok(proto::PathRequest { path: checked(path)? })
}

/// HDFS would silently replace what is not UTF-8 by question marks, and so name another file.
pub(crate) fn checked(path: &[u8]) -> Result<Bytes, Error> {
    let refused = |reason| Error::InvalidPath { path: path.escape_ascii().to_string(), reason };
    if !path.starts_with(b"/") {
        return Err(refused("it does not begin with a slash"));
    }
    if std::str::from_utf8(path).is_err() {
        return Err(refused("it is not UTF-8"));
    }
    Ok(Bytes::copy_from_slice(path))
}
