//! The conformance suite over S3 servers.

#![allow(clippy::expect_used, reason = "a test says what it found by failing")]

use bytes::Bytes;
use whimbrel_core::effect::Expected;
use whimbrel_store::conformance::{
    Row, SourceWrite, TargetFacts, broken, check_source, check_target,
};
use whimbrel_store::error::StoreError;
use whimbrel_store::s3::{Environment, S3Settings, S3Source, S3Target};
use whimbrel_store::target::{Stamp, Target};
use whimbrel_testbed::{Garage, GarageEngine, S3Endpoint, S3Mock, S3Server, VersityGateway};

fn settings(endpoint: &S3Endpoint, url: &str) -> S3Settings {
    let variables = endpoint.environment().into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    S3Settings {
        url: url.to_owned(),
        environment: Some(Environment { variables, home: None }),
        ..S3Settings::default()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().expect("a runtime")
}

fn assert_kept(rows: &[Row]) {
    for row in rows {
        println!("{}: {:?}", row.check, row.verdict);
    }
    assert!(rows.len() > 50);
    assert!(broken(rows).is_empty(), "{:#?}", broken(rows));
}

fn target_keeps(server: &dyn S3Server, facts: &TargetFacts) {
    server.create_bucket("bucket").expect("a bucket");
    runtime().block_on(async {
        let settings = settings(server.endpoint(), "s3://bucket/p");
        let target = S3Target::open(&settings).await.expect("opens");
        target.probe().await.expect("a probe");
        assert_kept(&check_target(&target, facts).await);
    });
}

#[test]
fn versitygw_target() {
    let server = VersityGateway::start().expect("a server");
    let facts = TargetFacts {
        prefix: b"p/".to_vec(),
        keeps_file_beside_directory: false,
        copy_names_content: true,
    };
    target_keeps(&server, &facts);
}

#[test]
fn s3mock_target() {
    let server = S3Mock::start().expect("a server");
    let facts = TargetFacts {
        prefix: b"p/".to_vec(),
        keeps_file_beside_directory: true,
        copy_names_content: true,
    };
    target_keeps(&server, &facts);
}

#[test]
#[ignore = "builds Garage, 20 minutes of CPU: cargo xtask conformance"]
fn garage_target() {
    for engine in [GarageEngine::Sqlite, GarageEngine::Lmdb] {
        let server = Garage::start(engine).expect("a server");
        let facts = TargetFacts {
            prefix: b"p/".to_vec(),
            keeps_file_beside_directory: true,
            copy_names_content: true,
        };
        target_keeps(&server, &facts);
    }
}

/// Writes what the suite asks for with a target on the same bucket.
async fn write(target: &S3Target, order: SourceWrite<'_>) -> Result<bool, String> {
    let text = |error: StoreError| error.to_string();
    let (key, body) = match order {
        SourceWrite::File(path, body) => (path, body.to_vec()),
        SourceWrite::Sparse(path, zeros, end) => {
            let zeros = usize::try_from(zeros).map_err(|error| error.to_string())?;
            (path, [vec![0; zeros].as_slice(), end].concat())
        }
        SourceWrite::Directory(_) => return Ok(false),
        SourceWrite::Remove(path) => {
            let keys = [([b"in/", path].concat(), Expected::Anything)];
            let outcomes = target.remove(&keys).await.map_err(text)?;
            return outcomes
                .into_iter()
                .collect::<Result<Vec<()>, _>>()
                .map(|_| true)
                .map_err(text);
        }
    };
    let key = [b"in/", key].concat();
    if target.admit(&key).is_err() {
        return Ok(false);
    }
    let stamp = Stamp::default();
    target
        .put(&key, Bytes::from(body).into(), &stamp, &Expected::Anything)
        .await
        .map(|_| true)
        .map_err(text)
}

fn source_keeps(server: &dyn S3Server) {
    server.create_bucket("bucket").expect("a bucket");
    let runtime = runtime();
    let settings = settings(server.endpoint(), "s3://bucket/in");
    let (source, target) = runtime.block_on(async {
        let target = S3Target::open(&settings).await.expect("opens");
        target.probe().await.expect("a probe");
        write(&target, SourceWrite::File(b"first", b"")).await.expect("written");
        (S3Source::open(&settings).await.expect("opens"), target)
    });
    let writes = |order: SourceWrite<'_>| {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(write(&target, order))
        })
    };
    assert_kept(&runtime.block_on(check_source(&source, writes)));
}

#[test]
fn versitygw_source() {
    source_keeps(&VersityGateway::start().expect("a server"));
}

#[test]
#[ignore = "builds Garage, 20 minutes of CPU: cargo xtask conformance"]
fn garage_source() {
    source_keeps(&Garage::start(GarageEngine::Sqlite).expect("a server"));
}
