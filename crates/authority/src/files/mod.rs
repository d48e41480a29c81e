//! The files of modules: a folder beside the database, or an object store.
//!
//! A file is written under its id before the entry that speaks of it is decided, and nobody reaches it until that
//! entry is committed: the entry is what puts it in place. So no entry ever speaks of a file that is not there. What
//! no entry speaks of is deleted: at once where an upload breaks off or is refused, by [`sweep`](Files::sweep) where
//! the process was killed.

mod sweep;
mod upload;

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::FileId;
use futures::Stream;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientConfigKey, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, RetryConfig};
use tokio::sync::Semaphore;

pub(crate) use upload::{Upload, Uploaded};

use crate::data::DataDir;
use crate::failure::Failure;

/// Where all objects of modules lie.
const MODULES: &str = "modules";
/// What an object is called after its file's id.
const SUFFIX: &str = ".tar.gz";
/// How many uploads run at once; each holds a message and a few parts in memory.
const UPLOADS: usize = 16;
/// The longest a store elsewhere may take to answer, repetitions included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where files are kept, and how large they may be.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// An address such as `s3://bucket/folder`; the folder beside the database if absent. How to reach it and with
    /// which credentials is said by the usual `AWS_*` variables.
    pub store_url: Option<String>,
    /// The largest file, in bytes.
    pub limit: u64,
}

impl FileOptions {
    /// The largest file unless told otherwise, in MiB.
    pub const LIMIT_MIB: u32 = 1_024;
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { store_url: None, limit: u64::from(Self::LIMIT_MIB) << 20 }
    }
}

/// Why files cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The folder cannot be used.
    #[error("the folder for files, `{}`, cannot be used", .path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The address is none of a store.
    #[error(
        "`{0}` is not the address of a store for files: it must be such as s3://bucket or s3://bucket/folder"
    )]
    Address(String),
    /// The store cannot be used.
    #[error("the store for files cannot be used")]
    Store(#[from] object_store::Error),
}

/// The store of files. Cheap to clone.
#[derive(Clone)]
pub struct Files {
    store: Arc<dyn ObjectStore>,
    /// The folder, where it is one.
    folder: Option<PathBuf>,
    limit: u64,
    places: Arc<Semaphore>,
}

impl Files {
    /// Opens the store. One elsewhere is not asked yet: an authority starts without it, and only files are missing.
    ///
    /// # Errors
    /// Where the folder or the address cannot be used.
    pub fn open(data: &DataDir, options: &FileOptions) -> Result<Self, FilesError> {
        let (store, folder) = match &options.store_url {
            Some(url) => (elsewhere(url)?, None),
            None => {
                let path = data.files();
                let folder =
                    folder(&path).map_err(|source| FilesError::Folder { path: path.clone(), source })?;
                let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
                (Arc::new(store) as Arc<dyn ObjectStore>, Some(path))
            }
        };
        Ok(Self { store, folder, limit: options.limit, places: Arc::new(Semaphore::new(UPLOADS)) })
    }

    /// A part of a file, or all of it, as it comes from the store.
    ///
    /// # Errors
    /// Where the store does not have it or does not answer; the log says which.
    pub(crate) async fn read(
        &self,
        id: FileId,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = object_store::Result<Bytes>> + Send + use<>, Failure> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = self.store.get_opts(&object(id), options).await;
        found.map(object_store::GetResult::into_stream).map_err(|error| failed("read", id, &error))
    }

    /// Deletes a file that no entry speaks of.
    pub(crate) async fn delete(&self, id: FileId) {
        if let Err(error) = self.store.delete(&object(id)).await {
            // It is a stray now, and the sweep of a later start finds it.
            failed("deleted", id, &error);
        }
    }
}

fn folder(path: &std::path::Path) -> io::Result<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path.join(MODULES))?;
    path.canonicalize()
}

fn elsewhere(url: &str) -> Result<Arc<dyn ObjectStore>, FilesError> {
    let wrong = || FilesError::Address(url.to_owned());
    let place = url.strip_prefix("s3://").ok_or_else(wrong)?;
    let (bucket, folder) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err(wrong());
    }
    let retry = RetryConfig { retry_timeout: PATIENCE, max_retries: 4, ..RetryConfig::default() };
    let timeout = |key, seconds: u64| (AmazonS3ConfigKey::Client(key), format!("{seconds}s"));
    let timeouts =
        [timeout(ClientConfigKey::ConnectTimeout, 5), timeout(ClientConfigKey::Timeout, PATIENCE.as_secs())];
    let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
    let builder = timeouts.into_iter().fold(builder, |builder, (key, value)| builder.with_config(key, value));
    let store = builder.build()?;
    let folder = Path::parse(folder).map_err(|_| wrong())?;
    Ok(Arc::new(PrefixStore::new(store, folder)))
}

fn object(id: FileId) -> Path {
    Path::from_iter([MODULES.to_owned(), format!("{id}{SUFFIX}")])
}

fn failed(attempt: &str, id: FileId, error: &object_store::Error) -> Failure {
    tracing::error!(error = error as &dyn std::error::Error, %id, "a file could not be {attempt}");
    Failure::Files
}
