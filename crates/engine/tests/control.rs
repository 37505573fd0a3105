//! A running migration takes orders: from its own process and through the socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "outside of the test functions too a failure ends the test"
)]

mod ground;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ground::{Ground, content, finished};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use whimbrel_core::config::Config;
use whimbrel_engine::{
    Control, Ending, ErrorKind, Outcome, Progress, Request, RunResult, SOCKET, Setup, SlowedDown,
    request, run, status_at_rest, story_at_rest,
};
use whimbrel_store::key::KeyMap;
use whimbrel_store::s3::{FixedCredentials, S3Settings, S3Target};
use whimbrel_testbed::{Fault, FaultProxy, S3Server, VersityGateway};

fn live() -> Config {
    Config { live: true, ..Config::default() }
}

impl Ground {
    fn state_folder(&self) -> PathBuf {
        self.root.path().join("state")
    }

    fn start(&self, config: Config) -> (Control, JoinHandle<RunResult>) {
        let (control, orders) = Control::channel();
        let setup = self.setup(config);
        (control, tokio::spawn(async move { run(setup, orders).await.unwrap() }))
    }

    async fn arrives(&self, path: &str) {
        let path = self.target().join(path);
        let until = Instant::now() + Duration::from_secs(20);
        while !path.exists() {
            assert!(Instant::now() < until, "{} did not arrive", path.display());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Returns when the run told of itself what is asked for.
async fn until(control: &mut Control, fits: impl Fn(&Progress) -> bool) {
    let waited = timeout(Duration::from_secs(20), async {
        while !fits(&control.progress()) {
            assert!(control.changed().await, "it ended: {:?}", control.progress());
        }
    });
    assert!(waited.await.is_ok(), "it does not come to it: {:?}", control.progress());
}

/// Sends raw lines and reads as many answers.
fn talk(state: &Path, lines: &[&[u8]]) -> Vec<Value> {
    let mut stream = UnixStream::connect(state.join(SOCKET)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for line in lines {
        stream.write_all(line).unwrap();
        stream.write_all(b"\n").unwrap();
    }
    let mut answers = Vec::new();
    let mut reader = BufReader::new(stream);
    for _ in lines {
        let mut answer = String::new();
        reader.read_line(&mut answer).unwrap();
        answers.push(serde_json::from_str(&answer).unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn live_changes_arrive_until_it_is_stopped_and_it_goes_on_after() {
    let ground = Ground::new();
    ground.write("a/first", b"first");
    let (control, task) = ground.start(live());
    ground.arrives("a/first").await;
    ground.write("a/second", b"second");
    ground.write("b/c/third", &content(1, 100_000));
    fs::rename(ground.source().join("a/first"), ground.source().join("b/renamed")).unwrap();
    ground.arrives("a/second").await;
    ground.arrives("b/renamed").await;
    ground.arrives("b/c/third").await;
    control.stop();
    let result = finished(async { Ok(task.await.unwrap()) }).await;
    assert_eq!(result.ending, Ending::Stopped);
    assert_eq!(result.outcome(), Outcome::Stopped);

    ground.write("a/while_it_was_away", b"more");
    let quiet = Config { until_quiet_millis: Some(1_500), ..live() };
    let (_control, task) = ground.start(quiet);
    let result = finished(async { Ok(task.await.unwrap()) }).await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    assert_eq!(result.progress.run.files_copied, 1, "what had arrived is not copied again");
    ground.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_answers_and_survives_garbage() {
    let ground = Ground::new();
    ground.write("a/b", b"text");
    let state = ground.state_folder();
    let (mut control, task) = ground.start(live());
    ground.arrives("a/b").await;
    until(&mut control, |now| now.phase == "running").await;
    let mode = fs::metadata(state.join(SOCKET)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let long = vec![b'x'; 200_000];
    assert!(UnixStream::connect(state.join(SOCKET)).unwrap().write_all(&long).is_ok());
    let answers = tokio::task::spawn_blocking({
        let state = state.clone();
        move || {
            talk(
                &state,
                &[
                    b"",
                    b"\xff\xfe{]",
                    br#"{"request":"fly"}"#,
                    br#"{"request":"path"}"#,
                    br#"{"request":"status","more":1}"#,
                    br#"{"request":"status"}"#,
                    br#"{"request":"path","path":"a/b"}"#,
                    br#"{"request":"limit","bandwidth_bytes":1000000}"#,
                ],
            )
        }
    })
    .await
    .unwrap();
    for refused in &answers[..5] {
        assert_eq!(refused["ok"], false, "{refused}");
        assert!(refused["error"].is_string());
    }
    assert_eq!(answers[5]["progress"]["phase"], "running");
    assert_eq!(answers[6]["path"]["object"]["length"], 4, "{}", answers[6]);
    assert_eq!(answers[7]["bandwidth_bytes"], 1_000_000);

    let stop = Request::Stop {};
    request(&state, &stop).await.unwrap();
    let result = finished(async { Ok(task.await.unwrap()) }).await;
    assert_eq!(result.ending, Ending::Stopped);
    assert!(!state.join(SOCKET).exists());
    let nobody = request(&state, &stop).await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::Local);
    let story = story_at_rest(&state, &"a/b".into()).unwrap();
    assert_eq!(story["object"]["length"], 4);
    assert_eq!(status_at_rest(&state).unwrap()["counters"]["files_copied"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_takes_no_work_until_resumed() {
    let ground = Ground::new();
    ground.write("a", b"a");
    let state = ground.state_folder();
    let (mut control, task) = ground.start(live());
    ground.arrives("a").await;
    request(&state, &Request::Pause {}).await.unwrap();
    ground.write("b", b"b");
    until(&mut control, |now| now.pending_live > 0).await;
    assert!(!ground.target().join("b").exists(), "it worked while it was paused");
    assert!(control.progress().paused);
    request(&state, &Request::Resume {}).await.unwrap();
    ground.arrives("b").await;
    control.stop();
    assert_eq!(task.await.unwrap().ending, Ending::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn bandwidth_holds_and_a_second_stop_ends_at_once() {
    let ground = Ground::new();
    ground.write("large", &content(1, 3_000_000));
    let setup = ground.setup(Config::default());
    setup.limits.bandwidth_bytes.set(1_000_000);
    let (_control, orders) = Control::channel();
    let begun = Instant::now();
    let result = finished(run(setup, orders)).await;
    assert_eq!(result.outcome(), Outcome::Equal);
    let seconds = begun.elapsed().as_secs_f64();
    assert!(seconds >= 2.8, "3 MB at 1 MB/s took {seconds} s");

    ground.write("larger", &content(2, 60_000_000));
    let setup = ground.setup(Config::default());
    setup.limits.bandwidth_bytes.set(1_000_000);
    let (mut control, orders) = Control::channel();
    let task = tokio::spawn(async move { run(setup, orders).await.unwrap() });
    until(&mut control, |now| now.copies > 0).await;
    control.stop();
    control.stop();
    let begun = Instant::now();
    assert_eq!(task.await.unwrap().ending, Ending::Stopped);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());

    let result = ground.migrate(Config::default()).await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    ground.assert_equal();
}

/// The rate of one large file was 0 until its first part stood on the target.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_on_its_way_has_a_rate() {
    let ground = Ground::new();
    ground.write("large", &content(3, 60_000_000));
    let setup = ground.setup(Config::default());
    setup.limits.bandwidth_bytes.set(1_000_000);
    let (mut control, orders) = Control::channel();
    let task = tokio::spawn(async move { run(setup, orders).await.unwrap() });
    until(&mut control, |now| (400_000..2_500_000).contains(&now.bytes_per_second)).await;
    let progress = control.progress();
    assert_eq!((progress.run.bytes_copied, progress.target_bytes), (0, 0), "{progress:?}");
    control.stop();
    control.stop();
    assert_eq!(task.await.unwrap().ending, Ending::Stopped);
}

async fn target_behind(proxy: &FaultProxy, gateway: &VersityGateway) -> S3Target {
    let endpoint = gateway.endpoint();
    let settings = S3Settings {
        url: "s3://bucket/p".to_owned(),
        endpoint: Some(format!("http://{}", proxy.address())),
        region: Some(endpoint.region.clone()),
        credentials: Some(FixedCredentials {
            access_key_id: endpoint.access_key.clone(),
            secret_access_key: endpoint.secret_key.clone().into(),
            session_token: None,
        }),
        ..S3Settings::default()
    };
    S3Target::open(&settings).await.unwrap()
}

/// The target asks for less while files go to one prefix: that one is slower and shows so, the
/// limits stay what they were, and everything comes.
#[tokio::test(flavor = "multi_thread")]
async fn rule_9_2_a_busy_target_is_asked_for_less() {
    let gateway = VersityGateway::start().unwrap();
    gateway.create_bucket("bucket").unwrap();
    let address = gateway.endpoint().address;
    let proxy = tokio::task::block_in_place(|| FaultProxy::start(address)).unwrap();
    let ground = Ground::new();
    for number in 0..100 {
        ground.write(&format!("hot/{number}"), b"text");
    }
    let target = target_behind(&proxy, &gateway).await;
    target.probe().await.unwrap();
    let keys = KeyMap::new(b"p", &[]).unwrap();
    let setup = Setup { keys, target: Arc::new(target), ..ground.setup(live()) };
    setup.limits.target_requests.set(40);
    let (mut control, orders) = Control::channel();
    let task = tokio::spawn(async move { run(setup, orders).await.unwrap() });
    until(&mut control, |now| now.run.files_copied > 0).await;
    assert_eq!(control.progress().slowed, SlowedDown::default());
    proxy.set(Fault::Unavailable);
    until(&mut control, |now| now.slowed.prefixes.get("hot").is_some_and(|rate| *rate < 20)).await;
    proxy.set(Fault::None);
    let progress = control.progress();
    assert_eq!((progress.slowed.source_calls, progress.source_calls_max), (None, 0));
    assert_eq!(progress.target_requests_max, 40);
    let faster = Request::Limit {
        bandwidth_bytes: None,
        bandwidth_timetable: None,
        source_calls: None,
        target_requests: Some(0),
    };
    let answer = request(&ground.state_folder(), &faster).await.unwrap();
    assert_eq!(answer["target_requests"], 0, "{answer}");
    until(&mut control, |now| now.target_requests_max == 0).await;
    until(&mut control, |now| now.run.files_copied == 100).await;
    control.stop();
    let result = finished(async { Ok(task.await.unwrap()) }).await;
    assert_eq!((result.ending, result.progress.failures), (Ending::Stopped, 0));
}
