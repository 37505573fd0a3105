//! What the runs of a workload come to.

use serde_json::{Value, json};

use super::subject::Subject;
use super::workload::{Kind, Workload};

/// A median with the smallest and the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

/// Whimbrel beside another one; above 1 it is better.
#[derive(Clone, Debug)]
pub struct Ratio {
    /// What it is a ratio of.
    pub what: &'static str,
    /// Beside whom.
    pub beside: Subject,
    pub spread: Spread,
}

/// A workload's runs of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Figures<'a> {
    pub workload: &'static Workload,
    pub line: &'a Value,
    /// `copy`, `nothing` or `changed`.
    pub phase: &'static str,
}

impl Spread {
    /// Of numbers in any order; none of none.
    pub fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.sort_by(f64::total_cmp);
        let (least, most) = (*numbers.first()?, *numbers.last()?);
        let (low, high) = (numbers[(numbers.len() - 1) / 2], numbers[numbers.len() / 2]);
        Some(Self { median: f64::midpoint(low, high), least, most })
    }
}

impl<'a> Figures<'a> {
    /// Those of a line.
    pub fn of(workload: &'static Workload, line: &'a Value) -> Vec<Self> {
        let phases = workload.kind.phases();
        phases.iter().map(|phase| Self { workload, line, phase }).collect()
    }

    /// Each run's number, with its round; the name may lead into what the run holds: `a/b`.
    pub fn numbers(&self, subject: Subject, name: &str) -> Vec<(u64, f64)> {
        let runs = self.line["runs"].as_array().into_iter().flatten();
        let own = runs.filter(|run| {
            run["subject"] == json!(subject.name()) && run["phase"] == json!(self.phase)
        });
        let number = |run: &Value| run.pointer(&format!("/{name}"))?.as_f64();
        own.filter_map(|run| Some((run["round"].as_u64()?, number(run)?))).collect()
    }

    /// Their spread.
    pub fn spread(&self, subject: Subject, name: &str) -> Option<Spread> {
        Spread::of(self.numbers(subject, name).into_iter().map(|(_, number)| number).collect())
    }

    /// Runs that were not right.
    pub fn failures(&self, subject: Subject) -> usize {
        let runs = self.line["runs"].as_array().into_iter().flatten();
        runs.filter(|run| run["subject"] == json!(subject.name()) && run["failure"].is_string())
            .count()
    }

    /// The other's number by Whimbrel's, round by round.
    fn ratio(&self, what: &'static str, name: &str, beside: Subject) -> Option<Ratio> {
        let own = self.numbers(Subject::Whimbrel, name);
        let others = self.numbers(beside, name);
        let pairs = own.into_iter().filter_map(|(round, number)| {
            let (_, other) = others.iter().find(|(other, _)| *other == round)?;
            Some(other / number)
        });
        Some(Ratio { what, beside, spread: Spread::of(pairs.collect())? })
    }

    /// The peer with the smallest median.
    fn best(&self, name: &str) -> Option<Subject> {
        let peers = self.workload.subjects.iter().map(|(subject, _)| *subject);
        let medians = peers
            .filter(|subject| subject.is_peer())
            .filter_map(|subject| Some((subject, self.spread(subject, name)?.median)));
        medians.min_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(subject, _)| subject)
    }

    /// Speed and work beside the peer that is best in each, then beside what is no peer.
    pub fn ratios(&self) -> Vec<Ratio> {
        let speed = "speed";
        if self.workload.kind == Kind::Calls {
            // Whoever is traced takes its time for that alone.
            let calls = "calls/system_calls";
            return self
                .best(calls)
                .and_then(|best| self.ratio("calls", calls, best))
                .into_iter()
                .collect();
        }
        let beside_best = [(speed, "wall_seconds"), ("CPU", "processor_seconds")];
        let mut ratios: Vec<Ratio> = beside_best
            .iter()
            .filter_map(|(what, name)| self.ratio(what, name, self.best(name)?))
            .collect();
        let marks = [Subject::Generator, Subject::WhimbrelNear];
        ratios.extend(marks.iter().filter_map(|mark| self.ratio(speed, "wall_seconds", *mark)));
        ratios
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Figures, Spread};
    use crate::bench::subject::Subject;
    use crate::bench::workload::WORKLOADS;

    #[test]
    fn a_median_lies_between_the_two_in_the_middle() {
        let spread = Spread::of(vec![4.0, 1.0, 2.0, 10.0]);
        assert_eq!(spread, Some(Spread { median: 3.0, least: 1.0, most: 10.0 }));
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn rounds_are_compared_with_themselves_and_failures_not_at_all() {
        let run = |subject: &str, round: u64, seconds: f64| json!({"subject": subject, "phase": "copy", "round": round, "wall_seconds": seconds});
        let line = json!({"runs": [
            run("whimbrel", 0, 1.0), run("juicefs", 0, 3.0),
            run("whimbrel", 1, 2.0), run("juicefs", 1, 10.0),
            run("whimbrel", 2, 1.0),
            {"subject": "juicefs", "phase": "copy", "round": 2, "failure": "no"},
        ]});
        let figures = Figures { workload: &WORKLOADS[0], line: &line, phase: "copy" };
        let ratios = figures.ratios();
        assert_eq!(ratios.len(), 1);
        assert_eq!(ratios[0].spread, Spread { median: 4.0, least: 3.0, most: 5.0 });
        assert_eq!(figures.failures(Subject::Juicefs), 1);
    }
}
