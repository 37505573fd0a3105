//! A target behind the limits of the run.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;
use whimbrel_core::budget::{Paced, prefix_of};
use whimbrel_core::effect::Expected;
use whimbrel_core::input::{Input, Standing};
use whimbrel_core::record::Part;
use whimbrel_store::content::Content;
use whimbrel_store::error::StoreError;
use whimbrel_store::source::{Answer, ByteStream};
use whimbrel_store::target::{Abilities, CopySource, Object, ObjectPage, Stamp, Target};

use crate::counts::Counts;
use crate::limit::Limits;

/// Passes everything on to `inner`, counted and slowed down, and tells the core where the target
/// asks for less.
pub(crate) struct LimitedTarget {
    pub(crate) inner: Arc<dyn Target>,
    /// What every key begins with.
    pub(crate) root: Vec<u8>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) inputs: UnboundedSender<Input>,
}

impl LimitedTarget {
    fn prefix<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        prefix_of(key.strip_prefix(self.root.as_slice()).unwrap_or(key))
    }

    /// Lets one request with so many bytes of body pass.
    async fn request(&self, key: &[u8], bytes: u64) {
        self.limits.prefixes.take(self.prefix(key)).await;
        self.pass(bytes).await;
    }

    async fn pass(&self, bytes: u64) {
        self.limits.target_requests.take(1).await;
        self.counts.target_requests.add(1);
        self.counts.target_bytes.add(bytes);
    }

    /// Passes an answer about a key on.
    fn heard<T>(&self, key: &[u8], answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &answer {
            self.note(error, self.paced(key));
        }
        answer
    }

    fn paced(&self, key: &[u8]) -> Paced {
        Paced::Prefix(Bytes::copy_from_slice(self.prefix(key)))
    }

    /// However many keys one request named, it is refused once: the core hears of each prefix once.
    fn note_refused(&self, items: &[(Vec<u8>, Expected)], outcomes: &[Result<(), StoreError>]) {
        let mut noted = BTreeSet::new();
        for ((key, _), outcome) in items.iter().zip(outcomes) {
            if let Err(error @ StoreError::Throttled { .. }) = outcome
                && noted.insert(self.prefix(key))
            {
                self.note(error, self.paced(key));
            }
        }
    }

    /// The core hears of it if the target asks for less.
    fn note(&self, error: &StoreError, what: Paced) {
        if matches!(error, StoreError::Throttled { .. }) {
            let in_use = self.counts.target_requests.per_second();
            // The core is gone only when the run ends.
            let _ = self.inputs.send(Input::Busy { what, in_use });
        }
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
        content: Content,
        stamp: &'a Stamp,
        expected: &'a Expected,
    ) -> Answer<'a, Standing> {
        Box::pin(async move {
            self.request(key, content.length()).await;
            let answer = self.inner.put(key, content, stamp, expected).await;
            self.heard(key, answer)
        })
    }

    fn open_upload<'a>(&'a self, key: &'a [u8], stamp: &'a Stamp) -> Answer<'a, String> {
        Box::pin(async move {
            self.request(key, 0).await;
            let answer = self.inner.open_upload(key, stamp).await;
            self.heard(key, answer)
        })
    }

    fn put_part<'a>(
        &'a self,
        key: &'a [u8],
        upload: &'a str,
        number: u32,
        content: Content,
    ) -> Answer<'a, Part> {
        Box::pin(async move {
            self.request(key, content.length()).await;
            let answer = self.inner.put_part(key, upload, number, content).await;
            self.heard(key, answer)
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
            self.request(key, 0).await;
            let answer = self.inner.complete_upload(key, upload, parts, crc32c, expected).await;
            self.heard(key, answer)
        })
    }

    fn abort_upload<'a>(&'a self, key: &'a [u8], upload: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            self.request(key, 0).await;
            let answer = self.inner.abort_upload(key, upload).await;
            self.heard(key, answer)
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
            self.request(key, 0).await;
            let answer = self.inner.copy(from, key, stamp, expected).await;
            self.heard(key, answer)
        })
    }

    fn remove<'a>(
        &'a self,
        items: &'a [(Vec<u8>, Expected)],
    ) -> Answer<'a, Vec<Result<(), StoreError>>> {
        Box::pin(async move {
            let first = items.first().map(|(key, _)| key.as_slice()).unwrap_or_default();
            self.request(first, 0).await;
            let answer = self.inner.remove(items).await;
            if let Ok(outcomes) = &answer {
                self.note_refused(items, outcomes);
            }
            self.heard(first, answer)
        })
    }

    fn inspect<'a>(&'a self, key: &'a [u8]) -> Answer<'a, Option<Object>> {
        Box::pin(async move {
            self.request(key, 0).await;
            let answer = self.inner.inspect(key).await;
            self.heard(key, answer)
        })
    }

    fn list<'a>(&'a self, prefix: &'a [u8], after: Option<&'a [u8]>) -> Answer<'a, ObjectPage> {
        Box::pin(async move {
            self.pass(0).await;
            let answer = self.inner.list(prefix, after).await;
            if let Err(error) = &answer {
                self.note(error, Paced::TargetRequests);
            }
            answer
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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use whimbrel_store::local::LocalTarget;

    use super::*;

    #[test]
    fn rule_9_2_a_removal_of_many_keys_is_refused_once() {
        let folder = tempfile::tempdir().unwrap();
        let (inputs, mut heard) = mpsc::unbounded_channel();
        let target = LimitedTarget {
            inner: Arc::new(LocalTarget::open(folder.path(), "m", &[]).unwrap()),
            root: b"root/".to_vec(),
            limits: Arc::default(),
            counts: Arc::default(),
            inputs,
        };
        let keys =
            (0..1_000).map(|number| format!("root/{}/{number}", ["hot", "cold"][number % 2]));
        let items: Vec<_> = keys.map(|key| (key.into_bytes(), Expected::Anything)).collect();
        let refused = |prefix: &'static str| {
            let what = Paced::Prefix(prefix.into());
            Input::Busy { what, in_use: 0 }
        };
        let throttled = || StoreError::Throttled { message: String::new(), remedy: String::new() };

        let of_hot =
            (0..1_000).map(|number| if number % 2 == 0 { Err(throttled()) } else { Ok(()) });
        target.note_refused(&items, &of_hot.collect::<Vec<_>>());
        assert_eq!(heard.try_recv(), Ok(refused("hot")));
        assert!(heard.try_recv().is_err());

        let of_all: Vec<_> = items.iter().map(|_| Err(throttled())).collect();
        target.note_refused(&items, &of_all);
        assert_eq!(heard.try_recv(), Ok(refused("hot")));
        assert_eq!(heard.try_recv(), Ok(refused("cold")));
        assert!(heard.try_recv().is_err());
    }
}
