//! What can go wrong, said so that the person who reads it knows what to do.

use std::{io, path::PathBuf};

/// A read failed, or a turn could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database refused or broke.
    #[error("the journal could not {attempt}")]
    Database {
        /// What was attempted; completes "could not ...".
        attempt: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// A number is beyond what the database holds (63 bits), or one in the database is below zero where it must not be.
    #[error("{value} is out of range for {column}")]
    OutOfRange {
        /// Where it was to be written or was read.
        column: &'static str,
        /// The number.
        value: i128,
    },
    /// A hash in the database is not 32 bytes long.
    #[error("the hash of entry {seq} is not 32 bytes long: verify the journal")]
    InvalidHash {
        /// Number of the entry.
        seq: u64,
    },
    /// The database does not go on from what this process has seen: it was exchanged or edited under its feet.
    #[error(
        "the database no longer continues the history that this process knows, from entry {seq} on; \
         was a copy put in its place while it was open? Stop this process, verify the journal, and start again"
    )]
    Parted {
        /// First entry that is missing or other than it was.
        seq: u64,
    },
}

/// A write failed. The variant tells what is known of it.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was written. The same write may be attempted again.
    #[error("nothing was written")]
    Refused(#[source] Error),
    /// The write may or may not have happened, and may come to light only after a restart. The next
    /// [`Journal::begin`](crate::Journal::begin) settles it: it either reports the entries as missed, or makes sure
    /// that they never appear.
    #[error("it is not known whether this was written")]
    Unknown(#[source] Error),
}

/// A journal could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such file, and it was not to be created.
    #[error("there is no journal at `{}`: check the path, or create a new one there", .path.display())]
    Absent {
        /// The file asked for.
        path: PathBuf,
    },
    /// The folder of the file does not exist.
    #[error("the folder of `{}` does not exist: create it, owned by the user that runs this", .path.display())]
    NoFolder {
        /// The file asked for.
        path: PathBuf,
    },
    /// The path leads to something other than a file.
    #[error("`{}` is not a file: give the path of the journal's file itself", .path.display())]
    NotAFile {
        /// The path asked for.
        path: PathBuf,
    },
    /// The file or its folder cannot be written.
    #[error(
        "`{}` cannot be written: the file and its folder must belong to the user that runs this and be writable \
         (`chmod u+w`)", .path.display()
    )]
    ReadOnly {
        /// The file asked for.
        path: PathBuf,
    },
    /// Another process, or another part of this one, has the journal open.
    #[error(
        "`{}` is in use: only one process may have a journal open. Stop the other one (`fuser {}` tells which it is)",
        .path.display(), .lock.display()
    )]
    InUse {
        /// The journal's file, symbolic links followed.
        path: PathBuf,
        /// The file whose lock is held.
        lock: PathBuf,
    },
    /// The file is not a database, or a database of something else.
    #[error("`{}` is not a journal: {found}. Nothing in it was changed; give another path", .path.display())]
    NotAJournal {
        /// The file asked for.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// The file is a damaged database.
    #[error("`{}` is damaged: restore the last backup", .path.display())]
    Damaged {
        /// The file asked for.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// The file was written by a newer version of this program.
    #[error(
        "`{}` has schema {found}, and this version knows schemas up to {known}: run the version that wrote it or a \
         newer one, or restore the copy that was made before the upgrade", .path.display()
    )]
    NewerSchema {
        /// The file asked for.
        path: PathBuf,
        /// The schema it has.
        found: i64,
        /// The newest schema this version knows.
        known: i64,
    },
    /// The file system cannot hold a write-ahead log.
    #[error(
        "`{}` is on a file system without shared memory or locks, such as a network share: put it on a local disk",
        .path.display()
    )]
    NoWriteAheadLog {
        /// The file asked for.
        path: PathBuf,
    },
    /// The copy that is made before an upgrade failed; nothing was changed.
    #[error("`{}` was not upgraded because no copy of it could be made", .path.display())]
    NotCopied {
        /// The file asked for.
        path: PathBuf,
        /// Why there is no copy.
        #[source]
        source: BackupError,
    },
    /// The file system refused.
    #[error("could not {attempt} `{}`", .path.display())]
    File {
        /// The file concerned.
        path: PathBuf,
        /// What was attempted; completes "could not ...".
        attempt: &'static str,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// The database refused or broke.
    #[error("could not {attempt} `{}`", .path.display())]
    Database {
        /// The file asked for.
        path: PathBuf,
        /// What was attempted; completes "could not ...".
        attempt: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// What was read first made no sense.
    #[error("`{}` was opened but could not be read", .path.display())]
    Unreadable {
        /// The file asked for.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: Error,
    },
}

/// A copy could not be made. What had been written of it is gone again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is something at the target; a backup never overwrites.
    #[error("`{}` exists already: give a name that is free", .path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The path of the target cannot be told to the database.
    #[error("`{}` is not valid UTF-8: give another name", .path.display())]
    NotUtf8 {
        /// The target.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("could not {attempt} `{}`", .path.display())]
    File {
        /// The file concerned.
        path: PathBuf,
        /// What was attempted; completes "could not ...".
        attempt: &'static str,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// The copy could not be written or read.
    #[error(transparent)]
    Copy(#[from] Error),
}

/// The journal is not what it was, or could not be read to the end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// An entry is not there, but later ones are.
    #[error("entry {seq} is missing")]
    Missing {
        /// Number of the first missing entry.
        seq: u64,
    },
    /// The hash of an entry does not follow from the one before it and its content.
    #[error("entry {seq} does not follow from the one before it: one of the two was edited")]
    Edited {
        /// Number of the first entry that does not fit.
        seq: u64,
    },
    /// The journal ends before an entry that is known to have been there.
    #[error("the journal ends with entry {last}, but entry {known} was once there: its end was cut off")]
    CutShort {
        /// Number of the last entry; 0 if there is none.
        last: u64,
        /// Number of the entry known from elsewhere.
        known: u64,
    },
    /// An entry is other than it is known to have been, and the chain was made to fit.
    #[error("entry {seq} has another hash than it once had: the journal was written anew")]
    Rewritten {
        /// Number of the entry known from elsewhere.
        seq: u64,
    },
    /// A record or document names an entry that is not there.
    #[error("the {table} `{kind}` `{id}` names entry {seq}, which is not in the journal")]
    Dangling {
        /// `record` or `document`.
        table: &'static str,
        /// What the record is, in the caller's words.
        kind: String,
        /// Which one of its kind.
        id: String,
        /// The number it names.
        seq: i64,
    },
    /// The journal could not be read to the end.
    #[error(transparent)]
    Unreadable(#[from] Error),
}

impl Error {
    /// For `map_err`; `attempt` completes "could not ...".
    pub(crate) fn attempting(attempt: &'static str) -> impl FnOnce(sqlx::Error) -> Error {
        move |source| Error::Database { attempt, source }
    }
}
