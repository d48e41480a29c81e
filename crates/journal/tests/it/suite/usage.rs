//! Counters, last times and notes, which stand beside the chain.

use journal::{CommitError, Error, Head, Journal, Latest, Tally};

use crate::ground::Ground;

fn tally(subject: &str, day: i32, label: &str, count: u64) -> Tally {
    Tally { subject: subject.to_owned(), day, label: label.to_owned(), count }
}

fn latest(subject: &str, at: i64, detail: &str) -> Latest {
    Latest { subject: subject.to_owned(), at, detail: detail.to_owned() }
}

async fn all_latest(journal: &Journal) -> Vec<Latest> {
    let mut all = Vec::new();
    let read = journal.for_each_latest(|latest| {
        all.push(latest);
        Ok::<(), Error>(())
    });
    read.await.unwrap();
    all
}

pub(crate) async fn counts_add_up(ground: impl Ground) {
    let journal = ground.open().await;
    journal.add_tallies(&[], &[]).await.unwrap();
    let first = [
        tally("k", 7, "read", 2),
        tally("k", 7, "write", 1),
        tally("k", 7, "read", 3),
        tally("l", 7, "read", 9),
    ];
    journal.add_tallies(&first, &[]).await.unwrap();
    journal.add_tallies(&[tally("k", 7, "read", 10), tally("k", 8, "read", 1)], &[]).await.unwrap();
    let expected = [tally("k", 7, "read", 15), tally("k", 7, "write", 1), tally("k", 8, "read", 1)];
    assert_eq!(journal.tallies("k", 0, 100).await.unwrap(), expected);
    assert_eq!(journal.tallies("l", 0, 100).await.unwrap(), [tally("l", 7, "read", 9)]);
    assert_eq!(journal.tallies("m", 0, 100).await.unwrap(), []);

    let many: Vec<_> = (0..1000).map(|day| tally("many", day, "read", 1)).collect();
    for _ in 0..3 {
        journal.add_tallies(&many, &[]).await.unwrap();
    }
    let sums = journal.tallies("many", i32::MIN, i32::MAX).await.unwrap();
    assert!(sums.into_iter().eq((0..1000).map(|day| tally("many", day, "read", 3))));
    assert_eq!(journal.head(), Head::EMPTY);
}

pub(crate) async fn days_are_a_range(ground: impl Ground) {
    let journal = ground.open().await;
    let days: Vec<_> = [-1, 0, 1, 2].map(|day| tally("k", day, "read", 1)).to_vec();
    journal.add_tallies(&days, &[]).await.unwrap();
    assert_eq!(journal.tallies("k", 0, 1).await.unwrap(), days[1..3]);
    assert_eq!(journal.tallies("k", -1, -1).await.unwrap(), days[..1]);
    assert_eq!(journal.tallies("k", 1, 0).await.unwrap(), []);
}

pub(crate) async fn the_newest_time_stays(ground: impl Ground) {
    let journal = ground.open().await;
    journal
        .add_tallies(&[], &[latest("b", 5, "five"), latest("a", 3, "three"), latest("b", 4, "four")])
        .await
        .unwrap();
    journal.add_tallies(&[], &[latest("a", 2, "two"), latest("b", 5, "five again")]).await.unwrap();
    assert_eq!(all_latest(&journal).await, [latest("a", 3, "three"), latest("b", 5, "five again")]);
    journal.add_tallies(&[], &[latest("a", 4, "first"), latest("a", 4, "second")]).await.unwrap();
    assert_eq!(all_latest(&journal).await[0], latest("a", 4, "second"));
}

pub(crate) async fn old_days_are_forgotten(ground: impl Ground) {
    let journal = ground.open().await;
    let counts: Vec<_> =
        (0..10).flat_map(|day| [tally("k", day, "read", 1), tally("l", day, "read", 1)]).collect();
    journal.add_tallies(&counts, &[latest("k", 1, "")]).await.unwrap();
    assert_eq!(journal.forget_tallies(0).await.unwrap(), 0);
    assert_eq!(journal.forget_tallies(7).await.unwrap(), 14);
    assert_eq!(journal.forget_tallies(7).await.unwrap(), 0);
    let left = journal.tallies("k", 0, 100).await.unwrap();
    assert_eq!(left, [7, 8, 9].map(|day| tally("k", day, "read", 1)));
    assert_eq!(all_latest(&journal).await.len(), 1);
}

pub(crate) async fn a_subject_is_forgotten(ground: impl Ground) {
    let journal = ground.open().await;
    let counts = [tally("k", 1, "read", 1), tally("k", 2, "read", 1), tally("l", 1, "read", 1)];
    journal.add_tallies(&counts, &[latest("k", 1, ""), latest("l", 1, "")]).await.unwrap();
    journal.forget_subject("k").await.unwrap();
    assert_eq!(journal.tallies("k", 0, 100).await.unwrap(), []);
    assert_eq!(journal.tallies("l", 0, 100).await.unwrap().len(), 1);
    assert_eq!(all_latest(&journal).await, [latest("l", 1, "")]);
    assert_eq!(ground.count("SELECT COUNT(*) FROM tally").await, 1);
}

/// Refused whole: the counts that are in range are not written either.
pub(crate) async fn a_count_out_of_range(ground: impl Ground) {
    let journal = ground.open().await;
    let counts = [tally("k", 1, "read", 1), tally("k", 2, "read", u64::MAX)];
    let outcome = journal.add_tallies(&counts, &[]).await;
    assert!(
        matches!(outcome, Err(CommitError::Refused(Error::OutOfRange { column: "count", .. }))),
        "{outcome:?}"
    );
    assert_eq!(journal.tallies("k", 0, 100).await.unwrap(), []);
}

pub(crate) async fn notes(ground: impl Ground) {
    let journal = ground.open().await;
    assert_eq!(journal.note("restored").await.unwrap(), None);
    for value in [Some("waiting"), Some(""), None, None] {
        journal.set_note("restored", value).await.unwrap();
        assert_eq!(journal.note("restored").await.unwrap().as_deref(), value);
    }
    journal.set_note("a", Some("1")).await.unwrap();
    journal.set_note("restored", None).await.unwrap();
    assert_eq!(journal.note("a").await.unwrap().as_deref(), Some("1"));
    assert_eq!(journal.head(), Head::EMPTY);
}
