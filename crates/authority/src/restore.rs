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
use journal::{Absent, CommitError, Hash, Head, Journal, NewEntry, OpenError, Options, VerifyError};
use serde::{Deserialize, Serialize};

use crate::authority::{Authority, MasterKeySource, SigningKeys, StartError};
use crate::data::DataDir;
use crate::mark::Mark;
use crate::master::{MasterKey, MasterKeyError};
use crate::store;
use crate::tokens;

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

/// One entry in an exported journal: a line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExportedEntry {
    seq: u64,
    /// Microseconds since the epoch.
    at: i64,
    /// Hexadecimal.
    hash: String,
    /// As it is stored, to the byte: the hash covers it.
    entry: String,
}

impl ExportedEntry {
    /// The exported form of a stored entry.
    #[must_use]
    pub fn of(stored: &journal::StoredEntry) -> Self {
        let journal::StoredEntry { seq, at, hash, body } = stored;
        Self { seq: *seq, at: *at, hash: hash.to_string(), entry: body.clone() }
    }
}

/// What to restore, and from what.
#[derive(Debug)]
pub struct Restore {
    /// Where to.
    pub data: DataDir,
    /// The backup.
    pub from: PathBuf,
    /// The master key that was exported; the one in the data folder if absent.
    pub master_key: Option<PathBuf>,
    /// Make a new master key: the old one is lost.
    pub new_master_key: bool,
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
    Verify(#[from] VerifyError),
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
    /// Restores. Everything is checked on a copy beside the data before anything takes its place.
    ///
    /// # Errors
    /// What is wrong and what to do about it.
    pub async fn run(self) -> Result<Restored, RestoreError> {
        let database = self.data.database();
        if database.exists() && !self.replace {
            return Err(RestoreError::Occupied(database));
        }
        self.data.create().map_err(|source| file("make", self.data.root(), source))?;
        let draft = self.data.root().join("restoring.db");
        remove_database(&draft)?;
        copy_private(&self.from, &draft)?;
        let (head, at, replayed) = self.prepare(&draft).await?;
        let moved_aside = if database.exists() { Some(self.move_aside(&database).await?) } else { None };
        fs::rename(&draft, &database).map_err(|source| file("put in place", &database, source))?;
        remove_database(&draft)?;
        // The mark speaks of the history that is gone.
        remove_if_there(&self.data.mark())?;
        self.end_tokens().await?;
        let unconfirmed = self.replay.is_none().then_some(Unconfirmed::Restored { seq: head.seq, at });
        Ok(Restored { seq: head.seq, at, replayed, moved_aside, unconfirmed })
    }

    /// Checks the copy, replays onto it, and notes that it waits to be confirmed.
    async fn prepare(&self, draft: &Path) -> Result<(Head, Timestamp, u64), RestoreError> {
        let journal = Journal::open(draft, Options { absent: Absent::Refuse, views: store::VIEWS }).await?;
        let done = self.prepare_open(&journal).await;
        journal.close().await?;
        done
    }

    async fn prepare_open(&self, journal: &Journal) -> Result<(Head, Timestamp, u64), RestoreError> {
        journal.verify(None).await?;
        self.check_master_key(journal).await?;
        let replayed = match &self.replay {
            Some(path) => replay(journal, path).await?,
            None => 0,
        };
        let head = journal.head();
        let at = store::newest_time(journal).await?;
        let note = Unconfirmed::Restored { seq: head.seq, at };
        let note = self.replay.is_none().then(|| serde_json::to_string(&note).unwrap_or_default());
        journal.set_note(NOTE, note.as_deref()).await?;
        Ok((head, at, replayed))
    }

    /// Finds the master key before anything is changed; a wrong one would be noticed too late.
    async fn check_master_key(&self, journal: &Journal) -> Result<(), RestoreError> {
        let path = self.data.master_key();
        let key = match &self.master_key {
            _ if self.new_master_key => return Ok(()),
            Some(exported) => MasterKey::read(exported)?,
            None => MasterKey::read(&path)?,
        };
        let mut sealed = Vec::new();
        journal
            .for_each_record(|record| {
                if record.kind == domain::Kind::SigningKey.name() {
                    sealed.push(domain::decode_record(&record.kind, &record.id, &record.value)?);
                }
                Ok::<(), store::LoadError>(())
            })
            .await
            .map_err(StartError::Load)?;
        let keys = sealed.iter().filter_map(|record| match record {
            domain::Record::SigningKey(key) => Some(key),
            _ => None,
        });
        tokens::TokenKeys::unseal(&key, keys)?;
        if self.master_key.is_some() {
            key.write(&path)?;
        }
        Ok(())
    }

    async fn move_aside(&self, database: &Path) -> Result<PathBuf, RestoreError> {
        // Opening it takes its lock, so a running authority is noticed; closing it empties its log into it. One
        // that is damaged is moved as it is.
        match Journal::open(database, Options { absent: Absent::Refuse, views: &[] }).await {
            Ok(journal) => journal.close().await?,
            Err(error @ OpenError::InUse { .. }) => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "the database that was there could not be opened"),
        }
        let numbered = |number: u32| self.data.root().join(format!("claviger.db.before-restore-{number}"));
        let aside = (1..).map(numbered).find(|path| !path.exists()).unwrap_or_else(|| numbered(0));
        for suffix in ["", "-wal", "-shm"] {
            let (from, to) = (suffixed(database, suffix), suffixed(&aside, suffix));
            if from.exists() {
                fs::rename(&from, to).map_err(|source| file("move aside", &from, source))?;
            }
        }
        Ok(aside)
    }

    /// Signs with a new key from now on, so that every token from before is void.
    async fn end_tokens(&self) -> Result<(), RestoreError> {
        if self.new_master_key {
            MasterKey::create(&self.data.master_key())?;
        }
        let master = MasterKeySource::DataDir;
        let authority =
            Authority::open_with(self.data.clone(), Absent::Refuse, master, SigningKeys::Replace).await?;
        authority.close().await;
        Ok(())
    }
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
/// it had.
async fn replay(journal: &Journal, path: &Path) -> Result<u64, RestoreError> {
    let lines = BufReader::new(File::open(path).map_err(|source| file("open", path, source))?).lines();
    let mut replayed = 0;
    for (number, text) in lines.enumerate() {
        let text = text.map_err(|source| file("read", path, source))?;
        let problem =
            |problem: String| RestoreError::Replay { path: path.to_owned(), line: number + 1, problem };
        let line: ExportedEntry = serde_json::from_str(&text).map_err(|error| {
            problem(format!("is not an exported entry ({error}): export the journal again"))
        })?;
        replayed += u64::from(replay_line(journal, &line, problem).await?);
    }
    Ok(replayed)
}

/// Whether the line was new.
async fn replay_line(
    journal: &Journal,
    line: &ExportedEntry,
    problem: impl Fn(String) -> RestoreError,
) -> Result<bool, RestoreError> {
    let head = journal.head();
    let other = || problem(format!("entry {} belongs to another history than this backup", line.seq));
    if line.seq <= head.seq {
        let known = journal.entries(line.seq.saturating_sub(1), 1).await?;
        let same = known.first().is_some_and(|entry| entry.hash.to_string() == line.hash);
        return if same { Ok(false) } else { Err(other()) };
    }
    if line.seq != head.seq + 1 {
        let wanted = head.seq + 1;
        return Err(problem(format!(
            "is entry {}, but entry {wanted} comes next: export from there",
            line.seq
        )));
    }
    let recorded = Recorded::decode(line.seq, Timestamp::from_micros(line.at), &line.entry)?;
    let new = NewEntry {
        at: line.at,
        body: line.entry.clone(),
        changes: recorded.changes().iter().map(store::encode_change).collect::<Result<_, _>>()?,
        documents: Vec::new(),
    };
    let expected: Hash = line.hash.parse().map_err(|_| problem("has a hash that is none".to_owned()))?;
    if head.next(line.at, &line.entry).hash != expected {
        return Err(other());
    }
    journal.begin().await?.commit(vec![new]).await?;
    Ok(true)
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
