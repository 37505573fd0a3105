//! The systems of one workload.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use whimbrel_testbed::{
    DelayProxy, Hadoop, HadoopOptions, LongLine, NullSink, S3Endpoint, S3Server, Sunk,
    VersityGateway,
};

use super::judge;
use super::measure::own_seconds;
use super::subject::{From, PREFIX, Subject};
use super::tree::{Manifest, Shape, write_hdfs, write_local};
use super::workload::Workload;
use crate::process::run;

/// Where the tree is on HDFS.
pub const FOLDER: &str = "/data";
const HEAP_MEGABYTES: usize = 3072;

#[derive(Debug)]
enum Target {
    Sink(NullSink),
    Gateway(VersityGateway),
}

/// Source and target, with what lies between.
#[derive(Debug)]
pub struct Ground {
    target: Target,
    /// Without delay and with it, both of the same width.
    lines: Option<(DelayProxy, DelayProxy)>,
    hadoop: Option<Hadoop>,
    /// What is to arrive.
    pub manifest: Manifest,
    source: PathBuf,
    /// What the runs leave.
    pub folder: TempDir,
}

impl Ground {
    /// Starts the systems and writes the source.
    pub fn start(workload: &Workload, shape: Shape) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::Builder::new().prefix("whimbrel-bench-").tempdir()?;
        let source = folder.path().join("source");
        let target = match workload.sink {
            true => Target::Sink(NullSink::start()?),
            false => Target::Gateway(VersityGateway::start()?),
        };
        let address = target.server().endpoint().address;
        let lines = match workload.line {
            Some(line) => {
                let near = LongLine { round_trip: std::time::Duration::ZERO, ..line };
                Some((DelayProxy::start(address, near)?, DelayProxy::start(address, line)?))
            }
            None => None,
        };
        let (hadoop, manifest) = if workload.hdfs {
            let hadoop = Hadoop::start(&cluster())?;
            let manifest = write_hdfs(&hadoop, FOLDER, shape, folder.path())?;
            (Some(hadoop), manifest)
        } else {
            (None, write_local(&source, shape)?)
        };
        manifest.write_list(&folder.path().join("list"))?;
        // What the disk still has to write would be written during the first run.
        run(&mut Command::new("sync"))?;
        Ok(Self { target, lines, hadoop, manifest, source, folder })
    }

    /// Where from.
    pub fn from(&self) -> From<'_> {
        match &self.hadoop {
            Some(hadoop) => From::Hdfs(hadoop, FOLDER),
            None => From::Local(&self.source),
        }
    }

    /// The folder of a local source.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// The cluster.
    pub fn hadoop(&self) -> Result<&Hadoop, Box<dyn Error>> {
        self.hadoop.as_ref().ok_or_else(|| "the source is local".into())
    }

    /// The server, as this one is to reach it.
    pub fn endpoint(&self, subject: Subject) -> S3Endpoint {
        let mut endpoint = self.target.server().endpoint().clone();
        if let Some((near, far)) = &self.lines {
            let line = if subject == Subject::WhimbrelNear { near } else { far };
            endpoint.address = line.address();
            endpoint.url = format!("http://{}", line.address());
        }
        endpoint
    }

    /// What the servers have worked until now.
    pub fn server_seconds(&self) -> f64 {
        let gateway = match &self.target {
            Target::Sink(_) => 0.0,
            Target::Gateway(gateway) => gateway.processor_seconds(),
        };
        let hadoop = self.hadoop.as_ref().map_or(0.0, Hadoop::processor_seconds);
        own_seconds() + gateway + hadoop
    }

    /// An empty bucket.
    pub fn create_bucket(&self, name: &str) -> Result<(), Box<dyn Error>> {
        Ok(self.target.server().create_bucket(name)?)
    }

    /// Removes it with all that is in it.
    pub fn remove_bucket(&self, name: &str) -> Result<(), Box<dyn Error>> {
        match &self.target {
            Target::Sink(sink) => sink.remove_bucket(name),
            Target::Gateway(gateway) => fs::remove_dir_all(gateway.data_directory().join(name))?,
        }
        Ok(())
    }

    /// Says what is wrong in the bucket, if anything is.
    pub fn judge(&self, subject: Subject, bucket: &str) -> Result<(), Box<dyn Error>> {
        let mut found = match &self.target {
            Target::Sink(sink) => judge::sunk(sink.sunk(bucket), PREFIX),
            Target::Gateway(gateway) => {
                judge::read(&gateway.data_directory().join(bucket).join(PREFIX))?
            }
        };
        if subject == Subject::Generator {
            for (path, file) in &mut found {
                // Its bytes are not those of the files.
                let expected = self.manifest.contents.get(path);
                file.crc32c = expected.map_or(0, |file: &Sunk| file.crc32c);
            }
        }
        Ok(judge::compare(&self.manifest.contents, &found)?)
    }

    /// Requests that the sink has answered until now.
    pub fn requests(&self) -> Option<u64> {
        match &self.target {
            Target::Sink(sink) => Some(sink.requests().values().sum()),
            Target::Gateway(_) => None,
        }
    }

    /// What differs in the calls from machine to machine, and what is written in its place.
    pub fn replaced(
        &self,
        job_folder: &Path,
        endpoint: &S3Endpoint,
    ) -> Vec<(String, &'static str)> {
        let mut replaced = vec![
            (job_folder.display().to_string(), "WORK"),
            (self.source.display().to_string(), "SOURCE"),
            (self.folder.path().display().to_string(), "WORK"),
            (endpoint.address.to_string(), "ENDPOINT"),
            (endpoint.access_key.clone(), "KEY"),
            (endpoint.secret_key.clone(), "SECRET"),
        ];
        if let Some(hadoop) = &self.hadoop {
            let place = hadoop.url().trim_start_matches("hdfs://").to_owned();
            replaced.push((place, "NAMENODE"));
        }
        replaced
    }
}

impl Target {
    fn server(&self) -> &dyn S3Server {
        match self {
            Self::Sink(sink) => sink,
            Self::Gateway(gateway) => gateway,
        }
    }
}

fn cluster() -> HadoopOptions {
    let options = HadoopOptions {
        heap_megabytes: HEAP_MEGABYTES,
        long_running: true,
        ..HadoopOptions::default()
    };
    options.with("dfs.blocksize", 128 << 20)
}
