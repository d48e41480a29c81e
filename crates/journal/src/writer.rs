//! The one connection that writes, and what is known of it.
//!
//! INVARIANT: a connection on which a script failed or was abandoned is never written to again. It may stand inside a
//! transaction, or still be at work. It is waited for and replaced by a new one, and what the database then holds is
//! looked at, not remembered.

use std::mem;

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    entry::{Head, StoredEntry},
    error::{CommitError, Error},
    row,
    script::Script,
    sql, sqlite,
};

/// The note that counts how often it had to be settled whether a write had happened.
const SETTLED: &str = "journal.settled";

pub(crate) struct Writer {
    options: SqliteConnectOptions,
    connection: SqliteConnection,
    footing: Footing,
    /// The chain may end elsewhere than this process believes.
    astray: bool,
}

/// What is known about the last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Footing {
    /// It succeeded.
    Firm,
    /// It failed, and has left nothing behind.
    Shaken,
    /// It may have happened, may be happening, or may come back.
    Lost,
}

impl Writer {
    pub(crate) fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Writer {
        Writer { options, connection, footing: Footing::Firm, astray: false }
    }

    /// Runs a script; returns how many rows it changed.
    pub(crate) async fn run(&mut self, attempt: &'static str, script: Script) -> Result<u64, CommitError> {
        self.regain_footing().await.map_err(CommitError::Refused)?;
        // Until we know better: if this future is dropped while it waits, the connection's thread goes on.
        self.footing = Footing::Lost;
        let failure = match script.run(&mut self.connection).await {
            Ok(changed) => {
                self.footing = Footing::Firm;
                return Ok(changed);
            }
            Err(failure) => failure,
        };
        let undone = !failure.committing || sqlite::commit_surely_undone(&failure.error);
        if undone {
            self.footing = Footing::Shaken;
        }
        // At once, because the transaction that it may be in keeps everyone else from writing.
        if let Err(error) = self.replace_connection().await {
            tracing::warn!(%error, "a failed connection could not be replaced; the next write tries again");
        }
        let source = Error::Database { attempt, source: failure.error };
        Err(if undone { CommitError::Refused(source) } else { CommitError::Unknown(source) })
    }

    /// The entries after `head`, where another hand than this process's last successful commit may have written some.
    /// Costs nothing if that cannot be.
    ///
    /// On PostgreSQL this is where the turn begins: the transaction, its lock, and the entries of the other nodes.
    pub(crate) async fn missed(&mut self, head: Head) -> Result<Vec<StoredEntry>, Error> {
        self.regain_footing().await?;
        if !self.astray {
            return Ok(Vec::new());
        }
        let from = row::to_column("seq", head.seq)?;
        let rows = sqlx::query_as(sql::ENTRIES_FROM).bind(from).fetch_all(&mut self.connection).await;
        let rows = rows.map_err(Error::attempting("look where its chain ends"))?;
        let missed = continuation(head, rows.into_iter().map(row::entry).collect::<Result<_, _>>()?)?;
        self.astray = false;
        Ok(missed)
    }

    /// Leaves nothing open about the last write.
    async fn regain_footing(&mut self) -> Result<(), Error> {
        if self.footing != Footing::Firm {
            self.replace_connection().await?;
        }
        if self.footing == Footing::Lost {
            self.settle().await?;
            self.footing = Footing::Firm;
        }
        Ok(())
    }

    /// Replaces the connection by one that has nothing to do with the last write.
    async fn replace_connection(&mut self) -> Result<(), Error> {
        // The answer comes after all that the connection was told before; until then it is kept, should this be
        // abandoned in turn. If its thread has died, no answer comes, and nothing is left to wait for.
        drop(self.connection.ping().await);
        let successor =
            self.options.connect().await.map_err(Error::attempting("open a new connection to write"))?;
        // This rolls back the transaction that the old one may be in.
        drop(mem::replace(&mut self.connection, successor).close().await);
        self.astray = true;
        if self.footing == Footing::Shaken {
            self.footing = Footing::Firm;
        }
        Ok(())
    }

    /// Makes the last write either lasting or impossible.
    ///
    /// A look would not do. A commit whose sync failed is invisible, but its pages lie at the end of the write-ahead
    /// log, and a start after a crash would find them and count them in; see [`sqlite::commit_surely_undone`].
    /// The next commit is written to the very place where they lie. So one is made that is sure to write something.
    async fn settle(&mut self) -> Result<(), Error> {
        let mut script = Script::new();
        script.rows(
            sql::PUT_NOTE,
            vec![SETTLED],
            |mut row, name| {
                row.push_bind(name).push_bind("1");
            },
            sql::COUNT_NOTE_END,
        );
        let settled = script.run(&mut self.connection).await;
        settled
            .map_err(|failure| failure.error)
            .map_err(Error::attempting("settle whether its last write happened"))?;
        tracing::warn!("it was not known whether the journal's last write had happened; it is settled now");
        Ok(())
    }

    /// Empties the write-ahead log and closes the connection.
    pub(crate) async fn close(mut self) -> Result<(), Error> {
        let emptied = sqlite::checkpoint(&mut self.connection).await;
        self.connection.close().await.map_err(Error::attempting("close"))?;
        emptied.map(drop).map_err(Error::attempting("empty its log"))
    }
}

/// What follows `head` in `entries`, which start with the head's own entry unless the journal was empty.
fn continuation(head: Head, mut entries: Vec<StoredEntry>) -> Result<Vec<StoredEntry>, Error> {
    if head != Head::EMPTY {
        let there = entries.first().is_some_and(|first| (first.seq, first.hash) == (head.seq, head.hash));
        if !there {
            return Err(Error::Parted { seq: head.seq });
        }
        entries.remove(0);
    }
    let mut end = head;
    for entry in &entries {
        end = end.next(entry.at, &entry.body);
        if (entry.seq, entry.hash) != (end.seq, end.hash) {
            return Err(Error::Parted { seq: end.seq });
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use crate::{Change, CommitError, Error, Head, Journal, NewEntry, Options, sqlite::ResultCode};

    fn entry(value: &str) -> NewEntry {
        let changes = vec![Change { kind: "thing", id: "r".to_owned(), value: Some(value.to_owned()) }];
        NewEntry { at: 7, body: "{}".to_owned(), changes, documents: vec![] }
    }

    /// A journal with one entry and one record, whose next turn's connection has been told `sql`.
    async fn prepared(folder: &tempfile::TempDir, sql: &'static str) -> Journal {
        let journal = Journal::open(&folder.path().join("journal.db"), Options::default()).await.unwrap();
        let mut turn = journal.begin().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut turn.writer.connection).await.unwrap();
        turn.commit(vec![entry("first")]).await.unwrap();
        journal
    }

    async fn records(journal: &Journal) -> Vec<String> {
        let mut values = Vec::new();
        let read = journal.for_each_record(|record| {
            values.push(record.value);
            Ok::<(), Error>(())
        });
        read.await.unwrap();
        values
    }

    /// The journal goes on from `head` as if nothing had been attempted.
    async fn goes_on(journal: &Journal, head: Head) {
        assert_eq!(journal.head(), head);
        assert_eq!(records(journal).await, ["first"]);
        let turn = journal.begin().await.unwrap();
        assert_eq!((turn.missed(), turn.head()), ([].as_slice(), head));
        turn.commit(vec![entry("second")]).await.unwrap();
        assert_eq!(records(journal).await, ["second"]);
        assert_eq!(journal.verify(Some(head)).await.unwrap().seq, 2);
    }

    #[tokio::test]
    async fn a_full_disk_refuses_and_the_journal_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let journal = prepared(&folder, "PRAGMA max_page_count = 20").await;
        let head = journal.head();
        for _ in 0..2 {
            let turn = journal.begin().await.unwrap();
            let large = entry(&"x".repeat(200_000));
            match turn.commit(vec![entry("small"), large]).await.unwrap_err() {
                CommitError::Refused(Error::Database { source, .. }) => {
                    assert_eq!(crate::sqlite::result_code(&source), Some(ResultCode::Full));
                }
                other => panic!("{other:?}"),
            }
            // The limit is the connection's, and the connection was replaced.
            let mut turn = journal.begin().await.unwrap();
            sqlx::raw_sql("PRAGMA max_page_count = 20").execute(&mut turn.writer.connection).await.unwrap();
        }
        goes_on(&journal, head).await;
        assert_eq!(journal.note(super::SETTLED).await.unwrap(), None);
    }

    /// A constraint that is checked when the transaction ends makes `COMMIT` itself fail and leaves the connection
    /// inside the transaction. The constraint and what violates it are the connection's own.
    const COMMIT_FAILS: &str = "
        PRAGMA foreign_keys = ON;
        CREATE TEMP TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TEMP TABLE child (id REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
        CREATE TEMP TRIGGER violate AFTER INSERT ON main.journal WHEN new.seq > 1
        BEGIN INSERT INTO child VALUES (99); END;";

    #[tokio::test]
    async fn a_commit_that_fails_is_unknown_and_settled_by_the_next_turn() {
        let folder = tempfile::tempdir().unwrap();
        let journal = prepared(&folder, COMMIT_FAILS).await;
        let head = journal.head();
        let outcome = journal.begin().await.unwrap().commit(vec![entry("lost")]).await;
        assert!(matches!(outcome, Err(CommitError::Unknown(_))), "{outcome:?}");
        goes_on(&journal, head).await;
        assert_eq!(journal.note(super::SETTLED).await.unwrap().as_deref(), Some("1"));
    }

    /// Also when the next to write has no turn: what is to be missed is told to the next that has.
    #[tokio::test]
    async fn any_write_settles_it() {
        let folder = tempfile::tempdir().unwrap();
        let journal = prepared(&folder, COMMIT_FAILS).await;
        let head = journal.head();
        let outcome = journal.begin().await.unwrap().commit(vec![entry("lost")]).await;
        assert!(matches!(outcome, Err(CommitError::Unknown(_))), "{outcome:?}");
        journal.set_note("a", Some("1")).await.unwrap();
        assert!(journal.writer_is_astray().await);
        assert_eq!(journal.note(super::SETTLED).await.unwrap().as_deref(), Some("1"));
        goes_on(&journal, head).await;
        assert!(!journal.writer_is_astray().await);
    }

    impl Journal {
        async fn writer_is_astray(&self) -> bool {
            self.writer().await.astray
        }
    }
}
