//! From a path to an open journal.

use std::path::Path;

use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::{
    entry::Head,
    error::{Error, OpenError},
    files::{self, Claim},
    journal::Journal,
    row, schema, sql,
    sqlite::{self, ResultCode},
    writer::Writer,
};

/// How to open a journal. The default creates it where it is absent and makes no views.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// What to do when there is no such file.
    pub absent: Absent,
    /// Views for people who look into the database with plain SQL. They are made when the journal is opened, and made
    /// anew when their text has changed; one that is not listed any more stays as it is.
    pub views: &'static [View],
}

/// What to do when there is no such file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absent {
    /// Create it, readable and writable for its owner alone (mode 0600).
    #[default]
    Create,
    /// Refuse: a mistyped path must not look like an empty journal.
    Refuse,
}

/// A view over the tables of the journal.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Its name, an SQL identifier.
    pub name: &'static str,
    /// The query behind it, from `SELECT` on and without a semicolon.
    pub query: &'static str,
}

impl Journal {
    /// Opens the journal in the file at `path`, for this process alone.
    ///
    /// A database with an older schema is upgraded, after a copy of it was put beside it.
    ///
    /// # Errors
    ///
    /// Each [`OpenError`] names the file and says what to do.
    pub async fn open(path: &Path, options: Options) -> Result<Journal, OpenError> {
        open(path, options, schema::MIGRATIONS).await
    }
}

/// [`Journal::open`] with a list of migrations, so that a test can have one more.
async fn open(path: &Path, options: Options, migrations: &[&'static str]) -> Result<Journal, OpenError> {
    let path = files::locate(path, options.absent)?;
    let claim = files::claim(&path)?;
    files::make_private(&path)?;
    let connect = sqlite::writer(&path);
    let mut connection = connect.connect().await.map_err(database(&path, "open"))?;
    match prepare(&mut connection, &path, options, migrations).await {
        Ok(head) => finish(&path, claim, Writer::new(connect, connection), head).await,
        Err(error) => {
            // Closed before the claim is given up. The first error is the one to tell.
            drop(connection.close().await);
            Err(error)
        }
    }
}

/// Everything that may be found wrong or has to be changed before the journal can be used; returns its head.
async fn prepare(
    connection: &mut SqliteConnection,
    path: &Path,
    options: Options,
    migrations: &[&'static str],
) -> Result<Head, OpenError> {
    schema::identify(connection, path, options.absent == Absent::Create).await?;
    if !sqlite::use_wal(connection).await.map_err(database(path, "prepare"))? {
        return Err(OpenError::NoWriteAheadLog { path: path.to_owned() });
    }
    // What the log still holds after a crash was perhaps never synced; in the database it is. Not worth refusing to
    // start for: a full disk is no reason to stop answering, and what is in the log counts as it is.
    match sqlite::checkpoint(connection).await {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!("someone is reading the journal with another tool; its log was not emptied");
        }
        // The file and the log beside it do not belong together, or one of them is broken.
        Err(error) if sqlite::result_code(&error) == Some(ResultCode::Corrupt) => {
            return Err(OpenError::Damaged { path: path.to_owned(), source: error });
        }
        Err(error) => tracing::warn!(%error, "the journal's log could not be emptied"),
    }
    schema::bring_up_to_date(connection, path, migrations).await?;
    schema::make_views(connection, options.views).await.map_err(database(path, "make the views of"))?;
    let row = sqlx::query_as(sql::HEAD).fetch_optional(connection).await.map_err(database(path, "read"))?;
    let head = row.map_or(Ok(Head::EMPTY), row::head);
    head.map_err(|source: Error| OpenError::Unreadable { path: path.to_owned(), source })
}

async fn finish(path: &Path, claim: Claim, writer: Writer, head: Head) -> Result<Journal, OpenError> {
    let readers = sqlite::readers(path).await.map_err(database(path, "open for reading"))?;
    Ok(Journal::new(path.to_owned(), claim, writer, readers, head))
}

/// For `map_err`; `attempt` completes "could not ...".
pub(crate) fn database(path: &Path, attempt: &'static str) -> impl FnOnce(sqlx::Error) -> OpenError {
    let path = path.to_owned();
    move |source| match sqlite::result_code(&source) {
        Some(ResultCode::NotADatabase) => OpenError::NotAJournal { path, found: "it is not a database" },
        Some(ResultCode::Corrupt) => OpenError::Damaged { path, source },
        Some(ResultCode::ReadOnly | ResultCode::CannotOpen) => OpenError::ReadOnly { path },
        _ => OpenError::Database { path, attempt, source },
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

    use super::*;
    use crate::{Change, NewEntry};

    const SCHEMA_1: &[u8] = include_bytes!("../tests/fixtures/schema-1.db");
    const FIRST: &str = schema::SCHEMA_1;
    const SECOND: &str = "ALTER TABLE note ADD COLUMN author TEXT; CREATE TABLE second (id INTEGER);";

    fn fixture() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        fs::write(&path, SCHEMA_1).unwrap();
        (folder, path)
    }

    async fn count(path: &Path, sql: &'static str) -> i64 {
        let mut connection = sqlite::reader(path).connect().await.unwrap();
        let count = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        count
    }

    #[tokio::test]
    async fn an_older_schema_is_upgraded_after_a_copy() {
        let (folder, path) = fixture();
        let journal = open(&path, Options::default(), &[FIRST, SECOND]).await.unwrap();
        assert_eq!(journal.verify(None).await.unwrap().seq, 3);
        journal.close().await.unwrap();
        assert_eq!(count(&path, "SELECT COUNT(*) FROM second").await, 0);
        assert_eq!(count(&path, sqlite::GET_SCHEMA).await, 2);

        let copy = folder.path().join("journal.db.before-schema-2");
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(count(&copy, sqlite::GET_SCHEMA).await, 1);
        // The copy is a journal that the older version opens.
        let older = open(&copy, Options::default(), &[FIRST]).await.unwrap();
        assert_eq!(older.verify(None).await.unwrap().seq, 3);
        // And the older version does not open what was upgraded.
        let refused = open(&path, Options::default(), &[FIRST]).await.unwrap_err();
        assert!(matches!(refused, OpenError::NewerSchema { found: 2, known: 1, .. }), "{refused:?}");
    }

    #[tokio::test]
    async fn an_earlier_copy_is_kept() {
        let (folder, path) = fixture();
        let taken = folder.path().join("journal.db.before-schema-2");
        fs::write(&taken, "precious").unwrap();
        let journal = open(&path, Options::default(), &[FIRST, SECOND]).await.unwrap();
        journal.close().await.unwrap();
        assert_eq!(fs::read_to_string(&taken).unwrap(), "precious");
        assert_eq!(count(&folder.path().join("journal.db.before-schema-2.2"), sqlite::GET_SCHEMA).await, 1);
    }

    #[tokio::test]
    async fn a_migration_happens_whole_or_not_at_all() {
        const BROKEN: &str = "CREATE TABLE third (id INTEGER); INSERT INTO nowhere VALUES (1);";
        let (_folder, path) = fixture();
        let failed = open(&path, Options::default(), &[FIRST, SECOND, BROKEN]).await.unwrap_err();
        assert!(matches!(failed, OpenError::Database { attempt: "upgrade the schema of", .. }), "{failed:?}");
        // The one before it has happened and stays.
        assert_eq!(count(&path, sqlite::GET_SCHEMA).await, 2);
        assert_eq!(count(&path, "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'third'").await, 0);
        let journal = open(&path, Options::default(), &[FIRST, SECOND]).await.unwrap();
        assert_eq!(journal.verify(None).await.unwrap().seq, 3);
    }

    #[tokio::test]
    async fn a_new_journal_needs_no_copy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let journal = open(&path, Options::default(), &[FIRST, SECOND]).await.unwrap();
        let changes = vec![Change { kind: "thing", id: "r".to_owned(), value: Some("{}".to_owned()) }];
        let entry = NewEntry { at: 1, body: "{}".to_owned(), changes, documents: vec![] };
        journal.begin().await.unwrap().commit(vec![entry]).await.unwrap();
        journal.close().await.unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 2, "the journal and its lock file");
        assert_eq!(count(&path, sqlite::GET_SCHEMA).await, 2);
    }
}
