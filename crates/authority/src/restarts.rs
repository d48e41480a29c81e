//! Which parts were told to start anew.
//!
//! A part is told once for each time that somebody asked for it: told twice, it would start anew twice. So it is noted
//! before it is told; what a crash in between loses is one restart, and whoever wants it asks again.

use std::collections::HashMap;

use domain::{PartId, Timestamp};
use foldhash::fast::RandomState;
use journal::{Journal, Latest};
use parking_lot::Mutex;

use crate::failure::Failure;

/// What the rows start with, so that they are told from those of others.
const PREFIX: &str = "restart:";

/// For each part that was told, when what it was told was asked for.
#[derive(Debug, Default)]
pub struct Restarts {
    told: Mutex<HashMap<PartId, Timestamp, RandomState>>,
}

impl Restarts {
    /// Takes in a row that was read at the start, if it is about a restart.
    pub(crate) fn take(&self, row: &Latest) {
        let id = row.subject.strip_prefix(PREFIX).and_then(|id| id.parse().ok());
        if let Some(id) = id {
            self.told.lock().insert(id, Timestamp::from_micros(row.at));
        }
    }

    /// Whether a part is to be told now what was asked for then. It counts as told from here on.
    ///
    /// # Errors
    /// Where it cannot be noted; then the part is told later.
    pub(crate) async fn tell(
        &self,
        journal: &Journal,
        part: PartId,
        asked: Timestamp,
    ) -> Result<bool, Failure> {
        let before = {
            let mut told = self.told.lock();
            let before = told.get(&part).copied();
            if before.is_some_and(|before| before >= asked) {
                return Ok(false);
            }
            // At once, so that of two calls at the same time one is told.
            told.insert(part, asked);
            before
        };
        let row = Latest { subject: subject(part), at: asked.as_micros(), detail: String::new() };
        match journal.add_tallies(&[], &[row]).await {
            Ok(()) => Ok(true),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a restart could not be noted");
                let mut told = self.told.lock();
                match before {
                    Some(before) => told.insert(part, before),
                    None => told.remove(&part),
                };
                Err(Failure::NotWritten)
            }
        }
    }

    /// The parts that were told.
    pub(crate) fn parts(&self) -> Vec<PartId> {
        self.told.lock().keys().copied().collect()
    }

    /// Forgets parts that are gone.
    ///
    /// # Errors
    /// Where the journal cannot be written. Asking again is right.
    pub(crate) async fn forget(
        &self,
        journal: &Journal,
        gone: &[PartId],
    ) -> Result<(), journal::CommitError> {
        for part in gone {
            journal.forget_subject(&subject(*part)).await?;
            self.told.lock().remove(part);
        }
        Ok(())
    }
}

fn subject(part: PartId) -> String {
    format!("{PREFIX}{part}")
}

#[cfg(test)]
mod tests {
    use journal::Options;

    use super::*;

    const PART: PartId = PartId::from_bytes([1; 16]);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    async fn read(journal: &Journal) -> Restarts {
        let restarts = Restarts::default();
        let read = journal.for_each_latest(|row| {
            restarts.take(&row);
            Ok::<(), journal::Error>(())
        });
        read.await.unwrap();
        restarts
    }

    #[tokio::test]
    async fn a_part_is_told_once_also_after_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db"), Options::default()).await.unwrap();
        let restarts = Restarts::default();
        assert!(restarts.tell(&journal, PART, at(10)).await.unwrap());
        assert!(!restarts.tell(&journal, PART, at(10)).await.unwrap());
        let restarts = read(&journal).await;
        assert!(!restarts.tell(&journal, PART, at(10)).await.unwrap());
        assert!(restarts.tell(&journal, PART, at(11)).await.unwrap());
        restarts.forget(&journal, &[PART]).await.unwrap();
        assert!(read(&journal).await.parts().is_empty());
    }
}
