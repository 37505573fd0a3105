//! Snapshots of the source that its difference is told from after a gap (rule 8.2), kept as the
//! engine does it (`crates/engine/src/base_snapshot.rs`).

use whimbrel_core::input::Difference;
use whimbrel_core::number::TxId;
use whimbrel_core::record::Reach;
use whimbrel_ledger::SLOTS;

use super::Run;
use crate::options::Snapshots;
use crate::world::source::Source;

/// They outlive the process, as what the ledger keeps of them does.
#[derive(Default)]
pub(super) struct Bases {
    base: Option<Base>,
    /// The one that is to take its place, once the stream was durably followed beyond it.
    next: Option<Base>,
}

struct Base {
    /// Where the ledger keeps what was settled since.
    slot: usize,
    tree: Box<Source>,
}

impl Run {
    /// First what is settled from now on is kept, then the tree is.
    pub(super) fn tend_bases(&mut self) {
        let off = self.options.snapshots == Snapshots::None || self.options.root_moves > 0;
        let meta = self.ledger.as_ref().and_then(|ledger| ledger.meta().ok());
        let Some(meta) = meta.filter(|meta| !off && meta.scanned) else { return };
        let Some(ledger) = &mut self.ledger else { return };
        let (past, txid) = (self.source.past, self.source.txid);
        let bases = &mut self.bases;
        if [&bases.base, &bases.next].into_iter().flatten().any(|base| base.tree.past != past) {
            let gone = [bases.base.take(), bases.next.take()].into_iter().flatten();
            for Base { slot, .. } in gone {
                // One that is kept in vain costs looks alone.
                let _ = ledger.end_worked_on(slot);
            }
        }
        if bases.next.as_ref().is_some_and(|next| meta.position >= Some(next.tree.txid)) {
            let older = std::mem::replace(&mut bases.base, bases.next.take());
            if let Some(Base { slot, .. }) = older {
                let _ = ledger.end_worked_on(slot);
            }
        }
        let renewed_after = self.options.base_transactions;
        let due = |base: &Base| txid.0 >= base.tree.txid.0 + renewed_after;
        if bases.next.is_none() && bases.base.as_ref().is_none_or(due) {
            let slot = bases.base.as_ref().map_or(0, |base| (base.slot + 1) % SLOTS);
            if ledger.begin_worked_on(slot).is_ok() {
                bases.next = Some(Base { slot, tree: Box::new(self.source.clone()) });
            }
        }
    }

    /// What changed since a base that is not younger than what was followed.
    pub(super) fn base_tells(&self, since: TxId) -> Option<Difference> {
        let Base { tree, .. } = self.bases.base.as_ref()?;
        let fits = tree.past == self.source.past && tree.txid <= since;
        let complete = self.options.snapshots == Snapshots::Only;
        fits.then(|| {
            let mut stale = self.source.difference_from(tree);
            stale.extend(self.source.open_files().map(|path| (path, Reach::Path)));
            Difference { stale, complete }
        })
    }
}
