//! The client of one bucket: from a call to a signed request and its reply.

use std::path::PathBuf;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use tokio::time::{Instant, timeout_at};

use crate::body::Body;
use crate::clock::Clock;
use crate::connection::Connector;
use crate::credentials::Credentials;
use crate::endpoint::Place;
use crate::error::{Error, Kind, Result};
use crate::pool::{ConnectionCounts, Link, Pool, Reply, Sent};
use crate::refusal::Refusal;
use crate::settings::{Limits, MutationSigning, RequestLifetime, Settings};
use crate::signature::{Identity, Scope, Unsigned, sign_header, sign_query};
use crate::xml::Element;

/// A client of one bucket. Clones share connections and credentials.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    place: Place,
    host: HeaderValue,
    region: String,
    credentials: Credentials,
    pub pool: Pool,
    pub limits: Limits,
    mutation_signing: MutationSigning,
    clock: Clock,
}

/// Whether a call changes something on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Reads,
    Writes,
}

/// A request before it is signed.
pub(crate) struct Call<'a> {
    pub operation: &'static str,
    pub method: Method,
    pub key: Option<&'a [u8]>,
    pub query: Vec<(&'a str, &'a str)>,
    pub headers: HeaderMap,
    pub body: Body,
    pub effect: Effect,
    /// The server does its work before it answers.
    pub long: bool,
}

/// A refusal, and whether the server gave more than a status.
struct Refused {
    error: Error,
    explained: bool,
}

impl Refused {
    /// Without an explanation (HEAD has none) what is missing is what was asked for, and a bad
    /// request is one whose signature AWS does not accept: most often a token has expired.
    fn of(self, bucket_itself: bool, identity: &Identity) -> Error {
        let mut error = self.error;
        if let Error::Refused { kind, status, .. } = &mut error
            && !self.explained
        {
            if *kind == Kind::NotFound && bucket_itself {
                *kind = Kind::NoBucket;
            } else if *kind == Kind::Invalid && *status == 400 {
                *kind = if identity.is_temporary() { Kind::Expired } else { Kind::Denied };
            }
        }
        error
    }
}

/// Replies in XML: a page of a listing has at most 1,000 keys of 1,024 bytes, each byte three
/// characters at worst.
const XML_BYTES_MAX: usize = 16 * 1024 * 1024;
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// As many headers as most requests have at most.
const HEADERS: usize = 16;
/// How often a request that never left is handed to another connection.
const UNSENT_TRIES_MAX: u32 = 5;

impl<'a> Call<'a> {
    pub fn new(
        operation: &'static str,
        method: Method,
        key: Option<&'a [u8]>,
        effect: Effect,
    ) -> Self {
        Self {
            operation,
            method,
            key,
            query: Vec::new(),
            headers: HeaderMap::with_capacity(HEADERS),
            body: Body::empty(),
            effect,
            long: false,
        }
    }
}

impl Client {
    /// Looks the settings up. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Kind::Configuration`] for an endpoint, profile, bucket, proxy or certificate bundle that
    /// cannot be used.
    pub async fn new(bucket: &str, settings: &Settings) -> Result<Self> {
        let resolved = settings.resolve(bucket).await?;
        let limits = settings.limits.clone();
        let environment = &settings.environment;
        let bundle = settings.ca_bundle.clone();
        let bundle = bundle.or_else(|| environment.get("AWS_CA_BUNDLE").map(PathBuf::from));
        let endpoint = resolved.place.endpoint.clone();
        let host = HeaderValue::from_str(&endpoint.authority());
        let host = host.map_err(|_| Error::Configuration {
            setting: "endpoint".to_owned(),
            reason: "the host name has characters that a header cannot carry".to_owned(),
        })?;
        let connector = Connector::new(endpoint, environment, bundle.as_deref(), limits.connect)?;
        let pool = Pool::new(connector, limits.idle, limits.idle_connections_max);
        Ok(Self {
            inner: Arc::new(Inner {
                place: resolved.place,
                host,
                region: resolved.region,
                credentials: Credentials::new(settings),
                pool,
                limits,
                mutation_signing: settings.mutation_signing,
                clock: Clock::new(),
            }),
        })
    }

    /// The bucket's name.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.inner.place.bucket
    }

    /// The region that requests are signed for.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.inner.region
    }

    /// `host:port` that requests go to.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.inner.place.endpoint.host_and_port()
    }

    /// By how many seconds the server's clock was ahead of this machine's in its latest replies;
    /// `None` before the first. Exact to a second or two.
    #[must_use]
    pub fn clock_ahead_seconds(&self) -> Option<i64> {
        self.inner.clock.ahead_seconds()
    }

    /// How many connections were opened, and requests sent over them.
    #[must_use]
    pub fn connection_counts(&self) -> ConnectionCounts {
        self.inner.pool.counts()
    }

    /// After this time from the end of a call that ended in [`Kind::Unknown`], or from the death of
    /// its process, a write can no longer take effect; see the crate's documentation for what it
    /// rests on.
    #[must_use]
    pub fn request_lifetime(&self) -> RequestLifetime {
        self.inner.limits.request_lifetime(self.inner.mutation_signing)
    }

    /// Sends a call and returns the head of a successful reply.
    pub(crate) async fn send(&self, mut call: Call<'_>) -> Result<Box<Reply>> {
        let inner = &*self.inner;
        let preparation = inner.limits.preparation();
        let ready_by = Instant::now() + preparation;
        let limit = inner.limits.whole(call.body.len(), call.long);
        let silence = inner.limits.silence(call.long);
        let mut tries = 0;
        loop {
            tries += 1;
            let prepared = timeout_at(ready_by, self.prepare(call.effect)).await;
            let (identity, link) = prepared.map_err(|_| {
                let seconds = preparation.as_secs_f32();
                inner.pool.connector.unreachable(format!("not ready within {seconds} s"))
            })??;
            let corrected_by = inner.clock.correction();
            let reused = link.was_used();
            let body = std::mem::replace(&mut call.body, Body::empty());
            let request = inner.request(&call, body, &identity)?;
            match inner.pool.send(call.operation, link, request, limit, silence).await {
                Sent::Reply(reply) => {
                    inner.clock.compare(&reply.headers, !reply.status.is_success());
                    if reply.status.is_success() {
                        return Ok(reply);
                    }
                    let refused = inner.refused(call.operation, *reply, corrected_by).await;
                    let error = refused.of(call.key.is_none(), &identity);
                    if error.kind() == Kind::Expired {
                        inner.credentials.forget(&identity);
                    }
                    return Err(error);
                }
                Sent::Unsent(body) if tries < UNSENT_TRIES_MAX => call.body = body,
                Sent::Unsent(_) => {
                    let reason = "connections are closed before they can be used";
                    return Err(inner.pool.connector.unreachable(reason.to_owned()));
                }
                // The server may have closed an idle connection at that moment. Reading again
                // changes nothing.
                Sent::Failed(Error::Interrupted { .. })
                    if reused && call.effect == Effect::Reads && tries < UNSENT_TRIES_MAX => {}
                Sent::Failed(error) => return Err(error),
            }
        }
    }

    /// All that a request needs before it is signed.
    async fn prepare(&self, effect: Effect) -> Result<(Arc<Identity>, Link)> {
        if effect == Effect::Writes && !self.inner.clock.was_asked() {
            self.learn_clock().await?;
        }
        let identity = self.inner.credentials.identity().await?;
        Ok((identity, self.inner.pool.link().await?))
    }

    /// Sends a call whose reply is an XML document.
    pub(crate) async fn send_for_xml(&self, call: Call<'_>) -> Result<(HeaderMap, Element)> {
        let operation = call.operation;
        let reply = self.send(call).await?;
        let read = reply.into_bytes(operation, &self.inner.pool, XML_BYTES_MAX).await;
        let (headers, body) = read?;
        let element = Element::parse(&body).map_err(|reason| Error::Reply { operation, reason })?;
        if element.name == "Error" {
            let refusal = self.inner.refusal(operation, http::StatusCode::OK, &headers, &[], false);
            return Err(refusal.with_element(&element));
        }
        Ok((headers, element))
    }

    /// Sends a call whose reply has no body that matters.
    pub(crate) async fn send_for_headers(&self, call: Call<'_>) -> Result<HeaderMap> {
        let operation = call.operation;
        let reply = self.send(call).await?;
        let read = reply.into_bytes(operation, &self.inner.pool, ERROR_BYTES_MAX).await;
        read.map(|(headers, _)| headers)
    }

    /// A write is dated by the server's clock, so the first one asks for it.
    async fn learn_clock(&self) -> Result<()> {
        let call = Call::new("HeadBucket", Method::HEAD, None, Effect::Reads);
        match Box::pin(self.send_for_headers(call)).await {
            Ok(_) | Err(Error::Refused { .. }) => {
                self.inner.clock.mark_asked();
                Ok(())
            }
            // Of the write itself nothing was sent.
            Err(error) if error.kind() == Kind::Unknown => {
                Err(self.inner.pool.connector.unreachable(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Client")
            .field("endpoint", &self.endpoint())
            .field("bucket", &self.bucket())
            .field("region", &self.region())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Signs a call and makes it a request for the wire.
    fn request(&self, call: &Call<'_>, body: Body, identity: &Identity) -> Result<Request<Body>> {
        let path = self.place.path(call.key);
        let mut headers = call.headers.clone();
        headers.insert(HOST, self.host.clone());
        let scope = Scope { moment: self.clock.moment(), region: &self.region };
        let query = call.query.clone();
        let unsigned = Unsigned { method: &call.method, path: &path, query, headers: &mut headers };
        let query = match (call.effect, self.mutation_signing) {
            (Effect::Writes, MutationSigning::Expiring(lifetime)) => {
                sign_query(unsigned, identity, &scope, lifetime)
            }
            (Effect::Writes, MutationSigning::Header) | (Effect::Reads, _) => {
                sign_header(unsigned, identity, &scope)?
            }
        };
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if matches!(call.method, Method::PUT | Method::POST) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let mut uri = String::with_capacity(path.len() + 1 + query.len());
        if let Some(proxy) = self.pool.connector.forwarding_proxy() {
            uri.push_str("http://");
            uri.push_str(&self.place.endpoint.authority());
            if let Some(authorization) = &proxy.authorization {
                headers.insert(PROXY_AUTHORIZATION, authorization.clone());
            }
        }
        uri.push_str(&path);
        if !query.is_empty() {
            uri.push('?');
            uri.push_str(&query);
        }
        let uri = Uri::from_maybe_shared(bytes::Bytes::from(uri)).map_err(|_| Error::Invalid {
            what: "the key".to_owned(),
            reason: "it is too long for a request".to_owned(),
        })?;
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Reads the explanation of a refusal.
    async fn refused(&self, operation: &'static str, reply: Reply, corrected_by: i64) -> Refused {
        let status = reply.status;
        let headers = reply.headers.clone();
        let read = reply.into_bytes(operation, &self.pool, ERROR_BYTES_MAX).await;
        // A refusal whose explanation is lost is still a refusal.
        let body = read.map(|(_, body)| body).unwrap_or_default();
        let moved = (self.clock.correction() - corrected_by).abs() > CLOCK_MOVED_SECONDS;
        let error = self.refusal(operation, status, &headers, &body, moved).into_error();
        Refused { error, explained: !body.is_empty() }
    }

    pub fn refusal<'a>(
        &'a self,
        operation: &'static str,
        status: http::StatusCode,
        headers: &'a HeaderMap,
        body: &'a [u8],
        clock_was_corrected: bool,
    ) -> Refusal<'a> {
        let clock_ahead_seconds = self.clock.ahead_seconds();
        Refusal {
            operation,
            status,
            headers,
            body,
            region: &self.region,
            clock_ahead_seconds,
            clock_was_corrected,
        }
    }
}

const AGENT: &str = concat!("whimbrel-s3/", env!("CARGO_PKG_VERSION"));
/// A clock that moved by more than this can be why a signature was refused.
const CLOCK_MOVED_SECONDS: i64 = 20;
