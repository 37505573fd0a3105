//! Since when a comparison holds, and what each process that took part compared.

use serde_json::{Map, Value, json};
use whimbrel_verify::Sums;

use super::Answer;
use super::followed::Followed;
use super::notes::{Earlier, Part};
use crate::output;
use crate::output::result::grouped;
use crate::running::Running;

/// What came before, and when this process began.
pub struct History {
    earlier: Vec<Part>,
    /// Counted by them.
    before: Sums,
    started: String,
    /// What had come to the target when it began.
    pub as_of_txid: Option<u64>,
    /// The transaction of the source as of which all of it holds (rule 10.2).
    whole_as_of_txid: Option<u64>,
    /// How much the stream named that is looked at again.
    looked_again: usize,
    /// Why it begins anew.
    refused: Option<String>,
}

impl History {
    /// This process begins after these, and up to there what happened meanwhile is known.
    pub async fn of(
        earlier: &Earlier,
        followed: Option<&Followed>,
        looked_again: usize,
        running: Option<&Running>,
    ) -> Self {
        let progress = match running {
            Some(running) => running.progress().await.unwrap_or_default(),
            None => Map::new(),
        };
        Self {
            earlier: earlier.parts.clone(),
            before: earlier.note.as_ref().map(|note| note.sums).unwrap_or_default(),
            started: output::now(),
            as_of_txid: progress.get("as_of_txid").and_then(Value::as_u64),
            whole_as_of_txid: followed.map(|followed| followed.txid),
            looked_again,
            refused: earlier.refused.clone(),
        }
    }

    fn is_resumed(&self) -> bool {
        !self.earlier.is_empty()
    }

    fn since(&self) -> &str {
        self.earlier.first().map_or(&self.started, |part| &part.started)
    }

    /// For programs, at the begin.
    pub fn begun(&self) -> Map<String, Value> {
        [
            ("resumed", self.is_resumed().into()),
            ("since", self.since().into()),
            ("begun_anew_because", self.refused.clone().into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
    }

    /// For people, at the begin.
    pub fn line(&self) -> Option<String> {
        if let Some(reason) = &self.refused {
            return Some(format!("it begins anew: {reason}"));
        }
        let compared = grouped(self.before.files_compared);
        let told = format!("goes on behind {compared} files, compared since {}", self.since());
        self.is_resumed().then_some(told)
    }

    /// What an answer says of it.
    pub fn add_to(&self, answer: &mut Answer, sums: &Sums) {
        answer.fields.extend(self.begun());
        answer.fields.insert("as_of_txid".to_owned(), self.whole_as_of_txid.into());
        answer.fields.insert("looked_again".to_owned(), self.looked_again.into());
        let by_this = |all: u64, before: u64| all.saturating_sub(before);
        let compared = by_this(sums.files_compared, self.before.files_compared);
        for (name, count) in [
            ("run_files_compared", compared),
            (
                "run_bytes_read_source",
                by_this(sums.bytes_read_source, self.before.bytes_read_source),
            ),
            (
                "run_bytes_read_target",
                by_this(sums.bytes_read_target, self.before.bytes_read_target),
            ),
        ] {
            answer.fields.insert(name.to_owned(), count.into());
        }
        let last = Part {
            started: self.started.clone(),
            ended: output::now(),
            files_compared: compared,
            as_of_txid: self.as_of_txid,
        };
        let parts: Vec<&Part> = self.earlier.iter().chain([&last]).collect();
        answer.fields.insert("parts".to_owned(), json!(parts));
        if !self.is_resumed() {
            return;
        }
        let as_of = match self.whole_as_of_txid {
            Some(txid) => format!("all of it holds as of transaction {txid}"),
            None => "of each this holds as of its time".to_owned(),
        };
        answer.verdict = format!("{} Compared in {} parts; {as_of}.", answer.verdict, parts.len());
        for part in parts {
            let as_of = part.as_of_txid.map(|txid| format!(", from transaction {txid} on"));
            let told = format!(
                "{} files, {} to {}{}",
                grouped(part.files_compared),
                part.started,
                part.ended,
                as_of.unwrap_or_default()
            );
            answer.rows.push(("part".to_owned(), told));
        }
    }
}
