//! Who copies, and how it is called at its best.

use std::path::{Path, PathBuf};
use std::process::Command;

use whimbrel_testbed::{Hadoop, S3Endpoint};

use super::tools::Tools;

/// The prefix in every bucket.
pub const PREFIX: &str = "data/";

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Whimbrel,
    /// Whimbrel without the state of its earlier runs.
    WhimbrelCold,
    /// Whimbrel over a line of the same width without delay.
    WhimbrelNear,
    Juicefs,
    Rclone,
    S5cmd,
    DistCp,
    /// Bare load, which tells what the server can take.
    Generator,
}

/// Where from.
#[derive(Clone, Copy, Debug)]
pub enum From<'a> {
    /// A folder.
    Local(&'a Path),
    /// A folder of HDFS.
    Hdfs(&'a Hadoop, &'a str),
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    pub from: From<'a>,
    pub endpoint: &'a S3Endpoint,
    pub bucket: &'a str,
    /// Transfers at a time, for whoever wants to be told.
    pub transfers: usize,
    /// Files of hundreds of megabytes.
    pub large: bool,
    /// The server gives no MD5 for an ETag.
    pub sink: bool,
    /// Much stands there already.
    pub again: bool,
    /// For state and configuration.
    pub folder: &'a Path,
    /// Lengths and paths, for bare load.
    pub list: &'a Path,
}

/// Everything that can be called.
#[derive(Debug)]
pub struct Callable {
    pub whimbrel: PathBuf,
    pub tools: Tools,
}

impl Callable {
    /// A call without the places where tools lie.
    pub fn shown(&self, call: String) -> String {
        let tools = &self.tools;
        let own = std::env::current_exe().unwrap_or_default();
        let places = [
            (word(self.whimbrel.display()), "whimbrel"),
            (word(tools.juicefs.display()), "juicefs"),
            (word(tools.rclone.display()), "rclone"),
            (word(tools.s5cmd.display()), "s5cmd"),
            (tools.distcp_class_path.clone(), "JARS"),
            (word(own.display()), "xtask"),
        ];
        places.iter().fold(call, |call, (place, name)| call.replace(place, name))
    }
}

impl Subject {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whimbrel => "whimbrel",
            Self::WhimbrelCold => "whimbrel, no state",
            Self::WhimbrelNear => "whimbrel, no delay",
            Self::Juicefs => "juicefs",
            Self::Rclone => "rclone",
            Self::S5cmd => "s5cmd",
            Self::DistCp => "distcp",
            Self::Generator => "bare load",
        }
    }

    /// Whether Whimbrel is compared with it.
    pub fn is_peer(self) -> bool {
        match self {
            Self::Juicefs | Self::Rclone | Self::S5cmd | Self::DistCp => true,
            Self::Whimbrel | Self::WhimbrelCold | Self::WhimbrelNear | Self::Generator => false,
        }
    }

    /// The call; it ends with this process.
    pub fn command(self, callable: &Callable, job: &Job<'_>) -> std::io::Result<Command> {
        let words = match self {
            Self::Whimbrel | Self::WhimbrelNear => whimbrel(callable, job, &[]),
            // It takes over what an earlier migration wrote.
            Self::WhimbrelCold if job.again => whimbrel(callable, job, &["--adopt"]),
            Self::WhimbrelCold => whimbrel(callable, job, &[]),
            Self::Juicefs => juicefs(&callable.tools, job),
            Self::Rclone => rclone(&callable.tools, job),
            Self::S5cmd => s5cmd(&callable.tools, job),
            Self::DistCp => distcp(&callable.tools, job),
            Self::Generator => generator(job)?,
        };
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(words);
        command.envs(job.endpoint.environment()).env("AWS_EC2_METADATA_DISABLED", "true");
        match self {
            Self::Rclone => drop(command.envs(rclone_environment(job))),
            // It knows neither variable.
            Self::S5cmd => drop(command.env_remove("AWS_ENDPOINT_URL_S3")),
            Self::Whimbrel
            | Self::WhimbrelCold
            | Self::WhimbrelNear
            | Self::Juicefs
            | Self::DistCp
            | Self::Generator => {}
        }
        if let From::Hdfs(hadoop, _) = job.from {
            command.env("HADOOP_CONF_DIR", hadoop.configuration_directory());
            command.env("HADOOP_USER_NAME", hadoop.superuser());
        }
        Ok(command)
    }
}

fn word(text: impl ToString) -> String {
    text.to_string()
}

fn whimbrel(callable: &Callable, job: &Job<'_>, more: &[&str]) -> Vec<String> {
    let from = match job.from {
        From::Local(folder) => word(folder.display()),
        From::Hdfs(hadoop, path) => format!("{}{path}", hadoop.url()),
    };
    let to = format!("s3://{}/{}", job.bucket, PREFIX.trim_end_matches('/'));
    let state = job.folder.join("state");
    let words = [&word(callable.whimbrel.display()), "migrate", &from, &to, "--name", "bench"];
    let state = ["--state", &word(state.display()), "--json"];
    let words = words.into_iter().chain(state);
    words.chain(more.iter().copied()).map(word).collect()
}

fn juicefs(tools: &Tools, job: &Job<'_>) -> Vec<String> {
    let from = match job.from {
        From::Local(folder) => format!("{}/", folder.display()),
        From::Hdfs(hadoop, path) => {
            let place = hadoop.url().trim_start_matches("hdfs://");
            format!("hdfs://{}@{place}{path}/", hadoop.superuser())
        }
    };
    let server = &job.endpoint;
    let to = format!(
        "minio://{}:{}@{}/{}/{PREFIX}",
        server.access_key, server.secret_key, server.address, job.bucket
    );
    let mut words = vec![word(tools.juicefs.display()), word("sync"), word("--no-https")];
    words.extend([word("--threads"), word(job.transfers)]);
    if job.again {
        words.push(word("--update"));
    }
    words.extend([from, to]);
    words
}

fn rclone(tools: &Tools, job: &Job<'_>) -> Vec<String> {
    let from = match job.from {
        From::Local(folder) => word(folder.display()),
        From::Hdfs(_, path) => format!(":hdfs:{path}"),
    };
    let to = format!(":s3:{}/{}", job.bucket, PREFIX.trim_end_matches('/'));
    let transfers = word(job.transfers);
    let mut words = vec![word(tools.rclone.display()), word("copy"), from, to];
    words.extend(["--transfers", &transfers, "--checkers", &transfers].map(word));
    if job.again {
        words.extend(["--fast-list", "--use-server-modtime", "--update"].map(word));
    } else {
        words.extend(["--no-traverse", "--no-check-dest", "--s3-no-head"].map(word));
    }
    if job.large {
        words.extend(["--s3-chunk-size", "16M", "--s3-upload-concurrency", "4"].map(word));
    }
    if job.sink {
        words.extend(["--ignore-checksum", "--s3-disable-checksum"].map(word));
    }
    words
}

fn rclone_environment(job: &Job<'_>) -> Vec<(&'static str, String)> {
    let server = &job.endpoint;
    let mut variables = vec![
        ("RCLONE_CONFIG", word("/dev/null")),
        ("RCLONE_S3_PROVIDER", word("Other")),
        ("RCLONE_S3_ENDPOINT", server.url.clone()),
        ("RCLONE_S3_ACCESS_KEY_ID", server.access_key.clone()),
        ("RCLONE_S3_SECRET_ACCESS_KEY", server.secret_key.clone()),
        ("RCLONE_S3_REGION", server.region.clone()),
        ("RCLONE_S3_NO_CHECK_BUCKET", word("true")),
        ("RCLONE_S3_LIST_VERSION", word("2")),
    ];
    if let From::Hdfs(hadoop, _) = job.from {
        let place = hadoop.url().trim_start_matches("hdfs://");
        variables.push(("RCLONE_HDFS_NAMENODE", word(place)));
        variables.push(("RCLONE_HDFS_USERNAME", word(hadoop.superuser())));
    }
    variables
}

/// It cannot read HDFS.
fn s5cmd(tools: &Tools, job: &Job<'_>) -> Vec<String> {
    let from = match job.from {
        From::Local(folder) => format!("{}/", folder.display()),
        From::Hdfs(_, path) => word(path),
    };
    let to = format!("s3://{}/{PREFIX}", job.bucket);
    let mut words = vec![word(tools.s5cmd.display())];
    let transfers = word(job.transfers);
    words.extend(["--endpoint-url", &job.endpoint.url, "--numworkers", &transfers].map(word));
    words.extend(["--log", "error", if job.again { "sync" } else { "cp" }].map(word));
    words.extend([from, to]);
    words
}

fn distcp(tools: &Tools, job: &Job<'_>) -> Vec<String> {
    let from = match job.from {
        From::Local(folder) => format!("file://{}", folder.display()),
        From::Hdfs(hadoop, path) => format!("{}{path}", hadoop.url()),
    };
    let to = format!("s3a://{}/{}", job.bucket, PREFIX.trim_end_matches('/'));
    let server = &job.endpoint;
    let maps = job.transfers;
    let mut words = vec![word("java"), word("-Xmx3g")];
    words.push(word("--add-opens=java.base/java.lang=ALL-UNNAMED"));
    words.extend(["-Dwhimbrel.log.level=ERROR", "-Dwhimbrel.log.file=/dev/stderr"].map(word));
    words.extend(["-cp", &tools.distcp_class_path, "org.apache.hadoop.tools.DistCp"].map(word));
    let provider = "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider";
    let settings = [
        ("mapreduce.framework.name", word("local")),
        ("mapreduce.local.map.tasks.maximum", word(maps)),
        ("hadoop.tmp.dir", word(job.folder.join("hadoop").display())),
        ("fs.s3a.endpoint", server.url.clone()),
        ("fs.s3a.endpoint.region", server.region.clone()),
        ("fs.s3a.path.style.access", word("true")),
        ("fs.s3a.connection.ssl.enabled", word("false")),
        ("fs.s3a.access.key", server.access_key.clone()),
        ("fs.s3a.secret.key", server.secret_key.clone()),
        ("fs.s3a.aws.credentials.provider", word(provider)),
        ("fs.s3a.threads.max", word(64)),
        ("fs.s3a.connection.maximum", word(256)),
        ("fs.s3a.create.performance", word("true")),
        ("distcp.many.strategy.impl", word("EvenSplits")),
        ("bench.maps", word(maps)),
    ];
    words.extend(settings.map(|(name, value)| format!("-D{name}={value}")));
    words.extend(["-strategy", "many", "-direct", "-bandwidth", "100000"].map(word));
    words.extend(["-numListstatusThreads", "20", "-m", &word(maps), &from, &to].map(word));
    words
}

fn generator(job: &Job<'_>) -> std::io::Result<Vec<String>> {
    let own = word(std::env::current_exe()?.display());
    let (list, address) = (word(job.list.display()), word(job.endpoint.address));
    let mut words = vec![own, word("bench-generator")];
    words.extend(["--list", &list, "--address", &address, "--bucket", job.bucket].map(word));
    words.extend(["--prefix", PREFIX, "--connections", &word(job.transfers)].map(word));
    Ok(words)
}

/// The call as one can read it: without what differs from machine to machine.
pub fn shown(command: &Command, replaced: &[(String, &str)]) -> String {
    let plain = |text: &std::ffi::OsStr| {
        let mut text = text.to_string_lossy().into_owned();
        for (from, to) in replaced.iter().filter(|(from, _)| !from.is_empty()) {
            text = text.replace(from.as_str(), to);
        }
        text
    };
    let named = ["RCLONE_", "HADOOP_USER_NAME"];
    let mut words: Vec<String> = command
        .get_envs()
        .filter(|(name, _)| named.iter().any(|begin| name.to_string_lossy().starts_with(begin)))
        .filter_map(|(name, value)| Some(format!("{}={}", plain(name), plain(value?))))
        .collect();
    // The first two arguments are those of what ends the process with this one.
    let arguments = command.get_args().skip(2).map(plain);
    words.extend(arguments.map(|word| match word.contains([' ', '*', ';']) {
        true => format!("'{word}'"),
        false => word,
    }));
    words.join(" ")
}
