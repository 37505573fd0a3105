//! Commit markers come last (rule 7.1): one of which something that it speaks for is set aside is
//! set aside with that.

use std::collections::{BTreeMap, HashSet};

use whimbrel_core::commit_marker::{comes_after, group, in_turns};
use whimbrel_core::path::RelPath;

/// Why something does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// Somebody has to mend it first.
    Failed,
    /// A person has to decide first.
    Held,
}

/// Groups of which something is set aside.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    failed: HashSet<RelPath>,
    held: HashSet<RelPath>,
    /// Commit markers that are set aside for themselves: later versions of their logs follow them.
    markers: BTreeMap<RelPath, Aside>,
}

impl Groups {
    /// This path does not arrive.
    pub fn set_aside(&mut self, path: &RelPath, why: Aside) {
        if group(path).is_some() {
            self.markers.insert(path.clone(), why);
            return;
        }
        let groups = match why {
            Aside::Failed => &mut self.failed,
            Aside::Held => &mut self.held,
        };
        // Where one is known, all above it are.
        let mut group = Some(path.clone());
        while let Some(path) = group.filter(|path| groups.insert(path.clone())) {
            group = path.parent();
        }
    }

    /// What becomes of commit markers that would be written; `None`: they arrive.
    pub fn settle(&mut self, markers: Vec<RelPath>) -> BTreeMap<RelPath, Option<Aside>> {
        let mut settled = BTreeMap::new();
        for marker in in_turns(markers).into_iter().flatten() {
            let why = self.waits_for(&marker);
            if let Some(why) = why {
                self.markers.insert(marker.clone(), why);
            }
            settled.insert(marker, why);
        }
        settled
    }

    fn waits_for(&self, marker: &RelPath) -> Option<Aside> {
        let directory = marker.parent()?;
        let beside = self.markers.range(directory..).take_while(|(path, _)| {
            marker.parent().is_some_and(|directory| directory.contains(path))
        });
        let mut earlier = beside.filter(|(other, _)| comes_after(marker, other));
        if let Some((_, why)) = earlier.next() {
            return Some(*why);
        }
        let group = group(marker)?;
        if self.held.contains(&group) {
            return Some(Aside::Held);
        }
        self.failed.contains(&group).then_some(Aside::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(groups: &mut Groups, markers: &[&str]) -> Vec<Option<Aside>> {
        let paths: Vec<RelPath> = markers.iter().map(|marker| RelPath::from(*marker)).collect();
        let settled = groups.settle(paths.clone());
        paths.iter().map(|path| settled[path]).collect()
    }

    #[test]
    fn a_marker_follows_what_it_speaks_for() {
        let mut groups = Groups::default();
        groups.set_aside(&"a/b/file".into(), Aside::Failed);
        groups.set_aside(&"c/_SUCCESS".into(), Aside::Failed);
        groups.set_aside(&"d".into(), Aside::Held);
        let markers = ["_SUCCESS", "a/_SUCCESS", "a/b/_SUCCESS", "a/c/_SUCCESS", "d/_SUCCESS"];
        let failed = Some(Aside::Failed);
        let held = Some(Aside::Held);
        assert_eq!(settled(&mut groups, &markers), [held, failed, failed, None, held]);
        assert_eq!(settled(&mut Groups::default(), &["_SUCCESS"]), [None]);
    }

    #[test]
    fn a_version_of_a_log_follows_the_ones_before() {
        let mut groups = Groups::default();
        groups.set_aside(&"t/_delta_log/2.json".into(), Aside::Failed);
        let versions = ["t/_delta_log/1.json", "t/_delta_log/3.json", "t/_delta_log/4.json"];
        let failed = Some(Aside::Failed);
        assert_eq!(settled(&mut groups, &versions), [None, failed, failed]);
    }
}
