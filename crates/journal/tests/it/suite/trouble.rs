//! Commits that fail, that nobody waited for, and that somebody else made.

use std::{
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use aws_lc_rs::digest;
use journal::{CommitError, Error, Head, Journal, NewEntry};
use tokio::time::timeout;

use crate::{
    ground::Ground,
    make::{commit, entry, history, put, records},
};

/// Appends an entry behind the journal's back, following from `head`.
async fn append_by_another_hand(ground: &impl Ground, head: Head) {
    let (seq, at, body) = (head.seq + 1, 5_i64, "{\"by\":\"another hand\"}");
    let bytes =
        [head.hash.as_bytes(), seq.to_be_bytes().as_slice(), &at.to_be_bytes(), body.as_bytes()].concat();
    let hash: String =
        digest::digest(&digest::SHA256, &bytes).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    ground
        .tamper(&format!(
            "INSERT INTO journal (seq, at, hash, entry) VALUES ({seq}, {at}, x'{hash}', '{body}')"
        ))
        .await;
}

async fn refused(journal: &Journal, entries: Vec<NewEntry>) {
    let outcome = journal.begin().await.unwrap().commit(entries).await;
    assert!(matches!(outcome, Err(CommitError::Refused(Error::Database { .. }))), "{outcome:?}");
}

/// The second statement of the commit fails: neither its first entry nor the records stay.
pub(crate) async fn a_refused_commit_writes_nothing(ground: impl Ground) {
    let journal = ground.open().await;
    let head = history(&journal, 2).await;
    ground
        .tamper(
            "INSERT INTO journal (seq, at, hash, entry) SELECT 4, at, hash, entry FROM journal WHERE seq = 1",
        )
        .await;
    let entries =
        vec![NewEntry { changes: vec![put("r1", "lost"), put("new", "lost")], ..entry(3) }, entry(4)];
    refused(&journal, entries.clone()).await;
    assert_eq!(journal.head(), head);

    ground.tamper("DELETE FROM journal WHERE seq = 4").await;
    assert_eq!(
        records(&journal).await,
        (head, vec!["r1@1={\"n\":1}".to_owned(), "r2@2={\"n\":2}".to_owned()])
    );
    assert_eq!(commit(&journal, entries).await[1].seq, 4);
    assert_eq!(records(&journal).await.1, ["new@3=lost", "r1@3=lost", "r2@2={\"n\":2}"]);
    journal.verify(Some(head)).await.unwrap();
}

pub(crate) async fn entries_of_another_hand_are_missed(ground: impl Ground) {
    for known in [0, 2] {
        let ground = &ground;
        let journal = ground.open().await;
        let head = history(&journal, known).await;
        append_by_another_hand(ground, head).await;
        refused(&journal, vec![entry(9)]).await;

        let turn = journal.begin().await.unwrap();
        assert_eq!(turn.missed().len(), 1);
        assert_eq!(turn.missed()[0].body, "{\"by\":\"another hand\"}");
        assert_eq!(turn.head().seq, head.seq + 1);
        assert_eq!(turn.commit(vec![entry(9)]).await.unwrap()[0].seq, head.seq + 2);
        assert_eq!(journal.begin().await.unwrap().missed(), []);
        journal.verify(Some(head)).await.unwrap();
        journal.close().await.unwrap();
        ground.tamper("DELETE FROM journal").await;
    }
}

pub(crate) async fn another_history_is_refused(ground: impl Ground) {
    let journal = ground.open().await;
    let head = history(&journal, 3).await;
    append_by_another_hand(&ground, Head { seq: 3, ..Head::EMPTY }).await;
    refused(&journal, vec![entry(4)]).await;
    // As often as it is asked.
    for _ in 0..2 {
        assert!(matches!(journal.begin().await, Err(Error::Parted { seq: 4 })));
    }
    ground.tamper("DELETE FROM journal WHERE seq >= 3").await;
    assert!(matches!(journal.begin().await, Err(Error::Parted { seq: 3 })));
    assert_eq!(journal.head(), head);
}

/// The commit happens, but whoever asked for it has gone before the answer.
pub(crate) async fn an_abandoned_commit_is_missed_once(ground: impl Ground) {
    let journal = ground.open().await;
    history(&journal, 2).await;
    {
        let entries = vec![NewEntry { changes: vec![put("r1", "new")], ..entry(3) }, entry(4)];
        let mut committing = pin!(journal.begin().await.unwrap().commit(entries));
        let started = committing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(started.is_pending());
        let happened = async {
            while journal.entries(2, 10).await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), happened).await.unwrap();
    }
    assert_eq!(journal.head().seq, 2);

    let turn = journal.begin().await.unwrap();
    assert_eq!(turn.missed().iter().map(|entry| entry.seq).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(turn.missed()[1].body, entry(4).body);
    assert_eq!(turn.head().seq, 4);
    drop(turn);
    assert_eq!(commit(&journal, vec![entry(5)]).await[0].seq, 5);
    assert_eq!(records(&journal).await.1[0], "r1@3=new");
    assert_eq!(journal.note("journal.settled").await.unwrap().as_deref(), Some("1"));
    journal.verify(None).await.unwrap();
}

/// Commits, and the turns that settle what became of them, are dropped at all sorts of moments; in the end every entry
/// that happened has been told once.
pub(crate) async fn abandoned_commits_never_break_the_chain(ground: impl Ground) {
    let journal = ground.open().await;
    let (mut told, mut happened) = (0, 0);
    for round in 0..100 {
        let Ok(turn) = timeout(Duration::from_micros(97 * (round % 13)), journal.begin()).await else {
            continue;
        };
        let turn = turn.unwrap();
        told += turn.missed().len();
        let committing = turn.commit(vec![NewEntry { changes: vec![put("r", "{}")], ..entry(round) }]);
        if let Ok(heads) = timeout(Duration::from_micros(10 * round), committing).await {
            happened += heads.unwrap().len();
        }
        if round % 7 == 0 {
            // Another kind of write is the first to come after.
            journal.set_note("round", Some("x")).await.unwrap();
        }
    }
    let turn = journal.begin().await.unwrap();
    told += turn.missed().len();
    let last = turn.commit(vec![entry(0)]).await.unwrap()[0];
    assert_eq!(usize::try_from(last.seq).unwrap(), told + happened + 1);
    assert_eq!(journal.verify(None).await.unwrap(), last);
}
