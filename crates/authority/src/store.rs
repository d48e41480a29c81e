//! Between the domain's entries and records and the journal's texts. The only place that knows both.

use domain::{Change, DocumentChange, Entry, State, StoredError, Timestamp, decode_record, encode_record};
use journal::{Journal, NewEntry, View};

/// Views for people with a SQL prompt. The authority never reads them.
pub(crate) const VIEWS: &[View] = &[
    View {
        name: "api_key",
        query: "SELECT id, value ->> 'name' AS name, value ->> 'organization_id' AS organization_id, \
                value ->> 'grants' AS grants, value ->> 'created_at' AS created_at, \
                value ->> 'expires_at' AS expires_at, value ->> 'creator' AS creator, seq \
                FROM record WHERE kind = 'key'",
    },
    View {
        name: "organization",
        query: "SELECT id, value ->> 'name' AS name, value ->> 'created_at' AS created_at, seq \
                FROM record WHERE kind = 'organization'",
    },
    View {
        name: "location",
        query: "SELECT id, value ->> 'name' AS name, value ->> 'organization_id' AS organization_id, \
                value ->> 'parent_id' AS parent_id, value ->> 'created_at' AS created_at, seq \
                FROM record WHERE kind = 'location'",
    },
    View {
        name: "machine",
        query: "SELECT id, value ->> 'name' AS name, value ->> 'location_id' AS location_id, \
                value ->> 'created_at' AS created_at, seq FROM record WHERE kind = 'machine'",
    },
];

/// Why the state could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The journal could not be read.
    #[error("the journal could not be read")]
    Journal(#[from] journal::Error),
    /// What is in it could not be understood.
    #[error(transparent)]
    Stored(#[from] StoredError),
}

/// The state as the journal's records say it is.
///
/// # Errors
/// Where a record cannot be read or understood; a state with a hole in it is no state.
pub(crate) async fn load(journal: &Journal) -> Result<State, LoadError> {
    let mut state = State::default();
    journal
        .for_each_record(|record| {
            state.load(decode_record(&record.kind, &record.id, &record.value)?);
            Ok::<(), LoadError>(())
        })
        .await?;
    Ok(state)
}

/// The time of the newest entry.
///
/// # Errors
/// Where the journal cannot be read.
pub(crate) async fn newest_time(journal: &Journal) -> Result<Timestamp, journal::Error> {
    let before = journal.head().seq.saturating_sub(1);
    let newest = journal.entries(before, 1).await?;
    Ok(newest.first().map_or(Timestamp::EPOCH, |entry| Timestamp::from_micros(entry.at)))
}

/// An entry as the journal takes it.
///
/// # Errors
/// Where it cannot be written as JSON, which no entry we make can cause.
pub(crate) fn encode(entry: &Entry) -> Result<NewEntry, StoredError> {
    Ok(NewEntry {
        at: entry.at().as_micros(),
        body: entry.encode()?,
        changes: entry.changes().iter().map(encode_change).collect::<Result<_, _>>()?,
        documents: entry.documents().iter().map(encode_document).collect(),
    })
}

fn encode_document(change: &DocumentChange) -> journal::DocumentChange {
    journal::DocumentChange { kind: change.kind.name(), id: change.id.clone(), value: change.content.clone() }
}

/// A change of a record as the journal takes it.
///
/// # Errors
/// As [`encode`].
pub(crate) fn encode_change(change: &Change) -> Result<journal::Change, StoredError> {
    let id = change.id();
    let value = match change {
        Change::Put(record) => Some(encode_record(record)?),
        Change::Delete(_) => None,
    };
    Ok(journal::Change { kind: id.kind().name(), id: id.id_text(), value })
}
