//! The audit log, looked at from outside.

use std::collections::HashMap;
use std::str::FromStr;

use aws_lc_rs::digest;
use domain::{Recorded, StoredError, Timestamp};
use journal::{Absent, Hash, Head, Journal, OpenError, Options, VerifyError};

use crate::data::DataDir;
use crate::store;

/// A head of the chain that was noted before, as `SEQ:HASH`.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedHead(Head);

/// A text that is no head.
#[derive(Debug, thiserror::Error)]
#[error("must be SEQ:HASH, as `claviger audit verify` prints it")]
pub struct InvalidHead;

impl FromStr for ExpectedHead {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let (seq, hash) = text.split_once(':').ok_or(InvalidHead)?;
        let seq = seq.parse().map_err(|_| InvalidHead)?;
        let hash: Hash = hash.parse().map_err(|_| InvalidHead)?;
        Ok(Self(Head { seq, hash }))
    }
}

/// Why the journal is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It does not verify.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// It cannot be read.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// An entry cannot be understood.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// A record is not what the entries made it.
    #[error(
        "the {kind} {id} is not what the journal made it: the database was edited, or put together from files of \
         different times. Put the right files back, or restore a backup"
    )]
    Record {
        /// What kind of record.
        kind: String,
        /// Which one.
        id: String,
    },
}

/// Walks the whole chain, holds the records against it, and tells where it ends.
///
/// # Errors
/// The first entry that is missing or was edited, or a record that is not what the entries made it.
pub async fn verify(data: &DataDir, expected: Option<ExpectedHead>) -> Result<Head, AuditError> {
    let options = Options { absent: Absent::Refuse, views: store::VIEWS };
    let journal = Journal::open(&data.database(), options).await?;
    let verified = check(&journal, expected.map(|ExpectedHead(head)| head)).await;
    journal.close().await?;
    verified
}

/// How many entries are read at once.
const PAGE: u32 = 1_000;

/// Verifies an open journal: the chain, and that each record is what the last entry that speaks of it made it.
pub(crate) async fn check(journal: &Journal, expected: Option<Head>) -> Result<Head, AuditError> {
    let head = journal.verify(expected).await?;
    let mut last = last_changes(journal).await?;
    journal
        .for_each_record(|record| {
            let fits = last.remove(&(record.kind.clone(), record.id.clone()));
            let hash = digest::digest(&digest::SHA256, record.value.as_bytes());
            match fits {
                Some(Some(made)) if made.as_slice() == hash.as_ref() => Ok(()),
                _ => Err(AuditError::Record { kind: record.kind, id: record.id }),
            }
        })
        .await?;
    match last.into_iter().find(|(_, value)| value.is_some()) {
        Some(((kind, id), _)) => Err(AuditError::Record { kind, id }),
        None => Ok(head),
    }
}

/// For each record that was ever written, the hash of its last value; nothing where it was deleted.
async fn last_changes(journal: &Journal) -> Result<HashMap<(String, String), Option<Vec<u8>>>, AuditError> {
    let mut last = HashMap::new();
    let mut after = 0;
    loop {
        let entries = journal.entries(after, PAGE).await?;
        let Some(newest) = entries.last() else { return Ok(last) };
        after = newest.seq;
        for entry in &entries {
            let recorded = Recorded::decode(entry.seq, Timestamp::from_micros(entry.at), &entry.body)?;
            for change in recorded.changes() {
                let journal::Change { kind, id, value } = store::encode_change(change)?;
                let hash =
                    value.map(|value| digest::digest(&digest::SHA256, value.as_bytes()).as_ref().to_vec());
                last.insert((kind.to_owned(), id), hash);
            }
        }
    }
}
