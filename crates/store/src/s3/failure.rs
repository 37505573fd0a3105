//! Failures of the S3 client in the words of the store.

use whimbrel_s3::{DeletionFailure, Error, Kind};

use crate::error::StoreError;

const UNKNOWN_USER: &str = "XAdminUserNotFound";

/// What a call does: it decides what an unknown outcome means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Asking again changes nothing.
    Reads,
    /// It may have taken effect, or may yet.
    Writes,
}

/// `what` says what was tried, for people.
pub(crate) fn told(what: &str, effect: Effect, error: &Error) -> StoreError {
    let (kind, code) = (error.kind(), error.code().unwrap_or_default());
    sorted(format!("{what}: {error}"), effect, kind, code, remedy_of_setting(error))
}

/// The same for one key of a batch.
pub(crate) fn not_removed(key: &[u8], failure: &DeletionFailure) -> StoreError {
    let message = format!("{}: {failure}", String::from_utf8_lossy(key));
    sorted(message, Effect::Writes, failure.kind, &failure.code, None)
}

/// Where one setting is to blame.
fn remedy_of_setting(error: &Error) -> Option<String> {
    let of_proxy = |variable: &str| {
        format!(
            "Correct {variable} (http://HOST:PORT) or unset it, or name the server's host in \
             NO_PROXY."
        )
    };
    match error {
        Error::Configuration { setting, .. } if setting.contains("AWS_CA_BUNDLE") => {
            let remedy = "Let AWS_CA_BUNDLE name a readable file with certificates in PEM form, or \
                          unset it.";
            Some(remedy.to_owned())
        }
        Error::Configuration { setting, .. } if setting.to_lowercase().ends_with("_proxy") => {
            Some(of_proxy(setting))
        }
        Error::Unreachable { proxy: Some(variable), .. } => Some(of_proxy(variable)),
        Error::Credentials { expired: false, .. } => {
            let remedy = "Give credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and \
                          AWS_SECRET_ACCESS_KEY.";
            Some(remedy.to_owned())
        }
        Error::Configuration { .. }
        | Error::Unreachable { .. }
        | Error::Credentials { expired: true, .. }
        | Error::Interrupted { .. }
        | Error::TimedOut { .. }
        | Error::Refused { .. }
        | Error::Reply { .. }
        | Error::Body { .. }
        | Error::Invalid { .. } => None,
    }
}

fn sorted(
    message: String,
    effect: Effect,
    kind: Kind,
    code: &str,
    known: Option<String>,
) -> StoreError {
    // versitygw answers 404 to an access key that it does not know.
    let kind = if code == UNKNOWN_USER { Kind::Denied } else { kind };
    let remedy = known.unwrap_or_else(|| remedy(kind, code).to_owned());
    match kind {
        Kind::Unknown if effect == Effect::Writes => StoreError::Unknown { message },
        Kind::Unreachable | Kind::Unknown | Kind::Body => {
            StoreError::Unavailable { message, remedy }
        }
        Kind::Throttled => StoreError::Throttled { message, remedy },
        Kind::Denied | Kind::Expired => StoreError::Denied { message, remedy },
        Kind::NoBucket => StoreError::Missing { message, remedy },
        // Of single objects this is asked for and handled before; here an upload is meant.
        Kind::NotFound | Kind::Conflict => StoreError::Conflict { message, remedy },
        Kind::Invalid | Kind::Configuration => StoreError::Refused { message, remedy },
        Kind::ChecksumMismatch => StoreError::Corrupt { message, remedy },
        Kind::Full => StoreError::Full { message, remedy },
        Kind::Unsupported => StoreError::Unsupported { message, remedy },
    }
}

fn remedy(kind: Kind, code: &str) -> &'static str {
    match code {
        "InvalidAccessKeyId" | UNKNOWN_USER => {
            "The server does not know this access key: check AWS_ACCESS_KEY_ID, AWS_PROFILE and \
             that the endpoint is the one that the key belongs to."
        }
        "SignatureDoesNotMatch" => {
            "The secret key is not the one of this access key: check AWS_SECRET_ACCESS_KEY, and \
             AWS_REGION where the server checks it."
        }
        "RequestTimeTooSkewed" => {
            "Set this machine's clock by the network (NTP): S3 forgives 15 minutes."
        }
        "KeyTooLongError" | "KeyTooLong" => {
            "Give the file or its folders shorter names, or choose a shorter target prefix."
        }
        "EntityTooLarge" => "The target takes no object of this size.",
        "InvalidBucketName" => {
            "Correct the bucket's name in the URL: 3 to 63 lower-case letters, digits, hyphens \
             and dots."
        }
        "InvalidStorageClass" => "Choose a --storage-class that the target offers.",
        code if code.starts_with("KMS") => {
            "Allow this user to use the key of --sse-kms-key-id, and check that it is enabled."
        }
        _ => remedy_of_kind(kind),
    }
}

fn remedy_of_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Unreachable => {
            "Check the endpoint (AWS_ENDPOINT_URL_S3, --target-endpoint), name resolution, \
             proxies (HTTPS_PROXY, NO_PROXY) and certificates (AWS_CA_BUNDLE)."
        }
        Kind::Throttled => "Fewer requests are sent for a while; --target-requests lowers the cap.",
        Kind::Denied => {
            "Give the user of this access key s3:ListBucket on the bucket and s3:GetObject, \
             s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload on its objects, and \
             s3:PutObjectTagging and s3:PutObjectAcl if --tag or --acl is used."
        }
        Kind::Expired => "Renew the temporary credentials, for example with `aws sso login`.",
        Kind::NoBucket => "Create the bucket, or correct its name, region or endpoint.",
        Kind::Full => {
            "Free or buy space, or raise the bucket's quota; then work goes on, by itself or when \
             it is started again."
        }
        Kind::ChecksumMismatch => {
            "Bytes changed on their way: look at the network, its proxies and this machine's \
             memory if it comes again."
        }
        Kind::Configuration => "Correct the endpoint, the region (AWS_REGION) or the profile.",
        Kind::Unsupported => "This server lacks the feature: see `whimbrel doctor`.",
        Kind::Unknown => "See the server's own log if it comes again.",
        Kind::Conflict => {
            "Something else stands there, or at a key above that this server takes for a file: \
             move it away, map one of the two elsewhere (--map), or have what the source does not \
             have removed (--extras remove)."
        }
        Kind::Invalid | Kind::NotFound | Kind::Body => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: Kind, code: &str) -> Error {
        Error::Refused {
            operation: "PutObject",
            status: 400,
            code: code.to_owned(),
            message: "words".to_owned(),
            request_id: None,
            clock_ahead_seconds: Some(4000),
            kind,
        }
    }

    #[test]
    fn an_unknown_outcome_counts_for_writes_only() {
        let error = refused(Kind::Unknown, "InternalError");
        assert!(told("k", Effect::Writes, &error).outcome_unknown());
        assert!(matches!(told("k", Effect::Reads, &error), StoreError::Unavailable { .. }));
    }

    #[test]
    fn remedies_follow_the_code() {
        for (kind, code, part) in [
            (Kind::Denied, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
            (Kind::Denied, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
            (Kind::Denied, "RequestTimeTooSkewed", "clock"),
            (Kind::Denied, "AccessDenied", "s3:PutObject"),
            (Kind::NoBucket, "NoSuchBucket", "Create the bucket"),
            (Kind::Configuration, "InvalidBucketName", "bucket's name"),
            (Kind::Full, "QuotaExceeded", "quota"),
            (Kind::Invalid, "KeyTooLongError", "shorter"),
            (Kind::Conflict, "ObjectParentIsFile", "--extras remove"),
        ] {
            let told = told("k", Effect::Writes, &refused(kind, code));
            assert!(told.remedy().contains(part), "{code}: {}", told.remedy());
        }
        let none = Error::Credentials { reason: "none".to_owned(), expired: false };
        assert!(told("k", Effect::Reads, &none).remedy().contains("AWS_PROFILE"));
        let skewed = told("k", Effect::Reads, &refused(Kind::Denied, "RequestTimeTooSkewed"));
        assert!(skewed.to_string().contains("4000 s behind"), "{skewed}");
    }
}
