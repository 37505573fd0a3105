use whimbrel_core::entry::DirectoryNode;
use whimbrel_core::event::EventBatch;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::TxId;

use super::*;

fn seats(namespace: Namespace) -> [Seat; 3] {
    let seats: [Seat; 3] = Seat::of_one_scan(3, namespace).try_into().unwrap();
    seats.iter().for_each(Seat::join);
    seats
}

fn page(names: &[&str], more: bool) -> Page {
    let node = |path: &&str| Entry {
        path: RelPath::from(*path),
        node: Node::Directory(DirectoryNode {
            file_key: 1,
            empty: None,
            metadata: Metadata::unknown(),
        }),
    };
    Page { entries: names.iter().map(node).collect(), more }
}

/// The seat lists a directory, and is answered.
fn list(seat: &Seat, directory: &str, after: Option<&str>, page: &Page) {
    let listing = seat.begin(&directory.into(), after.map(str::as_bytes));
    listing.unwrap().done(page);
}

/// Whether the seat is given the page that was listed.
async fn is_given(seat: &Seat, directory: &str, after: Option<&str>) -> bool {
    seat.find(&directory.into(), after.map(str::as_bytes)).await.is_some()
}

fn told(epoch: u64, events: &[Event]) -> StreamReply {
    let txid = TxId(7);
    StreamReply {
        epoch: Epoch(epoch),
        applied: txid,
        synced: txid,
        written: txid,
        batches: vec![EventBatch { txid, events: events.to_vec() }],
        digest: 1,
        newest: None,
    }
}

#[tokio::test]
async fn a_page_is_given_once_to_each() {
    let [one, two, three] = seats(Namespace::Tree);
    let listed = page(&["d/a", "d/b"], false);
    list(&one, "d", None, &listed);
    assert!(!is_given(&one, "d", None).await, "its own");
    assert_eq!(two.find(&"d".into(), None).await, Some(listed));
    assert!(!is_given(&two, "d", None).await, "a second look is a new one");
    assert!(!is_given(&three, "d", Some("a")).await && !is_given(&three, "e", None).await);
    assert!(is_given(&three, "d", None).await);
    assert_eq!(lock(&one.scan).bytes, 0);
    assert!(lock(&one.scan).pages.is_empty());
}

#[tokio::test]
async fn rule_1_2_what_was_heard_since_makes_a_page_old() {
    let path = |path: &str| RelPath::from(path);
    let renamed =
        |from: &str, to: &str| Event::Renamed { from: Some(path(from)), to: Some(path(to)) };
    for (event, old) in [
        (Event::Closed(path("a/b/file")), &["a/b"][..]),
        (Event::MetadataChanged(path("a/b")), &["a", "a/b", "a/b/c"]),
        (Event::Removed(path("a")), &["", "a", "a/b", "a/b/c"]),
        (renamed("a/b/c", "a-b/c"), &["a/b", "a/b/c", "a-b"]),
        (Event::DirectoryMade(path("else/where")), &[]),
        (Event::RootTouched, &["", "a", "a/b", "a/b/c", "a-b"]),
    ] {
        let [one, two, three] = seats(Namespace::Tree);
        let all = ["", "a", "a/b", "a/b/c", "a-b"];
        for directory in all {
            list(&one, directory, None, &page(&["x"], false));
        }
        two.note(&told(1, std::slice::from_ref(&event)));
        for directory in all {
            let given = is_given(&two, directory, None).await;
            assert_eq!(given, !old.contains(&directory), "{event:?}: {directory:?}");
            assert!(is_given(&three, directory, None).await, "another that was told nothing");
        }
    }
}

#[tokio::test]
async fn rule_1_2_what_was_heard_under_a_listing_makes_it_old() {
    let [one, two, three] = seats(Namespace::Tree);
    let listing = one.begin(&"d".into(), None).unwrap();
    two.note(&told(1, &[Event::Created("d/x".into())]));
    listing.done(&page(&[], false));
    assert!(!is_given(&two, "d", None).await);
    assert!(is_given(&three, "d", None).await);
}

#[tokio::test]
async fn what_was_looked_at_since_makes_its_page_old() {
    let [one, two, _three] = seats(Namespace::Tree);
    list(&one, "d", None, &page(&["d/a", "d/m"], true));
    list(&one, "d", Some("m"), &page(&["d/n", "d/z"], false));
    list(&one, "d/n", None, &page(&[], false));
    two.saw(&RelPath::root());
    two.saw(&"d/n".into());
    assert!(!is_given(&two, "d/n", None).await && !is_given(&two, "d", Some("m")).await);
    assert!(is_given(&two, "d", None).await, "it ends before what was looked at");
}

#[tokio::test]
async fn what_is_listed_anew_leaves_nothing_older_below_it() {
    let [one, two, three] = seats(Namespace::Tree);
    for directory in ["d", "d/e", "d/e/f", "dd"] {
        list(&one, directory, None, &page(&[], false));
    }
    list(&two, "d", None, &page(&["d/e"], false));
    assert!(!is_given(&two, "d/e", None).await && !is_given(&two, "d/e/f", None).await);
    assert!(is_given(&two, "dd", None).await && is_given(&three, "d/e", None).await);
    assert!(is_given(&one, "d", None).await, "newer than what it listed itself");
}

#[tokio::test]
async fn keys_of_a_bucket_are_pages_of_the_root() {
    let [one, two, _three] = seats(Namespace::Flat);
    list(&one, "", None, &page(&["a/1", "a/9"], true));
    list(&one, "", Some("a/9"), &page(&["b", "b/1"], true));
    list(&one, "", Some("b/1"), &page(&["c"], false));
    two.saw(&"b".into());
    assert!(is_given(&two, "", None).await);
    assert!(!is_given(&two, "", Some("a/9")).await);
    list(&two, "", Some("a/9"), &page(&["b"], false));
    assert!(is_given(&two, "", Some("b/1")).await);
}

#[tokio::test]
async fn rule_1_4_another_name_node_makes_all_pages_old() {
    let [one, two, three] = seats(Namespace::Tree);
    two.note(&told(1, &[]));
    list(&one, "d", None, &page(&[], false));
    two.note(&told(2, &[]));
    assert!(!is_given(&two, "d", None).await && is_given(&three, "d", None).await);
    list(&one, "d", None, &page(&[], false));
    assert!(is_given(&two, "d", None).await);
}

#[tokio::test]
async fn rule_1_1_nothing_listed_before_the_position_is_given() {
    let seats = Seat::of_one_scan(2, Namespace::Tree);
    let [one, two] = &seats[..] else { unreachable!() };
    one.join();
    assert!(one.begin(&"d".into(), None).is_none(), "nobody could use it");
    two.join();
    list(one, "d", None, &page(&[], false));
    assert!(is_given(two, "d", None).await);
    two.leave();
    two.note(&told(1, &[]));
    assert!(one.begin(&"d".into(), None).is_none(), "once it has left it is alone");
}

#[tokio::test(start_paused = true)]
async fn one_waits_for_a_listing_under_way_unless_it_comes_to_nothing() {
    let [one, two, three] = seats(Namespace::Tree);
    let listing = one.begin(&"d".into(), None).unwrap();
    let waiting = tokio::spawn(async move {
        let found = two.find(&"d".into(), None).await;
        (found, two)
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    listing.done(&page(&[], false));
    let (found, two) = waiting.await.unwrap();
    assert!(found.is_some());
    let listing = one.begin(&"e".into(), None).unwrap();
    let waiting = tokio::spawn(async move { two.find(&"e".into(), None).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(listing);
    assert_eq!(waiting.await.unwrap(), None);
    assert!(!is_given(&three, "e", None).await);
}

#[tokio::test(start_paused = true)]
async fn what_is_old_or_too_much_is_dropped() {
    let [one, two, three] = seats(Namespace::Tree);
    list(&one, "d", None, &page(&["d/a"], false));
    tokio::time::sleep(AGE_MAX).await;
    assert!(!is_given(&two, "d", None).await);
    let names: Vec<String> = (0..2_000).map(|number| format!("{number:0200}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let large = page(&names, false);
    let bytes: usize = large.entries.iter().map(bytes_of).sum();
    let count = BYTES_MAX / bytes + 5;
    for number in 0..count {
        list(&one, &number.to_string(), None, &large);
    }
    assert!(lock(&one.scan).bytes <= BYTES_MAX && lock(&one.scan).order.len() < count);
    assert!(!is_given(&two, "0", None).await);
    assert!(is_given(&two, &(count - 1).to_string(), None).await);
    drop((two, three));
    list_nothing(&one);
    let scan = lock(&one.scan);
    assert_eq!((scan.bytes, scan.pages.len(), scan.order.len()), (0, 0, 0));
}

fn list_nothing(seat: &Seat) {
    assert!(seat.begin(&"d".into(), None).is_none());
}
