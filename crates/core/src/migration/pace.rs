//! How fast both sides are asked is told outside as it changes (rule 9.2); what it is, `budget.rs`
//! decides.

use super::Migration;
use crate::budget::{Budget, Ceilings, Pace, Paced};
use crate::effect::Effect;
use crate::planted::{Planted, planted};
use crate::timetable::{LocalTime, Timetable};

impl Migration {
    /// How fast both sides may be asked.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// A run begins as fast as a person allows.
    pub(super) fn begin_at_pace(&mut self) {
        self.budget.by_local_time(self.now, self.config.local_time.clone());
        self.budget.by_timetable(self.now, self.config.timetable.clone());
        let paces = self.budget.limit(self.config.ceilings);
        self.send_paces(paces.into_iter().filter(|pace| pace.per_second.is_some()));
    }

    pub(super) fn limited(&mut self, ceilings: Ceilings) {
        if planted(Planted::LimitNotHeeded) {
            return;
        }
        let paces = self.budget.limit(ceilings);
        self.send_paces(paces);
    }

    pub(super) fn limited_by_timetable(&mut self, timetable: Option<Timetable>) {
        let pace = self.budget.by_timetable(self.now, timetable);
        self.send_paces([pace]);
    }

    pub(super) fn clock_was_set(&mut self, local_time: LocalTime) {
        let pace = self.budget.by_local_time(self.now, local_time);
        self.send_paces([pace]);
    }

    pub(super) fn asked_for_less(&mut self, what: Paced, in_use: u64) {
        let pace = self.budget.busy(self.now, what, in_use);
        self.send_paces(pace);
    }

    /// What was quiet for long enough goes faster, and the timetable may have come to a turn.
    pub(super) fn renew_pace(&mut self) {
        let risen = self.budget.rise(self.now);
        let turned = self.budget.turn(self.now);
        self.send_paces(risen.into_iter().chain(turned));
    }

    fn send_paces(&mut self, paces: impl IntoIterator<Item = Pace>) {
        for pace in paces {
            self.outbox.send(Effect::Pace(pace));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::migration_of;
    use super::*;
    use crate::config::Config;

    #[test]
    fn rule_9_2_what_a_person_allows_is_told() {
        let mut migration = migration_of(Config::default());
        let ceilings = Ceilings { bandwidth_bytes: Some(7), ..Ceilings::default() };
        migration.limited(ceilings);
        assert_eq!(migration.budget().ceilings(), ceilings);
    }
}
