//! Where a running migration stands, as far as a cut-over asks.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Reason;
use crate::output::result::count as counted;

/// What a running migration said of itself.
#[derive(Clone, Debug, Default)]
pub struct Stand(Map<String, Value>);

/// What was seen at the source up to a moment: while it stays the same, nothing in scope changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    changes: u64,
    /// Parts of the history that were not followed.
    gaps: u64,
}

impl Seen {
    /// How many changes came between.
    pub fn since(self, earlier: Self) -> u64 {
        (self.changes + self.gaps).saturating_sub(earlier.changes + earlier.gaps)
    }
}

/// What is pending, under way, or not heard of, each with its name for people.
const WORK: [(&str, [&str; 2]); 8] = [
    ("pending_live", ["pending change", "pending changes"]),
    ("pending_backlog", ["entry of the backlog", "entries of the backlog"]),
    ("pending_metadata", ["pending change of metadata", "pending changes of metadata"]),
    ("copies", ["copy under way", "copies under way"]),
    ("passes", ["directory being gone through", "directories being gone through"]),
    ("claims", ["path being worked on", "paths being worked on"]),
    ("attempts", ["write whose end is not known", "writes whose end is not known"]),
    ("unknown_outcomes", ["write of unknown outcome", "writes of unknown outcome"]),
];

/// Why nothing can be done now.
const LOST: [(&str, &str); 3] = [
    ("source_lost_seconds", "the source does not answer"),
    ("source_root_lost_seconds", "another directory stands at the source's root"),
    ("target_lost_seconds", "the target does not answer"),
];

impl Stand {
    /// Of an answer with its sums flattened.
    pub fn new(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    /// One field.
    pub fn field(&self, name: &str) -> Value {
        self.0.get(name).cloned().unwrap_or_default()
    }

    fn count(&self, name: &str) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    fn is(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// Since the run began: less than before is another run.
    pub fn elapsed_seconds(&self) -> f64 {
        self.0.get("elapsed_seconds").and_then(Value::as_f64).unwrap_or_default()
    }

    /// Every change up to here is on the target.
    pub fn as_of_txid(&self) -> Option<u64> {
        self.0.get("as_of_txid").and_then(Value::as_u64)
    }

    /// True if it follows no stream.
    pub fn is_without_stream(&self) -> bool {
        let phase = self.0.get("phase").and_then(Value::as_str);
        phase == Some("running") && !self.0.get("applied_txid").is_some_and(Value::is_u64)
    }

    /// The first scan is done.
    pub fn is_scanned(&self) -> bool {
        self.is("scanned") && self.as_of_txid().is_some()
    }

    /// Up to which moment the stream was followed, milliseconds since 1970.
    pub fn followed_ms(&self) -> Option<u64> {
        self.0.get("followed_ms").and_then(Value::as_u64)
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        Seen { changes: self.count("changes_followed"), gaps: self.count("gaps") }
    }

    /// What has still to be done, in words; `None`: nothing.
    pub fn waits_for(&self) -> Option<String> {
        if self.is("paused") {
            return Some("it is paused".to_owned());
        }
        let lost = LOST.iter().find(|(name, _)| self.0.get(*name).is_some_and(Value::is_number));
        if let Some((_, told)) = lost {
            return Some((*told).to_owned());
        }
        let mut left: Vec<String> = Vec::new();
        for (name, [one, several]) in WORK {
            let count = self.count(name);
            left.extend((count > 0).then(|| counted(count, one, several)));
        }
        let phase = self.0.get("phase").and_then(Value::as_str).unwrap_or_default();
        if left.is_empty() && phase != "running" {
            left.push(format!("it is {phase}"));
        }
        let lag = self.0.get("lag_seconds").and_then(Value::as_f64).unwrap_or_default();
        if left.is_empty() && lag > 0.0 {
            left.push(format!("it is {lag:.1} s behind"));
        }
        (!left.is_empty()).then(|| left.join(", "))
    }

    /// What was set aside: it does not get onto the target by waiting.
    pub fn set_aside(&self) -> Vec<Reason> {
        let failed = "whimbrel migrate tells each; mend what it names, and let it try again";
        let held =
            "look at it, then whimbrel confirm NAME, or see the problem lines of the migration";
        let reasons = [
            ("failures", "failed", ["path failed", "paths failed"], failed),
            (
                "guarded",
                "guard",
                ["path is held for a person's word", "paths are held for a person's word"],
                held,
            ),
        ];
        let reasons = reasons.into_iter().map(|(name, kind, [one, several], remedy)| {
            let count = self.count(name);
            (count > 0).then(|| Reason { kind, message: counted(count, one, several), remedy })
        });
        reasons.flatten().collect()
    }

    /// Paths that are gone at the source and stay for a time: a cut-over has them go.
    pub fn delayed(&self) -> u64 {
        self.count("removals_delayed")
    }

    /// What only the target has and the migration did not write, as a reason.
    pub fn extras(&self) -> Option<Reason> {
        let count = self.count("extras");
        let told = "that the source does not have and others wrote";
        (count > 0).then(|| Reason {
            kind: "different",
            message: format!("the target has {} {told}", counted(count, "object", "objects")),
            remedy: "remove them, or say --ignore-extras; whimbrel verify names each",
        })
    }

    /// Files that are open, as a reason.
    pub fn open_files(&self) -> Option<Reason> {
        let count = self.count("files_open");
        (count > 0).then(|| Reason {
            kind: "open",
            message: match count {
                1 => "1 file is open for writing at the source".to_owned(),
                _ => format!("{count} files are open for writing at the source"),
            },
            remedy: "end what writes them, or recover their leases; then say it again",
        })
    }
}

/// Of a duration; of a moment, since 1970.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stand(changed: Value) -> Stand {
        let mut fields = json!({
            "phase": "running", "scanned": true, "as_of_txid": 7, "applied_txid": 7,
            "followed_ms": 1000, "lag_seconds": 0.0, "changes_followed": 3, "gaps": 0,
        });
        let all = fields.as_object_mut().unwrap();
        all.extend(changed.as_object().unwrap().clone());
        Stand::new(all.clone())
    }

    #[test]
    fn everything_that_is_left_is_waited_for() {
        assert_eq!(stand(json!({})).waits_for(), None);
        for changed in [
            json!({ "pending_live": 1 }),
            json!({ "pending_backlog": 1 }),
            json!({ "pending_metadata": 1 }),
            json!({ "copies": 1 }),
            json!({ "passes": 1 }),
            json!({ "claims": 1 }),
            json!({ "attempts": 1 }),
            json!({ "unknown_outcomes": 1 }),
            json!({ "phase": "joining" }),
            json!({ "lag_seconds": 0.1 }),
            json!({ "paused": true }),
            json!({ "source_lost_seconds": 0.0 }),
            json!({ "source_root_lost_seconds": 1.5 }),
            json!({ "target_lost_seconds": 1.5 }),
        ] {
            assert!(stand(changed.clone()).waits_for().is_some(), "{changed}");
        }
        for (changed, kind) in
            [(json!({ "failures": 2 }), "failed"), (json!({ "guarded": 2 }), "guard")]
        {
            let reasons = stand(changed).set_aside();
            assert_eq!(reasons.iter().map(|reason| reason.kind).collect::<Vec<_>>(), [kind]);
        }
        assert_eq!(stand(json!({ "files_open": 1 })).open_files().unwrap().kind, "open");
        assert_eq!(stand(json!({ "extras": 1 })).extras().unwrap().kind, "different");
        assert_eq!(stand(json!({ "extras": 0 })).extras(), None);
    }

    /// A part of the history that was not followed may hold changes.
    #[test]
    fn changes_and_gaps_are_seen() {
        let seen = |changed| stand(changed).seen();
        let before = seen(json!({ "pending_live": 1, "changes_seen": 9 }));
        assert_eq!(seen(json!({})), before);
        assert_eq!(seen(json!({ "changes_followed": 4 })).since(before), 1);
        assert_eq!(seen(json!({ "gaps": 1 })).since(before), 1);
    }
}
