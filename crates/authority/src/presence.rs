//! When the parts of machines last called: gathered in memory, written in batches, outside the journal.
//!
//! As with usage, no call waits for it and none writes. What a crash loses is the last minute.

use std::collections::{HashMap, HashSet};

use domain::{PartId, Presence, Timestamp};
use foldhash::fast::RandomState;
use journal::{Journal, Latest};
use parking_lot::Mutex;

/// What the rows of parts start with, so that they are told from those of keys.
const PREFIX: &str = "part:";

/// How long what was gathered waits at least before it is written: parts call every few seconds, each of them.
const WRITE_EVERY_MICROS: i64 = 60_000_000;

#[derive(Debug, Default)]
struct Gathered {
    last: HashMap<PartId, Timestamp, RandomState>,
    /// The parts that called since the last write.
    touched: HashSet<PartId, RandomState>,
    written_at: Option<Timestamp>,
}

/// When each part last called.
#[derive(Debug, Default)]
pub struct Parts {
    gathered: Mutex<Gathered>,
}

impl Parts {
    /// Takes in a row that was read at the start, if it is about a part.
    pub(crate) fn take(&self, row: &Latest) {
        let id = row.subject.strip_prefix(PREFIX).and_then(|id| id.parse().ok());
        if let Some(id) = id {
            self.gathered.lock().last.insert(id, Timestamp::from_micros(row.at));
        }
    }

    /// A part called.
    pub fn seen(&self, part: PartId, now: Timestamp) {
        let mut gathered = self.gathered.lock();
        gathered.last.insert(part, now);
        gathered.touched.insert(part);
    }

    /// Whether a part is there.
    #[must_use]
    pub fn state(&self, part: PartId, now: Timestamp) -> Presence {
        Presence::at(self.gathered.lock().last.get(&part).copied(), now)
    }

    /// Whether a machine is there: whether any of its parts is.
    #[must_use]
    pub fn state_of_any(&self, parts: impl Iterator<Item = PartId>, now: Timestamp) -> Presence {
        let gathered = self.gathered.lock();
        let last = parts.filter_map(|part| gathered.last.get(&part).copied()).max();
        Presence::at(last, now)
    }

    /// Writes what was gathered, if the last time is long enough ago. What cannot be written now is kept for the next
    /// time.
    ///
    /// # Errors
    /// Where the journal cannot be written.
    pub(crate) async fn flush_now_and_then(
        &self,
        journal: &Journal,
        now: Timestamp,
    ) -> Result<(), journal::CommitError> {
        let due = |at: Timestamp| now.as_micros() - at.as_micros() >= WRITE_EVERY_MICROS;
        if !self.gathered.lock().written_at.is_none_or(due) {
            return Ok(());
        }
        self.gathered.lock().written_at = Some(now);
        self.flush(journal).await
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// As [`Parts::flush_now_and_then`].
    pub(crate) async fn flush(&self, journal: &Journal) -> Result<(), journal::CommitError> {
        let touched: Vec<_> = {
            let mut gathered = self.gathered.lock();
            let touched: Vec<_> = gathered.touched.drain().collect();
            touched.into_iter().filter_map(|part| Some((part, *gathered.last.get(&part)?))).collect()
        };
        let latest: Vec<_> = touched.iter().map(|(part, at)| latest(*part, *at)).collect();
        let written = journal.add_tallies(&[], &latest).await;
        if written.is_err() {
            self.gathered.lock().touched.extend(touched.into_iter().map(|(part, _)| part));
        }
        written
    }

    /// Forgets parts that are gone, so that memory follows the fleet.
    pub(crate) fn retain(&self, gone: impl Fn(&[PartId]) -> Vec<PartId>) {
        let known: Vec<PartId> = self.gathered.lock().last.keys().copied().collect();
        let gone = gone(&known);
        let mut gathered = self.gathered.lock();
        for part in gone {
            gathered.last.remove(&part);
        }
    }
}

fn latest(part: PartId, at: Timestamp) -> Latest {
    Latest { subject: format!("{PREFIX}{part}"), at: at.as_micros(), detail: String::new() }
}

#[cfg(test)]
mod tests {
    use domain::OnlineState;
    use journal::Options;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[tokio::test]
    async fn what_was_seen_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db"), Options::default()).await.unwrap();
        let [one, other, never] = [1, 2, 3].map(|id| PartId::from_bytes([id; 16]));
        let parts = Parts::default();
        parts.seen(one, at(100));
        parts.flush_now_and_then(&journal, at(100)).await.unwrap();
        parts.seen(other, at(110));
        // Not due yet: a crash now would lose it.
        parts.flush_now_and_then(&journal, at(110)).await.unwrap();
        assert_eq!(read(&journal).await.state(other, at(110)).state, OnlineState::AwaitingSetup);
        parts.flush_now_and_then(&journal, at(160)).await.unwrap();

        let again = read(&journal).await;
        assert_eq!(again.state(one, at(160)).last_access, Some(at(100)));
        assert_eq!(again.state(one, at(160)).state, OnlineState::Offline);
        assert_eq!(again.state(never, at(160)), Presence::at(None, at(160)));
        let machine = again.state_of_any([one, other, never].into_iter(), at(120));
        assert_eq!((machine.state, machine.last_access), (OnlineState::Online, Some(at(110))));
        again.retain(|known| known.iter().copied().filter(|part| *part == one).collect());
        assert_eq!(again.state(one, at(160)).last_access, None);
    }

    async fn read(journal: &Journal) -> Parts {
        let parts = Parts::default();
        let read = journal.for_each_latest(|row| {
            parts.take(&row);
            Ok::<(), journal::Error>(())
        });
        read.await.unwrap();
        parts
    }
}
