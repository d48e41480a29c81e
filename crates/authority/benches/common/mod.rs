//! What the benchmarks share: rounds by turns, and the median of their ratios. A machine that slows down slows
//! both sides of a round.

#![allow(dead_code, reason = "each benchmark uses its part of this")]
#![allow(clippy::allow_attributes, reason = "an expectation would fail in the benchmark that uses all of it")]

use std::time::{Duration, Instant};

use authority::engine::Engine;
use domain::Name;
use domain::command::{FoundFleet, NewFleet};

/// How many rounds a comparison has.
pub(crate) const ROUNDS: usize = 7;
/// How long one side of a round takes.
pub(crate) const ROUND: Duration = Duration::from_millis(1_000);

/// A fleet to measure on.
pub(crate) async fn found(engine: &Engine) -> NewFleet {
    let name = |text| Name::parse(text).unwrap();
    let command = FoundFleet {
        organization: name("organization"),
        location: name("location"),
        machine: name("machine"),
        owner_key: name("owner"),
        operator_key: name("operator"),
        secret: authority::secrets::make(engine).unwrap(),
    };
    engine.command("bench", command).await.unwrap()
}

/// The median.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How often a second something is done, done one after the other for one round.
pub(crate) async fn per_second<F: Future<Output = u64>>(mut once: impl FnMut() -> F) -> f64 {
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < ROUND {
        done += once().await;
    }
    done as f64 / started.elapsed().as_secs_f64()
}

/// How often a second something is done by so many at once, for one round.
pub(crate) async fn in_flight<F, W>(many: usize, make: impl Fn(usize) -> W) -> f64
where
    W: FnMut() -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let started = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..many {
        let mut once = make(number);
        workers.spawn(async move {
            let mut done = 0_u64;
            while started.elapsed() < ROUND {
                once().await;
                done += 1;
            }
            done
        });
    }
    let done: u64 = workers.join_all().await.into_iter().sum();
    done as f64 / started.elapsed().as_secs_f64()
}
