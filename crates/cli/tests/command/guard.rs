//! The guard against mass deletion, as an operator meets it.

use crate::call::{Place, until};

const FILES: usize = 1_300;

/// A tree of many files that stand on the target, all but one in `d`.
fn migrated(options: &[&str]) -> Place {
    let place = Place::new();
    place.write("source/kept", "kept");
    for number in 0..FILES {
        place.write(&format!("source/d/{}/{number}", number % 7), number.to_string());
    }
    let call = ["migrate", "source", "target", "--name", "guarded"];
    place.run(&[&call, options].concat()).expect(0);
    place
}

fn standing(place: &Place) -> usize {
    place.tree("target").len()
}

const CALL: [&str; 6] = ["migrate", "source", "target", "--name", "guarded", "--json"];

#[test]
fn an_emptied_tree_is_asked_about_until_somebody_confirms() {
    let place = migrated(&[]);
    std::fs::remove_dir_all(place.path("source/d")).unwrap();
    for _ in 0..2 {
        let held = place.run(&CALL).expect(6);
        assert_eq!(standing(&place), FILES + 1);
        let told = held.lines();
        let guard = told.iter().find(|line| line["kind"] == "guard").expect("a problem line");
        assert!(guard["remedy"].as_str().unwrap().contains("whimbrel confirm"), "{guard}");
    }
    let status = place.run(&["status", "guarded", "--json"]).expect(0).result();
    assert!(status["guarded"].as_u64() > Some(0), "{status}");
    let word = place.run(&["confirm", "guarded"]).expect(0);
    assert!(word.stdout.contains("removes"), "{}", word.stdout);
    assert_eq!(place.run(&CALL).expect(0).result()["outcome"], "equal");
    assert_eq!(standing(&place), 1);
    let word = place.run(&["confirm", "guarded"]).expect(0);
    assert!(word.stdout.contains("holds nothing back"), "{}", word.stdout);
}

#[test]
fn files_that_go_one_by_one_are_counted_before_the_first_is_removed() {
    let place = migrated(&[]);
    for number in 0..FILES - 20 {
        std::fs::remove_file(place.path(&format!("source/d/{}/{number}", number % 7))).unwrap();
    }
    place.run(&CALL).expect(6);
    assert_eq!(standing(&place), FILES + 1);
}

#[test]
fn a_tree_emptied_under_a_live_run_is_held_and_confirmed_through_its_socket() {
    let place = migrated(&["--live", "--until-quiet", "1s"]);
    let live = [&CALL[..], &["--live"]].concat();
    let running = place.spawn(&live);
    let status = || place.run(&["status", "guarded", "--json"]).result();
    until("it runs", || status()["running"] == true);
    std::fs::remove_dir_all(place.path("source/d")).unwrap();
    until("it is held", || status()["guarded"].as_u64() > Some(0));
    place.write("source/new", "new");
    until("others go on", || place.read("target/new").is_some());
    assert_eq!(standing(&place), FILES + 2);
    place.run(&["stop", "guarded"]).expect(0);
    running.ended();

    let quiet = [&live[..], &["--until-quiet", "1s"]].concat();
    let held = place.run(&quiet).expect(6);
    assert!(held.lines().iter().any(|line| line["kind"] == "guard"), "{}", held.stdout);
    assert_eq!(standing(&place), FILES + 2);

    let running = place.spawn(&live);
    until("it holds on", || {
        let status = status();
        status["running"] == true && status["guarded"].as_u64() > Some(0)
    });
    place.run(&["confirm", "guarded"]).expect(0);
    until("it is removed", || standing(&place) == 2);
    place.run(&["stop", "guarded"]).expect(0);
    running.ended();
}

/// What a narrower scope leaves out is not gone.
#[test]
fn a_narrower_scope_is_no_mass_deletion() {
    let place = migrated(&[]);
    let scope = ["--exclude", "d/1/**", "--exclude", "d/2/**", "--exclude", "d/3/**"];
    let more = ["--exclude", "d/4/**", "--exclude", "d/5/**"];
    place.run(&[&CALL[..], &scope, &more].concat()).expect(0);
    assert_eq!(standing(&place), FILES + 1);
}
