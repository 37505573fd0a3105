//! What can go wrong, sorted by what the caller does about it.

use std::time::Duration;

/// The result of every call.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller does about an error; see [`Error::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing was sent: connection refused, name not resolved, TLS or proxy failed. Try again.
    Unreachable,
    /// The request left and its outcome is not known: connection lost, time-out, 500, 502, 504, a
    /// reply that makes no sense. A write may still take effect until the request's lifetime ends.
    Unknown,
    /// The server asks to slow down (503 `SlowDown`, 429). Nothing took effect; try again later.
    Throttled,
    /// The credentials do not allow it, or are not known to the server, or the clock is off.
    Denied,
    /// Temporary credentials ran out and no fresh ones could be had.
    Expired,
    /// The bucket does not exist.
    NoBucket,
    /// The key, version or upload does not exist.
    NotFound,
    /// A condition was not met, or another write is under way (409, 412).
    Conflict,
    /// This request will never be taken: a key that is too long, a bad name, a size out of range.
    Invalid,
    /// The server computed another checksum than the one that was sent. Nothing was stored.
    ChecksumMismatch,
    /// The target is full or a quota is used up.
    Full,
    /// The server does not implement it (501).
    Unsupported,
    /// The settings are wrong: endpoint, region, profile, certificate bundle.
    Configuration,
    /// The body that the caller handed over failed or had another length than announced. The
    /// server never had the whole of it, so nothing took effect.
    Body,
}

/// An error of a call. No message ever holds a secret or the query string of a signed request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot be used.
    #[error("{setting}: {reason}")]
    Configuration {
        /// Which setting, as a person would look for it.
        setting: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No credentials, or they could not be renewed.
    #[error("no usable credentials: {reason}")]
    Credentials {
        /// What was tried, in order.
        reason: String,
        /// Whether there were credentials before that have run out.
        expired: bool,
    },
    /// The connection could not be made; nothing was sent.
    #[error("{}{endpoint} cannot be reached: {reason}", proxy_note(.proxy.as_deref()))]
    Unreachable {
        /// Host and port, or the proxy's.
        endpoint: String,
        /// The variable that names the proxy on the way (`HTTPS_PROXY`), if there is one.
        proxy: Option<String>,
        /// Why.
        reason: String,
    },
    /// The connection was lost after the request had left.
    #[error("{operation}: connection lost before the reply was complete: {reason}")]
    Interrupted {
        /// S3's name of the call.
        operation: &'static str,
        /// Why.
        reason: String,
    },
    /// No complete reply within the time limit; the connection was closed.
    #[error("{operation}: no reply within {} s", .after.as_secs_f32())]
    TimedOut {
        /// S3's name of the call.
        operation: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The server answered with an error.
    #[error(
        "{operation}: {status}{}{code}: {message}{}",
        if .code.is_empty() { "" } else { " " },
        clock_note(*.clock_ahead_seconds)
    )]
    Refused {
        /// S3's name of the call.
        operation: &'static str,
        /// HTTP status; 200 for an error that came inside of a successful reply.
        status: u16,
        /// S3's error code (`NoSuchKey`); empty where the reply has none.
        code: String,
        /// The server's own words, shortened.
        message: String,
        /// `x-amz-request-id`, for the store's operator.
        request_id: Option<String>,
        /// By how many seconds the server's clock is ahead of ours, if it said the time.
        clock_ahead_seconds: Option<i64>,
        /// What to do about it.
        kind: Kind,
    },
    /// A reply that cannot be understood.
    #[error("{operation}: the reply makes no sense: {reason}")]
    Reply {
        /// S3's name of the call.
        operation: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The caller's body failed or had another length than announced.
    #[error("{operation}: the body could not be sent: {reason}")]
    Body {
        /// S3's name of the call.
        operation: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The call cannot be put into a request: metadata that is not ASCII, an empty key.
    #[error("{what} cannot be sent: {reason}")]
    Invalid {
        /// Which part of the request.
        what: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// What the caller does about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Configuration { .. } => Kind::Configuration,
            Self::Credentials { expired: true, .. } => Kind::Expired,
            Self::Credentials { expired: false, .. } => Kind::Denied,
            Self::Unreachable { .. } => Kind::Unreachable,
            Self::Interrupted { .. } | Self::TimedOut { .. } | Self::Reply { .. } => Kind::Unknown,
            Self::Refused { kind, .. } => *kind,
            Self::Body { .. } => Kind::Body,
            Self::Invalid { .. } => Kind::Invalid,
        }
    }

    /// S3's error code, where the server gave one (`NoSuchUpload`).
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } if !code.is_empty() => Some(code),
            Self::Refused { .. }
            | Self::Configuration { .. }
            | Self::Credentials { .. }
            | Self::Unreachable { .. }
            | Self::Interrupted { .. }
            | Self::TimedOut { .. }
            | Self::Reply { .. }
            | Self::Body { .. }
            | Self::Invalid { .. } => None,
        }
    }
}

/// Sorts a refusal. The code decides where there is one; HEAD replies have no body and so only the
/// status.
pub(crate) fn kind_of(status: u16, code: &str) -> Kind {
    match code {
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "ServiceUnavailable"
        | "Busy"
        | "ServerBusy" => Kind::Throttled,
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => Kind::Expired,
        "InvalidToken" | "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError" => {
            Kind::Denied
        }
        "NoSuchBucket" => Kind::NoBucket,
        "NoSuchKey" | "NoSuchVersion" | "NoSuchUpload" => Kind::NotFound,
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch" => Kind::ChecksumMismatch,
        "QuotaExceeded"
        | "InsufficientStorage"
        | "InsufficientCapacity"
        | "StorageFull"
        | "XMinioStorageFull"
        | "XMinioAdminBucketQuotaExceeded" => Kind::Full,
        "InvalidBucketName"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException" => Kind::Configuration,
        "RequestTimeout" | "InternalError" => Kind::Unknown,
        "InvalidObjectState" => Kind::Invalid,
        "NotImplemented" | "MethodNotAllowed" => Kind::Unsupported,
        _ => kind_of_status(status),
    }
}

fn kind_of_status(status: u16) -> Kind {
    match status {
        301 | 302 | 307 | 308 => Kind::Configuration,
        401 | 403 => Kind::Denied,
        404 => Kind::NotFound,
        408 => Kind::Unknown,
        409 | 412 => Kind::Conflict,
        429 | 503 => Kind::Throttled,
        507 => Kind::Full,
        501 => Kind::Unsupported,
        400..=499 => Kind::Invalid,
        _ => Kind::Unknown,
    }
}

fn proxy_note(variable: Option<&str>) -> String {
    variable.map(|variable| format!("the proxy of {variable}, ")).unwrap_or_default()
}

/// A minute is far more than networks take, and less than what S3 forgives.
fn clock_note(ahead_seconds: Option<i64>) -> String {
    match ahead_seconds {
        Some(seconds) if seconds > 60 => {
            format!(" (this machine's clock is {seconds} s behind the server's)")
        }
        Some(seconds) if seconds < -60 => {
            format!(" (this machine's clock is {} s ahead of the server's)", -seconds)
        }
        Some(_) | None => String::new(),
    }
}
