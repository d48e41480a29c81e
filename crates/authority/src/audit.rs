//! The audit log, looked at from outside.

use std::str::FromStr;

use journal::{Absent, Hash, Head, Journal, OpenError, Options, VerifyError};

use crate::data::DataDir;

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
    /// It cannot be closed.
    #[error(transparent)]
    Journal(#[from] journal::Error),
}

/// Walks the whole chain, and tells where it ends.
///
/// # Errors
/// The first entry that is missing or was edited.
pub async fn verify(data: &DataDir, expected: Option<ExpectedHead>) -> Result<Head, AuditError> {
    let options = Options { absent: Absent::Refuse, views: crate::store::VIEWS };
    let journal = Journal::open(&data.database(), options).await?;
    let verified = journal.verify(expected.map(|ExpectedHead(head)| head)).await;
    journal.close().await?;
    Ok(verified?)
}
