//! How often histories had which effect end in which way, and die around it: a simulator that never
//! does something proves nothing of it.

use std::collections::BTreeMap;
use std::fmt;

use fastrand::Rng;
use whimbrel_core::effect::{Effect, Ticket};
use whimbrel_core::input::Input;

/// What seldom happens is told: it should have happened so often.
const SELDOM: u64 = 100;

/// Deaths around the effect that is aimed at, in one history.
const AIMED_DEATHS: u32 = 3;

/// What an effect asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Persist,
    Take,
    Rows,
    Group,
    CheckHints,
    CountRemovals,
    Densest,
    List,
    Examine,
    Checksum,
    Position,
    Poll,
    Inventory,
    Inspect,
    Copy,
    Complete,
    Abort,
    Relocate,
    PutMarker,
    Remove,
}

const KINDS: [Kind; 20] = [
    Kind::Persist,
    Kind::Take,
    Kind::Rows,
    Kind::Group,
    Kind::CheckHints,
    Kind::CountRemovals,
    Kind::Densest,
    Kind::List,
    Kind::Examine,
    Kind::Checksum,
    Kind::Position,
    Kind::Poll,
    Kind::Inventory,
    Kind::Inspect,
    Kind::Copy,
    Kind::Complete,
    Kind::Abort,
    Kind::Relocate,
    Kind::PutMarker,
    Kind::Remove,
];

/// What became of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing is wrong.
    Done,
    /// Nothing happened, and the sender knows it.
    Failed,
    /// Something else stands there than was expected; in the stream, a gap or another history.
    Unexpected,
    /// It took effect, and the sender does not know.
    Unheard,
    /// The same, some time later.
    Late,
}

const FAULTS: [Fault; 5] =
    [Fault::Done, Fault::Failed, Fault::Unexpected, Fault::Unheard, Fault::Late];

/// When the process died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Death {
    /// After the answer was heard, or never.
    None,
    /// Before the effect was carried out.
    Before,
    /// Between that and the answer.
    Between,
}

/// What ties an answer to its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tie {
    Ticket(Ticket),
    Batch(u64),
    Taking,
}

/// Counts of what happened.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<(Kind, Fault, Death), u64>,
    under_way: BTreeMap<Tie, (Kind, Fault)>,
    current: Option<Tie>,
    /// The process dies there, if it comes to it, so often.
    aim: Option<(Kind, Fault, Death)>,
    deaths_left: u32,
}

impl Coverage {
    /// For a history that dies around one effect: by chance it would seldom do so.
    pub(crate) fn aim(rng: &mut Rng) -> Self {
        let deadly = columns().into_iter().filter(|(_, death)| *death != Death::None);
        let mut aims = Vec::new();
        for (fault, death) in deadly {
            let kinds = KINDS.into_iter().filter(|kind| can_happen(*kind, fault, death));
            for kind in kinds {
                let aim = (kind, fault, death);
                aims.extend(std::iter::repeat_n(aim, weight(kind, fault)));
            }
        }
        Self { aim: rng.choice(aims), deaths_left: AIMED_DEATHS, ..Self::default() }
    }

    /// The process dies in place of carrying this out.
    pub(crate) fn dies_before(&mut self, effect: &Effect, rng: &mut Rng) -> bool {
        let here = kind(effect).map(|kind| (kind, Fault::Done, Death::Before));
        self.dies(here, rng)
    }

    /// The process dies in place of hearing this.
    pub(crate) fn dies_between(&mut self, input: &Input, rng: &mut Rng) -> bool {
        let ended = answered(input).and_then(|tie| self.under_way.get(&tie));
        let here = ended.map(|(kind, fault)| (*kind, *fault, Death::Between));
        self.dies(here, rng)
    }

    /// Not always the first time of what happens often.
    fn dies(&mut self, here: Option<(Kind, Fault, Death)>, rng: &mut Rng) -> bool {
        let aimed = self.deaths_left > 0 && here.is_some() && here == self.aim;
        let often = here.is_some_and(|(_, fault, _)| fault == Fault::Done);
        let dies = aimed && (!often || rng.bool());
        self.deaths_left -= u32::from(dies);
        dies
    }

    /// An effect is being carried out.
    pub(crate) fn carried(&mut self, effect: &Effect) {
        self.current = tie(effect);
        let Some(kind) = kind(effect) else { return };
        match self.current {
            Some(tie) => drop(self.under_way.insert(tie, (kind, Fault::Done))),
            None => self.count(kind, Fault::Done, Death::None),
        }
    }

    /// The effect that is being carried out ends so; the worst counts.
    pub(crate) fn ends(&mut self, fault: Fault) {
        if let Some((_, ends)) = self.current.and_then(|tie| self.under_way.get_mut(&tie)) {
            *ends = fault.max(*ends);
        }
    }

    /// The core hears of an end.
    pub(crate) fn heard(&mut self, input: &Input) {
        let Some((kind, fault)) = answered(input).and_then(|tie| self.under_way.remove(&tie))
        else {
            return;
        };
        self.count(kind, fault, Death::None);
    }

    /// The process dies; these were not carried out.
    pub(crate) fn died<'a>(&mut self, waiting: impl Iterator<Item = &'a Effect>) {
        for kind in waiting.filter_map(kind) {
            self.count(kind, Fault::Done, Death::Before);
        }
        for (kind, fault) in std::mem::take(&mut self.under_way).into_values() {
            self.count(kind, fault, Death::Between);
        }
    }

    /// The run came to its end: nobody waits for what is under way.
    pub(crate) fn ended(&mut self) {
        self.under_way.clear();
    }

    fn count(&mut self, kind: Kind, fault: Fault, death: Death) {
        *self.counts.entry((kind, fault, death)).or_default() += 1;
    }

    /// Adds those of another history.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.counts {
            *self.counts.entry(*key).or_default() += count;
        }
    }

    /// The counts as text, for [`Self::read`] of the same program.
    pub fn written(&self) -> String {
        let count = |key| self.counts.get(&key).copied().unwrap_or_default().to_string();
        places().map(count).collect::<Vec<_>>().join(",")
    }

    /// What [`Self::written`] wrote; `None`: it is something else.
    pub fn read(text: &str) -> Option<Self> {
        let counts = text.split(',').map(|count| count.parse().ok());
        let counts: Vec<u64> = counts.collect::<Option<_>>()?;
        let whole = counts.len() == places().count();
        whole.then(|| Self { counts: places().zip(counts).collect(), ..Self::default() })
    }

    /// How often; `None`: it cannot happen.
    fn of(&self, kind: Kind, fault: Fault, death: Death) -> Option<u64> {
        let count = || self.counts.get(&(kind, fault, death)).copied().unwrap_or_default();
        can_happen(kind, fault, death).then(count)
    }

    /// What can happen and seldom did.
    fn seldom(&self) -> Vec<String> {
        let seldom = places().filter_map(|(kind, fault, death)| {
            let count = self.of(kind, fault, death).filter(|count| *count < SELDOM)?;
            Some(format!("{kind:?} {} {count}", title(fault, death)))
        });
        seldom.collect()
    }
}

/// Whatever is counted.
fn places() -> impl Iterator<Item = (Kind, Fault, Death)> {
    let of = |kind| columns().into_iter().map(move |(fault, death)| (kind, fault, death));
    KINDS.into_iter().flat_map(of)
}

fn columns() -> Vec<(Fault, Death)> {
    let of = |death: Death| FAULTS.into_iter().map(move |fault| (fault, death));
    of(Death::None).chain([(Fault::Done, Death::Before)]).chain(of(Death::Between)).collect()
}

fn title(fault: Fault, death: Death) -> String {
    match death {
        Death::None => format!("{fault:?}").to_lowercase(),
        Death::Before => "+before".to_owned(),
        Death::Between => format!("+{fault:?}").to_lowercase(),
    }
}

/// Histories come to some of it so seldom that more of them have to be aimed at it.
fn weight(kind: Kind, fault: Fault) -> usize {
    match (kind, fault) {
        (_, Fault::Done) => 1,
        (Kind::Relocate | Kind::PutMarker, _) => 6,
        (_, Fault::Failed | Fault::Unexpected | Fault::Unheard | Fault::Late) => 2,
    }
}

/// The ledger does not fail: what a damaged disk does is told by its own tests.
fn can_happen(kind: Kind, fault: Fault, death: Death) -> bool {
    let ends = match kind {
        Kind::Persist
        | Kind::Take
        | Kind::Rows
        | Kind::Group
        | Kind::CheckHints
        | Kind::CountRemovals
        | Kind::Densest
        | Kind::Inventory
        | Kind::Abort => fault == Fault::Done,
        Kind::List | Kind::Examine | Kind::Checksum | Kind::Position | Kind::Inspect => {
            fault <= Fault::Failed
        }
        Kind::Poll => fault <= Fault::Unexpected,
        // An upload in parts is begun and not completed: its end is that of the completion.
        Kind::Copy | Kind::Complete | Kind::Relocate | Kind::PutMarker | Kind::Remove => true,
    };
    // Nobody waits for the end of a given up upload.
    ends && (kind != Kind::Abort || death != Death::Between)
}

impl fmt::Display for Coverage {
    /// A row for each effect, a column for each end; `+`: the process died before the effect was
    /// carried out, or between that and the answer; then what was seldom.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:14}", "effect")?;
        for (fault, death) in columns() {
            write!(f, "{:>12}", title(fault, death))?;
        }
        for kind in KINDS {
            write!(f, "\n{:14}", format!("{kind:?}"))?;
            for (fault, death) in columns() {
                let count = self.of(kind, fault, death);
                let text = count.map_or("-".to_owned(), |count| count.to_string());
                write!(f, "{text:>12}")?;
            }
        }
        let seldom = self.seldom();
        match seldom.is_empty() {
            true => write!(f, "\neverything happened at least {SELDOM} times"),
            false => write!(f, "\nless than {SELDOM} times: {}", seldom.join(", ")),
        }
    }
}

fn kind(effect: &Effect) -> Option<Kind> {
    let kind = match effect {
        Effect::Persist { .. } => Kind::Persist,
        Effect::Take { .. } => Kind::Take,
        Effect::Rows { .. } => Kind::Rows,
        Effect::Group { .. } => Kind::Group,
        Effect::CheckHints { .. } => Kind::CheckHints,
        Effect::CountRemovals { .. } => Kind::CountRemovals,
        Effect::Densest { .. } => Kind::Densest,
        Effect::List { .. } => Kind::List,
        Effect::Examine { .. } => Kind::Examine,
        Effect::Checksum { .. } => Kind::Checksum,
        Effect::Position { .. } => Kind::Position,
        Effect::Poll { .. } => Kind::Poll,
        Effect::Inventory { .. } => Kind::Inventory,
        Effect::Inspect { .. } => Kind::Inspect,
        Effect::Copy(_) => Kind::Copy,
        Effect::Complete { .. } => Kind::Complete,
        Effect::Abort { .. } => Kind::Abort,
        Effect::Relocate { .. } => Kind::Relocate,
        Effect::PutMarker { .. } => Kind::PutMarker,
        Effect::Remove { .. } => Kind::Remove,
        Effect::Pace(_) | Effect::Report(_) | Effect::Finish(_) => return None,
    };
    Some(kind)
}

fn tie(effect: &Effect) -> Option<Tie> {
    match effect {
        Effect::Persist { batch, .. } => Some(Tie::Batch(*batch)),
        Effect::Take { .. } => Some(Tie::Taking),
        Effect::Copy(job) => Some(Tie::Ticket(job.ticket)),
        Effect::List { ticket, .. }
        | Effect::Examine { ticket, .. }
        | Effect::Checksum { ticket, .. }
        | Effect::Rows { ticket, .. }
        | Effect::Group { ticket, .. }
        | Effect::CheckHints { ticket, .. }
        | Effect::CountRemovals { ticket, .. }
        | Effect::Densest { ticket, .. }
        | Effect::Complete { ticket, .. }
        | Effect::Relocate { ticket, .. }
        | Effect::PutMarker { ticket, .. }
        | Effect::Remove { ticket, .. }
        | Effect::Inspect { ticket, .. }
        | Effect::Inventory { ticket, .. }
        | Effect::Poll { ticket, .. }
        | Effect::Position { ticket, .. } => Some(Tie::Ticket(*ticket)),
        Effect::Abort { .. } | Effect::Pace(_) | Effect::Report(_) | Effect::Finish(_) => None,
    }
}

fn answered(input: &Input) -> Option<Tie> {
    match input {
        Input::Persisted { batch, .. } => Some(Tie::Batch(*batch)),
        Input::Taken { .. } => Some(Tie::Taking),
        Input::Listed { ticket, .. }
        | Input::Examined { ticket, .. }
        | Input::Checksummed { ticket, .. }
        | Input::Rows { ticket, .. }
        | Input::Group { ticket, .. }
        | Input::HintsChecked { ticket, .. }
        | Input::RemovalsCounted { ticket, .. }
        | Input::Written { ticket, .. }
        | Input::Removed { ticket, .. }
        | Input::Inspected { ticket, .. }
        | Input::Inventoried { ticket, .. }
        | Input::Streamed { ticket, .. }
        | Input::Position { ticket, .. }
        | Input::Dense { ticket, .. } => Some(Tie::Ticket(*ticket)),
        Input::UploadOpened { .. }
        | Input::PartDone { .. }
        | Input::Busy { .. }
        | Input::Limit(_)
        | Input::Timetable(_)
        | Input::LocalTime(_)
        | Input::Tick
        | Input::Stop
        | Input::Pause(_)
        | Input::Confirm
        | Input::ConfirmDelayed
        | Input::ListAgain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_deaths_are_counted() {
        let (asked, ticket) = (Effect::Position { ticket: Ticket(1), since: None }, Ticket(1));
        let mut coverage = Coverage::default();
        coverage.carried(&asked);
        coverage.ends(Fault::Failed);
        let outcome = Ok(whimbrel_core::number::TxId(1));
        coverage.heard(&Input::Position { ticket, outcome, difference: None });
        coverage.carried(&asked);
        coverage.died([asked.clone()].iter());
        let of = |fault, death| coverage.of(Kind::Position, fault, death);
        assert_eq!(of(Fault::Failed, Death::None), Some(1));
        assert_eq!(of(Fault::Done, Death::Between), Some(1));
        assert_eq!(of(Fault::Done, Death::Before), Some(1));
        assert_eq!(of(Fault::Done, Death::None), Some(0));
        assert_eq!(of(Fault::Late, Death::None), None, "a question is not late");
        let text = coverage.to_string();
        assert!(text.contains("Position failed 1,"), "{text}");
        let again = Coverage::read(&coverage.written()).unwrap();
        assert_eq!(again.to_string(), text);
        assert!(Coverage::read("1,2").is_none(), "of another program");
    }
}
