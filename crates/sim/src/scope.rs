//! Small scopes: every program of a few operations over few paths, in every order of its operations
//! and what the migration hears, with the death of the process after every effect.
//!
//! How to read it: an [`Operation`](operation::Operation) changes the source; a [`History`] says
//! before which happening each operation comes and after which the process dies; `run::scoped`
//! plays one and says how it could have gone otherwise after its last decision;
//! [`explore`](explore::explore) plays them all.

pub mod explore;
pub mod operation;

use std::fmt;
use std::str::FromStr;

use whimbrel_core::config::RequestLifetime;
use whimbrel_core::path::RelPath;

use crate::options::Options;
use crate::world::source::Source;
use operation::Operation;

/// How long a request of a dead process may take effect.
const LIFETIME_MILLIS: u64 = 301;
/// When it does.
pub(crate) const LATE_MILLIS: u64 = 200;
/// Files from so many bytes on are uploaded in parts: those of one of the two names.
const MULTIPART_BYTES: u64 = 8;

/// What stands at the source before the migration begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum World {
    /// One name in one directory; the other is empty.
    One,
    /// Both names in one directory, one of them in the other.
    Three,
}

/// Every world.
pub const WORLDS: [World; 2] = [World::One, World::Three];

impl World {
    /// Makes it.
    pub fn furnish(self, source: &mut Source) {
        for directory in ["d", "e"] {
            source.make_directory(&RelPath::from(directory));
        }
        let files: &[&str] = match self {
            Self::One => &["d/a"],
            Self::Three => &["d/a", "d/b", "e/a"],
        };
        for file in files {
            Operation::Write(RelPath::from(*file)).carry_out(source);
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Three => "three",
        }
    }
}

/// The weather of small scopes: nothing takes time but what is waited for, so that what is ready
/// happens in the order in which it was asked for.
pub(crate) fn weather() -> Options {
    Options {
        latency_max: 1,
        ledger_latency_max: 1,
        multipart_bytes: MULTIPART_BYTES,
        request_lifetime: RequestLifetime::fixed(LIFETIME_MILLIS),
        quiet_millis: 100,
        poll_millis: 300,
        // Every transaction is heard of by itself.
        poll_batches_max: 1,
        ..Options::still()
    }
}

/// Something that does not follow from what was before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// The source changes right before the happening.
    Operate(Operation),
    /// The happening is an answer that the source gave before: it changes now, and the stream tells
    /// of that before the answer is heard.
    Overtake(Operation),
    /// The process dies right after the happening; what it had asked of the target is lost.
    Die,
    /// The same, but that takes effect later.
    DieLate,
}

impl Decision {
    /// What is done at the source.
    pub fn operation(&self) -> Option<&Operation> {
        match self {
            Self::Operate(operation) | Self::Overtake(operation) => Some(operation),
            Self::Die | Self::DieLate => None,
        }
    }
}

/// A decision and the number of the happening that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placed {
    /// Counted from 1.
    pub at: u64,
    /// What is decided.
    pub decision: Decision,
}

/// One history: all that has to be known to have it once more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct History {
    /// What it begins with.
    pub world: World,
    /// In their order.
    pub decisions: Vec<Placed>,
}

impl History {
    /// Nothing happens at the source.
    pub fn calm(world: World) -> Self {
        Self { world, decisions: Vec::new() }
    }

    /// The same up to here, and then these.
    #[must_use]
    pub fn and(&self, more: &[Placed]) -> Self {
        let decisions = self.decisions.iter().chain(more).cloned().collect();
        Self { world: self.world, decisions }
    }

    /// What the source does, wherever.
    pub fn program(&self) -> Vec<Operation> {
        self.decisions.iter().filter_map(|it| it.decision.operation()).cloned().collect()
    }
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decision {
            Decision::Operate(operation) => write!(f, "{}:{operation}", self.at),
            Decision::Overtake(operation) => write!(f, "{}~{operation}", self.at),
            Decision::Die => write!(f, "{}:die", self.at),
            Decision::DieLate => write!(f, "{}:die-late", self.at),
        }
    }
}

impl FromStr for Placed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.find([':', '~']).ok_or_else(|| format!("{text}: no place"))?;
        let (place, what) = (&text[..split], &text[split + 1..]);
        let at = place.parse().map_err(|_| format!("{place} is no place"))?;
        let overtakes = text[split..].starts_with('~');
        let decision = match what {
            "die" => Decision::Die,
            "die-late" => Decision::DieLate,
            _ if overtakes => Decision::Overtake(what.parse()?),
            _ => Decision::Operate(what.parse()?),
        };
        Ok(Self { at, decision })
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.world.name())?;
        self.decisions.iter().try_for_each(|placed| write!(f, ",{placed}"))
    }
}

impl FromStr for History {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(',');
        let name = words.next().unwrap_or_default();
        let world = WORLDS.into_iter().find(|world| world.name() == name);
        let world = world.ok_or_else(|| format!("{name} is no world"))?;
        let decisions: Result<Vec<Placed>, String> = words.map(str::parse).collect();
        Ok(Self { world, decisions: decisions? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_are_told_in_one_word() {
        let text = "three,12:write:d/a,17~rename:d/a:e,20:die,31:die-late,40:close:e";
        let history: History = text.parse().expect("a history");
        assert_eq!(history.to_string(), text);
        assert_eq!(history.program().len(), 3);
        for wrong in ["", "four", "one,x:die", "one,3", "one,3:run:d", "one,3:rename:d"] {
            assert!(wrong.parse::<History>().is_err(), "{wrong}");
        }
    }
}
