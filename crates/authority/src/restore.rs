//! Coming back from a backup, honestly.
//!
//! A restored state does not know what happened since: above all, not which keys were revoked. So a restore ends
//! all tokens and leaves the authority unconfirmed: it starts, and accepts no key, until the person who runs it
//! says that the state may be used as it is, or hands it the entries written since. The same holds for a
//! database file that was put back by hand, which the high-water mark notices.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use domain::{Recorded, StoredError, Timestamp};
use journal::{Absent, CommitError, Head, Journal, NewEntry, OpenError, Options};
use serde::{Deserialize, Serialize};

use crate::audit::{self, AuditError};
use crate::authority::{Authority, MasterKeySource, SigningKeys, StartError};
use crate::data::DataDir;
use crate::mark::Mark;
use crate::master::{MasterKey, MasterKeyError};
use crate::store;
use crate::tokens::TokenKeys;

const NOTE: &str = "unconfirmed";

/// Why keys are not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Unconfirmed {
    /// A backup was restored.
    Restored {
        /// The last entry it knows.
        seq: u64,
        /// When that was made.
        at: Timestamp,
    },
    /// The database does not hold what the high-water mark says it held.
    PutBack {
        /// How far the journal had come, as the mark says.
        expected: u64,
        /// How far this database has come.
        found: u64,
    },
}

impl std::fmt::Display for Unconfirmed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Restored { seq, at } => write!(
                f,
                "this state was restored from a backup and is from {at} (entry {seq}). It cannot know what happened \
                 since: keys revoked after that would work again. No key is accepted until you confirm the state \
                 with `claviger restore confirm`, or restore again with `--replay` and the journal exported since"
            ),
            Self::PutBack { expected, found } => write!(
                f,
                "the database holds another history than the one that reached entry {expected} (it ends at entry \
                 {found}): an older file was put in its place. Keys revoked since would work again. No key is \
                 accepted until you put the right file back, or accept this one with `claviger restore confirm`"
            ),
        }
    }
}

/// Whether the state waits to be confirmed, and why.
pub(crate) async fn unconfirmed(
    journal: &Journal,
    mark: Head,
) -> Result<Option<Unconfirmed>, journal::Error> {
    if let Some(note) = journal.note(NOTE).await? {
        // A note that cannot be read was written by another release: what it means is that somebody must look.
        let unreadable = Unconfirmed::Restored { seq: journal.head().seq, at: Timestamp::EPOCH };
        return Ok(Some(serde_json::from_str(&note).unwrap_or(unreadable)));
    }
    if mark.seq == 0 {
        return Ok(None);
    }
    let there = journal.entries(mark.seq - 1, 1).await?;
    let holds = there.first().is_some_and(|entry| entry.seq == mark.seq && entry.hash == mark.hash);
    let found = journal.head().seq;
    Ok((!holds).then_some(Unconfirmed::PutBack { expected: mark.seq, found }))
}

/// A line of an exported journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ExportedLine {
    /// An entry.
    Entry {
        /// Its place.
        seq: u64,
        /// Microseconds since the epoch.
        at: i64,
        /// Hexadecimal.
        hash: String,
        /// As it is stored, to the byte: the hash covers it.
        entry: String,
    },
    /// The end of an export: up to here it is complete. Exports may be put one behind the other.
    End {
        /// The last entry there was.
        complete_to: u64,
        /// Its hash.
        hash: String,
    },
}

impl ExportedLine {
    /// The exported form of a stored entry.
    #[must_use]
    pub fn of(stored: &journal::StoredEntry) -> Self {
        let journal::StoredEntry { seq, at, hash, body } = stored;
        Self::Entry { seq: *seq, at: *at, hash: hash.to_string(), entry: body.clone() }
    }

    /// The end of an export that is complete up to this head.
    #[must_use]
    pub fn end(head: Head) -> Self {
        Self::End { complete_to: head.seq, hash: head.hash.to_string() }
    }
}

/// Which master key the restored authority has.
#[derive(Debug)]
pub enum RestoredKey {
    /// The one that is there: in the data folder, or given by the environment.
    AsItIs(MasterKeySource),
    /// The one that was exported to this file.
    Exported(PathBuf),
    /// A new one, because the old one is lost.
    New,
}

/// What to restore, and from what.
#[derive(Debug)]
pub struct Restore {
    /// Where to.
    pub data: DataDir,
    /// The backup.
    pub from: PathBuf,
    /// With which master key.
    pub master: RestoredKey,
    /// The journal exported since the backup.
    pub replay: Option<PathBuf>,
    /// Move aside a database that is there.
    pub replace: bool,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// The last entry of the backup or of what was replayed on it.
    pub seq: u64,
    /// When that was made.
    pub at: Timestamp,
    /// How many entries were replayed.
    pub replayed: u64,
    /// Where the database that was there is now.
    pub moved_aside: Option<PathBuf>,
    /// Why keys are not accepted, unless a journal was replayed.
    pub unconfirmed: Option<Unconfirmed>,
}

/// Why it could not be restored. Unless it says otherwise, the data folder is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is a database already.
    #[error(
        "there is a database at `{}` already: stop the authority that uses it, and give `--replace` to move it aside",
        .0.display()
    )]
    Occupied(PathBuf),
    /// A file cannot be used.
    #[error("could not {attempt} `{}`", .path.display())]
    File {
        /// What was tried.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The backup is damaged or not one.
    #[error("the backup does not verify: restore another one")]
    Audit(#[from] AuditError),
    /// The backup or the data folder cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The journal cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The master key is missing or does not fit.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The exported journal cannot be replayed.
    #[error("line {line} of `{}`: {problem}", .path.display())]
    Replay {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what to do.
        problem: String,
    },
    /// An entry cannot be read.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The restored authority does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Restore {
    /// Restores. Everything is checked on a copy beside the data before anything takes its place; until then the data
    /// folder is as it was, and stays so if anything is wrong.
    ///
    /// # Errors
    /// What is wrong and what to do about it.
    pub async fn run(self) -> Result<Restored, RestoreError> {
        let Self { data, from, master, replay, replace } = self;
        let database = data.database();
        if database.exists() {
            if !replace {
                return Err(RestoreError::Occupied(database));
            }
            free_of_others(&database).await?;
        }
        data.create().map_err(|source| file("make", data.root(), source))?;
        let draft = Draft::new(data.root().join("restoring.db"), &from)?;
        let (head, at, replayed) = draft.prepare(&data, &master, replay.as_deref()).await?;
        let moved_aside = move_aside(&data, &master)?;
        fs::rename(&draft.path, &database).map_err(|source| file("put in place", &database, source))?;
        drop(draft);
        // The mark speaks of the history that is gone.
        remove_if_there(&data.mark())?;
        let master = match master {
            RestoredKey::AsItIs(source) => source,
            RestoredKey::Exported(path) => {
                MasterKey::read(&path)?.write(&data.master_key())?;
                MasterKeySource::DataDir
            }
            RestoredKey::New => {
                MasterKey::create(&data.master_key())?;
                MasterKeySource::DataDir
            }
        };
        // A new signing key: every token from before is void.
        let authority = Authority::open_with(data, Absent::Refuse, master, SigningKeys::Replace).await?;
        authority.close().await;
        let unconfirmed = replay.is_none().then_some(Unconfirmed::Restored { seq: head.seq, at });
        Ok(Restored { seq: head.seq, at, replayed, moved_aside, unconfirmed })
    }
}

/// The copy of a backup that is checked before it takes its place; gone when it is dropped.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn new(path: PathBuf, from: &Path) -> Result<Self, RestoreError> {
        remove_database(&path)?;
        let draft = Self { path };
        copy_private(from, &draft.path)?;
        Ok(draft)
    }

    /// Checks the copy, replays onto it, and notes that it waits to be confirmed.
    async fn prepare(
        &self,
        data: &DataDir,
        master: &RestoredKey,
        replay: Option<&Path>,
    ) -> Result<(Head, Timestamp, u64), RestoreError> {
        let options = Options { absent: Absent::Refuse, views: store::VIEWS };
        let journal = Journal::open(&self.path, options).await?;
        let done = prepare(&journal, data, master, replay).await;
        journal.close().await?;
        done
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = remove_database(&self.path) {
            tracing::warn!(error = &error as &dyn std::error::Error, "a draft was left behind");
        }
    }
}

async fn prepare(
    journal: &Journal,
    data: &DataDir,
    master: &RestoredKey,
    replay: Option<&Path>,
) -> Result<(Head, Timestamp, u64), RestoreError> {
    audit::check(journal, None).await?;
    check_master_key(journal, data, master).await?;
    let replayed = match replay {
        Some(path) => replay_onto(journal, path).await?,
        None => 0,
    };
    let head = journal.head();
    let at = store::newest_time(journal).await?;
    let note = Unconfirmed::Restored { seq: head.seq, at };
    let note = replay.is_none().then(|| serde_json::to_string(&note).unwrap_or_default());
    journal.set_note(NOTE, note.as_deref()).await?;
    Ok((head, at, replayed))
}

/// Finds the master key before anything is changed; a wrong one would be noticed too late.
async fn check_master_key(
    journal: &Journal,
    data: &DataDir,
    master: &RestoredKey,
) -> Result<(), RestoreError> {
    let read;
    let key = match master {
        RestoredKey::New => return Ok(()),
        RestoredKey::AsItIs(MasterKeySource::Given(key)) => key,
        RestoredKey::AsItIs(MasterKeySource::DataDir) => {
            read = MasterKey::read(&data.master_key())?;
            &read
        }
        RestoredKey::Exported(path) => {
            read = MasterKey::read(path)?;
            &read
        }
    };
    let state = store::load(journal).await.map_err(StartError::Load)?;
    TokenKeys::unseal(key, state.signing_keys())?;
    Ok(())
}

/// Takes the database's lock for a moment, so that a running authority is noticed, and empties its log into it.
async fn free_of_others(database: &Path) -> Result<(), RestoreError> {
    match Journal::open(database, Options { absent: Absent::Refuse, views: &[] }).await {
        Ok(journal) => Ok(journal.close().await?),
        Err(error @ OpenError::InUse { .. }) => Err(error.into()),
        // One that is damaged is moved as it is.
        Err(error) => {
            tracing::warn!(%error, "the database that was there could not be opened");
            Ok(())
        }
    }
}

/// Moves whatever is left of a database out of the way, a log without its database included; with it the master key
/// that opens it, if another one takes its place. Tells where the database is now.
fn move_aside(data: &DataDir, master: &RestoredKey) -> Result<Option<PathBuf>, RestoreError> {
    let numbered = |path: &Path, number: u32| suffixed(path, &format!(".before-restore-{number}"));
    let (database, key) = (data.database(), data.master_key());
    let free = |number: &u32| !numbered(&database, *number).exists() && !numbered(&key, *number).exists();
    let number = (1..).find(free).unwrap_or(0);
    let aside = numbered(&database, number);
    let there = database.exists();
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = (suffixed(&database, suffix), suffixed(&aside, suffix));
        if from.exists() {
            fs::rename(&from, to).map_err(|source| file("move aside", &from, source))?;
        }
    }
    if !matches!(master, RestoredKey::AsItIs(_)) && key.exists() {
        fs::rename(&key, numbered(&key, number)).map_err(|source| file("move aside", &key, source))?;
    }
    Ok(there.then_some(aside))
}

/// Accepts the state as it is: what was revoked after it was saved is not revoked any more.
///
/// # Errors
/// Where the data folder cannot be opened. That there is nothing to confirm is said by `Ok(None)`.
pub async fn confirm(data: &DataDir) -> Result<Option<Unconfirmed>, RestoreError> {
    let options = Options { absent: Absent::Refuse, views: store::VIEWS };
    let journal = Journal::open(&data.database(), options).await?;
    let done = confirm_open(&journal, data).await;
    journal.close().await?;
    done
}

async fn confirm_open(journal: &Journal, data: &DataDir) -> Result<Option<Unconfirmed>, RestoreError> {
    let why = match Mark::open(&data.mark(), journal.head()) {
        Ok((_, said)) => unconfirmed(journal, said).await?,
        // A damaged mark is what this command is for, too.
        Err(_) => Some(Unconfirmed::PutBack { expected: 0, found: journal.head().seq }),
    };
    if why.is_some() {
        journal.set_note(NOTE, None).await?;
        remove_if_there(&data.mark())?;
        Mark::open(&data.mark(), journal.head()).map_err(StartError::Mark)?;
    }
    Ok(why)
}

/// Appends the entries of an exported journal that the backup does not have, each with the place, time and hash
/// it had. It must say that it is complete, and reach at least as far as the backup: one that is cut off or older
/// tells nothing about what was revoked since.
async fn replay_onto(journal: &Journal, path: &Path) -> Result<u64, RestoreError> {
    let backup = journal.head().seq;
    let lines = BufReader::new(File::open(path).map_err(|source| file("open", path, source))?).lines();
    let (mut replayed, mut number, mut complete_to) = (0, 0, None);
    for text in lines {
        number += 1;
        let problem = |problem: String| RestoreError::Replay { path: path.to_owned(), line: number, problem };
        let text = text.map_err(|source| file("read", path, source))?;
        let line: ExportedLine = serde_json::from_str(&text)
            .map_err(|_| problem("is no line of an exported journal: export it again".to_owned()))?;
        complete_to = None;
        match line {
            ExportedLine::Entry { seq, at, hash, entry } => {
                let stored = Replayed { seq, at, hash, entry };
                replayed += u64::from(stored.onto(journal, &problem).await?);
            }
            ExportedLine::End { complete_to: seq, hash } => {
                expect_known(journal, seq, &hash, &problem).await?;
                complete_to = Some(seq);
            }
        }
    }
    let problem = |problem: String| RestoreError::Replay { path: path.to_owned(), line: number, problem };
    match complete_to {
        None => Err(problem(
            "is the last one, and does not say that the export is complete: it was cut off".to_owned(),
        )),
        Some(seq) if seq < backup => {
            let told = format!(
                "ends at entry {seq}, before the backup, which has entry {backup}: it tells nothing since"
            );
            Err(problem(told))
        }
        Some(_) => Ok(replayed),
    }
}

/// Fails unless the journal has this entry with this hash.
async fn expect_known(
    journal: &Journal,
    seq: u64,
    hash: &str,
    problem: &impl Fn(String) -> RestoreError,
) -> Result<(), RestoreError> {
    if seq > journal.head().seq {
        let last = journal.head().seq;
        return Err(problem(format!(
            "says that entry {seq} was exported, but entry {last} is the last one here"
        )));
    }
    let known = journal.entries(seq.saturating_sub(1), 1).await?;
    let empty = seq == 0 && hash == Head::EMPTY.hash.to_string();
    if empty || known.first().is_some_and(|entry| entry.seq == seq && entry.hash.to_string() == hash) {
        return Ok(());
    }
    Err(problem(format!("entry {seq} belongs to another history than this backup")))
}

/// An entry on its way back into the journal.
struct Replayed {
    seq: u64,
    at: i64,
    hash: String,
    entry: String,
}

impl Replayed {
    /// Whether it was new.
    async fn onto(
        self,
        journal: &Journal,
        problem: &impl Fn(String) -> RestoreError,
    ) -> Result<bool, RestoreError> {
        let Self { seq, at, hash, entry } = self;
        let head = journal.head();
        if seq <= head.seq {
            expect_known(journal, seq, &hash, problem).await?;
            return Ok(false);
        }
        if seq != head.seq + 1 {
            let wanted = head.seq + 1;
            return Err(problem(format!("is entry {seq}, but entry {wanted} comes next: export from there")));
        }
        if head.next(at, &entry).hash.to_string() != hash {
            return Err(problem(format!(
                "entry {seq} was edited, or belongs to another history than this backup"
            )));
        }
        let recorded = Recorded::decode(seq, Timestamp::from_micros(at), &entry);
        let recorded = recorded.map_err(|error| problem(error.to_string()))?;
        let changes = recorded.changes().iter().map(store::encode_change).collect::<Result<_, _>>()?;
        let new = NewEntry { at, body: entry, changes, documents: Vec::new() };
        journal.begin().await?.commit(vec![new]).await?;
        Ok(true)
    }
}

fn copy_private(from: &Path, to: &Path) -> Result<(), RestoreError> {
    let mut source = File::open(from).map_err(|source| file("open", from, source))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut target = options.open(to).map_err(|source| file("make", to, source))?;
    io::copy(&mut source, &mut target).map_err(|source| file("write", to, source))?;
    target.sync_all().map_err(|source| file("write", to, source))
}

fn remove_database(path: &Path) -> Result<(), RestoreError> {
    ["", "-wal", "-shm", ".lock"].into_iter().try_for_each(|suffix| remove_if_there(&suffixed(path, suffix)))
}

fn remove_if_there(path: &Path) -> Result<(), RestoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file("remove", path, error)),
        _ => Ok(()),
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    PathBuf::from(text)
}

fn file(attempt: &'static str, path: &Path, source: io::Error) -> RestoreError {
    RestoreError::File { attempt, path: path.to_owned(), source }
}
