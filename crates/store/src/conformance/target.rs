//! The contract of a target.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use whimbrel_core::effect::Expected;
use whimbrel_core::metadata::Metadata;

use super::{Outcome, Row, Verdict, drained, ensure, good, hostile_names, row, shown, upload};
use crate::content::Content;
use crate::error::StoreError;
use crate::stamp;
use crate::target::{CopySource, Object, Stamp, Target};

/// What is known of a target beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetFacts {
    /// Everything is written under keys that begin so; nothing else may stand there.
    pub prefix: Vec<u8>,
    /// An object `a` may stand beside `a/b`.
    pub keeps_file_beside_directory: bool,
    /// A copy refuses to copy an object that was overwritten since (rule 6.3).
    pub copy_names_content: bool,
}

/// Runs every check. What is written stays, for whoever wants to look.
pub async fn check_target(target: &dyn Target, facts: &TargetFacts) -> Vec<Row> {
    let suite = Suite { target, facts };
    let mut rows = suite.names().await;
    rows.push(row("a file beside a directory", suite.beside().await));
    rows.push(row("an empty object", suite.empty().await));
    rows.push(row("put overwrites", suite.overwrite().await));
    rows.push(row("nothing stands at an absent key", suite.absent().await));
    rows.push(row("metadata and attempt read back", suite.metadata().await));
    rows.push(row("metadata of 2 KiB", suite.much_metadata().await));
    rows.push(row("a copy within the target", suite.copy().await));
    rows.push(row("a copy of what was overwritten", suite.stale_copy().await));
    rows.push(row("new metadata by a copy onto itself", suite.metadata_copy().await));
    rows.push(row("more than 1,000 keys, in order", suite.many().await));
    rows.push(row("a prefix that ends within a name", suite.part_of_a_name().await));
    rows.push(row("order of keys, not of names", suite.order().await));
    rows.push(row("directory markers", suite.markers().await));
    rows.extend(upload::rows(&suite).await);
    rows
}

pub(super) struct Suite<'a> {
    pub(super) target: &'a dyn Target,
    facts: &'a TargetFacts,
}

/// To be removed whatever they hold.
fn whatever(keys: &[Vec<u8>]) -> Vec<(Vec<u8>, Expected)> {
    keys.iter().map(|key| (key.clone(), Expected::Anything)).collect()
}

impl Suite<'_> {
    pub(super) fn key(&self, name: &str) -> Vec<u8> {
        [self.facts.prefix.as_slice(), name.as_bytes()].concat()
    }

    pub(super) async fn put(&self, key: &[u8], body: &[u8]) -> Result<Object, String> {
        let standing = good(
            "put",
            self.target.put(key, pieces(body), &stamp_of(1), &Expected::Anything).await,
        )?;
        let expected = crc32c::crc32c(body);
        ensure(standing.length == body.len() as u64 || key.ends_with(b"/"), || {
            format!("put answers a length of {}", standing.length)
        })?;
        ensure(standing.crc32c.is_none_or(|crc32c| crc32c == expected), || {
            "put answers another CRC32C".to_owned()
        })?;
        self.stands(key, body).await
    }

    /// Length, checksum and every byte.
    pub(super) async fn stands(&self, key: &[u8], body: &[u8]) -> Result<Object, String> {
        let found = good("inspect", self.target.inspect(key).await)?;
        let object = found.ok_or_else(|| format!("nothing stands at {}", shown(key)))?;
        ensure(object.key == key, || format!("inspect answers the key {}", shown(&object.key)))?;
        ensure(object.length == body.len() as u64, || {
            format!("{} bytes stand there, not {}", object.length, body.len())
        })?;
        ensure(object.crc32c.is_none_or(|crc32c| crc32c == crc32c::crc32c(body)), || {
            "the stored CRC32C is another".to_owned()
        })?;
        let bytes = good("read", drained(self.target.read(key)).await)?;
        ensure(bytes == body, || format!("other bytes stand at {}", shown(key)))?;
        Ok(object)
    }

    pub(super) async fn stands_not(&self, key: &[u8]) -> Result<(), String> {
        let found = good("inspect", self.target.inspect(key).await)?;
        ensure(found.is_none(), || format!("something stands at {}", shown(key)))
    }

    async fn list(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        loop {
            let after = keys.last().cloned();
            let page = good("list", self.target.list(prefix, after.as_deref()).await)?;
            for object in page.objects {
                let ascends = keys.last().is_none_or(|last| *last < object.key);
                ensure(ascends, || format!("{} does not ascend", shown(&object.key)))?;
                ensure(object.key.starts_with(prefix), || {
                    format!("{} does not begin so", shown(&object.key))
                })?;
                keys.push(object.key);
            }
            if !page.more {
                return Ok(keys);
            }
            ensure(keys.last().cloned() != after, || "a page says more and has none".to_owned())?;
        }
    }

    /// All names are written before the first is read back, so that folding shows.
    async fn names(&self) -> Vec<Row> {
        let mut kept = BTreeMap::new();
        let mut rows = Vec::new();
        for name in hostile_names() {
            let key = [self.facts.prefix.as_slice(), b"names/", &name].concat();
            let body = [b"body of ", name.as_slice()].concat();
            match self.offer(&key, &body).await {
                Ok(Verdict::Kept) => {
                    kept.insert(key, (name, body));
                }
                outcome => rows.push(row(format!("the name {}", shown(&name)), outcome)),
            }
        }
        for (key, (name, body)) in &kept {
            let outcome = self.stands(key, body).await.map(|_| Verdict::Kept);
            rows.push(row(format!("the name {}", shown(name)), outcome));
        }
        rows.push(row("a listing of all these names", self.exactly(&kept).await));
        rows
    }

    async fn offer(&self, key: &[u8], body: &[u8]) -> Outcome {
        if let Err(error) = self.target.admit(key) {
            return refusal(error);
        }
        match self.target.put(key, pieces(body), &stamp_of(1), &Expected::Anything).await {
            Ok(_) => Ok(Verdict::Kept),
            Err(error) => refusal(error),
        }
    }

    async fn exactly<T>(&self, kept: &BTreeMap<Vec<u8>, T>) -> Outcome {
        let listed: BTreeSet<Vec<u8>> = self.list(&self.key("names/")).await?.into_iter().collect();
        for key in kept.keys() {
            ensure(listed.contains(key), || format!("{} is not listed", shown(key)))?;
        }
        for key in &listed {
            ensure(kept.contains_key(key), || format!("{} was never written", shown(key)))?;
        }
        Ok(Verdict::Kept)
    }

    async fn beside(&self) -> Outcome {
        let (file, child) = (self.key("beside/a"), self.key("beside/a/b"));
        self.put(&file, b"file").await?;
        let second = self.offer(&child, b"child").await?;
        self.stands(&file, b"file").await?;
        match &second {
            Verdict::Kept => {
                self.stands(&child, b"child").await?;
            }
            Verdict::Refused(_) | Verdict::Broken(_) => {
                self.stands_not(&child).await?;
                ensure(!self.facts.keeps_file_beside_directory, || "refused".to_owned())?;
            }
        }
        Ok(second)
    }

    async fn empty(&self) -> Outcome {
        self.put(&self.key("empty"), b"").await?;
        Ok(Verdict::Kept)
    }

    async fn overwrite(&self) -> Outcome {
        let key = self.key("overwrite");
        let first = self.put(&key, b"the first, which is longer").await?;
        let second = self.put(&key, b"the second").await?;
        let named = |object: &Object| (object.etag.clone(), object.version.clone());
        ensure(named(&first) != named(&second), || "both have one etag".to_owned())?;
        Ok(Verdict::Kept)
    }

    async fn absent(&self) -> Outcome {
        self.stands_not(&self.key("absent")).await?;
        self.stands_not(&self.key("absent/below")).await?;
        ensure(self.list(&self.key("absent")).await?.is_empty(), || "it is listed".to_owned())?;
        Ok(Verdict::Kept)
    }

    async fn metadata(&self) -> Outcome {
        let key = self.key("metadata");
        let stamp = Stamp { attempt: 4711, metadata: Some(metadata()), ..stamp_of(0) };
        good("put", self.target.put(&key, pieces(b"m"), &stamp, &Expected::Anything).await)?;
        let object = self.stands(&key, b"m").await?;
        ensure(object.attempt == Some(4711), || format!("attempt {:?}", object.attempt))?;
        let migration = object.migration.as_deref();
        ensure(migration == Some("conformance"), || format!("migration {migration:?}"))?;
        ensure(object.metadata == stamp.metadata, || {
            format!("{:?} was written, {:?} stands", stamp.metadata, object.metadata)
        })?;
        Ok(Verdict::Kept)
    }

    async fn much_metadata(&self) -> Outcome {
        let key = self.key("much-metadata");
        let value = vec![b'v'; 3 * 1024];
        let much =
            Metadata { xattrs: BTreeMap::from([("user.much".to_owned(), value)]), ..metadata() };
        let stamp = Stamp { metadata: Some(much.clone()), ..stamp_of(1) };
        good("put", self.target.put(&key, pieces(b"m"), &stamp, &Expected::Anything).await)?;
        let object = self.stands(&key, b"m").await?;
        ensure(stamp::agrees(&object.user_metadata, &much), || {
            format!("neither it nor its digest stands: {:?}", object.user_metadata)
        })?;
        Ok(Verdict::Kept)
    }

    async fn copy(&self) -> Outcome {
        if self.target.abilities().copy_bytes_max == 0 {
            return Ok(Verdict::Refused("this target does not copy".to_owned()));
        }
        let (from, to) = (self.key("copy/from"), self.key("copy/to/there"));
        let object = self.put(&from, b"copied").await?;
        let stamp = Stamp { metadata: Some(metadata()), ..stamp_of(2) };
        good(
            "copy",
            self.target
                .copy(&source_of(&object, b"copied"), &to, &stamp, &Expected::Anything)
                .await,
        )?;
        let copy = self.stands(&to, b"copied").await?;
        ensure(copy.attempt == Some(2), || format!("attempt {:?}", copy.attempt))?;
        ensure(copy.metadata == stamp.metadata, || "the metadata is another".to_owned())?;
        self.stands(&from, b"copied").await?;
        Ok(Verdict::Kept)
    }

    async fn stale_copy(&self) -> Outcome {
        if self.target.abilities().copy_bytes_max == 0 || !self.facts.copy_names_content {
            return Ok(Verdict::Refused("this target does not name what it copies".to_owned()));
        }
        let (from, to) = (self.key("stale/from"), self.key("stale/to"));
        let object = self.put(&from, b"old content").await?;
        self.put(&from, b"new content").await?;
        let copied = self
            .target
            .copy(&source_of(&object, b"old content"), &to, &stamp_of(2), &Expected::Anything)
            .await;
        match copied {
            Err(StoreError::Conflict { .. }) => self.stands_not(&to).await?,
            // A target that keeps versions can copy the old one.
            Ok(_) if object.version.is_some() => {
                self.stands(&to, b"old content").await?;
            }
            other => return Err(format!("answers {other:?}")),
        }
        Ok(Verdict::Kept)
    }

    async fn metadata_copy(&self) -> Outcome {
        if !self.target.abilities().metadata_by_copy {
            return Ok(Verdict::Refused("this target cannot".to_owned()));
        }
        let key = self.key("metadata-copy");
        let object = self.put(&key, b"stays").await?;
        let stamp = Stamp { metadata: Some(metadata()), ..stamp_of(9) };
        good(
            "copy",
            self.target
                .copy(&source_of(&object, b"stays"), &key, &stamp, &Expected::Anything)
                .await,
        )?;
        let after = self.stands(&key, b"stays").await?;
        ensure(after.attempt == Some(9), || format!("attempt {:?}", after.attempt))?;
        ensure(after.metadata == stamp.metadata, || {
            format!("{:?} was written, {:?} stands", stamp.metadata, after.metadata)
        })?;
        Ok(Verdict::Kept)
    }

    async fn many(&self) -> Outcome {
        let keys: Vec<Vec<u8>> =
            (0..1234).map(|number| self.key(&format!("many/{number:05}"))).collect();
        for key in &keys {
            good(
                "put",
                self.target.put(key, pieces(b"x"), &stamp_of(1), &Expected::Anything).await,
            )?;
        }
        ensure(self.list(&self.key("many/")).await? == keys, || "the listing differs".to_owned())?;
        let mut going: Vec<Vec<u8>> = keys[..999].to_vec();
        going.insert(500, self.key("many/never was"));
        let outcomes = good("remove", self.target.remove(&whatever(&going)).await)?;
        ensure(outcomes.len() == going.len(), || format!("{} outcomes", outcomes.len()))?;
        for outcome in outcomes {
            good("remove", outcome)?;
        }
        ensure(self.list(&self.key("many/")).await? == keys[999..], || {
            "after the removal the listing differs".to_owned()
        })?;
        self.stands_not(&keys[0]).await?;
        Ok(Verdict::Kept)
    }

    async fn part_of_a_name(&self) -> Outcome {
        let keys = [self.key("part/of"), self.key("part/of-a/name"), self.key("part/oz")];
        for key in &keys {
            self.put(key, b"x").await?;
        }
        ensure(self.list(&self.key("part/of")).await? == keys[..2], || "it differs".to_owned())?;
        Ok(Verdict::Kept)
    }

    async fn order(&self) -> Outcome {
        let names = ["sort/a-b", "sort/a.b", "sort/a/b", "sort/a/b.c", "sort/a0", "sort/b/c/d"];
        for name in names.iter().rev() {
            self.put(&self.key(name), b"x").await?;
        }
        let keys: Vec<Vec<u8>> = names.iter().map(|name| self.key(name)).collect();
        ensure(self.list(&self.key("sort/")).await? == keys, || "the order differs".to_owned())?;
        for (number, key) in keys.iter().enumerate() {
            let page = good("list", self.target.list(&self.key("sort/"), Some(key)).await)?.objects;
            let rest: Vec<Vec<u8>> = page.into_iter().map(|object| object.key).collect();
            ensure(rest == keys[number + 1..], || format!("after {} it differs", shown(key)))?;
        }
        Ok(Verdict::Kept)
    }

    async fn markers(&self) -> Outcome {
        let key = self.key("marker/directory/");
        self.put(&key, b"").await?;
        let listed = self.list(&self.key("marker/")).await?;
        ensure(listed == std::slice::from_ref(&key), || format!("listed: {listed:?}"))?;
        self.put(&self.key("marker/directory/child"), b"x").await?;
        for outcome in
            good("remove", self.target.remove(&whatever(std::slice::from_ref(&key))).await)?
        {
            good("remove", outcome)?;
        }
        self.stands(&self.key("marker/directory/child"), b"x").await?;
        let going = [self.key("marker/directory/child"), key.clone()];
        for outcome in good("remove", self.target.remove(&whatever(&going)).await)? {
            good("remove", outcome)?;
        }
        self.stands_not(&key).await?;
        Ok(Verdict::Kept)
    }
}

pub(super) fn pieces(body: &[u8]) -> Content {
    body.chunks(body.len().div_ceil(2).max(1)).map(Bytes::copy_from_slice).collect()
}

pub(super) fn stamp_of(attempt: u64) -> Stamp {
    Stamp { migration: "conformance".to_owned(), attempt, metadata: None }
}

fn source_of(object: &Object, body: &[u8]) -> CopySource {
    CopySource {
        key: object.key.clone(),
        version: object.version.clone(),
        etag: object.etag.clone(),
        length: object.length,
        crc32c: Some(crc32c::crc32c(body)),
    }
}

fn metadata() -> Metadata {
    Metadata {
        owner: "nobody-here-has-this-name".to_owned(),
        group: "grüße & more".to_owned(),
        mode: 0o640,
        modified_ns: 1_234_567_890_123_456_789,
        acl: Some("user::rw-,user:root:r--,group::r--,mask::r--,other::---".to_owned()),
        xattrs: BTreeMap::from([("user.note".to_owned(), b"a\0\xffb".to_vec())]),
    }
}

/// Refusals are as good as keeping, if they say that it is the name.
fn refusal(error: StoreError) -> Outcome {
    match error {
        StoreError::Refused { message, .. } | StoreError::Conflict { message, .. } => {
            Ok(Verdict::Refused(message))
        }
        StoreError::Unavailable { .. }
        | StoreError::Throttled { .. }
        | StoreError::Denied { .. }
        | StoreError::Forbidden { .. }
        | StoreError::Missing { .. }
        | StoreError::Full { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Moved { .. }
        | StoreError::Unexpected { .. }
        | StoreError::Unsupported { .. }
        | StoreError::Unknown { .. } => Err(format!("{error} ({:?})", error.kind())),
    }
}
