//! Copies of the database that are whole, private and on disk, made while it is in use.

use std::{
    fs, io,
    path::{self, Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::{
    entry::Head,
    error::{BackupError, Error},
    files,
    journal::Journal,
    row, sql, sqlite,
};

impl Journal {
    /// Copies the journal to a new file while it stays in use, and returns where the chain of the copy ends.
    ///
    /// The copy is one moment's journal, complete in a single file that only its owner may read (mode 0600). It is
    /// synced to disk when this returns. A copy that was not finished never stands under the name asked for: what a
    /// crash leaves behind is an empty file there, and beside it one with `.partial-` and a number added to the name.
    ///
    /// If the future is dropped before it is ready, the database goes on copying for a while, into a file that has been
    /// deleted already.
    ///
    /// # Errors
    ///
    /// [`BackupError::Exists`] if there is anything at `to`; otherwise what failed. Nothing is left behind.
    pub async fn backup(&self, to: &Path) -> Result<Head, BackupError> {
        // A connection of its own: a copy may take minutes, and the readers are few.
        let mut connection = sqlite::reader(self.path())
            .connect()
            .await
            .map_err(Error::attempting("open a connection to copy from"))?;
        let copied = copy(&mut connection, to).await;
        connection.close().await.map_err(Error::attempting("close the connection copied from"))?;
        copied
    }
}

/// Copies the database behind the connection to a new file; see [`Journal::backup`].
pub(crate) async fn copy(connection: &mut SqliteConnection, to: &Path) -> Result<Head, BackupError> {
    let unfinished = Unfinished::claim(to)?;
    let partial = unfinished.partial.as_path();
    let copying = sqlx::query(sqlite::COPY_INTO).bind(existing(partial)?).execute(connection).await;
    copying.map_err(Error::attempting("copy the database"))?;
    let head = head_of(partial).await?;

    let copy = tokio::fs::File::open(partial).await.map_err(file(partial, "open"))?;
    copy.sync_all().await.map_err(file(partial, "sync"))?;
    fs::rename(partial, to).map_err(file(to, "rename the copy to"))?;
    unfinished.finish();
    files::sync_folder(to).map_err(file(to, "sync the folder of"))?;
    Ok(head)
}

/// The file as a URI, by which the database writes into a file that exists and never creates one: if nobody waits for
/// the copy any more and its file is gone, a new one would stay, and anyone could read it.
fn existing(path: &Path) -> Result<String, BackupError> {
    let absolute = path::absolute(path).map_err(file(path, "find"))?;
    let name = absolute.to_str().ok_or_else(|| BackupError::NotUtf8 { path: path.to_owned() })?;
    let escaped = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Ok(format!("file://{escaped}?mode=rw"))
}

/// Where the chain of the copy ends, read from the copy itself: the journal has moved on.
async fn head_of(copy: &Path) -> Result<Head, Error> {
    let mut connection = sqlite::reader(copy).connect().await.map_err(Error::attempting("open the copy"))?;
    let row = sqlx::query_as(sql::HEAD).fetch_optional(&mut connection).await;
    let row = row.map_err(Error::attempting("read the copy"))?;
    connection.close().await.map_err(Error::attempting("close the copy"))?;
    row.map_or(Ok(Head::EMPTY), row::head)
}

/// Copies begun by this process.
static ATTEMPTS: AtomicU32 = AtomicU32::new(0);

/// A copy in the making: an empty file that claims its name, and the file that will replace it. Both are removed again
/// unless the copy is finished, also if the future is dropped.
struct Unfinished {
    claim: PathBuf,
    partial: PathBuf,
    finished: bool,
}

impl Unfinished {
    fn claim(to: &Path) -> Result<Unfinished, BackupError> {
        files::create_private(to).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists { path: to.to_owned() },
            _ => file(to, "create")(source),
        })?;
        // The database may still be busy with a copy of that name that nobody waited for.
        let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
        let partial = files::beside(to, &format!(".partial-{attempt}"));
        let unfinished = Unfinished { claim: to.to_owned(), partial: partial.clone(), finished: false };
        // The name is ours, so whatever a crash left half written under it is of no use to anybody.
        for leftover in [partial.clone(), files::beside(&partial, "-journal")] {
            match fs::remove_file(&leftover) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(file(&leftover, "remove")(error));
                }
                _ => {}
            }
        }
        // SQLite writes into an empty file as it finds it, permissions included.
        files::create_private(&partial).map_err(file(&partial, "create"))?;
        Ok(unfinished)
    }

    fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        for path in [&self.partial, &self.claim] {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "an unfinished copy could not be removed");
            }
        }
    }
}

/// For `map_err`; `attempt` completes "could not ...".
fn file(path: &Path, attempt: &'static str) -> impl FnOnce(io::Error) -> BackupError {
    move |source| BackupError::File { path: path.to_owned(), attempt, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[test]
    fn what_a_crash_left_behind_is_replaced_and_what_failed_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("copy.db");
        for number in 0..1000 {
            for suffix in ["", "-journal"] {
                fs::write(files::beside(&to, &format!(".partial-{number}{suffix}")), "half a copy").unwrap();
            }
        }
        let unfinished = Unfinished::claim(&to).unwrap();
        let partial = unfinished.partial.clone();
        assert_eq!(fs::metadata(&partial).unwrap().len(), 0);
        assert!(!files::beside(&partial, "-journal").exists());
        assert!(matches!(Unfinished::claim(&to), Err(BackupError::Exists { .. })));
        drop(unfinished);
        assert!(!to.exists() && !partial.exists());
    }

    /// As when the copy's file was removed before the database came to it.
    #[tokio::test]
    async fn the_database_creates_no_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db"), Options::default()).await.unwrap();
        let mut connection = sqlite::reader(journal.path()).connect().await.unwrap();
        let to = folder.path().join("copy.db");
        let copying =
            sqlx::query(sqlite::COPY_INTO).bind(existing(&to).unwrap()).execute(&mut connection).await;
        assert_eq!(sqlite::result_code(&copying.unwrap_err()), Some(sqlite::ResultCode::CannotOpen));
        assert!(!to.exists());
    }
}
