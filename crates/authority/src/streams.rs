//! Server streams that end when the right to them ends.
//!
//! A stream is a task that sends into a channel, and has a seat here. When an entry narrows anybody's access,
//! every seat is asked to look again, and the answer to whoever made the change waits until all have looked: a
//! stream that lost its right has ended before the revoking call returns.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// The longest an answer waits for streams to look again. Looking takes microseconds; a stream that takes
/// longer than this is stuck, and is logged.
const PATIENCE: Duration = Duration::from_secs(2);

/// All live streams.
#[derive(Debug)]
pub struct Streams {
    table: Arc<Table>,
    asked: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Table {
    /// For each seat, the last round in which it looked.
    looked: Mutex<HashMap<u64, u64>>,
    changed: Notify,
}

/// A stream's place among the live ones; given up when it is dropped.
#[derive(Debug)]
pub struct Seat {
    number: u64,
    asked: watch::Receiver<u64>,
    table: Arc<Table>,
}

/// Held while a stream looks again; dropping it says that it has.
#[derive(Debug)]
#[must_use]
pub struct Look<'a> {
    seat: &'a Seat,
    round: u64,
}

impl Streams {
    pub(crate) fn new() -> Self {
        Self { table: Arc::default(), asked: watch::Sender::new(0), stopping: watch::Sender::new(false) }
    }

    /// A place for a new stream. Take it before the first look: a change after that asks for another.
    pub fn seat(&self) -> Seat {
        let mut looked = self.table.looked.lock();
        let number = (0..).find(|number| !looked.contains_key(number)).unwrap_or(u64::MAX);
        let asked = self.asked.subscribe();
        looked.insert(number, *asked.borrow());
        Seat { number, asked, table: Arc::clone(&self.table) }
    }

    /// Tells every stream that the authority stops.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits until the authority stops.
    pub async fn stopped(&self) {
        // That it is gone is a stop as well.
        drop(self.stopping.subscribe().wait_for(|stopping| *stopping).await);
    }

    /// How many there are.
    #[must_use]
    pub fn live(&self) -> usize {
        self.table.looked.lock().len()
    }

    /// Asks every live stream to look again; the future is done when all have.
    pub(crate) fn recheck(&self) -> impl Future<Output = ()> + Send + use<> {
        let table = Arc::clone(&self.table);
        let round = {
            // With the table held, a seat taken now either sees the new round as its first or is asked for it.
            let _looked = table.looked.lock();
            self.asked.send_modify(|round| *round += 1);
            *self.asked.borrow()
        };
        async move {
            if tokio::time::timeout(PATIENCE, table.all_looked(round)).await.is_err() {
                tracing::error!("a server stream did not look at its right again in time");
            }
        }
    }
}

impl Table {
    async fn all_looked(&self, round: u64) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Listening starts before looking, so that nothing between the two is missed.
            changed.as_mut().enable();
            if self.looked.lock().values().all(|looked| *looked >= round) {
                return;
            }
            changed.await;
        }
    }
}

impl Seat {
    /// Waits until the stream has to look again. Hold what it returns until that is done.
    pub async fn asked(&mut self) -> Look<'_> {
        if self.asked.changed().await.is_err() {
            // The authority is gone; so will the stream be.
            std::future::pending::<()>().await;
        }
        let round = *self.asked.borrow_and_update();
        Look { seat: self, round }
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.seat.table.looked.lock().insert(self.seat.number, self.round);
        self.seat.table.changed.notify_waiters();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.table.looked.lock().remove(&self.number);
        self.table.changed.notify_waiters();
    }
}

/// Waits for a point in time; for ever if there is none.
pub(crate) async fn sleep_until(now: Timestamp, at: Option<Timestamp>) {
    match at {
        // A day at most, so that a clock that was set is noticed.
        Some(at) => {
            let micros = u64::try_from(at.as_micros().saturating_sub(now.as_micros())).unwrap_or(0);
            tokio::time::sleep(Duration::from_micros(micros).min(Duration::from_secs(86_400))).await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_every_seat_and_for_none_that_left() {
        let streams = Streams::new();
        streams.recheck().await;
        let (mut slow, quick) = (streams.seat(), streams.seat());
        let first = tokio::spawn(streams.recheck());
        let second = tokio::spawn(streams.recheck());
        drop(quick);
        tokio::task::yield_now().await;
        assert!(!first.is_finished() && !second.is_finished());
        // One look answers both rounds: it saw the state after both.
        drop(slow.asked().await);
        first.await.unwrap();
        second.await.unwrap();
        assert_eq!(streams.live(), 1);
        // A seat taken after a round owes it nothing.
        drop(slow);
        let round = streams.recheck();
        let _late = streams.seat();
        round.await;
    }
}
