//! The folder in which an authority with an embedded database keeps everything.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The data folder. Only the user that runs the authority may look into it.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// The folder at this path, which need not exist yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Makes the folder if it is not there, readable by nobody else.
    ///
    /// # Errors
    /// Where it cannot be made, or what stands there is not a folder.
    pub fn create(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root)
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.root.join("claviger.db")
    }

    /// The master key.
    #[must_use]
    pub fn master_key(&self) -> PathBuf {
        self.root.join("master.key")
    }

    /// The master key before the one that is there, while it is exchanged.
    #[must_use]
    pub fn old_master_key(&self) -> PathBuf {
        self.root.join("master.key.old")
    }

    /// The high-water mark, beside the master key.
    #[must_use]
    pub fn mark(&self) -> PathBuf {
        self.root.join("master.mark")
    }

    /// The socket for the person who runs the server.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root.join("claviger.sock")
    }

    /// The log that the database leaves beside it when its process is killed.
    fn log(&self) -> PathBuf {
        self.root.join("claviger.db-wal")
    }

    /// There while a database that was found with a log is not checked yet.
    fn unchecked(&self) -> PathBuf {
        self.root.join("unchecked")
    }

    /// Whether the database has to be checked: a log was found beside it, now or at a start that did not get to the
    /// end of its check. To be asked before the database is opened, which empties the log.
    pub(crate) fn to_be_checked(&self) -> bool {
        let log = fs::metadata(self.log()).is_ok_and(|log| log.len() > 0);
        if log && let Err(error) = write_private(&self.unchecked(), b"") {
            // A full disk: it is checked now, and at the next start only if there is a log again.
            tracing::warn!(%error, "the check of the database cannot be noted");
        }
        log || self.unchecked().exists()
    }

    /// The database was checked and is whole.
    pub(crate) fn checked(&self) {
        if let Err(error) = fs::remove_file(self.unchecked())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the next start will check the database once more");
        }
    }

    /// Where the files of modules are kept, unless they are kept in an object store elsewhere.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// Where self-made certificates are kept.
    #[must_use]
    pub fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }
}

/// Writes a file that only its owner may read, so that it is there whole or not at all, and on disk before this
/// returns.
///
/// # Errors
/// Where it cannot be written; then what stood there before still stands.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}
