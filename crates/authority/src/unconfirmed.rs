//! A state that waits for a person to say that it may be used.

use domain::Timestamp;
use journal::{Head, Journal};
use serde::{Deserialize, Serialize};

/// The note in the journal that says so.
pub(crate) const NOTE: &str = "unconfirmed";

/// Why keys are not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Unconfirmed {
    /// A backup was restored.
    Restored {
        /// The last entry it knows.
        seq: u64,
        /// When that was made.
        at: Timestamp,
    },
    /// The database does not hold what the high-water mark says it held.
    PutBack {
        /// How far the journal had come, as the mark says.
        expected: u64,
        /// How far this database has come.
        found: u64,
    },
}

impl std::fmt::Display for Unconfirmed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Restored { seq, at } => write!(
                f,
                "this state was restored from a backup and is from {at} (entry {seq}). It cannot know what happened \
                 since: keys revoked after that would work again. No key is accepted until you confirm the state \
                 with `claviger restore confirm`, or restore again with `--replay` and the journal exported since"
            ),
            Self::PutBack { expected, found } => write!(
                f,
                "the database holds another history than the one that reached entry {expected} (it ends at entry \
                 {found}): an older file was put in its place. Keys revoked since would work again. No key is \
                 accepted until you put the right file back, or accept this one with `claviger restore confirm`"
            ),
        }
    }
}

/// Whether the state waits to be confirmed, and why.
pub(crate) async fn unconfirmed(
    journal: &Journal,
    mark: Head,
) -> Result<Option<Unconfirmed>, journal::Error> {
    if let Some(note) = journal.note(NOTE).await? {
        // A note that cannot be read was written by another release: what it means is that somebody must look.
        let unreadable = Unconfirmed::Restored { seq: journal.head().seq, at: Timestamp::EPOCH };
        return Ok(Some(serde_json::from_str(&note).unwrap_or(unreadable)));
    }
    if mark.seq == 0 {
        return Ok(None);
    }
    let there = journal.entries(mark.seq - 1, 1).await?;
    let holds = there.first().is_some_and(|entry| entry.seq == mark.seq && entry.hash == mark.hash);
    let found = journal.head().seq;
    Ok((!holds).then_some(Unconfirmed::PutBack { expected: mark.seq, found }))
}
