//! Cuts listings and events to the scope before the core sees them (rule 1.8).

use whimbrel_core::entry::{Entry, Node};
use whimbrel_core::event::{Event, EventBatch};
use whimbrel_core::path::RelPath;
use whimbrel_core::scope::Scope;

/// True if what stands at the path belongs to the migration, or something below it could.
pub(crate) fn covers(scope: &Scope, path: &RelPath, node: &Node) -> bool {
    match node {
        Node::File(_) | Node::Special(_) => scope.covers_file(path),
        Node::Directory(_) => scope.covers_directory(path) || scope.enters(path),
    }
}

/// Leaves out of a listing what the scope does not cover.
pub(crate) fn cut_entries(scope: &Scope, entries: &mut Vec<Entry>) {
    entries.retain(|entry| covers(scope, &entry.path, &entry.node));
}

/// Leaves out of the stream what the scope does not cover.
pub(crate) fn cut_batches(scope: &Scope, batches: &mut Vec<EventBatch>) {
    for batch in batches.iter_mut() {
        let events = std::mem::take(&mut batch.events);
        batch.events = events.into_iter().filter_map(|event| cut(scope, event)).collect();
    }
    batches.retain(|batch| !batch.events.is_empty());
}

/// A rename across the border of the scope keeps the end that lies inside.
fn cut(scope: &Scope, event: Event) -> Option<Event> {
    let covered = match &event {
        Event::Created(path)
        | Event::Reopened(path)
        | Event::Closed(path)
        | Event::Truncated(path) => scope.covers_file(path),
        Event::DirectoryMade(path) => scope.covers_directory(path) || scope.enters(path),
        Event::Removed(path) | Event::MetadataChanged(path) => covers_any(scope, path),
        Event::RootTouched => true,
        Event::Renamed { from, to } => {
            let inside = |end: &Option<RelPath>| end.clone().filter(|path| covers_any(scope, path));
            let (from, to) = (inside(from), inside(to));
            let within = from.is_some() || to.is_some();
            return within.then_some(Event::Renamed { from, to });
        }
    };
    covered.then_some(event)
}

/// True if a file or a directory at the path, or something below it, belongs to the migration: the
/// stream does not say what stood there.
pub(crate) fn covers_any(scope: &Scope, path: &RelPath) -> bool {
    scope.covers_file(path) || scope.covers_directory(path) || scope.enters(path)
}

#[cfg(test)]
mod tests {
    use whimbrel_core::number::TxId;
    use whimbrel_core::scope::{DEFAULT_EXCLUSIONS, ScopeRules};

    use super::*;

    fn scope() -> Scope {
        Scope::new(&ScopeRules {
            excludes: vec!["secret/**".into()],
            component_excludes: DEFAULT_EXCLUSIONS.map(str::to_owned).to_vec(),
            ..ScopeRules::default()
        })
        .unwrap()
    }

    fn renamed(from: Option<&str>, to: Option<&str>) -> Event {
        Event::Renamed { from: from.map(RelPath::from), to: to.map(RelPath::from) }
    }

    #[test]
    fn rule_1_5_renames_across_the_border_keep_the_inner_end() {
        for (event, expected) in [
            (renamed(Some("a._COPYING_"), Some("a")), Some(renamed(None, Some("a")))),
            (renamed(Some("a"), Some(".Trash/a")), Some(renamed(Some("a"), None))),
            (renamed(Some("a"), Some("b")), Some(renamed(Some("a"), Some("b")))),
            (renamed(Some("x/_temporary/0"), Some("secret/x")), None),
            (renamed(None, Some("b/_temporary")), None),
            (renamed(Some("x/_temporary/0/d"), Some("x/d")), Some(renamed(None, Some("x/d")))),
            (Event::Closed("secret/a".into()), None),
            (Event::Closed("public/a".into()), Some(Event::Closed("public/a".into()))),
            (Event::Removed(".Trash".into()), None),
            (Event::RootTouched, Some(Event::RootTouched)),
        ] {
            assert_eq!(cut(&scope(), event.clone()), expected, "{event:?}");
        }
    }

    #[test]
    fn rule_1_8_transactions_without_an_event_in_scope_vanish() {
        let closed = |txid, path: &str| EventBatch {
            txid: TxId(txid),
            events: vec![Event::Closed(path.into())],
        };
        let mut batches = vec![closed(1, "a"), closed(2, "a/_temporary/b"), closed(3, "c")];
        cut_batches(&scope(), &mut batches);
        assert_eq!(batches, vec![closed(1, "a"), closed(3, "c")]);
    }
}
