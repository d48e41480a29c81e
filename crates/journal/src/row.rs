//! From rows to values and back. The database knows signed numbers only, and bytes of any length.

use crate::{
    entry::{Head, StoredEntry, StoredRecord},
    error::Error,
    hash::Hash,
};

/// `seq, hash`.
pub(crate) type HeadRow = (i64, Vec<u8>);
/// `seq, at, hash, entry`.
pub(crate) type EntryRow = (i64, i64, Vec<u8>, String);
/// `kind, id, seq, value`.
pub(crate) type RecordRow = (String, String, i64, String);

pub(crate) fn head((seq, hash): HeadRow) -> Result<Head, Error> {
    let seq = from_column("seq", seq)?;
    Ok(Head { seq, hash: hash_of(seq, &hash)? })
}

pub(crate) fn entry((seq, at, hash, body): EntryRow) -> Result<StoredEntry, Error> {
    let seq = from_column("seq", seq)?;
    Ok(StoredEntry { seq, at, hash: hash_of(seq, &hash)?, body })
}

pub(crate) fn record((kind, id, seq, value): RecordRow) -> Result<StoredRecord, Error> {
    Ok(StoredRecord { kind, id, seq: from_column("seq", seq)?, value })
}

pub(crate) fn to_column(column: &'static str, value: u64) -> Result<i64, Error> {
    i64::try_from(value).map_err(|_| Error::OutOfRange { column, value: value.into() })
}

pub(crate) fn from_column(column: &'static str, value: i64) -> Result<u64, Error> {
    u64::try_from(value).map_err(|_| Error::OutOfRange { column, value: value.into() })
}

fn hash_of(seq: u64, bytes: &[u8]) -> Result<Hash, Error> {
    Hash::try_from(bytes).map_err(|_| Error::InvalidHash { seq })
}
