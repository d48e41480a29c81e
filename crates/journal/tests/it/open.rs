//! What is refused, and what the person is told who asked for it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use journal::{Journal, OpenError, Options, View};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::{
    ground::{Ground, SqliteFile},
    make::{history, records},
};

async fn refusal(path: &Path) -> OpenError {
    let refusal = Journal::open(path, Options::default()).await.unwrap_err();
    assert!(refusal.to_string().contains(path.to_str().unwrap()), "{refusal}");
    refusal
}

#[tokio::test]
async fn a_missing_folder() {
    let ground = SqliteFile::new().await;
    let refusal = refusal(&ground.beside("missing/journal.db")).await;
    assert!(matches!(refusal, OpenError::NoFolder { .. }), "{refusal:?}");
}

#[tokio::test]
async fn a_folder_instead_of_a_file() {
    let ground = SqliteFile::new().await;
    let folder = ground.beside("folder");
    fs::create_dir(&folder).unwrap();
    let refusal = refusal(&folder).await;
    assert!(matches!(refusal, OpenError::NotAFile { .. }), "{refusal:?}");
    assert_eq!(ground.names(), ["folder"]);
}

#[tokio::test]
async fn a_link_to_nothing() {
    let ground = SqliteFile::new().await;
    symlink(ground.beside("nothing"), ground.path()).unwrap();
    let refusal = refusal(&ground.path()).await;
    assert!(matches!(refusal, OpenError::Absent { .. }), "{refusal:?}");
    assert_eq!(ground.names(), ["journal.db"]);
}

#[tokio::test]
async fn a_file_that_may_not_be_written() {
    let ground = SqliteFile::new().await;
    ground.open().await.close().await.unwrap();
    fs::set_permissions(ground.path(), fs::Permissions::from_mode(0o400)).unwrap();
    let refusal = refusal(&ground.path()).await;
    assert!(matches!(refusal, OpenError::ReadOnly { .. }), "{refusal:?}");
    assert!(refusal.to_string().contains("chmod u+w"), "{refusal}");
}

#[tokio::test]
async fn a_file_of_something_else() {
    let ground = SqliteFile::new().await;
    let text =
        "Not a database, but long enough to be taken for one by who looks at its length only.\n".repeat(100);
    fs::write(ground.path(), &text).unwrap();
    let refusal = refusal(&ground.path()).await;
    assert!(matches!(refusal, OpenError::NotAJournal { found: "it is not a database", .. }), "{refusal:?}");
    assert_eq!(fs::read_to_string(ground.path()).unwrap(), text);
}

#[tokio::test]
async fn a_database_of_something_else() {
    let ground = SqliteFile::new().await;
    let options = SqliteConnectOptions::new().filename(ground.path()).create_if_missing(true);
    let mut other = options.connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE journal (line TEXT)").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let before = fs::read(ground.path()).unwrap();
    let refusal = refusal(&ground.path()).await;
    assert!(
        matches!(refusal, OpenError::NotAJournal { found: "it is a database of something else", .. }),
        "{refusal:?}"
    );
    assert_eq!(fs::read(ground.path()).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_file() {
    let ground = SqliteFile::new().await;
    let journal = ground.open().await;
    history(&journal, 1).await;
    journal.close().await.unwrap();
    let mut bytes = fs::read(ground.path()).unwrap();
    // The first page says where everything is. Its header is left as it was.
    bytes[100..4096].fill(0xff);
    fs::write(ground.path(), bytes).unwrap();
    let refusal = refusal(&ground.path()).await;
    assert!(matches!(refusal, OpenError::Damaged { .. }), "{refusal:?}");
    assert!(refusal.to_string().contains("restore the last backup"), "{refusal}");
}

#[tokio::test]
async fn a_newer_schema() {
    let ground = SqliteFile::new().await;
    ground.open().await.close().await.unwrap();
    let mut other = SqliteConnectOptions::new().filename(ground.path()).connect().await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 77").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let refusal = refusal(&ground.path()).await;
    assert!(matches!(refusal, OpenError::NewerSchema { found: 77, .. }), "{refusal:?}");
    let told = refusal.to_string();
    assert!(told.contains("has schema 77") && told.contains("knows schemas up to 1:"), "{told}");
    assert_eq!(ground.names(), ["journal.db", "journal.db.lock"]);
}

#[tokio::test]
async fn views_for_people() {
    const FIRST: &[View] = &[View { name: "thing", query: "SELECT id FROM record WHERE kind = 'thing'" }];
    const SECOND: &[View] = &[View { name: "thing", query: "SELECT id, seq FROM record WHERE seq > 1" }];
    let ground = SqliteFile::new().await;
    let open = async |views| {
        let journal = Journal::open(&ground.path(), Options { views, ..Options::default() }).await.unwrap();
        let version = ground.count("PRAGMA schema_version").await;
        (journal, ground.count("SELECT COUNT(*) FROM thing").await, version)
    };
    let journal = ground.open().await;
    history(&journal, 3).await;
    journal.close().await.unwrap();

    let (journal, things, made) = open(FIRST).await;
    assert_eq!(things, 3);
    journal.close().await.unwrap();
    let (journal, things, again) = open(FIRST).await;
    assert_eq!((things, again), (3, made), "a view that is as it should be is not made again");
    journal.close().await.unwrap();
    let (journal, things, anew) = open(SECOND).await;
    assert_eq!(things, 2);
    assert_ne!(anew, made);
    journal.close().await.unwrap();
    let journal = ground.open().await;
    assert_eq!(ground.count("SELECT COUNT(*) FROM thing").await, 2);
    assert_eq!(records(&journal).await.1.len(), 3);
}
