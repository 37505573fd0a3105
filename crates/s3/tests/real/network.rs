//! Proxies, private certificate authorities, addressing by host name, roles.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use whimbrel_s3::{Addressing, Client, Environment, Kind, Settings};
use whimbrel_testbed::{S3Server, VersityGateway, VersityOptions};

use crate::objects::{content, put};
use crate::scripted::{Scripted, ok, reply};
use crate::servers::{gateway, on_gateway, settings};

/// An authority of our own.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn bundle(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Ends TLS as `name` and hands everything to `upstream`.
    async fn front(&self, name: &str, upstream: SocketAddr) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut near) = acceptor.accept(socket).await else { return };
                    let mut far = TcpStream::connect(upstream).await.unwrap();
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        address
    }
}

/// A proxy that wants a password and knows where names lead.
struct TestProxy {
    address: SocketAddr,
    first_lines: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    async fn start(names: &[(&str, SocketAddr)]) -> Self {
        let names: HashMap<String, SocketAddr> =
            names.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let first_lines = Arc::new(Mutex::new(Vec::new()));
        let lines = first_lines.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, names.clone(), lines.clone()));
            }
        });
        Self { address, first_lines }
    }

    fn first_lines(&self) -> Vec<String> {
        self.first_lines.lock().unwrap().clone()
    }

    fn url(&self) -> String {
        format!("http://us%40er:pass%3Aword@{}", self.address)
    }
}

async fn serve(
    mut near: TcpStream,
    names: HashMap<String, SocketAddr>,
    lines: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = near.read_u8().await else { return };
        head.push(byte);
    }
    let text = String::from_utf8(head.clone()).unwrap();
    let line = text.lines().next().unwrap().to_owned();
    lines.lock().unwrap().push(line.clone());
    let authorization = "proxy-authorization: basic dXNAZXI6cGFzczp3b3Jk".to_lowercase();
    if !text.to_lowercase().contains(&authorization) {
        let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
        near.write_all(refusal.as_bytes()).await.unwrap();
        return;
    }
    let target = line.split(' ').nth(1).unwrap();
    let host = target.strip_prefix("http://").unwrap_or(target).split('/').next().unwrap();
    let mut far = TcpStream::connect(names[host]).await.unwrap();
    if line.starts_with("CONNECT") {
        near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    } else {
        far.write_all(&head).await.unwrap();
    }
    let _ = copy_bidirectional(&mut near, &mut far).await;
}

fn with_variables(mut settings: Settings, variables: &[(&str, String)]) -> Settings {
    let own = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
    settings.environment =
        Environment { variables: variables.iter().map(own).collect(), home: None };
    settings
}

fn at(endpoint: String) -> Settings {
    Settings { endpoint: Some(endpoint), ..settings(gateway().endpoint()) }
}

#[tokio::test]
async fn only_a_named_authority_is_trusted() {
    on_gateway("trust").await;
    let authority = Authority::new();
    let front = authority.front("localhost", gateway().endpoint().address).await;
    let by_name = at(format!("https://localhost:{}", front.port()));

    let trusting = Settings { ca_bundle: Some(authority.bundle()), ..by_name.clone() };
    let client = Client::new("trust", &trusting).await.unwrap();
    put(&client, b"k", "over TLS").await;
    assert_eq!(content(&client, b"k").await, b"over TLS");
    assert_eq!(client.connection_counts().opened, 1);

    let bundle = ("AWS_CA_BUNDLE", authority.bundle().display().to_string());
    let client = Client::new("trust", &with_variables(by_name.clone(), &[bundle])).await.unwrap();
    client.head_bucket().await.unwrap();

    let other = Settings { ca_bundle: Some(Authority::new().bundle()), ..by_name.clone() };
    let wrong_name =
        Settings { ca_bundle: trusting.ca_bundle.clone(), ..at(format!("https://{front}")) };
    for (settings, reason) in [(&other, "UnknownIssuer"), (&wrong_name, "not valid for name")] {
        let Ok(client) = Client::new("trust", settings).await else { continue };
        let error = client.head_bucket().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unreachable);
        assert!(error.to_string().contains(reason), "{error}");
    }
    let public = Client::new("trust", &by_name).await.unwrap();
    assert_eq!(public.head_bucket().await.unwrap_err().kind(), Kind::Unreachable);
    let missing = Settings { ca_bundle: Some("/nowhere/ca.pem".into()), ..by_name };
    let error = Client::new("trust", &missing).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

#[tokio::test]
async fn https_goes_through_a_tunnel() {
    on_gateway("tunnel").await;
    let authority = Authority::new();
    let front = authority.front("s3.test", gateway().endpoint().address).await;
    let proxy = TestProxy::start(&[("s3.test:443", front)]).await;
    let secure =
        Settings { ca_bundle: Some(authority.bundle()), ..at("https://s3.test".to_owned()) };
    let through = with_variables(secure.clone(), &[("HTTPS_PROXY", proxy.url())]);
    let client = Client::new("tunnel", &through).await.unwrap();
    for number in 0..5 {
        put(&client, format!("k{number}").as_bytes(), "through the tunnel").await;
    }
    assert_eq!(content(&client, b"k1").await, b"through the tunnel");
    assert_eq!(proxy.first_lines(), ["CONNECT s3.test:443 HTTP/1.1"]);

    let wrong = format!("http://user:PASSWORD-CANARY@{}", proxy.address);
    let refused = with_variables(secure, &[("HTTPS_PROXY", wrong)]);
    let client = Client::new("tunnel", &refused).await.unwrap();
    let error = client.head_bucket().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("407"), "{error}");
    assert!(!format!("{error} {error:?} {client:?} {refused:?}").contains("CANARY"));
}

#[tokio::test]
async fn tls_to_the_proxy_too() {
    on_gateway("double").await;
    let authority = Authority::new();
    let front = authority.front("s3.test", gateway().endpoint().address).await;
    let proxy = TestProxy::start(&[("s3.test:443", front)]).await;
    let before_it = authority.front("localhost", proxy.address).await;
    let url = format!("https://us%40er:pass%3Aword@localhost:{}", before_it.port());
    let secure =
        Settings { ca_bundle: Some(authority.bundle()), ..at("https://s3.test".to_owned()) };
    let through = with_variables(secure, &[("https_proxy", url)]);
    let client = Client::new("double", &through).await.unwrap();
    put(&client, b"k", "twice wrapped").await;
    assert_eq!(content(&client, b"k").await, b"twice wrapped");
}

#[tokio::test]
async fn http_is_handed_to_the_proxy_and_exceptions_are_not() {
    on_gateway("forward").await;
    let target = gateway().endpoint().address;
    let host = target.to_string();
    let proxy = TestProxy::start(&[(&host, target)]).await;
    let direct = at(format!("http://{target}"));
    let variables = [("HTTP_PROXY", proxy.url())];
    let client = Client::new("forward", &with_variables(direct.clone(), &variables)).await.unwrap();
    put(&client, b"a/../b c", "forwarded").await;
    assert_eq!(content(&client, b"a/../b c").await, b"forwarded");
    let lines = proxy.first_lines();
    assert_eq!(lines, [format!("HEAD http://{target}/forward HTTP/1.1")]);

    let variables = [("HTTP_PROXY", proxy.url()), ("NO_PROXY", "127.0.0.0/8".to_owned())];
    let client = Client::new("forward", &with_variables(direct, &variables)).await.unwrap();
    client.head_bucket().await.unwrap();
    assert_eq!(proxy.first_lines().len(), 1);
}

#[tokio::test]
async fn a_bucket_in_the_host_name() {
    let options = VersityOptions {
        arguments: vec!["--virtual-domain".to_owned(), "s3.test".to_owned()],
        ..VersityOptions::default()
    };
    let gateway = VersityGateway::start_with(options).unwrap();
    gateway.create_bucket("hosted").unwrap();
    let target = gateway.endpoint().address;
    let proxy = TestProxy::start(&[("hosted.s3.test", target)]).await;
    let hosted = Settings {
        endpoint: Some("http://s3.test".to_owned()),
        addressing: Some(Addressing::Virtual),
        ..settings(gateway.endpoint())
    };
    let client = Client::new("hosted", &with_variables(hosted, &[("http_proxy", proxy.url())]))
        .await
        .unwrap();
    put(&client, b"dir/key +", "by host").await;
    assert_eq!(content(&client, b"dir/key +").await, b"by host");
    assert_eq!(proxy.first_lines(), ["HEAD http://hosted.s3.test/ HTTP/1.1"]);
    assert_eq!(
        std::fs::read(gateway.data_directory().join("hosted/dir/key +")).unwrap(),
        b"by host"
    );
}

#[tokio::test]
async fn a_profile_takes_on_a_role() {
    let expiration = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let body = format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLEROLEROLE</AccessKeyId>\
        <SecretAccessKey>secret</SecretAccessKey><SessionToken>TOKEN</SessionToken>\
        <Expiration>{expiration}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    );
    let sts = Scripted::start(vec![reply("200 OK", "", &body)]);
    let authority = Authority::new();
    let front = authority.front("sts.eu-west-1.amazonaws.com", sts.address).await;
    let proxy = TestProxy::start(&[("sts.eu-west-1.amazonaws.com:443", front)]).await;
    let config = authority.folder.path().join("config");
    std::fs::write(
        &config,
        "[profile job]\nrole_arn = arn:aws:iam::123456789012:role/mover\nsource_profile = base\n\
        external_id = xid\nregion = eu-west-1\n[profile base]\naws_access_key_id = BASE\n\
        aws_secret_access_key = secret\n",
    )
    .unwrap();
    let server = Scripted::start(vec![ok(); 3]);
    let plain =
        Settings { credentials: None, profile: Some("job".to_owned()), ..server.settings() };
    let variables = [
        ("AWS_CONFIG_FILE", config.display().to_string()),
        ("AWS_CA_BUNDLE", authority.bundle().display().to_string()),
        ("HTTPS_PROXY", proxy.url()),
    ];
    let client = Client::new("bucket", &with_variables(plain, &variables)).await.unwrap();
    assert_eq!(client.region(), "eu-west-1");
    put(&client, b"k", "x").await;
    client.head_bucket().await.unwrap();
    let asked = sts.heads();
    assert_eq!(asked.len(), 1, "the role is taken on once");
    for part in ["Action=AssumeRole", "ExternalId=xid", "role%2Fmover", "Credential=BASE/"] {
        assert!(asked[0].contains(part), "{part} in {}", asked[0]);
    }
    let write = &server.heads()[1];
    assert!(write.contains("X-Amz-Credential=ASIAROLEROLEROLE%2F"), "{write}");
    assert!(write.contains("X-Amz-Security-Token=TOKEN"), "{write}");
}

fn instance_keys(id: &str, seconds_left: i64) -> String {
    let expiration = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds_left);
    let keys = format!(
        "{{\"Code\":\"Success\",\"AccessKeyId\":\"{id}\",\"SecretAccessKey\":\"s\",\
        \"Token\":\"T\",\"Expiration\":\"{expiration}\"}}"
    );
    metadata_reply(&keys)
}

fn metadata_reply(body: &str) -> String {
    reply("200 OK", "connection: close\r\n", body)
}

async fn on_instance(metadata: &Scripted, server: &Scripted) -> Client {
    let plain = Settings { credentials: None, ..server.settings() };
    let service = format!("http://{}", metadata.address);
    let settings = with_variables(plain, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", service)]);
    Client::new("bucket", &settings).await.unwrap()
}

#[tokio::test]
async fn an_instance_gives_its_credentials_once() {
    let (token, role) = (metadata_reply("IMDS"), metadata_reply("role-name"));
    let metadata = Scripted::start(vec![token, role, instance_keys("INSTANCE", 60)]);
    let server = Scripted::start(vec![ok(); 5]);
    let client = on_instance(&metadata, &server).await;
    for _ in 0..4 {
        put(&client, b"k", "x").await;
    }
    assert!(metadata.heads()[0].starts_with("PUT /latest/api/token"));
    assert!(metadata.heads()[1].contains("x-aws-ec2-metadata-token: IMDS"));
    assert_eq!(metadata.heads().len(), 3);
    assert!(server.heads()[4].contains("X-Amz-Credential=INSTANCE%2F"));
}

#[tokio::test]
async fn credentials_are_renewed_before_their_end() {
    let role = || metadata_reply("role-name");
    let metadata = Scripted::start(vec![
        metadata_reply("IMDS"),
        role(),
        instance_keys("FIRST", 4),
        role(),
        instance_keys("SECOND", 4),
    ]);
    let server = Scripted::start(vec![ok(); 3]);
    let client = on_instance(&metadata, &server).await;
    client.head_bucket().await.unwrap();
    client.head_bucket().await.unwrap();
    let heads = server.heads();
    assert!(heads[0].contains("Credential=FIRST/"), "{}", heads[0]);
    assert!(heads[1].contains("Credential=SECOND/"), "{}", heads[1]);
    let error = client.head_bucket().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Expired, "{error}");
}
