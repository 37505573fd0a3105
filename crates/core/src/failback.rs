//! The way back: what is done about a path that users worked on at the target, decided by three
//! states of it: as the migration left it on both sides (the ledger's row), as it stands at the
//! target, and as it stands at the source.

use crate::config::RemovalGuard;

/// What became of one side of a path since the migration left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// It stands as it was left.
    AsLeft,
    /// Something stands there that was not left there.
    Other,
    /// Nothing stands there.
    Absent,
}

/// What is done about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing happened at the target, or nothing is known of the path there.
    Nothing,
    /// The target's bytes go to the source.
    Carry,
    /// The source's file goes.
    Remove,
    /// It is gone on both sides: the row goes.
    Forget,
    /// Both sides have something of their own: a conflict, unless their bytes are equal.
    Compare,
    /// Both sides changed.
    Conflict,
}

/// The verdict. `known`: the ledger has a row, so that something was left there; only then a side
/// can be `AsLeft`.
#[must_use]
pub fn decide(known: bool, target: Since, source: Since) -> Verdict {
    match (target, source) {
        (Since::AsLeft, _) => Verdict::Nothing,
        (Since::Other, Since::AsLeft) => Verdict::Carry,
        (Since::Other, Since::Other) => Verdict::Compare,
        (Since::Other, Since::Absent) if known => Verdict::Conflict,
        (Since::Other, Since::Absent) => Verdict::Carry,
        (Since::Absent, Since::AsLeft) => Verdict::Remove,
        (Since::Absent, Since::Absent) => Verdict::Forget,
        (Since::Absent, Since::Other) if known => Verdict::Conflict,
        (Since::Absent, Since::Other) => Verdict::Nothing,
    }
}

/// True if a person has to look before `going` of `known` objects are removed at the source: with
/// the bounds of the guard of migrations, and whenever the target has no file at all any more.
#[must_use]
pub fn asks_first(guard: &RemovalGuard, going: u64, known: u64, nothing_stands: bool) -> bool {
    let (Some(count_max), Some(share_max_percent)) = (guard.count_max, guard.share_max_percent)
    else {
        return false;
    };
    let share = u128::from(going) * 100 > u128::from(known) * u128::from(share_max_percent);
    going > 0 && (nothing_stands || going > count_max && share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_of_either_side() {
        use Since::{Absent, AsLeft, Other};
        use Verdict::{Carry, Compare, Conflict, Forget, Nothing, Remove};
        for (target, source, of_known, of_new) in [
            (AsLeft, AsLeft, Nothing, Nothing),
            (AsLeft, Other, Nothing, Nothing),
            (AsLeft, Absent, Nothing, Nothing),
            (Other, AsLeft, Carry, Carry),
            (Other, Other, Compare, Compare),
            (Other, Absent, Conflict, Carry),
            (Absent, AsLeft, Remove, Remove),
            (Absent, Other, Conflict, Nothing),
            (Absent, Absent, Forget, Forget),
        ] {
            assert_eq!(decide(true, target, source), of_known, "{target:?} {source:?}");
            assert_eq!(decide(false, target, source), of_new, "{target:?} {source:?} new");
        }
    }

    #[test]
    fn a_person_looks_first() {
        let guard = |count_max, share_max_percent| RemovalGuard { count_max, share_max_percent };
        let usual = guard(Some(1_000), Some(50));
        for (going, known, expected) in [
            (0, 0, false),
            (1, 1, false),
            (1_000, 1_001, false),
            (1_001, 2_002, false),
            (1_001, 2_001, true),
        ] {
            assert_eq!(asks_first(&usual, going, known, false), expected, "{going} of {known}");
            assert_eq!(asks_first(&usual, going, known, true), going > 0, "{going}, none is left");
        }
        assert!(!asks_first(&guard(None, Some(0)), 5, 5, true));
        assert!(!asks_first(&guard(Some(0), None), 5, 5, true));
        assert!(asks_first(&guard(Some(0), Some(0)), 1, 5, false));
    }
}
