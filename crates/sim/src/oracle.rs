//! What must be true, whatever happened on the way.

use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Part, Upload};

use crate::world::source::{Content, Source};
use crate::world::target::Target;

/// How a history ended.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The seed.
    pub seed: u64,
    /// What is wrong; `None`: nothing.
    pub problem: Option<String>,
    /// Digest over everything that happened: the same seed gives the same.
    pub trace: u64,
    /// Happenings.
    pub steps: u64,
}

impl Verdict {
    /// A history that went wrong.
    pub fn failed(seed: u64, problem: String, trace: u64) -> Self {
        Self { seed, problem: Some(problem), trace, steps: 0 }
    }
}

/// O1: when the source is quiet, the target equals it, metadata included.
pub fn differences(source: &Source, target: &Target) -> Option<String> {
    for (path, file) in source.files() {
        let Some((content, length, mode)) = file else { continue };
        match target.objects.get(&path) {
            None => return Some(format!("{path} is missing")),
            Some(object) if object.content != content || object.length != length => {
                return Some(format!(
                    "{path} is {} where the source has {content}",
                    object.content
                ));
            }
            Some(object) if object.mode != mode => {
                return Some(format!("{path} has mode {:o}, not {mode:o}", object.mode));
            }
            Some(_) => {}
        }
    }
    for directory in source.empty_directories() {
        if !target.objects.contains_key(&directory.marker()) {
            return Some(format!("the marker of {directory} is missing"));
        }
    }
    let files = source.files();
    target.objects.iter().find_map(|(path, object)| extra(source, &files, path, object.content))
}

fn extra(
    source: &Source,
    files: &std::collections::BTreeMap<RelPath, Option<(Content, u64, u32)>>,
    path: &RelPath,
    content: Content,
) -> Option<String> {
    if path.is_marker() {
        let directory = path.parent().unwrap_or_default();
        let there = source.paths().contains(&directory);
        return (!there).then(|| format!("the marker of {directory} stands without it"));
    }
    match files.get(path) {
        None => Some(format!("{path} stands on the target alone")),
        Some(_) if !source.ever_had(path, content) => {
            Some(format!("{path} holds bytes that the source never had there"))
        }
        Some(_) => None,
    }
}

/// The one part that carries a simulated upload's bytes: its tag says what they are.
pub(crate) fn with_part(upload: Upload, content: Content, length: u64, mode: u32) -> Upload {
    let part = Part {
        number: 1,
        length,
        crc32c: crate::run::checksum(content),
        etag: format!("{content}:{mode}"),
    };
    Upload { parts: vec![part], ..upload }
}

/// What an upload's parts hold: content, length, mode.
pub(crate) fn parts_of(upload: &Upload) -> Option<(Content, u64, u32)> {
    let part = upload.parts.first()?;
    let (content, mode) = part.etag.split_once(':')?;
    Some((content.parse().ok()?, part.length, mode.parse().ok()?))
}
