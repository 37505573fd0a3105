//! Differences while somebody works on the target: one counts if the worker was done with all that
//! happened to its path before it was seen, and it is still the same afterwards, between the same
//! two things (rule 10.2). What came of a newer change may look just the same.

use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use crate::compare::Comparison;
use crate::sides::Sides;
use crate::{Difference, DifferenceKind, Stand, Worker};

const PAUSE: Duration = Duration::from_millis(500);

/// A difference, and when it was seen at the latest.
pub(crate) struct Seen {
    pub difference: Difference,
    /// What stood there then; not asked for where nobody works on it.
    sides: Option<Box<Sides>>,
    at: SystemTime,
}

impl Seen {
    /// A difference that was just seen.
    pub async fn of(comparison: &Comparison, difference: Difference) -> Self {
        let sides = match comparison.verification.worker {
            Some(_) => Some(Box::new(Sides::of(&comparison.verification, &difference.path).await)),
            None => None,
        };
        Self { difference, sides, at: SystemTime::now() }
    }

    fn is_as(&self, earlier: &Self) -> bool {
        self.difference == earlier.difference && self.sides == earlier.sides
    }
}

/// What is left of these once the worker is done with them, or had time enough.
pub(crate) async fn settled(
    comparison: &Comparison,
    worker: &dyn Worker,
    mut open: Vec<Seen>,
) -> Vec<Difference> {
    let until = Instant::now() + comparison.verification.options.patience;
    let mut told = Vec::new();
    loop {
        let mut later = Vec::new();
        let look = |seen| again(comparison, worker, seen, until);
        let parallel = comparison.verification.options.parallel.max(1);
        let mut looks = stream::iter(open).map(look).buffer_unordered(parallel);
        while let Some(look) = looks.next().await {
            match look {
                Again::Equal => {}
                Again::Differs(difference) => told.push(difference),
                Again::Moving(seen) => later.push(seen),
            }
        }
        drop(looks);
        if later.is_empty() || Instant::now() >= until {
            let moving = later.into_iter().map(|seen| seen.difference);
            let kind = DifferenceKind::Moving;
            told.extend(moving.map(|difference| Difference { kind, ..difference }));
            return told;
        }
        open = later;
        tokio::time::sleep(PAUSE).await;
    }
}

enum Again {
    Equal,
    Differs(Difference),
    Moving(Seen),
}

async fn again(comparison: &Comparison, worker: &dyn Worker, seen: Seen, until: Instant) -> Again {
    if Instant::now() >= until {
        return Again::Moving(seen);
    }
    let stand = worker.stand(&seen.difference.path).await;
    match stand {
        Stand::Moving => return Again::Moving(seen),
        Stand::Done(before) if before < seen.at => return Again::Moving(seen),
        Stand::Done(_) | Stand::Ended => {}
    }
    let Some(now) = comparison.again(&seen.difference.path).await else { return Again::Equal };
    if stand == Stand::Ended {
        return Again::Differs(now);
    }
    let now = Seen::of(comparison, now).await;
    match now.is_as(&seen) {
        true => Again::Differs(now.difference),
        false => Again::Moving(now),
    }
}
