//! Where credentials come from, and their renewal.
//!
//! The providers are those of `reqsign-aws-core` (Apache OpenDAL's signing library), chosen by
//! weight: its providers know neither an HTTP client nor a runtime (both are ours, handed in), so
//! that it builds alone in 50 CPU seconds, from crates that mostly stand here anyway, where
//! `aws-config` brings almost three times as many, a second HTTP stack and a cryptography library
//! in C among them. Only its credentials are used; requests to S3 are signed by us.
//!
//! Order: keys given by the caller; then, unless a profile was named by the caller, environment
//! variables; then the profile in the shared files (its role first); SSO; web identity; its
//! `credential_process`; the container's endpoint (ECS, EKS); the instance's metadata (version 2).
//! A profile named by the caller is the only source then: falling through to another identity
//! would write with rights that nobody asked for.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use reqsign_aws_core as aws;
use reqsign_core::{
    CommandExecute, CommandOutput, Context, FileRead, HttpSend, ProvideCredentialDyn, StaticEnv,
};

use crate::body::Body;
use crate::connection::Connector;
use crate::endpoint::Endpoint;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::pool::{Pool, Sent};
use crate::proxy::Proxy;
use crate::role::RoleOfProfile;
use crate::settings::Settings;
use crate::signature::Identity;

/// The credentials of one client.
pub(crate) struct Credentials {
    chain: Option<Chain>,
    held: Mutex<Option<Held>>,
    /// Held while credentials are fetched, so that one task does it for all.
    renewal: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Held {
    identity: Arc<Identity>,
    expires: Option<SystemTime>,
    /// No further try before this, while the present ones still hold.
    retry_after: Instant,
}

struct Chain {
    context: Context,
    providers: Vec<(&'static str, Box<Provider>)>,
}

type Provider = dyn ProvideCredentialDyn<Credential = aws::Credential>;

/// Renewal begins this long before the end.
const RENEWAL_AHEAD: Duration = Duration::from_secs(300);
/// After a renewal that failed, while the present credentials still hold.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);
/// Credentials that end sooner are of no use: a request lives about as long.
const USABLE_MIN: Duration = Duration::from_secs(5);

impl Credentials {
    pub fn new(settings: &Settings) -> Self {
        let renewal = tokio::sync::Mutex::new(());
        if let Some(fixed) = &settings.credentials {
            let identity = Arc::new(Identity::new(
                fixed.access_key_id.clone(),
                fixed.secret_access_key.clone(),
                fixed.session_token.clone(),
            ));
            let held = Held { identity, expires: None, retry_after: Instant::now() };
            return Self { chain: None, held: Mutex::new(Some(held)), renewal };
        }
        Self { chain: Some(Chain::new(settings)), held: Mutex::new(None), renewal }
    }

    /// The identity to sign with now; fetched or renewed when it is time.
    pub async fn identity(&self) -> Result<Arc<Identity>> {
        if let Some(identity) = self.fresh() {
            return Ok(identity);
        }
        let _turn = self.renewal.lock().await;
        if let Some(identity) = self.fresh() {
            return Ok(identity);
        }
        let held = self.held();
        let Some(chain) = &self.chain else {
            return Err(Error::Credentials { reason: "none were given".into(), expired: false });
        };
        match chain.fetch().await {
            Ok(fetched) => {
                let identity = fetched.identity.clone();
                self.hold(Some(fetched));
                Ok(identity)
            }
            Err(error) => match held {
                Some(mut held) if held.usable(USABLE_MIN) => {
                    held.retry_after = Instant::now() + RENEWAL_PAUSE;
                    let identity = held.identity.clone();
                    self.hold(Some(held));
                    Ok(identity)
                }
                Some(_) => Err(Error::Credentials { reason: error, expired: true }),
                None => Err(Error::Credentials { reason: error, expired: false }),
            },
        }
    }

    /// The server said that these have expired: the next call looks for new ones.
    pub fn forget(&self, identity: &Arc<Identity>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if self.chain.is_some()
            && let Some(current) = held.as_mut()
            && Arc::ptr_eq(&current.identity, identity)
        {
            current.expires = Some(SystemTime::UNIX_EPOCH);
            current.retry_after = Instant::now();
        }
    }

    fn fresh(&self) -> Option<Arc<Identity>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref()?;
        let waiting = held.usable(USABLE_MIN) && Instant::now() < held.retry_after;
        (waiting || held.usable(RENEWAL_AHEAD)).then(|| held.identity.clone())
    }

    fn held(&self) -> Option<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, held: Option<Held>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }
}

impl Held {
    fn usable(&self, for_another: Duration) -> bool {
        self.expires.is_none_or(|expires| SystemTime::now() + for_another < expires)
    }
}

impl Chain {
    fn new(settings: &Settings) -> Self {
        let environment = &settings.environment;
        let bundle = settings.ca_bundle.clone();
        let bundle = bundle.or_else(|| environment.get("AWS_CA_BUNDLE").map(PathBuf::from));
        let context = Context::new()
            .with_env(StaticEnv {
                home_dir: environment.home.clone(),
                envs: environment.variables.clone(),
            })
            .with_file_read(Files)
            .with_command_execute(Commands)
            .with_http_send(Http { environment: environment.clone(), ca_bundle: bundle });
        Self { context, providers: providers(environment, settings.profile.as_deref()) }
    }

    /// Asks one provider after the other. The error tells what each of them said.
    async fn fetch(&self) -> std::result::Result<Held, String> {
        let mut tried = Vec::new();
        for (name, provider) in &self.providers {
            match provider.provide_credential_dyn(&self.context).await {
                Ok(Some(found)) => return Ok(held(found)),
                Ok(None) => tried.push((*name).to_owned()),
                Err(error) => tried.push(format!("{name} ({error})")),
            }
        }
        Err(format!("none found in {}", tried.join(", ")))
    }
}

fn providers(
    environment: &Environment,
    profile: Option<&str>,
) -> Vec<(&'static str, Box<Provider>)> {
    let role = RoleOfProfile {
        environment: environment.clone(),
        profile: profile.map(str::to_owned),
        depth: 0,
    };
    let mut shared = aws::ProfileCredentialProvider::new();
    let mut sso = aws::SSOCredentialProvider::new();
    let mut process = aws::ProcessCredentialProvider::new();
    if let Some(profile) = profile {
        shared = shared.with_profile(profile);
        sso = sso.with_profile(profile);
        process = process.with_profile(profile);
        return vec![
            ("the profile's role", Box::new(role)),
            ("the profile", Box::new(shared)),
            ("SSO", Box::new(sso)),
            ("credential_process", Box::new(process)),
        ];
    }
    vec![
        ("the environment", Box::new(aws::EnvCredentialProvider::new())),
        ("the profile's role", Box::new(role)),
        ("the profile", Box::new(shared)),
        ("SSO", Box::new(sso)),
        ("web identity", Box::new(aws::AssumeRoleWithWebIdentityCredentialProvider::new())),
        ("credential_process", Box::new(process)),
        ("the container", Box::new(aws::ECSCredentialProvider::new())),
        ("the instance", Box::new(aws::IMDSv2CredentialProvider::new())),
    ]
}

fn held(found: aws::Credential) -> Held {
    let token = found.session_token.map(Into::into);
    let secret = found.secret_access_key.into();
    Held {
        identity: Arc::new(Identity::new(found.access_key_id, secret, token)),
        expires: found.expires_in.map(|at| at.as_system_time()),
        // Those that end soon from the beginning are not fetched again for each request.
        retry_after: Instant::now() + RENEWAL_PAUSE,
    }
}

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        let read = tokio::fs::read(path).await;
        read.map_err(|e| reqsign_core::Error::config_invalid(format!("{path}: {e}")))
    }
}

#[derive(Debug)]
struct Commands;

impl CommandExecute for Commands {
    async fn command_execute<'a>(
        &'a self,
        program: &'a str,
        arguments: &'a [&'a str],
    ) -> reqsign_core::Result<CommandOutput> {
        let output = tokio::process::Command::new(program).args(arguments).output().await;
        let output =
            output.map_err(|e| reqsign_core::Error::unexpected(format!("{program}: {e}")))?;
        Ok(CommandOutput {
            status: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }
}

/// One request on a connection of its own, for the few that renewal takes.
#[derive(Debug)]
struct Http {
    environment: Environment,
    ca_bundle: Option<PathBuf>,
}

const REPLY_BYTES_MAX: usize = 1024 * 1024;
const REPLY_LIMIT: Duration = Duration::from_secs(10);

impl HttpSend for Http {
    async fn http_send(
        &self,
        request: http::Request<Bytes>,
    ) -> reqsign_core::Result<http::Response<Bytes>> {
        let sent = self.send(request).await;
        sent.map_err(|error| reqsign_core::Error::unexpected(error.to_string()))
    }
}

impl Http {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        const OPERATION: &str = "credentials";
        let (mut head, body) = request.into_parts();
        let wrong = |reason: &str| Error::Invalid {
            what: "the URL of the credentials".to_owned(),
            reason: reason.to_owned(),
        };
        let scheme = head.uri.scheme_str().ok_or_else(|| wrong("no scheme"))?;
        let authority = head.uri.authority().ok_or_else(|| wrong("no host"))?;
        let endpoint = Endpoint::parse(&format!("{scheme}://{authority}"), "credentials")?;
        let local = is_local(&endpoint.host);
        let limit = Duration::from_secs(if local { 1 } else { 5 });
        // Metadata services are reached directly; a proxy would answer for itself.
        let proxy = if local { None } else { Proxy::for_target(&self.environment, &endpoint)? };
        let host = endpoint.authority();
        let connector = Connector::through(endpoint, proxy, self.ca_bundle.as_deref(), limit)?;
        let host = http::HeaderValue::from_str(&host).map_err(|_| wrong("odd host"))?;
        head.headers.insert(http::header::HOST, host);
        if let Some(proxy) = connector.forwarding_proxy() {
            if let Some(authorization) = &proxy.authorization {
                head.headers.insert(http::header::PROXY_AUTHORIZATION, authorization.clone());
            }
        } else {
            let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
            head.uri = path.parse().map_err(|_| wrong("odd path"))?;
        }
        let pool = Pool::new(connector, Duration::ZERO, 0);
        let request = http::Request::from_parts(head, Body::from(body));
        match pool.send(OPERATION, pool.link().await?, request, REPLY_LIMIT, REPLY_LIMIT).await {
            Sent::Reply(reply) => {
                let status = reply.status;
                let read = reply.into_bytes(OPERATION, &pool, REPLY_BYTES_MAX).await;
                let (headers, body) = read?;
                let mut response = http::Response::new(Bytes::from(body));
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                Ok(response)
            }
            Sent::Unsent(_) => Err(Error::Interrupted {
                operation: OPERATION,
                reason: "the connection closed at once".to_owned(),
            }),
            Sent::Failed(error) => Err(error),
        }
    }
}

/// Link-local and loopback addresses: the metadata services of instances and containers.
fn is_local(host: &str) -> bool {
    match host.parse() {
        Ok(std::net::IpAddr::V4(address)) => address.is_link_local() || address.is_loopback(),
        Ok(std::net::IpAddr::V6(address)) => {
            address.is_unique_local() || address.is_unicast_link_local() || address.is_loopback()
        }
        Err(_) => host == "localhost",
    }
}
