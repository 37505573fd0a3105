//! What is measured. The sizes are chosen so that all of it ends within an hour on two cores.

use std::time::Duration;

use whimbrel_testbed::LongLine;

use super::subject::Subject;
use super::tree::Shape;

/// How a workload goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everything into an empty bucket.
    Copy,
    /// Nothing has changed since the last copy; then one file in a thousand has.
    Again,
    /// One file in a thousand changes while a live migration runs.
    Live,
    /// Events as fast as the cluster makes them.
    Events,
    /// System calls of a copy.
    Calls,
}

impl Kind {
    /// What each round consists of.
    pub fn phases(self) -> &'static [&'static str] {
        match self {
            Self::Copy | Self::Calls => &["copy"],
            Self::Again => &["nothing", "changed"],
            Self::Live => &["changed"],
            Self::Events => &["outside", "inside"],
        }
    }
}

/// One comparison.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    pub name: &'static str,
    pub title: &'static str,
    pub kind: Kind,
    /// The source is HDFS, else a folder.
    pub hdfs: bool,
    /// The target is a null sink, else versitygw.
    pub sink: bool,
    pub shape: Shape,
    /// To try it out.
    pub small_shape: Shape,
    pub line: Option<LongLine>,
    /// With the transfers at a time at which each is at its best.
    pub subjects: &'static [(Subject, usize)],
    /// What was set out to be shown.
    pub goal: &'static str,
}

impl Workload {
    /// Whether it is counted in bytes rather than in files.
    pub fn is_large(&self) -> bool {
        self.shape.large_files > 0
    }
}

const fn files(small_files: u64) -> Shape {
    Shape { small_files, large_files: 0, large_bytes: 0 }
}

const fn large(large_files: u64, megabytes: u64) -> Shape {
    Shape { small_files: 0, large_files, large_bytes: megabytes << 20 }
}

/// 23 ms there and back, 200 Mbit/s.
const LONG_LINE: LongLine =
    LongLine { round_trip: Duration::from_millis(23), bytes_per_second: 25_000_000 };

const TO_SINK: Workload = Workload {
    name: "sink-small",
    title: "Small files, local to a null sink",
    kind: Kind::Copy,
    hdfs: false,
    sink: true,
    shape: files(20_000),
    small_shape: files(2_000),
    line: None,
    subjects: &[
        (Subject::Whimbrel, 0),
        (Subject::Juicefs, 8),
        (Subject::Rclone, 32),
        (Subject::S5cmd, 8),
        (Subject::Generator, 32),
    ],
    goal: "at least 4 times the best peer's files a second, at most 1/5 of its CPU a file",
};

const TO_GATEWAY: Workload = Workload {
    name: "s3-small",
    title: "Small files, local to versitygw",
    sink: false,
    subjects: &[
        (Subject::Whimbrel, 0),
        (Subject::Juicefs, 32),
        (Subject::Rclone, 32),
        (Subject::S5cmd, 256),
        (Subject::Generator, 32),
    ],
    goal: "at least 90 % of bare load",
    ..TO_SINK
};

/// In the order in which they are measured.
pub const WORKLOADS: &[Workload] = &[
    TO_SINK,
    Workload {
        name: "sink-large",
        title: "Large files, local to a null sink",
        shape: large(8, 256),
        small_shape: large(2, 64),
        subjects: &[
            (Subject::Whimbrel, 0),
            (Subject::Juicefs, 8),
            (Subject::Rclone, 8),
            (Subject::S5cmd, 8),
            (Subject::Generator, 8),
        ],
        goal: "at least 1.3 times the best peer's speed, at most 1/3 of its CPU",
        ..TO_SINK
    },
    TO_GATEWAY,
    Workload {
        name: "s3-large",
        title: "Large files, local to versitygw",
        shape: large(8, 256),
        small_shape: large(2, 64),
        subjects: &[
            (Subject::Whimbrel, 0),
            (Subject::Juicefs, 8),
            (Subject::Rclone, 8),
            (Subject::S5cmd, 8),
            (Subject::Generator, 8),
        ],
        ..TO_GATEWAY
    },
    Workload {
        name: "s3-mix",
        title: "Small and large files, local to versitygw",
        shape: Shape { small_files: 4_000, ..large(3, 256) },
        small_shape: Shape { small_files: 400, ..large(1, 64) },
        ..TO_GATEWAY
    },
    Workload {
        name: "hdfs-small",
        title: "Small files, HDFS to versitygw",
        hdfs: true,
        shape: files(5_000),
        small_shape: files(500),
        subjects: &[
            (Subject::Whimbrel, 0),
            (Subject::Juicefs, 32),
            (Subject::Rclone, 32),
            (Subject::DistCp, 8),
            (Subject::Generator, 32),
        ],
        goal: "at least twice the best peer's files a second or 95 % of what the servers can do, \
               at most 1/4 of the CPU a file",
        ..TO_GATEWAY
    },
    Workload {
        name: "hdfs-large",
        title: "Large files, HDFS to versitygw",
        hdfs: true,
        shape: large(4, 256),
        small_shape: large(2, 64),
        subjects: &[
            (Subject::Whimbrel, 0),
            (Subject::Juicefs, 8),
            (Subject::Rclone, 8),
            (Subject::DistCp, 8),
            (Subject::Generator, 8),
        ],
        goal: "at least 1.3 times the best peer's speed or the servers' limit, at most 1 CPU-s/GiB",
        ..TO_GATEWAY
    },
    Workload {
        name: "far-small",
        title: "Small files over 23 ms and 200 Mbit/s, local to a null sink",
        shape: files(4_000),
        small_shape: files(400),
        line: Some(LONG_LINE),
        subjects: &[
            (Subject::Whimbrel, 0),
            (Subject::WhimbrelNear, 0),
            (Subject::Juicefs, 64),
            (Subject::Rclone, 64),
            (Subject::S5cmd, 256),
        ],
        goal: "at least 95 % of its own speed without delay",
        ..TO_SINK
    },
    Workload {
        name: "far-large",
        title: "One large file over 23 ms and 200 Mbit/s, local to a null sink",
        shape: large(1, 256),
        small_shape: large(1, 32),
        line: Some(LONG_LINE),
        subjects: &[
            (Subject::Whimbrel, 0),
            (Subject::WhimbrelNear, 0),
            (Subject::Juicefs, 8),
            (Subject::Rclone, 8),
            (Subject::S5cmd, 8),
        ],
        goal: "the line's speed",
        ..TO_SINK
    },
    Workload {
        name: "again",
        title: "A second run, local to versitygw",
        kind: Kind::Again,
        shape: files(20_000),
        small_shape: files(2_000),
        subjects: &[
            (Subject::Whimbrel, 0),
            (Subject::WhimbrelCold, 0),
            (Subject::Juicefs, 32),
            (Subject::Rclone, 32),
            (Subject::S5cmd, 256),
        ],
        goal: "cold not slower than the best peer, changes of the same length found",
        ..TO_GATEWAY
    },
    Workload {
        name: "live",
        title: "Changes while it runs, HDFS to versitygw",
        kind: Kind::Live,
        hdfs: true,
        shape: files(10_000),
        small_shape: files(2_000),
        subjects: &[(Subject::Whimbrel, 0), (Subject::Juicefs, 32), (Subject::Rclone, 32)],
        goal: "time by the changes, not by the tree",
        ..TO_GATEWAY
    },
    Workload {
        name: "events",
        title: "Following events, HDFS to versitygw",
        kind: Kind::Events,
        hdfs: true,
        shape: files(500),
        small_shape: files(100),
        subjects: &[(Subject::Whimbrel, 0)],
        goal: "lag p99 under 2 s at the cluster's highest rate",
        ..TO_GATEWAY
    },
    Workload {
        name: "calls",
        title: "System calls, local to a null sink",
        kind: Kind::Calls,
        shape: files(5_000),
        small_shape: files(1_000),
        goal: "what noise does not touch",
        ..TO_SINK
    },
];
