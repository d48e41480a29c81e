//! What one commit writes: many entries, and of each record and document the last word on it.

use std::collections::BTreeMap;

use crate::{
    entry::{Change, DocumentChange, Head, NewEntry},
    error::Error,
    row,
    script::Script,
    sql,
};

/// A script that appends the entries after `head` and leaves their records; and the head after each entry.
pub(crate) fn script(head: Head, entries: Vec<NewEntry>) -> Result<(Script, Vec<Head>), Error> {
    let mut heads = Vec::with_capacity(entries.len());
    let mut appended = Vec::with_capacity(entries.len());
    let (mut records, mut documents) = (LastWords::new(), LastWords::new());
    let mut end = head;
    for NewEntry { at, body, changes, documents: changed } in entries {
        end = end.next(at, &body);
        let seq = row::to_column("seq", end.seq)?;
        for Change { kind, id, value } in changes {
            records.insert((kind, id), (seq, value));
        }
        for DocumentChange { kind, id, value } in changed {
            documents.insert((kind, id), (seq, value));
        }
        appended.push((seq, at, end.hash, body));
        heads.push(end);
    }

    let mut script = Script::new();
    script.rows(
        sql::APPEND_ENTRIES,
        appended,
        |mut row, (seq, at, hash, body)| {
            row.push_bind(seq).push_bind(at).push_bind(hash.as_bytes().to_vec()).push_bind(body);
        },
        "",
    );
    write(&mut script, records, sql::PUT_RECORDS, sql::DELETE_RECORDS);
    write(&mut script, documents, sql::PUT_DOCUMENTS, sql::DELETE_DOCUMENTS);
    Ok((script, heads))
}

/// The entry that changed something last, and what it left. In the order of the key, so that neighbours in the
/// database are written one after the other.
type LastWords<T> = BTreeMap<(&'static str, String), (i64, Option<T>)>;

fn write<T>(script: &mut Script, words: LastWords<T>, put: &'static str, delete: &'static str)
where
    T: for<'q> sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    let (mut puts, mut deletes) = (Vec::new(), Vec::new());
    for ((kind, id), (seq, value)) in words {
        match value {
            Some(value) => puts.push((kind, id, seq, value)),
            None => deletes.push((kind, id)),
        }
    }
    script.rows(
        put,
        puts,
        |mut row, (kind, id, seq, value)| {
            row.push_bind(kind).push_bind(id).push_bind(seq).push_bind(value);
        },
        sql::PUT_END,
    );
    script.alternatives(delete, sql::KEY, deletes, |mut row, (kind, id)| {
        row.push_bind(kind).push_bind(id);
    });
}
