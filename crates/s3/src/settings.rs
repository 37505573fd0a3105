//! What a client is made from, and in which order the AWS tools look for it.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::endpoint::{Addressing, Endpoint, Place};
use crate::environment::Environment;
use crate::error::Result;
use crate::profile::Profile;

/// The settings of one client. `Settings::default()` takes everything from the environment.
///
/// Each of `endpoint` and `region` is looked for in this order: here; environment
/// (`AWS_ENDPOINT_URL_S3` before `AWS_ENDPOINT_URL`; `AWS_REGION` before `AWS_DEFAULT_REGION`); the
/// profile (its `services` section before its own `endpoint_url`); AWS itself in `us-east-1`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The profile in the shared files. Named here it wins over keys in the environment, as
    /// `--profile` does; `AWS_PROFILE` does not.
    pub profile: Option<String>,
    /// `https://host` or `http://host:port`, with an optional path in front of all others.
    pub endpoint: Option<String>,
    /// The region to sign for.
    pub region: Option<String>,
    /// By default the bucket stands in the host name on AWS and in the path elsewhere.
    pub addressing: Option<Addressing>,
    /// Fixed credentials; by default the chain described in [`crate::credentials`].
    pub credentials: Option<FixedCredentials>,
    /// PEM file with the authorities to trust instead of the usual ones; by default
    /// `AWS_CA_BUNDLE`.
    pub ca_bundle: Option<PathBuf>,
    /// How mutating requests are signed.
    pub mutation_signing: MutationSigning,
    /// Time limits.
    pub limits: Limits,
    /// Where everything else is looked for.
    pub environment: Environment,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            profile: None,
            endpoint: None,
            region: None,
            addressing: None,
            credentials: None,
            ca_bundle: None,
            mutation_signing: MutationSigning::default(),
            limits: Limits::default(),
            environment: Environment::of_process(),
        }
    }
}

/// An access key given by the caller.
#[derive(Clone, Debug)]
pub struct FixedCredentials {
    /// Access key id; no secret.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: SecretString,
    /// Session token of temporary credentials.
    pub session_token: Option<SecretString>,
}

/// How requests that change something are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MutationSigning {
    /// In the query string, with the time until which the server may accept the request. Servers
    /// count in whole seconds, from 1 to 604,800.
    Expiring(Duration),
    /// In a header, for stores or bucket policies that forbid query authentication. A server
    /// accepts such a request until [`HEADER_SIGNATURE_LIFETIME`] has passed.
    Header,
}

/// How long S3 accepts a request that is signed in a header: it compares the request's date with
/// its own clock.
pub const HEADER_SIGNATURE_LIFETIME: Duration = Duration::from_secs(15 * 60);

impl Default for MutationSigning {
    fn default() -> Self {
        Self::Expiring(Duration::from_secs(60))
    }
}

impl MutationSigning {
    /// How long a server accepts the request after it was signed.
    #[must_use]
    pub fn lifetime(self) -> Duration {
        match self {
            Self::Expiring(lifetime) => lifetime,
            Self::Header => HEADER_SIGNATURE_LIFETIME,
        }
    }
}

/// Time limits of a client.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Resolving, and connecting with proxy and TLS to each address that is tried. A call that
    /// cannot be sent within four times this is [`crate::Kind::Unreachable`].
    pub connect: Duration,
    /// From the request's first byte to the reply's head, without the time for the body; and the
    /// longest time for which nothing of the body leaves.
    pub reply: Duration,
    /// The same for calls whose work the server does before it answers: copies and the completion
    /// of a multipart upload, up to 5 GiB of data.
    pub long_reply: Duration,
    /// A body of `n` bytes has `n` divided by this rate more time, in bytes per second.
    pub body_bytes_per_second_min: u64,
    /// The longest pause between two pieces of a reply's body.
    pub read_pause: Duration,
    /// A connection that was idle for longer is not used again: a server that closes it at the same
    /// moment would leave an unknown outcome.
    pub idle: Duration,
    /// How many idle connections are kept.
    pub idle_connections_max: usize,
    /// How long a server may go on working on a request that it accepted after the connection was
    /// closed, its bytes aside. No protocol bounds it; see the crate's documentation.
    pub server_grace: Duration,
    /// An object of `n` bytes takes the server `n` divided by this rate more, in bytes per second,
    /// and at most `long_reply`; 0: no more.
    pub work_bytes_per_second_min: u64,
}

/// How long a write may still take effect after its call ended in [`crate::Kind::Unknown`], or its
/// process died: `fixed`, and for an object of `n` bytes `n` divided by `bytes_per_second_min` more
/// (0: nothing more), but at most `bytes_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLifetime {
    /// For every write.
    pub fixed: Duration,
    /// Bytes of the written object that the server handles per second, at least.
    pub bytes_per_second_min: u64,
    /// Time for the bytes at most.
    pub bytes_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            reply: Duration::from_secs(30),
            long_reply: Duration::from_secs(300),
            body_bytes_per_second_min: 512 * 1024,
            read_pause: Duration::from_secs(30),
            idle: Duration::from_secs(10),
            idle_connections_max: 512,
            server_grace: Duration::from_secs(30),
            work_bytes_per_second_min: 4 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// For so long a call may neither send nor receive anything.
    pub(crate) fn silence(&self, long: bool) -> Duration {
        let reply = if long { self.long_reply } else { self.reply };
        reply.min(LIMIT_MAX)
    }

    /// The time limit of a call with a body of `body_bytes`.
    pub(crate) fn whole(&self, body_bytes: u64, long: bool) -> Duration {
        let reply = if long { self.long_reply } else { self.reply };
        let rate = self.body_bytes_per_second_min.max(1);
        let body = Duration::from_secs(body_bytes.div_ceil(rate));
        reply.saturating_add(body).min(LIMIT_MAX)
    }

    /// See [`crate::Client::request_lifetime`].
    #[must_use]
    pub fn request_lifetime(&self, signing: MutationSigning) -> RequestLifetime {
        let accepted = signing.lifetime().saturating_add(CLOCK_TOLERANCE);
        RequestLifetime {
            fixed: accepted.saturating_add(self.server_grace),
            bytes_per_second_min: self.work_bytes_per_second_min,
            bytes_max: self.long_reply,
        }
    }

    /// From the begin of a call until its request is signed: credentials, the server's clock, a
    /// connection. What takes longer is not sent.
    pub(crate) fn preparation(&self) -> Duration {
        self.connect.saturating_mul(4).min(LIMIT_MAX)
    }
}

/// A longer limit is none; clocks cannot count to every duration.
const LIMIT_MAX: Duration = Duration::from_secs(30 * 86_400);
/// How far the server's clock may be behind the time that we sign with.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(10);

/// The settings, looked up.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub place: Place,
    pub region: String,
}

impl Settings {
    pub(crate) async fn resolve(&self, bucket: &str) -> Result<Resolved> {
        let profile = Profile::read(&self.environment, self.profile.as_deref()).await?;
        let variable = |name: &str| self.environment.get(name).map(str::to_owned);
        let region = self.region.clone();
        let region = region.or_else(|| variable("AWS_REGION"));
        let region = region.or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = region.or(profile.region).unwrap_or_else(|| "us-east-1".to_owned());
        let ignored = variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let candidates = [
            (self.endpoint.clone(), "endpoint"),
            (variable("AWS_ENDPOINT_URL_S3").filter(|_| !ignored), "AWS_ENDPOINT_URL_S3"),
            (variable("AWS_ENDPOINT_URL").filter(|_| !ignored), "AWS_ENDPOINT_URL"),
            (profile.endpoint.filter(|_| !ignored), "the profile's endpoint_url"),
        ];
        let found = candidates.into_iter().find_map(|(url, setting)| Some((url?, setting)));
        let endpoint = match found {
            Some((url, setting)) => Endpoint::parse(&url, setting)?,
            None => Endpoint::of_aws(&region),
        };
        let addressing = self.addressing.or(profile.addressing);
        Ok(Resolved { place: Place::new(endpoint, addressing, bucket)?, region })
    }
}
