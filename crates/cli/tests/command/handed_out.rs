//! What is handed to others: exports in all forms, read by DuckDB, and signed reports.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::call::{Place, until};

/// Names that are a formula, a script, another record, a terminal's order, or no text at all.
const HOSTILE: [&[u8]; 8] = [
    b"plain year=2026.csv",
    b"=HYPERLINK(\"x\";+1)",
    b"a\n\"file\",\"b\"",
    b"<script>alert(1)<",
    b"\x1b[2J\x07",
    b"not\xff utf8",
    b"back\\slash\\u003d",
    b"-1;@x,\r\t",
];

fn hostile_tree(place: &Place) {
    for (number, name) in HOSTILE.iter().enumerate() {
        let path = place.path("source").join(OsStr::from_bytes(name));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, vec![7; number * 1000]).unwrap();
    }
    place.write("source/d/e/c", "deep");
    std::fs::create_dir_all(place.path("source/empty")).unwrap();
}

/// Runs a program of Python that has DuckDB.
fn python(place: &Place, program: &str, arguments: &[&str]) -> Value {
    let python = whimbrel_testbed::install_duckdb().unwrap();
    let mut command = Command::new(python);
    command.current_dir(place.path("")).args(["-c", program]).args(arguments);
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn export(place: &Place, format: &str) {
    let output = place.command(&["export", "m", "--format", format]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(place.path(&format!("move.{format}")), output.stdout).unwrap();
}

/// The rows of the three forms, each read as docs/ledger.md says, which have to be the same.
const SAME_ROWS: &str = r#"
import csv, duckdb, io, json

def flat(record, prefix=""):
    row = {}
    for name, value in record.items():
        whole = prefix + name
        if isinstance(value, dict) and whole != "metadata_xattrs":
            row.update(flat(value, whole + "_"))
        else:
            row[whole] = json.dumps(value) if isinstance(value, dict) else value
    return row

def rows(table):
    return [{name: value for name, value in row.items() if value is not None} for row in table]

def unescaped(cell):
    return json.loads('"' + cell.replace('"', '\\"') + '"')

connection = duckdb.connect()
relation = connection.sql("SELECT * FROM 'move.parquet'")
names, types = relation.columns, [str(kind) for kind in relation.types]
parquet = rows(dict(zip(names, row)) for row in relation.fetchall())
lines = [flat(json.loads(line)) for line in open("move.jsonl", encoding="utf-8")]
lines = rows(lines)
text = open("move.csv", encoding="utf-8", newline="").read()
assert text.count("\n") == len(lines) + 1, "one record is one line"
assert not any(ord(c) < 32 and c != "\n" for c in text), "no control characters"
assert text.split("\n")[0].split(",") == names

def cell(kind, given, name):
    if given == "" and name != "path":
        return None
    return {"VARCHAR": unescaped, "BOOLEAN": lambda it: it == "true"}.get(kind, int)(given)

table = list(csv.reader(io.StringIO(text)))[1:]
for row in table:
    for given in row:
        assert not given[:1] in "=+@" or given == "", given
        assert given[:1] != "-" or given[1:].isdigit(), given
comma = rows({n: cell(k, v, n) for n, k, v in zip(names, types, row)} for row in table)
form = "all_varchar=true, escape='\"', quote='\"'"
duck = connection.sql(f"SELECT * FROM read_csv('move.csv', {form})")
assert len(duck.fetchall()) == len(lines), "DuckDB's own reader of CSV"
key = lambda row: (row["kind"], row["path"], row.get("path_base64", ""))
for one in (parquet, lines, comma):
    one.sort(key=key)
for row in parquet + comma:
    if "metadata_xattrs" in row:
        row["metadata_xattrs"] = json.dumps(json.loads(row["metadata_xattrs"]))
assert parquet == lines, (parquet, lines)
# An empty text and nothing are the same to this reader of CSV.
drop = lambda table: [{k: v for k, v in row.items() if v != "" or k == "path"} for row in table]
assert drop(comma) == drop(lines), (comma, lines)
print(json.dumps(lines))
"#;

#[test]
fn exports_of_all_forms_have_the_same_rows() {
    let place = Place::new();
    hostile_tree(&place);
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    for format in ["jsonl", "csv", "parquet"] {
        export(&place, format);
    }
    let rows = python(&place, SAME_ROWS, &[]);
    let mut files = BTreeMap::new();
    for row in rows.as_array().unwrap().iter().filter(|row| row["kind"] == "file") {
        let path = match row["path_base64"].as_str() {
            Some(encoded) => STANDARD.decode(encoded).unwrap(),
            None => row["path"].as_str().unwrap().as_bytes().to_vec(),
        };
        let path = PathBuf::from(std::ffi::OsString::from_vec(path));
        files.insert(path, (row["length"].clone(), row["crc32c"].clone()));
    }
    let of_tree = place.tree("source").into_iter().map(|(path, content)| {
        (path, (content.len().into(), format!("{:08x}", crc32c::crc32c(&content)).into()))
    });
    assert_eq!(files, of_tree.collect());
    place.run(&["export", "m", "--format", "csv", "--json"]).expect(2);
}

#[test]
fn exports_are_made_while_it_runs() {
    let place = Place::new();
    hostile_tree(&place);
    let child = place.spawn(&["migrate", "source", "target", "--live", "--name", "m"]);
    // Directories follow their files, and the three exports have to be of one state.
    until("a migration that has caught up", || place.run(&["cutover", "m", "--dry-run"]).code == 0);
    for format in ["jsonl", "csv", "parquet"] {
        export(&place, format);
    }
    place.run(&["status", "m"]).expect(0);
    place.run(&["stop", "m"]).expect(0);
    child.ended_within(Duration::from_secs(60)).expect(143);
    let rows = python(&place, SAME_ROWS, &[]);
    let files = rows.as_array().unwrap().iter().filter(|row| row["kind"] == "file");
    assert_eq!(files.count(), HOSTILE.len() + 1);
}

/// A full disk is told; a reader that goes away is none of our business.
#[test]
fn exports_that_nobody_takes() {
    let place = Place::new();
    for number in 0..2_000 {
        place.write(&format!("source/{number}"), "x");
    }
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    for format in ["jsonl", "csv", "parquet"] {
        let mut call = place.command(&["export", "m", "--format", format]);
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let ended = call.stdout(full).output().unwrap();
        assert_eq!(ended.status.code(), Some(7), "{format}: {ended:?}");
        let mut call = place.command(&["export", "m", "--format", format]);
        let mut child = call.spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{format}: {ended:?}");
    }
}

/// Every query of docs/ledger.md, on an export of the name that it uses.
#[test]
fn the_documented_queries_answer() {
    let place = Place::new();
    place.write("source/a/one", "1");
    place.write("source/a/two", "22");
    place.write("source/b/three", "333");
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    export(&place, "parquet");
    export(&place, "csv");
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ledger.md");
    let document = std::fs::read_to_string(document).unwrap();
    let queries = document.split("```sql\n").skip(1);
    let queries: Vec<&str> = queries.map(|rest| rest.split("```").next().unwrap()).collect();
    let program = "import duckdb, json, sys\n\
        print(json.dumps([duckdb.sql(query).fetchall() for query in sys.argv[1:]]))";
    let answers = python(&place, program, &queries);
    let expected =
        serde_json::json!([[["a", 2, 3, 0], ["b", 1, 3, 0]], [["a/one"], ["a/two"], ["b/three"]],]);
    assert_eq!(answers, expected);
}

fn json_of(place: &Place, name: &str) -> Value {
    serde_json::from_slice(&place.read(name).unwrap()).unwrap()
}

fn altered(place: &Place, call: &[&str]) -> Vec<String> {
    let ended = place.run(&[call, &["--json"]].concat());
    let result = ended.result();
    let lines = ended.lines();
    let problems = lines.iter().filter(|line| line["type"] == "problem");
    let names: Vec<String> =
        problems.map(|problem| problem["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ended.code, if names.is_empty() { 0 } else { 5 }, "{}", ended.stdout);
    assert_eq!(result["outcome"], if names.is_empty() { "intact" } else { "altered" });
    names
}

#[test]
fn a_report_of_a_comparison_is_signed_and_checked() {
    let place = Place::new();
    hostile_tree(&place);
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    std::fs::remove_file(place.path("target").join(OsStr::from_bytes(HOSTILE[3]))).unwrap();
    let verify = ["verify", "m", "--report", "proof", "--exclude", "<b>/**", "--json"];
    let verified = place.run(&verify).expect(5).result();
    assert!(verified["report"].as_str().unwrap().ends_with("proof"), "{verified}");
    let key = place.path("state/whimbrel/.report-key.pk8");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    place.run(&["status"]).expect(0);

    let summary = json_of(&place, "proof/report.json");
    assert_eq!((&summary["outcome"], &summary["exceptions"]), (&"different".into(), &1.into()));
    let told = String::from_utf8(place.read("proof/files.jsonl").unwrap()).unwrap();
    let files: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_kind = |kind: &str| files.iter().filter(|file| file["kind"] == kind).count();
    assert_eq!(of_kind("file"), HOSTILE.len() + 1, "{told}");
    let proven = files.iter().filter(|file| file["method"].is_string());
    assert_eq!(proven.count(), files.len() - 1);
    let methods = summary["methods"].as_array().unwrap();
    let records: u64 = methods.iter().map(|method| method["records"].as_u64().unwrap()).sum();
    assert_eq!(records, files.len() as u64, "{summary}");
    let exception = json_of(&place, "proof/exceptions.jsonl");
    assert_eq!(
        (&exception["path"], &exception["kind"]),
        (&"<script>alert(1)<".into(), &"missing".into())
    );
    let page = String::from_utf8(place.read("proof/report.html").unwrap()).unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)&lt;") && !page.contains("<script"), "{page}");

    assert!(page.contains("--exclude &lt;b&gt;/**"), "what was left out is told: {page}");
    assert_eq!(summary["scope"]["exclude"][0], "<b>/**");

    // On another machine, with the key as its owner gave it.
    std::fs::copy(place.path("proof/public_key.pem"), place.path("given.pem")).unwrap();
    let elsewhere = Place::new();
    for name in place.tree("proof").keys() {
        let content = std::fs::read(place.path("proof").join(name)).unwrap();
        elsewhere.write(&format!("r/{}", name.display()), content);
    }
    elsewhere.write("given.pem", place.read("given.pem").unwrap());
    let check = ["report", "check", "r", "--key", "given.pem"];
    assert_eq!(altered(&elsewhere, &check), [""; 0]);
    assert_eq!(altered(&elsewhere, &["report", "check", "r"]), [""; 0]);
    assert!(!elsewhere.path("state").exists(), "checking makes no key");
    for (name, content) in elsewhere.tree("r") {
        let name = name.to_str().unwrap();
        let mut bad = content.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        elsewhere.write(&format!("r/{name}"), bad);
        assert!(altered(&elsewhere, &check).contains(&name.to_owned()), "{name}");
        elsewhere.write(&format!("r/{name}"), content);
    }
    // Another signer.
    hostile_tree(&elsewhere);
    elsewhere.run(&["migrate", "source", "target", "--report", "r2"]).expect(0);
    assert_eq!(altered(&elsewhere, &["report", "check", "r2"]), [""; 0]);
    let call = ["report", "check", "r2", "--key", "given.pem"];
    assert_eq!(altered(&elsewhere, &call), ["SHA256SUMS.sig"]);
    // Nothing is written over.
    place.run(&verify).expect(2);
}

/// Tools that have nothing to do with Whimbrel check it too.
#[test]
fn a_report_is_checked_by_openssl() {
    let place = Place::new();
    hostile_tree(&place);
    place.run(&["migrate", "source", "target", "--report", "proof"]).expect(0);
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.current_dir(place.path("proof")).args(arguments).output()
    };
    let sums = run("sha256sum", &["--check", "--strict", "SHA256SUMS"]).unwrap();
    assert!(sums.status.success(), "{}", String::from_utf8_lossy(&sums.stdout));
    let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", "public_key.pem", "-rawin"];
    let files = ["-in", "SHA256SUMS", "-sigfile", "SHA256SUMS.sig"];
    match run("openssl", &[&verify[..], &files].concat()) {
        Ok(checked) => {
            let told = String::from_utf8_lossy(&checked.stderr).into_owned();
            assert!(checked.status.success(), "{told}");
        }
        Err(error) => eprintln!("SKIPPED: openssl: {error}"),
    }
}

#[test]
fn a_report_of_a_migration_has_all_that_the_ledger_keeps() {
    let place = Place::new();
    hostile_tree(&place);
    std::os::unix::fs::symlink("nowhere", place.path("source/link")).unwrap();
    let call = ["migrate", "source", "target", "--name", "m", "--report", "proof", "--json"];
    let ended = place.run(&call).expect(5).result();
    assert_eq!(ended["failures"], 1, "{ended}");
    place.run(&["report", "check", "proof"]).expect(0);
    let summary = json_of(&place, "proof/report.json");
    assert_eq!((&summary["outcome"], &summary["exceptions"]), (&"incomplete".into(), &1.into()));
    let exception = json_of(&place, "proof/exceptions.jsonl");
    assert_eq!((&exception["path"], &exception["kind"]), (&"link".into(), &"failed".into()));
    export(&place, "jsonl");
    assert_eq!(place.read("proof/files.jsonl"), place.read("move.jsonl"));
    let written = summary["methods"].as_array().unwrap().iter().find(|way| way["kind"] == "file");
    let written = written.unwrap();
    assert_eq!(written["method"], "written_with_checksum");
    assert_eq!(written["records"], HOSTILE.len() + 1);

    // What keeps a report from being written is told before days of work.
    place.run(&["migrate", "source", "target", "--report", "source/proof"]).expect(2);
    place.run(&["migrate", "source", "target", "--report", "proof"]).expect(2);
    let key = place.path("state/whimbrel/.report-key.pk8");
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o644)).unwrap();
    place.run(&["migrate", "source", "new", "--report", "again"]).expect(7);
    assert!(!place.path("new").exists() && !place.path("again").exists());
}
