//! Problems: one line for each, while the run goes on.

use std::collections::HashSet;

use serde_json::{Map, Value};
use whimbrel_core::effect::{Report, ReportKind};
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Parked;
use whimbrel_engine::ParkedPath;
use whimbrel_store::target::Finding;

use crate::doctor::target::stops_a_run;

use super::{json_line, path_fields, printable, standard_error};

/// Paths that are remembered as told.
const TOLD_MAX: usize = 200_000;

/// Tells problems, each path once.
pub struct Problems {
    json: bool,
    /// Of the migration.
    name: String,
    /// Others tell problems too.
    several: bool,
    told: HashSet<RelPath>,
}

impl Problems {
    /// Tells them as JSON on standard output, or as text on standard error.
    pub fn new(json: bool, name: &str) -> Self {
        Self { json, name: name.to_owned(), several: false, told: HashSet::new() }
    }

    /// Each says of which migration it is.
    pub fn among_others(self) -> Self {
        Self { several: true, ..self }
    }

    /// Tells what the target's server cannot do, where somebody can mend it; the rest is for the
    /// log and for `doctor`.
    pub fn finding(&mut self, finding: Finding) {
        let Some((kind, message, remedy)) = finding.problem else { return };
        tracing::warn!(check = finding.check, message, "the target cannot do everything");
        if stops_a_run(kind) {
            let message = format!("{}: {message}", finding.check);
            let failure = Failure { side: Side::Target, kind, message, remedy };
            self.tell(None, failure_kind(kind), None, &failure);
        }
    }

    /// Tells what the run is not to be asked about.
    pub fn note(&mut self, kind: &str, failure: &Failure) {
        self.tell(None, kind, None, failure);
    }

    /// Tells a report of the run.
    pub fn report(&mut self, report: &Report) {
        if let Some(path) = &report.path {
            let final_kind = matches!(report.kind, ReportKind::Failed | ReportKind::Open);
            let kept = final_kind || report.kind == ReportKind::Foreign;
            let again = kept && self.told.len() < TOLD_MAX && !self.told.insert(path.clone());
            if again && final_kind {
                return;
            }
        }
        let count = match report.kind {
            ReportKind::OutOfScope { objects } => Some(objects),
            ReportKind::Failed
            | ReportKind::Open
            | ReportKind::SideLost
            | ReportKind::SideBack
            | ReportKind::Gap
            | ReportKind::Snapshots
            | ReportKind::Image
            | ReportKind::HistoryShort
            | ReportKind::RootChanged
            | ReportKind::RootBack
            | ReportKind::HistoryChanged
            | ReportKind::Guard
            | ReportKind::Hot
            | ReportKind::Foreign
            | ReportKind::LedgerOnly => None,
        };
        self.tell(report.path.as_ref(), kind(report), count, &report.failure);
    }

    /// Tells what is set aside at the end, as far as it was not told before.
    pub fn parked(&mut self, parked: &ParkedPath) {
        if self.told.contains(&parked.path) {
            return;
        }
        let (kind, remedy) = set_aside(parked.reason);
        let failure = Failure {
            side: Side::Source,
            kind: FailureKind::Conflict,
            message: parked.message.clone(),
            remedy: remedy.to_owned(),
        };
        self.tell(Some(&parked.path), kind, None, &failure);
    }

    /// `count`: of how many paths the one is an example.
    fn tell(&self, path: Option<&RelPath>, kind: &str, count: Option<u64>, failure: &Failure) {
        if self.json {
            let mut fields = path.map(path_fields).unwrap_or_default();
            if self.several {
                add(&mut fields, "migration", &self.name);
            }
            add(&mut fields, "kind", kind);
            fields.extend(count.map(|count| ("count".to_owned(), count.into())));
            add(&mut fields, "message", &failure.message);
            add(&mut fields, "remedy", &with_name(&failure.remedy, &self.name));
            return json_line("problem", &fields);
        }
        // Many messages begin with the path.
        let named = path.map(RelPath::to_string).filter(|path| !failure.message.contains(path));
        let named = named.map(|path| format!("{path}: ")).unwrap_or_default();
        let whose = if self.several { format!("{}: ", self.name) } else { String::new() };
        let told = printable(&format!("{named}{}", failure.message));
        standard_error(&format!("{whose}{kind}: {told}"));
        if !failure.remedy.is_empty() {
            let remedy = with_name(&failure.remedy, &self.name);
            standard_error(&format!("  what to do: {remedy}"));
        }
    }
}

/// What is to be said, with the migration's name: who wrote the remedy does not know it.
pub fn with_name(remedy: &str, name: &str) -> String {
    remedy.replace("whimbrel confirm NAME", &format!("whimbrel confirm {name}"))
}

/// One word for why a path is set aside, and what to do about it.
pub fn set_aside(reason: Parked) -> (&'static str, &'static str) {
    match reason {
        Parked::Open => ("open", "close it at the source; lease recovery closes abandoned ones"),
        Parked::Failed => ("failed", "mend what the message names and start again"),
        Parked::Guard => ("guard", "look at it, then say whimbrel confirm NAME"),
        Parked::Removal => ("removal", "start again: it was about to be removed"),
        Parked::Foreign => {
            ("foreign", "move it away, or choose another --existing; then start again")
        }
        Parked::Delayed => ("delayed", "nothing: it goes once its time is over"),
    }
}

fn add(fields: &mut Map<String, Value>, name: &str, text: &str) {
    fields.insert(name.to_owned(), text.into());
}

/// One word for scripts.
fn kind(report: &Report) -> &'static str {
    match report.kind {
        ReportKind::Failed => failure_kind(report.failure.kind),
        ReportKind::Open => "open",
        ReportKind::SideLost if report.failure.kind == FailureKind::Full => "full",
        ReportKind::SideLost => match report.failure.side {
            Side::Source => "source_lost",
            Side::Target => "target_lost",
            Side::Local => "local_lost",
        },
        ReportKind::SideBack => match report.failure.side {
            Side::Source => "source_back",
            Side::Target => "target_back",
            Side::Local => "local_back",
        },
        ReportKind::Gap => "gap",
        ReportKind::Snapshots => "source_snapshots",
        ReportKind::Image => "fsimage",
        ReportKind::HistoryShort => "history_short",
        ReportKind::RootChanged => "root_changed",
        ReportKind::RootBack => "root_back",
        ReportKind::HistoryChanged => "history_changed",
        ReportKind::Guard => "guard",
        ReportKind::Hot => "hot",
        ReportKind::Foreign => "foreign",
        ReportKind::LedgerOnly => "metadata_ledger_only",
        ReportKind::OutOfScope { .. } => "out_of_scope",
    }
}

fn failure_kind(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Unavailable => "unavailable",
        FailureKind::Throttled => "throttled",
        FailureKind::Denied | FailureKind::Forbidden => "denied",
        FailureKind::Missing => "missing",
        FailureKind::Refused => "refused",
        FailureKind::Conflict => "conflict",
        FailureKind::Full => "full",
        FailureKind::Corrupt => "corrupt",
        FailureKind::Moved => "moved",
        FailureKind::Unsupported => "unsupported",
        FailureKind::Defect => "defect",
    }
}
