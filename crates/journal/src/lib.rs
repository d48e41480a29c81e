//! Remembers: an ordered, hash-chained log of entries and the records they leave, in SQL.
//!
//! An *entry* is something that happened; it is appended once and never changed. Each entry carries the SHA-256 of the
//! one before it, so that a missing or edited entry shows. A *record* is what is true after an entry; it is written in
//! the same transaction. A *document* is a record too large to be kept in memory.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use journal::{Change, Journal, NewEntry, Options};
//!
//! let journal = Journal::open("claviger.db".as_ref(), Options::default()).await?;
//! let turn = journal.begin().await?;
//! // ... bring what is known up to date with `turn.missed()`, decide, and then:
//! let heads = turn
//!     .commit(vec![NewEntry {
//!         at: 1_763_900_000_000_000,
//!         body: r#"{"v":1,"did":"create"}"#.to_owned(),
//!         changes: vec![Change { kind: "location", id: "yard".to_owned(), value: Some("{}".to_owned()) }],
//!         documents: vec![],
//!     }])
//!     .await?;
//! assert_eq!(heads.last(), Some(&journal.head()));
//! # Ok(()) }
//! ```
//!
//! # What is deliberately not here
//!
//! - No knowledge of what an entry or a record says: bodies are text, kinds are names the caller chose.
//! - No clock, no randomness, no task of its own: whoever holds the turn decides what is written and when.
//! - No other crate of this workspace.
//!
//! # Reading order
//!
//! `entry` (the vocabulary), `hash` (the chain), `journal` and `turn` (the two types that callers hold), `batch` (what
//! one commit writes), `script` and `writer` (how it is written, and what is known when that fails); then the rest as
//! needed. What only SQLite does stands in `sqlite`, `files`, `schema` and `backup`. Every other SQL text is in `sql`
//! and suits PostgreSQL as it stands; the tests in `tests/it/suite` are written to be run on both.

mod backup;
mod batch;
mod entry;
mod error;
mod files;
mod hash;
mod journal;
mod line;
mod open;
mod row;
mod schema;
mod script;
mod sql;
mod sqlite;
mod tally;
mod trace;
mod turn;
mod verify;
mod writer;

pub use entry::{Change, DocumentChange, Head, NewEntry, StoredEntry, StoredRecord};
pub use error::{BackupError, CommitError, Error, OpenError, VerifyError};
pub use hash::{Hash, InvalidHash};
pub use journal::Journal;
pub use line::{From as LinesFrom, Line};
pub use open::{Absent, Options, View};
pub use tally::{Latest, Tally};
pub use trace::{Between, Direction};
pub use turn::Turn;
