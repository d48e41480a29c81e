//! The writer's turn: between looking and writing, nobody else writes.

use std::fmt;

use parking_lot::RwLock;
use tokio::sync::MutexGuard;

use crate::{
    batch,
    entry::{Head, NewEntry, StoredEntry},
    error::CommitError,
    writer::Writer,
};

/// The right to append the next entries, from [`Journal::begin`](crate::Journal::begin). Dropping it gives the right
/// back with nothing written.
#[must_use = "a turn keeps everybody else from writing until it is committed or dropped"]
pub struct Turn<'a> {
    pub(crate) writer: MutexGuard<'a, Writer>,
    pub(crate) head: &'a RwLock<Head>,
    pub(crate) missed: Vec<StoredEntry>,
}

impl Turn<'_> {
    /// Entries that were written by another hand since this journal last looked, in order: another node, or a commit
    /// of ours whose outcome was unknown and that turned out to have happened. They are told once; a decision made
    /// without them is made on a state of the past.
    #[must_use]
    pub fn missed(&self) -> &[StoredEntry] {
        &self.missed
    }

    /// Where the chain ends, the missed entries included. Entries committed in this turn follow it.
    #[must_use]
    pub fn head(&self) -> Head {
        *self.head.read()
    }

    /// Appends the entries and writes the records they leave, all in one transaction with one sync to disk; returns
    /// the head after each entry. When this returns, a power failure does not undo it. No entries: nothing is done.
    ///
    /// If the future is dropped before it is ready, it is as if it had returned [`CommitError::Unknown`].
    ///
    /// # Errors
    ///
    /// The variant of [`CommitError`] says whether something may have been written. The journal remains usable.
    pub async fn commit(mut self, entries: Vec<NewEntry>) -> Result<Vec<Head>, CommitError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let (script, heads) = batch::script(self.head(), entries).map_err(CommitError::Refused)?;
        self.writer.run("append entries", script).await?;
        if let Some(end) = heads.last() {
            *self.head.write() = *end;
        }
        Ok(heads)
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("head", &self.head())
            .field("missed", &self.missed.len())
            .finish_non_exhaustive()
    }
}
