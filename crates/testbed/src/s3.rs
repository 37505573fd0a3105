//! Real S3 servers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Server, folder, free_address, http};
use crate::{TestbedError, install};

/// How to reach a server and who one is there.
#[derive(Debug, Clone)]
pub struct S3Endpoint {
    /// `http://HOST:PORT`, without a trailing slash; addressing is by path.
    pub url: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its region.
    pub region: String,
    /// The access key of an administrator.
    pub access_key: String,
    /// The secret to it.
    pub secret_key: String,
}

impl S3Endpoint {
    pub(crate) fn new(address: SocketAddr, access_key: &str, secret_key: &str) -> Self {
        Self {
            url: format!("http://{address}"),
            address,
            region: "us-east-1".to_owned(),
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
        }
    }

    /// What the AWS tools, and Whimbrel, read from their environment.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", self.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_key.clone()),
            ("AWS_REGION", self.region.clone()),
            ("AWS_ENDPOINT_URL_S3", self.url.clone()),
        ]
    }
}

/// A running server; it ends when it is dropped or this process dies.
pub trait S3Server {
    /// How to reach it.
    fn endpoint(&self) -> &S3Endpoint;

    /// Makes an empty bucket.
    ///
    /// # Errors
    /// When the server refuses it or the bucket exists.
    fn create_bucket(&self, name: &str) -> Result<(), TestbedError>;
}

/// What [`VersityGateway`] is to do beyond the usual.
#[derive(Debug, Clone, Default)]
pub struct VersityOptions {
    /// Buckets can be versioned.
    pub versioning: bool,
    /// Requests in flight above which it answers 503 `SlowDown`.
    pub requests_maximum: Option<usize>,
    /// Further arguments of the gateway, before the name of its back end.
    pub arguments: Vec<String>,
}

/// versitygw over a folder: checks signatures and checksums, has conditional writes and versions.
/// What it cannot hold: `a` beside `a/b`, `//`, path segments above 255 bytes.
#[derive(Debug)]
pub struct VersityGateway {
    endpoint: S3Endpoint,
    options: VersityOptions,
    binary: PathBuf,
    folder: TempDir,
    server: Option<Server>,
}

impl VersityGateway {
    /// Installs it when needed and starts it.
    ///
    /// # Errors
    /// [`TestbedError::Install`], or [`TestbedError::Start`] with the end of its log.
    pub fn start() -> Result<Self, TestbedError> {
        Self::start_with(VersityOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// As [`VersityGateway::start`].
    pub fn start_with(options: VersityOptions) -> Result<Self, TestbedError> {
        let binary = install::install_versitygw()?;
        let folder = folder("versitygw")?;
        for name in ["buckets", "versions"] {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).map_err(TestbedError::file(&path))?;
        }
        let endpoint = S3Endpoint::new(free_address()?, "WHIMBRELACCESSKEY", "whimbrel-secret-key");
        let mut gateway = Self { endpoint, options, binary, folder, server: None };
        gateway.start_again()?;
        Ok(gateway)
    }

    /// Starts a stopped gateway on its old port with its old content.
    ///
    /// # Errors
    /// As [`VersityGateway::start`].
    pub fn start_again(&mut self) -> Result<(), TestbedError> {
        let mut command = Command::new(&self.binary);
        command
            .env("ROOT_ACCESS_KEY", &self.endpoint.access_key)
            .env("ROOT_SECRET_KEY", &self.endpoint.secret_key)
            .args(["--region", &self.endpoint.region, "--keep-alive", "--quiet"])
            .args(["--port", &self.endpoint.address.to_string()]);
        if let Some(maximum) = self.options.requests_maximum {
            command.args(["--max-requests", &maximum.to_string()]);
        }
        command.args(&self.options.arguments).arg("posix");
        if self.options.versioning {
            command.arg("--versioning-dir").arg(self.folder.path().join("versions"));
        }
        command.arg(self.data_directory());
        let log = self.log();
        let mut server = Server::start("versitygw", &command, &log, self.folder.path())?;
        server.wait_until_it_answers(self.endpoint.address, &log)?;
        self.server = Some(server);
        Ok(())
    }

    /// Kills the gateway; its content stays until this is dropped.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// The folder of which each folder is a bucket.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.folder.path().join("buckets")
    }

    /// What it has worked since it was started, in seconds of a processor.
    #[must_use]
    pub fn processor_seconds(&self) -> f64 {
        self.server.as_ref().map_or(0.0, Server::processor_seconds)
    }

    /// What it writes.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl S3Server for VersityGateway {
    fn endpoint(&self) -> &S3Endpoint {
        &self.endpoint
    }

    fn create_bucket(&self, name: &str) -> Result<(), TestbedError> {
        let path = self.data_directory().join(name);
        std::fs::create_dir(&path).map_err(TestbedError::file(path))
    }
}

/// Adobe's S3Mock: holds every key but those with a backslash, checks checksums but no signature.
#[derive(Debug)]
pub struct S3Mock {
    endpoint: S3Endpoint,
    _server: Server,
    _folder: TempDir,
}

impl S3Mock {
    /// Installs it when needed and starts it.
    ///
    /// # Errors
    /// [`TestbedError::Install`], or [`TestbedError::Start`] with the end of its log.
    pub fn start() -> Result<Self, TestbedError> {
        let jar = install::install_s3mock()?;
        let folder = folder("s3mock")?;
        let root = folder.path().join("root");
        std::fs::create_dir(&root).map_err(TestbedError::file(&root))?;
        let endpoint = S3Endpoint::new(free_address()?, "anyone", "anything");
        let mut command = Command::new("java");
        command
            .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar"])
            .arg(jar)
            .args(["--server.address=127.0.0.1", "--server.port=0"])
            .args(["--vectors.http.port=0", "--vectors.https.port=0"])
            .arg(format!("--http.port={}", endpoint.address.port()))
            .arg("--com.adobe.testing.s3mock.max-payload-size=8GB")
            .arg(format!("--com.adobe.testing.s3mock.store.root={}", root.display()))
            .env("LC_ALL", "C.UTF-8");
        let log = folder.path().join("log");
        let mut server = Server::start("S3Mock", &command, &log, folder.path())?;
        server.wait_until_it_answers(endpoint.address, &log)?;
        Ok(Self { endpoint, _server: server, _folder: folder })
    }
}

impl S3Server for S3Mock {
    fn endpoint(&self) -> &S3Endpoint {
        &self.endpoint
    }

    fn create_bucket(&self, name: &str) -> Result<(), TestbedError> {
        match http(self.endpoint.address, "PUT", &format!("/{name}")) {
            Ok(200) => Ok(()),
            Ok(status) => Err(TestbedError::command("create bucket", format!("status {status}"))),
            Err(error) => Err(TestbedError::command("create bucket", error)),
        }
    }
}

/// What Garage keeps its metadata in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GarageEngine {
    /// Holds keys of 1,024 bytes.
    Sqlite,
    /// The usual one: holds keys of 471 bytes, and answers 503 to longer ones.
    Lmdb,
}

/// Garage: holds keys byte for byte and lists them in order, checks signatures and checksums; has no conditional writes, tags or
/// versions. Costs 20 minutes of CPU to install.
#[derive(Debug)]
pub struct Garage {
    endpoint: S3Endpoint,
    binary: PathBuf,
    configuration: PathBuf,
    _server: Server,
    _folder: TempDir,
}

impl Garage {
    /// Builds it when needed and starts it with one node.
    ///
    /// # Errors
    /// [`TestbedError::Install`], or [`TestbedError::Start`] with the end of its log.
    pub fn start(engine: GarageEngine) -> Result<Self, TestbedError> {
        let binary = install::install_garage()?;
        let folder = folder("garage")?;
        let configuration = folder.path().join("garage.toml");
        let access_key = format!("GK{}", "0123456789ab".repeat(2));
        let secret_key = "fedcba9876543210".repeat(4);
        let endpoint = S3Endpoint::new(free_address()?, &access_key, &secret_key);
        let text = garage_configuration(folder.path(), engine, free_address()?, &endpoint);
        std::fs::write(&configuration, text).map_err(TestbedError::file(&configuration))?;
        let log = folder.path().join("log");
        let mut command = Command::new(&binary);
        command.arg("-c").arg(&configuration).arg("server");
        let mut server = Server::start("Garage", &command, &log, folder.path())?;
        server.wait_until_it_answers(endpoint.address, &log)?;
        let garage = Self { endpoint, binary, configuration, _server: server, _folder: folder };
        let node = garage.run(&["node", "id", "-q"])?;
        let node = node.split('@').next().unwrap_or_default().trim();
        garage.run(&["layout", "assign", "-z", "here", "-c", "20G", node])?;
        garage.run(&["layout", "apply", "--version", "1"])?;
        garage.run(&["key", "import", "--yes", "-n", "tests", &access_key, &secret_key])?;
        garage.run(&["key", "allow", "--create-bucket", &access_key])?;
        Ok(garage)
    }

    fn run(&self, arguments: &[&str]) -> Result<String, TestbedError> {
        let output = Command::new(&self.binary)
            .arg("-c")
            .arg(&self.configuration)
            .args(arguments)
            .output()
            .map_err(|error| TestbedError::command("garage", error))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(TestbedError::command("garage", String::from_utf8_lossy(&output.stderr)))
    }
}

impl S3Server for Garage {
    fn endpoint(&self) -> &S3Endpoint {
        &self.endpoint
    }

    fn create_bucket(&self, name: &str) -> Result<(), TestbedError> {
        self.run(&["bucket", "create", name])?;
        let key = &self.endpoint.access_key;
        self.run(&["bucket", "allow", "--read", "--write", "--owner", name, "--key", key]).map(drop)
    }
}

fn garage_configuration(
    folder: &Path,
    engine: GarageEngine,
    rpc: SocketAddr,
    endpoint: &S3Endpoint,
) -> String {
    let engine = match engine {
        GarageEngine::Sqlite => "sqlite",
        GarageEngine::Lmdb => "lmdb",
    };
    let folder = folder.display();
    format!(
        r#"metadata_dir = "{folder}/metadata"
data_dir = "{folder}/data"
db_engine = "{engine}"
replication_factor = 1
rpc_bind_addr = "{rpc}"
rpc_public_addr = "{rpc}"
rpc_secret = "{secret}"

[s3_api]
s3_region = "{region}"
api_bind_addr = "{address}"
root_domain = ".s3.garage.localhost"
"#,
        secret = "0123456789abcdef".repeat(4),
        region = endpoint.region,
        address = endpoint.address,
    )
}
