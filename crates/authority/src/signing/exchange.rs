//! Another master key: every key of the authority's own is sealed anew, in one entry.
//!
//! Killed at any moment, an exchange leaves a data folder that opens. While it runs both keys are there: the new one in
//! its place and the old one beside it. Which of them opens the records says whether the entry was written; a start
//! keeps that one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use domain::State;
use domain::command::ResealSigningKeys;
use journal::Absent;

use super::opens;
use crate::authority::{Authority, MasterKeySource, StartError};
use crate::data::DataDir;
use crate::failure::Failure;
use crate::master::{MasterKey, MasterKeyError};

/// Why the master key was not exchanged. Unless it says otherwise, the old one is in force.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The data folder does not open as it is.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A key cannot be written, or sealed with.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The environment holds the key, so only a person can put the new one there.
    #[error(
        "the master key comes from the environment: give --out FILE for the new one, and put it there yourself"
    )]
    Given,
    /// The key's file is where it is.
    #[error("--out is for a master key that comes from the environment; this one is in the data folder")]
    InFolder,
    /// The file for the new key is taken.
    #[error("`{}` exists already: give a name that is free", .0.display())]
    Occupied(PathBuf),
    /// The entry was not written.
    #[error("the keys could not be sealed anew")]
    NotWritten(#[source] Failure),
    /// The disk did not say.
    #[error(
        "the disk did not say whether the keys are sealed anew: keep both master keys until a start has succeeded"
    )]
    Unknown(#[source] Failure),
}

/// Makes a new master key and seals everything under it. The new key stands in the place of the old one, or, where the
/// environment holds that, in the file `out`.
///
/// # Errors
/// What is wrong, and which key is in force.
pub async fn exchange(
    data: &DataDir,
    source: MasterKeySource,
    out: Option<&Path>,
) -> Result<usize, ExchangeError> {
    let files = match (&source, out) {
        (MasterKeySource::DataDir, None) => Files::InFolder(data),
        (MasterKeySource::DataDir, Some(_)) => return Err(ExchangeError::InFolder),
        (MasterKeySource::Given(_), None) => return Err(ExchangeError::Given),
        (MasterKeySource::Given(_), Some(path)) if path.exists() => {
            return Err(ExchangeError::Occupied(path.to_owned()));
        }
        (MasterKeySource::Given(_), Some(path)) => Files::Out(path),
    };
    let authority = Authority::open(data.clone(), Absent::Refuse, source).await?;
    let done = exchange_open(&authority, &files).await;
    authority.close().await;
    done
}

/// Where the new key is written, and where the old one is kept meanwhile.
enum Files<'a> {
    InFolder(&'a DataDir),
    Out(&'a Path),
}

impl Files<'_> {
    fn begin(&self, old: &MasterKey) -> Result<MasterKey, MasterKeyError> {
        match self {
            Self::InFolder(data) => {
                old.write(&data.old_master_key())?;
                MasterKey::create(&data.master_key())
            }
            Self::Out(path) => MasterKey::create(path),
        }
    }

    /// The entry is written: the old key opens nothing any more.
    fn keep_new(&self) -> Result<(), MasterKeyError> {
        match self {
            Self::InFolder(data) => remove(&data.old_master_key()),
            Self::Out(_) => Ok(()),
        }
    }

    /// Nothing was written: the new key has sealed nothing.
    fn keep_old(&self) -> Result<(), MasterKeyError> {
        match self {
            Self::InFolder(data) => put_back(data),
            Self::Out(path) => remove(path),
        }
    }
}

async fn exchange_open(authority: &Authority, files: &Files<'_>) -> Result<usize, ExchangeError> {
    let shared = authority.engine.shared();
    let old = shared.signing.master();
    let new = files.begin(&old)?;
    let sealed = shared.state(|state| super::reseal(&old, &new, state))?;
    let count = sealed.len();
    // What the writer takes over is sealed under the new key already.
    shared.signing.set_master(new);
    match authority.engine.command("claviger exchange-master-key", ResealSigningKeys { sealed }).await {
        Ok(()) => {
            shared.state(|state| opens(&shared.signing.master(), state))?;
            files.keep_new()?;
            Ok(count)
        }
        Err(unknown @ (Failure::OutcomeUnknown | Failure::Stopping)) => Err(ExchangeError::Unknown(unknown)),
        Err(failure) => {
            files.keep_old()?;
            Err(ExchangeError::NotWritten(failure))
        }
    }
}

/// The master key in the data folder. Where an exchange did not get to its end, it is the one of the two that opens the
/// records, and the other one is put away.
///
/// # Errors
/// Where it is missing or cannot be read.
pub(crate) fn current(data: &DataDir, state: &State) -> Result<MasterKey, MasterKeyError> {
    let (path, old_path) = (data.master_key(), data.old_master_key());
    if !old_path.exists() {
        return MasterKey::read(&path);
    }
    let in_force = |key: &MasterKey| opens(key, state).is_ok();
    if let Some(new) = MasterKey::read(&path).ok().filter(in_force) {
        tracing::info!("the master key was exchanged; the old one is removed");
        remove(&old_path)?;
        return Ok(new);
    }
    let Some(old) = MasterKey::read(&old_path).ok().filter(in_force) else { return MasterKey::read(&path) };
    tracing::warn!("an exchange of the master key was broken off; the old one stays");
    put_back(data)?;
    Ok(old)
}

fn put_back(data: &DataDir) -> Result<(), MasterKeyError> {
    let (path, old) = (data.master_key(), data.old_master_key());
    let done = fs::rename(&old, &path).and_then(|()| sync(&path));
    done.map_err(|source| MasterKeyError::File { path, source })
}

fn remove(path: &Path) -> Result<(), MasterKeyError> {
    let done = match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    };
    let done = done.and_then(|()| sync(path));
    done.map_err(|source| MasterKeyError::File { path: path.to_owned(), source })
}

/// Makes sure that the folder's names are on disk.
fn sync(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open(data: &DataDir) -> Authority {
        Authority::open(data.clone(), Absent::Refuse, MasterKeySource::DataDir).await.unwrap()
    }

    /// What was sealed, and the file of the master key that was there then.
    async fn sealed(data: &DataDir) -> (Vec<u8>, Vec<u8>) {
        let authority =
            Authority::open(data.clone(), Absent::Create, MasterKeySource::DataDir).await.unwrap();
        let sealed = authority.engine.shared().signing.sealer().seal("x", b"secret").unwrap();
        authority.close().await;
        (sealed, fs::read(data.master_key()).unwrap())
    }

    async fn opens_as_before(data: &DataDir, sealed: &[u8]) {
        let authority = open(data).await;
        let sealer = authority.engine.shared().signing.sealer();
        assert_eq!(sealer.open("x", sealed).unwrap().as_slice(), b"secret");
        assert!(!data.old_master_key().exists());
        authority.close().await;
    }

    #[tokio::test]
    async fn what_was_sealed_opens_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path());
        let (sealed, old) = sealed(&data).await;
        assert_eq!(exchange(&data, MasterKeySource::DataDir, None).await.unwrap(), 2);
        assert_ne!(fs::read(data.master_key()).unwrap(), old);
        opens_as_before(&data, &sealed).await;
    }

    /// The two places where a process can be killed with both keys there: before the entry and after it.
    #[tokio::test]
    async fn a_start_keeps_the_key_that_opens_the_records() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path());
        let (sealed, old) = sealed(&data).await;
        fs::rename(data.master_key(), data.old_master_key()).unwrap();
        MasterKey::create(&data.master_key()).unwrap();
        opens_as_before(&data, &sealed).await;
        assert_eq!(fs::read(data.master_key()).unwrap(), old);

        exchange(&data, MasterKeySource::DataDir, None).await.unwrap();
        let new = fs::read(data.master_key()).unwrap();
        fs::write(data.old_master_key(), &old).unwrap();
        opens_as_before(&data, &sealed).await;
        assert_eq!(fs::read(data.master_key()).unwrap(), new);
        // And half of a file, which no crash of ours leaves, is no reason not to start.
        fs::write(data.old_master_key(), "half").unwrap();
        opens_as_before(&data, &sealed).await;
    }

    #[tokio::test]
    async fn without_a_key_that_opens_the_records_nothing_is_put_away() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path());
        sealed(&data).await;
        MasterKey::create(&data.master_key()).unwrap();
        MasterKey::create(&data.old_master_key()).unwrap();
        let kept = [data.master_key(), data.old_master_key()].map(|path| fs::read(path).unwrap());
        let opened = Authority::open(data.clone(), Absent::Refuse, MasterKeySource::DataDir).await;
        assert!(opened.is_err());
        assert_eq!(kept, [data.master_key(), data.old_master_key()].map(|path| fs::read(path).unwrap()));
    }
}
