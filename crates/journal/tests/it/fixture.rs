//! Databases that earlier versions have left behind. They are files in the repository, made once and never again: this
//! is how a change to the tables or to the chain that would orphan the journals out there is noticed.

use std::fs;

use journal::{Between, Direction, Journal, Latest, Line, LinesFrom, NewEntry, Options, Tally};

use crate::{
    ground::{Ground, SqliteFile},
    make::{commit, delete, document, entry, put, records},
};

const SCHEMA_1: &[u8] = include_bytes!("../fixtures/schema-1.db");
/// Hash of the fixture's last entry.
const SCHEMA_1_HASH: &str = "41530b62e6f3414a76931e691e4d281b0611e953ebffb7418f6a2f9f4c062d3c";

#[tokio::test]
async fn schema_1_opens() {
    let ground = SqliteFile::new().await;
    fs::write(ground.path(), SCHEMA_1).unwrap();
    let journal = ground.open().await;
    let head = journal.verify(None).await.unwrap();
    assert_eq!((head.seq, head.hash.to_string().as_str()), (3, SCHEMA_1_HASH));
    assert_eq!(journal.entries(1, 1).await.unwrap()[0].body, entry(2).body);
    assert_eq!(records(&journal).await.1, ["apple@1={\"v\":1}", "pear@3={\"v\":3}"]);
    assert_eq!(journal.document("config", "arm").await.unwrap(), Some(b"\x00\xff".to_vec()));
    let tally = Tally { subject: "key".to_owned(), day: 20_000, label: "read".to_owned(), count: 5 };
    assert_eq!(journal.tallies("key", 0, 30_000).await.unwrap(), [tally]);
    let between = Between { after: 0, before: u64::MAX };
    assert_eq!(journal.trace("apple", between, 9, Direction::Forward).await.unwrap(), [1, 3]);
    assert_eq!(journal.traced().await.unwrap(), 3);
    let lines = [(7, b"first".to_vec()), (9, b"\x00\xff".to_vec())];
    assert_eq!(journal.lines("arm", LinesFrom::After(0), 9).await.unwrap(), lines);
    assert_eq!(journal.note("restored").await.unwrap().as_deref(), Some("no"));
    assert_eq!(commit(&journal, vec![entry(4)]).await[0].seq, 4);
}

/// Run by hand when a schema is new, with the name of the new fixture; from then on the file is history.
#[tokio::test]
#[ignore = "makes the fixture of the present schema"]
async fn make() {
    let path = std::env::var_os("FIXTURE").unwrap();
    let journal = Journal::open(path.as_ref(), Options::default()).await.unwrap();
    let first = NewEntry { changes: vec![put("apple", "{\"v\":1}"), put("plum", "{\"v\":1}")], ..entry(1) };
    let second = NewEntry { documents: vec![document("arm", Some(b"\x00\xff"))], ..entry(2) };
    let third = NewEntry { changes: vec![put("pear", "{\"v\":3}"), delete("plum")], ..entry(3) };
    commit(&journal, vec![first]).await;
    commit(&journal, vec![second, third]).await;
    let tally = Tally { subject: "key".to_owned(), day: 20_000, label: "read".to_owned(), count: 5 };
    let latest = Latest { subject: "key".to_owned(), at: 7, detail: "{}".to_owned() };
    journal.add_tallies(&[tally], &[latest]).await.unwrap();
    journal.add_traces(&[("apple".to_owned(), 1), ("apple".to_owned(), 3)], 3).await.unwrap();
    let line = |place, body: &[u8]| Line { subject: "arm".to_owned(), place, body: body.to_vec() };
    journal.add_lines(&[line(7, b"first"), line(9, b"\x00\xff")], &[]).await.unwrap();
    journal.set_note("restored", Some("no")).await.unwrap();
    journal.close().await.unwrap();
}
