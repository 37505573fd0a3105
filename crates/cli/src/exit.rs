//! How a command ends: the one place that knows the numbers.

use std::collections::BTreeSet;

use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_engine::{EngineError, ErrorKind};

/// Something that has a say in the exit code. The order of the variants is the order of
/// precedence: the first that holds decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// A defect of Whimbrel's own.
    Defect,
    /// Wrong use: flag, URL, unit, configuration.
    Usage,
    /// Stopped by a signal.
    Signal(Signal),
    /// A guard wants a person's word.
    Guard,
    /// This machine: state, disk.
    Local,
    /// The source is unreachable, refuses, or is not there.
    Source,
    /// The target is unreachable, refuses, is not there, or is full.
    Target,
    /// It ran to the end, but paths failed, differ or are open.
    Incomplete,
}

/// The signals that end a run in good order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Control-C.
    Interrupt,
    /// From a scheduler or a service manager.
    Terminate,
}

/// The exit code for everything that held; 0 for nothing.
pub fn code(conditions: &BTreeSet<Condition>) -> u8 {
    match conditions.first() {
        None => 0,
        Some(Condition::Defect) => 1,
        Some(Condition::Usage) => 2,
        Some(Condition::Signal(Signal::Interrupt)) => 130,
        Some(Condition::Signal(Signal::Terminate)) => 143,
        Some(Condition::Guard) => 6,
        Some(Condition::Local) => 7,
        Some(Condition::Source) => 3,
        Some(Condition::Target) => 4,
        Some(Condition::Incomplete) => 5,
    }
}

/// What an exit code of Whimbrel's own says; `None` for 0 and for those of others.
pub fn condition_of_code(code: u8) -> Option<Condition> {
    [
        Condition::Defect,
        Condition::Usage,
        Condition::Signal(Signal::Interrupt),
        Condition::Signal(Signal::Terminate),
        Condition::Guard,
        Condition::Local,
        Condition::Source,
        Condition::Target,
        Condition::Incomplete,
    ]
    .into_iter()
    .find(|condition| self::code(&BTreeSet::from([*condition])) == code)
}

/// The exit code of a command that ended with `code` but could not say so: its answer is lost on
/// this machine.
pub fn code_without_answer(code: u8) -> u8 {
    let lost = self::code(&BTreeSet::from([Condition::Local]));
    // What comes first in the order of precedence stays.
    match code {
        1 | 2 | 130 | 143 | 6 => code,
        _ => lost,
    }
}

/// Why a command came to nothing, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError {
    /// Decides the exit code.
    pub condition: Condition,
    /// What happened, and where.
    pub message: String,
    /// What to do next.
    pub remedy: String,
}

impl CommandError {
    /// Wrong use.
    pub fn usage(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { condition: Condition::Usage, message: message.into(), remedy: remedy.into() }
    }

    /// Something about this machine.
    pub fn local(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { condition: Condition::Local, message: message.into(), remedy: remedy.into() }
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        Self { condition: condition_of(&failure), message: failure.message, remedy: failure.remedy }
    }
}

impl From<EngineError> for CommandError {
    fn from(error: EngineError) -> Self {
        let condition = match error.kind() {
            ErrorKind::Defect => Condition::Defect,
            ErrorKind::WrongUse => Condition::Usage,
            ErrorKind::Guard => Condition::Guard,
            ErrorKind::Local => Condition::Local,
            ErrorKind::Source => Condition::Source,
            ErrorKind::Target => Condition::Target,
        };
        Self { condition, message: error.to_string(), remedy: error.remedy().to_owned() }
    }
}

/// What a failure that ends a run says about the exit code.
pub fn condition_of(failure: &Failure) -> Condition {
    match (failure.kind, failure.side) {
        (FailureKind::Defect, _) => Condition::Defect,
        (_, Side::Source) => Condition::Source,
        (_, Side::Target) => Condition::Target,
        (_, Side::Local) => Condition::Local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        use Condition::*;
        for (conditions, expected) in [
            (&[][..], 0),
            (&[Incomplete], 5),
            (&[Incomplete, Target], 4),
            (&[Incomplete, Target, Source], 3),
            (&[Target, Source, Local], 7),
            (&[Local, Guard], 6),
            (&[Guard, Signal(super::Signal::Terminate)], 143),
            (&[Guard, Signal(super::Signal::Interrupt)], 130),
            (&[Signal(super::Signal::Interrupt), Usage], 2),
            (&[Usage, Defect, Incomplete], 1),
        ] {
            assert_eq!(code(&conditions.iter().copied().collect()), expected, "{conditions:?}");
        }
    }

    #[test]
    fn a_lost_answer_stands_where_this_machine_stands() {
        for (code, expected) in
            [(0, 7), (5, 7), (4, 7), (3, 7), (7, 7), (6, 6), (130, 130), (143, 143), (2, 2), (1, 1)]
        {
            assert_eq!(code_without_answer(code), expected, "{code}");
        }
    }

    #[test]
    fn failures_by_side() {
        for (side, kind, expected) in [
            (Side::Source, FailureKind::Denied, Condition::Source),
            (Side::Target, FailureKind::Full, Condition::Target),
            (Side::Local, FailureKind::Full, Condition::Local),
            (Side::Target, FailureKind::Defect, Condition::Defect),
        ] {
            let failure = Failure { side, kind, message: String::new(), remedy: String::new() };
            assert_eq!(condition_of(&failure), expected, "{side:?} {kind:?}");
        }
    }
}
