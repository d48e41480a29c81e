//! The file, its permissions, and who has it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use journal::{Absent, Journal, OpenError, Options};

use crate::{
    ground::{Ground, SqliteFile},
    make::{commit, entry, history},
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn only_the_owner_may_read_it() {
    let ground = SqliteFile::new().await;
    let journal = ground.open().await;
    history(&journal, 1).await;
    let names = ["journal.db", "journal.db-shm", "journal.db-wal", "journal.db.lock"];
    assert_eq!(ground.names(), names);
    for name in names {
        assert_eq!(mode(&ground.beside(name)), 0o600, "{name}");
    }
    journal.close().await.unwrap();
    assert_eq!(ground.names(), ["journal.db", "journal.db.lock"]);
}

#[tokio::test]
async fn loose_permissions_are_tightened() {
    let ground = SqliteFile::new().await;
    ground.open().await.close().await.unwrap();
    set_mode(&ground.path(), 0o664);
    fs::write(ground.beside("journal.db-wal"), "").unwrap();
    set_mode(&ground.beside("journal.db-wal"), 0o644);
    let journal = ground.open().await;
    assert_eq!(mode(&ground.path()), 0o600);
    assert_eq!(mode(&ground.beside("journal.db-wal")), 0o600);
    history(&journal, 1).await;
}

#[tokio::test]
async fn a_second_opening_is_refused() {
    let ground = SqliteFile::new().await;
    let journal = ground.open().await;
    let link = ground.beside("link.db");
    symlink(ground.path(), &link).unwrap();
    for path in [ground.path(), ground.beside("../").join(ground.path()), link.clone()] {
        let refused = Journal::open(&path, Options::default()).await.unwrap_err();
        assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}");
        let told = refused.to_string();
        assert!(told.contains(ground.path().canonicalize().unwrap().to_str().unwrap()), "{told}");
        assert!(told.contains("Stop the other one"), "{told}");
    }
    // The refused openings have not disturbed the one that holds it.
    history(&journal, 2).await;
    journal.verify(None).await.unwrap();
    journal.close().await.unwrap();
    let journal = Journal::open(&link, Options::default()).await.unwrap();
    assert_eq!(journal.head().seq, 2);
    assert_eq!(journal.path(), ground.path().canonicalize().unwrap());
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let ground = SqliteFile::new().await;
    let journal = ground.open().await;
    let open_in_another_process = || {
        let mut other = Command::new(std::env::current_exe().unwrap());
        other.args(["--exact", "files::the_second_process", "--ignored", "--nocapture"]);
        let output = other.env("JOURNAL_TO_OPEN", ground.path()).output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (opened, told) = open_in_another_process();
    assert!(!opened && told.contains("is in use: only one process"), "{told}");
    journal.close().await.unwrap();
    let (opened, told) = open_in_another_process();
    assert!(opened && told.contains("1 passed"), "{told}");
}

#[tokio::test]
#[ignore = "the other half of `a_second_process_is_refused`"]
async fn the_second_process() -> Result<(), String> {
    let path = std::env::var_os("JOURNAL_TO_OPEN").ok_or("no path was given")?;
    let opened = Journal::open(Path::new(&path), Options::default()).await;
    opened.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn dropping_a_journal_gives_it_up() {
    let ground = SqliteFile::new().await;
    drop(ground.open().await);
    let journal = ground.open().await;
    commit(&journal, vec![entry(1)]).await;
}

#[tokio::test]
async fn what_is_absent_is_not_always_created() {
    let ground = SqliteFile::new().await;
    let existing = Options { absent: Absent::Refuse, ..Options::default() };
    let refused = Journal::open(&ground.path(), existing).await.unwrap_err();
    assert!(matches!(refused, OpenError::Absent { .. }), "{refused:?}");
    assert_eq!(ground.names(), [""; 0]);

    fs::write(ground.path(), "").unwrap();
    let refused = Journal::open(&ground.path(), existing).await.unwrap_err();
    assert!(matches!(refused, OpenError::NotAJournal { found: "it is empty", .. }), "{refused:?}");

    ground.open().await.close().await.unwrap();
    Journal::open(&ground.path(), existing).await.unwrap();
}
