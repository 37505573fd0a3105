//! Pages of keys. Some servers cannot write every key down in a listing: what they put in its place
//! names no object, and does not stand where the key does in the order of bytes. So a page ends at
//! a key from which the next one can go on, and an object without a known key is never left out.

use whimbrel_s3::{Client, ListRequest, ListedObject};

use super::failure::{Effect, told};
use super::target::name;
use crate::error::StoreError;

/// What stands in a listing for what XML cannot carry.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// What stands at a key as it is listed, for people.
pub(super) const ALTERED: &str = "object whose key the server alters in listings";

/// A page of keys.
pub(super) struct KeyPage {
    /// Ascending by key.
    pub exact: Vec<ListedObject>,
    /// What stands between them under keys that the server altered.
    pub altered: Vec<ListedObject>,
    /// More follow after the last exact one.
    pub more: bool,
}

/// The keys under `prefix` after `after`, but for those that are `hidden`. At least one exact key
/// stands on every page but the last.
pub(super) async fn page(
    client: &Client,
    prefix: &[u8],
    after: Option<&[u8]>,
    hidden: impl Fn(&[u8]) -> bool,
) -> Result<KeyPage, StoreError> {
    let mut request = ListRequest {
        prefix: prefix.to_vec(),
        start_after: after.map(<[u8]>::to_vec),
        ..ListRequest::default()
    };
    let what = || format!("listing {}", name(prefix));
    let mut page = KeyPage { exact: Vec::new(), altered: Vec::new(), more: false };
    loop {
        let listed = client.list_objects(&request).await;
        let listed = listed.map_err(|error| told(&what(), Effect::Reads, &error))?;
        page.more = listed.continuation.is_some();
        // Servers alter the continuation as they do the key that it is made of: beyond that they
        // would leave keys out. What stands behind the last exact key is listed again.
        let last = listed.objects.iter().rposition(|object| !object.key.altered);
        let covered = match last {
            Some(last) if page.more => last + 1,
            None if page.more => return Err(only_altered(&what())),
            Some(_) | None => listed.objects.len(),
        };
        let last = last.and_then(|last| listed.objects.get(last));
        request.start_after = last.map(|object| object.key.bytes.clone());
        for object in listed.objects.into_iter().take(covered) {
            match hidden(&object.key.bytes) {
                true => {}
                false if object.key.altered => page.altered.push(object),
                false => page.exact.push(object),
            }
        }
        if !page.exact.is_empty() || !page.more {
            break;
        }
    }
    let ordered = page.exact.is_sorted_by(|one, next| one.key.bytes < next.key.bytes)
        && page.exact.first().is_none_or(|e| after.is_none_or(|after| *e.key.bytes > *after));
    if !ordered && (page.more || after.is_some()) {
        return Err(StoreError::Unsupported {
            message: format!("{}: the server does not list in the order of bytes", what()),
            remedy: "Use a server that lists keys as S3 does.".to_owned(),
        });
    }
    page.exact.sort_unstable_by(|one, next| one.key.bytes.cmp(&next.key.bytes));
    Ok(page)
}

fn only_altered(what: &str) -> StoreError {
    StoreError::Unsupported {
        message: format!(
            "{what}: the server alters a whole page of keys in a row, and what follows cannot be \
             listed"
        ),
        remedy: "Rename or remove the objects with control characters in their keys.".to_owned(),
    }
}

/// What the server lists as `key` without that being its key; empty at once for keys that it could
/// not have made up.
pub(super) async fn altered(client: &Client, key: &[u8]) -> Result<Vec<ListedObject>, StoreError> {
    let Some(at) = key.windows(REPLACEMENT.len()).position(|three| three == REPLACEMENT) else {
        return Ok(Vec::new());
    };
    let begin = &key[..at];
    // XML cannot carry control characters, which come first in the order of bytes, U+FFFE and
    // U+FFFF.
    let mut found = Vec::new();
    let late = [begin, "\u{fffc}".as_bytes()].concat();
    for (after, end) in [(None, Some([begin, b" "].concat())), (Some(late), None)] {
        let mut after: Option<Vec<u8>> = after;
        loop {
            let page = page(client, begin, after.as_deref(), |_| false).await?;
            let last = page.exact.last().map(|object| object.key.bytes.clone());
            found.extend(page.altered.into_iter().filter(|object| object.key.bytes == key));
            let beyond = last.as_ref().is_some_and(|last| end.as_ref().is_some_and(|e| last >= e));
            after = last.filter(|_| page.more && !beyond);
            if after.is_none() {
                break;
            }
        }
    }
    // What the first range shows beyond its end is shown by the second one too.
    found.sort_by(|one, next| identity(one).cmp(&identity(next)));
    found.dedup_by(|one, next| identity(one) == identity(next));
    Ok(found)
}

fn identity(object: &ListedObject) -> (&Option<String>, u64, Option<std::time::SystemTime>) {
    (&object.etag, object.bytes, object.last_modified)
}
