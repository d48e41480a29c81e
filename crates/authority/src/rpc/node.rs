//! `claviger.v1.NodeService`: for the person who runs the server, on a socket only they can open.

use std::path::{Path, PathBuf};
use std::pin::Pin;

use domain::{Kind, Refusal, Timestamp};
use futures::Stream;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use wire::claviger::v1 as pb;
use wire::claviger::v1::backup_response::Part;
use wire::claviger::v1::node_service_server::NodeService;
use wire::convert::timestamp;

use crate::data::DataDir;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::replay::ExportedLine;
use crate::signing::{Purpose, Rotated, Rotation, rotate};

/// The size of a piece of a file, in bytes.
const CHUNK: usize = 1024 * 1024;
/// How many entries are read at once for an export.
const ENTRIES: u32 = 500;

/// What the node service works with.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) data: DataDir,
    pub(crate) started_at: Timestamp,
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl NodeService for Node {
    type BackupStream = Streamed<pb::BackupResponse>;
    type ExportJournalStream = Streamed<pb::ExportJournalResponse>;

    async fn get_status(
        &self,
        _request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        let head = self.engine.journal().head();
        let count = |kind| self.engine.shared().state(|state| state.count(kind)) as u64;
        Ok(Response::new(pb::GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            head_seq: head.seq,
            head_hash: head.hash.to_string(),
            organization_count: count(Kind::Organization),
            location_count: count(Kind::Location),
            machine_count: count(Kind::Machine),
            key_count: count(Kind::Key),
            started_at: Some(timestamp(self.started_at)),
            restored_unconfirmed: !self.engine.confirmed(),
        }))
    }

    async fn backup(
        &self,
        _request: Request<pb::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let now = self.engine.shared().clock.now();
        let copy = Temporary(self.data.root().join(format!("backup-{}.tmp", now.as_micros())));
        let head = self.engine.journal().backup(&copy.0).await.map_err(|error| failed("back up", &error))?;
        let size = tokio::fs::metadata(&copy.0).await.map_err(|error| failed("back up", &error))?.len();
        let header = pb::BackupHeader {
            seq: head.seq,
            hash: head.hash.to_string(),
            taken_at: Some(timestamp(now)),
            size_bytes: size,
        };
        let (sender, receiver) = mpsc::channel(2);
        tokio::spawn(async move {
            let header = pb::BackupResponse { part: Some(Part::Header(header)) };
            if sender.send(Ok(header)).await.is_ok()
                && let Err(error) = send_file(&copy.0, &sender).await
            {
                drop(sender.send(Err(failed("back up", &error))).await);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn rotate_keys(
        &self,
        request: Request<pb::RotateKeysRequest>,
    ) -> Result<Response<pb::RotateKeysResponse>, Status> {
        let rotation = rotation(request.into_inner())?;
        let rotated = rotate::rotate(&self.engine, "claviger rotate-keys", &rotation).await?;
        let shown = |it: Rotated| pb::RotatedKey {
            purpose: it.purpose.name().to_owned(),
            id: it.id.to_string(),
            signs_at: Some(timestamp(it.signs_at)),
            older_count: it.older as u64,
        };
        Ok(Response::new(pb::RotateKeysResponse { keys: rotated.into_iter().map(shown).collect() }))
    }

    async fn export_journal(
        &self,
        request: Request<pb::ExportJournalRequest>,
    ) -> Result<Response<Self::ExportJournalStream>, Status> {
        let after = request.into_inner().after_seq;
        let (sender, receiver) = mpsc::channel(2);
        let engine = self.engine.clone();
        tokio::spawn(async move {
            if let Err(status) = send_entries(&engine, after, &sender).await {
                drop(sender.send(Err(status)).await);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// Reads what is to be rotated; no purpose means all.
fn rotation(request: pb::RotateKeysRequest) -> Result<Rotation, Failure> {
    let pb::RotateKeysRequest { purposes, end_old_tokens, distrust_old_ca } = request;
    let named = |(index, name): (usize, &String)| {
        Purpose::named(name).ok_or_else(|| {
            let rule = format!("must be one of {}", Purpose::names());
            Failure::Refused(Refusal::invalid(format!("purposes[{index}]"), rule))
        })
    };
    let mut wanted = purposes.iter().enumerate().map(named).collect::<Result<Vec<_>, _>>()?;
    if wanted.is_empty() {
        wanted = Purpose::ALL.to_vec();
    }
    wanted.sort_unstable();
    wanted.dedup();
    Ok(Rotation { purposes: wanted, end_old_tokens, distrust_old_ca })
}

/// A file that is gone when it is no longer needed, also if the caller went away.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a temporary copy could not be removed");
        }
    }
}

async fn send_file(
    path: &Path,
    to: &mpsc::Sender<Result<pb::BackupResponse, Status>>,
) -> std::io::Result<()> {
    let mut file = tokio::fs::File::open(path).await?;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        // `take` keeps a chunk within its bound; zero bytes are the end of the file.
        if (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).await? == 0 {
            return Ok(());
        }
        if to.send(Ok(pb::BackupResponse { part: Some(Part::Chunk(chunk)) })).await.is_err() {
            return Ok(());
        }
    }
}

async fn send_entries(
    engine: &Engine,
    mut after: u64,
    to: &mpsc::Sender<Result<pb::ExportJournalResponse, Status>>,
) -> Result<(), Status> {
    // What is committed meanwhile is for the next export.
    let end = engine.journal().head();
    if after > end.seq {
        return Err(Status::invalid_argument(format!(
            "after_seq: must be at most {}, the last entry",
            end.seq
        )));
    }
    let mut ended = false;
    while !ended {
        let entries = engine.journal().entries(after, ENTRIES).await;
        let entries = entries.map_err(|error| failed("export the journal", &error))?;
        let mut exported: Vec<_> =
            entries.iter().filter(|entry| entry.seq <= end.seq).map(ExportedLine::of).collect();
        after = entries.last().map_or(end.seq, |last| last.seq);
        ended = after >= end.seq;
        if ended {
            exported.push(ExportedLine::end(end));
        }
        let mut lines = Vec::new();
        for line in exported {
            serde_json::to_writer(&mut lines, &line).map_err(|error| failed("export the journal", &error))?;
            lines.push(b'\n');
        }
        for chunk in lines.chunks(CHUNK) {
            if to.send(Ok(pb::ExportJournalResponse { chunk: chunk.to_vec() })).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn failed(attempt: &str, error: &(dyn std::error::Error + 'static)) -> Status {
    tracing::error!(error, "could not {attempt}");
    let mut text = format!("could not {attempt}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    Status::internal(text)
}
