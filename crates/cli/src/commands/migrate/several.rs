//! One source to several targets: one scan, and a migration of its own for each target, with its own
//! state, name and socket. What ends or holds back one leaves the others alone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use whimbrel_core::path::Namespace;
use whimbrel_engine::{CommonLimits, SEATS_MAX, Seat};
use whimbrel_store::s3::Named;

use super::{Request, refuse_options_of_buckets, word};
use crate::arguments::MigrateArguments;
use crate::exit::{self, CommandError, Condition};
use crate::location::Location;
use crate::open::OpenSource;
use crate::output;
use crate::output::result::MigrationResult;
use crate::output::view::View;
use crate::request::Pair;
use crate::signal::Signals;
use crate::state;

/// What a migration has in common with those to the other targets.
pub(super) struct Together {
    /// Opened once for all; `None` where each has to have its own.
    source: Option<Arc<OnceCell<Result<OpenSource, CommandError>>>>,
    limits: Arc<CommonLimits>,
    seat: Mutex<Option<Seat>>,
    /// How many have not opened both sides yet, or failed to.
    opening: Arc<watch::Sender<usize>>,
}

/// How long one waits for others to open their sides: what is listed before all are there is listed
/// once more.
const GATHER_MAX: Duration = Duration::from_secs(5);

impl Together {
    /// The source that all read, opened by whoever comes first.
    pub(super) async fn source(
        &self,
        before: Option<Named>,
        open: impl Future<Output = Result<OpenSource, CommandError>>,
    ) -> Result<OpenSource, CommandError> {
        let Some(source) = &self.source else { return open.await };
        let source = source.get_or_init(|| open).await.clone()?;
        match before.zip(source.named) {
            Some((before, now)) if before != now => Err(CommandError::local(
                format!(
                    "an earlier run took SOURCE for the {} of that name, another target's run for \
                     the {}",
                    word(before),
                    word(now)
                ),
                "migrate to this target by a call of its own",
            )),
            Some(_) | None => Ok(source),
        }
    }

    /// Waits a little for those who are still opening their sides, unless this one `failed` to.
    pub(super) async fn gather(&self, failed: bool) {
        self.opening.send_modify(|count| *count -= 1);
        let mut opening = self.opening.subscribe();
        if !failed {
            // Whoever has not come by then is not waited for.
            let _ = timeout(GATHER_MAX, opening.wait_for(|count| *count == 0)).await;
        }
    }

    pub(super) fn limits(&self) -> Arc<CommonLimits> {
        self.limits.clone()
    }

    pub(super) fn take_seat(&self) -> Option<Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Runs one migration for each target, and ends with the last of them.
///
/// # Errors
/// Wrong use. What keeps one of them from beginning is its result.
pub(super) async fn run(arguments: MigrateArguments, json: bool) -> Result<u8, CommandError> {
    let requests = parse(arguments)?;
    let targets = requests.iter().map(|request| &request.pair.target);
    let write = requests.first().map(|request| &request.arguments.write);
    write.map_or(Ok(()), |write| refuse_options_of_buckets(write, targets))?;
    let names: Vec<String> = requests.iter().map(|request| request.place.name.clone()).collect();
    let signals = Signals::listen_for(requests.len())?;
    let views = View::of_several(&names, json);
    let mut migrations = JoinSet::new();
    for ((request, view), mut signals) in requests.into_iter().zip(views).zip(signals) {
        migrations.spawn(async move {
            let migrated = request.migrate(&mut signals, &view).await;
            let result = migrated.unwrap_or_else(|error| request.failed(error));
            view.tell_end(&result);
            result
        });
    }
    let mut results = Vec::new();
    while let Some(ended) = migrations.join_next().await {
        // It told by itself what broke.
        let broken = |_| {
            MigrationResult::of_error(
                crate::defect(),
                exit::code(&BTreeSet::from([Condition::Defect])),
            )
        };
        results.push(ended.unwrap_or_else(broken));
    }
    let (fields, code) = over_all(&results, &names);
    if json {
        output::json_line("result", &fields);
    }
    Ok(code)
}

fn parse(arguments: MigrateArguments) -> Result<Vec<Request>, CommandError> {
    let targets = std::iter::once(&arguments.target).chain(&arguments.more_targets);
    let mut requests = Vec::new();
    for (target, number) in targets.zip(1..) {
        let mut own = arguments.clone();
        own.target.clone_from(target);
        let place = |pair: &Pair| {
            let name = arguments.state.name.as_ref().map(|name| format!("{name}-{number}"));
            let name = name.unwrap_or_else(|| state::derived_name(&pair.source, &pair.target));
            let folder = arguments.state.state.as_ref().map(|folder| folder.join(&name));
            state::named(&name, folder.as_deref())
        };
        let mut request = Request::parse(own, place)?;
        let report = arguments.report.as_ref();
        request.arguments.report = report.map(|folder| folder.join(&request.place.name));
        requests.push(request);
    }
    if requests.len() > SEATS_MAX {
        return Err(CommandError::usage(
            format!("{} targets are more than {SEATS_MAX}", requests.len()),
            "take several calls",
        ));
    }
    refuse_what_meets(&requests)?;
    join(&mut requests);
    Ok(requests)
}

/// Each target has to have its place, and its state and report one that nobody reads or writes.
fn refuse_what_meets(requests: &[Request]) -> Result<(), CommandError> {
    for (number, request) in requests.iter().enumerate() {
        for other in requests.iter().skip(number + 1) {
            request.pair.refuse_target_overlap(&other.pair)?;
        }
        for other in requests {
            other.pair.refuse_state_inside(&request.place.folder)?;
            crate::report::refuse(request.arguments.report.as_deref(), &other.pair)?;
        }
    }
    Ok(())
}

fn join(requests: &mut [Request]) {
    let Some(first) = requests.first() else { return };
    let limits = Arc::new(CommonLimits::new(&first.limits()));
    let namespace = match first.pair.source {
        Location::Bucket { .. } => Some(Namespace::Flat),
        Location::Hdfs { .. } => Some(Namespace::Tree),
        // What a look at a local tree notes beside its answer (names of one file, mount points) is
        // for one follower and one state.
        Location::Local { .. } => None,
    };
    let source = namespace.map(|_| Arc::default());
    let seats = namespace.map(|namespace| Seat::of_one_scan(requests.len(), namespace));
    let mut seats = seats.into_iter().flatten();
    let opening = Arc::new(watch::Sender::new(requests.len()));
    for request in requests {
        request.together = Some(Together {
            source: source.clone(),
            limits: limits.clone(),
            seat: Mutex::new(seats.next()),
            opening: opening.clone(),
        });
    }
}

/// The result over all: counters are sums, everything else is as of the worst.
fn over_all(results: &[MigrationResult], names: &[String]) -> (Map<String, Value>, u8) {
    let rank = |result: &&MigrationResult| {
        let condition = exit::condition_of_code(result.exit_code);
        (condition.is_none(), condition)
    };
    let worst = results.iter().min_by_key(rank).cloned().unwrap_or_default();
    let all: Vec<Map<String, Value>> = results.iter().map(MigrationResult::fields).collect();
    let mut fields = worst.fields();
    fields.remove("name");
    fields.remove("report");
    for (name, value) in &mut fields {
        let told: Vec<&Value> = all.iter().filter_map(|fields| fields.get(name)).collect();
        match name.as_str() {
            "exit_code" | "removals_max" | "removals_share_max_percent" => {}
            "removals_delayed_next_ms" => {
                *value = told.iter().filter_map(|at| at.as_u64()).min().into();
            }
            "as_of_txid" => {
                let oldest = told.iter().map(|txid| txid.as_u64()).min();
                *value = oldest.flatten().into();
            }
            _ if value.is_u64() => {
                *value = told.iter().filter_map(|number| number.as_u64()).sum::<u64>().into();
            }
            _ if value.is_f64() => {
                let most = told.iter().filter_map(|seconds| seconds.as_f64()).fold(0.0, f64::max);
                *value = most.into();
            }
            _ => {}
        }
    }
    fields.insert("migrations".to_owned(), names.into());
    let held: BTreeSet<Condition> =
        results.iter().filter_map(|result| exit::condition_of_code(result.exit_code)).collect();
    (fields, exit::code(&held))
}
