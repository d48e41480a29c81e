//! The one clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use domain::Timestamp;

/// A time of day that never runs backwards.
///
/// Expiry is the only thing that depends on it. Were it to run backwards, an expired key would come back to
/// life; so now is the largest of the system's clock, the newest entry's time, and what was used last.
#[derive(Debug)]
pub struct Clock {
    floor: AtomicI64,
}

impl Clock {
    /// A clock that has seen nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { floor: AtomicI64::new(0) }
    }

    /// The time now, in microseconds since the epoch; never earlier than any answer before.
    pub fn now(&self) -> Timestamp {
        let system = system_micros();
        let before = self.floor.fetch_max(system, Ordering::Relaxed);
        Timestamp::from_micros(system.max(before))
    }

    /// From now on, it is at least this late.
    pub fn at_least(&self, time: Timestamp) {
        self.floor.fetch_max(time.as_micros(), Ordering::Relaxed);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
fn system_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_runs_backwards() {
        let clock = Clock::new();
        let ahead = Timestamp::from_micros(clock.now().as_micros() + 3_600_000_000);
        clock.at_least(ahead);
        assert!(clock.now() >= ahead);
        clock.at_least(Timestamp::EPOCH);
        assert!(clock.now() >= ahead);
    }
}
