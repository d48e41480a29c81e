//! An exported journal, and how it comes back onto a backup.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use domain::{Recorded, Timestamp};
use journal::{Head, Journal, NewEntry};
use serde::{Deserialize, Serialize};

use crate::restore::{RestoreError, file};
use crate::store;

/// A line of an exported journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum ExportedLine {
    /// An entry.
    Entry {
        /// Its place.
        seq: u64,
        /// Microseconds since the epoch.
        at: i64,
        /// Hexadecimal.
        hash: String,
        /// As it is stored, to the byte: the hash covers it.
        entry: String,
    },
    /// The end of an export: up to here it is complete. Exports may be put one behind the other.
    End {
        /// The last entry there was.
        complete_to: u64,
        /// Its hash.
        hash: String,
    },
}

impl ExportedLine {
    /// The exported form of a stored entry.
    #[must_use]
    pub(crate) fn of(stored: &journal::StoredEntry) -> Self {
        let journal::StoredEntry { seq, at, hash, body } = stored;
        Self::Entry { seq: *seq, at: *at, hash: hash.to_string(), entry: body.clone() }
    }

    /// The end of an export that is complete up to this head.
    #[must_use]
    pub(crate) fn end(head: Head) -> Self {
        Self::End { complete_to: head.seq, hash: head.hash.to_string() }
    }
}

/// Appends the entries of an exported journal that the backup does not have, each with the place, time and hash
/// it had. It must say that it is complete, and reach at least as far as the backup: one that is cut off or older
/// tells nothing about what was revoked since.
pub(crate) async fn replay_onto(journal: &Journal, path: &Path) -> Result<u64, RestoreError> {
    let backup = journal.head().seq;
    let lines = BufReader::new(File::open(path).map_err(|source| file("open", path, source))?).lines();
    let (mut replayed, mut number, mut complete_to) = (0, 0, None);
    for text in lines {
        number += 1;
        let problem = |problem: String| RestoreError::Replay { path: path.to_owned(), line: number, problem };
        let text = text.map_err(|source| file("read", path, source))?;
        let line: ExportedLine = serde_json::from_str(&text)
            .map_err(|_| problem("is no line of an exported journal: export it again".to_owned()))?;
        complete_to = None;
        match line {
            ExportedLine::Entry { seq, at, hash, entry } => {
                let stored = Replayed { seq, at, hash, entry };
                replayed += u64::from(stored.onto(journal, &problem).await?);
            }
            ExportedLine::End { complete_to: seq, hash } => {
                expect_known(journal, seq, &hash, &problem).await?;
                complete_to = Some(seq);
            }
        }
    }
    let problem = |problem: String| RestoreError::Replay { path: path.to_owned(), line: number, problem };
    match complete_to {
        None => Err(problem(
            "is the last one, and does not say that the export is complete: it was cut off".to_owned(),
        )),
        Some(seq) if seq < backup => {
            let told = format!(
                "ends at entry {seq}, before the backup, which has entry {backup}: it tells nothing since"
            );
            Err(problem(told))
        }
        Some(_) => Ok(replayed),
    }
}

/// Fails unless the journal has this entry with this hash.
async fn expect_known(
    journal: &Journal,
    seq: u64,
    hash: &str,
    problem: &impl Fn(String) -> RestoreError,
) -> Result<(), RestoreError> {
    if seq > journal.head().seq {
        let last = journal.head().seq;
        return Err(problem(format!(
            "says that entry {seq} was exported, but entry {last} is the last one here"
        )));
    }
    let known = journal.entries(seq.saturating_sub(1), 1).await?;
    let empty = seq == 0 && hash == Head::EMPTY.hash.to_string();
    if empty || known.first().is_some_and(|entry| entry.seq == seq && entry.hash.to_string() == hash) {
        return Ok(());
    }
    Err(problem(format!("entry {seq} belongs to another history than this backup")))
}

/// An entry on its way back into the journal.
struct Replayed {
    seq: u64,
    at: i64,
    hash: String,
    entry: String,
}

impl Replayed {
    /// Whether it was new.
    async fn onto(
        self,
        journal: &Journal,
        problem: &impl Fn(String) -> RestoreError,
    ) -> Result<bool, RestoreError> {
        let Self { seq, at, hash, entry } = self;
        let head = journal.head();
        if seq <= head.seq {
            expect_known(journal, seq, &hash, problem).await?;
            return Ok(false);
        }
        if seq != head.seq + 1 {
            let wanted = head.seq + 1;
            return Err(problem(format!("is entry {seq}, but entry {wanted} comes next: export from there")));
        }
        if head.next(at, &entry).hash.to_string() != hash {
            return Err(problem(format!(
                "entry {seq} was edited, or belongs to another history than this backup"
            )));
        }
        let recorded = Recorded::decode(seq, Timestamp::from_micros(at), &entry);
        let recorded = recorded.map_err(|error| problem(error.to_string()))?;
        let changes = recorded.changes().iter().map(store::encode_change).collect::<Result<_, _>>()?;
        let new = NewEntry { at, body: entry, changes, documents: Vec::new() };
        journal.begin().await?.commit(vec![new]).await?;
        Ok(true)
    }
}
