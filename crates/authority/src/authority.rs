//! From a data folder to a running engine, and back.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use journal::{Absent, Head, Journal, OpenError, Options};
use tokio::task::JoinHandle;

use crate::audit::{self, AuditError};
use crate::clock::Clock;
use crate::data::DataDir;
use crate::engine::{Beside, Engine};
use crate::failure::Failure;
use crate::logs::Logs;
use crate::mark::{Mark, MarkError};
use crate::master::{MasterKey, MasterKeyError};
use crate::presence::Parts;
use crate::restarts::Restarts;
use crate::signing::{Purpose, Signing, SigningError, exchange, rotate};
use crate::store::{self, LoadError};
use crate::trail::Trail;
use crate::unconfirmed::{self, Unconfirmed};
use crate::usage::Usage;

/// An authority that is ready to decide.
pub struct Authority {
    /// Where it keeps everything.
    pub data: DataDir,
    /// Every decision goes through here.
    pub engine: Engine,
    /// Why keys are not accepted, if they are not.
    pub unconfirmed: Option<Unconfirmed>,
    writer: JoinHandle<()>,
    indexing: JoinHandle<()>,
}

/// Why an authority could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("the data folder `{}` cannot be used", .path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database is not whole.
    #[error("the database was not closed well, and it is not whole")]
    Audit(#[from] AuditError),
    /// What is in the database cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// There is no master key, or not the right one.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// One of the authority's own keys cannot be used.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The high-water mark cannot be used.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// The authority's own keys could not be stored.
    #[error("the authority's own keys could not be stored")]
    Keys(#[source] Failure),
}

/// Where the master key comes from.
#[derive(Debug, Default)]
pub enum MasterKeySource {
    /// The file in the data folder, made on the first start.
    #[default]
    DataDir,
    /// Given by the environment.
    Given(MasterKey),
}

/// What becomes of the authority's own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SigningKeys {
    /// They go on signing.
    Keep,
    /// A new one signs tokens, and every token from before is void.
    EndTokens,
    /// All are replaced: the master key is another one, and they do not open.
    Replace,
}

impl Authority {
    /// Opens the data folder, or makes a new authority in it if that is allowed and nothing is there.
    ///
    /// # Errors
    /// What is missing or wrong, and what to do about it.
    pub async fn open(data: DataDir, absent: Absent, master: MasterKeySource) -> Result<Self, StartError> {
        Self::open_with(data, absent, master, SigningKeys::Keep).await
    }

    pub(crate) async fn open_with(
        data: DataDir,
        absent: Absent,
        master: MasterKeySource,
        signing: SigningKeys,
    ) -> Result<Self, StartError> {
        if absent == Absent::Create {
            data.create().map_err(|source| StartError::Folder { path: data.root().to_owned(), source })?;
        }
        // A file of one time under a log of another opens well and is neither: what a crash left is checked.
        let to_be_checked = data.to_be_checked();
        let journal = Journal::open(&data.database(), Options { absent, views: store::VIEWS }).await?;
        if to_be_checked {
            let started = Instant::now();
            let head = audit::check(&journal, None).await?;
            let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            tracing::info!(
                seq = head.seq,
                micros,
                "the database was not closed well; it was checked and is whole"
            );
        }
        data.checked();
        let fresh = journal.head() == Head::EMPTY;
        if fresh && matches!(master, MasterKeySource::DataDir) && !data.master_key().exists() {
            MasterKey::create(&data.master_key())?;
        }
        Self::start(data, journal, master, signing).await
    }

    async fn start(
        data: DataDir,
        journal: Journal,
        master: MasterKeySource,
        signing: SigningKeys,
    ) -> Result<Self, StartError> {
        let clock = Clock::new();
        clock.at_least(store::newest_time(&journal).await?);
        let state = store::load(&journal).await?;
        let parts = Parts::default();
        let restarts = Restarts::default();
        let also = |row: &journal::Latest| {
            parts.take(row);
            restarts.take(row);
        };
        let usage = Usage::load(&journal, also).await?;
        let beside = Beside { usage, parts, logs: Logs::load(&journal).await?, restarts };
        let trail = Trail::load(&journal).await?;
        let head = journal.head();
        let (mark, said) = Mark::open(&data.mark(), head)?;
        let unconfirmed = unconfirmed::unconfirmed(&journal, said).await?;
        if unconfirmed.is_none() {
            mark.advance(head)?;
        }
        // While unconfirmed the mark keeps saying what it said: a restart must not forget.
        let mark = unconfirmed.is_none().then_some(mark);
        let master = match master {
            MasterKeySource::Given(key) => key,
            MasterKeySource::DataDir => exchange::current(&data, &state)?,
        };
        let keys = match signing {
            SigningKeys::Keep | SigningKeys::EndTokens => Signing::open(master, &state)?,
            SigningKeys::Replace => Signing::without_keys(master)?,
        };
        let (engine, writer) = Engine::start(journal, state, mark, clock, beside, keys, trail);
        let renewed = match signing {
            SigningKeys::Keep => &[][..],
            SigningKeys::EndTokens => &[Purpose::TokenMac],
            SigningKeys::Replace => Purpose::ALL,
        };
        for purpose in renewed {
            rotate::replace(&engine, *purpose).await.map_err(StartError::Keys)?;
        }
        // What sealing and tokens need is there from the beginning.
        rotate::ensure(&engine, &[Purpose::TokenMac, Purpose::Sealing]).await.map_err(StartError::Keys)?;
        let indexing = engine.keep_trail();
        Ok(Self { data, engine, unconfirmed, writer, indexing })
    }

    /// Finishes what is queued, writes what was gathered, and closes the journal.
    pub async fn close(self) {
        let Self { engine, writer, indexing, .. } = self;
        engine.stop();
        if let Err(error) = writer.await {
            tracing::error!(%error, "the writer ended badly");
        }
        engine.shared().trail.stop();
        if let Err(error) = indexing.await {
            tracing::error!(%error, "the index of the audit log ended badly");
        }
        if let Err(error) = engine.shared().usage.flush(engine.journal()).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the last uses were not written");
        }
        if let Err(error) = engine.shared().parts.flush(engine.journal()).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the last calls of parts were not written"
            );
        }
        if let Err(error) = engine.shared().logs.flush(engine.journal()).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the last lines of logs were not written"
            );
        }
        match engine.into_journal() {
            Some(journal) => {
                if let Err(error) = journal.close().await {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the journal was not closed well"
                    );
                }
            }
            None => tracing::warn!("a call still runs; the journal is closed by the process's end"),
        }
    }
}
