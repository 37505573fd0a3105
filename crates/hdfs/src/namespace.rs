//! Calls about the cluster as a whole: its identity, defaults, capacity and encryption zones.

use bytes::Bytes;

use crate::client::{Client, path_request};
use crate::error::Error;
use crate::proto::datanode::checksum_type;
use crate::proto::namenode as proto;
use crate::proto::namenode::ha_state;
use crate::rpc::namenodes::Answer;

const NAMENODE_PROTOCOL: &str = "org.apache.hadoop.hdfs.server.protocol.NamenodeProtocol";

/// Which namespace this is: another value means that ids and transactions mean something else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamespaceIdentity {
    /// The block pool, as every block of the namespace names it.
    pub block_pool: String,
    /// The cluster's id, which survives neither re-formatting nor migration.
    pub cluster_id: String,
    /// The namespace's number.
    pub namespace_id: u32,
    /// The NameNode's Hadoop version.
    pub software_version: String,
}

/// What the server does when nobody says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerDefaults {
    /// Block size of new files in bytes.
    pub block_size_bytes: u64,
    /// Bytes that share one stored checksum.
    pub bytes_per_checksum: u32,
    /// Replicas of new files.
    pub replication: u32,
    /// DataNodes speak only encrypted.
    pub encrypts_data_transfer: bool,
    /// Minutes that trash is kept; 0: deletions are final.
    pub trash_interval_minutes: u64,
    /// Checksums of new files are CRC32C.
    pub writes_crc32c: bool,
    /// Where keys of encryption zones come from, if anywhere.
    pub key_provider: Option<String>,
}

/// Capacity of all DataNodes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystemStats {
    /// Bytes of all disks.
    pub capacity_bytes: u64,
    /// Bytes that HDFS uses.
    pub used_bytes: u64,
    /// Bytes that HDFS may still use.
    pub remaining_bytes: u64,
    /// Blocks of which a replica is corrupt.
    pub corrupt_blocks: u64,
    /// Blocks without a live replica.
    pub missing_blocks: u64,
}

/// The part that a NameNode plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HaState {
    /// It starts.
    Initializing,
    /// It answers for the namespace.
    Active,
    /// It follows the active one.
    Standby,
    /// It follows and answers reads, which may be old.
    Observer,
}

/// An encryption zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionZone {
    /// Its root.
    pub path: Bytes,
    /// The key that its files' keys are encrypted with.
    pub key_name: String,
}

impl Client {
    /// Which namespace this is. Where `security.namenode.protocol.acl` keeps a user from asking,
    /// any [`PinnedFile`](crate::PinnedFile) with blocks names the block pool too.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Denied`] where that list forbids it.
    pub async fn namespace_identity(&self) -> Result<NamespaceIdentity, Error> {
        let answer: Answer<proto::VersionResponse> =
            self.call_of(NAMENODE_PROTOCOL, "versionRequest", &proto::EmptyRequest {}).await?;
        let info = answer.value.info;
        Ok(NamespaceIdentity {
            block_pool: info.block_pool,
            cluster_id: info.storage.cluster_id,
            namespace_id: info.storage.namespace_id,
            software_version: info.software_version,
        })
    }

    /// Defaults of the server; any user may ask.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn server_defaults(&self) -> Result<ServerDefaults, Error> {
        let answer: Answer<proto::ServerDefaultsResponse> =
            self.call("getServerDefaults", &proto::EmptyRequest {}).await?;
        let defaults = answer.value.defaults;
        let encrypts_data_transfer = defaults.encrypt_data_transfer.unwrap_or(false);
        self.shared.learn_encryption(encrypts_data_transfer);
        Ok(ServerDefaults {
            block_size_bytes: defaults.block_size,
            bytes_per_checksum: defaults.bytes_per_checksum,
            replication: defaults.replication,
            encrypts_data_transfer,
            trash_interval_minutes: defaults.trash_interval.unwrap_or(0),
            writes_crc32c: defaults.checksum_type == Some(checksum_type::CRC32C),
            key_provider: defaults.key_provider_uri.filter(|uri| !uri.is_empty()),
        })
    }

    /// Capacity and damage, from the NameNode's counters.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn file_system_stats(&self) -> Result<FileSystemStats, Error> {
        let answer: Answer<proto::FsStatsResponse> =
            self.call("getFsStats", &proto::EmptyRequest {}).await?;
        let stats = answer.value;
        Ok(FileSystemStats {
            capacity_bytes: stats.capacity,
            used_bytes: stats.used,
            remaining_bytes: stats.remaining,
            corrupt_blocks: stats.corrupt_blocks,
            missing_blocks: stats.missing_blocks,
        })
    }

    /// The part that the NameNode taken for active says it plays; alone it is active.
    ///
    /// # Errors
    /// Those of the connection; [`Error::InvalidReply`] for a state that is not known.
    pub async fn ha_state(&self) -> Result<HaState, Error> {
        if self.cluster().namenodes.len() < 2 {
            // Without high availability the call itself is refused.
            return self.server_defaults().await.map(|_| HaState::Active);
        }
        let answer: Answer<proto::HaServiceStateResponse> =
            self.call("getHAServiceState", &proto::EmptyRequest {}).await?;
        match answer.value.state {
            ha_state::INITIALIZING => Ok(HaState::Initializing),
            ha_state::ACTIVE => Ok(HaState::Active),
            ha_state::STANDBY => Ok(HaState::Standby),
            ha_state::OBSERVER => Ok(HaState::Observer),
            other => Err(Error::invalid_reply("getHAServiceState", format!("state {other}"))),
        }
    }

    /// The encryption zone that a path lies in. On clusters where only superusers may ask for
    /// zones, [`FileStatus::is_encrypted`](crate::FileStatus::is_encrypted) says it per file.
    ///
    /// # Errors
    /// Those of the connection; [`Error::NotFound`], [`Error::Denied`].
    pub async fn encryption_zone(&self, path: &[u8]) -> Result<Option<EncryptionZone>, Error> {
        let answer: Answer<proto::EncryptionZoneResponse> =
            self.call("getEZForPath", &path_request(path)?).await?;
        let zone = answer.value.zone;
        Ok(zone.map(|zone| EncryptionZone { path: zone.path, key_name: zone.key_name }))
    }
}
