//! The journal as its callers hold it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use futures::TryStreamExt;
use parking_lot::RwLock;
use sqlx::SqlitePool;
use tokio::sync::{Mutex, MutexGuard};

use crate::{
    entry::{Head, StoredEntry, StoredRecord},
    error::{CommitError, Error},
    files::Claim,
    row,
    script::Script,
    sql,
    turn::Turn,
    writer::Writer,
};

/// An open journal. One connection writes, one turn at a time; a few others read beside it.
pub struct Journal {
    path: PathBuf,
    writer: Mutex<Writer>,
    readers: SqlitePool,
    head: RwLock<Head>,
    /// Declared last, so that it is given up last.
    _claim: Claim,
}

impl Journal {
    pub(crate) fn new(
        path: PathBuf,
        claim: Claim,
        writer: Writer,
        readers: SqlitePool,
        head: Head,
    ) -> Journal {
        Journal { path, writer: Mutex::new(writer), readers, head: RwLock::new(head), _claim: claim }
    }

    /// The journal's file, symbolic links followed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the chain ends, as far as this process knows: after its last commit, or after the entries that its last
    /// turn had missed.
    #[must_use]
    pub fn head(&self) -> Head {
        *self.head.read()
    }

    /// Waits for the writer's turn; turns are had in the order they were asked for.
    ///
    /// On SQLite this does not touch the database, except after a write that did not succeed: then it finds out, and
    /// makes certain, what became of it.
    ///
    /// # Errors
    ///
    /// When what became of the last write cannot be found out; asking again is right. [`Error::Parted`] when the
    /// database no longer continues the history that this process has seen; asking again will not help.
    pub async fn begin(&self) -> Result<Turn<'_>, Error> {
        let mut writer = self.writer().await;
        let missed = writer.missed(self.head()).await?;
        if let Some(last) = missed.last() {
            *self.head.write() = Head { seq: last.seq, hash: last.hash };
        }
        Ok(Turn { writer, head: &self.head, missed })
    }

    /// Hands every record to `f`, in no particular order, and returns the head they belong to: commits made
    /// meanwhile are not in them. The records are never in memory together.
    ///
    /// # Errors
    ///
    /// The first error of `f`, which ends the reading, or what kept the journal from reading.
    pub async fn for_each_record<E>(
        &self,
        mut f: impl FnMut(StoredRecord) -> Result<(), E>,
    ) -> Result<Head, E>
    where
        E: From<Error>,
    {
        const ATTEMPT: &str = "read its records";
        let mut snapshot = self.readers.begin().await.map_err(Error::attempting(ATTEMPT))?;
        // The first read decides what moment the transaction sees.
        let head = sqlx::query_as(sql::HEAD).fetch_optional(&mut *snapshot).await;
        let head = head.map_err(Error::attempting(ATTEMPT))?.map_or(Ok(Head::EMPTY), row::head)?;
        let mut rows = sqlx::query_as(sql::RECORDS).fetch(&mut *snapshot);
        while let Some(row) = rows.try_next().await.map_err(Error::attempting(ATTEMPT))? {
            f(row::record(row)?)?;
        }
        Ok(head)
    }

    /// At most `limit` entries after number `after`, in order; 0 starts from the beginning.
    ///
    /// # Errors
    ///
    /// What kept the journal from reading.
    pub async fn entries(&self, after: u64, limit: u32) -> Result<Vec<StoredEntry>, Error> {
        let after = row::to_column("seq", after)?;
        let query = sqlx::query_as(sql::ENTRIES_AFTER).bind(after).bind(i64::from(limit));
        let rows = query.fetch_all(&self.readers).await.map_err(Error::attempting("read its entries"))?;
        rows.into_iter().map(row::entry).collect()
    }

    /// A document, if there is one.
    ///
    /// # Errors
    ///
    /// What kept the journal from reading.
    pub async fn document(&self, kind: &str, id: &str) -> Result<Option<Vec<u8>>, Error> {
        let query = sqlx::query_scalar(sql::DOCUMENT).bind(kind).bind(id);
        query.fetch_optional(&self.readers).await.map_err(Error::attempting("read a document"))
    }

    /// At most `limit` documents of a kind with ids from `first` to `last`, both included, in the order of their ids
    /// as bytes; from the last to the first if `newest_first`.
    ///
    /// # Errors
    ///
    /// What kept the journal from reading.
    pub async fn documents(
        &self,
        kind: &str,
        first: &str,
        last: &str,
        limit: u32,
        newest_first: bool,
    ) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let text = if newest_first { sql::DOCUMENTS_DOWNWARD } else { sql::DOCUMENTS_UPWARD };
        let query = sqlx::query_as(text).bind(kind).bind(first).bind(last).bind(i64::from(limit));
        query.fetch_all(&self.readers).await.map_err(Error::attempting("read documents"))
    }

    /// A small named value that belongs to this database and not to its history, such as "restored, to be confirmed".
    /// Names that start with `journal.` are the journal's own.
    ///
    /// # Errors
    ///
    /// What kept the journal from reading.
    pub async fn note(&self, name: &str) -> Result<Option<String>, Error> {
        let query = sqlx::query_scalar(sql::NOTE).bind(name);
        query.fetch_optional(&self.readers).await.map_err(Error::attempting("read a note"))
    }

    /// Sets a note, or removes it. Not secret, not in the chain.
    ///
    /// # Errors
    ///
    /// Whether the note may have been set all the same.
    pub async fn set_note(&self, name: &str, value: Option<&str>) -> Result<(), CommitError> {
        let mut script = Script::new();
        match value {
            Some(value) => script.rows(
                sql::PUT_NOTE,
                vec![(name, value)],
                |mut row, (name, value)| {
                    row.push_bind(name).push_bind(value);
                },
                sql::PUT_NOTE_END,
            ),
            None => script.with(sql::DELETE_NOTE, name, ""),
        }
        self.write("set a note", script).await.map(drop)
    }

    /// Runs a script that is no commit of entries; returns how many rows it changed.
    pub(crate) async fn write(&self, attempt: &'static str, script: Script) -> Result<u64, CommitError> {
        self.writer().await.run(attempt, script).await
    }

    pub(crate) async fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().await
    }

    /// For reading what has no method here.
    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Empties the write-ahead log into the database, closes it and lets others open it. Reads under way are waited
    /// for. What was committed is safe without this; the next start is quicker with it.
    ///
    /// # Errors
    ///
    /// The log could not be emptied. The journal is closed all the same.
    pub async fn close(self) -> Result<(), Error> {
        self.readers.close().await;
        self.writer.into_inner().close().await
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("path", &self.path)
            .field("head", &self.head())
            .finish_non_exhaustive()
    }
}
