//! A report as it was signed, and with every byte of it altered.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::draft::{Draft, Facts, Way};
use crate::key::SigningKey;
use crate::schema::COMPARISON;

struct Ground {
    folder: TempDir,
    public: PublicKey,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::at(&folder.path().join("key")).unwrap();
        let mut draft = Draft::begin(&folder.path().join("report"), COMPARISON).unwrap();
        let equal = json!({
            "path": "a", "kind": "file", "length": 3, "result": "equal", "method": "checksum",
        });
        draft.file(&equal, Way { kind: "file", method: "checksum" }).unwrap();
        let message = "<img src=x onerror=alert(1)>";
        let missing = json!({ "path": "<script>\n", "kind": "missing", "message": message });
        draft.exception(&missing).unwrap();
        let facts = Facts { title: "A report".to_owned(), ..Facts::default() };
        draft.finish(&facts, &key).unwrap();
        Self { folder, public: key.public() }
    }

    fn report(&self) -> PathBuf {
        self.folder.path().join("report")
    }

    /// The files that are told, against the given key or the one beside the report.
    fn told(&self, given: bool) -> Vec<String> {
        let checked = check(&self.report(), Some(&self.public).filter(|_| given)).unwrap();
        if checked.findings.is_empty() {
            assert_eq!(checked.signed_by, Some(self.public.fingerprint()));
        }
        checked.findings.into_iter().map(|found| found.file).collect()
    }
}

#[test]
fn a_report_is_as_it_was_signed() {
    let ground = Ground::new();
    assert_eq!((ground.told(true), ground.told(false)), (Vec::new(), Vec::new()));
    assert_eq!(names(&ground.report()).unwrap().len(), SUMMED.len() + 2);
    let page = fs::read_to_string(ground.report().join("report.html")).unwrap();
    assert!(page.contains("&lt;script&gt;\\u{a}") && page.contains("&lt;img src=x onerror"));
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    let again = Draft::begin(&ground.report(), COMPARISON).map(drop);
    assert!(matches!(again, Err(ReportError::Taken(_))), "a report is never written over");
}

#[test]
fn every_altered_byte_is_told_by_name() {
    let ground = Ground::new();
    for name in names(&ground.report()).unwrap() {
        let path = ground.report().join(&name);
        let whole = fs::read(&path).unwrap();
        for index in (0..whole.len()).step_by(whole.len().div_ceil(400)) {
            let mut altered = whole.clone();
            altered[index] ^= 1 << (index % 8);
            fs::write(&path, altered).unwrap();
            for given in [true, false] {
                let told = ground.told(given);
                assert!(told.contains(&name), "{name} byte {index}: {told:?}");
            }
        }
        let longer = [whole.as_slice(), b"\n"].concat();
        for altered in [longer.as_slice(), &whole[..whole.len() - 1], b""] {
            fs::write(&path, altered).unwrap();
            assert!(ground.told(true).contains(&name) && ground.told(false).contains(&name));
        }
        fs::remove_file(&path).unwrap();
        assert!(ground.told(true).contains(&name) && ground.told(false).contains(&name));
        fs::create_dir(&path).unwrap();
        assert!(ground.told(true).contains(&name) && ground.told(false).contains(&name));
        fs::remove_dir(&path).unwrap();
        fs::write(&path, whole).unwrap();
        assert_eq!(ground.told(true), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn what_somebody_else_signed_is_told() {
    let (ground, other) = (Ground::new(), Ground::new());
    let checked = check(&other.report(), Some(&ground.public)).unwrap();
    assert_eq!(checked.signed_by, None);
    assert_eq!(checked.findings.len(), 1, "{:?}", checked.findings);
    assert!(checked.findings[0].message.contains(&other.public.fingerprint()));
    // Whoever signs it anew has another key.
    for name in names(&other.report()).unwrap() {
        fs::copy(other.report().join(&name), ground.report().join(&name)).unwrap();
    }
    assert!(check(&ground.report(), Some(&ground.public)).unwrap().signed_by.is_none());
}

#[test]
fn an_unfinished_report_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report");
    drop(Draft::begin(&path, COMPARISON).unwrap());
    assert!(!path.exists());
}

#[test]
fn what_was_added_is_told() {
    let ground = Ground::new();
    fs::write(ground.report().join("more.html"), "signed, surely").unwrap();
    assert_eq!(ground.told(true), ["more.html"]);
    assert!(matches!(check(&ground.report().join("no"), None), Err(ReportError::NoFolder(_))));
}
