//! What no history tells, since it changes only who comes when: limits at their very edges.

use super::*;

/// One without work, which may claim a hundred paths.
fn migration() -> Migration {
    let config = Config { claims_max: 100, passes_max: 7, ..Config::default() };
    let mut migration = Migration::new(config, &Meta::default(), Vec::new(), Time(1_000));
    while migration.poll().is_some() {}
    migration.outbox.persisted(u64::MAX);
    while migration.poll().is_some() {}
    migration
}

/// The lane that is asked for entries, and for how many of them.
fn asked(migration: &mut Migration) -> Option<(Lane, usize)> {
    migration.take_work();
    let asked = migration.poll();
    if let Some(Effect::Take { lane, limit, .. }) = asked {
        return Some((lane, limit));
    }
    assert_eq!(asked, None, "nothing else is asked for");
    None
}

#[test]
fn rule_3_4_every_lane_has_its_room() {
    let mut migration = migration();
    let mut rooms = |works: usize| {
        migration.works = works;
        [Lane::Live, Lane::Backlog, Lane::Metadata].map(|lane| migration.room(lane))
    };
    assert_eq!(rooms(0), [80, 7, 32]);
    assert_eq!(rooms(49), [31, 7, 32]);
    assert_eq!(rooms(50), [30, 7, 1], "half of the claims are metadata's at most");
    assert_eq!(rooms(80), [0, 7, 1], "a fifth is the backlog's");
    assert_eq!(rooms(95), [0, 5, 1]);
    assert_eq!(rooms(100), [0, 0, 0]);
}

#[test]
fn lanes_are_asked_in_turn() {
    let mut migration = migration();
    let mut lanes = Vec::new();
    for _ in 0..4 {
        lanes.extend(asked(&mut migration).map(|(lane, _)| lane));
        assert_eq!(asked(&mut migration), None, "one question at a time");
        migration.taking.clear();
        migration.drained = [false; 3];
    }
    assert_eq!(lanes, [Lane::Live, Lane::Backlog, Lane::Metadata, Lane::Live]);
    migration.drained = [false, true, false];
    assert_eq!(asked(&mut migration), Some((Lane::Metadata, 32)), "the backlog has none");
}

#[test]
fn nothing_is_asked_for_that_nobody_may_work_on() {
    let mut migration = migration();
    migration.works = 100;
    assert_eq!(asked(&mut migration), None, "all claims are in use");
    migration.works = 0;
    migration.stopping = true;
    assert_eq!(asked(&mut migration), None, "it stops");
    (migration.stopping, migration.paused) = (false, true);
    assert_eq!(asked(&mut migration), None, "it pauses");
    migration.paused = false;
    assert!(asked(&mut migration).is_some());
}
