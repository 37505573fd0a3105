//! Directories of a target where they are real: each is an object of its own, which a run writes,
//! removes and counts, though no listing of files names it.

use std::collections::{BTreeMap, HashSet};

use whimbrel_core::path::RelPath;

use super::judge::{Judge, Judged, Left, Removal, Verdict};
use super::memory::Recalled;
use crate::exit::CommandError;

/// What is done about directories beside what is told of their files.
#[derive(Debug, Default)]
pub struct Directories {
    /// Directories that were judged.
    seen: HashSet<RelPath>,
}

/// What becomes of one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// It is made.
    Comes,
    /// It goes with this entry, which the guard judges.
    Goes(RelPath),
    /// It waits for its time with this entry.
    Waits(RelPath),
}

impl Directories {
    /// What becomes of directories above these paths, each told once.
    ///
    /// # Errors
    /// The state cannot be asked.
    pub async fn of(
        &mut self,
        judge: &Judge,
        judged: &[Judged],
    ) -> Result<Vec<Becomes>, CommandError> {
        if !judge.has_real_directories() {
            return Ok(Vec::new());
        }
        let mut asked: BTreeMap<RelPath, Question> = BTreeMap::new();
        for judged in judged {
            let Some(question) = question(judged) else { continue };
            for directory in directories_above(&judged.path, question.top()) {
                if !self.seen.insert(directory.clone()) {
                    break;
                }
                asked.insert(directory, question.clone());
            }
        }
        answered(judge, asked).await
    }
}

/// What would become of a directory, if the migration knows it, or does not.
#[derive(Clone)]
enum Question {
    Comes(RelPath),
    Goes(RelPath),
    /// It goes, at once or once its time is over.
    IsGone(RelPath),
}

impl Question {
    fn top(&self) -> &RelPath {
        match self {
            Self::Comes(top) | Self::Goes(top) | Self::IsGone(top) => top,
        }
    }

    fn answer(self, judge: &Judge, marker: &Recalled, entry: &Recalled) -> Option<Becomes> {
        match (self, marker.row.is_some()) {
            (Self::Comes(_), false) => Some(Becomes::Comes),
            (Self::IsGone(top), true) if judge.stays(entry) => {
                Some(Becomes::Waits(entry.delayed_with().unwrap_or(top)))
            }
            (Self::Goes(top) | Self::IsGone(top), true) => Some(Becomes::Goes(top)),
            (Self::Comes(_), true) | (Self::Goes(_) | Self::IsGone(_), false) => None,
        }
    }
}

/// What is asked about the directories above a path.
fn question(judged: &Judged) -> Option<Question> {
    match &judged.verdict {
        Verdict::Removes(Removal { judged_with: Some(top), .. }) => {
            Some(Question::Goes(top.clone()))
        }
        Verdict::Leaves(Left::GoneWith(top)) => Some(Question::IsGone(top.clone())),
        Verdict::FailsBelow(_)
        | Verdict::Refuses(_)
        | Verdict::Leaves(_)
        | Verdict::Removes(_)
        | Verdict::Waits(..) => None,
        Verdict::Nothing
        | Verdict::Copy(_)
        | Verdict::Compare
        | Verdict::Metadata
        | Verdict::MakeDirectory
        | Verdict::Fails
        | Verdict::Displaces
        | Verdict::Open
        | Verdict::Held => {
            // Where a file of ours stands its directories do.
            Some(Question::Comes(RelPath::root())).filter(|_| !judged.is_ours)
        }
    }
}

async fn answered(
    judge: &Judge,
    asked: BTreeMap<RelPath, Question>,
) -> Result<Vec<Becomes>, CommandError> {
    let markers = asked.keys().map(RelPath::marker);
    let paths: Vec<RelPath> = markers.chain(asked.keys().cloned()).collect();
    let mut rows = judge.memory.recall(&paths).await?;
    let entries = rows.split_off(asked.len());
    let all = asked.into_values().zip(rows.into_iter().zip(entries));
    let answers = all.map(|(question, (marker, entry))| question.answer(judge, &marker, &entry));
    Ok(answers.flatten().collect())
}

/// Directories above a path, nearest first, of which a run knows by themselves: up to `top` and with
/// it, but for the root. A marker's own directory is what is told of it.
pub fn directories_above(path: &RelPath, top: &RelPath) -> impl Iterator<Item = RelPath> + use<> {
    let (top, own) = (top.clone(), path.is_marker());
    let above = path.ancestors().skip(usize::from(own));
    above.take_while(move |it| !it.is_root() && top.contains(it))
}
