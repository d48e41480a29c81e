//! Short ways to entries, and to what a journal holds.

use journal::{Change, DocumentChange, Head, Journal, NewEntry, StoredRecord};

/// An entry whose time and body tell its number.
pub(crate) fn entry(number: u64) -> NewEntry {
    let at = 1_700_000_000_000_000 + i64::try_from(number).unwrap();
    NewEntry { at, body: format!(r#"{{"v":1,"n":{number}}}"#), changes: vec![], documents: vec![] }
}

pub(crate) fn put(id: &str, value: &str) -> Change {
    Change { kind: "thing", id: id.to_owned(), value: Some(value.to_owned()) }
}

pub(crate) fn delete(id: &str) -> Change {
    Change { kind: "thing", id: id.to_owned(), value: None }
}

pub(crate) fn document(id: &str, value: Option<&[u8]>) -> DocumentChange {
    DocumentChange { kind: "config", id: id.to_owned(), value: value.map(<[u8]>::to_vec) }
}

/// Commits the entries in one turn that has missed nothing.
pub(crate) async fn commit(journal: &Journal, entries: Vec<NewEntry>) -> Vec<Head> {
    let turn = journal.begin().await.unwrap();
    assert_eq!(turn.missed(), []);
    turn.commit(entries).await.unwrap()
}

/// Commits `count` entries one by one, each with a record of its own; returns the head after the last.
pub(crate) async fn history(journal: &Journal, count: u64) -> Head {
    for number in 1..=count {
        let record = put(&format!("r{number}"), &format!("{{\"n\":{number}}}"));
        commit(journal, vec![NewEntry { changes: vec![record], ..entry(number) }]).await;
    }
    journal.head()
}

/// All records, as `id@seq=value` and sorted, and the head they belong to.
pub(crate) async fn records(journal: &Journal) -> (Head, Vec<String>) {
    let mut records = Vec::new();
    let head = journal
        .for_each_record(|StoredRecord { kind: _, id, seq, value }| {
            records.push(format!("{id}@{seq}={value}"));
            Ok::<(), journal::Error>(())
        })
        .await;
    records.sort_unstable();
    (head.unwrap(), records)
}
