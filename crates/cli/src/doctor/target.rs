//! What the target has to offer: reachable, rights, and what its server really does.

use whimbrel_core::failure::{FailureKind, Side};

use super::Check;
use crate::exit::Condition;
use crate::location::Location;
use crate::open::{self, Writer};

/// Opens the target and writes probe objects with the options of the run.
pub async fn checks(
    location: &Location,
    connection: &crate::arguments::ConnectionArguments,
    write: whimbrel_store::s3::WriteOptions,
) -> Vec<Check> {
    let new = match location {
        Location::Local { path } => (!path.exists()).then_some(path),
        Location::Hdfs { .. } | Location::Bucket { .. } => None,
    };
    let checks = opened(location, connection, write).await;
    if let Some(path) = new {
        // Looking leaves nothing behind; what somebody put there meanwhile stays.
        let _ = std::fs::remove_dir(path);
    }
    checks
}

async fn opened(
    location: &Location,
    connection: &crate::arguments::ConnectionArguments,
    write: whimbrel_store::s3::WriteOptions,
) -> Vec<Check> {
    let migration = format!("doctor-{}", std::process::id());
    let writer = Writer { migration: &migration, uploads: &[], directory: None, of_keys: false };
    let target = match open::target(location, connection, write, writer).await {
        Ok(target) => target,
        Err(error) => return vec![Check::failed(side_of(error.condition), "target", error)],
    };
    let mut checks = vec![Check::fine(Side::Target, "target", format!("{location} answers"))];
    match target.probe().await {
        Ok(findings) => checks.extend(findings.into_iter().map(|finding| match finding.problem {
            None => Check::fine(Side::Target, &finding.check, "works"),
            Some((kind, message, remedy)) if stops_a_run(kind) => {
                Check::problem(Side::Target, &finding.check, message, remedy)
            }
            Some((_, message, remedy)) => {
                Check::warning(Side::Target, &finding.check, message, remedy)
            }
        })),
        Err(error) => checks.push(Check::failed(Side::Target, "writing a probe object", error)),
    }
    if let Location::Local { path } = location {
        checks.push(room(path));
    }
    checks
}

/// What cannot be worked around.
pub fn stops_a_run(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Denied
        | FailureKind::Forbidden
        | FailureKind::Full
        | FailureKind::Missing
        | FailureKind::Unavailable
        | FailureKind::Defect => true,
        FailureKind::Throttled
        | FailureKind::Refused
        | FailureKind::Conflict
        | FailureKind::Corrupt
        | FailureKind::Moved
        | FailureKind::Unsupported => false,
    }
}

fn side_of(condition: Condition) -> Side {
    if condition == Condition::Local { Side::Local } else { Side::Target }
}

fn room(path: &std::path::Path) -> Check {
    match rustix::fs::statvfs(path) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let told = format!("{} are free", crate::output::result::bytes(free));
            Check::fine(Side::Target, "room on the target", told)
        }
        Err(error) => Check::warning(
            Side::Target,
            "room on the target",
            format!("{} cannot be asked: {error}", path.display()),
            "look with df how full it is",
        ),
    }
}
