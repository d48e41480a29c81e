//! Taking turns.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use journal::NewEntry;

use crate::{
    ground::Ground,
    make::{commit, document, entry, history, put, records},
};

pub(crate) async fn a_dropped_turn_writes_nothing(ground: impl Ground) {
    let journal = ground.open().await;
    let head = history(&journal, 2).await;
    drop(journal.begin().await.unwrap());
    drop(journal.begin().await.unwrap().commit(vec![entry(3)]));
    assert_eq!(journal.head(), head);
    assert_eq!(journal.entries(0, 10).await.unwrap().len(), 2);
    assert_eq!(commit(&journal, vec![entry(3)]).await[0].seq, 3);
    journal.verify(None).await.unwrap();
}

pub(crate) async fn everybody_gets_a_turn(ground: impl Ground) {
    const CALLERS: u64 = 8;
    const COMMITS: u64 = 20;
    let journal = Arc::new(ground.open().await);
    let callers = (0..CALLERS).map(|caller| {
        let journal = Arc::clone(&journal);
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            for n in 0..COMMITS {
                let changes = vec![put(&format!("{caller}-{n}"), "{}")];
                let turn = journal.begin().await.unwrap();
                let next = turn.head().seq + 1;
                let heads = turn.commit(vec![NewEntry { changes, ..entry(n) }]).await.unwrap();
                assert_eq!(heads[0].seq, next);
                numbers.push(next);
            }
            numbers
        })
    });
    let mut numbers = BTreeSet::new();
    for caller in callers.collect::<Vec<_>>() {
        numbers.extend(caller.await.unwrap());
    }
    assert!(numbers.into_iter().eq(1..=CALLERS * COMMITS));
    assert_eq!(records(&journal).await.1.len(), 160);
    assert_eq!(journal.verify(None).await.unwrap(), journal.head());
}

pub(crate) async fn a_turn_keeps_the_others_waiting(ground: impl Ground) {
    let journal = Arc::new(ground.open().await);
    let turn = journal.begin().await.unwrap();
    let other = Arc::clone(&journal);
    let waiting =
        tokio::spawn(async move { other.begin().await.unwrap().commit(vec![entry(2)]).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    assert_eq!(turn.commit(vec![entry(1)]).await.unwrap()[0].seq, 1);
    assert_eq!(waiting.await.unwrap()[0].seq, 2);
    assert_eq!(journal.entries(0, 10).await.unwrap()[1].body, entry(2).body);
}

pub(crate) async fn reopening(ground: impl Ground) {
    let journal = ground.open().await;
    history(&journal, 3).await;
    let documents = vec![document("a", Some(b"text"))];
    let head = commit(&journal, vec![NewEntry { documents, ..entry(4) }]).await[0];
    let (entries, left) = (journal.entries(0, 10).await.unwrap(), records(&journal).await);
    journal.set_note("restored", Some("yes")).await.unwrap();
    journal.close().await.unwrap();

    let journal = ground.open().await;
    assert_eq!(journal.head(), head);
    assert_eq!(journal.entries(0, 10).await.unwrap(), entries);
    assert_eq!(records(&journal).await, left);
    assert_eq!(journal.document("config", "a").await.unwrap(), Some(b"text".to_vec()));
    assert_eq!(journal.note("restored").await.unwrap().as_deref(), Some("yes"));
    assert_eq!(commit(&journal, vec![entry(5)]).await[0].seq, 5);
    journal.verify(Some(head)).await.unwrap();
}
