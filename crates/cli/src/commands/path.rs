//! `whimbrel path NAME PATH`.

use std::os::unix::ffi::OsStrExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use whimbrel_core::path::RelPath;
use whimbrel_engine::{Request, story_at_rest};

use crate::arguments::PathArguments;
use crate::control;
use crate::exit::CommandError;
use crate::output::{self, printable};
use crate::state;

/// Shows what happened to one path.
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
        None => story_at_rest(&place.folder, &RelPath::new(bytes.to_vec()))?,
    };
    let Value::Object(story) = story else { return Ok(0) };
    if json {
        output::json_line("result", &story);
    } else {
        output::standard_output(&text(&story));
    }
    Ok(0)
}

fn text(story: &Map<String, Value>) -> String {
    let path = story.get("path").and_then(Value::as_str).unwrap_or_default();
    let mut lines = vec![printable(if path.is_empty() { "(the source root)" } else { path })];
    for (name, title) in [
        ("object", "stands on the target"),
        ("marker", "its directory marker stands on the target"),
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
    if let Some(Value::String(message)) = story.get("message") {
        lines.push(format!("  {}", printable(message)));
    }
    if let Some(Value::Array(attempts)) = story.get("attempts")
        && !attempts.is_empty()
    {
        lines.push(format!("  {} writes whose end is not known yet", attempts.len()));
    }
    if lines.len() == 1 {
        lines.push("  nothing is known of it: nothing of it is on the target".to_owned());
    }
    lines.join("\n")
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
                        source.inode          7\n  1 writes whose end is not known yet";
        assert_eq!(text(&story), expected);
        let unknown = Map::from_iter([("path".to_owned(), json!("x"))]);
        assert!(text(&unknown).contains("nothing is known"));
    }
}
