//! Error paths against a source and a target with fault switches; whole copies between real file
//! systems stand in `tests/`.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use whimbrel_core::config::RequestLifetime;
use whimbrel_core::effect::Ticket;
use whimbrel_core::entry::{FileNode, Node, Page};
use whimbrel_core::failure::FailureKind;
use whimbrel_core::identity::Identity;
use whimbrel_core::path::Namespace;
use whimbrel_core::record::Part;
use whimbrel_store::content::Content;
use whimbrel_store::source::{Answer, ByteStream, ChangeStream};
use whimbrel_store::target::{Abilities, Conditions, ObjectPage};

use super::*;

const MIB: u64 = 1024 * 1024;

/// One file whose bytes follow from their offset, and what goes wrong with it.
#[derive(Default)]
struct FaultySource {
    length: u64,
    /// So many bytes more (or fewer) come than asked for.
    surplus: i64,
    error: Option<StoreError>,
    ranges: Mutex<Vec<Range<u64>>>,
}

fn byte_at(offset: u64) -> u8 {
    u8::try_from((offset * 31 + (offset >> 12)) % 251).unwrap()
}

fn content(range: Range<u64>) -> Vec<u8> {
    range.map(byte_at).collect()
}

impl Source for FaultySource {
    fn namespace(&self) -> Namespace {
        Namespace::Tree
    }

    fn describe(&self) -> String {
        "faulty source".into()
    }

    fn root_key(&self) -> Option<u64> {
        None
    }

    fn list<'a>(&'a self, _: &'a RelPath, _: Option<&'a [u8]>) -> Answer<'a, Option<Page>> {
        Box::pin(async { Ok(None) })
    }

    fn stat<'a>(&'a self, _: &'a RelPath) -> Answer<'a, Option<Node>> {
        Box::pin(async { Ok(None) })
    }

    fn read(&self, _: &RelPath, _: &FileNode, range: Range<u64>) -> ByteStream {
        self.ranges.lock().unwrap().push(range.clone());
        if let Some(error) = &self.error {
            let first = content(range.start..range.start + 1);
            return Box::pin(stream::iter([Ok(first.into()), Err(error.clone())]));
        }
        let end = range.end.saturating_add_signed(self.surplus);
        let bytes = content(range.start..end);
        let pieces: Vec<_> =
            bytes.chunks(100_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Box::pin(stream::iter(pieces))
    }

    fn stored_checksum<'a>(
        &'a self,
        _: &'a RelPath,
        _: &'a FileNode,
        _: u64,
    ) -> Answer<'a, Option<u32>> {
        Box::pin(async { Ok(None) })
    }

    fn xattrs<'a>(&'a self, _: &'a RelPath) -> Answer<'a, BTreeMap<String, Vec<u8>>> {
        Box::pin(async { Ok(BTreeMap::new()) })
    }

    fn stream(&self) -> Answer<'_, Arc<dyn ChangeStream>> {
        Box::pin(async { Err(unavailable()) })
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { message: "does not answer".into(), remedy: String::new() }
}

fn unknown() -> StoreError {
    StoreError::Unknown { message: "connection reset".into() }
}

/// An object's bytes and what was written with them.
type Kept = (Vec<u8>, Stamp);

/// Keeps objects and parts; fails as it is told to.
#[derive(Default)]
struct FaultyTarget {
    objects: Mutex<BTreeMap<Vec<u8>, Kept>>,
    parts: Mutex<BTreeMap<u32, Vec<u8>>>,
    parts_sent: Mutex<Vec<u32>>,
    put_error: Option<StoreError>,
    open_error: Option<StoreError>,
    part_errors: Mutex<VecDeque<StoreError>>,
    remove_errors: Mutex<VecDeque<Option<StoreError>>>,
    wrong_crc: bool,
    /// It compares nothing, and `a` stands there with the tag `e`.
    looked_at: bool,
}

impl FaultyTarget {
    fn standing(&self, body: &[u8], stamp: &Stamp) -> Standing {
        let crc = crc32c::crc32c(body) ^ u32::from(self.wrong_crc);
        Standing {
            length: body.len() as u64,
            etag: Some("e".into()),
            version: None,
            crc32c: Some(crc),
            attempt: Some(AttemptNumber(stamp.attempt)),
            migration: Some(stamp.migration.clone()),
            metadata: None,
        }
    }
}

impl Target for FaultyTarget {
    fn describe(&self) -> String {
        "faulty target".into()
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            put_bytes_max: 5 << 30,
            part_bytes_min: MIB,
            part_bytes_max: 5 << 30,
            parts_max: 10_000,
            copy_bytes_max: 0,
            checksums_kept: true,
            conditions: Conditions::all(!self.looked_at),
            metadata_by_copy: false,
            markers: true,
            request_lifetime: RequestLifetime::fixed(60_000),
        }
    }

    fn admit(&self, key: &[u8]) -> Result<(), StoreError> {
        if key.len() <= 1024 {
            return Ok(());
        }
        let message = format!("a key of {} bytes", key.len());
        Err(StoreError::Refused { message, remedy: "rename it".into() })
    }

    fn put<'a>(
        &'a self,
        key: &'a [u8],
        content: Content,
        stamp: &'a Stamp,
        _: &'a Expected,
    ) -> Answer<'a, Standing> {
        Box::pin(async move {
            if let Some(error) = &self.put_error {
                return Err(error.clone());
            }
            let body = content.into_pieces().concat();
            let standing = self.standing(&body, stamp);
            self.objects.lock().unwrap().insert(key.to_vec(), (body, stamp.clone()));
            Ok(standing)
        })
    }

    fn open_upload<'a>(&'a self, _: &'a [u8], _: &'a Stamp) -> Answer<'a, String> {
        Box::pin(async move { self.open_error.clone().map_or_else(|| Ok("u1".into()), Err) })
    }

    fn put_part<'a>(
        &'a self,
        _: &'a [u8],
        upload: &'a str,
        number: u32,
        content: Content,
    ) -> Answer<'a, Part> {
        Box::pin(async move {
            assert_eq!(upload, "u1");
            self.parts_sent.lock().unwrap().push(number);
            if let Some(error) = self.part_errors.lock().unwrap().pop_front() {
                return Err(error);
            }
            let body = content.into_pieces().concat();
            let part = Part {
                number,
                length: body.len() as u64,
                crc32c: crc32c::crc32c(&body) ^ u32::from(self.wrong_crc),
                etag: format!("p{number}"),
            };
            self.parts.lock().unwrap().insert(number, body);
            Ok(part)
        })
    }

    fn complete_upload<'a>(
        &'a self,
        key: &'a [u8],
        _: &'a str,
        parts: &'a [Part],
        crc32c: u32,
        _: &'a Expected,
    ) -> Answer<'a, Standing> {
        Box::pin(async move {
            let held = self.parts.lock().unwrap();
            let body: Vec<u8> = parts.iter().flat_map(|part| held[&part.number].clone()).collect();
            if crc32c::crc32c(&body) != crc32c {
                let message = "the whole does not match".to_owned();
                return Err(StoreError::Corrupt { message, remedy: String::new() });
            }
            let stamp = Stamp::default();
            let standing = self.standing(&body, &stamp);
            self.objects.lock().unwrap().insert(key.to_vec(), (body, stamp));
            Ok(standing)
        })
    }

    fn abort_upload<'a>(&'a self, _: &'a [u8], _: &'a str) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn copy<'a>(
        &'a self,
        _: &'a CopySource,
        _: &'a [u8],
        _: &'a Stamp,
        _: &'a Expected,
    ) -> Answer<'a, Standing> {
        Box::pin(async {
            let message = "cannot copy".to_owned();
            Err(StoreError::Unsupported { message, remedy: String::new() })
        })
    }

    fn remove<'a>(
        &'a self,
        items: &'a [(Vec<u8>, Expected)],
    ) -> Answer<'a, Vec<Result<(), StoreError>>> {
        Box::pin(async move {
            let mut errors = self.remove_errors.lock().unwrap();
            let outcome = |_| errors.pop_front().flatten().map_or(Ok(()), Err);
            Ok(items.iter().map(outcome).collect())
        })
    }

    fn inspect<'a>(&'a self, _: &'a [u8]) -> Answer<'a, Option<Object>> {
        let standing = Object { etag: Some("e".into()), ..Object::default() };
        let standing = self.looked_at.then_some(standing);
        Box::pin(async { Ok(standing) })
    }

    fn list<'a>(&'a self, _: &'a [u8], _: Option<&'a [u8]>) -> Answer<'a, ObjectPage> {
        Box::pin(async { Ok(ObjectPage::default()) })
    }

    fn read(&self, _: &[u8]) -> ByteStream {
        Box::pin(stream::empty())
    }
}

struct Bench {
    carrier: Carrier,
    source: Arc<FaultySource>,
    target: Arc<FaultyTarget>,
}

fn bench(source: FaultySource, target: FaultyTarget) -> Bench {
    let (source, target) = (Arc::new(source), Arc::new(target));
    let options = Options { part_bytes: MIB, memory_bytes: 3 * MIB, ..Options::new("m".into()) };
    let carrier = Carrier::new(source.clone(), target.clone(), keys(), options);
    Bench { carrier, source, target }
}

fn keys() -> KeyMap {
    KeyMap::new(b"prefix", &[]).unwrap()
}

fn source(length: u64) -> FaultySource {
    FaultySource { length, ..FaultySource::default() }
}

impl Bench {
    fn job(&self, path: &str) -> CopyJob {
        let identity = Identity::Object {
            version: None,
            etag: "s".into(),
            length: self.source.length,
            crc32c: None,
        };
        let node =
            FileNode { identity, open: false, metadata: Metadata::default(), pin: Bytes::new() };
        CopyJob {
            ticket: Ticket(1),
            attempt: AttemptNumber(7),
            path: path.into(),
            node,
            expected: Expected::Nothing,
            resume: None,
            beginning: false,
            live: false,
        }
    }

    async fn copy(&self, job: &CopyJob) -> (Written, Vec<Input>) {
        let (sender, mut receiver) = unbounded_channel();
        let written = self.carrier.copy(job, &sender).await;
        (written, drained(&mut receiver))
    }
}

fn drained(receiver: &mut UnboundedReceiver<Input>) -> Vec<Input> {
    std::iter::from_fn(|| receiver.try_recv().ok()).collect()
}

#[tokio::test]
async fn small_file_goes_in_one_request_with_its_stamp() {
    for length in [0, 1, 99_999, MIB] {
        let bench = bench(source(length), FaultyTarget::default());
        let (written, events) = bench.copy(&bench.job("a/b")).await;
        let Written::Done(standing) = written else { panic!("{written:?}") };
        assert_eq!((standing.length, standing.attempt), (length, Some(AttemptNumber(7))));
        assert_eq!(standing.crc32c, Some(crc32c::crc32c(&content(0..length))));
        assert_eq!(events, vec![]);
        let objects = bench.target.objects.lock().unwrap();
        let (body, stamp) = &objects[b"prefix/a/b".as_slice()];
        assert_eq!((body, stamp.migration.as_str()), (&content(0..length), "m"));
    }
}

/// A time that no object carries is never altered in silence.
#[tokio::test]
async fn time_beyond_what_travels_is_refused() {
    for modified_ns in [i64::MIN, i64::MAX] {
        for length in [1, 5 * MIB] {
            let bench = bench(source(length), FaultyTarget::default());
            let mut job = bench.job("a");
            job.node.metadata.modified_ns = modified_ns;
            let (written, events) = bench.copy(&job).await;
            let Written::Failed(failure) = written else { panic!("{written:?}") };
            assert_eq!(failure.kind, FailureKind::Refused);
            assert!(failure.remedy.contains("touch"), "{failure:?}");
            assert_eq!(events, vec![]);
            assert!(bench.target.objects.lock().unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn large_file_is_staged_and_completed() {
    let length = 5 * MIB + 17;
    let bench = bench(source(length), FaultyTarget::default());
    let (written, events) = bench.copy(&bench.job("big")).await;
    let Written::Staged { upload, crc32c } = written else { panic!("{written:?}") };
    assert_eq!(crc32c, crc32c::crc32c(&content(0..length)));
    let numbers: Vec<u32> = upload.parts.iter().map(|part| part.number).collect();
    assert_eq!(numbers, vec![1, 2, 3, 4, 5, 6]);
    let opened = Upload { parts: Vec::new(), ..upload.clone() };
    let attempt = AttemptNumber(7);
    assert_eq!(events[0], Input::UploadOpened { attempt, upload: opened });
    assert_eq!(events.len(), 7);
    for part in &upload.parts {
        assert!(events.contains(&Input::PartDone { attempt, part: part.clone() }));
    }
    assert!(bench.target.objects.lock().unwrap().is_empty(), "staged is not visible");
    let written = bench.carrier.complete(&"big".into(), &upload, crc32c, &Expected::Nothing).await;
    assert!(matches!(written, Written::Done(_)), "{written:?}");
    let objects = bench.target.objects.lock().unwrap();
    assert_eq!(objects[b"prefix/big".as_slice()].0, content(0..length));
}

/// Nothing is proven of the beginning of what grows: it is not visible however small it is.
#[tokio::test]
async fn beginning_is_staged() {
    let bench = bench(source(1000), FaultyTarget::default());
    let job = CopyJob { beginning: true, ..bench.job("log") };
    let (written, _) = bench.copy(&job).await;
    let Written::Staged { upload, crc32c } = written else { panic!("{written:?}") };
    assert_eq!((upload.parts.len(), crc32c), (1, crc32c::crc32c(&content(0..1000))));
    assert!(bench.target.objects.lock().unwrap().is_empty(), "staged is not visible");
}

#[tokio::test]
async fn resumed_upload_sends_no_finished_part_again() {
    let length = 4 * MIB;
    let bench = bench(source(length), FaultyTarget::default());
    let (first, _) = bench.copy(&bench.job("big")).await;
    let Written::Staged { mut upload, crc32c } = first else { panic!("{first:?}") };
    upload.parts.remove(1);
    upload.parts[2].length -= 1;
    bench.target.parts_sent.lock().unwrap().clear();
    bench.source.ranges.lock().unwrap().clear();
    let job = CopyJob { resume: Some(upload), ..bench.job("big") };
    let (again, events) = bench.copy(&job).await;
    let Written::Staged { upload, crc32c: same } = again else { panic!("{again:?}") };
    assert_eq!((same, upload.parts.len()), (crc32c, 4));
    let mut sent = bench.target.parts_sent.lock().unwrap().clone();
    sent.sort_unstable();
    assert_eq!(sent, vec![2, 4], "the missing one, and the one that does not fit");
    assert_eq!(events.len(), 2, "the upload is not opened again: {events:?}");
    let read: u64 =
        bench.source.ranges.lock().unwrap().iter().map(|range| range.end - range.start).sum();
    assert_eq!(read, 2 * MIB);
}

#[tokio::test]
async fn another_length_than_listed_means_that_the_source_moved() {
    for (length, surplus) in [(1000, -1), (1000, 1), (3 * MIB, -1), (3 * MIB, 1)] {
        let source = FaultySource { surplus, ..source(length) };
        let bench = bench(source, FaultyTarget::default());
        let (written, _) = bench.copy(&bench.job("a")).await;
        assert_eq!(written, Written::SourceMoved, "{length} {surplus}");
        assert!(bench.target.objects.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn errors_of_the_source() {
    let moved = StoreError::Moved { message: "swapped".into() };
    for (error, expected) in [(moved, None), (unavailable(), Some(FailureKind::Unavailable))] {
        let source = FaultySource { error: Some(error), ..source(10) };
        let bench = bench(source, FaultyTarget::default());
        let (written, _) = bench.copy(&bench.job("a")).await;
        match (written, expected) {
            (Written::SourceMoved, None) => {}
            (Written::Failed(failure), Some(kind)) => {
                assert_eq!((failure.side, failure.kind), (Side::Source, kind));
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn only_a_lost_answer_to_a_visible_write_is_unknown() {
    let target = FaultyTarget { put_error: Some(unknown()), ..FaultyTarget::default() };
    let small = bench(source(10), target);
    assert!(matches!(small.copy(&small.job("a")).await.0, Written::Unknown(_)));

    let target = FaultyTarget { put_error: Some(unavailable()), ..FaultyTarget::default() };
    let refused = bench(source(10), target);
    assert!(matches!(refused.copy(&refused.job("a")).await.0, Written::Failed(_)));

    let target = FaultyTarget { open_error: Some(unknown()), ..FaultyTarget::default() };
    let large = bench(source(3 * MIB), target);
    let (written, events) = large.copy(&large.job("a")).await;
    assert!(matches!(written, Written::Failed(_)), "nobody can complete it: {written:?}");
    assert_eq!(events, vec![]);
}

#[tokio::test(start_paused = true)]
async fn parts_are_sent_again_in_place_but_not_for_ever() {
    let target = FaultyTarget {
        part_errors: Mutex::new(vec![unknown(), unavailable(), unknown()].into()),
        ..FaultyTarget::default()
    };
    let few = bench(source(3 * MIB), target);
    let (written, _) = few.copy(&few.job("a")).await;
    assert!(matches!(written, Written::Staged { .. }), "{written:?}");
    let read: u64 =
        few.source.ranges.lock().unwrap().iter().map(|range| range.end - range.start).sum();
    assert_eq!(read, 3 * MIB, "a part that is sent again is not read again");

    let target = FaultyTarget {
        part_errors: Mutex::new(std::iter::repeat_n(unknown(), 100).collect()),
        ..FaultyTarget::default()
    };
    let many = bench(source(3 * MIB), target);
    let (written, _) = many.copy(&many.job("a")).await;
    assert!(matches!(written, Written::Failed(_)), "not visible, so not unknown: {written:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_checksum_in_the_answer_is_never_taken_for_done() {
    let target = FaultyTarget { wrong_crc: true, ..FaultyTarget::default() };
    let small = bench(source(10), target);
    let (written, _) = small.copy(&small.job("a")).await;
    let Written::Unknown(failure) = written else { panic!("{written:?}") };
    assert_eq!((failure.side, failure.kind), (Side::Target, FailureKind::Corrupt));

    let target = FaultyTarget { wrong_crc: true, ..FaultyTarget::default() };
    let large = bench(source(2 * MIB + 1), target);
    let (written, _) = large.copy(&large.job("a")).await;
    let Written::Failed(failure) = written else { panic!("{written:?}") };
    assert_eq!(failure.kind, FailureKind::Corrupt);
}

#[tokio::test]
async fn checksum_that_the_source_keeps_is_compared() {
    let bench = bench(source(10), FaultyTarget::default());
    let mut job = bench.job("a");
    let Identity::Object { crc32c, .. } = &mut job.node.identity else { panic!() };
    *crc32c = Some(1);
    let (written, _) = bench.copy(&job).await;
    let Written::Failed(failure) = written else { panic!("{written:?}") };
    assert_eq!((failure.side, failure.kind), (Side::Source, FailureKind::Corrupt));
    assert!(bench.target.objects.lock().unwrap().is_empty(), "compared before it is written");
}

#[tokio::test]
async fn what_the_target_cannot_hold_is_refused_before_a_byte_is_read() {
    let bench = bench(source(10), FaultyTarget::default());
    let (written, _) = bench.copy(&bench.job(&"x".repeat(1100))).await;
    let Written::Failed(failure) = written else { panic!("{written:?}") };
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(bench.source.ranges.lock().unwrap().is_empty());
}

#[tokio::test]
async fn every_removal_has_its_own_outcome() {
    let target = FaultyTarget {
        remove_errors: Mutex::new(vec![None, Some(unavailable()), Some(unknown())].into()),
        ..FaultyTarget::default()
    };
    let bench = bench(source(0), target);
    let item = |number| Removal {
        attempt: AttemptNumber(number),
        path: "a".into(),
        expected: Expected::Anything,
    };
    let items: Vec<Removal> = (1..=3).map(item).collect();
    let outcomes = bench.carrier.remove(&items).await;
    assert!(matches!(
        outcomes.as_slice(),
        [Written::Done(_), Written::Failed(_), Written::Unknown(_)]
    ));
}

#[tokio::test]
async fn copying_within_the_target_where_it_cannot() {
    let bench = bench(source(0), FaultyTarget::default());
    let row = Row {
        path: "old".into(),
        identity: Identity::Marker,
        length: 1,
        crc32c: None,
        etag: Some("e".into()),
        version: None,
        attempt: None,
        as_of: whimbrel_core::number::TxId(0),
        epoch: whimbrel_core::number::Epoch(0),
        metadata: Metadata::default(),
        ledger_only: false,
    };
    let written = bench
        .carrier
        .relocate(AttemptNumber(1), &row, &"new".into(), Metadata::default(), &Expected::Nothing)
        .await;
    let Written::Failed(failure) = written else { panic!("{written:?}") };
    assert_eq!(failure.kind, FailureKind::Unsupported);
}

/// Where the target does not compare what it removes, the carrier looks first (rule 4.4).
#[tokio::test]
async fn rule_4_4_what_is_not_minded_is_looked_at_first() {
    let target = FaultyTarget { looked_at: true, ..FaultyTarget::default() };
    let bench = bench(source(0), target);
    let item = |expected| Removal { attempt: AttemptNumber(1), path: "a".into(), expected };
    let ours = item(Expected::Object("e".into()));
    let items = [ours, item(Expected::Object("other".into())), item(Expected::Nothing)];
    let outcomes = bench.carrier.remove(&items).await;
    assert!(matches!(
        outcomes.as_slice(),
        [Written::Done(_), Written::Unexpected(_), Written::Unexpected(_)]
    ));
}
