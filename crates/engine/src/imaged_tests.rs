use bytes::Bytes;
use whimbrel_core::entry::Page;
use whimbrel_core::event::{Event, EventBatch, StreamReply};
use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::{Epoch, TxId};
use whimbrel_store::image::ImageWriter;
use whimbrel_store::source::Memory;

use super::*;

const OF: TxId = TxId(100);

/// What a stream tells, look by look, and what a source shows at every path.
#[derive(Default)]
struct World {
    polls: Mutex<VecDeque<Poll>>,
    shown: Option<FileNode>,
}

fn nobody_asks<'a, T>() -> Answer<'a, T> {
    Box::pin(async { Err(StoreError::Unknown { message: "nobody asks".into() }) })
}

impl ChangeStream for World {
    fn position(&self) -> Answer<'_, TxId> {
        nobody_asks()
    }

    fn history(&self) -> Answer<'_, String> {
        nobody_asks()
    }

    fn poll(&self, _after: TxId) -> Answer<'_, Poll> {
        let poll = self.polls.lock().unwrap().pop_front().unwrap();
        Box::pin(async { Ok(poll) })
    }

    fn digest(&self, _txid: TxId) -> Answer<'_, Option<u64>> {
        nobody_asks()
    }

    fn history_seconds(&self, _position: TxId) -> Answer<'_, Option<u64>> {
        nobody_asks()
    }

    fn memory(&self) -> Memory {
        Memory::Source { remedy: "" }
    }
}

impl Source for World {
    fn namespace(&self) -> Namespace {
        Namespace::Tree
    }

    fn describe(&self) -> String {
        String::new()
    }

    fn root_key(&self) -> Option<u64> {
        None
    }

    fn list<'a>(&'a self, _: &'a RelPath, _: Option<&'a [u8]>) -> Answer<'a, Option<Page>> {
        Box::pin(async { Ok(None) })
    }

    fn stat<'a>(&'a self, _path: &'a RelPath) -> Answer<'a, Option<Node>> {
        Box::pin(async { Ok(self.shown.clone().map(Node::File)) })
    }

    /// The pin itself.
    fn read(&self, _path: &RelPath, node: &FileNode, _range: Range<u64>) -> ByteStream {
        let pin = node.pin.clone();
        Box::pin(stream::once(async { Ok(pin) }))
    }

    fn stored_checksum<'a>(
        &'a self,
        _path: &'a RelPath,
        node: &'a FileNode,
        _length: u64,
    ) -> Answer<'a, Option<u32>> {
        Box::pin(async { Ok(Some(u32::from(node.pin[0]))) })
    }

    fn xattrs<'a>(&'a self, _path: &'a RelPath) -> Answer<'a, BTreeMap<String, Vec<u8>>> {
        nobody_asks()
    }

    fn stream(&self) -> Answer<'_, Arc<dyn ChangeStream>> {
        nobody_asks()
    }
}

/// Of an empty root.
fn image() -> Image {
    let mut writer = ImageWriter::new(tempfile::tempfile().unwrap());
    writer.add(&RelPath::root(), &Page { entries: Vec::new(), more: false }).unwrap();
    writer.finish(OF).unwrap()
}

fn tells(image: &Image) -> bool {
    image.page(&RelPath::root(), None).is_some()
}

fn reply(applied: u64, events: Vec<Event>) -> Poll {
    let applied = TxId(applied);
    Poll::Reply(StreamReply {
        epoch: Epoch(0),
        applied,
        synced: applied,
        written: applied,
        batches: vec![EventBatch { txid: applied, events }],
        digest: 0,
        newest: None,
    })
}

/// What became of a ledger that this was durable in, of the image, and what people were told.
async fn joined(
    before: &[Change],
    polls: Vec<Poll>,
) -> (Result<Option<TxId>, EngineError>, bool, Option<ReportKind>) {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    ledger.apply(&[before]).unwrap();
    let (problems, mut shown) = Problems::channel();
    let (image, world) = (image(), World { polls: Mutex::new(polls.into()), shown: None });
    let meta = join(&image, Some(&world), &mut ledger, &problems).await;
    assert!(meta.is_err() || world.polls.lock().unwrap().is_empty(), "it is followed to the end");
    let told = shown.try_recv().ok().map(|report| report.kind);
    (meta.map(|meta| meta.position), tells(&image), told)
}

fn at(txid: u64) -> Change {
    Change::Position { txid: TxId(txid), digest: 0 }
}

#[tokio::test]
async fn rule_1_1_the_position_is_that_of_the_image() {
    let scan = || Change::ScanBegun { coverage: None };
    let other = || vec![Event::Closed("x/y".into())];
    let ours = || vec![Event::Closed("y".into())];
    assert_eq!(joined(&[], vec![reply(150, other())]).await, (Ok(Some(OF)), true, None));
    assert_eq!(joined(&[], vec![reply(100, vec![])]).await, (Ok(Some(OF)), true, None));
    // What an earlier run was told since is found out anew.
    let two = || vec![reply(110, other()), reply(120, other())];
    assert_eq!(joined(&[at(120), scan()], two()).await, (Ok(Some(TxId(120))), true, None));
    let two = || vec![reply(110, ours()), reply(120, other())];
    assert_eq!(joined(&[at(120), scan()], two()).await, (Ok(Some(TxId(120))), false, None));
    // Of a scan that began without a stream nothing says since when it was told: all is listed.
    assert_eq!(joined(&[scan()], vec![]).await, (Ok(None), false, None));
    assert!(!joined(&[at(120), scan(), Change::Scanned], vec![]).await.1, "its scan is done");
}

#[tokio::test]
async fn rule_8_1_an_image_is_of_no_use_where_the_stream_does_not_lead_on_from_it() {
    let told = Some(ReportKind::Image);
    assert_eq!(joined(&[], vec![Poll::Gap]).await, (Ok(None), false, told));
    assert_eq!(joined(&[at(120)], vec![Poll::Gap]).await, (Ok(Some(TxId(120))), false, told));
    let ends = vec![reply(110, vec![]), reply(110, vec![])];
    assert_eq!(joined(&[at(120)], ends).await, (Ok(Some(TxId(120))), false, told));
    assert_eq!(joined(&[at(120)], vec![Poll::Beyond]).await, (Ok(Some(TxId(120))), false, told));
    let (refused, ..) = joined(&[], vec![Poll::Beyond]).await;
    assert_eq!(refused.unwrap_err().kind().exit_code(), 2);
}

fn file(length: u64, open: bool, pin: &'static [u8]) -> FileNode {
    let identity = Identity::Hdfs { block_pool: 1, file_id: 2, length, modified_ms: 3, blocks: 4 };
    FileNode { identity, open, metadata: Metadata::default(), pin: Bytes::from_static(pin) }
}

/// An image has files of which nobody knows whether they are the same.
#[tokio::test]
async fn rule_3_1_what_is_read_is_the_file_that_the_image_shows() {
    let asked = |shown| {
        ImagedSource::new(
            Arc::new(World { shown, ..World::default() }),
            Arc::new(image()),
            Arc::default(),
        )
    };
    let path = RelPath::from("x");
    let read = async |shown: Option<FileNode>, node: &FileNode| {
        let source = asked(shown);
        let pieces: Result<Vec<Bytes>, _> = source.read(&path, node, 0..9).try_collect().await;
        let checksum = source.stored_checksum(&path, node, 9).await;
        assert_eq!(pieces.is_ok(), checksum.is_ok());
        pieces.map(|pieces| pieces.concat())
    };
    let imaged = file(9, false, b"");
    assert_eq!(read(Some(file(9, false, b"pin")), &imaged).await.unwrap(), b"pin");
    let mut of_another = file(9, false, b"pin");
    of_another.metadata.owner = "another".into();
    let others = [file(10, false, b"pin"), file(9, true, b"pin"), of_another];
    for shown in others.map(Some).into_iter().chain([None]) {
        assert!(matches!(read(shown, &imaged).await, Err(StoreError::Moved { .. })));
    }
    assert_eq!(read(None, &file(9, false, b"own")).await.unwrap(), b"own", "a look pinned it");
}

/// Nobody acts on what contradicts an image before its reason is known; then the source is right.
#[tokio::test(start_paused = true)]
async fn rule_8_1_what_contradicts_an_image_is_told_later() {
    let shown = Some(file(9, false, b"pin"));
    let world = Arc::new(World { shown, ..World::default() });
    let source = ImagedSource::new(world, Arc::new(image()), Arc::default());
    let path = RelPath::from("x");
    assert!(source.stat(&path).await.unwrap().is_some(), "nobody was told of it");
    source.list(&RelPath::root(), None).await.unwrap().unwrap();
    assert!(matches!(source.stat(&path).await, Err(StoreError::Moved { .. })));
    source.image.forget();
    assert!(source.stat(&path).await.unwrap().is_some());
}

/// No byte of an empty file is read, so nothing would ever ask for it.
#[tokio::test]
async fn an_empty_file_of_an_image_is_looked_at() {
    let told = |length| {
        let mut writer = ImageWriter::new(tempfile::tempfile().unwrap());
        let node = Node::File(file(length, false, b""));
        let entries = vec![whimbrel_core::entry::Entry { path: "x".into(), node }];
        writer.add(&RelPath::root(), &Page { entries, more: false }).unwrap();
        Arc::new(writer.finish(OF).unwrap())
    };
    for (length, open) in [(0, true), (1, false)] {
        let source = ImagedSource::new(Arc::new(World::default()), told(length), Arc::default());
        let page = source.list(&RelPath::root(), None).await.unwrap().unwrap();
        assert!(matches!(&page.entries[0].node, Node::File(file) if file.open == open));
    }
}
