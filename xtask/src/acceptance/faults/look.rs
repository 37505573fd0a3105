//! One call of `verify`, what the servers counted meanwhile, and whether it was right.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::plan::{Fault, MOVING};
use crate::acceptance::ground::{FINDINGS_KEPT, Ground};

/// The S3 server writes down a request after it answered it.
const WRITTEN_DOWN: Duration = Duration::from_millis(500);

/// What is told of a file that somebody writes to.
const OPEN: &str = "is being written at the source";

/// What a call said, and what it cost.
#[derive(Debug)]
pub struct Look {
    /// Its exit code.
    pub code: i32,
    /// Its `difference` lines.
    pub told: Vec<Value>,
    /// Its `result` line.
    pub result: Value,
    /// How long it took.
    pub seconds: f64,
    /// Bytes that DataNodes sent meanwhile, as they count.
    pub data_node_bytes: u64,
    /// Objects that were read of the S3 server meanwhile, as it writes down.
    pub objects_read: u64,
}

impl Look {
    /// Calls it.
    pub fn at(ground: &Ground, more: &[&str]) -> Result<Self, Box<dyn Error>> {
        let counts = || -> Result<_, Box<dyn Error>> {
            std::thread::sleep(WRITTEN_DOWN);
            Ok((ground.hadoop()?.stats()?.bytes_read, ground.objects_read()?))
        };
        let before = counts()?;
        let begin = Instant::now();
        let (code, lines) = ground.verify(more)?;
        let seconds = begin.elapsed().as_secs_f64();
        let after = counts()?;
        Ok(Self {
            code,
            told: of_type(&lines, "difference"),
            result: of_type(&lines, "result").pop().unwrap_or_default(),
            seconds,
            data_node_bytes: after.0.saturating_sub(before.0),
            objects_read: after.1.saturating_sub(before.1),
        })
    }

    /// True if it says so, and ends so.
    pub fn says(&self, outcome: &str, code: i32) -> bool {
        self.result["outcome"] == json!(outcome) && self.code == code
    }

    /// No byte of a file was read on either side, by the servers' own counts.
    pub fn read_nothing(&self) -> bool {
        self.data_node_bytes == 0 && self.objects_read == 0
    }

    /// For the book.
    pub fn measured(&self) -> Value {
        let result = &self.result;
        json!({
            "exit_code": self.code,
            "outcome": result["outcome"],
            "seconds": self.seconds,
            "bytes_read_from_data_nodes": self.data_node_bytes,
            "objects_read_from_s3": self.objects_read,
            "bytes_read_source": result["bytes_read_source"],
            "bytes_read_target": result["bytes_read_target"],
            "files_compared": result["files_compared"],
            "verified_by_checksum": result["verified_by_checksum"],
            "verified_by_reading": result["verified_by_reading"],
        })
    }
}

fn of_type(lines: &[Value], kind: &str) -> Vec<Value> {
    lines.iter().filter(|line| line["type"] == json!(kind)).cloned().collect()
}

/// What was told, beside what was done.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Faults of which every path was told, rightly, by their kind.
    pub found: BTreeMap<&'static str, u64>,
    /// Paths that were not told.
    pub missed: Vec<String>,
    /// Paths that were told as something else.
    pub called_otherwise: Vec<Value>,
    /// What nobody did.
    pub besides: Vec<Value>,
    /// What was told of the part that is being changed, by what it was called.
    pub in_motion: BTreeMap<String, u64>,
}

impl Judgement {
    /// Of faults that have to be told.
    pub fn of(look: &Look, faults: &[&Fault]) -> Self {
        let mut judgement = Self::default();
        let mut told: BTreeMap<&str, &Value> = BTreeMap::new();
        for line in &look.told {
            let path = line["path"].as_str().unwrap_or_default();
            if path.starts_with(MOVING) {
                let open = line["message"].as_str().is_some_and(|said| said.contains(OPEN));
                let kind = line["kind"].as_str().filter(|_| !open).unwrap_or("open");
                *judgement.in_motion.entry(kind.to_owned()).or_default() += 1;
            } else if told.insert(path, line).is_some() {
                judgement.besides.push(line.clone());
            }
        }
        for fault in faults {
            let mut right = true;
            for path in &fault.paths {
                match told.remove(path.as_str()) {
                    Some(line) if line["kind"] == json!(fault.kind.told()) => continue,
                    Some(line) => judgement.called_otherwise.push(line.clone()),
                    None => judgement.missed.push(format!("{}: {path}", fault.kind.name())),
                }
                right = false;
            }
            *judgement.found.entry(fault.kind.name()).or_default() += u64::from(right);
        }
        judgement.besides.extend(told.into_values().cloned());
        judgement
    }

    /// Every fault was told, by its name, and nothing else.
    pub fn is_right(&self) -> bool {
        self.missed.is_empty() && self.is_true() && self.called_otherwise.is_empty()
    }

    /// Nothing was told that is not so. What moves may be told as moving, or as open.
    pub fn is_true(&self) -> bool {
        let moves = |kind: &String| kind == "moving" || kind == "open";
        self.besides.is_empty()
            && self.called_otherwise.is_empty()
            && self.in_motion.keys().all(moves)
    }

    /// How many were found.
    pub fn count(&self) -> u64 {
        self.found.values().sum()
    }

    /// For the book.
    pub fn add_to(&self, measured: &mut Value) {
        measured["found"] = json!(self.count());
        measured["found_by_kind"] = json!(self.found);
        for (name, list) in [
            ("not_found", self.missed.iter().map(|path| json!(path)).collect()),
            ("called_otherwise", self.called_otherwise.clone()),
            ("named_besides", self.besides.clone()),
        ] {
            measured[name] = json!(list.len());
            if !list.is_empty() {
                let kept: Vec<&Value> = list.iter().take(FINDINGS_KEPT).collect();
                measured[format!("{name}_kept")] = json!(kept);
            }
        }
        if !self.in_motion.is_empty() {
            measured["named_in_what_moves"] = json!(self.in_motion);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acceptance::faults::plan::Kind;

    fn look(told: &[(&str, &str)]) -> Look {
        let told = told.iter().map(|(path, kind)| json!({"path": path, "kind": kind})).collect();
        let (code, result, seconds) = (5, Value::Null, 0.0);
        Look { code, told, result, seconds, data_node_bytes: 0, objects_read: 0 }
    }

    #[test]
    fn a_judgement_sees_what_is_missing_and_what_is_too_much() {
        let fault = |kind, paths: &[&str]| {
            let paths = paths.iter().map(|path| (*path).to_owned()).collect();
            Fault { kind, paths, draw: 0 }
        };
        let faults = [fault(Kind::Swapped, &["a", "b"]), fault(Kind::Removed, &["c"])];
        let faults: Vec<&Fault> = faults.iter().collect();
        let all = [("a", "different"), ("b", "different"), ("c", "missing")];
        assert!(Judgement::of(&look(&all), &faults).is_right());
        let half = Judgement::of(&look(&all[1..]), &faults);
        assert_eq!((half.count(), half.missed.len(), half.is_right()), (1, 1, false));
        assert!(half.is_true());
        for more in [("d", "extra"), ("c", "missing"), ("moving/x", "different")] {
            let more = [&all[..], &[more]].concat();
            assert!(!Judgement::of(&look(&more), &faults).is_true(), "{more:?}");
        }
        let otherwise = [all[0], all[1], ("c", "different")];
        assert!(!Judgement::of(&look(&otherwise), &faults).is_true());
        let moves = [&all[..], &[("moving/x", "moving")]].concat();
        assert!(Judgement::of(&look(&moves), &faults).is_right());
    }
}
