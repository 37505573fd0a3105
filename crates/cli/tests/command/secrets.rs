//! No secret stands in any byte that is written (O12): whatever is called, however it ends.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use whimbrel_testbed::{S3Endpoint, S3Server, VersityGateway};

use crate::call::{Ended, Place, until};

/// Wrong ones, each given another way.
const PROFILE: &str = "canary/of+a=profile";
const TOKEN: &str = "canary-of-a-session";
const URL: &str = "canary-in-a-url";
const PROXY: &str = "canary-of-a-proxy";
const CREDENTIALS: &str = "home/.aws/credentials";

/// All that calls wrote, and what must not stand in it.
struct Told {
    text: Vec<(String, Vec<u8>)>,
    secrets: Vec<String>,
}

impl Told {
    fn new(endpoint: &S3Endpoint) -> Self {
        let plain = [&endpoint.secret_key, PROFILE, TOKEN, URL, PROXY];
        let encoded = plain.map(|secret| STANDARD.encode(secret));
        let secrets = plain.map(str::to_owned).into_iter().chain(encoded);
        // Escaped as in a URL, and behind a name as basic authentication has it.
        let other = ["canary%2Fof%2Ba%3Dprofile".to_owned(), STANDARD.encode(format!("u:{PROXY}"))];
        Self { text: Vec::new(), secrets: secrets.chain(other).collect() }
    }

    fn take(&mut self, call: &str, ended: &Ended) {
        for text in [&ended.stdout, &ended.stderr] {
            self.text.push((call.to_owned(), text.clone().into_bytes()));
        }
    }

    fn run(&mut self, place: &Place, call: &str, code: i32) {
        let ended = place.run(&call.split(' ').collect::<Vec<_>>());
        assert_eq!(ended.code, code, "{call}: {}\n{}", ended.stdout, ended.stderr);
        self.take(call, &ended);
    }

    /// Names where a secret stands.
    fn found(&self) -> Vec<(&str, &str)> {
        let holds = |text: &[u8], secret: &str| {
            text.windows(secret.len()).any(|window| window == secret.as_bytes())
        };
        let all = self.text.iter().flat_map(|(place, text)| {
            let here = self.secrets.iter().filter(|secret| holds(text, secret));
            here.map(|secret| (place.as_str(), secret.as_str()))
        });
        all.collect()
    }
}

#[test]
fn no_byte_that_is_written_holds_a_secret() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let place = Place::new().with(server.endpoint().environment());
    let mut told = Told::new(server.endpoint());
    place.write("source/a", "one");
    place.write("source/d/large", vec![3; 12 << 20]);
    whatever_goes_well(&place, &mut told);
    whatever_is_killed(&place, &mut told);
    whatever_is_refused(&place, server.endpoint(), &mut told);
    for (path, content) in place.tree("") {
        if path != std::path::Path::new(CREDENTIALS) {
            told.text.push((path.display().to_string(), content));
        }
    }
    let names: Vec<&str> = told.text.iter().map(|(name, _)| name.as_str()).collect();
    let written = ["state.db", "call.json", "result.json", "run.log", "wrong.log", "report.json"];
    for name in written {
        assert!(names.iter().any(|it| it.ends_with(name)), "{name} was not written: {names:?}");
    }
    assert_eq!(told.found(), []);
    // It would be seen.
    told.text.push(("a call".to_owned(), format!("u:{PROXY}@").into_bytes()));
    assert_eq!(told.found(), [("a call", PROXY)]);
}

fn whatever_goes_well(place: &Place, told: &mut Told) {
    let log = "--log run.log --log-level trace";
    told.run(place, &format!("migrate source s3://bucket/p --name m --report r {log}"), 0);
    told.run(place, "verify m --read --report proof --json", 0);
    for call in ["status m", "status --json", "path m a", "export m", "doctor source s3://bucket/p"]
    {
        told.run(place, call, 0);
    }
    told.run(place, "migrate s3://bucket/p back --name back --json", 0);
}

fn whatever_is_killed(place: &Place, told: &mut Told) {
    let call = "migrate source s3://bucket/l --live --name l --json --log run.log";
    let running = place.spawn(&call.split(' ').collect::<Vec<_>>());
    until("a live migration", || place.run(&["cutover", "l", "--dry-run"]).code == 0);
    told.run(place, "status l --json", 0);
    told.run(place, "limit l --bandwidth 1MB/s", 0);
    place.write("source/later", vec![7; 9 << 20]);
    // In the midst of that file.
    until("a request under way", || place.run(&["status", "l", "--json"]).result()["copies"] != 0);
    drop(running);
    told.run(place, "status l", 0);
    let again = place.spawn(&call.split(' ').collect::<Vec<_>>());
    until("a migration that runs again", || place.run(&["stop", "l"]).code == 0);
    told.take(call, &again.ended_within(Duration::from_secs(60)).expect(143));
}

fn whatever_is_refused(place: &Place, endpoint: &S3Endpoint, told: &mut Told) {
    let log = "--log wrong.log --log-level trace --json";
    let migrate = format!("migrate source s3://bucket/w --name w {log}");
    place.write(
        CREDENTIALS,
        format!("[wrong]\naws_access_key_id = WRONG\naws_secret_access_key = {PROFILE}\n"),
    );
    told.run(place, &format!("{migrate} --target-profile wrong"), 4);
    told.run(place, &format!("doctor source s3://bucket/w {} wrong", "--target-profile"), 4);
    let with_password = endpoint.url.replace("http://", &format!("http://u:{URL}@"));
    told.run(place, &format!("{migrate} --target-endpoint {with_password}"), 2);
    told.run(place, &format!("migrate source s3://u:{URL}@bucket/w"), 2);
    told.run(place, &format!("migrate source hdfs://u:{URL}@host:1/w"), 2);
    // Nobody listens behind that proxy, and a session that the server does not know.
    for (name, value) in [
        ("HTTP_PROXY", format!("http://u:{PROXY}@127.0.0.1:9")),
        ("AWS_SESSION_TOKEN", TOKEN.to_owned()),
    ] {
        let mut command = place.command(&migrate.split(' ').collect::<Vec<_>>());
        let ended = Ended::of(command.env(name, value).output().unwrap());
        told.take(name, &ended);
    }
}
