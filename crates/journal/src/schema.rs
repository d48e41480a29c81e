//! The tables, and how an older database gets them.
//!
//! A migration is never edited once it has been released: the databases it made are out there. What a later version
//! needs is a further one.

use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::{
    backup,
    error::{BackupError, OpenError},
    files,
    open::{View, database},
    sqlite,
};

/// The n-th text (from 1) leads from schema n - 1 to schema n; schema 0 is an empty file.
pub(crate) const MIGRATIONS: &[&str] = &[SCHEMA_1];

/// `journal.seq` is SQLite's row number, so that appending touches the right edge of one tree. Rows of a few hundred
/// bytes and more (`record`, `document`, `line`) lie in a tree by row number with an index beside it: a tree by key holds only
/// a few of them to a page, splits often and writes both halves each time. Small rows have the tree by key alone.
pub(crate) const SCHEMA_1: &str = "
PRAGMA application_id = 1131181671;

CREATE TABLE journal (
    seq   INTEGER PRIMARY KEY,
    at    INTEGER NOT NULL,
    hash  BLOB    NOT NULL CHECK (length(hash) = 32),
    entry TEXT    NOT NULL
) STRICT;

CREATE TABLE record (
    kind  TEXT    NOT NULL,
    id    TEXT    NOT NULL,
    seq   INTEGER NOT NULL,
    value TEXT    NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT;

CREATE TABLE document (
    kind  TEXT    NOT NULL,
    id    TEXT    NOT NULL,
    seq   INTEGER NOT NULL,
    value BLOB    NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT;

CREATE TABLE tally (
    subject TEXT    NOT NULL,
    day     INTEGER NOT NULL,
    label   TEXT    NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (subject, day, label)
) STRICT, WITHOUT ROWID;
CREATE INDEX tally_by_day ON tally (day);

CREATE TABLE latest (
    subject TEXT    NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL,
    detail  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE trace (
    subject TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (subject, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE line (
    subject TEXT    NOT NULL,
    place   INTEGER NOT NULL,
    body    BLOB    NOT NULL,
    PRIMARY KEY (subject, place)
) STRICT;

CREATE TABLE note (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Refuses a database that is not a journal, or one newer than the last migration; brings an older one up to date,
/// after a copy of it was put beside it. Each migration is one transaction: it has happened or it has not.
pub(crate) async fn bring_up_to_date(
    connection: &mut SqliteConnection,
    path: &Path,
    migrations: &[&'static str],
) -> Result<(), OpenError> {
    let failed = |attempt| database(path, attempt);
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let found: i64 = sqlx::query_scalar(sqlite::GET_SCHEMA)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed("read the schema of"))?;
    if found > known {
        return Err(OpenError::NewerSchema { path: path.to_owned(), found, known });
    }
    if 0 < found && found < known {
        let copy = copy_beside(connection, path, known).await?;
        tracing::info!(from = found, to = known, copy = %copy.display(), "upgrading the schema");
    }
    let done = usize::try_from(found).unwrap_or(0);
    for (number, text) in (1..).zip(migrations).skip(done) {
        migrate(connection, number, text).await.map_err(failed("upgrade the schema of"))?;
    }
    Ok(())
}

/// Whether the database is ours, or still nobody's. Looked at before anything is changed.
pub(crate) async fn identify(
    connection: &mut SqliteConnection,
    path: &Path,
    new: bool,
) -> Result<(), OpenError> {
    let failed = || database(path, "read");
    let application: i32 =
        sqlx::query_scalar(sqlite::GET_APPLICATION_ID).fetch_one(&mut *connection).await.map_err(failed())?;
    let objects: i64 =
        sqlx::query_scalar(sqlite::COUNT_OBJECTS).fetch_one(&mut *connection).await.map_err(failed())?;
    let found = match (application, objects) {
        (sqlite::APPLICATION_ID, _) => return Ok(()),
        (0, 0) if new => return Ok(()),
        (0, 0) => "it is an empty database",
        _ => "it is a database of something else",
    };
    Err(OpenError::NotAJournal { path: path.to_owned(), found })
}

async fn migrate(
    connection: &mut SqliteConnection,
    number: i64,
    text: &'static str,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with(sqlite::BEGIN_WRITE).await?;
    sqlx::raw_sql(text).execute(&mut *transaction).await?;
    // A pragma takes no parameter; a number cannot be anything but a number.
    sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA user_version = {number}")))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Copies the database to `<name>.before-schema-<to>`, or with a further number where that exists: an upgrade that was
/// tried twice leaves two copies, of which the first may be the better.
async fn copy_beside(connection: &mut SqliteConnection, path: &Path, to: i64) -> Result<PathBuf, OpenError> {
    let first = files::beside(path, &format!(".before-schema-{to}"));
    let further = (2..).map(|n: u32| files::beside(&first, &format!(".{n}")));
    for copy in std::iter::once(first.clone()).chain(further) {
        match backup::copy(connection, &copy).await {
            Ok(_) => return Ok(copy),
            Err(BackupError::Exists { .. }) => {}
            Err(source) => return Err(OpenError::NotCopied { path: path.to_owned(), source }),
        }
    }
    Err(OpenError::NotCopied { path: path.to_owned(), source: BackupError::Exists { path: first } })
}

/// Makes the views, those anew whose text has changed. Writes nothing if all are as they should be, so that a journal
/// opens on a full disk.
pub(crate) async fn make_views(connection: &mut SqliteConnection, views: &[View]) -> Result<(), sqlx::Error> {
    for View { name, query } in views {
        let text = format!("CREATE VIEW {name} AS {query}");
        let stands: Option<String> =
            sqlx::query_scalar(sqlite::VIEW_TEXT).bind(*name).fetch_optional(&mut *connection).await?;
        if stands.as_ref() == Some(&text) {
            continue;
        }
        let mut transaction = connection.begin_with(sqlite::BEGIN_WRITE).await?;
        // Name and query are part of the program: nobody's input gets here.
        let drop = AssertSqlSafe(format!("DROP VIEW IF EXISTS {name}"));
        sqlx::raw_sql(drop).execute(&mut *transaction).await?;
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(())
}
