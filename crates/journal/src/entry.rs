//! The vocabulary: what goes into the journal and what comes out.

use crate::hash::Hash;

/// Where the chain ends: the newest entry, or the empty journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Head {
    /// Number of the newest entry. Entries are numbered from 1 without a gap; 0 is the empty journal.
    pub seq: u64,
    /// Hash of the newest entry; [`Hash::ZERO`] for the empty journal.
    pub hash: Hash,
}

impl Head {
    /// The head of a journal without entries.
    pub const EMPTY: Head = Head { seq: 0, hash: Hash::ZERO };

    /// The head after an entry with this time and body: how to check that an entry continues this history.
    #[must_use]
    pub fn next(self, at: i64, body: &str) -> Head {
        let seq = self.seq + 1;
        Head { seq, hash: Hash::of(self.hash, seq, at, body) }
    }
}

/// An entry to be appended, with the records and documents it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// When it happened, in microseconds since the epoch. The journal neither checks nor corrects it.
    pub at: i64,
    /// JSON text, stored and hashed byte for byte.
    pub body: String,
    /// Records that are other after this entry. Of two changes to one record the later wins.
    pub changes: Vec<Change>,
    /// Documents that are other after this entry. Of two changes to one document the later wins.
    pub documents: Vec<DocumentChange>,
}

/// One record put or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What the record is, in the caller's words.
    pub kind: &'static str,
    /// Which one of its kind.
    pub id: String,
    /// The whole record as JSON text; `None` deletes it.
    pub value: Option<String>,
}

/// One document put or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentChange {
    /// What the document is, in the caller's words.
    pub kind: &'static str,
    /// Which one of its kind.
    pub id: String,
    /// The whole document; `None` deletes it.
    pub value: Option<Vec<u8>>,
}

/// An entry as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its number, from 1.
    pub seq: u64,
    /// When it happened, in microseconds since the epoch.
    pub at: i64,
    /// Its hash, which covers the entry before it.
    pub hash: Hash,
    /// JSON text, as it was given.
    pub body: String,
}

/// A record as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// What the record is, in the caller's words.
    pub kind: String,
    /// Which one of its kind.
    pub id: String,
    /// Number of the entry that last put it.
    pub seq: u64,
    /// The whole record as JSON text.
    pub value: String,
}
