//! What earlier runs brought and a changed scope does not cover any more: it stays on the target,
//! and people are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use whimbrel_core::effect::{Report, ReportKind};
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::path::RelPath;
use whimbrel_core::scope::{Scope, ScopeRules};
use whimbrel_ledger::{Ledger, LedgerError};

use crate::problems::Problems;
use crate::removable::covers_row;
use crate::world::World;

/// The setting that holds what was counted last.
const SETTING: &str = "out_of_scope";
/// Rows looked at between two other questions to the ledger.
const PAGE_ROWS: usize = 1_000;

/// What a scope leaves out. It changes only with the scope: nothing of it is touched meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    rules: ScopeRules,
    objects: u64,
    /// One of them, a file if there is one.
    example: Option<RelPath>,
}

/// Counts them into `objects` and tells of them; once for each scope the whole ledger is read.
pub(crate) async fn tell_of_left(world: Arc<World>, objects: Arc<AtomicU64>, problems: Problems) {
    match left(&world).await {
        Ok(Some(left)) => {
            objects.store(left.objects, Ordering::Relaxed);
            if let Some(report) = report(left) {
                problems.tell(report);
            }
        }
        // The run is ending.
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "what the scope leaves out was not counted"),
    }
}

async fn left(world: &World) -> Result<Option<Left>, LedgerError> {
    let rules = world.scope.rules().clone();
    let Some(kept) = world.desk.query(|ledger| ledger.setting(SETTING)).await else {
        return Ok(None);
    };
    let kept: Option<Left> = kept?.and_then(|text| serde_json::from_str(&text).ok());
    if let Some(kept) = kept.filter(|kept| kept.rules == rules) {
        return Ok(Some(kept));
    }
    let mut left = Left { rules, ..Left::default() };
    let mut after = None;
    loop {
        let scope = world.scope.clone();
        let page = world.desk.query(move |ledger| count(ledger, &scope, left, after)).await;
        let Some(page) = page else { return Ok(None) };
        (left, after) = page?;
        if after.is_none() {
            break;
        }
    }
    let text = serde_json::to_string(&left).unwrap_or_default();
    match world.desk.query(move |ledger| ledger.set_setting(SETTING, &text)).await {
        Some(kept) => kept.map(|()| Some(left)),
        None => Ok(None),
    }
}

/// Adds a page of rows; answers where to go on.
fn count(
    ledger: &Ledger,
    scope: &Scope,
    mut left: Left,
    after: Option<RelPath>,
) -> Result<(Left, Option<RelPath>), LedgerError> {
    let page = ledger.rows_after(after.as_ref(), PAGE_ROWS)?;
    for row in page.iter().filter(|row| !covers_row(scope, row)) {
        left.objects += 1;
        if left.example.as_ref().is_none_or(|path| path.is_marker() && !row.path.is_marker()) {
            left.example = Some(row.path.clone());
        }
    }
    Ok((left, page.into_iter().last().map(|row| row.path)))
}

fn report(left: Left) -> Option<Report> {
    let Left { objects, example, .. } = left;
    let path = example?;
    let what = if objects == 1 { "object" } else { "objects" };
    Some(Report {
        kind: ReportKind::OutOfScope { objects },
        failure: Failure {
            side: Side::Target,
            kind: FailureKind::Refused,
            message: format!(
                "out of the scope of this call: {objects} {what} of earlier runs, such as {path}; \
                 what is there stays on the target"
            ),
            remedy:
                "remove it by hand if nobody needs it there, or start again with the scope that \
                     covers it"
                    .to_owned(),
        },
        path: Some(path),
    })
}
