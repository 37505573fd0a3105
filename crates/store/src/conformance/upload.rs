//! The contract of multipart uploads.

use bytes::Bytes;
use whimbrel_core::effect::Expected;
use whimbrel_core::record::Part;

use super::target::{Suite, pieces, stamp_of};
use super::{Outcome, Row, Verdict, ensure, good, row};

pub(super) async fn rows(suite: &Suite<'_>) -> Vec<Row> {
    vec![
        row("an upload in parts, out of order and twice", suite.in_parts().await),
        row("an upload whose checksum is another", suite.wrong_checksum().await),
        row("an upload completed twice", suite.completed_twice().await),
        row("an aborted upload", suite.aborted().await),
        row("an upload over an object", suite.over_an_object().await),
    ]
}

impl Suite<'_> {
    /// A body of two whole parts and a short one.
    fn body(&self) -> Vec<Vec<u8>> {
        let whole = usize::try_from(self.target.abilities().part_bytes_min.max(1)).unwrap_or(1);
        let part = |seed: u8, length: usize| {
            (0..length).map(|place| seed.wrapping_add((place % 251) as u8)).collect()
        };
        vec![part(1, whole), part(2, whole), part(3, 12_345.min(whole))]
    }

    async fn send(
        &self,
        key: &[u8],
        upload: &str,
        number: u32,
        body: &[u8],
    ) -> Result<Part, String> {
        let part = good("part", self.target.put_part(key, upload, number, pieces(body)).await)?;
        ensure(part.number == number && part.length == body.len() as u64, || {
            format!("answers part {} of {} bytes", part.number, part.length)
        })?;
        ensure(part.crc32c == crc32c::crc32c(body), || "answers another CRC32C".to_owned())?;
        Ok(part)
    }

    async fn sent(&self, key: &[u8], bodies: &[Vec<u8>]) -> Result<(String, Vec<Part>), String> {
        let upload = good("open", self.target.open_upload(key, &stamp_of(7)).await)?;
        let mut parts = Vec::new();
        for number in [3, 1, 2, 1] {
            let body = &bodies[number as usize - 1];
            let part = self.send(key, &upload, number, body).await?;
            parts.retain(|other: &Part| other.number != number);
            parts.push(part);
        }
        parts.sort_by_key(|part| part.number);
        Ok((upload, parts))
    }

    async fn in_parts(&self) -> Outcome {
        let key = self.key("upload/in parts");
        let bodies = self.body();
        let (upload, parts) = self.sent(&key, &bodies).await?;
        self.stands_not(&key).await?;
        let whole = bodies.concat();
        let crc32c = crc32c::crc32c(&whole);
        let standing = good(
            "complete",
            self.target.complete_upload(&key, &upload, &parts, crc32c, &Expected::Anything).await,
        )?;
        ensure(standing.crc32c.is_none_or(|found| found == crc32c), || {
            "answers another CRC32C".to_owned()
        })?;
        let object = self.stands(&key, &whole).await?;
        ensure(object.attempt == Some(7), || format!("attempt {:?}", object.attempt))?;
        Ok(Verdict::Kept)
    }

    async fn wrong_checksum(&self) -> Outcome {
        let key = self.key("upload/wrong checksum");
        let bodies = self.body();
        let (upload, parts) = self.sent(&key, &bodies).await?;
        let wrong = !crc32c::crc32c(&bodies.concat());
        let answer =
            self.target.complete_upload(&key, &upload, &parts, wrong, &Expected::Anything).await;
        ensure(answer.is_err(), || "it was taken".to_owned())?;
        self.stands_not(&key).await?;
        good("abort", self.target.abort_upload(&key, &upload).await)?;
        Ok(Verdict::Kept)
    }

    /// The second answer may be success or an error, but never another object.
    async fn completed_twice(&self) -> Outcome {
        let key = self.key("upload/twice");
        let bodies = self.body();
        let (upload, parts) = self.sent(&key, &bodies).await?;
        let whole = bodies.concat();
        let crc32c = crc32c::crc32c(&whole);
        good(
            "complete",
            self.target.complete_upload(&key, &upload, &parts, crc32c, &Expected::Anything).await,
        )?;
        let again =
            self.target.complete_upload(&key, &upload, &parts, crc32c, &Expected::Anything).await;
        self.stands(&key, &whole).await?;
        match again {
            Ok(_) => Ok(Verdict::Kept),
            Err(error) => Ok(Verdict::Refused(error.to_string())),
        }
    }

    async fn aborted(&self) -> Outcome {
        let key = self.key("upload/aborted");
        let bodies = self.body();
        let (upload, parts) = self.sent(&key, &bodies).await?;
        good("abort", self.target.abort_upload(&key, &upload).await)?;
        let late = self.target.put_part(&key, &upload, 2, Bytes::from_static(b"late").into()).await;
        ensure(late.is_err(), || "a late part was taken".to_owned())?;
        let crc32c = crc32c::crc32c(&bodies.concat());
        let late =
            self.target.complete_upload(&key, &upload, &parts, crc32c, &Expected::Anything).await;
        ensure(late.is_err(), || "a late completion was taken".to_owned())?;
        self.stands_not(&key).await?;
        good("abort", self.target.abort_upload(&key, &upload).await)?;
        Ok(Verdict::Kept)
    }

    async fn over_an_object(&self) -> Outcome {
        let key = self.key("upload/over");
        self.put(&key, b"before").await?;
        let bodies = self.body();
        let (upload, parts) = self.sent(&key, &bodies).await?;
        self.stands(&key, b"before").await?;
        let whole = bodies.concat();
        let crc32c = crc32c::crc32c(&whole);
        good(
            "complete",
            self.target.complete_upload(&key, &upload, &parts, crc32c, &Expected::Anything).await,
        )?;
        self.stands(&key, &whole).await?;
        Ok(Verdict::Kept)
    }
}
