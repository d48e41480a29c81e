//! What is counted, for Prometheus. Every series is there from the start, at zero.

use std::time::Duration;

use domain::Denial;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tonic::Code;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Resident {
    kind: &'static str,
}

/// The counters and their registry.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    decisions: Family<Outcome, Counter>,
    answered: Counter,
    failures: Family<Reason, Counter>,
    resident: Family<Resident, Gauge>,
    entries: Counter,
    commits: Counter,
    commit_seconds: Histogram,
    call_seconds: Histogram,
    /// The changes that wait for the writer.
    pub queue: Gauge,
    /// The server streams that are open.
    pub streams: Gauge,
    /// 1 while keys are accepted, 0 between a restore and its confirmation.
    pub confirmed: Gauge,
}

/// The gRPC codes that calls end with.
const OUTCOMES: [(Code, &str); 17] = [
    (Code::Ok, "ok"),
    (Code::Cancelled, "cancelled"),
    (Code::Unknown, "unknown"),
    (Code::InvalidArgument, "invalid_argument"),
    (Code::DeadlineExceeded, "deadline_exceeded"),
    (Code::NotFound, "not_found"),
    (Code::AlreadyExists, "already_exists"),
    (Code::PermissionDenied, "permission_denied"),
    (Code::ResourceExhausted, "resource_exhausted"),
    (Code::FailedPrecondition, "failed_precondition"),
    (Code::Aborted, "aborted"),
    (Code::OutOfRange, "out_of_range"),
    (Code::Unimplemented, "unimplemented"),
    (Code::Internal, "internal"),
    (Code::Unavailable, "unavailable"),
    (Code::DataLoss, "data_loss"),
    (Code::Unauthenticated, "unauthenticated"),
];

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("claviger");
        let latency = || Histogram::new(exponential_buckets(0.000_05, 2.0, 16));
        let it = Self {
            decisions: Family::default(),
            answered: Counter::default(),
            failures: Family::default(),
            resident: Family::default(),
            entries: Counter::default(),
            commits: Counter::default(),
            commit_seconds: latency(),
            call_seconds: latency(),
            queue: Gauge::default(),
            streams: Gauge::default(),
            confirmed: Gauge::default(),
            registry: Registry::default(),
        };
        for (_, outcome) in OUTCOMES {
            drop(it.decisions.get_or_create(&Outcome { outcome }));
        }
        for reason in Denial::ALL {
            drop(it.failures.get_or_create(&Reason { reason: reason.name() }));
        }
        registry.register("calls", "Calls by how they ended, as a gRPC code", it.decisions.clone());
        let help = "Credentials that were not accepted, by the reason that no caller is told";
        registry.register("authentication_failures", help, it.failures.clone());
        registry.register("records", "Records resident in memory, by kind", it.resident.clone());
        registry.register("entries", "Entries committed to the journal", it.entries.clone());
        registry.register("commits", "Commits of the journal; several entries share one", it.commits.clone());
        let help = "From the commit's start until the disk has it";
        registry.register_with_unit("commit", help, Unit::Seconds, it.commit_seconds.clone());
        let help = "From a call's headers until the answer's";
        registry.register_with_unit("call", help, Unit::Seconds, it.call_seconds.clone());
        registry.register("queued_changes", "Changes that wait for the writer", it.queue.clone());
        registry.register("streams", "Server streams that are open", it.streams.clone());
        let help = "1 while keys are accepted, 0 between a restore and its confirmation";
        registry.register("confirmed", help, it.confirmed.clone());
        let answered = it.decisions.get_or_create(&Outcome { outcome: "ok" }).clone();
        Self { registry, answered, ..it }
    }

    pub(crate) fn committed(&self, entries: usize, took: Duration) {
        self.entries.inc_by(u64::try_from(entries).unwrap_or(u64::MAX));
        self.commits.inc();
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// The entries committed so far, and the commits they shared.
    #[must_use]
    pub fn written(&self) -> (u64, u64) {
        (self.entries.get(), self.commits.get())
    }

    /// A call ended.
    pub fn call(&self, code: Code, took: Duration) {
        // The commonest by far, and on the way of every call: kept at hand.
        if code == Code::Ok {
            self.answered.inc();
        } else {
            let known = OUTCOMES.iter().find(|(known, _)| *known == code);
            let outcome = known.map_or("unknown", |(_, outcome)| outcome);
            self.decisions.get_or_create(&Outcome { outcome }).inc();
        }
        self.call_seconds.observe(took.as_secs_f64());
    }

    /// A credential was not accepted.
    pub fn denied(&self, reason: Denial) {
        self.failures.get_or_create(&Reason { reason: reason.name() }).inc();
    }

    /// How many records of a kind are resident.
    pub fn resident(&self, kind: &'static str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.resident.get_or_create(&Resident { kind }).set(count);
    }

    /// All of it in Prometheus' text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        match text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing to a string cannot fail; if it does, no figures are better than half of them.
            Err(std::fmt::Error) => String::new(),
        }
    }
}
