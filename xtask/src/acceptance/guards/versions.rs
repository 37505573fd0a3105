//! A bucket with versions: what a migration removes can be brought back.

use std::error::Error;
use std::process::Command;

use serde_json::{Value, json};
use whimbrel_testbed::{S3Endpoint, S3Server};

use super::Guard;
use super::stage::{FEW, Stage, asks, confirm, equal, remove_few, write_few};
use crate::acceptance::ground::{BUCKET, Ground, GroundPlan, demand};
use crate::process::output;

pub const GUARDS: &[Guard] = &[Guard { name: "removals-can-be-undone", provoke: undone }];

/// Asks the server in a way of its own: Whimbrel has no part in what is undone.
fn ask(
    endpoint: &S3Endpoint,
    method: &str,
    rest: &str,
    body: &str,
) -> Result<String, Box<dyn Error>> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--request", method])
        .args(["--aws-sigv4", &format!("aws:amz:{}:s3", endpoint.region)])
        .args(["--user", &format!("{}:{}", endpoint.access_key, endpoint.secret_key)]);
    curl.args(["--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
    if !body.is_empty() {
        curl.args(["--data-binary", body]);
    }
    output(curl.arg(format!("{}/{BUCKET}{rest}", endpoint.url)))
}

/// The text between two tags, wherever they are.
fn between<'a>(text: &'a str, tag: &str) -> impl Iterator<Item = &'a str> {
    let (begin, end) = (format!("<{tag}>"), format!("</{tag}>"));
    let pieces: Vec<&str> = text.split(begin.as_str()).skip(1).collect();
    pieces.into_iter().filter_map(move |piece| piece.split(end.as_str()).next())
}

/// Keys and versions of the markers that removals of files have left.
fn markers(endpoint: &S3Endpoint) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let listed = ask(endpoint, "GET", "?prefix=data%2Fd%2F&versions=", "")?;
    let one = |marker, tag| between(marker, tag).next().unwrap_or_default().to_owned();
    let markers = between(&listed, "DeleteMarker");
    Ok(markers.map(|marker| (one(marker, "Key"), one(marker, "VersionId"))).collect())
}

/// How many files of the small tree stand, whole.
fn present(endpoint: &S3Endpoint) -> usize {
    let stands = |number: &usize| {
        let read = ask(endpoint, "GET", &format!("/data/d/{number}"), "");
        read.is_ok_and(|text| text == format!("the text of {number}"))
    };
    (0..FEW).filter(stands).count()
}

/// Held first, then removed by a person's word; who takes the markers away has all of it again.
fn undone(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let plan = GroundPlan { local_source: true, versions: true, ..GroundPlan::default() };
    let ground: Ground = stage.ground(&plan)?;
    let endpoint = ground.gateway.as_ref().ok_or("the target is local")?.endpoint().clone();
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    ask(&endpoint, "PUT", "?versioning=", enabled)?;
    let mut measured = json!({"passed": true});
    write_few(ground.local_source())?;
    equal(&ground, &[])?;
    let bound = ["--removals-max", "3"];
    remove_few(ground.local_source(), 0..FEW)?;
    let (held, marked) = (present(&endpoint), markers(&endpoint)?.len());
    let why = format!("it begins with {held} files and {marked} markers");
    demand(&mut measured, (held, marked) == (FEW, 0), &why);
    asks(&ground, &bound, &mut measured)?;
    demand(&mut measured, present(&endpoint) == FEW, "something went before a person was asked");
    confirm(&ground, &mut measured)?;
    equal(&ground, &bound)?;
    demand(&mut measured, present(&endpoint) == 0, "a person's word was not followed");
    let left = markers(&endpoint)?;
    for (key, version) in &left {
        ask(&endpoint, "DELETE", &format!("/{key}?versionId={version}"), "")?;
    }
    let back = present(&endpoint);
    demand(&mut measured, back == FEW, &format!("{back} of {FEW} came back"));
    measured["markers"] = json!(left.len());
    Ok(measured)
}
