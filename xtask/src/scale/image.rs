//! An image of very many inodes.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Result as Written, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use whimbrel_testbed::install_hadoop;

use super::{Findings, command, example, numbers, room, shown};

pub const ABOUT: &str = "Hadoop's own tool makes it of XML that is streamed to it: 15 files in a \
    directory, 1,000 directories in each of those above; files that follow each other in the image \
    are in different directories; each has a block. `crates/fsimage/examples/inventory.rs` reads \
    it with default settings: `decode` each inode in the image's order, `list` all of them in the \
    order of a listing, as a migration does. The rate of a core is that of processor time.";

/// What an inode takes at most on the disk: in the image, and twice while it is sorted.
const BYTES_PER_INODE: u64 = 330;
const FILES_PER_DIRECTORY: u64 = 15;
const DIRECTORIES_PER_TOP: u64 = 1_000;
const RATE_MIN: f64 = 1e6;
/// The root of a file system.
const ROOT: u64 = 16_385;
const HEAP: &str = "-Xmx1g";
const VIEWER: &str = "org.apache.hadoop.hdfs.tools.offlineImageViewer.OfflineImageViewerPB";

/// How the numbers of inodes are dealt out: root, upper directories, directories, files.
#[derive(Clone, Copy, Debug)]
struct Shape {
    tops: u64,
    directories: u64,
    files: u64,
}

/// Makes the image and reads it.
pub fn image(inodes: u64) -> Result<Findings, Box<dyn Error>> {
    let folder = tempfile::Builder::new().prefix("whimbrel-scale-").tempdir()?;
    // The largest number for which there is room, in hundreds of thousands.
    let fits = room::free_bytes(folder.path())? / BYTES_PER_INODE / 100_000 * 100_000;
    let inodes = inodes.min(fits);
    let mut findings = Findings::of(inodes);
    let program = example("whimbrel-fsimage", "inventory")?;
    let (image, log) = (folder.path().join("fsimage"), folder.path().join("log"));
    make(&mut findings, Shape::of(inodes), &image, &log)?;
    let places = [(&*image, "IMAGE"), (folder.path(), "FOLDER"), (&*program, "inventory")];
    for (what, step) in [("decode", "decoded"), ("list", "listed")] {
        let mut command = command(&program);
        command.arg(what).arg(&image).arg(folder.path());
        let (usage, said) = findings.run(step, &mut command, &places, &log)?;
        for (name, number) in numbers(&said) {
            match name.strip_suffix("_seconds") {
                Some(name) => findings.note(step, name, number, "s"),
                None if name == "seconds" => {}
                None => findings.note(step, name, number, ""),
            }
        }
        let read = numbers(&said).find(|(name, _)| *name == "inodes").map(|(_, number)| number);
        if read != Some(inodes as f64) {
            return Err(format!("{inodes} inodes are in the image: {said}").into());
        }
        let rate = inodes as f64 / usage.processor_seconds;
        findings.note(step, "inodes a second of a core", rate, "");
        let found = format!("{:.2} million", rate / 1e6);
        let what = format!("{step}: inodes a second of a core");
        findings.goal(&what, "at least 1 million", found, rate >= RATE_MIN);
        findings.goal_of_memory(step, &usage);
    }
    Ok(findings)
}

/// Has Hadoop make an image of the shape.
fn make(
    findings: &mut Findings,
    shape: Shape,
    image: &Path,
    log: &Path,
) -> Result<(), Box<dyn Error>> {
    let hadoop = install_hadoop()?;
    let mut viewer = command(Path::new("java"));
    viewer.args([HEAP, "-cp", &hadoop.class_path, VIEWER, "-p", "ReverseXML"]);
    viewer.args(["-i", "/dev/stdin", "-o"]).arg(image);
    let places = [(Path::new(&hadoop.class_path), "JARS"), (image, "IMAGE")];
    findings.calls.push(shown(&viewer, &places));
    eprintln!("making an image of {} inodes", shape.inodes());
    let begin = Instant::now();
    let written = feed(&mut viewer, shape, log);
    // What Hadoop says tells more than that it read no further.
    if !matches!(&written, Ok(true)) {
        let said = std::fs::read_to_string(log)?;
        let tail = said.lines().rev().take(5).collect::<Vec<_>>().join("\n");
        return Err(format!("Hadoop made no image ({written:?}): {tail}").into());
    }
    findings.note("made by Hadoop", "seconds", begin.elapsed().as_secs_f64(), "s");
    let bytes = std::fs::metadata(image)?.len();
    findings.note("made by Hadoop", "size", super::mebibytes(bytes), "MiB");
    Ok(())
}

/// Whether it succeeded.
fn feed(viewer: &mut Command, shape: Shape, log: &Path) -> Written<bool> {
    let output = File::create(log)?;
    viewer.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
    let mut child = viewer.spawn()?;
    let written = match child.stdin.take() {
        Some(input) => shape.write(&mut BufWriter::with_capacity(1 << 20, input)),
        None => Ok(()),
    };
    let succeeded = child.wait()?.success();
    written.map(|()| succeeded)
}

impl Shape {
    fn of(inodes: u64) -> Self {
        let directories = inodes / (FILES_PER_DIRECTORY + 1);
        let tops = directories.div_ceil(DIRECTORIES_PER_TOP);
        Self { tops, directories, files: inodes.saturating_sub(1 + tops + directories) }
    }

    fn inodes(self) -> u64 {
        1 + self.tops + self.directories + self.files
    }

    fn first_directory(self) -> u64 {
        ROOT + 1 + self.tops
    }

    fn first_file(self) -> u64 {
        self.first_directory() + self.directories
    }

    /// As `hdfs oiv -p XML` writes an image.
    fn write(self, to: &mut impl Write) -> Written<()> {
        let (last, inodes) = (ROOT + self.inodes() - 1, self.inodes());
        to.write_all(HEAD.as_bytes())?;
        write!(to, "<INodeSection><lastInodeId>{last}</lastInodeId>")?;
        write!(to, "<numInodes>{inodes}</numInodes>")?;
        write_directory(to, ROOT, "")?;
        for top in 0..self.tops {
            write_directory(to, ROOT + 1 + top, &format!("day={top:06}"))?;
        }
        for number in 0..self.directories {
            let name = format!("hour={:03}", number % DIRECTORIES_PER_TOP);
            write_directory(to, self.first_directory() + number, &name)?;
        }
        for number in 0..self.files {
            write_file(to, self.first_file() + number, number / self.directories.max(1))?;
        }
        to.write_all(b"</INodeSection>\n<INodeReferenceSection></INodeReferenceSection>")?;
        to.write_all(b"<INodeDirectorySection>")?;
        write_children(to, ROOT, ROOT + 1..ROOT + 1 + self.tops, 1)?;
        for top in 0..self.tops {
            let begin = self.first_directory() + top * DIRECTORIES_PER_TOP;
            let end = (begin + DIRECTORIES_PER_TOP).min(self.first_file());
            write_children(to, ROOT + 1 + top, begin..end, 1)?;
        }
        for number in 0..self.directories {
            let files = self.first_file() + number..self.first_file() + self.files;
            write_children(to, self.first_directory() + number, files, self.directories)?;
        }
        to.write_all(TAIL.as_bytes())?;
        to.flush()
    }
}

fn write_directory(to: &mut impl Write, id: u64, name: &str) -> Written<()> {
    write!(
        to,
        "<inode><id>{id}</id><type>DIRECTORY</type><name>{name}</name><mtime>1700000000000</mtime>\
        <permission>hdfs:supergroup:0755</permission><nsquota>-1</nsquota><dsquota>-1</dsquota>\
        </inode>"
    )
}

fn write_file(to: &mut impl Write, id: u64, part: u64) -> Written<()> {
    write!(
        to,
        "<inode><id>{id}</id><type>FILE</type><name>part-{part:05}-c000.snappy.parquet</name>\
        <replication>3</replication><mtime>1700000000000</mtime><atime>1700000000000</atime>\
        <preferredBlockSize>134217728</preferredBlockSize>\
        <permission>hive:hadoop:0644</permission><blocks><block><id>{}</id><genstamp>{}</genstamp>\
        <numBytes>{}</numBytes></block></blocks><storagePolicyId>0</storagePolicyId></inode>",
        (1 << 30) + id,
        1_000 + id,
        20_000 + id % 100_000
    )
}

fn write_children(
    to: &mut impl Write,
    parent: u64,
    children: std::ops::Range<u64>,
    step: u64,
) -> Written<()> {
    if children.is_empty() {
        return Ok(());
    }
    write!(to, "<directory><parent>{parent}</parent>")?;
    let mut child = children.start;
    while child < children.end {
        write!(to, "<child>{child}</child>")?;
        child += step;
    }
    to.write_all(b"</directory>\n")
}

const HEAD: &str = "<?xml version=\"1.0\"?>\n<fsimage><version><layoutVersion>-67</layoutVersion>\
    <onDiskVersion>1</onDiskVersion><oivRevision>0</oivRevision></version>\n<NameSection>\
    <namespaceId>1943729266</namespaceId><genstampV1>1000</genstampV1>\
    <genstampV2>100000000</genstampV2><genstampV1Limit>0</genstampV1Limit>\
    <lastAllocatedBlockId>2000000000</lastAllocatedBlockId><txid>100000000</txid></NameSection>\n\
    <ErasureCodingSection></ErasureCodingSection>\n";

const TAIL: &str = "</INodeDirectorySection>\n<SnapshotSection><snapshotCounter>0</snapshotCounter>\
    <numSnapshots>0</numSnapshots></SnapshotSection><SnapshotDiffSection></SnapshotDiffSection>\
    <FileUnderConstructionSection></FileUnderConstructionSection>\
    <SecretManagerSection><currentId>0</currentId><tokenSequenceNumber>0</tokenSequenceNumber>\
    <numDelegationKeys>0</numDelegationKeys><numTokens>0</numTokens></SecretManagerSection>\
    <CacheManagerSection><nextDirectiveId>1</nextDirectiveId><numDirectives>0</numDirectives>\
    <numPools>0</numPools></CacheManagerSection>\n</fsimage>\n";
