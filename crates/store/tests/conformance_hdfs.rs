//! The conformance suite over HDFS.

#![allow(clippy::expect_used, reason = "a test says what it found by failing")]

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use whimbrel_store::conformance::{SourceWrite, broken, check_source};
use whimbrel_store::hdfs::{HdfsSettings, HdfsSource};
use whimbrel_testbed::{Hadoop, HadoopOptions};

/// Names that HDFS refuses, and those that Java's `Path` takes for others.
fn holds(path: &str) -> bool {
    path.split('/').all(|name| !matches!(name, "" | "." | "..") && name.len() <= 255)
        && !path.contains(':')
}

fn write(hadoop: &Hadoop, order: SourceWrite<'_>) -> Result<bool, String> {
    let (SourceWrite::File(path, _)
    | SourceWrite::Directory(path)
    | SourceWrite::Remove(path)
    | SourceWrite::Sparse(path, ..)) = order;
    let Some(path) = std::str::from_utf8(path).ok().filter(|path| holds(path)) else {
        return Ok(false);
    };
    let mut operation: Value = match order {
        SourceWrite::File(_, body) => {
            json!({"operation": "create", "base64": STANDARD.encode(body)})
        }
        SourceWrite::Directory(_) => json!({"operation": "mkdirs"}),
        SourceWrite::Remove(_) => json!({"operation": "delete"}),
        SourceWrite::Sparse(..) => return Ok(false),
    };
    operation["path"] = json!(format!("/data/{path}"));
    hadoop.operations(&[operation]).map(|_| true).map_err(|error| error.to_string())
}

#[test]
fn hdfs_source() {
    let hadoop = Hadoop::start(&HadoopOptions::default()).expect("a cluster");
    write(&hadoop, SourceWrite::Directory(b"names")).expect("a directory");
    let settings = HdfsSettings {
        url: format!("{}/data", hadoop.url()),
        configuration: Some(hadoop.configuration_directory()),
        user: hadoop.superuser().to_owned(),
        caller_context: String::new(),
        acl: true,
        patience: Duration::from_secs(20),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let rows = runtime.expect("a runtime").block_on(async {
        let source = HdfsSource::open(&settings).await.expect("opens");
        check_source(&source, |order| tokio::task::block_in_place(|| write(&hadoop, order))).await
    });
    for row in &rows {
        println!("{}: {:?}", row.check, row.verdict);
    }
    assert!(rows.len() > 50);
    assert!(broken(&rows).is_empty(), "{:#?}", broken(&rows));
}
