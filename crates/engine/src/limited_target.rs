//! A target behind the limits of the run.

use std::sync::Arc;

use bytes::Bytes;
use whimbrel_core::effect::Expected;
use whimbrel_core::input::Standing;
use whimbrel_core::record::Part;
use whimbrel_store::error::StoreError;
use whimbrel_store::source::{Answer, ByteStream};
use whimbrel_store::target::{Abilities, CopySource, Object, ObjectPage, Stamp, Target};

use crate::counts::Counts;
use crate::limit::Limits;

/// Passes everything on to `inner`, counted and slowed down.
pub(crate) struct LimitedTarget {
    inner: Arc<dyn Target>,
    limits: Arc<Limits>,
    counts: Arc<Counts>,
}

impl LimitedTarget {
    pub(crate) fn new(inner: Arc<dyn Target>, limits: Arc<Limits>, counts: Arc<Counts>) -> Self {
        Self { inner, limits, counts }
    }

    /// Lets one request with so many bytes of body pass.
    async fn request(&self, body: &[Bytes]) {
        self.limits.target_requests.take(1).await;
        self.counts.target_requests.add(1);
        self.counts.target_bytes.add(body.iter().map(|piece| piece.len() as u64).sum());
    }
}

impl Target for LimitedTarget {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }

    fn admit(&self, key: &[u8]) -> Result<(), StoreError> {
        self.inner.admit(key)
    }

    fn put<'a>(
        &'a self,
        key: &'a [u8],
        body: Vec<Bytes>,
        stamp: &'a Stamp,
        expected: &'a Expected,
    ) -> Answer<'a, Standing> {
        Box::pin(async move {
            self.request(&body).await;
            self.inner.put(key, body, stamp, expected).await
        })
    }

    fn open_upload<'a>(&'a self, key: &'a [u8], stamp: &'a Stamp) -> Answer<'a, String> {
        Box::pin(async move {
            self.request(&[]).await;
            self.inner.open_upload(key, stamp).await
        })
    }

    fn put_part<'a>(
        &'a self,
        key: &'a [u8],
        upload: &'a str,
        number: u32,
        body: Vec<Bytes>,
    ) -> Answer<'a, Part> {
        Box::pin(async move {
            self.request(&body).await;
            self.inner.put_part(key, upload, number, body).await
        })
    }

    fn complete_upload<'a>(
        &'a self,
        key: &'a [u8],
        upload: &'a str,
        parts: &'a [Part],
        crc32c: u32,
        expected: &'a Expected,
    ) -> Answer<'a, Standing> {
        Box::pin(async move {
            self.request(&[]).await;
            self.inner.complete_upload(key, upload, parts, crc32c, expected).await
        })
    }

    fn abort_upload<'a>(&'a self, key: &'a [u8], upload: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            self.request(&[]).await;
            self.inner.abort_upload(key, upload).await
        })
    }

    fn copy<'a>(
        &'a self,
        from: &'a CopySource,
        key: &'a [u8],
        stamp: &'a Stamp,
        expected: &'a Expected,
    ) -> Answer<'a, Standing> {
        Box::pin(async move {
            self.request(&[]).await;
            self.inner.copy(from, key, stamp, expected).await
        })
    }

    fn remove<'a>(
        &'a self,
        items: &'a [(Vec<u8>, Expected)],
    ) -> Answer<'a, Vec<Result<(), StoreError>>> {
        Box::pin(async move {
            self.request(&[]).await;
            self.inner.remove(items).await
        })
    }

    fn inspect<'a>(&'a self, key: &'a [u8]) -> Answer<'a, Option<Object>> {
        Box::pin(async move {
            self.request(&[]).await;
            self.inner.inspect(key).await
        })
    }

    fn list<'a>(&'a self, prefix: &'a [u8], after: Option<&'a [u8]>) -> Answer<'a, ObjectPage> {
        Box::pin(async move {
            self.request(&[]).await;
            self.inner.list(prefix, after).await
        })
    }

    fn bytes_sent(&self) -> Option<u64> {
        self.inner.bytes_sent()
    }

    fn read(&self, key: &[u8]) -> ByteStream {
        self.counts.target_requests.add(1);
        self.inner.read(key)
    }
}
