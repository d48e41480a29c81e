//! The index from subjects to entries, which stands beside the chain.

use journal::{Between, Direction, Journal};

use crate::{ground::Ground, make::history};

const ALL: Between = Between { after: 0, before: u64::MAX };

fn trace(subject: &str, seq: u64) -> (String, u64) {
    (subject.to_owned(), seq)
}

async fn all(journal: &Journal, subject: &str) -> Vec<u64> {
    journal.trace(subject, ALL, 10_000, Direction::Forward).await.unwrap()
}

pub(crate) async fn subjects_lead_to_entries(ground: impl Ground) {
    let journal = ground.open().await;
    assert_eq!(journal.traced().await.unwrap(), 0);
    assert_eq!(all(&journal, "a").await, []);
    journal.add_traces(&[trace("a", 3), trace("b", 2), trace("a", 1), trace("a", 2)], 3).await.unwrap();
    journal.add_traces(&[], 4).await.unwrap();
    journal.add_traces(&[trace("a", 5)], 5).await.unwrap();
    assert_eq!(journal.traced().await.unwrap(), 5);
    assert_eq!(all(&journal, "a").await, [1, 2, 3, 5]);
    assert_eq!(all(&journal, "b").await, [2]);
    let between = Between { after: 1, before: 5 };
    assert_eq!(journal.trace("a", between, 9, Direction::Forward).await.unwrap(), [2, 3]);
    assert_eq!(journal.trace("a", ALL, 2, Direction::Forward).await.unwrap(), [1, 2]);
    assert_eq!(journal.trace("a", ALL, 2, Direction::Backward).await.unwrap(), [5, 3]);
    let many: Vec<_> = (6..2_000).map(|seq| trace("many", seq)).collect();
    journal.add_traces(&many, 1_999).await.unwrap();
    assert!(all(&journal, "many").await.into_iter().eq(6..2_000));
}

pub(crate) async fn a_batch_given_twice(ground: impl Ground) {
    let journal = ground.open().await;
    for _ in 0..2 {
        journal.add_traces(&[trace("a", 1), trace("a", 2), trace("a", 2)], 2).await.unwrap();
    }
    assert_eq!(all(&journal, "a").await, [1, 2]);
    journal.close().await.unwrap();
    let journal = ground.open().await;
    assert_eq!((journal.traced().await.unwrap(), all(&journal, "a").await), (2, vec![1, 2]));
}

pub(crate) async fn what_is_ahead_is_forgotten(ground: impl Ground) {
    let journal = ground.open().await;
    history(&journal, 2).await;
    let ahead: Vec<_> = (1..=4).map(|seq| trace("a", seq)).collect();
    journal.add_traces(&ahead, 4).await.unwrap();
    journal.forget_traces_after(2).await.unwrap();
    assert_eq!((journal.traced().await.unwrap(), all(&journal, "a").await), (2, vec![1, 2]));
    assert_eq!(journal.verify(None).await.unwrap(), journal.head());
}
