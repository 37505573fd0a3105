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
        for line in [guard, &held.result()] {
            assert!(line["remedy"].as_str().unwrap().contains("confirm guarded"), "{line}");
        }
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

/// That bound was no word for what an earlier run held: it asked for ever.
#[test]
fn no_bound_lets_go_of_what_an_earlier_run_holds() {
    for more in [&[][..], &["--live", "--until-quiet", "1s"]] {
        let place = migrated(more);
        for number in 0..FILES - 20 {
            std::fs::remove_file(place.path(&format!("source/d/{}/{number}", number % 7))).unwrap();
        }
        place.run(&[&CALL[..], more].concat()).expect(6);
        // Beside a stream what goes until the bound is met is not waited for.
        let held_min = if more.is_empty() { FILES + 1 } else { FILES + 1 - 1_000 };
        assert!(standing(&place) >= held_min, "{more:?}: {}", standing(&place));
        let call = [&CALL[..], &["--removals-max", "none"], more].concat();
        assert_eq!(place.run(&call).expect(0).result()["outcome"], "equal", "{more:?}");
        assert_eq!(standing(&place), 21, "{more:?}");
    }
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

/// A tree of a few files, and a target on which many others stand.
fn foreign() -> Place {
    let place = Place::new();
    for number in 0..20 {
        place.write(&format!("source/d/{number}"), number.to_string());
    }
    for number in 0..FILES {
        place.write(&format!("target/d/other/{}/{number}", number % 7), number.to_string());
    }
    place
}

#[test]
fn a_mass_of_extras_is_asked_about_until_somebody_confirms() {
    for more in [&[][..], &["--live", "--until-quiet", "1s"]] {
        let place = foreign();
        let call = [&CALL[..], &["--extras", "remove"], more].concat();
        for _ in 0..2 {
            let held = place.run(&call).expect(6);
            assert_eq!(standing(&place), FILES + 20, "{more:?}");
            assert!(held.lines().iter().any(|line| line["kind"] == "guard"), "{}", held.stdout);
        }
        place.run(&["confirm", "guarded"]).expect(0);
        assert_eq!(place.run(&call).expect(0).result()["outcome"], "equal");
        assert_eq!(standing(&place), 20, "{more:?}");
    }
}

#[test]
fn a_mass_of_extras_is_confirmed_through_the_socket() {
    let place = foreign();
    let running = place.spawn(&[&CALL[..], &["--extras", "remove", "--live"]].concat());
    until("it is held", || {
        let status = place.run(&["status", "guarded", "--json"]).result();
        status["guarded"].as_u64() > Some(0)
    });
    assert_eq!(standing(&place), FILES + 20);
    place.run(&["confirm", "guarded"]).expect(0);
    until("it is removed", || standing(&place) == 20);
    place.run(&["stop", "guarded"]).expect(0);
    running.ended();
}

/// A person guards a small tree, or wants no guard, by the bounds.
#[test]
fn the_bounds_can_be_set() {
    let few = ["--removals-max", "3"];
    let without = ["--removals-max", "none"];
    let larger_share = ["--removals-max", "3", "--removals-share-max", "90%"];
    for (bounds, code) in [(&few[..], 6), (&without[..], 0), (&larger_share[..], 0), (&[], 0)] {
        let place = Place::new();
        for number in 0..10 {
            place.write(&format!("source/d/{number}"), number.to_string());
        }
        place.run(&CALL).expect(0);
        for number in 0..8 {
            std::fs::remove_file(place.path(&format!("source/d/{number}"))).unwrap();
        }
        place.run(&[&CALL[..], bounds].concat()).expect(code);
        assert_eq!(standing(&place), if code == 6 { 10 } else { 2 }, "{bounds:?}");
        let status = place.run(&["status", "guarded", "--json"]).expect(0).result();
        let shown = (&status["removals_max"], &status["removals_share_max_percent"]);
        match bounds {
            ["--removals-max", "none"] => assert!(shown.0.is_null(), "{status}"),
            ["--removals-max", "3"] => assert_eq!(shown, (&3.into(), &50.into())),
            [_, _, ..] => assert_eq!(shown, (&3.into(), &90.into())),
            [] | [_] => assert_eq!(shown, (&1000.into(), &50.into())),
        }
    }
    Place::new().run(&["migrate", "a", "b", "--removals-share-max", "half"]).expect(2);
}
