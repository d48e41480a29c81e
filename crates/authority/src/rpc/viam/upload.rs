//! Uploads of modules: what it is, then the file in pieces.
//!
//! Whether it may be is asked before the first byte is taken, and again in the decision at the end, which may be an
//! hour later.

use std::time::Duration;

use bytes::Bytes;
use domain::command::{UploadModule, may_upload};
use domain::{FileId, Module, ModuleFile, Refusal, Timestamp};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use tonic::{Request, Status, Streaming};
use wire::convert::modules::{Announced, parse_file_info};
use wire::viam::app::v1 as pb;
use wire::viam::app::v1::upload_module_file_request::ModuleFile as Sent;

use super::modules::owned;
use crate::call::Call;
use crate::failure::Failure;
use crate::files::{Upload, Uploaded};
use crate::origin::Origin;
use crate::rpc::App;

/// The longest a client may be silent.
const SILENCE: Duration = Duration::from_secs(60);

type Messages = Streaming<pb::UploadModuleFileRequest>;

pub(super) async fn upload(
    app: &App,
    request: Request<Messages>,
) -> Result<pb::UploadModuleFileResponse, Status> {
    let call = Call::of(request.extensions())?;
    let origin = Origin::of(request.extensions())?;
    let mut messages = request.into_inner();
    let announced = announced(&mut messages).await?;
    let Announced { module, version, platform, .. } = &announced;
    app.engine
        .read(&call, None, |state, principal, _| {
            may_upload(state, principal, module, version, platform).map(drop)
        })
        .map_err(Failure::from)?;
    let id = FileId::generate(app.engine.shared().clock.now(), &mut UnwrapErr(SysRng));
    let mut upload = app.files.begin(id).await?;
    receive(&mut messages, &mut upload).await?;
    // From here on it is brought to its end, also where the client does not wait for it: what is committed must not be
    // deleted.
    let app = app.clone();
    let ending = tokio::spawn(async move { finish(&app, &call, announced, upload, &origin).await });
    let url = ending.await.map_err(|_| Failure::Internal("an upload was not brought to its end"))??;
    Ok(pb::UploadModuleFileResponse { url })
}

async fn announced(messages: &mut Messages) -> Result<Announced, Status> {
    match next(messages).await?.and_then(|message| message.module_file) {
        Some(Sent::ModuleFileInfo(info)) => Ok(parse_file_info(info).map_err(Failure::from)?),
        _ => Err(Failure::from(Refusal::invalid("module_file_info", "must be in the first message")).into()),
    }
}

async fn receive(messages: &mut Messages, upload: &mut Upload) -> Result<(), Status> {
    while let Some(message) = next(messages).await? {
        match message.module_file {
            Some(Sent::File(piece)) => upload.write(Bytes::from(piece)).await?,
            _ => {
                let refusal = Refusal::invalid("file", "must be in every message but the first");
                return Err(Failure::from(refusal).into());
            }
        }
    }
    Ok(())
}

async fn next(messages: &mut Messages) -> Result<Option<pb::UploadModuleFileRequest>, Status> {
    let message = tokio::time::timeout(SILENCE, messages.message()).await;
    message.map_err(|_| Failure::Stalled(SILENCE.as_secs()))?
}

async fn finish(
    app: &App,
    call: &Call,
    announced: Announced,
    upload: Upload,
    origin: &Origin,
) -> Result<String, Failure> {
    let Uploaded { id, size, sha256, crc32c } = upload.finish().await?;
    let Announced { module, version, platform, tags } = announced;
    // The time is set by the decision.
    let uploaded_at = Timestamp::EPOCH;
    let called = domain::file_name(&version, &platform);
    let file = ModuleFile { id, platform, tags, size, sha256, crc32c, uploaded_at };
    match app.engine.change(call, UploadModule { module, version, file }).await {
        Ok(module) => url(app, &module, &called, origin),
        // It may be committed; if it is not, the file is a stray and the sweep of a later start finds it.
        Err(failure @ Failure::OutcomeUnknown) => Err(failure),
        Err(failure) => {
            app.files.delete(id).await;
            Err(failure)
        }
    }
}

fn url(app: &App, module: &Module, called: &str, origin: &Origin) -> Result<String, Failure> {
    let (module, owner) = app.engine.look_as_system(|state| owned(state, module))?;
    let found = module.file_called(called).ok_or(Failure::Internal("a file is not in its module"))?;
    Ok(origin.download(&module, &owner, found))
}
