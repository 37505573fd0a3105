//! What is pending is told the same from memory and from the table, over a long drawn history.

use whimbrel_core::input::Group;
use whimbrel_core::number::{Mark, Time, TxId};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{Change, Lane, Parked, Reach, Row};

use crate::Ledger;

const PATHS: [&str; 14] = [
    "",
    "a",
    "a/_SUCCESS",
    "a/b",
    "a/b/x",
    "a/b/y",
    "a/x",
    "a/y",
    "a-/x",
    "a0/x",
    "b/_SUCCESS",
    "b/x",
    "b/y",
    "c",
];
const LANES: [Lane; 3] = [Lane::Live, Lane::Backlog, Lane::Metadata];
const REACHES: [Reach; 4] = [Reach::Path, Reach::Path, Reach::Directory, Reach::Subtree];
const REASONS: [Parked; 6] = [
    Parked::Open,
    Parked::Failed,
    Parked::Guard,
    Parked::Removal,
    Parked::Foreign,
    Parked::Delayed,
];

/// The same numbers at each call of the test.
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % count
    }

    fn one<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    fn change(&mut self, step: u64) -> Change {
        let path = RelPath::from(self.one(&PATHS));
        let mark = Mark(step / 2);
        let up_to = Mark((step / 2).saturating_sub(self.below(20)));
        let soon = Time(step + self.below(20));
        match self.below(20) {
            0..=7 => {
                let first = self.below(9);
                Change::Mark {
                    path,
                    reach: self.one(&REACHES),
                    lane: self.one(&LANES),
                    first_txid: TxId(first),
                    last_txid: TxId(first + self.below(3)),
                    seen: Time(self.below(40)),
                    mark,
                }
            }
            8 | 9 => Change::Settle { path, up_to, as_of: TxId(self.below(9)) },
            10 | 11 => {
                let retry_at = [None, Some(soon)][usize::from(self.below(2) == 0)];
                let message = format!("{step}");
                Change::Park { path, up_to, reason: self.one(&REASONS), retry_at, message }
            }
            12 | 13 => {
                let waiting = self.below(3) == 0;
                Change::Defer { path, up_to, not_before: soon, tries: 1, waiting }
            }
            14 => Change::Release(self.one(&REASONS)),
            15 => Change::Gone { path, since: soon, below: self.below(2) == 0 },
            16 => Change::DelayRemovals { after_millis: self.below(20) },
            18 => Change::Present { path, first_txid: TxId(self.below(9)), seen: soon },
            17 => Change::EndDelays {
                due_by: Some(Time(step)).filter(|_| !step.is_multiple_of(3)),
                first_txid: TxId(self.below(9)),
                seen: Time(step),
            },
            _ => Change::Coarsen { path, subtree: self.below(2) == 0 },
        }
    }
}

fn alike(memory: &Ledger, table: &Ledger, step: u64) {
    assert_eq!(memory.summary().unwrap(), table.summary().unwrap(), "step {step}");
    let all = memory.parked(None, 99).unwrap();
    assert_eq!(all, table.parked(None, 99).unwrap(), "step {step}");
    if let Some((first, _)) = all.first() {
        let after = |ledger: &Ledger| ledger.parked(Some(&first.path), 2).unwrap();
        assert_eq!(after(memory), after(table), "step {step}");
    }
    let page = whimbrel_core::entry::Page { entries: Vec::new(), more: false };
    for path in PATHS.map(RelPath::from) {
        let entry = |ledger: &Ledger| ledger.pending_entry(&path).unwrap();
        assert_eq!(entry(memory), entry(table), "step {step}: {path}");
        let join = |ledger: &Ledger| ledger.join_page(&path, Some(b"a"), &page, false).unwrap();
        assert_eq!(join(memory), join(table), "step {step}: {path}");
        for txid in [2, 5] {
            let complete = |ledger: &Ledger| {
                let marker = RelPath::from("a/_SUCCESS");
                ledger.group(&marker, &path, TxId(txid)).unwrap() == Group::Complete
            };
            assert_eq!(complete(memory), complete(table), "step {step}: {path} at {txid}");
        }
    }
}

#[test]
fn what_is_pending_is_told_alike_from_memory_and_from_the_table() {
    let mut memory = Ledger::open_in_memory(Namespace::Tree).unwrap();
    let mut table = Ledger::open_in_memory(Namespace::Tree).unwrap();
    table.keep_in_memory(0);
    let standing = ["a/_SUCCESS", "a/x", "b/_SUCCESS", "b/x"].map(|path| {
        let row = Row { path: path.into(), ..crate::tests::large_row() };
        Change::PutRow(row)
    });
    memory.apply(&[&standing]).unwrap();
    table.apply(&[&standing]).unwrap();
    let mut drawn = Drawn(1);
    let mut stood = 0;
    for step in 1..=3_000 {
        let change = drawn.change(step);
        let applied = memory.apply(&[std::slice::from_ref(&change)]).unwrap();
        assert_eq!(table.apply(&[&[change]]).unwrap(), applied, "step {step}");
        if drawn.below(4) == 0 {
            let (lane, limit) = (drawn.one(&LANES), drawn.one(&[0, 1, 2, 9]));
            let taken = memory.take(lane, limit, Time(step)).unwrap();
            assert_eq!(table.take(lane, limit, Time(step)).unwrap(), taken, "step {step}");
        }
        if drawn.below(50) == 0 {
            (memory, table) = (memory.restart().unwrap(), table.restart().unwrap());
            alike(&memory, &table, step);
        }
        if step % 5 == 0 {
            alike(&memory, &table, step);
        }
        assert_eq!(memory.state.pending.stored().0, 0);
        stood += table.state.pending.stored().0;
    }
    assert!(stood > 3_000, "{stood}: some of them in the table, nearly always");
}
