//! HDFS as the end of the way back: files are made beside their names, compared, given what belongs
//! to them, and renamed into place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;
use whimbrel_core::entry::{FileNode, Node};
use whimbrel_core::failure::FailureKind;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::path::RelPath;
use whimbrel_hdfs::{
    Error, ErrorKind, Excluded, FileKind, FileStatus, FileWriter, NewFile, ServerDefaults, XAttr,
    name_refusal,
};

use super::failure::{Asked, told};
use super::{HdfsSource, node};
use crate::digest;
use crate::error::StoreError;
use crate::failback::{Carried, Failback, Pour, Put, is_expected, unexpected};
use crate::source::{Answer, Source};

/// Ends in what the ready-made exclusions leave out: a migration never takes one for a file.
const TEMPORARY_END: &str = "._COPYING_";
/// Nobody else reads a file before it stands in its place.
const TEMPORARY_MODE: u16 = 0o600;
const FILE_MODE: u16 = 0o644;
const DIRECTORY_MODE: u16 = 0o755;
/// A file is begun anew so often when the DataNodes that it goes to fail.
const TRIES_MAX: u32 = 4;
/// DataNodes give up on a writer that says nothing for a minute.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);
/// Create, one block, complete, looks, owner, mode, time, rename.
const CALLS_PER_CHANGE: u64 = 12;
const NANOS_PER_MILLI: i64 = 1_000_000;

pub(super) struct HdfsFailback {
    source: Arc<HdfsSource>,
    /// Tells what this migration left from what others have.
    mark: String,
    defaults: ServerDefaults,
}

/// Why one try came to nothing.
enum Failed {
    /// Of no use to try again.
    Final(StoreError),
    /// DataNodes failed: another try goes to others.
    Pipeline(Error),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Final(error)
    }
}

impl HdfsSource {
    /// To write to it. `None` of a snapshot.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub async fn failback(
        self: &Arc<Self>,
        migration: &str,
    ) -> Result<Option<Arc<dyn Failback>>, StoreError> {
        if self.frozen.is_some() {
            return Ok(None);
        }
        let defaults = self.client.server_defaults().await;
        let defaults = defaults.map_err(|error| self.failed(&RelPath::root(), error))?;
        let mark = format!("{:016x}", digest::stable_u64(migration.as_bytes()));
        let failback = HdfsFailback { source: Arc::clone(self), mark, defaults };
        Ok(Some(Arc::new(failback)))
    }
}

impl HdfsFailback {
    fn failed(&self, path: &RelPath, error: Error) -> StoreError {
        let absolute = self.source.root.absolute(path);
        let shown = String::from_utf8_lossy(&absolute).into_owned();
        let message = || format!("{shown}: {error}");
        match error.remote_class() {
            Some("NSQuotaExceededException" | "DSQuotaExceededException") => StoreError::Full {
                message: message(),
                remedy: "raise the directory's quota, or make room below it".to_owned(),
            },
            Some(
                "PathComponentTooLongException"
                | "MaxDirectoryItemsExceededException"
                | "HadoopIllegalArgumentException"
                | "IllegalArgumentException",
            ) => refused(message()),
            Some(
                "FileAlreadyExistsException"
                | "PathIsNotDirectoryException"
                | "ParentNotDirectoryException",
            ) => StoreError::Conflict {
                message: message(),
                remedy: "move what stands there away, at one of both sides".to_owned(),
            },
            Some(_) | None if matches!(error, Error::InvalidPath { .. }) => refused(message()),
            Some(_) | None => told(&shown, Asked::Writing, error),
        }
    }

    /// Of a change to one path: what the NameNode itself does not do there concerns no other path.
    fn not_done(&self, path: &RelPath, error: Error) -> StoreError {
        let remote = error.remote_class().is_some();
        let failed = self.failed(path, error);
        match remote && failed.kind() == FailureKind::Unavailable {
            true => StoreError::Refused {
                message: failed.to_string(),
                remedy: "see to what the NameNode says, or leave the file out of the migration \
                         (--exclude)"
                    .to_owned(),
            },
            false => failed,
        }
    }

    fn temporary(&self, path: &RelPath) -> RelPath {
        let (directory, _) = path.split();
        let hash = digest::stable_u64(path.as_bytes());
        let name = format!(".whimbrel-{}-{hash:016x}{TEMPORARY_END}", self.mark);
        directory.join(name.as_bytes())
    }

    async fn status(&self, path: &RelPath) -> Result<Option<FileStatus>, StoreError> {
        let status = self.source.client.file_status(&self.source.reached(path)).await;
        status.map_err(|error| self.failed(path, error))
    }

    /// The directory at a path, made with those above it if need be.
    async fn directory(&self, path: &RelPath) -> Result<FileStatus, StoreError> {
        let mut missing = Vec::new();
        let mut at = path.clone();
        let mut status = loop {
            match self.status(&at).await? {
                Some(status) if status.kind == FileKind::Directory => break status,
                Some(_) => {
                    return Err(StoreError::Conflict {
                        message: format!("{at} is a file at the source, and a directory is needed"),
                        remedy: "have one of both renamed at the target".to_owned(),
                    });
                }
                None => {
                    let above = at.parent().ok_or_else(|| StoreError::Missing {
                        message: "the source's root is gone".to_owned(),
                        remedy: "have it back as it was".to_owned(),
                    })?;
                    missing.push(std::mem::replace(&mut at, above));
                }
            }
        };
        for path in missing.iter().rev() {
            let reached = self.source.reached(path);
            let made = self.source.client.make_directory(&reached, DIRECTORY_MODE).await;
            made.map_err(|error| self.failed(path, error))?;
            self.owned_like(path, &status).await?;
            let made = self.status(path).await?;
            status = made.ok_or_else(|| unexpected(path))?;
        }
        Ok(status)
    }

    /// Owner and group of the directory that it lies in; whoever may not set them keeps his own.
    async fn owned_like(&self, path: &RelPath, above: &FileStatus) -> Result<(), StoreError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (owner, group) = (text(&above.owner), text(&above.group));
        let reached = self.source.reached(path);
        match self.source.client.set_owner(&reached, Some(&owner), Some(&group)).await {
            Ok(()) | Err(Error::Denied { .. }) => Ok(()),
            Err(error) => Err(self.failed(path, error)),
        }
    }

    /// Gives a path what belongs to it. The mode comes before the list: else it would change the
    /// list's mask.
    async fn give(
        &self,
        path: &RelPath,
        metadata: &Metadata,
        above: &FileStatus,
        mode: u16,
    ) -> Result<(), StoreError> {
        let (client, reached) = (&self.source.client, self.source.reached(path));
        let failed = |error| self.not_done(path, error);
        if metadata.has_rights() {
            let named = |name: &'_ str| Some(name.to_owned()).filter(|name| !name.is_empty());
            let (owner, group) = (named(&metadata.owner), named(&metadata.group));
            let set = client.set_owner(&reached, owner.as_deref(), group.as_deref());
            set.await.map_err(failed)?;
            let entries = metadata.acl.as_deref().map(node::acl_entries).unwrap_or_default();
            if entries.is_empty() {
                client.remove_acl(&reached).await.map_err(failed)?;
            }
            let mode = u16::try_from(metadata.mode & 0o1777).unwrap_or(mode);
            client.set_permission(&reached, mode).await.map_err(failed)?;
            if !entries.is_empty() {
                client.set_acl(&reached, &entries).await.map_err(failed)?;
            }
        } else {
            self.owned_like(path, above).await?;
            client.set_permission(&reached, mode).await.map_err(failed)?;
        }
        for (name, value) in &metadata.xattrs {
            let Some(xattr) = XAttr::named(name, value) else {
                return Err(refused(format!("{path}: {name} is no attribute that HDFS has")));
            };
            client.set_xattr(&reached, &xattr).await.map_err(failed)?;
        }
        // A time before 1970 cannot stand here: then that of the writing stays.
        match u64::try_from(metadata.modified_ns.div_euclid(NANOS_PER_MILLI)) {
            Ok(millis) => client.set_modified(&reached, millis).await.map_err(failed),
            Err(_) => Ok(()),
        }
    }

    async fn file(&self, file: &Carried<'_>, pour: Pour<'_>) -> Result<Put, StoreError> {
        let temporary = self.temporary(file.path);
        let mut excluded = Excluded::default();
        let mut tries = 0;
        loop {
            tries += 1;
            let outcome = self.try_file(file, pour, &temporary, &mut excluded).await;
            if !matches!(outcome, Ok(Put::Done { .. })) {
                // The next try, or the next run, removes it too.
                let _ = self.source.client.remove(&self.source.reached(&temporary)).await;
            }
            match outcome {
                Ok(put) => return Ok(put),
                Err(Failed::Pipeline(_)) if tries < TRIES_MAX => {}
                Err(Failed::Pipeline(error)) => return Err(self.failed(file.path, error)),
                Err(Failed::Final(error)) => return Err(error),
            }
        }
    }

    async fn try_file(
        &self,
        file: &Carried<'_>,
        pour: Pour<'_>,
        temporary: &RelPath,
        excluded: &mut Excluded,
    ) -> Result<Put, Failed> {
        let (client, reached) = (&self.source.client, self.source.reached(temporary));
        let failed = |error| self.failed(file.path, error);
        let above = self.directory(&file.path.split().0).await?;
        client.remove(&reached).await.map_err(failed)?;
        let new = self.new_file(file, &above).await?;
        let created = client.create(&reached, new, excluded.clone()).await;
        let mut writer = created.map_err(|error| match error.remote_class() {
            // Tried again over a lost connection: the first call made it, and it goes.
            Some("FileAlreadyExistsException" | "AlreadyBeingCreatedException") => {
                Failed::Pipeline(error)
            }
            Some(_) | None => Failed::Final(failed(error)),
        })?;
        let poured = poured(&mut writer, file, pour).await;
        *excluded = writer.excluded();
        let crc32c = match poured? {
            Put::Done { crc32c } => crc32c,
            other @ (Put::Changed | Put::Unread(_)) => return Ok(other),
        };
        self.check_stored(temporary, file, crc32c).await?;
        self.give(temporary, &file.metadata, &above, FILE_MODE).await?;
        self.check_xattrs(file.path, file.expected).await?;
        self.check_expected(file.path, file.expected).await?;
        self.rename(temporary, file, writer.file_id()).await?;
        Ok(Put::Done { crc32c })
    }

    /// As what it takes the place of is kept.
    async fn new_file(
        &self,
        file: &Carried<'_>,
        above: &FileStatus,
    ) -> Result<NewFile, StoreError> {
        let mut new = NewFile::of_defaults(&self.defaults, TEMPORARY_MODE);
        new.never_erasure_coded = above.is_erasure_coded;
        if file.expected.is_some()
            && let Some(before) = self.status(file.path).await?
            && before.replication > 0
            && !before.is_erasure_coded
        {
            new.replication = before.replication;
            let chunk = u64::from(new.bytes_per_checksum).max(1);
            if before.block_size_bytes > 0 && before.block_size_bytes.is_multiple_of(chunk) {
                new.block_size_bytes = before.block_size_bytes;
            }
        }
        Ok(new)
    }

    /// What DataNodes keep is what was sent, by their own checksums.
    async fn check_stored(
        &self,
        temporary: &RelPath,
        file: &Carried<'_>,
        crc32c: u32,
    ) -> Result<(), Failed> {
        let reached = self.source.reached(temporary);
        let status = self.source.client.located_status(&reached).await;
        let status = status.map_err(|error| self.failed(file.path, error))?;
        let pinned = status.and_then(|status| status.pinned);
        let pinned = pinned.ok_or_else(|| unexpected(file.path))?;
        let stored = self.source.client.composite_crc(&pinned).await.map_err(Failed::Pipeline)?;
        if pinned.length == file.length && (stored.value == crc32c || file.length == 0) {
            return Ok(());
        }
        Err(Failed::Pipeline(Error::Corrupt {
            block: file.path.to_string(),
            address: self.source.describe(),
            message: format!("CRC32C {:08x} is kept of what has {crc32c:08x}", stored.value),
        }))
    }

    async fn check_expected(
        &self,
        path: &RelPath,
        expected: Option<&FileNode>,
    ) -> Result<(), StoreError> {
        let standing = self.source.stat(path).await?;
        // The identity is that of the bytes alone.
        let rights_stay = match (expected, &standing) {
            (Some(expected), Some(Node::File(file))) => {
                without_xattrs(&expected.metadata) == without_xattrs(&file.metadata)
            }
            (_, Some(Node::File(_) | Node::Directory(_) | Node::Special(_)) | None) => true,
        };
        match rights_stay && is_expected(expected, standing.as_ref()) {
            true => Ok(()),
            false => Err(unexpected(path)),
        }
    }

    async fn check_xattrs(
        &self,
        path: &RelPath,
        expected: Option<&FileNode>,
    ) -> Result<(), StoreError> {
        let Some(expected) = expected else { return Ok(()) };
        match self.source.xattrs(path).await {
            Ok(xattrs) if xattrs == expected.metadata.xattrs => Ok(()),
            Ok(_) | Err(StoreError::Moved { .. }) => Err(unexpected(path)),
            Err(error) => Err(error),
        }
    }

    async fn rename(
        &self,
        temporary: &RelPath,
        file: &Carried<'_>,
        file_id: u64,
    ) -> Result<(), StoreError> {
        let (path, overwrite) = (file.path, file.expected.is_some());
        let (from, to) = (self.source.reached(temporary), self.source.reached(path));
        match self.source.client.rename(&from, &to, overwrite).await {
            Ok(()) => Ok(()),
            // Tried again over a lost connection: the first call may have done it.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let standing = self.status(path).await?;
                if standing.is_some_and(|standing| standing.file_id == file_id) {
                    return Ok(());
                }
                Err(self.failed(path, error))
            }
            // It came after the last look.
            Err(error) if error.remote_class() == Some("FileAlreadyExistsException") => {
                Err(unexpected(path))
            }
            Err(error) => Err(self.not_done(path, error)),
        }
    }

    async fn removed_directory(&self, path: &RelPath) -> Result<bool, StoreError> {
        match self.status(path).await? {
            Some(status) if status.kind == FileKind::Directory => {}
            Some(_) => return Ok(false),
            None => return Ok(true),
        }
        match self.source.client.remove(&self.source.reached(path)).await {
            Ok(_) => Ok(true),
            // Files are in it, or snapshots of it.
            Err(error) if error.remote_class().is_some() => Ok(false),
            Err(error) => Err(self.failed(path, error)),
        }
    }
}

impl Failback for HdfsFailback {
    fn admit(&self, path: &RelPath) -> Result<(), StoreError> {
        match name_refusal(path.as_bytes()) {
            Some(reason) => Err(refused(format!("{path} cannot stand in HDFS: {reason}"))),
            None => Ok(()),
        }
    }

    fn may_write<'a>(&'a self, _directory: &'a RelPath, _file: bool) -> Answer<'a, ()> {
        // A NameNode tells at the first write.
        Box::pin(std::future::ready(Ok(())))
    }

    fn calls_per_change(&self) -> u64 {
        CALLS_PER_CHANGE
    }

    fn sweep<'a>(&'a self, paths: &'a [RelPath]) -> Answer<'a, ()> {
        Box::pin(async move {
            for path in paths.iter().filter(|path| self.admit(path).is_ok()) {
                let temporary = self.source.reached(&self.temporary(path));
                match self.source.client.remove(&temporary).await {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(self.failed(path, error)),
                }
            }
            Ok(())
        })
    }

    fn put<'a>(&'a self, file: &'a Carried<'a>, pour: Pour<'a>) -> Answer<'a, Put> {
        Box::pin(self.file(file, pour))
    }

    fn make_directory<'a>(
        &'a self,
        path: &'a RelPath,
        metadata: Option<&'a Metadata>,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            self.directory(path).await?;
            let Some(metadata) = metadata else { return Ok(()) };
            let above = self.directory(&path.split().0).await?;
            self.give(path, metadata, &above, DIRECTORY_MODE).await
        })
    }

    fn remove<'a>(&'a self, path: &'a RelPath, expected: &'a FileNode) -> Answer<'a, ()> {
        Box::pin(async move {
            self.check_expected(path, Some(expected)).await?;
            let removed = self.source.client.remove(&self.source.reached(path)).await;
            removed.map(drop).map_err(|error| self.not_done(path, error))
        })
    }

    fn remove_directory<'a>(&'a self, path: &'a RelPath) -> Answer<'a, bool> {
        Box::pin(self.removed_directory(path))
    }
}

/// Sends all bytes and closes the file, if they are those that were announced.
async fn poured(
    writer: &mut FileWriter,
    file: &Carried<'_>,
    pour: Pour<'_>,
) -> Result<Put, Failed> {
    let mut stream = pour();
    let (mut received, mut crc32c) = (0_u64, 0_u32);
    loop {
        let piece = match timeout(KEEP_ALIVE_EVERY, stream.next()).await {
            Err(_) => {
                writer.keep_alive().await.map_err(Failed::Pipeline)?;
                continue;
            }
            Ok(None) => break,
            Ok(Some(Err(error))) => return Ok(Put::Unread(error)),
            Ok(Some(Ok(piece))) => piece,
        };
        received += piece.len() as u64;
        if received > file.length {
            return Ok(Put::Changed);
        }
        crc32c = crc32c::crc32c_append(crc32c, &piece);
        writer.write(&piece).await.map_err(Failed::Pipeline)?;
    }
    if received != file.length || file.crc32c.is_some_and(|announced| announced != crc32c) {
        return Ok(Put::Changed);
    }
    writer.close().await.map_err(Failed::Pipeline)?;
    Ok(Put::Done { crc32c })
}

/// Looks do not tell of these.
fn without_xattrs(metadata: &Metadata) -> Metadata {
    Metadata { xattrs: BTreeMap::new(), ..metadata.clone() }
}

fn refused(message: String) -> StoreError {
    StoreError::Refused {
        message,
        remedy: "rename it at the target, or leave it out of the migration (--exclude)".to_owned(),
    }
}
