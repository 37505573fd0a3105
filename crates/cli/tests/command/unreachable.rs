//! A side that is not there: exit code 3 or 4 within 30 seconds, 7 for this machine.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::call::Place;

fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn timed(place: &Place, arguments: &[&str], code: i32) -> serde_json::Value {
    let started = Instant::now();
    let result = place.run(arguments).expect(code).result();
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(result["outcome"], "failed");
    for word in ["message", "remedy"] {
        assert!(result[word].as_str().is_some_and(|text| !text.is_empty()), "{word}: {result}");
    }
    result
}

#[test]
fn no_namenode_listens() {
    let place = Place::new();
    let source = format!("hdfs://127.0.0.1:{}/data", closed_port());
    timed(&place, &["migrate", &source, "target", "--json"], 3);
    assert!(!place.path("target").exists(), "the target was touched");
}

#[test]
fn a_namenode_that_never_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new();
    let source = format!("hdfs://{}/data", silent.local_addr().unwrap());
    timed(&place, &["migrate", &source, "target", "--json"], 3);
}

#[test]
fn no_object_store_listens() {
    let place = Place::new().with(vec![
        ("AWS_ACCESS_KEY_ID", "id".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret-of-the-test".to_owned()),
        ("AWS_ENDPOINT_URL_S3", format!("http://127.0.0.1:{}", closed_port())),
    ]);
    place.write("source/a", "a");
    timed(&place, &["migrate", "source", "s3://bucket/p", "--json"], 4);
    timed(&place, &["migrate", "s3://bucket/p", "target", "--json"], 3);
}

#[test]
fn an_object_store_that_never_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new().with(vec![
        ("AWS_ACCESS_KEY_ID", "id".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret-of-the-test".to_owned()),
        ("AWS_ENDPOINT_URL_S3", format!("http://{}", silent.local_addr().unwrap())),
    ]);
    place.write("source/a", "a");
    let result = timed(&place, &["migrate", "source", "s3://bucket/p", "--json"], 4);
    assert!(!result.to_string().contains("secret-of-the-test"));
}

#[test]
fn what_does_not_exist() {
    let place = Place::new();
    timed(&place, &["migrate", "missing", "target", "--json"], 3);
    timed(&place, &["verify", "missing", "target", "--json"], 3);
    place.write("source/a", "a");
    timed(&place, &["verify", "source", "missing", "--json"], 4);
    place.write("file", "in the way");
    timed(&place, &["migrate", "source", "file/target", "--json"], 4);
}

#[test]
fn a_state_that_cannot_be_used() {
    let place = Place::new();
    place.write("source/a", "a");
    place.write("state-file", "in the way");
    timed(&place, &["migrate", "source", "target", "--json", "--state", "state-file"], 7);
    place.write("garbage/state.db", "this is no database, and it is long enough to be looked at");
    timed(&place, &["migrate", "source", "target", "--json", "--state", "garbage"], 7);
    assert!(!place.path("target/a").exists(), "the target was touched");
}

#[test]
fn a_server_that_speaks_something_else() {
    use std::io::Write;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            // Whoever hangs up early is served no longer.
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let place = Place::new();
    timed(&place, &["migrate", &format!("hdfs://{address}/data"), "target", "--json"], 3);
}

/// What is wrong with a proxy or a certificate bundle was blamed on the endpoint.
#[test]
fn a_setting_of_the_network_that_is_to_blame_is_named() {
    let environment = |name: &'static str, value: String| {
        Place::new().with(vec![
            ("AWS_ACCESS_KEY_ID", "id".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret-of-the-test".to_owned()),
            ("AWS_ENDPOINT_URL_S3", format!("https://127.0.0.1:{}", closed_port())),
            (name, value),
        ])
    };
    let proxy = format!("http://127.0.0.1:{}", closed_port());
    for (name, value, code) in [
        ("HTTPS_PROXY", proxy.as_str(), 4),
        ("HTTPS_PROXY", "http://user:pass@:x:/", 2),
        ("HTTPS_PROXY", "ftp://127.0.0.1:21", 2),
        ("AWS_CA_BUNDLE", "missing.pem", 2),
        ("AWS_CA_BUNDLE", "source/a", 2),
        ("AWS_CA_BUNDLE", "source", 2),
    ] {
        let place = environment(name, value.to_owned());
        place.write("source/a", "no certificate");
        let result = timed(&place, &["migrate", "source", "s3://bucket/p", "--json"], code);
        for word in ["message", "remedy"] {
            let text = result[word].as_str().unwrap();
            assert!(text.contains(name), "{name}={value}: {text}");
        }
    }
}

/// A refusal without a body was told with half a sentence, and without what to do.
#[test]
fn a_refusal_without_words_shows_its_status() {
    use std::io::{Read, Write};
    for status in ["500 Internal Server Error", "501 Not Implemented", "418 I'm a teapot"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.read(&mut [0; 65_536]);
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                // Whoever hangs up early is served no longer.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let place = Place::new().with(vec![
            ("AWS_ACCESS_KEY_ID", "id".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret-of-the-test".to_owned()),
            ("AWS_ENDPOINT_URL_S3", format!("http://{address}")),
        ]);
        place.write("source/a", "a");
        let ended = place.run(&["migrate", "source", "s3://bucket/p", "--json"]);
        let result = ended.result();
        let message = result["message"].as_str().unwrap();
        assert!(message.contains(&format!("{}: ", &status[..3])), "{message}");
        let client_error = status.starts_with('4');
        assert!(client_error || !result["remedy"].as_str().unwrap().is_empty(), "{result}");
    }
}
