//! The trail: which entries concern what. An index beside the journal, never on the way of a commit.
//!
//! The writer hands over what each committed entry concerns, before the entry is answered; a task writes it to the
//! index in batches. A question looks into both, so nothing that was committed is missing from an answer. Where the
//! two do not meet (after a crash, after a restore, or where more came than is kept) the task reads the entries in
//! between and finds out from the past where everything stood; questions wait for that, for a while.

mod index;
mod past;

pub(crate) use index::{keep, unread};
pub(crate) use past::{History, Shown, last_name};

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use domain::audit::{Subject, Subjects};
use journal::{Between, Direction, Journal};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::failure::Failure;

/// The most entries that wait to be written. Where more do, the index is caught up from the journal instead.
const KEPT: usize = 20_000;
/// How many entries are written at once. They hold up a commit for as long as that takes.
const BATCH: usize = 1_000;
/// How long a question waits for the index to be caught up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which entries concern what, as far as this process knows.
#[derive(Debug)]
pub struct Trail {
    tail: Mutex<Tail>,
    /// The newest entry that is known to be committed.
    newest: watch::Sender<u64>,
    /// Up to where the index and the tail say everything.
    complete: watch::Sender<u64>,
    /// Enough waits to be written, or the index has to be caught up.
    wake: Notify,
    stopping: Notify,
}

/// What is not in the index yet.
#[derive(Debug, Default)]
struct Tail {
    /// The index is complete up to this entry.
    indexed: u64,
    /// What the entries concern that are to be written next, without a gap between them.
    waiting: VecDeque<(u64, Subjects)>,
    /// The same the other way round, and what is just being caught up.
    found: BTreeSet<(Subject, u64)>,
}

impl Trail {
    /// What the journal's index says.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub(crate) async fn load(journal: &Journal) -> Result<Self, journal::Error> {
        let indexed = journal.traced().await?;
        let tail = Tail { indexed, ..Tail::default() };
        Ok(Self {
            tail: Mutex::new(tail),
            newest: watch::Sender::new(journal.head().seq),
            complete: watch::Sender::new(indexed),
            wake: Notify::new(),
            stopping: Notify::new(),
        })
    }

    /// Takes in what an entry concerns that is committed and not answered yet. In the order of the entries.
    pub(crate) fn add(&self, seq: u64, subjects: Subjects) {
        let mut tail = self.tail.lock();
        if seq <= tail.end() {
            return;
        }
        if tail.waiting.len() >= KEPT || tail.waiting.back().is_some_and(|(last, _)| last + 1 != seq) {
            tail.forget();
        }
        tail.found.extend(subjects.iter().map(|subject| (*subject, seq)));
        tail.waiting.push_back((seq, subjects));
        let enough = tail.waiting.len() >= BATCH;
        self.complete.send_replace(tail.complete());
        drop(tail);
        self.newest.send_modify(|newest| *newest = seq.max(*newest));
        if enough {
            self.wake.notify_one();
        }
    }

    /// The newest entry that is committed, once the index and the tail say everything up to it.
    ///
    /// # Errors
    /// Where that takes too long.
    pub(crate) async fn settled(&self) -> Result<u64, Failure> {
        let newest = *self.newest.borrow();
        let mut complete = self.complete.subscribe();
        if *complete.borrow_and_update() < newest {
            self.wake.notify_one();
            let caught_up = complete.wait_for(|complete| *complete >= newest);
            if tokio::time::timeout(PATIENCE, caught_up).await.is_err() {
                return Err(Failure::Indexing);
            }
        }
        Ok(newest)
    }

    /// Waits for an entry after this one.
    pub(crate) async fn later_than(&self, seq: u64) {
        // The sender is part of this, so there is nothing else to wait for.
        drop(self.newest.subscribe().wait_for(|newest| *newest > seq).await);
    }

    /// The entries that concern a subject, at most `limit`, in this direction.
    pub(crate) async fn find(
        &self,
        journal: &Journal,
        subject: Subject,
        between: Between,
        limit: u32,
        direction: Direction,
    ) -> Result<Vec<u64>, Failure> {
        // The tail first: what is written in between is then found twice, and never not at all.
        let mut found = self.tail.lock().find(subject, between, limit, direction);
        let indexed = journal.trace(&subject.to_string(), between, limit, direction).await;
        found.extend(indexed.map_err(|error| unread(&error))?);
        Ok(first_of(&found, limit, direction))
    }

    /// Tells the task to write what waits and end.
    pub(crate) fn stop(&self) {
        self.stopping.notify_one();
    }
}

/// The first of these entries in a direction.
pub(crate) fn first_of(found: &BTreeSet<u64>, limit: u32, direction: Direction) -> Vec<u64> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    match direction {
        Direction::Forward => found.iter().take(limit).copied().collect(),
        Direction::Backward => found.iter().rev().take(limit).copied().collect(),
    }
}

impl Tail {
    /// The last entry that is indexed or waits.
    fn end(&self) -> u64 {
        self.waiting.back().map_or(self.indexed, |(last, _)| self.indexed.max(*last))
    }

    /// Whether nothing is missing between what is indexed and what waits.
    fn meets(&self) -> bool {
        self.waiting.front().is_none_or(|(first, _)| *first <= self.indexed + 1)
    }

    /// Up to where nothing is missing.
    fn complete(&self) -> u64 {
        if self.meets() { self.end() } else { self.indexed }
    }

    fn forget(&mut self) {
        for (seq, subjects) in std::mem::take(&mut self.waiting) {
            for subject in subjects {
                self.found.remove(&(subject, seq));
            }
        }
    }

    fn find(&self, subject: Subject, between: Between, limit: u32, direction: Direction) -> BTreeSet<u64> {
        let Between { after, before } = between;
        let first = after.saturating_add(1);
        if first >= before {
            return BTreeSet::new();
        }
        let range = self.found.range((subject, first)..(subject, before)).map(|(_, seq)| *seq);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        match direction {
            Direction::Forward => range.take(limit).collect(),
            Direction::Backward => range.rev().take(limit).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
