//! An upload: as it arrives it is checked, hashed and handed on, a few parts at a time.

use aws_lc_rs::digest;
use bytes::Bytes;
use domain::{Checksum, FileId, Refusal};
use object_store::{ObjectStoreExt as _, WriteMultipart};
use tokio::sync::OwnedSemaphorePermit;

use super::{Files, PATIENCE, failed, object};
use crate::failure::Failure;

/// What every gzipped file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The size of a part: stores elsewhere take none smaller, and all of one size.
const PART: usize = 8 << 20;
/// How many parts are on their way at once.
const PARTS: usize = 2;
/// What is hashed in one go, before somebody else has a turn.
const SLICE: usize = 256 << 10;

/// A file that is being uploaded. Dropped before its end, it leaves nothing behind.
pub(crate) struct Upload {
    id: FileId,
    writer: Option<WriteMultipart>,
    sha256: digest::Context,
    crc32c: crc_fast::Digest,
    /// The first bytes.
    start: Vec<u8>,
    size: u64,
    limit: u64,
    _place: OwnedSemaphorePermit,
}

/// A file that lies in the store whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uploaded {
    pub(crate) id: FileId,
    pub(crate) size: u64,
    pub(crate) sha256: Checksum,
    pub(crate) crc32c: u32,
}

impl Files {
    /// Begins an upload, when there is a place for one more.
    ///
    /// # Errors
    /// Where there is none for a while, or the store does not answer.
    pub(crate) async fn begin(&self, id: FileId) -> Result<Upload, Failure> {
        let full = || Failure::TooMuch("too many uploads are running: try again in a moment".to_owned());
        let place = tokio::time::timeout(PATIENCE, self.places.clone().acquire_owned());
        let place = place.await.map_err(|_| full())?.map_err(|_| full())?;
        let upload = self.store.put_multipart(&object(id)).await;
        let upload = upload.map_err(|error| failed("begun", id, &error))?;
        Ok(Upload {
            id,
            writer: Some(WriteMultipart::new_with_chunk_size(upload, PART)),
            sha256: digest::Context::new(&digest::SHA256),
            crc32c: crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi),
            start: Vec::with_capacity(GZIP.len()),
            size: 0,
            limit: self.limit,
            _place: place,
        })
    }
}

impl Upload {
    /// Takes the next piece.
    ///
    /// # Errors
    /// Where the file gets too large or is none that is taken, or the store does not take it.
    pub(crate) async fn write(&mut self, mut piece: Bytes) -> Result<(), Failure> {
        self.size = self.size.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if self.size > self.limit {
            let said = format!("file: must be at most {} bytes", self.limit);
            return Err(Failure::TooMuch(said));
        }
        let missing = GZIP.len().saturating_sub(self.start.len());
        self.start.extend(piece.iter().take(missing));
        if !GZIP.starts_with(&self.start) {
            return Err(not_gzipped());
        }
        while !piece.is_empty() {
            let slice = piece.split_to(piece.len().min(SLICE));
            self.sha256.update(&slice);
            self.crc32c.update(&slice);
            let writer = self.writer.as_mut().ok_or(Failure::Internal("an upload went on after its end"))?;
            writer.wait_for_capacity(PARTS).await.map_err(|error| failed("written", self.id, &error))?;
            writer.put(slice);
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The end of the file: it is in the store, and on its disk, when this returns.
    ///
    /// # Errors
    /// Where there is no file, or the store does not take it.
    pub(crate) async fn finish(mut self) -> Result<Uploaded, Failure> {
        if self.start != GZIP {
            return Err(not_gzipped());
        }
        let writer = self.writer.take().ok_or(Failure::Internal("an upload ended twice"))?;
        writer.finish().await.map_err(|error| failed("finished", self.id, &error))?;
        let hash = self.sha256.clone().finish();
        let sha256 = hash.as_ref().try_into().map_err(|_| Failure::Internal("a hash has another length"))?;
        let crc32c =
            u32::try_from(self.crc32c.finalize()).map_err(|_| Failure::Internal("a checksum is too long"))?;
        Ok(Uploaded { id: self.id, size: self.size, sha256: Checksum::from_bytes(sha256), crc32c })
    }
}

fn not_gzipped() -> Failure {
    Refusal::invalid("file", "must be a tar archive compressed with gzip").into()
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        let id = self.id;
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = writer.abort().await {
                    failed("given up", id, &error);
                }
            });
        }
    }
}
