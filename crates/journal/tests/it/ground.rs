//! What a behaviour stands on: a database of its own, opened as often as it likes.

use std::path::PathBuf;

use journal::{Journal, Options};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

/// An empty database, and a second way into it beside the journal's.
pub(crate) trait Ground {
    async fn new() -> Self;

    /// The journal in this database, created at the first call.
    async fn open(&self) -> Journal;

    /// Does what a person with a shell could do. Every statement must change something.
    async fn tamper(&self, sql: &str);

    /// The number that a query gives.
    async fn count(&self, sql: &'static str) -> i64;
}

/// A file in a folder of its own.
pub(crate) struct SqliteFile {
    folder: TempDir,
}

impl SqliteFile {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The names of all files there are, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = self.folder.path().read_dir().unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    async fn connect(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.path()).connect().await.unwrap()
    }
}

impl Ground for SqliteFile {
    async fn new() -> SqliteFile {
        SqliteFile { folder: tempfile::tempdir().unwrap() }
    }

    async fn open(&self) -> Journal {
        Journal::open(&self.path(), Options::default()).await.unwrap()
    }

    async fn tamper(&self, sql: &str) {
        let mut connection = self.connect().await;
        let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        assert_ne!(done.rows_affected(), 0, "{sql}");
        connection.close().await.unwrap();
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let mut connection = self.connect().await;
        let count = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        count
    }
}
