//! What is handed out to be removed, and in which order.

use whimbrel_core::effect::Removable;
use whimbrel_core::input::Going;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Found, Row};
use whimbrel_core::scope::Scope;
use whimbrel_ledger::{Ledger, LedgerError};

use crate::covered::covers_any;
use crate::ledger_thread::RowsQuestion;

/// Rows read at a time while looking for directories without children.
const PAGE_ROWS: usize = 2_000;

/// The answer to `Effect::Rows`. What the scope does not cover (any more) is left out: it stays on
/// the target. Where directories are real (`children_first`) they come after everything else,
/// those without children first, because only an empty one can be removed.
pub(crate) fn removable(
    ledger: &Ledger,
    scope: &Scope,
    children_first: bool,
    asked: &RowsQuestion,
) -> Result<Vec<Going>, LedgerError> {
    let commit_markers = match asked.which {
        Removable::CommitMarkers => true,
        Removable::Others => false,
        Removable::Found => {
            let found = found(ledger, scope, &asked.under, asked.after.clone(), asked.limit)?;
            let going = |found: Found| Going { path: found.path, etag: found.etag };
            return Ok(found.into_iter().map(going).collect());
        }
    };
    let rows = rows(ledger, scope, children_first, commit_markers, asked)?;
    Ok(rows.into_iter().map(|row| Going { path: row.path, etag: row.etag }).collect())
}

/// True if a foreign object that the scope covers stands below a path.
pub(crate) fn any_found(
    ledger: &Ledger,
    scope: &Scope,
    under: &RelPath,
) -> Result<bool, LedgerError> {
    Ok(!found(ledger, scope, under, None, PAGE_ROWS)?.is_empty())
}

/// The next foreign objects below a path that the scope covers.
fn found(
    ledger: &Ledger,
    scope: &Scope,
    under: &RelPath,
    mut after: Option<RelPath>,
    limit: usize,
) -> Result<Vec<Found>, LedgerError> {
    loop {
        let mut page = ledger.found_below(under, after.as_ref(), limit)?;
        after = page.last().map(|last| last.path.clone());
        page.retain(|found| covers_object(scope, &found.path));
        if !page.is_empty() || after.is_none() {
            return Ok(page);
        }
    }
}

fn rows(
    ledger: &Ledger,
    scope: &Scope,
    children_first: bool,
    commit_markers: bool,
    asked: &RowsQuestion,
) -> Result<Vec<Row>, LedgerError> {
    let after = asked.after.clone();
    let mut pages = Pages { ledger, asked, commit_markers, after, limit: asked.limit };
    while let Some(mut page) = pages.next()? {
        page.retain(|row| covers_row(scope, row) && !(children_first && row.path.is_marker()));
        if !page.is_empty() {
            return Ok(page);
        }
    }
    if !children_first || commit_markers {
        return Ok(Vec::new());
    }
    childless(ledger, scope, asked)
}

/// True if the row's object belongs to the migration.
pub(crate) fn covers_row(scope: &Scope, row: &Row) -> bool {
    covers_object(scope, &row.path)
}

/// True if an object of the target belongs to the migration: it is a file, or marks a directory.
pub(crate) fn covers_object(scope: &Scope, path: &RelPath) -> bool {
    if path.is_marker() { covers_path(scope, path) } else { scope.covers_file(path) }
}

/// True if the path, whatever stands there, or the directory that it marks, belongs to the
/// migration.
pub(crate) fn covers_path(scope: &Scope, path: &RelPath) -> bool {
    match path.parent() {
        Some(directory) if path.is_marker() => covers_any(scope, &directory),
        Some(_) | None => covers_any(scope, path),
    }
}

/// Directories below which no row stands: in path order these are the ones that the next row does
/// not lie in.
fn childless(
    ledger: &Ledger,
    scope: &Scope,
    asked: &RowsQuestion,
) -> Result<Vec<Row>, LedgerError> {
    let mut found = Vec::new();
    let mut last: Option<Row> = None;
    let (after, limit) = (None, PAGE_ROWS);
    let mut pages = Pages { ledger, asked, commit_markers: false, after, limit };
    while let Some(page) = pages.next()? {
        for row in page {
            let childless = last.take_if(|last| !holds(last, &row));
            found.extend(childless.filter(|row| covers_row(scope, row)));
            last = Some(row).filter(|row| row.path.is_marker());
            if found.len() >= asked.limit {
                return Ok(found);
            }
        }
    }
    found.extend(last.filter(|row| covers_row(scope, row)));
    Ok(found)
}

fn holds(marker: &Row, row: &Row) -> bool {
    marker.path.parent().is_some_and(|directory| directory.contains(&row.path))
}

/// Pages of rows, one after the other.
struct Pages<'a> {
    ledger: &'a Ledger,
    asked: &'a RowsQuestion,
    commit_markers: bool,
    after: Option<RelPath>,
    limit: usize,
}

impl Pages<'_> {
    fn next(&mut self) -> Result<Option<Vec<Row>>, LedgerError> {
        let RowsQuestion { under, strictly_below, .. } = self.asked;
        let (after, commit_markers) = (self.after.as_ref(), self.commit_markers);
        let page = self.ledger.rows(under, after, commit_markers, *strictly_below, self.limit)?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.path.clone());
        Ok(Some(page))
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_core::effect::Ticket;
    use whimbrel_core::identity::Identity;
    use whimbrel_core::metadata::Metadata;
    use whimbrel_core::number::{Epoch, TxId};
    use whimbrel_core::path::Namespace;
    use whimbrel_core::record::Change;
    use whimbrel_core::scope::ScopeRules;

    use super::*;

    fn row(path: &str) -> Row {
        Row {
            path: path.into(),
            identity: Identity::Marker,
            length: 0,
            crc32c: None,
            etag: None,
            version: None,
            attempt: None,
            as_of: TxId(0),
            epoch: Epoch(0),
            metadata: Metadata::default(),
            ledger_only: false,
        }
    }

    /// Hands rows out and drops them, as removing does, until none is left.
    fn removed(paths: &[&str], scope: &Scope, children_first: bool) -> Vec<String> {
        let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
        let rows_of: Vec<Change> = paths.iter().map(|path| Change::PutRow(row(path))).collect();
        ledger.apply(&[&rows_of]).unwrap();
        let mut asked = RowsQuestion {
            ticket: Ticket(1),
            under: "d".into(),
            after: None,
            which: Removable::Others,
            strictly_below: true,
            limit: 2,
        };
        let mut order = Vec::new();
        loop {
            let page = removable(&ledger, scope, children_first, &asked).unwrap();
            let Some(last) = page.last() else { return order };
            asked.after = Some(last.path.clone());
            order.extend(page.iter().map(|going| going.path.to_string()));
            let dropped: Vec<Change> =
                page.into_iter().map(|going| Change::DropRow(going.path)).collect();
            ledger.apply(&[&dropped]).unwrap();
        }
    }

    const TREE: [&str; 9] = ["d/", "d/a/", "d/a/b/", "d/a/b/x", "d/a/y", "d/c/", "d/z", "e", "d2/"];

    #[test]
    fn directories_go_after_what_they_hold() {
        let order = removed(&TREE, &Scope::everything(), true);
        assert_eq!(order.len(), 7, "{order:?}");
        for (number, path) in order.iter().enumerate() {
            for later in &order[number + 1..] {
                assert!(!(path.ends_with('/') && later.starts_with(path)), "{order:?}");
            }
        }
        assert_eq!(order.last().unwrap(), "d/");
    }

    #[test]
    fn what_the_scope_leaves_out_stays() {
        let rules = ScopeRules { excludes: vec!["d/a".into()], ..ScopeRules::default() };
        let scope = Scope::new(&rules).unwrap();
        let mut order = removed(&TREE, &scope, false);
        order.sort();
        assert_eq!(order, vec!["d/", "d/c/", "d/z"]);
        let order = removed(&TREE, &scope, true);
        assert_eq!(order, vec!["d/z", "d/c/"], "the directory itself holds what stays");
    }
}
