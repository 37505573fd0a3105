//! One file from its pinned bytes to the target (rules 3.1 and 4.1).

use std::ops::Range;

use futures_util::StreamExt;
use tokio::sync::mpsc::UnboundedSender;
use whimbrel_core::effect::CopyJob;
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::identity::Identity;
use whimbrel_core::input::{Input, Written};
use whimbrel_store::content::Content;

use crate::carrier::Carrier;
use crate::outcome::{Ended, verified};
use crate::plan::Plan;

impl Carrier {
    pub(crate) async fn copied(
        &self,
        job: &CopyJob,
        events: &UnboundedSender<Input>,
    ) -> Result<Written, Ended> {
        let key = self.key(&job.path)?;
        let length = job.node.identity.length();
        let abilities = self.target.abilities();
        let part_bytes = self.options.part_bytes;
        match Plan::new(length, part_bytes, &abilities, job.resume.as_ref()) {
            Plan::Whole if job.beginning && length > 0 && abilities.parts_max > 0 => {
                self.stage(job, &key, abilities.part_bytes_max.min(length), events).await
            }
            Plan::Whole => self.put_whole(job, &key, length).await,
            Plan::Parts { part_bytes } => self.stage(job, &key, part_bytes, events).await,
        }
    }

    async fn put_whole(&self, job: &CopyJob, key: &[u8], length: u64) -> Result<Written, Ended> {
        let _room = self.memory.reserve(length).await;
        let metadata = job.node.metadata.clone();
        let stamp = self.stamp(job.attempt, &job.path, metadata).await?;
        let content = self.content(job, 0..length, false).await?;
        let crc32c = content.crc32c();
        check_source(job, crc32c)?;
        let put = self.target.put(key, content, &stamp, &job.expected).await;
        let standing = put.map_err(Ended::writing)?;
        Ok(Written::Done(verified(standing, length, Some(crc32c))?))
    }

    /// Reads exactly these bytes of the pinned file; fewer or more mean that it moved. What a
    /// `beginning` has is not known to be of one moment.
    pub(crate) async fn content(
        &self,
        job: &CopyJob,
        range: Range<u64>,
        beginning: bool,
    ) -> Result<Content, Ended> {
        let expected = range.end - range.start;
        let mut content = Content::default();
        if expected == 0 {
            return Ok(content);
        }
        let mut stream = match beginning {
            true => self.source.read_beginning(&job.path, &job.node, range),
            false => self.source.read(&job.path, &job.node, range),
        };
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(Ended::reading)?;
            if content.length() + piece.len() as u64 > expected {
                return Err(Ended::Moved);
            }
            content.push(piece);
        }
        if content.length() == expected { Ok(content) } else { Err(Ended::Moved) }
    }
}

/// Compares the computed checksum with the source's own where that costs nothing: other sources
/// would have to be asked once more per file.
pub(crate) fn check_source(job: &CopyJob, crc32c: u32) -> Result<(), Ended> {
    let Identity::Object { crc32c: Some(stored), .. } = &job.node.identity else {
        return Ok(());
    };
    if *stored == crc32c {
        return Ok(());
    }
    Err(Ended::Failed(Failure {
        side: Side::Source,
        kind: FailureKind::Corrupt,
        message: format!(
            "{}: the source keeps CRC32C {stored:08x}, the bytes that it gave have {crc32c:08x}",
            job.path
        ),
        remedy: "read the object by other means; the source's copy may be damaged".to_owned(),
    }))
}
