//! Copies made while the journal is in use.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use journal::{BackupError, Head, Journal, NewEntry, Options};

use crate::{
    ground::{Ground, SqliteFile},
    make::{commit, document, entry, history, put, records},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_while_others_write() {
    let ground = SqliteFile::new().await;
    let journal = Arc::new(ground.open().await);
    // Enough that the copy takes a while.
    let changes = (0..20_000).map(|n| put(&format!("{n:06}"), &"x".repeat(200))).collect();
    let documents = vec![document("d", Some(b"text"))];
    let before = commit(&journal, vec![NewEntry { changes, documents, ..entry(1) }]).await[0];

    let enough = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (journal, enough) = (Arc::clone(&journal), Arc::clone(&enough));
        async move {
            while !enough.load(Ordering::Relaxed) {
                let n = journal.head().seq + 1;
                commit(&journal, vec![NewEntry { changes: vec![put("000000", &n.to_string())], ..entry(n) }])
                    .await;
            }
        }
    });
    let to = ground.beside("copy.db");
    let copied = journal.backup(&to).await.unwrap();
    enough.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    assert!(before.seq <= copied.seq && copied.seq < journal.head().seq, "{copied:?}");
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    let names = ["copy.db", "journal.db", "journal.db-shm", "journal.db-wal", "journal.db.lock"];
    assert_eq!(ground.names(), names, "the copy is one file");

    let copy = Journal::open(&to, Options::default()).await.unwrap();
    assert_eq!(copy.head(), copied);
    assert_eq!(copy.verify(Some(before)).await.unwrap(), copied);
    assert_eq!(copy.document("config", "d").await.unwrap(), Some(b"text".to_vec()));
    let (head, left) = records(&copy).await;
    assert_eq!((head, left.len()), (copied, 20_000));
    let last = if copied == before { "x".repeat(200) } else { copied.seq.to_string() };
    assert_eq!(left[0], format!("000000@{}={last}", copied.seq));
    journal.verify(Some(copied)).await.unwrap();
}

#[tokio::test]
async fn an_empty_journal_is_copied_too() {
    let ground = SqliteFile::new().await;
    let journal = ground.open().await;
    let to = ground.beside("copy.db");
    assert_eq!(journal.backup(&to).await.unwrap(), Head::EMPTY);
    Journal::open(&to, Options::default()).await.unwrap();
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let ground = SqliteFile::new().await;
    let journal = ground.open().await;
    history(&journal, 2).await;
    let to = ground.beside("copy.db");
    fs::write(&to, "precious").unwrap();
    for taken in [&to, &ground.path()] {
        let refused = journal.backup(taken).await.unwrap_err();
        assert!(matches!(&refused, BackupError::Exists { path } if path == taken), "{refused:?}");
    }
    assert_eq!(fs::read_to_string(&to).unwrap(), "precious");
    journal.verify(None).await.unwrap();
}

#[tokio::test]
async fn a_copy_that_fails_leaves_nothing() {
    let ground = SqliteFile::new().await;
    let journal = ground.open().await;
    history(&journal, 2).await;
    let before = ground.names();

    let failed = journal.backup(&ground.beside("missing/copy.db")).await.unwrap_err();
    assert!(matches!(failed, BackupError::File { attempt: "create", .. }), "{failed:?}");

    // Nobody waits for it any more.
    {
        let to = ground.beside("copy.db");
        let mut copying = pin!(journal.backup(&to));
        while !to.exists() {
            assert!(copying.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    }
    journal.backup(&ground.beside("copy.db")).await.unwrap();
    // The database goes on with the other for a moment, with a file of its own beside the deleted one.
    let copied = [vec!["copy.db".to_owned()], before].concat();
    let cleared = async {
        while ground.names() != copied {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), cleared).await.unwrap();
}

#[tokio::test]
async fn odd_names() {
    let ground = SqliteFile::new().await;
    let journal = ground.open().await;
    let head = history(&journal, 2).await;
    for name in ["a?mode=ro#b", "100%25", "spaced é 🤖", "file:x", "quote'\""] {
        assert_eq!(journal.backup(&ground.beside(name)).await.unwrap(), head);
        assert!(ground.names().contains(&name.to_owned()), "{name}");
        let copy = Journal::open(&ground.beside(name), Options::default()).await.unwrap();
        assert_eq!(copy.head(), head);
    }
}
