//! A multipart upload up to the moment before its completion (rules 3.2 and 4.3).

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc::UnboundedSender;
use whimbrel_core::effect::CopyJob;
use whimbrel_core::failure::{Failure, Side};
use whimbrel_core::input::{Input, Written};
use whimbrel_core::record::{Part, Upload};
use whimbrel_store::error::StoreError;

use crate::carrier::Carrier;
use crate::copy::check_source;
use crate::outcome::Ended;
use crate::plan::parts;

/// Times that one part is sent before the whole copy fails.
const PART_TRIES: u32 = 5;
/// A part that is not sent after this time is left to the core: it knows whether the target is lost,
/// and people have to be told.
const PART_PATIENCE: Duration = Duration::from_secs(10);
/// The first wait between two tries of a part; doubled each time.
const PART_WAIT: Duration = Duration::from_millis(250);

impl Carrier {
    /// Sends what is missing of an upload and leaves it for the core to complete.
    pub(crate) async fn stage(
        &self,
        job: &CopyJob,
        key: &[u8],
        part_bytes: u64,
        events: &UnboundedSender<Input>,
    ) -> Result<Written, Ended> {
        let length = job.node.identity.length();
        let (id, mut done) = match &job.resume {
            Some(upload) => (upload.id.clone(), kept(upload, length)),
            None => (self.open(job, key, part_bytes, events).await?, BTreeMap::new()),
        };
        let missing: Vec<_> = parts(length, part_bytes)
            .filter(|(number, _)| !done.contains_key(number))
            .map(|(number, range)| self.send_part(job, key, &id, number, range))
            .collect();
        let mut sent = stream::iter(missing).buffer_unordered(self.options.parts_in_flight.max(1));
        while let Some(part) = sent.try_next().await? {
            // The receiver is gone only when the run ends, and then nobody asks any more.
            let _ = events.send(Input::PartDone { attempt: job.attempt, part: part.clone() });
            done.insert(part.number, part);
        }
        drop(sent);
        let parts: Vec<Part> = done.into_values().collect();
        let crc32c = whole(&parts);
        check_source(job, crc32c)?;
        Ok(Written::Staged { upload: Upload { id, part_bytes, parts }, crc32c })
    }

    async fn open(
        &self,
        job: &CopyJob,
        key: &[u8],
        part_bytes: u64,
        events: &UnboundedSender<Input>,
    ) -> Result<String, Ended> {
        let metadata = job.node.metadata.clone();
        let stamp = self.stamp(job.attempt, &job.path, metadata).await?;
        // An upload whose opening got lost has no name that anyone could complete it by.
        let id = self.target.open_upload(key, &stamp).await.map_err(Ended::preparing)?;
        let upload = Upload { id: id.clone(), part_bytes, parts: Vec::new() };
        let _ = events.send(Input::UploadOpened { attempt: job.attempt, upload });
        Ok(id)
    }

    async fn send_part(
        &self,
        job: &CopyJob,
        key: &[u8],
        upload: &str,
        number: u32,
        range: Range<u64>,
    ) -> Result<Part, Ended> {
        let length = range.end - range.start;
        let _room = self.memory.reserve(length).await;
        let content = self.content(job, range, job.beginning).await?;
        let mut wait = PART_WAIT;
        let mut tries = 1;
        let begun = Instant::now();
        loop {
            let answer = self.target.put_part(key, upload, number, content.clone()).await;
            match answer.and_then(|part| checked(part, number, length, content.crc32c())) {
                Ok(part) => return Ok(part),
                Err(error)
                    if tries < PART_TRIES
                        && begun.elapsed() < PART_PATIENCE
                        && worth_another_try(&error) =>
                {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                    tries += 1;
                }
                Err(error) => return Err(Ended::Failed(part_failure(error, number))),
            }
        }
    }
}

/// Parts of an upload under way that fit the file as it is cut now.
fn kept(upload: &Upload, length: u64) -> BTreeMap<u32, Part> {
    let cut: BTreeMap<u32, u64> = parts(length, upload.part_bytes)
        .map(|(number, range)| (number, range.end - range.start))
        .collect();
    upload
        .parts
        .iter()
        .filter(|part| cut.get(&part.number) == Some(&part.length))
        .map(|part| (part.number, part.clone()))
        .collect()
}

fn whole(parts: &[Part]) -> u32 {
    parts.iter().fold(0, |crc32c, part| {
        let length = usize::try_from(part.length).unwrap_or(usize::MAX);
        crc32c::crc32c_combine(crc32c, part.crc32c, length)
    })
}

fn checked(part: Part, number: u32, length: u64, crc32c: u32) -> Result<Part, StoreError> {
    if part.number == number && part.length == length && part.crc32c == crc32c {
        return Ok(part);
    }
    Err(StoreError::Corrupt {
        message: format!(
            "the target answers with part {} of {} bytes and CRC32C {:08x}; sent was part {number} \
             of {length} bytes and CRC32C {:08x}",
            part.number, part.length, part.crc32c, crc32c
        ),
        remedy: "check the network and proxies on the way to the target".to_owned(),
    })
}

/// A part may be sent again whatever became of it: it belongs to our own upload.
fn worth_another_try(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable { .. }
        | StoreError::Throttled { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Unknown { .. } => true,
        StoreError::Denied { .. }
        | StoreError::Forbidden { .. }
        | StoreError::Missing { .. }
        | StoreError::Refused { .. }
        | StoreError::Conflict { .. }
        | StoreError::Unexpected { .. }
        | StoreError::Full { .. }
        | StoreError::Moved { .. }
        | StoreError::Unsupported { .. } => false,
    }
}

fn part_failure(error: StoreError, number: u32) -> Failure {
    let mut failure = error.into_failure(Side::Target);
    failure.message = format!("part {number}: {}", failure.message);
    failure
}
