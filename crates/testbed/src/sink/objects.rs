//! What stands in the buckets, without its bytes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::SystemTime;

use super::Sunk;

/// An object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: u64,
    pub(super) crc32c: u32,
    pub(super) etag: Box<str>,
    /// Headers that end their lines.
    pub(super) metadata: Box<str>,
    pub(super) modified: SystemTime,
}

/// What has to be true of a key for something to be written there.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Anything,
    Nothing,
    Etag(Box<str>),
}

/// Parts that have come.
#[derive(Debug)]
pub(super) struct Upload {
    bucket: String,
    key: String,
    metadata: Box<str>,
    parts: BTreeMap<u32, (u64, u32)>,
}

/// Which page of a listing.
#[derive(Debug)]
pub(super) struct PageWanted<'a> {
    pub(super) prefix: &'a str,
    pub(super) delimiter: Option<&'a str>,
    pub(super) after: &'a str,
    pub(super) keys_max: usize,
}

/// A page of a listing.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<(String, Object)>,
    pub(super) prefixes: Vec<String>,
    /// Where the next one begins.
    pub(super) next: Option<String>,
}

/// All buckets.
#[derive(Debug, Default)]
pub(super) struct Objects {
    buckets: BTreeMap<String, BTreeMap<String, Object>>,
    uploads: BTreeMap<String, Upload>,
    uploads_begun: u64,
}

/// A name for these bytes. It is no MD5, which would cost more than all else that is done here.
pub(super) fn etag(bytes: u64, crc32c: u32) -> Box<str> {
    format!("\"{crc32c:08x}{bytes:024x}\"").into()
}

impl Objects {
    pub(super) fn create_bucket(&mut self, name: &str) {
        self.buckets.entry(name.to_owned()).or_default();
    }

    pub(super) fn remove_bucket(&mut self, name: &str) {
        self.buckets.remove(name);
        self.uploads.retain(|_, upload| upload.bucket != name);
    }

    pub(super) fn has_bucket(&self, name: &str) -> bool {
        self.buckets.contains_key(name)
    }

    pub(super) fn sunk(&self, bucket: &str) -> BTreeMap<String, Sunk> {
        let objects = self.buckets.get(bucket).into_iter().flatten();
        let sunk = |object: &Object| Sunk { bytes: object.bytes, crc32c: object.crc32c };
        objects.map(|(key, object)| (key.clone(), sunk(object))).collect()
    }

    pub(super) fn files(&self, bucket: &str) -> usize {
        let keys = self.buckets.get(bucket).into_iter().flat_map(BTreeMap::keys);
        keys.filter(|key| !key.ends_with('/')).count()
    }

    pub(super) fn find(&self, bucket: &str, key: &str) -> Option<&Object> {
        self.buckets.get(bucket)?.get(key)
    }

    /// False where the condition is not met.
    pub(super) fn put(&mut self, bucket: &str, key: &str, object: Object, wanted: &Wanted) -> bool {
        let objects = self.buckets.entry(bucket.to_owned()).or_default();
        let stands = objects.get(key);
        let fits = match wanted {
            Wanted::Anything => true,
            Wanted::Nothing => stands.is_none(),
            Wanted::Etag(etag) => stands.is_some_and(|object| object.etag == *etag),
        };
        if fits {
            objects.insert(key.to_owned(), object);
        }
        fits
    }

    pub(super) fn remove(&mut self, bucket: &str, key: &str) {
        if let Some(objects) = self.buckets.get_mut(bucket) {
            objects.remove(key);
        }
    }

    /// Gives its name.
    pub(super) fn begin_upload(&mut self, bucket: &str, key: &str, metadata: Box<str>) -> String {
        self.uploads_begun += 1;
        let id = format!("upload-{}", self.uploads_begun);
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.uploads.insert(id.clone(), Upload { bucket, key, metadata, parts: BTreeMap::new() });
        id
    }

    /// False where there is no such upload.
    pub(super) fn add_part(&mut self, id: &str, number: u32, bytes: u64, crc32c: u32) -> bool {
        let upload = self.uploads.get_mut(id);
        upload.map(|upload| upload.parts.insert(number, (bytes, crc32c))).is_some()
    }

    /// What these parts would make, if all of them have come.
    pub(super) fn joined(&self, id: &str, numbers: &[u32]) -> Option<Object> {
        let upload = self.uploads.get(id)?;
        let (mut bytes, mut crc32c) = (0, 0);
        for number in numbers {
            let (more, crc) = *upload.parts.get(number)?;
            let length = usize::try_from(more).ok()?;
            crc32c = crc32c::crc32c_combine(crc32c, crc, length);
            bytes += more;
        }
        let whole = etag(bytes, crc32c);
        let etag = format!("{}-{}\"", whole.trim_end_matches('"'), numbers.len()).into();
        let metadata = upload.metadata.clone();
        Some(Object { bytes, crc32c, etag, metadata, modified: SystemTime::now() })
    }

    /// Puts the object where the upload belongs; false where the condition is not met.
    pub(super) fn end_upload(&mut self, id: &str, object: Object, wanted: &Wanted) -> bool {
        let Some(upload) = self.uploads.get(id) else { return false };
        let (bucket, key) = (upload.bucket.clone(), upload.key.clone());
        let fits = self.put(&bucket, &key, object, wanted);
        if fits {
            self.uploads.remove(id);
        }
        fits
    }

    pub(super) fn abort_upload(&mut self, id: &str) {
        self.uploads.remove(id);
    }

    pub(super) fn page(&self, bucket: &str, wanted: &PageWanted<'_>) -> Page {
        let mut page = Page::default();
        let Some(objects) = self.buckets.get(bucket) else { return page };
        let mut last = wanted.after.to_owned();
        let begin = match last.as_str() < wanted.prefix {
            true => Bound::Included(wanted.prefix.to_owned()),
            false => Bound::Excluded(last.clone()),
        };
        let mut range = objects.range((begin, Bound::Unbounded));
        while let Some((key, object)) = range.next() {
            let Some(rest) = key.strip_prefix(wanted.prefix) else { break };
            if page.objects.len() + page.prefixes.len() >= wanted.keys_max {
                page.next = Some(last);
                break;
            }
            let cut = wanted.delimiter.and_then(|delimiter| {
                rest.find(delimiter).map(|at| wanted.prefix.len() + at + delimiter.len())
            });
            let Some(cut) = cut else {
                last.clone_from(key);
                page.objects.push((key.clone(), object.clone()));
                continue;
            };
            // What is greater than all that begins so: no key has this character in it.
            last = format!("{}{}", &key[..cut], char::MAX);
            page.prefixes.push(key[..cut].to_owned());
            range = objects.range((Bound::Excluded(last.clone()), Bound::Unbounded));
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::{Object, Objects, PageWanted, Wanted, etag};

    fn object(content: &[u8]) -> Object {
        let (bytes, crc32c) = (content.len() as u64, crc32c::crc32c(content));
        let (etag, modified) = (etag(bytes, crc32c), SystemTime::now());
        Object { bytes, crc32c, etag, metadata: Box::default(), modified }
    }

    #[test]
    fn a_listing_goes_on_where_its_page_ended() {
        let mut objects = Objects::default();
        for key in ["a/1", "a/2", "b", "c/1", "d"] {
            assert!(objects.put("bucket", key, object(b""), &Wanted::Nothing));
        }
        let (mut after, mut seen) = (String::new(), Vec::new());
        loop {
            let wanted =
                PageWanted { prefix: "", delimiter: Some("/"), after: &after, keys_max: 1 };
            let page = objects.page("bucket", &wanted);
            seen.extend(page.objects.into_iter().map(|(key, _)| key));
            seen.extend(page.prefixes);
            let Some(next) = page.next else { break };
            after = next;
        }
        assert_eq!(seen, ["a/", "b", "c/", "d"]);
    }

    #[test]
    fn parts_make_the_checksum_of_the_whole() {
        let mut objects = Objects::default();
        let id = objects.begin_upload("bucket", "key", Box::default());
        for (number, piece) in [(1, b"one".as_slice()), (2, b"two!")] {
            let added = objects.add_part(&id, number, piece.len() as u64, crc32c::crc32c(piece));
            assert!(added);
        }
        assert!(objects.joined(&id, &[1, 3]).is_none());
        let whole = objects.joined(&id, &[1, 2]).unwrap();
        assert_eq!((whole.bytes, whole.crc32c), (7, crc32c::crc32c(b"onetwo!")));
        assert!(objects.end_upload(&id, whole, &Wanted::Anything));
        assert_eq!(objects.sunk("bucket").len(), 1);
    }

    #[test]
    fn conditions_are_minded() {
        let mut objects = Objects::default();
        let first = object(b"first");
        let same = Wanted::Etag(first.etag.clone());
        assert!(!objects.put("bucket", "key", first.clone(), &same));
        assert!(objects.put("bucket", "key", first.clone(), &Wanted::Nothing));
        assert!(!objects.put("bucket", "key", object(b"second"), &Wanted::Nothing));
        assert!(objects.put("bucket", "key", object(b"second"), &same));
    }
}
