//! What entries leave behind.

use journal::{Change, NewEntry, StoredRecord};
use tokio::{runtime::Handle, task};

use crate::{
    ground::Ground,
    make::{commit, delete, document, entry, history, put, records},
};

pub(crate) async fn the_last_word_counts(ground: impl Ground) {
    let journal = ground.open().await;
    let before = ["kept", "changed", "deleted", "deleted-and-put", "changed-and-deleted"];
    let changes = before.iter().map(|id| put(id, "0")).collect();
    commit(&journal, vec![NewEntry { changes, ..entry(1) }]).await;

    let first = vec![put("changed", "1"), put("new", "1"), delete("deleted"), delete("deleted-and-put")];
    let second = vec![put("changed", "2"), put("deleted-and-put", "2"), put("changed-and-deleted", "2")];
    let third = vec![put("new", "3"), put("new", "4"), delete("changed-and-deleted"), delete("never-there")];
    let entries = (2..).zip([first, second, third]).map(|(n, changes)| NewEntry { changes, ..entry(n) });
    commit(&journal, entries.collect()).await;

    let (head, left) = records(&journal).await;
    assert_eq!(left, ["changed@3=2", "deleted-and-put@3=2", "kept@1=0", "new@4=4"]);
    assert_eq!(head, journal.head());
    journal.verify(None).await.unwrap();
}

/// More rows than a database takes in one statement.
pub(crate) async fn a_large_batch(ground: impl Ground) {
    const ENTRIES: u64 = 20_000;
    let journal = ground.open().await;
    let id = |n| format!("{n:06}");
    let puts = (1..=ENTRIES).map(|n| NewEntry { changes: vec![put(&id(n), "{}")], ..entry(n) });
    let heads = commit(&journal, puts.collect()).await;
    assert_eq!(heads.last(), Some(&journal.head()));
    assert_eq!(journal.head().seq, ENTRIES);

    let changes = (1..=ENTRIES).filter(|n| n % 3 != 0).map(|n| delete(&id(n))).collect();
    commit(&journal, vec![NewEntry { changes, ..entry(ENTRIES + 1) }]).await;
    let left = (1..=ENTRIES).filter(|n| n % 3 == 0).map(|n| format!("{}@{n}={{}}", id(n)));
    assert!(records(&journal).await.1.into_iter().eq(left));
    journal.verify(None).await.unwrap();
}

pub(crate) async fn documents(ground: impl Ground) {
    let journal = ground.open().await;
    let large: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let first = vec![document("a", Some(b"one")), document("b", Some(&[])), document("c", Some(&large))];
    commit(&journal, vec![NewEntry { documents: first, ..entry(1) }]).await;
    let read = async |id| journal.document("config", id).await.unwrap();
    assert_eq!(read("a").await, Some(b"one".to_vec()));
    assert_eq!(read("b").await, Some(vec![]));
    assert_eq!(read("c").await, Some(large));
    assert_eq!(read("d").await, None);
    assert_eq!(journal.document("other", "a").await.unwrap(), None);

    let second = vec![document("a", Some(b"two")), document("a", Some(b"three")), document("c", None)];
    let third = vec![document("b", None), document("b", Some(b"back"))];
    let entries = vec![NewEntry { documents: second, ..entry(2) }, NewEntry { documents: third, ..entry(3) }];
    commit(&journal, entries).await;
    assert_eq!(read("a").await, Some(b"three".to_vec()));
    assert_eq!(read("b").await, Some(b"back".to_vec()));
    assert_eq!(read("c").await, None);
    journal.verify(None).await.unwrap();
}

pub(crate) async fn a_range_of_documents(ground: impl Ground) {
    let journal = ground.open().await;
    let ids = ["a/1", "a/2", "a/3", "a/10", "b/1", "A/2"];
    let documents = ids.iter().map(|id| document(id, Some(id.as_bytes()))).collect();
    commit(&journal, vec![NewEntry { documents, ..entry(1) }]).await;
    let read = async |first, last, limit, newest_first| {
        let found = journal.documents("config", first, last, limit, newest_first).await.unwrap();
        found.into_iter().map(|(id, value)| {
            assert_eq!(value, id.as_bytes());
            id
        })
    };
    let is = |found: Vec<String>, expected: &[&str]| assert_eq!(found, expected);
    is(read("a/1", "a/9", 100, false).await.collect(), &["a/1", "a/10", "a/2", "a/3"]);
    is(read("a/1", "a/9", 100, true).await.collect(), &["a/3", "a/2", "a/10", "a/1"]);
    is(read("a/1", "a/2", 2, true).await.collect(), &["a/2", "a/10"]);
    is(read("a/1", "a/1", 2, true).await.collect(), &["a/1"]);
    is(read("a/2", "a/1", 2, false).await.collect(), &[]);
    is(read("a/1", "a/2", 0, false).await.collect(), &[]);
    assert_eq!(journal.documents("other", "a", "z", 100, false).await.unwrap(), []);
}

pub(crate) async fn odd_names_and_values(ground: impl Ground) {
    let journal = ground.open().await;
    let odd = ["", "%_?$1", "'; DROP TABLE record; --", "a\"b", "né 🤖"];
    let changes = odd.iter().map(|odd| put(odd, odd)).collect();
    commit(&journal, vec![NewEntry { changes, ..entry(1) }]).await;
    let mut written = odd.map(|odd| format!("{odd}@1={odd}"));
    written.sort_unstable();
    assert_eq!(records(&journal).await.1, written);

    let changes = odd.iter().map(|odd| delete(odd)).collect();
    commit(&journal, vec![NewEntry { changes, ..entry(2) }]).await;
    assert_eq!(records(&journal).await.1, Vec::<String>::new());
}

pub(crate) async fn streaming_all(ground: impl Ground) {
    let journal = ground.open().await;
    let names = [("b", "1"), ("a", "2"), ("a", "10"), ("b", "0")];
    let change =
        |(kind, id): (&'static str, &str)| Change { kind, id: id.to_owned(), value: Some("{}".to_owned()) };
    commit(&journal, vec![NewEntry { changes: names.map(change).to_vec(), ..entry(1) }]).await;
    let mut seen = Vec::new();
    let head = journal.for_each_record(|record| {
        seen.push(record);
        Ok::<(), journal::Error>(())
    });
    assert_eq!(head.await.unwrap(), journal.head());
    let record = |(kind, id): (&str, &str)| StoredRecord {
        kind: kind.to_owned(),
        id: id.to_owned(),
        seq: 1,
        value: "{}".to_owned(),
    };
    seen.sort_by(|a, b| (&a.kind, &a.id).cmp(&(&b.kind, &b.id)));
    assert_eq!(seen, [("a", "10"), ("a", "2"), ("b", "0"), ("b", "1")].map(record));
}

pub(crate) async fn streaming_stops_at_an_error(ground: impl Ground) {
    #[derive(Debug)]
    struct Enough;
    impl From<journal::Error> for Enough {
        fn from(error: journal::Error) -> Enough {
            panic!("{error}")
        }
    }

    let journal = ground.open().await;
    history(&journal, 5).await;
    // More often than there are connections to read with: each must have been given back.
    for _ in 0..20 {
        let mut seen = 0;
        let outcome = journal.for_each_record(|_| {
            seen += 1;
            if seen == 2 { Err(Enough) } else { Ok(()) }
        });
        assert!(matches!(outcome.await, Err(Enough)));
        assert_eq!(seen, 2);
    }
    assert_eq!(records(&journal).await.1.len(), 5);
}

/// A commit made while records are read does not show in them.
pub(crate) async fn streaming_shows_one_moment(ground: impl Ground) {
    // More than may be on their way from the database when the first is looked at.
    const MANY: u64 = 5_000;
    let journal = ground.open().await;
    let all = |value| (0..MANY).map(|n| put(&format!("{n:06}"), value)).collect::<Vec<_>>();
    let before = commit(&journal, vec![NewEntry { changes: all("old"), ..entry(1) }]).await[0];
    let runtime = Handle::current();
    let mut values = Vec::new();
    let read = journal.for_each_record(|record| {
        if values.is_empty() {
            let changes = [all("new"), vec![put("more", "new")]].concat();
            let meanwhile = commit(&journal, vec![NewEntry { changes, ..entry(2) }]);
            task::block_in_place(|| runtime.block_on(meanwhile));
        }
        values.push(record.value);
        Ok::<(), journal::Error>(())
    });
    assert_eq!(read.await.unwrap(), before);
    assert_eq!(values.len(), 5_000);
    assert!(values.iter().all(|value| value == "old"));
    let (head, left) = records(&journal).await;
    assert_eq!((head.seq, left.len()), (2, 5_001));
    assert!(left.iter().all(|record| record.ends_with("@2=new")));
}
