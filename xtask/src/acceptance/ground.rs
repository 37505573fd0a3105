//! Real systems to migrate between, and the judge.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Child;

use serde_json::{Value, json};
use tempfile::TempDir;
use whimbrel_testbed::{
    CheckReport, Checker, Hadoop, HadoopOptions, HttpProxy, S3Server, TlsFront, VersityGateway,
    VersityOptions,
};

use super::lines::{DATA_NODE_HOST, Lines};
use crate::whimbrel::{Edition, Migration, Seen, Whimbrel};

/// Of the S3 server.
pub const BUCKET: &str = "acceptance";
/// The migration's name.
const NAME: &str = "acceptance";
/// What the S3 server writes down.
const REQUESTS: &str = "s3-requests";
/// What it calls a request for the bytes of an object.
const READ: &str = " s3_GetObject ";
/// The source's folder on HDFS.
pub const FOLDER: &str = "/data";
/// Differences that are kept in the results.
pub const FINDINGS_KEPT: usize = 20;

/// Which systems.
#[derive(Clone, Debug, Default)]
pub struct GroundPlan {
    /// A local source in place of HDFS.
    pub local_source: bool,
    /// A local target in place of S3.
    pub local_target: bool,
    /// HTTPS under a private authority, through a proxy, on the way to S3.
    pub tls: bool,
    /// Two NameNodes.
    pub high_availability: bool,
    /// Lines that can be broken, between Whimbrel and every server; the judge takes none.
    pub lines: bool,
    /// The S3 server writes down every request, and DataNodes look for no damage by themselves.
    pub watched: bool,
    /// Buckets can keep versions.
    pub versions: bool,
    /// Which command.
    pub edition: Edition,
}

/// A migration without `--live`; by default the one that the ground is for.
#[derive(Clone, Debug, Default)]
pub struct Once {
    /// From there.
    pub source: Option<String>,
    /// Another migration of that name, with a state of its own.
    pub name: Option<&'static str>,
    /// As that user of HDFS.
    pub user: Option<&'static str>,
}

/// Systems that run.
#[derive(Debug)]
pub struct Ground {
    whimbrel: Whimbrel,
    hadoop: Option<Hadoop>,
    /// The S3 server, unless the target is local.
    pub gateway: Option<VersityGateway>,
    tls: Option<(TlsFront, HttpProxy)>,
    lines: Option<Lines>,
    folder: TempDir,
    source: String,
    target: String,
}

impl Ground {
    /// Builds the command and starts the systems.
    pub fn start(plan: &GroundPlan) -> Result<Self, Box<dyn Error>> {
        let mut whimbrel = Whimbrel::get(&plan.edition)?;
        let folder = tempfile::Builder::new().prefix("whimbrel-acceptance-").tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (mut hadoop, mut gateway, mut tls) = (None, None, None);
        let (mut source, mut target) = (path("source"), path("target"));
        if !plan.local_source {
            let started = Hadoop::start(&cluster(plan))?;
            source = format!("{}{FOLDER}", started.url());
            whimbrel = whimbrel.with([
                ("HADOOP_CONF_DIR", started.configuration_directory().display().to_string()),
                ("HADOOP_USER_NAME", started.superuser().to_owned()),
            ]);
            hadoop = Some(started);
        }
        if !plan.local_target {
            let log = folder.path().join(REQUESTS);
            let arguments = if plan.watched {
                vec!["--access-log".to_owned(), log.display().to_string()]
            } else {
                Vec::new()
            };
            let versioning = plan.versions;
            let options = VersityOptions { versioning, arguments, ..VersityOptions::default() };
            let started = VersityGateway::start_with(options)?;
            started.create_bucket(BUCKET)?;
            target = format!("s3://{BUCKET}/data");
            whimbrel = whimbrel.with(started.endpoint().environment());
            if plan.tls {
                let front = TlsFront::start(started.endpoint().address)?;
                let proxy = HttpProxy::start()?;
                whimbrel = whimbrel.with([
                    ("AWS_ENDPOINT_URL_S3", front.url()),
                    ("AWS_CA_BUNDLE", front.authority().display().to_string()),
                    ("HTTPS_PROXY", proxy.url()),
                    ("NO_PROXY", String::new()),
                ]);
                tls = Some((front, proxy));
            }
            gateway = Some(started);
        }
        let mut lines = None;
        if let (true, Some(hadoop), Some(gateway)) = (plan.lines, &hadoop, &gateway) {
            let started = Lines::start(hadoop, gateway.endpoint().address, folder.path())?;
            whimbrel = whimbrel.with(started.environment());
            lines = Some(started);
        }
        Ok(Self { whimbrel, hadoop, gateway, tls, lines, folder, source, target })
    }

    /// The cluster.
    pub fn hadoop(&self) -> Result<&Hadoop, Box<dyn Error>> {
        self.hadoop.as_ref().ok_or_else(|| "the source is local".into())
    }

    /// The S3 server.
    pub fn gateway(&mut self) -> Result<&mut VersityGateway, Box<dyn Error>> {
        self.gateway.as_mut().ok_or_else(|| "the target is local".into())
    }

    /// What can be broken.
    pub fn lines(&self) -> Result<&Lines, Box<dyn Error>> {
        self.lines.as_ref().ok_or_else(|| "nothing stands between".into())
    }

    /// The root of a local source.
    pub fn local_source(&self) -> &Path {
        Path::new(&self.source)
    }

    /// Where the target is.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Starts `migrate --live`, on the same state each time.
    pub fn migrate(&self, more: &[&str]) -> Result<Migration, Box<dyn Error>> {
        let state = self.state();
        let log = self.log().display().to_string();
        let mut arguments =
            vec![&self.source, &self.target].into_iter().cloned().collect::<Vec<_>>();
        let fixed = ["--live", "--name", NAME, "--state", &state, "--log", &log];
        arguments.extend(fixed.iter().chain(more).map(|argument| (*argument).to_owned()));
        self.whimbrel.migrate(&arguments)
    }

    /// Runs `migrate` to its end, as [`Once`] says; gives the exit code and what it said.
    pub fn once(&self, once: &Once, more: &[&str]) -> Result<(i32, Vec<Value>), Box<dyn Error>> {
        let source = once.source.as_ref().unwrap_or(&self.source);
        let name = once.name.unwrap_or(NAME);
        let state = once.name.map_or_else(|| self.state(), |name| self.path(name));
        let log = self.log().display().to_string();
        let fixed = [source, &self.target, "--name", name, "--state", &state, "--log", &log];
        let arguments: Vec<_> = fixed.iter().chain(more).map(|it| (*it).to_owned()).collect();
        let user = once.user.map(|user| ("HADOOP_USER_NAME", user.to_owned()));
        self.whimbrel.clone().with(user).answer("migrate", &arguments)
    }

    /// Runs `verify` of the migration to its end; gives the exit code and what it said.
    pub fn verify(&self, more: &[&str]) -> Result<(i32, Vec<Value>), Box<dyn Error>> {
        self.answer("verify", more)
    }

    /// Runs a command on the migration to its end; gives the exit code and what it said.
    pub fn answer(&self, name: &str, more: &[&str]) -> Result<(i32, Vec<Value>), Box<dyn Error>> {
        self.whimbrel.answer(name, &self.of_the_migration(more))
    }

    /// Begins a command on the migration.
    pub fn begin(&self, name: &str, more: &[&str]) -> Result<Child, Box<dyn Error>> {
        self.whimbrel.begin(name, &self.of_the_migration(more))
    }

    fn of_the_migration(&self, more: &[&str]) -> Vec<String> {
        let (state, log) = (self.state(), self.log().display().to_string());
        let fixed = [NAME, "--state", &state, "--log", &log];
        fixed.iter().chain(more).map(|argument| (*argument).to_owned()).collect()
    }

    /// Runs `report check`.
    pub fn check_report(&self, folder: &str) -> Result<(i32, Vec<Value>), Box<dyn Error>> {
        self.whimbrel.answer("report check", &[folder.to_owned()])
    }

    /// What a cut-over has durably noted; null before the first.
    pub fn cutover_record(&self) -> Value {
        let text = std::fs::read(Path::new(&self.state()).join("cutover.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// How often the S3 server was asked for the bytes of an object, by its own account.
    pub fn objects_read(&self) -> Result<u64, Box<dyn Error>> {
        let text = std::fs::read(self.folder.path().join(REQUESTS))?;
        let read = String::from_utf8_lossy(&text).matches(READ).count();
        Ok(u64::try_from(read)?)
    }

    /// Where the target's bytes lie: a local target's own, or where the S3 server keeps them.
    pub fn target_files(&self) -> PathBuf {
        match &self.gateway {
            Some(gateway) => gateway.data_directory().join(BUCKET).join("data"),
            None => PathBuf::from(&self.target),
        }
    }

    /// A place for a signed report.
    pub fn report(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What `status` says.
    pub fn status(&self) -> Result<Value, Box<dyn Error>> {
        self.whimbrel.status(NAME, &self.state())
    }

    /// The last transaction of the source.
    pub fn source_txid(&self) -> Result<u64, Box<dyn Error>> {
        let answer = self.hadoop()?.command(&json!({"command": "roll_edits"}))?;
        answer["txid"].as_u64().ok_or_else(|| "roll_edits gave no transaction".into())
    }

    /// The judge, who speaks to the servers directly.
    pub fn checker(&self) -> Result<Checker, Box<dyn Error>> {
        let mut checker = Checker::new()?;
        if let Some(hadoop) = &self.hadoop {
            checker = checker.with_hadoop(hadoop);
        }
        if let Some(gateway) = &self.gateway {
            checker = checker.with_s3(gateway.endpoint());
        }
        Ok(checker)
    }

    /// Compares every path, byte and metadata, times of local directories aside.
    pub fn compare(&self) -> Result<CheckReport, Box<dyn Error>> {
        // A local directory's time moves with every child that is written or removed in it; S3 has
        // no directories that could have one.
        let arguments: &[&str] =
            if self.gateway.is_none() { &["--ignore-directory-times"] } else { &[] };
        Ok(self.checker()?.compare(&self.source, &self.target, arguments)?)
    }

    /// Compares paths, kinds and lengths with what Hadoop's own S3A client lists of the target.
    pub fn read_back(&self) -> Result<CheckReport, Box<dyn Error>> {
        Ok(self.checker()?.read_back(&self.source, &self.target)?)
    }

    /// Tunnels that went through the proxy.
    pub fn tunnels(&self) -> usize {
        let requests = self.tls.as_ref().map(|(_, proxy)| proxy.requests()).unwrap_or_default();
        requests.iter().filter(|request| request.starts_with("CONNECT ")).count()
    }

    /// Leaves state and log where they are, for somebody to look into.
    pub fn keep(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    fn state(&self) -> String {
        self.path("state")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

/// A standby has its NameNode begin a new segment of edits every two minutes; here, as many
/// transactions as are made in that time have it do so. Each look at the stream reads the segment
/// from its beginning.
fn cluster(plan: &GroundPlan) -> HadoopOptions {
    let mut options = HadoopOptions {
        high_availability: plan.high_availability,
        long_running: true,
        ..HadoopOptions::default()
    };
    if plan.lines {
        options = options.with("dfs.datanode.hostname", DATA_NODE_HOST);
    }
    if plan.watched {
        options = options.with("dfs.datanode.scan.period.hours", -1);
    }
    options
        .with("dfs.namenode.checkpoint.txns", 50_000)
        .with("dfs.namenode.edit.log.autoroll.check.interval.ms", 10_000)
}

/// What a migration and the judge said at the end, as it is kept.
pub fn ending(code: i32, seen: &Seen, report: &CheckReport) -> Value {
    let result = &seen.result;
    let kept: Vec<&Value> = report.findings.iter().take(FINDINGS_KEPT).collect();
    json!({
        "passed": code == 0 && report.equal && result["outcome"] == json!("equal"),
        "exit_code": code,
        "outcome": result["outcome"],
        "differences": report.findings.len(),
        "findings": kept,
        "checked": report.summary,
        "files_copied": result["files_copied"],
        "bytes_copied": result["bytes_copied"],
        "files_relocated": result["files_relocated"],
        "files_removed": result["files_removed"],
        "metadata_updated": result["metadata_updated"],
        "changes_seen": result["changes_seen"],
        "coarsened": result["coarsened"],
        "spilled": result["spilled"],
        "gaps": result["gaps"],
        "failures": result["failures"],
        "files_open": result["files_open"],
        "problems": seen.problems.len(),
    })
}

/// Marks it as failed, and why, unless it holds.
pub fn demand(measured: &mut Value, holds: bool, why: &str) {
    if !holds {
        measured["passed"] = json!(false);
        if !measured["reasons"].is_array() {
            measured["reasons"] = json!([]);
        }
        if let Some(reasons) = measured["reasons"].as_array_mut() {
            reasons.push(json!(why));
        }
    }
}

/// Where one looks when it failed.
pub fn conclude(ground: Ground, seen: &Seen, passed: bool) {
    if !passed {
        for problem in seen.problems.iter().take(FINDINGS_KEPT) {
            eprintln!("{problem}");
        }
        eprintln!("state and log are kept in {}", ground.keep().display());
    }
}

/// The last of the lines that a command said.
pub fn result(lines: &[Value]) -> Value {
    lines.iter().rfind(|line| line["type"] == "result").cloned().unwrap_or_default()
}

/// The kinds of the problems that it told.
pub fn kinds(lines: &[Value]) -> Vec<String> {
    let problems = lines.iter().filter(|line| line["type"] == "problem");
    problems.filter_map(|line| line["kind"].as_str().map(str::to_owned)).collect()
}
