//! Races of the scan with what happens meanwhile.

use whimbrel_engine::{Ending, ErrorKind, Outcome};

use crate::gates::Moment;
use crate::stage::{Stage, create, delete, mkdirs, rename, rename_over};

#[tokio::test(flavor = "multi_thread")]
async fn race_01_created_after_its_directory_was_listed() {
    let stage = Stage::shared("r01").await;
    stage.act([create("d/early", "early")]);
    let listed = stage.gate(Moment::Listed, "d");
    let run = stage.start().await;
    listed.reached().await;
    stage.act([create("d/late", "late"), create("d/a", "before the cursor")]);
    listed.open();
    let result = stage.equal(run).await;
    assert_eq!(result.progress.run.files_copied, 3, "{result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_02_created_before_the_scan_and_heard_of_again() {
    let stage = Stage::shared("r02").await;
    let positioned = stage.gate(Moment::Positioned, "");
    let run = stage.start().await;
    positioned.reached().await;
    stage.act([create("d/twice", "listed and heard of")]);
    positioned.open();
    let result = stage.equal(run).await;
    assert_eq!(result.progress.run.bytes_copied, 19, "{result:#?}");
    assert!(result.progress.run.changes_seen > 0, "{result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_03_listed_and_deleted_before_it_is_copied() {
    let stage = Stage::shared("r03").await;
    stage.act([create("d/gone", "gone"), create("d/stays", "stays")]);
    let listed = stage.gate(Moment::Listed, "d");
    let run = stage.start().await;
    listed.reached().await;
    stage.act([delete("d/gone")]);
    listed.open();
    let result = stage.equal(run).await;
    assert_eq!(stage.object("d/gone").await, None, "{result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_04_listed_then_made_anew_with_the_same_length() {
    let stage = Stage::shared("r04").await;
    stage.act([create("d/x", "former")]);
    let listed = stage.gate(Moment::Listed, "d");
    let run = stage.start().await;
    listed.reached().await;
    stage.act([delete("d/x"), create("d/x", "latter")]);
    listed.open();
    stage.equal(run).await;
    assert_eq!(stage.object("d/x").await.unwrap(), b"latter");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_05_directory_deleted_between_two_pages() {
    let stage = Stage::shared("r05").await;
    stage.act(["a", "b", "c", "d", "e", "f"].map(|name| create(&format!("d/{name}"), name)));
    stage.act([create("stays", "stays")]);
    let listed = stage.gate(Moment::Listed, "d");
    let run = stage.start().await;
    listed.reached().await;
    stage.act([delete("d")]);
    listed.open();
    stage.equal(run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn race_06_renamed_across_the_cursor_both_ways() {
    let stage = Stage::shared("r06").await;
    stage.act(["b", "c", "d", "e", "f", "z"].map(|name| create(&format!("d/{name}"), name)));
    let listed = stage.gate(Moment::Listed, "d");
    let run = stage.start().await;
    listed.reached().await;
    stage.act([rename("d/z", "d/a"), rename("d/b", "d/y")]);
    listed.open();
    stage.equal(run).await;
    assert_eq!(stage.object("d/a").await.unwrap(), b"z");
    assert_eq!(stage.object("d/y").await.unwrap(), b"b");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_07_unscanned_directory_renamed_to_where_the_scan_has_been() {
    let stage = Stage::shared("r07").await;
    stage.act([create("a/f", "f"), create("u/g", "g"), create("u/v/h", "h")]);
    let listing = stage.gate(Moment::Listing, "u");
    let run = stage.start().await;
    listing.reached().await;
    stage.stands("a/f").await;
    stage.act([rename("u", "a/u")]);
    listing.open();
    stage.equal(run).await;
    assert_eq!(stage.object("a/u/v/h").await.unwrap(), b"h");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_08_scanned_directory_renamed_to_where_the_scan_goes() {
    let stage = Stage::shared("r08").await;
    stage.act([create("a/f", "f"), create("a/b/g", "g"), create("z/h", "h")]);
    let listing = stage.gate(Moment::Listing, "z");
    let run = stage.start().await;
    listing.reached().await;
    stage.stands("a/f").await;
    stage.stands("a/b/g").await;
    stage.act([rename("a", "z/a")]);
    listing.open();
    stage.equal(run).await;
    assert_eq!(stage.object("a/f").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn race_09_directory_renamed_while_it_is_listed() {
    let stage = Stage::shared("r09").await;
    stage.act(["a", "b", "c", "d", "e", "f"].map(|name| create(&format!("d/{name}"), name)));
    let listed = stage.gate(Moment::Listed, "d");
    let run = stage.start().await;
    listed.reached().await;
    stage.act([rename("d", "e")]);
    listed.open();
    stage.equal(run).await;
    assert_eq!(stage.object("e/f").await.unwrap(), b"f");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_10_ancestor_of_the_frontier_renamed() {
    let stage = Stage::shared("r10").await;
    stage.act([create("a/b/c/f", "f"), create("a/b/g", "g"), create("a/b/d/h", "h")]);
    let listed = stage.gate(Moment::Listed, "a/b/c");
    let run = stage.start().await;
    listed.reached().await;
    stage.act([rename("a", "moved")]);
    listed.open();
    stage.equal(run).await;
    assert_eq!(stage.object("moved/b/c/f").await.unwrap(), b"f");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_11_directory_renamed_into_the_scope() {
    let stage = Stage::shared("r11").await;
    let away = stage.outside("away");
    stage.act([create(&format!("{away}/x/f"), "f"), create(&format!("{away}/g"), "g")]);
    stage.act([create("d/e", "e")]);
    let run = stage.migrated().await;
    stage.act([rename(&away, "d/in")]);
    let result = stage.equal(run).await;
    assert_eq!(result.progress.run.files_copied, 3, "{result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_12_directory_renamed_out_of_the_scope_and_into_the_trash() {
    let stage = Stage::shared("r12").await;
    stage.act([create("d/x/f", "f"), create("t/g", "g"), create("h", "h"), mkdirs(".Trash")]);
    let away = stage.outside("away");
    let run = stage.migrated().await;
    stage.act([rename("d", &away), rename("t", ".Trash/t")]);
    let result = stage.equal(run).await;
    assert_eq!(result.progress.run.files_removed, 2, "{result:#?}");
    assert_eq!(stage.object("t/g").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn race_13_restored_from_the_trash() {
    let stage = Stage::shared("r13").await;
    stage.act([create("t/g", "g"), create("h", "h"), mkdirs(".Trash")]);
    let run = stage.migrated().await;
    let held = stage.hold_stream().await;
    stage.act([rename("t", ".Trash/t"), rename(".Trash/t", "t")]);
    held.open();
    stage.equal(run).await;
    stage.act([rename("t", ".Trash/t")]);
    let mut run = stage.start().await;
    run.until(|now| now.run.files_removed == 1).await;
    assert_eq!(stage.object("t/g").await, None);
    stage.act([rename(".Trash/t", "t")]);
    stage.equal(run).await;
    assert_eq!(stage.object("t/g").await.unwrap(), b"g");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_14_chain_of_renames_while_queued() {
    let stage = Stage::shared("r14").await;
    stage.act([create("a/x", "x"), create("a/y/z", "z")]);
    let reading = stage.gate(Moment::Reading, "a/x");
    let run = stage.start().await;
    reading.reached().await;
    stage.act([rename("a", "b"), rename("b", "c"), rename("c/y", "b"), rename("c", "d")]);
    reading.open();
    stage.equal(run).await;
    assert_eq!(stage.object("d/x").await.unwrap(), b"x");
    assert_eq!(stage.object("b/z").await.unwrap(), b"z");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_15_cycle_of_renames() {
    let stage = Stage::shared("r15").await;
    stage.act([create("a", "of a"), create("b", "of b"), create("c", "of c")]);
    let run = stage.migrated().await;
    let held = stage.hold_stream().await;
    stage.act([rename("a", "t"), rename("b", "a"), rename("c", "b"), rename("t", "c")]);
    held.open();
    stage.equal(run).await;
    assert_eq!(stage.object("c").await.unwrap(), b"of a");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_16_two_directories_swapped() {
    let stage = Stage::shared("r16").await;
    stage.act([create("a/x", "a's"), create("b/x", "b's"), create("b/only", "only")]);
    let run = stage.migrated().await;
    let held = stage.hold_stream().await;
    stage.act([rename("a", "between"), rename("b", "a"), rename("between", "b")]);
    held.open();
    stage.equal(run).await;
    assert_eq!(stage.object("a/x").await.unwrap(), b"b's");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_17_renamed_away_and_made_anew_in_the_old_place() {
    let stage = Stage::shared("r17").await;
    stage.act([create("p/x", "old x"), create("p/y", "old y")]);
    let run = stage.migrated().await;
    stage.act([rename("p", "p_old"), mkdirs("p"), create("p/x", "new x")]);
    let result = stage.equal(run).await;
    assert_eq!(stage.object("p_old/x").await.unwrap(), b"old x");
    assert_eq!(stage.object("p/x").await.unwrap(), b"new x");
    assert_eq!(stage.object("p/y").await, None, "{result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_18_renamed_over_an_existing_file() {
    let stage = Stage::shared("r18").await;
    stage.act([create("a", "from a"), create("b", "from b")]);
    let run = stage.migrated().await;
    stage.act([rename_over("a", "b")]);
    stage.equal(run).await;
    assert_eq!(stage.object("b").await.unwrap(), b"from a");
    assert_eq!(stage.object("a").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn race_19_renamed_over_an_existing_empty_directory() {
    let stage = Stage::shared("r19").await;
    stage.act([create("a/x", "x"), mkdirs("empty")]);
    let run = stage.migrated().await;
    stage.act([rename_over("a", "empty")]);
    let result = stage.equal(run).await;
    assert_eq!(result.progress.run.markers_written, 1, "{result:#?}");
    assert_eq!(stage.object("empty/x").await.unwrap(), b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_20_old_rename_into_an_existing_directory() {
    let stage = Stage::shared("r20").await;
    stage.act([create("a/x", "x"), create("b/y", "y"), create("f", "f")]);
    let run = stage.migrated().await;
    stage.act([rename("a", "b"), rename("f", "b")]);
    stage.equal(run).await;
    assert_eq!(stage.object("b/a/x").await.unwrap(), b"x");
    assert_eq!(stage.object("b/f").await.unwrap(), b"f");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_21_tree_deleted_and_made_anew_at_once() {
    let stage = Stage::shared("r21").await;
    stage.act([create("d/x", "old"), create("d/e/y", "old"), create("d/e/z", "z")]);
    let run = stage.migrated().await;
    let removing = stage.gate(Moment::Removing, "d/x");
    stage.act([delete("d")]);
    removing.reached().await;
    stage.act([create("d/x", "new"), create("d/e/y", "new")]);
    removing.open();
    stage.equal(run).await;
    assert_eq!(stage.object("d/x").await.unwrap(), b"new");
    assert_eq!(stage.object("d/e/z").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn race_22_many_ancestors_made_by_one_call() {
    let stage = Stage::shared("r22").await;
    stage.act([create("f", "f")]);
    let run = stage.migrated().await;
    stage.act([mkdirs("a/b/c/d/e"), create("g/h/i/j/x", "x"), mkdirs("a/b/other")]);
    stage.equal(run).await;
    assert_eq!(stage.object("a/b/c/d/e/").await.unwrap(), b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_23_root_renamed_and_put_back() {
    let stage = Stage::shared("r23").await;
    stage.act([create("d/x", "x"), create("y", "y")]);
    let away = stage.outside("away");
    let run = stage.migrated().await;
    stage.act([rename("/r23", &away)]);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(stage.object("d/x").await.unwrap(), b"x", "everything was said to be absent");
    stage.act([create(&format!("{away}/z"), "z"), rename(&away, "/r23")]);
    let result = run.end().await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:#?}");
    assert_eq!(result.progress.run.files_removed, 0, "{result:#?}");
    stage.compare(&result).await;
}

/// Files of the new root were copied under the names of the old one's.
#[tokio::test(flavor = "multi_thread")]
async fn race_23_root_deleted_and_made_anew() {
    let stage = Stage::shared("r23b").await;
    stage.act([create("d/x", "x"), create("y", "y")]);
    let mut run = stage.migrated().await;
    stage.act([delete(""), mkdirs(""), create("d/x", "another"), create("new", "new")]);
    run.until(|now| now.source_root_lost_seconds.is_some()).await;
    stage.act([create("d/later", "later"), delete("new")]);
    // Longer than it has to be quiet before it ends.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let now = run.control.progress();
    assert!(now.lag_seconds > 4.0, "{now:#?}");
    assert_eq!((now.run.files_copied, now.run.files_removed), (2, 0), "{now:#?}");
    run.control.stop();
    let result = run.end().await;
    assert_eq!(result.ending, Ending::Stopped, "{result:#?}");
    assert_eq!(result.progress.as_of_txid, now.as_of_txid, "{result:#?}");
    let result = stage.start().await.end().await;
    let Ending::Failed(error) = &result.ending else { panic!("{result:#?}") };
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
    for (path, text) in [("d/x", Some("x")), ("y", Some("y")), ("new", None), ("d/later", None)] {
        let object = stage.object(path).await;
        assert_eq!(object.as_deref(), text.map(str::as_bytes), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn race_23_another_root_in_the_place_of_the_old_one_until_it_is_back() {
    let stage = Stage::shared("r23c").await;
    stage.act([create("d/x", "x"), create("d/gone", "gone"), create("y", "y")]);
    let away = stage.outside("away");
    let mut run = stage.migrated().await;
    let listing = stage.gate(Moment::Listed, "e");
    let outer = stage.outside("e");
    stage.act([create(&format!("{outer}/a"), "a"), rename(&outer, "e")]);
    listing.reached().await;
    let root = stage.absolute("");
    stage.act([rename(&root, &away), mkdirs(""), create("d/x", "another"), create("e/b", "b")]);
    listing.open();
    run.until(|now| now.source_root_lost_seconds.is_some()).await;
    stage.act([create(&format!("{away}/e/c"), "c"), delete(&format!("{away}/d/gone"))]);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(stage.object("d/x").await.unwrap(), b"x");
    assert_eq!(stage.object("d/gone").await.unwrap(), b"gone");
    assert_eq!((stage.object("e/b").await, stage.object("e/c").await), (None, None));
    stage.act([delete(""), rename(&away, &root)]);
    let result = run.end().await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:#?}");
    assert_eq!(result.progress.run.files_removed, 1, "{result:#?}");
    stage.compare(&result).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn race_24_renamed_from_an_excluded_place_into_the_scope_and_back() {
    let stage = Stage::shared("r24").await;
    stage.act([create("d/_temporary/a/x", "x"), create("d/_temporary/b", "b")]);
    stage.act([create("d/y/z", "z")]);
    let run = stage.migrated().await;
    assert_eq!(stage.object("d/_temporary/b").await, None);
    stage.act([
        rename("d/_temporary/a", "d/a"),
        rename("d/_temporary/b", "d/b"),
        rename("d/y", "d/_temporary/y"),
    ]);
    stage.equal(run).await;
    assert_eq!(stage.object("d/a/x").await.unwrap(), b"x");
    assert_eq!(stage.object("d/y/z").await, None);
}
