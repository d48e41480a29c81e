//! Coming back from a backup, honestly.
//!
//! A restored state does not know what happened since: above all, not which keys were revoked. So a restore ends
//! all tokens and leaves the authority unconfirmed: it starts, and accepts no key, until the person who runs it
//! says that the state may be used as it is, or hands it the entries written since. The same holds for a
//! database file that was put back by hand, which the high-water mark notices.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use domain::{StoredError, Timestamp};
use journal::{Absent, CommitError, Head, Journal, OpenError, Options};

use crate::audit::{self, AuditError};
use crate::authority::{Authority, MasterKeySource, SigningKeys, StartError};
use crate::data::DataDir;
use crate::mark::Mark;
use crate::master::{MasterKey, MasterKeyError};
use crate::replay::replay_onto;
use crate::signing;
use crate::store;
use crate::unconfirmed::{NOTE, Unconfirmed, unconfirmed};

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
        let draft = Draft::new(&data, &from)?;
        let (head, at, replayed) = draft.prepare(&data, master, replay.as_deref()).await?;
        let moved_aside = draft.take_the_place_of(&data)?;
        let unconfirmed = replay.is_none().then_some(Unconfirmed::Restored { seq: head.seq, at });
        Ok(Restored { seq: head.seq, at, replayed, moved_aside, unconfirmed })
    }
}

/// A whole data folder inside the other, in which a restore is made ready; gone when it is dropped. Killed at any
/// moment, a restore leaves the old state, none, or the new one, and can be repeated.
struct Draft {
    data: DataDir,
}

impl Draft {
    fn new(data: &DataDir, from: &Path) -> Result<Self, RestoreError> {
        let draft = Self { data: DataDir::new(data.root().join("restoring")) };
        draft.remove()?;
        draft.data.create().map_err(|source| file("make", draft.data.root(), source))?;
        copy_private(from, &draft.data.database())?;
        Ok(draft)
    }

    /// Checks the copy, replays onto it, notes that it waits to be confirmed, and ends its tokens.
    async fn prepare(
        &self,
        data: &DataDir,
        master: RestoredKey,
        replay: Option<&Path>,
    ) -> Result<(Head, Timestamp, u64), RestoreError> {
        // A key that is not there yet is kept in the draft: it takes its place together with the database.
        let own_key = self.data.master_key();
        let source = match master {
            RestoredKey::AsItIs(MasterKeySource::DataDir) => {
                MasterKeySource::Given(MasterKey::read(&data.master_key())?)
            }
            RestoredKey::AsItIs(given) => given,
            RestoredKey::Exported(path) => {
                MasterKey::read(&path)?.write(&own_key)?;
                MasterKeySource::Given(MasterKey::read(&own_key)?)
            }
            RestoredKey::New => {
                MasterKey::create(&own_key)?;
                MasterKeySource::DataDir
            }
        };
        let (opens, own) = match &source {
            MasterKeySource::Given(key) => (Some(key), false),
            // A new one opens nothing.
            MasterKeySource::DataDir => (None, true),
        };
        let options = Options { absent: Absent::Refuse, views: store::VIEWS };
        let journal = Journal::open(&self.data.database(), options).await?;
        let done = prepare(&journal, opens, replay).await;
        journal.close().await?;
        let done = done?;
        // Every token from before is void; under a new master key, so is all that was sealed.
        let keys = if own { SigningKeys::Replace } else { SigningKeys::EndTokens };
        let opened = Authority::open_with(self.data.clone(), Absent::Refuse, source, keys).await?;
        opened.close().await;
        Ok(done)
    }

    /// Moves what was there aside and puts this in its place, the master key before what it opens. Tells where the
    /// database is that was there.
    fn take_the_place_of(self, data: &DataDir) -> Result<Option<PathBuf>, RestoreError> {
        let key = self.data.master_key();
        let moved_aside = move_aside(data, key.exists())?;
        // The mark speaks of the history that is gone.
        remove_if_there(&data.mark())?;
        if key.exists() {
            fs::rename(&key, data.master_key())
                .map_err(|source| file("put in place", &data.master_key(), source))?;
        }
        let database = data.database();
        fs::rename(self.data.database(), &database)
            .map_err(|source| file("put in place", &database, source))?;
        let synced = File::open(data.root()).and_then(|folder| folder.sync_all());
        synced.map_err(|source| file("sync", data.root(), source))?;
        Ok(moved_aside)
    }

    fn remove(&self) -> Result<(), RestoreError> {
        match fs::remove_dir_all(self.data.root()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(file("remove", self.data.root(), error))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(error = &error as &dyn std::error::Error, "a draft was left behind");
        }
    }
}

async fn prepare(
    journal: &Journal,
    master: Option<&MasterKey>,
    replay: Option<&Path>,
) -> Result<(Head, Timestamp, u64), RestoreError> {
    audit::check(journal, None).await?;
    let replayed = match replay {
        Some(path) => replay_onto(journal, path).await?,
        None => 0,
    };
    if let Some(key) = master {
        // A wrong key is noticed now, not at the first start; and after the replay, which may have exchanged it.
        signing::opens(key, &store::load(journal).await.map_err(StartError::Load)?)?;
    }
    let head = journal.head();
    let at = store::newest_time(journal).await?;
    let note = Unconfirmed::Restored { seq: head.seq, at };
    let note = replay.is_none().then(|| serde_json::to_string(&note).unwrap_or_default());
    journal.set_note(NOTE, note.as_deref()).await?;
    Ok((head, at, replayed))
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
fn move_aside(data: &DataDir, with_key: bool) -> Result<Option<PathBuf>, RestoreError> {
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
    if with_key && key.exists() {
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

fn copy_private(from: &Path, to: &Path) -> Result<(), RestoreError> {
    let mut source = File::open(from).map_err(|source| file("open", from, source))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut target = options.open(to).map_err(|source| file("make", to, source))?;
    io::copy(&mut source, &mut target).map_err(|source| file("write", to, source))?;
    target.sync_all().map_err(|source| file("write", to, source))
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

pub(crate) fn file(attempt: &'static str, path: &Path, source: io::Error) -> RestoreError {
    RestoreError::File { attempt, path: path.to_owned(), source }
}
