//! What verification finds.

use journal::{Hash, Head, NewEntry, VerifyError};

use crate::{
    ground::Ground,
    make::{commit, document, entry, history},
};

pub(crate) async fn a_whole_journal(ground: impl Ground) {
    let journal = ground.open().await;
    assert_eq!(journal.verify(None).await.unwrap(), Head::EMPTY);
    let early = history(&journal, 2).await;
    let heads = commit(&journal, (3..200).map(entry).collect()).await;
    assert_eq!(journal.verify(None).await.unwrap(), journal.head());
    for known in [Head::EMPTY, early, heads[100], journal.head()] {
        assert_eq!(journal.verify(Some(known)).await.unwrap(), journal.head());
    }
}

/// Four entries, one thing done to them by another hand, and what verification then says.
async fn after(ground: impl Ground, tampering: &str) -> String {
    let journal = ground.open().await;
    history(&journal, 3).await;
    let documents = vec![document("d", Some(b"text"))];
    commit(&journal, vec![NewEntry { documents, ..entry(4) }]).await;
    journal.verify(None).await.unwrap();
    ground.tamper(tampering).await;
    journal.verify(None).await.unwrap_err().to_string()
}

pub(crate) async fn an_edited_body(ground: impl Ground) {
    let found = after(ground, "UPDATE journal SET entry = '{\"v\":1,\"n\":22}' WHERE seq = 2").await;
    assert_eq!(found, "entry 2 does not follow from the one before it: one of the two was edited");
}

pub(crate) async fn an_edited_time(ground: impl Ground) {
    let found = after(ground, "UPDATE journal SET at = at + 1 WHERE seq = 4").await;
    assert_eq!(found, "entry 4 does not follow from the one before it: one of the two was edited");
}

pub(crate) async fn an_edited_hash(ground: impl Ground) {
    let other = "(SELECT hash FROM journal AS other WHERE other.seq = 2)";
    let found = after(ground, &format!("UPDATE journal SET hash = {other} WHERE seq = 1")).await;
    assert_eq!(found, "entry 1 does not follow from the one before it: one of the two was edited");
}

pub(crate) async fn a_deleted_entry(ground: impl Ground) {
    assert_eq!(after(ground, "DELETE FROM journal WHERE seq = 3").await, "entry 3 is missing");
}

pub(crate) async fn the_first_entry_deleted(ground: impl Ground) {
    assert_eq!(after(ground, "DELETE FROM journal WHERE seq = 1").await, "entry 1 is missing");
}

pub(crate) async fn a_record_of_no_entry(ground: impl Ground) {
    let found = after(ground, "UPDATE record SET seq = 99 WHERE id = 'r2'").await;
    assert_eq!(found, "the record `thing` `r2` names entry 99, which is not in the journal");
}

pub(crate) async fn a_document_of_no_entry(ground: impl Ground) {
    let found = after(ground, "UPDATE document SET seq = 0 WHERE id = 'd'").await;
    assert_eq!(found, "the document `config` `d` names entry 0, which is not in the journal");
}

pub(crate) async fn an_end_cut_off_while_open(ground: impl Ground) {
    let found = after(ground, "DELETE FROM journal WHERE seq >= 3").await;
    assert_eq!(found, "the journal ends with entry 2, but entry 4 was once there: its end was cut off");
}

/// Only who has noted the head elsewhere can tell.
pub(crate) async fn an_end_cut_off_while_closed(ground: impl Ground) {
    let journal = ground.open().await;
    let head = history(&journal, 4).await;
    journal.close().await.unwrap();
    ground.tamper("DELETE FROM journal WHERE seq >= 3").await;
    let journal = ground.open().await;
    let found = journal.verify(None).await.unwrap_err();
    assert!(matches!(found, VerifyError::Dangling { table: "record", seq: 3, .. }), "{found:?}");
    ground.tamper("DELETE FROM record WHERE seq >= 3").await;
    assert_eq!(journal.verify(None).await.unwrap().seq, 2);
    let found = journal.verify(Some(head)).await.unwrap_err();
    assert!(matches!(found, VerifyError::CutShort { last: 2, known: 4 }), "{found:?}");
}

/// All hashes fit, but they are not the ones that were noted.
pub(crate) async fn a_history_written_anew(ground: impl Ground) {
    let journal = ground.open().await;
    history(&journal, 4).await;
    let other = Head { seq: 2, hash: Hash::from([7; 32]) };
    let found = journal.verify(Some(other)).await.unwrap_err();
    assert!(matches!(found, VerifyError::Rewritten { seq: 2 }), "{found:?}");
}
