//! The journal's file: where it is, who may read it, and that only one process has it.
//!
//! INVARIANT: nothing here opens an existing database file. SQLite's locks belong to the process, and closing any
//! descriptor of the file drops them all, those of SQLite's own connections included.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{error::OpenError, open::Absent};

/// For the owner alone.
const PRIVATE: u32 = 0o600;

/// Finds the file, or creates it empty. Returns its path with symbolic links followed, so that one file has one name.
pub(crate) fn locate(path: &Path, absent: Absent) -> Result<PathBuf, OpenError> {
    if absent == Absent::Create {
        match create_private(path) {
            Ok(_) => sync_folder(path).map_err(file(path, "sync the folder of"))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(OpenError::NoFolder { path: path.to_owned() });
            }
            Err(error) => return Err(file(path, "create")(error)),
        }
    }
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        // Also a symbolic link to nothing: it exists enough not to be created.
        ErrorKind::NotFound | ErrorKind::NotADirectory => OpenError::Absent { path: path.to_owned() },
        _ => file(path, "look at")(error),
    })?;
    if !metadata.is_file() {
        return Err(OpenError::NotAFile { path: path.to_owned() });
    }
    // The superuser could write it all the same, but someone has said that it is not to be written.
    if metadata.permissions().readonly() {
        return Err(OpenError::ReadOnly { path: path.to_owned() });
    }
    if absent == Absent::Refuse && metadata.len() == 0 {
        return Err(OpenError::NotAJournal { path: path.to_owned(), found: "it is empty" });
    }
    fs::canonicalize(path).map_err(file(path, "follow the path to"))
}

/// Says that this process has the journal, until it is dropped.
pub(crate) struct Claim(File);

/// Takes the lock that says this process has the journal.
///
/// The lock is on a file beside the journal, which is left there: if it were deleted, one process could lock the
/// deleted file and another its successor.
pub(crate) fn claim(path: &Path) -> Result<Claim, OpenError> {
    let lock = beside(path, ".lock");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(PRIVATE).open(&lock);
    let opened = opened.map_err(file(&lock, "open the lock file"))?;
    match opened.try_lock() {
        Ok(()) => Ok(Claim(opened)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned(), lock }),
        Err(TryLockError::Error(error)) => Err(file(&lock, "lock")(error)),
    }
}

impl Drop for Claim {
    /// Closing the file is not enough while a child process that is just being started has a copy of it.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the journal could not be unlocked; it is once this process has ended");
        }
    }
}

/// Takes the file away from everyone but its owner. SQLite gives the files that it puts beside a database the
/// permissions of the database; those that a crash has left behind are seen to here.
pub(crate) fn make_private(path: &Path) -> Result<(), OpenError> {
    for path in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        let mode = match fs::metadata(&path) {
            Ok(metadata) => metadata.permissions().mode(),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(file(&path, "look at")(error)),
        };
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), mode = format_args!("{:o}", mode & 0o777), "others could read the journal; now they cannot");
            let private = fs::Permissions::from_mode(PRIVATE);
            fs::set_permissions(&path, private).map_err(file(&path, "restrict the permissions of"))?;
        }
    }
    Ok(())
}

/// Creates an empty file for the owner alone; refuses one that exists.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)
}

/// Makes sure that a file created or renamed keeps its name through a power failure.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Ok(()),
    };
    File::open(folder)?.sync_all()
}

/// The path with something added to the file's name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// For `map_err`; `attempt` completes "could not ...".
fn file(path: &Path, attempt: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |source| match source.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            OpenError::ReadOnly { path: path.to_owned() }
        }
        _ => OpenError::File { path: path.to_owned(), attempt, source },
    }
}
