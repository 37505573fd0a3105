//! Exit code 2, always with what to do, and with `--json` always with a result.

use std::process::Command;

use crate::call::Place;

const CALLS: [&str; 111] = [
    "",
    "nothing",
    "migrate",
    "migrate source",
    "migrate source target target",
    "migrate source target ./target/",
    "migrate source target target/inside",
    "migrate source target/inside target",
    "migrate source target other other/inside",
    "migrate source target source/inside",
    "migrate source target more --dry-run",
    "migrate source target more --name -a",
    "migrate source target more --state target",
    "migrate source target more --state more/state",
    "migrate source target more --report more/report",
    "migrate source s3://bucket/p s3://bucket/p/q",
    "migrate source target s3://bucket/p s3a://bucket/p/",
    "migrate source target hdfs://namenode:8020/target",
    "migrate s3://bucket/source target more --live",
    "migrate source target --no-such-flag",
    "migrate source target --sse AES256",
    "migrate source target --storage-class GLACIER",
    "migrate source target more --tag a=b",
    "migrate source target --acl public-read --dry-run",
    "migrate source target --bandwidth 200",
    "migrate source target --bandwidth 200Mbit",
    "migrate source target --bandwidth -5MB/s",
    "verify source target --sample-for 0s",
    "migrate source target --namenode-calls -5/s",
    "migrate source target --bandwidth mon-fri,08:00-08:00,1MB/s",
    "migrate source target --bandwidth mon,1MB/s;mon-fri,2MB/s",
    "migrate source target --config days.toml",
    "migrate source target --namenode-calls 300",
    "migrate source target --target-requests 3500/m",
    "migrate source target --transfers 0",
    "migrate source target --transfers many",
    "migrate source target --pending-max 0",
    "migrate source target --until-quiet 30s",
    "migrate source target --live --until-quiet 30",
    "migrate source target --give-up-after soon",
    "migrate source target --existing maybe",
    "migrate source target --extras burn",
    "migrate source target --metadata some",
    "migrate source target --directory-markers none",
    "migrate source target --sse none",
    "migrate source target --sse-kms-key-id key",
    "migrate source target --sse AES256 --bucket-key",
    "migrate source /proc/self/cwd/source/new",
    "migrate source target --tag nothing",
    "migrate source target --tag a=b --tag a=c",
    "migrate source target --include [",
    "migrate source target --exclude /absolute",
    "migrate source target --map nothing",
    "migrate source target --map a=",
    "migrate source target --no-default-exclude .nothing",
    "migrate source target --name a/b",
    "migrate source target --config missing.toml",
    "migrate source target --config bad.toml",
    "migrate source target --config units.toml",
    "migrate source target --log-level loud",
    "migrate source target --state source/state",
    "migrate source source",
    "migrate source source/inside",
    "migrate source/a source",
    "migrate source hdfs://namenode:8020/target",
    "migrate ftp://host/source target",
    "migrate hdfs://namenode:99999/source target",
    "migrate s3:// target",
    "migrate source s3:/bucket/x",
    "migrate hdfs:/x target",
    "migrate file:/x target",
    "migrate hdfs:///data target",
    "migrate hdfs:// target",
    "migrate source target --config switch.toml",
    "migrate hdfs:///data target --hadoop-conf source",
    "migrate source s3://bucket/p --target-endpoint nonsense",
    "migrate source s3://bucket/p --target-profile no-such-profile",
    "migrate s3://bucket/source target --live",
    "migrate s3://bucket/a s3://bucket/a/b",
    "migrate source target --report source/new",
    "migrate source target --report source/a",
    "migrate source target --report proof --dry-run",
    "verify",
    "verify no-such-migration",
    "verify source/a",
    "verify source source2 --sample 1",
    "verify source source2 --sample 0%",
    "verify source source2 --sample 101%",
    "verify source source2 --sample-for 10",
    "verify source source2 --sample 1% --sample-for 10m",
    "verify source source2 --sample-seed s",
    "doctor source",
    "cutover",
    "cutover no-such-migration",
    "cutover no-such-migration --fence walls",
    "cutover no-such-migration --dry-run --report proof",
    "cutover no-such-migration --undo-fence --keep-fence",
    "limit name",
    "limit name --bandwidth 5",
    "limit name --bandwidth fooday,5MB/s",
    "status no-such-migration",
    "path no-such-migration a",
    "pause no-such-migration",
    "resume no-such-migration",
    "stop no-such-migration",
    "confirm no-such-migration",
    "completions tcsh",
    "export name --format xml",
    "report",
    "report check no-such-folder",
    "report check source --key missing.pem",
];

#[test]
fn wrong_calls() {
    let place = Place::new();
    place.write("source/a", "a");
    std::fs::write(place.path("bad.toml"), "bandwith = \"1MB/s\"\n").unwrap();
    std::fs::write(place.path("units.toml"), "bandwidth = \"25\"\n").unwrap();
    std::fs::write(place.path("days.toml"), "bandwidth = \"mon-fry 5MB/s\"\n").unwrap();
    std::fs::write(place.path("switch.toml"), "json = \"x\"\n").unwrap();
    for arguments in CALLS {
        let mut words: Vec<&str> = arguments.split_whitespace().collect();
        let plain = place.run(&words).expect(2);
        assert!(!plain.stderr.trim().is_empty(), "{arguments}: nothing is said");
        assert!(plain.stdout.is_empty(), "{arguments}: {}", plain.stdout);
        words.push("--json");
        let result = place.run(&words).expect(2).result();
        assert_eq!(result["outcome"], "failed", "{arguments}");
        assert_eq!(result["exit_code"], 2, "{arguments}");
        assert!(result["files_copied"].is_u64() && result["as_of_txid"].is_null(), "{result}");
        assert!(result["message"].as_str().is_some_and(|text| !text.is_empty()), "{result}");
    }
    assert!(!place.path("target").exists(), "a wrong call touched the target");
}

/// What is wrong with a timetable is said with its place.
#[test]
fn wrong_timetables() {
    let place = Place::new();
    place.write("source/a", "a");
    let said = |text: &str| {
        let call = ["migrate", "source", "target", "--bandwidth", text];
        place.run(&call).expect(2).stderr
    };
    let error = said("mon-fri 08:00-18:00 1MB/s; fri 17:00-20:00 2MB/s");
    let told = "entry 1 (mon-fri 08:00-18:00 1MB/s) and entry 2 (fri 17:00-20:00 2MB/s) overlap";
    assert!(error.contains(told), "{error}");
    assert!(said("mon 5MB/s; tues 5MB/s").contains("entry 2 (tues): \"tues\" is no day"));
    let nowhere = Place::new().with(vec![("TZ", "Middle/Earth".to_owned())]);
    nowhere.write("source/a", "a");
    let call = ["migrate", "source", "target", "--bandwidth", "mon 5MB/s"];
    let error = nowhere.run(&call).expect(2).stderr;
    assert!(error.contains("local time"), "{error}");
    nowhere.run(&call[..3]).expect(0);
}

#[test]
fn help_version_and_completions() {
    let place = Place::new();
    let version = place.run(&["version"]).expect(0).stdout;
    assert_eq!(version.trim(), concat!("whimbrel ", env!("CARGO_PKG_VERSION")));
    assert_eq!(place.run(&["--version"]).expect(0).stdout, version);
    let result = place.run(&["version", "--json"]).expect(0).result();
    assert_eq!(result["version"], env!("CARGO_PKG_VERSION"));
    let help = place.run(&["help"]).expect(0).stdout;
    for command in [
        "migrate",
        "verify",
        "cutover",
        "doctor",
        "status",
        "path",
        "export",
        "report",
        "limit",
        "pause",
        "resume",
        "stop",
        "confirm",
        "version",
        "completions",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is missing in:\n{help}");
        let own = place.run(&["help", command]).expect(0).stdout;
        assert!(own.contains("Usage: whimbrel"), "{command}: {own}");
    }
    assert!(place.run(&["help", "migrate"]).stdout.contains("200Mbit/s"));
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("whimbrel"), "{shell}");
    }
}

/// Completions and help stood between JSON lines as they are.
#[test]
fn texts_for_programs_are_results() {
    let place = Place::new();
    let plain = place.run(&["completions", "bash"]).expect(0).stdout;
    let result = place.run(&["completions", "bash", "--json"]).expect(0).result();
    assert_eq!(result["script"].as_str().unwrap().trim_end(), plain.trim_end());
    for arguments in [&["help"][..], &["help", "migrate"], &["migrate", "--help"], &["--version"]] {
        let plain = place.run(arguments).expect(0).stdout;
        let result = place.run(&[arguments, &["--json"]].concat()).expect(0).result();
        assert_eq!(result["text"].as_str().unwrap(), plain.trim_end(), "{arguments:?}");
    }
}

#[test]
fn a_closed_reader_is_no_panic() {
    use std::process::Stdio;
    let place = Place::new();
    place.write("source/a", "a");
    let mut command = place.command(&["migrate", "source", "target", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(place.read("target/a").as_deref(), Some(&b"a"[..]));
}

/// A target that is a directory of the source by another mount, and the reverse.
#[test]
fn mounted_in_each_other() {
    let place = Place::new();
    place.write("source/inside/a", "a");
    std::fs::create_dir(place.path("mounted")).unwrap();
    let (inside, mounted) = (place.path("source/inside"), place.path("mounted"));
    let done = Command::new("mount").arg("--bind").args([&inside, &mounted]).output();
    if !done.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: needs the right to mount");
        return;
    }
    let ended = [["migrate", "source", "mounted"], ["migrate", "mounted", "source"]]
        .map(|arguments| place.run(&arguments));
    assert!(Command::new("umount").arg(&mounted).status().unwrap().success());
    for ended in ended {
        assert!(ended.expect(2).stderr.contains("one lies in the other"));
    }
}
