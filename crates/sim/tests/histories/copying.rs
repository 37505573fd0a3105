//! Sections 2, 3 and 4: what is the same, what stood still, and what has no known end.

use whimbrel_core::config::{Existing, RequestLifetime};
use whimbrel_core::effect::{Effect, Finish, ReportKind};
use whimbrel_core::record::Parked;
use whimbrel_sim::options::Options;
use whimbrel_sim::world::target::{Carried, Object, Writer};
use whimbrel_sim::{Run, Way};

use crate::stage::*;

/// The file's number, length and time are the same; its bytes are not.
#[test]
fn rule_2_1_same_length_mtime_set_back() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    let before = target_content(&mut run, "a");
    assert!(run.source().rewrite_same_size(&path("a")));
    until_settled(&mut run);
    assert_ne!(target_content(&mut run, "a"), before);
    ends_equal(run);
}

/// The same history without a stream: only a second scan can tell.
#[test]
fn rule_2_1_same_length_seen_by_a_scan() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    let poll = held(&mut run, |effect| matches!(effect, Effect::Poll { .. }));
    assert!(run.source().rewrite_same_size(&path("a")));
    run.source().purge();
    answered_late(&mut run, poll, 1);
    ends_equal(run);
}

/// A PUT without a known end carries the older mode and the same bytes: what stands has the entity
/// tag that the row speaks of, and only its attempt tells that it is the older one.
#[test]
fn rule_2_3_object_is_known_by_its_attempt() {
    let mut run = run();
    file(&mut run, "a", 5);
    let put = held(&mut run, copies("a"));
    run.release(put, Way::Unheard(4_000));
    assert!(run.source().change_mode(&path("a"), 0o600));
    let mode = |run: &Run, mode| run.carries(&path("a"), mode);
    assert!(run.until(|run| mode(run, 0o600)), "the newer one arrives");
    assert!(run.until(|run| mode(run, 0o644)), "then the older one lands");
    ends_equal(run);
}

/// Two parts of x are read, and between them x and y change places, and back before anybody looks.
#[test]
fn rule_3_1_swapped_between_two_parts_and_back() {
    let mut run = still(Options { multipart_bytes: 1, live: false, ..Options::still() });
    file(&mut run, "x", 50);
    file(&mut run, "y", 50);
    let swap = |run: &mut Run| {
        rename(run, "x", "aside");
        rename(run, "y", "x");
        rename(run, "aside", "y");
    };
    let upload = held(&mut run, copies("x"));
    until_equal(&mut run, "y");
    answered_late(&mut run, upload, 200);
    swap(&mut run);
    let look = held(&mut run, examines("x"));
    swap(&mut run);
    answered_late(&mut run, look, 1);
    assert_eq!(run.end(), Ok(Finish::Done));
    assert_eq!(run.difference(), None);
    assert_eq!(counters(&run).files_copied, 2, "what was read was whole");
}

/// Cut and grown to its length between the first part and the last, in place: the list of blocks
/// that was pinned does not show it, the stream does.
#[test]
fn rule_3_1_torn_in_place_is_never_completed() {
    let mut run = still(Options { multipart_bytes: 1, ..Options::still() });
    file(&mut run, "a", 50);
    let upload = held(&mut run, copies("a"));
    answered_late(&mut run, upload, 200);
    wait(&mut run, 50);
    assert!(run.source().truncate(&path("a")));
    assert!(run.source().append(&path("a")));
    assert!(run.source().close(&path("a"), 25));
    let completed = held(&mut run, |effect| matches!(effect, Effect::Complete { .. }));
    let Effect::Complete { upload, .. } = &completed else { panic!("a completion") };
    let content = source_content(&mut run, "a").expect("closed").to_string();
    assert!(upload.parts.iter().all(|part| part.etag == content), "{upload:?}");
    answered_late(&mut run, completed, 1);
    ends_equal(run);
}

/// The file grows while it is read: the upload is not completed with what was read.
#[test]
fn rule_3_2_append_under_a_staged_upload() {
    let mut run = still(Options { multipart_bytes: 1, ..Options::still() });
    file(&mut run, "a", 50);
    let upload = held(&mut run, copies("a"));
    answered_late(&mut run, upload, 200);
    assert!(run.source().append(&path("a")));
    assert!(run.source().close(&path("a"), 10));
    let completed = held(&mut run, |effect| matches!(effect, Effect::Complete { .. }));
    let Effect::Complete { upload, .. } = &completed else { panic!("a completion") };
    let length: u64 = upload.parts.iter().map(|part| part.length).sum();
    assert_eq!(length, 60, "what is completed is the whole of the grown file");
    answered_late(&mut run, completed, 1);
    ends_equal(run);
}

/// The same without a stream: another look says it.
#[test]
fn rule_3_2_append_without_a_stream() {
    let mut run = still(Options { multipart_bytes: 1, live: false, ..Options::still() });
    file(&mut run, "a", 50);
    let upload = held(&mut run, copies("a"));
    answered_late(&mut run, upload, 200);
    assert!(run.source().append(&path("a")));
    assert!(run.source().close(&path("a"), 10));
    ends_equal(run);
}

/// A file that grows under every copy: the third time what was copied is completed, for the source
/// says that the file begins with it.
#[test]
fn rule_3_4_hot_file_commits_what_it_begins_with() {
    let mut run = still(Options { multipart_bytes: 1, ..Options::still() });
    file(&mut run, "a", 50);
    let mut copied = None;
    for _ in 0..3 {
        copied = source_content(&mut run, "a");
        let upload = held(&mut run, copies("a"));
        answered_late(&mut run, upload, 200);
        assert!(run.source().append(&path("a")));
        assert!(run.source().close(&path("a"), 10));
    }
    let completed = held(&mut run, |effect| matches!(effect, Effect::Complete { .. }));
    let Effect::Complete { upload, .. } = &completed else { panic!("a completion") };
    let length: u64 = upload.parts.iter().map(|part| part.length).sum();
    assert_eq!(length, 70, "what was copied before the last append is completed");
    answered_late(&mut run, completed, 1);
    let copied = copied.expect("a closed file");
    assert!(run.until(|run| run.holds(&path("a"), copied)));
    ends_equal(run);
}

/// A hot file that was cut meanwhile does not begin with what was copied.
#[test]
fn rule_3_4_hot_file_that_was_cut_commits_nothing() {
    let mut run = still(Options { multipart_bytes: 1, ..Options::still() });
    file(&mut run, "a", 50);
    for _ in 0..3 {
        let upload = held(&mut run, copies("a"));
        answered_late(&mut run, upload, 200);
        assert!(run.source().truncate(&path("a")));
        assert!(run.source().append(&path("a")));
        assert!(run.source().close(&path("a"), 60));
    }
    let completed = held(&mut run, |effect| matches!(effect, Effect::Complete { .. }));
    let Effect::Complete { upload, .. } = &completed else { panic!("a completion") };
    let length: u64 = upload.parts.iter().map(|part| part.length).sum();
    let whole = run.source().files().get(&path("a")).copied().flatten();
    assert_eq!(whole.map(|(_, length, _)| length), Some(length));
    answered_late(&mut run, completed, 1);
    ends_equal(run);
}

/// Without a stream nobody waits until a file stops growing: what it began with at the last try is
/// completed, however small it is, and the run ends.
#[test]
fn rule_3_4_growing_file_ends_a_run_without_a_stream() {
    let mut run = still(Options { live: false, ..Options::still() });
    file(&mut run, "a", 50);
    let mut copied = None;
    for _ in 0..4 {
        copied = source_content(&mut run, "a");
        let copy = held(&mut run, copies("a"));
        answered_late(&mut run, copy, 200);
        assert!(run.source().append(&path("a")));
        assert!(run.source().close(&path("a"), 10));
    }
    let proof = held(&mut run, |effect| matches!(effect, Effect::Checksum { .. }));
    assert!(matches!(&proof, Effect::Checksum { length: 80, .. }), "{proof:?}");
    answered_late(&mut run, proof, 1);
    assert_eq!(run.end(), Ok(Finish::Done));
    assert_eq!(target_content(&mut run, "a"), copied);
    assert_eq!(pending(&run, "a"), None);
    assert!(run.target().uploads.is_empty(), "no upload is left");
}

/// A file in parts is complete one try earlier.
#[test]
fn rule_3_4_growing_upload_ends_a_run_without_a_stream() {
    let mut run = still(Options { multipart_bytes: 1, live: false, ..Options::still() });
    file(&mut run, "a", 50);
    let mut copied = None;
    for _ in 0..3 {
        copied = source_content(&mut run, "a");
        let upload = held(&mut run, copies("a"));
        answered_late(&mut run, upload, 200);
        assert!(run.source().append(&path("a")));
        assert!(run.source().close(&path("a"), 10));
    }
    assert_eq!(run.end(), Ok(Finish::Done));
    assert_eq!(target_content(&mut run, "a"), copied);
    assert_eq!(pending(&run, "a"), None);
}

/// What is written over all the time is set aside by name, and the rest of the run goes on.
#[test]
fn rule_3_4_rewritten_file_ends_a_run_without_a_stream() {
    for multipart_bytes in [1, 1_000] {
        let mut run = still(Options { multipart_bytes, live: false, ..Options::still() });
        file(&mut run, "a", 50);
        file(&mut run, "b", 50);
        let begun = run.now();
        let mut rounds = 0;
        while let Some(copy) = run.catch(copies("a")) {
            rounds += 1;
            assert!(rounds < 50, "it is tried for ever");
            answered_late(&mut run, copy, 200);
            assert!(run.source().truncate(&path("a")));
            assert!(run.source().append(&path("a")));
            assert!(run.source().close(&path("a"), 60));
        }
        assert!(run.now().millis_since(begun) >= 10_000, "whoever writes may be done soon");
        assert_eq!(run.end(), Ok(Finish::Done));
        let entry = pending(&run, "a").expect("it is kept");
        assert_eq!(entry.parked, Some(Parked::Failed));
        assert!(target_content(&mut run, "b").is_some());
        assert!(run.target().uploads.is_empty(), "no upload is left");
        let told = |kind| run.reports().iter().filter(|report| report.kind == kind).count();
        assert_eq!((told(ReportKind::Hot), told(ReportKind::Failed)), (1, 1));
    }
}

/// A file made anew while a single PUT is under way: the row is not believed, and it is copied
/// again.
#[test]
fn rule_3_2_replaced_under_a_put() {
    let mut run = run();
    file(&mut run, "a", 5);
    let put = held(&mut run, copies("a"));
    answered_late(&mut run, put, 100);
    file(&mut run, "a", 5);
    until_equal(&mut run, "a");
    ends_equal(run);
}

/// Two events of one path never make two writers.
#[test]
fn rule_3_3_one_writer_per_key() {
    let mut run = run();
    file(&mut run, "a", 5);
    let first = held(&mut run, copies("a"));
    file(&mut run, "a", 6);
    assert!(run.until_followed());
    let begun = run.now();
    assert!(run.until(|run| run.now().millis_since(begun) > 500));
    assert!(!run.awaits(copies("a")), "no second copy begins while one is on its way");
    answered_late(&mut run, first, 1);
    ends_equal(run);
}

/// Live changes go ahead of the scan, and the scan still gets its share.
#[test]
fn rule_3_4_backlog_keeps_a_fifth() {
    let mut run = still(Options { page_entries: 100, ..Options::still() });
    for number in 0..60 {
        file(&mut run, &format!("d/{number}"), 5);
    }
    let any = |effect: &Effect| matches!(effect, Effect::Copy(_));
    let busy: Vec<Effect> = (0..4).map(|_| held(&mut run, any)).collect();
    for number in 0..15 {
        file(&mut run, &format!("live{number}"), 5);
    }
    wait(&mut run, 500);
    for copy in busy {
        answered_late(&mut run, copy, 1);
    }
    let mut live = 0;
    for _ in 0..15 {
        let copy = held(&mut run, any);
        let Effect::Copy(job) = &copy else { panic!("a copy") };
        live += u32::from(job.live);
        answered_late(&mut run, copy, 1);
    }
    assert_eq!(live, 12, "of 15 copies");
    ends_equal(run);
}

/// An open file keeps what was last closed, is named, and comes when it is closed.
#[test]
fn rule_3_5_open_file_waits_for_its_close() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    let closed = target_content(&mut run, "a");
    assert!(run.source().append(&path("a")));
    let at = path("a");
    let parked = run.until(|run| {
        let entry = run.ledger().and_then(|ledger| ledger.pending_entry(&at).ok().flatten());
        entry.is_some_and(|entry| entry.parked == Some(Parked::Open))
    });
    assert!(parked);
    assert_eq!(target_content(&mut run, "a"), closed);
    assert!(run.source().close(&path("a"), 3));
    ends_equal(run);
}

/// The directory above an open file is removed and made anew without it before anybody looked: no
/// listing names the file's own directory any more, and it is not counted as open for ever.
#[test]
fn rule_3_5_open_file_goes_with_a_directory_made_again() {
    let mut run = run();
    file(&mut run, "d/x", 5);
    assert!(run.source().make_directory(&path("d/e")));
    assert!(run.source().create(&path("d/e/a")));
    assert!(run.until(|run| {
        pending(run, "d/e/a").is_some_and(|entry| entry.parked == Some(Parked::Open))
    }));
    delete(&mut run, "d");
    file(&mut run, "d/x", 6);
    assert!(run.until(|run| pending(run, "d/e/a").is_none()), "it is not open any more");
    ends_equal(run);
}

/// A DELETE has no known end; the file is made anew and PUT; then the DELETE lands.
#[test]
fn rule_4_1_delete_lands_late() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    delete(&mut run, "a");
    let removal = held(&mut run, removes("a"));
    run.release(removal, Way::Unheard(4_000));
    file(&mut run, "a", 6);
    until_equal(&mut run, "a");
    let gone = run.until(|run| !run.stands(&path("a")));
    assert!(gone, "the late DELETE lands on the new object before the run ends");
    ends_equal(run);
}

/// A PUT without a known end lands over a newer one.
#[test]
fn rule_4_1_put_lands_over_a_newer_one() {
    let mut run = run();
    file(&mut run, "a", 5);
    let put = held(&mut run, copies("a"));
    run.release(put, Way::Unheard(4_000));
    file(&mut run, "a", 6);
    until_equal(&mut run, "a");
    ends_equal(run);
}

/// The target is looked at before a PUT without a known end lands, and answers when no such PUT can
/// land any more.
#[test]
fn rule_4_1_a_look_tells_nothing_of_what_came_after_it() {
    let mut run = run();
    file(&mut run, "a", 5);
    let put = held(&mut run, copies("a"));
    run.release(put, Way::Unheard(4_000));
    let look = held(&mut run, inspects("a"));
    answered_late(&mut run, look, 20_000);
    delete(&mut run, "a");
    run.end().expect("it comes to its end");
    assert!(!run.stands(&path("a")), "it goes, though it came after the look");
    assert_eq!(run.difference(), None);
}

/// The process dies while a PUT is on its way: its intent is durable, and the run after it waits.
#[test]
fn rule_4_1_intent_survives_a_crash() {
    let mut run = run();
    file(&mut run, "a", 5);
    let put = held(&mut run, copies("a"));
    let attempts = run.ledger().expect("a ledger").attempts().expect("they can be read");
    assert!(attempts.iter().any(|attempt| attempt.path == path("a")), "known before it leaves");
    run.release(put, Way::Unheard(4_000));
    run.die();
    delete(&mut run, "a");
    ends_equal(run);
}

/// The process dies between the landing of a write and its settlement: the run after it takes in
/// what stands, bytes and metadata, and waits for nothing.
#[test]
fn rule_4_1_what_landed_before_a_crash_is_not_copied_again() {
    for multipart_bytes in [1, 1_000_000] {
        let mut run = still(Options { multipart_bytes, ..Options::still() });
        file(&mut run, "a", 5);
        let write = |effect: &Effect| matches!(effect, Effect::Complete { .. });
        let put = match multipart_bytes {
            1 => held(&mut run, write),
            _ => held(&mut run, copies("a")),
        };
        run.release(put, Way::Unheard(0));
        assert!(run.until(|run| run.stands(&path("a"))), "it lands");
        run.die();
        let begun = run.now();
        let wrote = |effect: &Effect| copies("a")(effect) || relocates("a")(effect);
        assert_eq!(run.catch(wrote), None);
        assert!(run.now().millis_since(begun) < 5_000, "no doubt is waited for");
        assert_eq!(counters(&run).files_copied, 1);
        ends_equal(run);
    }
}

/// A commit marker that landed so is written over in its place: readers never miss it.
#[test]
fn rule_7_1_commit_marker_that_landed_before_a_crash_stays() {
    let mut run = run();
    file(&mut run, "d/x", 5);
    file(&mut run, "d/_SUCCESS", 0);
    let put = held(&mut run, copies("d/_SUCCESS"));
    run.release(put, Way::Unheard(0));
    assert!(run.until(|run| run.stands(&path("d/_SUCCESS"))), "it lands");
    run.die();
    assert_eq!(run.catch(removes("d/_SUCCESS")), None);
    ends_equal(run);
}

/// A large object's PUT may take effect for longer than a small one's: it is waited for as long.
#[test]
fn rule_4_2_larger_write_may_land_later() {
    let request_lifetime =
        RequestLifetime { fixed_millis: 5_000, bytes_per_second_min: 10, bytes_millis_max: 60_000 };
    let mut run = still(Options { request_lifetime, ..Options::still() });
    file(&mut run, "a", 50);
    let put = held(&mut run, copies("a"));
    run.release(put, Way::Unheard(9_500));
    file(&mut run, "a", 6);
    until_equal(&mut run, "a");
    ends_equal(run);
}

/// A completion without a known end, and the file is removed before it lands.
#[test]
fn rule_4_3_completion_lands_after_the_file_went() {
    let mut run = still(Options { multipart_bytes: 1, ..Options::still() });
    file(&mut run, "a", 50);
    let completion = held(&mut run, |effect| matches!(effect, Effect::Complete { .. }));
    run.release(completion, Way::Unheard(3_000));
    delete(&mut run, "a");
    ends_equal(run);
}

/// The upload is given up before its completion lands: nothing becomes visible at any time.
#[test]
fn rule_4_3_abort_fences_a_late_completion() {
    let mut run = still(Options { multipart_bytes: 1, ..Options::still() });
    file(&mut run, "a", 50);
    let completion = held(&mut run, |effect| matches!(effect, Effect::Complete { .. }));
    run.release(completion, Way::Unheard(3_000));
    delete(&mut run, "a");
    assert!(!run.until(|run| run.stands(&path("a"))), "it is fenced");
    ends_equal(run);
}

/// Row, attempt, count and entry are one transaction: dying before it leaves all of them, dying
/// after it none.
#[test]
fn rule_4_5_settled_at_once() {
    let mut run = run();
    file(&mut run, "a", 5);
    let at = path("a");
    let rowed = run
        .until(|run| run.ledger().is_some_and(|ledger| ledger.row(&at).ok().flatten().is_some()));
    assert!(rowed);
    let ledger = run.ledger().expect("a ledger");
    assert_eq!(ledger.attempts().expect("attempts"), Vec::new());
    assert_eq!(ledger.meta().expect("meta").counters.files_copied, 1);
    run.die();
    ends_equal(run);
}

fn furnished(existing: Existing, equal: bool) -> Run {
    let mut run = still(Options { existing, ..Options::still() });
    file(&mut run, "a", 5);
    let content = source_content(&mut run, "a").expect("closed");
    let content = if equal { content } else { content + 1_000 };
    let writer = Writer::Foreign;
    run.target()
        .put(path("a"), Object { content, length: 5, writer, carried: Carried::mode(0o644) });
    run
}

/// Equal bytes are adopted by their checksum; different ones of the same length are replaced.
#[test]
fn existing_check_proves_before_it_adopts() {
    for equal in [true, false] {
        let mut run = furnished(Existing::Check, equal);
        assert_eq!(run.end(), Ok(Finish::Done));
        let counters = run.ledger().expect("a ledger").meta().expect("meta").counters;
        assert_eq!(counters.files_copied, u64::from(!equal));
        assert_eq!(counters.files_replaced, u64::from(!equal));
        assert_eq!(run.difference(), None);
    }
}

/// Nothing is read, and the count says that nothing was proven.
#[test]
fn existing_trust_counts_what_it_did_not_prove() {
    let mut run = furnished(Existing::Trust, true);
    assert_eq!(run.end(), Ok(Finish::Done));
    let counters = run.ledger().expect("a ledger").meta().expect("meta").counters;
    assert_eq!((counters.files_copied, counters.unverified), (0, 1));
}

/// A person decides, and until then the object stands.
#[test]
fn existing_refuse_touches_nothing() {
    let mut run = furnished(Existing::Refuse, false);
    let before = target_content(&mut run, "a");
    assert!(matches!(run.end(), Ok(Finish::Guard(_))));
    assert_eq!(target_content(&mut run, "a"), before);
}

/// Objects of another migration are taken over only when that was asked for.
#[test]
fn adopt_is_asked_for() {
    for adopt in [false, true] {
        let mut run = still(Options { adopt, ..Options::still() });
        file(&mut run, "a", 5);
        let content = source_content(&mut run, "a").expect("closed");
        let writer = Writer::OtherMigration;
        run.target()
            .put(path("a"), Object { content, length: 5, writer, carried: Carried::mode(0o644) });
        let finish = run.end().expect("an end");
        assert_eq!(finish == Finish::Done, adopt, "{finish:?}");
    }
}
