//! What only SQLite does: how a connection is made, and what its error codes tell.

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions, SqliteConnection, SqlitePool,
    error::DatabaseError,
    pool::PoolOptions,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};

/// `IMMEDIATE`: a transaction that will write asks for the right to at once, so that it waits or fails before it has
/// done anything.
pub(crate) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";
pub(crate) const COMMIT: &str = "COMMIT";

/// Marks the file as a journal of ours: "Clvg" in the header, where `file` and SQLite's own tools show it.
pub(crate) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"Clvg");
pub(crate) const GET_APPLICATION_ID: &str = "PRAGMA application_id";
pub(crate) const GET_SCHEMA: &str = "PRAGMA user_version";
pub(crate) const COUNT_OBJECTS: &str = "SELECT COUNT(*) FROM sqlite_schema";
/// `$1`: name of a view.
pub(crate) const VIEW_TEXT: &str = "SELECT sql FROM sqlite_schema WHERE type = 'view' AND name = $1";
pub(crate) const USE_WAL: &str = "PRAGMA journal_mode = WAL";
/// Moves everything from the write-ahead log into the database and empties the log. Its answer starts with 0 if it
/// could, 1 if a reader was in the way.
pub(crate) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
/// `$1`: path of the copy.
pub(crate) const COPY_INTO: &str = "VACUUM INTO $1";

/// How long a statement waits for a lock. Nobody else should hold one; this is for a person with a `sqlite3` shell.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads at the same time. Requests are answered from memory: these serve the audit log, documents, usage and backups.
const READERS: u32 = 4;

/// Rows that may be on their way from a connection's thread to the reading task. Enough for the two to run side by
/// side through a long scan, where they would wake each other for every few rows.
const ROWS_UNDER_WAY: usize = 1024;

/// After how many pages of 4 KiB the commit that wrote the last of them also moves the log into the database. Seldom
/// enough that this hardly shows in the rate of commits, and often enough that no commit waits long for it.
const LOG_PAGES: &str = "4000";

/// What is left of a log that grew larger because someone was reading for a long time, once it has been emptied. More
/// than [`LOG_PAGES`] need, so that in daily use the log is overwritten in place: growing a file makes syncs slower.
const LOG_BYTES_KEPT: &str = "67108864";

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        // No table here has a foreign key.
        .foreign_keys(false)
        .row_buffer_size(ROWS_UNDER_WAY)
        // The log is told what was attempted, by whoever attempted it, not every statement.
        .disable_statement_logging()
}

/// The connection that writes. The file must exist.
pub(crate) fn writer(path: &Path) -> SqliteConnectOptions {
    // FULL: in WAL mode only this syncs the log at each commit, and a commit is a promise.
    options(path)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", LOG_PAGES)
        .pragma("journal_size_limit", LOG_BYTES_KEPT)
}

/// A connection that cannot write.
pub(crate) fn reader(path: &Path) -> SqliteConnectOptions {
    options(path).read_only(true)
}

/// The connections that read. One of them is opened now and none is ever closed before the pool is: the index of the
/// write-ahead log lives as long as any connection does, so that replacing the writer's connection never rebuilds it.
pub(crate) async fn readers(path: &Path) -> Result<SqlitePool, sqlx::Error> {
    let pool = PoolOptions::new()
        .max_connections(READERS)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        // A connection to a file does not go stale.
        .test_before_acquire(false)
        .connect_with(reader(path))
        .await?;
    Ok(pool)
}

/// Switches the file to a write-ahead log, if it does not have one yet; `false` where the file system cannot do what
/// such a log needs.
pub(crate) async fn use_wal(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let mode: String = sqlx::query_scalar(USE_WAL).fetch_one(connection).await?;
    Ok(mode.eq_ignore_ascii_case("wal"))
}

/// Empties the write-ahead log; `false` if a reader was in the way.
pub(crate) async fn checkpoint(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let (busy, _frames, _moved): (i64, i64, i64) = sqlx::query_as(CHECKPOINT).fetch_one(connection).await?;
    Ok(busy == 0)
}

/// SQLite's result code without its refinement, if the error came from SQLite.
pub(crate) fn result_code(error: &sqlx::Error) -> Option<ResultCode> {
    let extended: u32 = error.as_database_error().and_then(DatabaseError::code)?.parse().ok()?;
    Some(match extended & 0xff {
        5 | 6 => ResultCode::Busy,
        8 => ResultCode::ReadOnly,
        11 => ResultCode::Corrupt,
        13 => ResultCode::Full,
        14 => ResultCode::CannotOpen,
        26 => ResultCode::NotADatabase,
        _ => ResultCode::Other,
    })
}

/// The result codes that something depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultCode {
    Busy,
    ReadOnly,
    Corrupt,
    Full,
    CannotOpen,
    NotADatabase,
    Other,
}

/// Whether a `COMMIT` that failed with this error has surely left nothing behind.
///
/// A commit writes its pages to the end of the write-ahead log, the last one with the mark that makes them count,
/// syncs the log, and then enters them into the index that readers use. If the sync or the index fails, SQLite calls
/// the commit failed and nobody sees it, but the marked pages lie in the file: should the process die before another
/// commit overwrites them, the next start finds them and takes them for committed. So only two failures are certain:
/// the disk was full before the marked page could be written, or the commit could not begin.
pub(crate) fn commit_surely_undone(error: &sqlx::Error) -> bool {
    matches!(result_code(error), Some(ResultCode::Full | ResultCode::Busy))
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, error::Error as StdError, fmt};

    use sqlx::error::ErrorKind;

    use super::*;

    /// What SQLite answers, by its extended result code.
    #[derive(Debug)]
    struct Answer(u32);

    impl fmt::Display for Answer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "code {}", self.0)
        }
    }

    impl StdError for Answer {}

    impl DatabaseError for Answer {
        fn message(&self) -> &str {
            "made up"
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.to_string().into())
        }

        fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    #[test]
    fn few_failed_commits_are_surely_undone() {
        let undone = |code| commit_surely_undone(&sqlx::Error::Database(Box::new(Answer(code))));
        // SQLITE_FULL, SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT.
        assert!([13, 5, 517].into_iter().all(undone));
        // SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE, SQLITE_IOERR_SHMSIZE, SQLITE_NOMEM, SQLITE_CORRUPT.
        assert!(![1034, 778, 4874, 7, 11].into_iter().any(undone));
        assert!(!commit_surely_undone(&sqlx::Error::WorkerCrashed));
    }
}
