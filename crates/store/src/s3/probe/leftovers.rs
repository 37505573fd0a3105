//! What earlier probes left behind whose process was killed: it would stand there as an extra.

use std::time::{Duration, SystemTime};

use whimbrel_s3::{ListRequest, ListedObject};

use crate::error::StoreError;
use crate::s3::failure::{Effect, told};
use crate::s3::target::{S3Target, name};

/// No probe takes so long.
const PROBE_MAX: Duration = Duration::from_secs(3600);

/// Removes what stands under `all` and is older than any probe, and what stands under `own`: one
/// migration probes once at a time. The rest may be another's that is under way.
pub(super) async fn sweep(
    target: &S3Target,
    all: &[u8],
    own: Option<&[u8]>,
) -> Result<(), StoreError> {
    let mut request = ListRequest { prefix: all.to_vec(), ..ListRequest::default() };
    let mut keys = Vec::new();
    loop {
        let page = target.client.list_objects(&request).await;
        let page = page.map_err(|error| told(&name(all), Effect::Reads, &error))?;
        let now = server_time(target);
        let left = page.objects.into_iter().filter(|object| {
            let is_own = own.is_some_and(|own| object.key.bytes.starts_with(own));
            !object.key.altered && (is_own || is_over(object, now))
        });
        keys.extend(left.map(|object| object.key.bytes));
        match page.continuation {
            Some(next) => request.continuation = Some(next),
            None => break,
        }
    }
    target.remove_all(&keys).await.into_iter().collect()
}

fn is_over(object: &ListedObject, now: SystemTime) -> bool {
    let age = object.last_modified.and_then(|at| now.duration_since(at).ok());
    age.is_some_and(|age| age > PROBE_MAX)
}

/// Now, by the clock that dates the objects.
fn server_time(target: &S3Target) -> SystemTime {
    let ahead = target.client.clock_ahead_seconds().unwrap_or_default();
    let by = Duration::from_secs(ahead.unsigned_abs());
    let now = SystemTime::now();
    if ahead < 0 { now - by } else { now + by }
}
