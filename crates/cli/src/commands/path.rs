//! `whimbrel path NAME PATH`.

use std::os::unix::ffi::OsStrExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use whimbrel_core::path::RelPath;
use whimbrel_engine::{REMEMBERED, Request, story_at_rest};

use crate::arguments::PathArguments;
use crate::control;
use crate::exit::{self, CommandError, Condition};
use crate::output::progress::hour;
use crate::output::result::count;
use crate::output::{self, printable};
use crate::record::refuse_what_lost_its_state;
use crate::state;

/// Shows what happened to one path. One of which nothing is known ends with the code of a
/// difference.
///
/// # Errors
/// No such migration, or it cannot say.
pub async fn run(arguments: &PathArguments, json: bool) -> Result<u8, CommandError> {
    let place = state::existing(&arguments.name, arguments.state.as_deref())?;
    let bytes = arguments.path.as_bytes();
    let bytes = bytes.strip_prefix(b"/").unwrap_or(bytes);
    let asked = Request::Path { path: None, path_base64: Some(STANDARD.encode(bytes)) };
    let story = match control::ask(&place, &asked).await? {
        Some(answer) => answer.get("path").cloned().unwrap_or_default(),
        None => {
            refuse_what_lost_its_state(&place.folder)?;
            story_at_rest(&place.folder, &RelPath::new(bytes.to_vec()))?
        }
    };
    let Value::Object(mut story) = story else { return Ok(0) };
    story.remove(REMEMBERED);
    let known = is_known(&story);
    if json {
        story.insert("known".to_owned(), known.into());
        output::json_line("result", &story);
    } else {
        output::standard_output(&text(&story));
    }
    let conditions = (!known).then_some(Condition::Incomplete);
    Ok(exit::code(&conditions.into_iter().collect()))
}

/// Something of the path itself is remembered; the root always is.
fn is_known(story: &Map<String, Value>) -> bool {
    let told = |name: &&str| match story.get(*name) {
        Some(Value::Array(items)) => !items.is_empty(),
        Some(value) => !value.is_null(),
        None => false,
    };
    let is_root = story.get("path").and_then(Value::as_str) == Some("");
    is_root || ["object", "marker", "directory", "found", "pending", "attempts"].iter().any(told)
}

fn text(story: &Map<String, Value>) -> String {
    let path = story.get("path").and_then(Value::as_str).unwrap_or_default();
    let mut lines = vec![printable(if path.is_empty() { "(the source root)" } else { path })];
    if !is_known(story) {
        lines.push("  unknown: never seen, or removed".to_owned());
    }
    for (name, title) in [
        ("object", "stands on the target"),
        ("marker", "its directory marker stands on the target"),
        ("directory", "is a directory at the source"),
        ("found", "stands on the target, written by others"),
        ("pending", "is pending"),
        ("pending_above", "is pending with what lies above it"),
    ] {
        if let Some(Value::Object(fields)) = story.get(name) {
            lines.push(format!("  {title}"));
            for (name, value) in fields {
                add(&mut lines, name, value);
            }
        }
    }
    match (removed_after(story), story.get("message")) {
        (Some(at), _) => {
            lines.push(format!("  gone at the source; removed after {}", hour(at)));
        }
        (None, Some(Value::String(message))) => lines.push(format!("  {}", printable(message))),
        (None, _) => {}
    }
    if let Some(Value::Array(attempts)) = story.get("attempts")
        && !attempts.is_empty()
    {
        let writes = count(attempts.len() as u64, "write", "writes");
        lines.push(format!("  {writes} whose end is not known yet"));
    }
    lines.join("\n")
}

/// When the time is over of what is gone at the source, here or above.
fn removed_after(story: &Map<String, Value>) -> Option<u64> {
    let own = story.get("pending").filter(|own| !own.is_null());
    own.or_else(|| story.get("pending_above"))?.get("removed_after_ms")?.as_u64()
}

fn add(lines: &mut Vec<String>, name: &str, value: &Value) {
    let shown = match value {
        Value::Null => return,
        Value::String(text) => printable(text),
        Value::Object(fields) => {
            for (inner, value) in fields {
                add(lines, &format!("{name}.{inner}"), value);
            }
            return;
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    };
    lines.push(format!("    {name:<22}{shown}"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stories_for_people() {
        let story = json!({
            "path": "a/b",
            "object": { "length": 3, "etag": null, "source": { "inode": 7 } },
            "attempts": [{}],
        });
        let Value::Object(story) = story else { unreachable!() };
        let expected = "a/b\n  stands on the target\n    length                3\n    \
                        source.inode          7\n  1 write whose end is not known yet";
        assert_eq!(text(&story), expected);
        let unknown = Map::from_iter([("path".to_owned(), json!("x"))]);
        assert!(text(&unknown).contains("unknown: never seen, or removed"));
    }
}
