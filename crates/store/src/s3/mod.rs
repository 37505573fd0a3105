//! S3-compatible stores, as target and as source.

mod copy;
mod failure;
mod listing;
mod names;
mod probe;
mod source;
mod target;

pub use whimbrel_s3::{Addressing, Environment, FixedCredentials, WriteOptions};

pub use self::source::{Named, S3Source};
pub use self::target::S3Target;

use whimbrel_s3::{Client, ListRequest, Settings};

use self::failure::{Effect, told};
use crate::error::StoreError;

/// What to open. What is `None` is looked for as the AWS tools do.
#[derive(Clone, Debug, Default)]
pub struct S3Settings {
    /// `s3://BUCKET/prefix` or `s3a://BUCKET/prefix`.
    pub url: String,
    /// Profile in the shared AWS files.
    pub profile: Option<String>,
    /// `https://host` or `http://host:port`.
    pub endpoint: Option<String>,
    /// Region to sign for.
    pub region: Option<String>,
    /// Where the bucket's name stands in a request.
    pub addressing: Option<Addressing>,
    /// Fixed credentials.
    pub credentials: Option<FixedCredentials>,
    /// Variables and home folder; `None`: those of this process.
    pub environment: Option<Environment>,
    /// Options that go on every write.
    pub write: WriteOptions,
}

impl S3Settings {
    /// Client, and the prefix without a slash at its end.
    async fn connect(&self) -> Result<(Client, String), StoreError> {
        let (bucket, prefix) = split(&self.url)?;
        let settings = Settings {
            profile: self.profile.clone(),
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            addressing: self.addressing,
            credentials: self.credentials.clone(),
            environment: self.environment.clone().unwrap_or_else(Environment::of_process),
            ..Settings::default()
        };
        let failed = |error| told(&self.url, Effect::Reads, &error);
        let client = Client::new(bucket, &settings).await.map_err(failed)?;
        // A listing, because the refusal of a HEAD has no words: some servers answer 404 to it for
        // whatever is wrong with the credentials.
        let prefix_bytes = prefix.as_bytes().to_vec();
        let one = ListRequest { prefix: prefix_bytes, keys_max: Some(1), ..ListRequest::default() };
        client.list_objects(&one).await.map_err(failed)?;
        Ok((client, prefix.to_owned()))
    }
}

/// Bucket and prefix. Nothing is decoded; slashes at the end mean nothing.
fn split(url: &str) -> Result<(&str, &str), StoreError> {
    let rest = url.strip_prefix("s3://").or_else(|| url.strip_prefix("s3a://"));
    let (bucket, prefix) = rest.map(|r| r.split_once('/').unwrap_or((r, ""))).unwrap_or_default();
    if bucket.is_empty() {
        return Err(StoreError::Refused {
            message: format!("{url}: not an S3 URL with a bucket"),
            remedy: "Write s3://BUCKET/prefix.".to_owned(),
        });
    }
    Ok((bucket, prefix.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_as_they_stand() {
        for (url, bucket, prefix) in [
            ("s3://b/a/b/", "b", "a/b"),
            ("s3a://b", "b", ""),
            ("s3://b/", "b", ""),
            ("s3://b/a%20b", "b", "a%20b"),
        ] {
            assert_eq!(split(url).unwrap(), (bucket, prefix), "{url}");
        }
        for wrong in ["s3:///a", "hdfs://b/a", "b/a"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }
}
