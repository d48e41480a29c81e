//! The task that writes the index.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::Subjects;
use journal::Journal;

use super::past::{Present, read_entry};
use super::{BATCH, Tail, Trail};
use crate::engine::Shared;
use crate::failure::Failure;

/// How long an entry waits to be written at most.
const EVERY: Duration = Duration::from_secs(1);
/// How many entries are read at once where the index has to be caught up.
const PAGE: u32 = 200;

/// Keeps the index up to date until it is told to stop, and writes then what still waits.
pub(crate) async fn keep(shared: Arc<Shared>, journal: Arc<Journal>) {
    let trail = &shared.trail;
    shorten(trail, &journal).await;
    loop {
        let stop = tokio::select! {
            biased;
            () = trail.stopping.notified() => true,
            () = trail.wake.notified() => false,
            () = tokio::time::sleep(EVERY) => false,
        };
        let written = trail.write_all(&journal).await;
        if let Err(failure) = written {
            // Logged where it happened; what waits is kept and tried again.
            tracing::warn!(%failure, "the index of the audit log lags behind");
        }
        if stop {
            return;
        }
    }
}

/// An index that is ahead of the journal belongs to another history from there on.
async fn shorten(trail: &Trail, journal: &Journal) {
    let head = journal.head().seq;
    if trail.tail.lock().indexed <= head {
        return;
    }
    tracing::warn!(head, "the index of the audit log says more than the journal; it is shortened");
    match journal.forget_traces_after(head).await {
        Ok(()) => {
            let mut tail = trail.tail.lock();
            tail.indexed = head;
            trail.complete.send_replace(tail.complete());
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the index could not be shortened");
        }
    }
}

impl Trail {
    /// Writes all that waits, and before it what is missing.
    async fn write_all(&self, journal: &Journal) -> Result<(), Failure> {
        // Also what nobody handed over: an entry whose commit was in doubt.
        let head = journal.head().seq;
        self.newest.send_modify(|newest| *newest = head.max(*newest));
        let mut present = Present::default();
        loop {
            let (meets, indexed, next) = {
                let tail = self.tail.lock();
                (tail.meets(), tail.indexed, tail.waiting.front().map(|(first, _)| *first))
            };
            match next {
                Some(_) if meets => self.write_waiting(journal).await?,
                Some(first) => self.catch_up(journal, &mut present, first).await?,
                None if indexed < head => self.catch_up(journal, &mut present, head + 1).await?,
                None => return Ok(()),
            }
        }
    }

    async fn write_waiting(&self, journal: &Journal) -> Result<(), Failure> {
        let batch: Vec<_> = self.tail.lock().waiting.iter().take(BATCH).cloned().collect();
        self.write(journal, batch).await
    }

    /// Finds out what the next entries concern, up to one that waits.
    async fn catch_up(&self, journal: &Journal, present: &mut Present, end: u64) -> Result<(), Failure> {
        let indexed = self.tail.lock().indexed;
        let entries = journal.entries(indexed, PAGE).await.map_err(|error| unread(&error))?;
        let mut batch = Vec::new();
        for stored in entries.iter().filter(|stored| stored.seq < end) {
            let entry = read_entry(stored)?;
            let subjects = present.subjects(self, journal, &entry).await?;
            // The entries after it ask for it.
            self.tail.lock().found.extend(subjects.iter().map(|subject| (*subject, stored.seq)));
            batch.push((stored.seq, subjects));
        }
        if batch.is_empty() {
            return Err(Failure::Internal(
                "the journal has a gap where the index of the audit log is to go on",
            ));
        }
        self.write(journal, batch).await
    }

    async fn write(&self, journal: &Journal, batch: Vec<(u64, Subjects)>) -> Result<(), Failure> {
        let Some(up_to) = batch.last().map(|(seq, _)| *seq) else { return Ok(()) };
        let rows = batch.iter().flat_map(|(seq, all)| all.iter().map(|subject| (subject.to_string(), *seq)));
        let rows: Vec<_> = rows.collect();
        let written = journal.add_traces(&rows, up_to).await;
        let mut tail = self.tail.lock();
        match written {
            Ok(()) => {
                tail.written(up_to, batch);
                self.complete.send_replace(tail.complete());
                Ok(())
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the index was not written");
                Err(Failure::Indexing)
            }
        }
    }
}

impl Tail {
    pub(super) fn written(&mut self, up_to: u64, batch: Vec<(u64, Subjects)>) {
        self.indexed = self.indexed.max(up_to);
        while self.waiting.front().is_some_and(|(first, _)| *first <= up_to) {
            self.waiting.pop_front();
        }
        for (seq, subjects) in batch {
            for subject in subjects {
                self.found.remove(&(subject, seq));
            }
        }
    }
}

/// What to tell the caller where the journal cannot be read; the log is told the rest.
pub(crate) fn unread(error: &journal::Error) -> Failure {
    tracing::error!(error = error as &dyn std::error::Error, "the audit log could not be read");
    Failure::Internal("the audit log cannot be read; the authority's log says why")
}
