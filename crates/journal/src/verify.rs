//! Walking the chain from its first entry to its last.

use futures::TryStreamExt;
use sqlx::SqliteConnection;

use crate::{
    entry::Head,
    error::{Error, VerifyError},
    journal::Journal,
    row, sql,
};

const ATTEMPT: &str = "read itself to the end";

impl Journal {
    /// Walks the whole chain and returns its head.
    ///
    /// Every entry must be there and follow from the one before it; the chain must hold what this process has seen at
    /// its end, and `known`, if there is one: a head noted elsewhere and earlier, without which a journal whose end
    /// was cut off while it was closed looks whole. Every record and document must name an entry that is there.
    /// Whether a record says what its entry made it say is for those to check who know what they mean.
    ///
    /// Commits may go on meanwhile; what is verified is one moment's journal.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, in the order of the chain.
    pub async fn verify(&self, known: Option<Head>) -> Result<Head, VerifyError> {
        let seen = self.head();
        let mut snapshot = self.readers().begin().await.map_err(Error::attempting(ATTEMPT))?;
        let witnesses: Vec<Head> = known.into_iter().chain([seen]).collect();
        let head = walk(&mut snapshot, &witnesses).await?;
        dangling(&mut snapshot, "record", sql::RECORD_WITHOUT_ENTRY).await?;
        dangling(&mut snapshot, "document", sql::DOCUMENT_WITHOUT_ENTRY).await?;
        Ok(head)
    }
}

/// Follows the chain to its end, past every witness.
async fn walk(snapshot: &mut SqliteConnection, witnesses: &[Head]) -> Result<Head, VerifyError> {
    let mut head = Head::EMPTY;
    let mut rows = sqlx::query_as(sql::ENTRIES_FROM).bind(i64::MIN).fetch(snapshot);
    while let Some(row) = rows.try_next().await.map_err(Error::attempting(ATTEMPT))? {
        let entry = row::entry(row)?;
        head = head.next(entry.at, &entry.body);
        if entry.seq != head.seq {
            return Err(VerifyError::Missing { seq: head.seq });
        }
        if entry.hash != head.hash {
            return Err(VerifyError::Edited { seq: head.seq });
        }
        if witnesses.iter().any(|witness| witness.seq == head.seq && witness.hash != head.hash) {
            return Err(VerifyError::Rewritten { seq: head.seq });
        }
    }
    match witnesses.iter().map(|witness| witness.seq).max() {
        Some(known) if known > head.seq => Err(VerifyError::CutShort { last: head.seq, known }),
        _ => Ok(head),
    }
}

async fn dangling(
    snapshot: &mut SqliteConnection,
    table: &'static str,
    query: &'static str,
) -> Result<(), VerifyError> {
    let row = sqlx::query_as(query).fetch_optional(snapshot).await.map_err(Error::attempting(ATTEMPT))?;
    match row {
        Some((kind, id, seq)) => Err(VerifyError::Dangling { table, kind, id, seq }),
        None => Ok(()),
    }
}
