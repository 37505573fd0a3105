//! What happens to the lines and to the cluster, drawn from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};
use whimbrel_testbed::{Fault, FaultProxy, Hadoop, TestbedError};

use crate::acceptance::lines::Lines;

const DELAY: Fault = Fault::Delay(Duration::from_millis(200));
/// The first answers and the first part of a file of some blocks still pass.
const RESET_AFTER: Fault = Fault::ResetAfter { bytes: 20_000 };
const OF_S3: [Fault; 10] = [
    Fault::Refuse,
    Fault::Reset,
    Fault::Stall,
    RESET_AFTER,
    Fault::LoseAnswers,
    Fault::HoldAnswers,
    Fault::Unavailable,
    DELAY,
    Fault::CutAnswers,
    Fault::FlipRequests,
];
/// Their answers carry no checksum, so that no bit of these is turned.
const OF_NAME_NODES: [Fault; 7] = [
    Fault::Refuse,
    Fault::Reset,
    Fault::Stall,
    Fault::LoseAnswers,
    Fault::HoldAnswers,
    DELAY,
    Fault::CutAnswers,
];
const OF_DATA_NODES: [Fault; 7] = [
    Fault::Refuse,
    Fault::Reset,
    Fault::Stall,
    Fault::HoldAnswers,
    DELAY,
    Fault::CutAnswers,
    Fault::FlipAnswers,
];
const GUST_MILLISECONDS: std::ops::Range<u64> = 300..5_000;
/// One of so many gusts is longer than Whimbrel waits for an answer.
const LONG_GUSTS: u64 = 16;
const LONG_GUST: Duration = Duration::from_secs(35);
/// How much longer a gust may last that has met nothing yet.
const MEETING: Duration = Duration::from_secs(10);
const CALM_MILLISECONDS: std::ops::Range<u64> = 1_000..7_000;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Between two blows to the cluster.
const REST_MILLISECONDS: std::ops::Range<u64> = 5_000..15_000;
/// How long a DataNode is lost: shorter and longer than the NameNode takes to notice it.
const LOST_MILLISECONDS: std::ops::Range<u64> = 3_000..25_000;
/// How long no NameNode is active after one was killed.
const HEADLESS_MILLISECONDS: std::ops::Range<u64> = 0..4_000;
const BLOWS: [Blow; 4] =
    [Blow::DataNodeLost, Blow::FailOver, Blow::DataNodeLost, Blow::NameNodeKilled];

/// Lines of one kind, and what befalls them.
pub struct Group<'a> {
    lines: &'a [FaultProxy],
    faults: &'static [Fault],
}

#[derive(Clone, Copy, Debug)]
enum Blow {
    DataNodeLost,
    FailOver,
    NameNodeKilled,
}

impl Blow {
    fn name(self) -> &'static str {
        match self {
            Self::DataNodeLost => "data_nodes_lost",
            Self::FailOver => "fail_overs",
            Self::NameNodeKilled => "name_nodes_killed",
        }
    }
}

/// Each has a weather of its own.
pub fn groups(lines: &Lines) -> [Group<'_>; 3] {
    [
        Group { lines: &lines.s3, faults: &OF_S3 },
        Group { lines: &lines.name_nodes, faults: &OF_NAME_NODES },
        Group { lines: &lines.data_nodes, faults: &OF_DATA_NODES },
    ]
}

/// Breaks one line or all of them, mends them and breaks them otherwise, until the end.
pub fn blow(group: &Group<'_>, end: Instant, mut rng: Rng) {
    let mut faults = Vec::new();
    while Instant::now() < end {
        let Some(fault) = draw(&mut faults, group.faults, &mut rng) else { return };
        let one = rng.usize(..group.lines.len());
        let met = if rng.bool() { group.lines } else { &group.lines[one..=one] };
        let long = rng.u64(..LONG_GUSTS) == 0;
        let gust = Duration::from_millis(rng.u64(GUST_MILLISECONDS));
        let gust = if long { LONG_GUST } else { gust };
        let struck = || met.iter().flat_map(|line| line.struck().into_values()).sum::<u64>();
        let before = struck();
        met.iter().for_each(|line| line.set(fault));
        let over = (Instant::now() + gust).min(end);
        let latest = (over + MEETING).min(end);
        while Instant::now() < over || (struck() == before && Instant::now() < latest) {
            sleep(LOOK_EVERY);
        }
        met.iter().for_each(|line| line.set(Fault::None));
        let calm = Duration::from_millis(rng.u64(CALM_MILLISECONDS));
        sleep(calm.min(end.saturating_duration_since(Instant::now())));
    }
}

/// Takes parts of the cluster away and gives them back, until the end; all are back then. Gives
/// how often which.
pub fn shake(
    hadoop: &Hadoop,
    end: Instant,
    mut rng: Rng,
) -> Result<BTreeMap<&'static str, u64>, TestbedError> {
    let mut done = BTreeMap::new();
    let mut blows = Vec::new();
    loop {
        let rest = Duration::from_millis(rng.u64(REST_MILLISECONDS));
        sleep(rest.min(end.saturating_duration_since(Instant::now())));
        if Instant::now() >= end {
            return Ok(done);
        }
        let Some(blow) = draw(&mut blows, &BLOWS, &mut rng) else { return Ok(done) };
        eprintln!("{}", blow.name());
        match blow {
            Blow::DataNodeLost => {
                let index = rng.usize(..hadoop.data_nodes().len());
                hadoop.stop_data_node(index)?;
                sleep(Duration::from_millis(rng.u64(LOST_MILLISECONDS)));
                hadoop.restart_data_node(index)?;
            }
            Blow::FailOver => hadoop.fail_over()?,
            Blow::NameNodeKilled => {
                let killed = hadoop.command(&json!({"command": "kill_name_node"}))?;
                sleep(Duration::from_millis(rng.u64(HEADLESS_MILLISECONDS)));
                hadoop.fail_over()?;
                let index = killed["index"].as_u64().unwrap_or_default();
                hadoop.command(&json!({"command": "restart_name_node", "index": index}))?;
            }
        }
        *done.entry(blow.name()).or_default() += 1;
    }
}

/// What never happened, of all that can.
pub fn missing(measured: &Value) -> BTreeSet<String> {
    let of = |group: &'static str, faults: &'static [Fault]| {
        faults.iter().map(move |fault| format!("faults/{group}/{}", fault.name()))
    };
    let faults = of("s3", &OF_S3)
        .chain(of("name_nodes", &OF_NAME_NODES))
        .chain(of("data_nodes", &OF_DATA_NODES));
    let blows = BLOWS.iter().map(|blow| format!("cluster/{}", blow.name()));
    let mut all: BTreeSet<String> = faults.chain(blows).collect();
    all.retain(|name| measured.pointer(&format!("/{name}")).is_none());
    all
}

/// The next of a deck, which is shuffled anew when it is through.
fn draw<Card: Copy>(deck: &mut Vec<Card>, cards: &[Card], rng: &mut Rng) -> Option<Card> {
    if deck.is_empty() {
        deck.extend_from_slice(cards);
        rng.shuffle(deck);
    }
    deck.pop()
}
