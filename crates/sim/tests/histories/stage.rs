//! What the histories are told with.

use whimbrel_core::effect::{Effect, Finish};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Counters, Pending};
use whimbrel_sim::options::Options;
use whimbrel_sim::{Run, Way};

/// A run without weather.
pub fn still(options: Options) -> Run {
    Run::still(options).expect("a ledger in memory")
}

/// A run of the default sizes.
pub fn run() -> Run {
    still(Options::still())
}

pub fn path(text: &str) -> RelPath {
    RelPath::from(text)
}

/// A file with its directories, written and closed.
pub fn file(run: &mut Run, at: &str, length: u64) {
    let at = path(at);
    let mut ancestors: Vec<RelPath> = at.ancestors().collect();
    ancestors.reverse();
    for ancestor in ancestors {
        run.source().make_directory(&ancestor);
    }
    assert!(run.source().create(&at), "{at} can be made");
    assert!(run.source().close(&at, length), "{at} can be closed");
}

/// Removes and makes nothing else.
pub fn delete(run: &mut Run, at: &str) {
    assert!(run.source().delete(&path(at)), "{at} can be removed");
}

pub fn rename(run: &mut Run, from: &str, to: &str) {
    assert!(run.source().rename(&path(from), &path(to), false), "{from} can be renamed to {to}");
}

/// The bytes of a path on both sides.
pub fn source_content(run: &mut Run, at: &str) -> Option<u64> {
    run.source().files().get(&path(at)).copied().flatten().map(|(content, _, _)| content)
}

pub fn target_content(run: &mut Run, at: &str) -> Option<u64> {
    run.target().objects.get(&path(at)).map(|object| object.content)
}

/// Goes on until the target holds what the source holds at a path.
pub fn until_equal(run: &mut Run, at: &str) {
    let content = source_content(run, at).expect("a closed file");
    let at = path(at);
    let equal = run.until(|run| run.holds(&at, content));
    assert!(equal, "{at} comes to the target");
}

/// Goes on until nothing is pending and everything is followed.
pub fn until_settled(run: &mut Run) {
    let newest = run.source().txid;
    let settled = run.until(|run| {
        let progress = run.core().progress();
        progress.as_of >= Some(newest) && progress.claims == 0 && progress.passes == 0
    });
    assert!(settled, "everything is settled");
}

/// What was counted so far.
pub fn counters(run: &Run) -> Counters {
    run.ledger().expect("a ledger").meta().expect("it can be read").counters
}

/// Lets so much time pass.
pub fn wait(run: &mut Run, millis: u64) {
    let begun = run.now();
    assert!(run.until(|run| run.now().millis_since(begun) > millis), "it goes on");
}

pub fn pending(run: &Run, at: &str) -> Option<Pending> {
    run.ledger().expect("a ledger").pending_entry(&path(at)).expect("it can be read")
}

/// The run ends well, both sides are equal, and nothing is left behind.
pub fn ends_equal(mut run: Run) {
    assert_eq!(run.end(), Ok(Finish::Done));
    assert_eq!(run.difference(), None);
    assert!(run.target().uploads.is_empty(), "no upload is left (rule 4.3)");
}

pub fn lists(at: &'static str) -> impl Fn(&Effect) -> bool {
    move |effect| matches!(effect, Effect::List { directory, .. } if *directory == path(at))
}

pub fn examines(at: &'static str) -> impl Fn(&Effect) -> bool {
    move |effect| matches!(effect, Effect::Examine { path: of, .. } if *of == path(at))
}

pub fn copies(at: &'static str) -> impl Fn(&Effect) -> bool {
    move |effect| matches!(effect, Effect::Copy(job) if job.path == path(at))
}

pub fn removes(at: &'static str) -> impl Fn(&Effect) -> bool {
    move |effect| {
        matches!(effect, Effect::Remove { items, .. }
            if items.iter().any(|item| item.path == path(at)))
    }
}

pub fn inspects(at: &'static str) -> impl Fn(&Effect) -> bool {
    move |effect| matches!(effect, Effect::Inspect { path: of, .. } if *of == path(at))
}

pub fn relocates(to: &'static str) -> impl Fn(&Effect) -> bool {
    move |effect| matches!(effect, Effect::Relocate { path: of, .. } if *of == path(to))
}

pub fn polls(effect: &Effect) -> bool {
    matches!(effect, Effect::Poll { .. })
}

/// The next such effect, held back.
pub fn held(run: &mut Run, wanted: impl Fn(&Effect) -> bool) -> Effect {
    run.catch(wanted).expect("the history comes to this effect")
}

/// The source's answer to it is given now, and heard only much later.
pub fn answered_late(run: &mut Run, effect: Effect, millis: u64) {
    run.release(effect, Way::Heard(millis));
}
