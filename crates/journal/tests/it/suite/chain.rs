//! Entries and how they hang together.

use aws_lc_rs::digest;
use journal::{Hash, Head, NewEntry};

use crate::{
    ground::Ground,
    make::{commit, entry, history},
};

pub(crate) async fn an_empty_journal(ground: impl Ground) {
    let journal = ground.open().await;
    assert_eq!(journal.head(), Head { seq: 0, hash: Hash::ZERO });
    assert_eq!(journal.head(), Head::EMPTY);
    assert_eq!(journal.entries(0, 10).await.unwrap(), []);
    assert_eq!(journal.begin().await.unwrap().head(), Head::EMPTY);
}

/// The formula is written out here once more, because journals that exist depend on it.
pub(crate) async fn entries_follow_from_one_another(ground: impl Ground) {
    let journal = ground.open().await;
    let mut heads = commit(&journal, vec![entry(1)]).await;
    heads.extend(commit(&journal, vec![entry(2), entry(3)]).await);

    let stored = journal.entries(0, 10).await.unwrap();
    let mut previous = [0; 32].to_vec();
    for (seq, (stored, head)) in (1..).zip(stored.iter().zip(&heads)) {
        let NewEntry { at, body, .. } = entry(seq);
        let bytes = [previous.as_slice(), &seq.to_be_bytes(), &at.to_be_bytes(), body.as_bytes()].concat();
        previous = digest::digest(&digest::SHA256, &bytes).as_ref().to_vec();
        assert_eq!((stored.seq, stored.at, &stored.body), (seq, at, &body));
        assert_eq!(stored.hash.as_bytes().as_slice(), previous);
        assert_eq!(*head, Head { seq, hash: stored.hash });
    }
    assert_eq!((stored.len(), heads.len()), (3, 3));
    assert_eq!(journal.head(), heads[2]);
}

pub(crate) async fn a_commit_of_nothing(ground: impl Ground) {
    let journal = ground.open().await;
    let head = history(&journal, 1).await;
    assert_eq!(commit(&journal, vec![]).await, []);
    assert_eq!(journal.head(), head);
    assert_eq!(journal.entries(0, 10).await.unwrap().len(), 1);
}

pub(crate) async fn bodies_are_kept_as_they_are(ground: impl Ground) {
    let journal = ground.open().await;
    let long = format!("{{\"long\":\"{}\"}}", "x".repeat(1_000_000));
    let bodies = ["", "{ \"spaced\" : 1.0e2 }\n", "{\"é\":\"\\u0000 '; DROP TABLE journal; -- 🤖\"}", &long];
    let entries = bodies.iter().map(|body| NewEntry { body: (*body).to_owned(), ..entry(0) }).collect();
    commit(&journal, entries).await;
    let stored = journal.entries(0, 10).await.unwrap();
    assert!(stored.iter().map(|entry| entry.body.as_str()).eq(bodies));
    journal.verify(None).await.unwrap();
}

pub(crate) async fn pages_of_entries(ground: impl Ground) {
    let journal = ground.open().await;
    history(&journal, 5).await;
    let page = async |after, limit| {
        let entries = journal.entries(after, limit).await.unwrap();
        entries.into_iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    assert_eq!(page(0, 2).await, [1, 2]);
    assert_eq!(page(2, 2).await, [3, 4]);
    assert_eq!(page(4, 2).await, [5]);
    assert_eq!(page(5, 2).await, []);
    assert_eq!(page(0, 0).await, []);
    assert_eq!(page(0, u32::MAX).await, [1, 2, 3, 4, 5]);
    assert!(matches!(journal.entries(u64::MAX, 1).await, Err(journal::Error::OutOfRange { .. })));
}
