//! Calls about a migration whose state folder was tampered with.

use crate::call::Place;

fn small_tree(place: &Place) {
    place.write("source/a", "first");
    place.write("source/d/b", "second");
    place.write("source/d/c", "third");
}

/// What is gone at the source and kept for a time was told as extra, and nothing else was missed.
#[test]
fn verify_of_a_damaged_state_tells_no_difference() {
    let place = Place::new();
    small_tree(&place);
    let migrate = ["migrate", "source", "target", "--name", "kept", "--removals-after", "1h"];
    place.run(&migrate).expect(0);
    std::fs::remove_file(place.path("source/a")).unwrap();
    place.run(&migrate).expect(0);
    let verify = ["verify", "kept", "--json"];
    assert_eq!(place.run(&verify).expect(0).result()["delayed"], 1);
    let database = place.path("state/whimbrel/kept/state.db");
    let whole = std::fs::read(&database).unwrap();
    // The version stands in bytes 60 to 63.
    let newer = [&whole[..60], &99_u32.to_be_bytes(), &whole[64..]].concat();
    for damaged in [Vec::new(), vec![b'x'; whole.len()], newer] {
        std::fs::write(&database, &damaged).unwrap();
        let ended = place.run(&verify).expect(7);
        assert!(!ended.stdout.contains("\"difference\""), "{}", ended.stdout);
        place.run(&["verify", "source", "target", "--state", "state/whimbrel/kept"]).expect(7);
    }
    std::fs::remove_file(&database).unwrap();
    place.run(&verify).expect(7);
    std::fs::write(&database, whole).unwrap();
    place.run(&verify).expect(0);
}

/// A migration whose `call.json` somebody removed had never begun.
#[test]
fn a_call_that_was_removed_is_damage() {
    let place = Place::new();
    small_tree(&place);
    let migrate = ["migrate", "source", "target", "--name", "m"];
    place.run(&migrate).expect(0);
    std::fs::remove_file(place.path("state/whimbrel/m/call.json")).unwrap();
    for call in ["verify m", "failback m", "cutover m", "cutover m --undo-fence", "status m"] {
        let told = place.run(&call.split(' ').collect::<Vec<_>>()).expect(7).stderr;
        assert!(told.contains("call.json was removed"), "{call}: {told}");
    }
    // As the remedy says.
    place.run(&migrate).expect(0);
    place.run(&["verify", "m"]).expect(0);
}

/// `--exclude` took the place of what the migration had left out, which was told as missing then.
#[test]
fn verify_of_a_migration_leaves_out_what_that_left_out() {
    let place = Place::new();
    small_tree(&place);
    place.run(&["migrate", "source", "target", "--name", "m", "--exclude", "d/**"]).expect(0);
    place.run(&["verify", "m"]).expect(0);
    let compared = |extra: &[&str]| {
        let call = [&["verify", "m", "--json"], extra].concat();
        place.run(&call).expect(0).result()["files_compared"].as_u64().unwrap()
    };
    assert_eq!(compared(&[]), 1);
    assert_eq!(compared(&["--exclude", "nothing/**"]), 1);
    assert_eq!(compared(&["--exclude", "a"]), 0);
}
