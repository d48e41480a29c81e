//! `claviger.v1.AuditService`: what was changed, by whom, and why it was allowed.

mod line;
mod question;
mod stream;

use std::pin::Pin;

use domain::{Permission, Refusal, Resource};
use futures::Stream;
use tonic::{Request, Response, Status};
use wire::claviger::v1 as pb;
use wire::claviger::v1::audit_service_server::AuditService;

use self::question::{Answering, Question};
use self::stream::Run;
use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;

const DEFAULT: usize = 100;
const MAX: usize = 1_000;

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AuditService for App {
    type FollowEntriesStream = Streamed<pb::AuditEntry>;
    type ExportEntriesStream = Streamed<pb::ExportEntriesResponse>;

    async fn list_entries(
        &self,
        request: Request<pb::ListEntriesRequest>,
    ) -> Result<Response<pb::ListEntriesResponse>, Status> {
        let call = Call::of(request.extensions())?;
        Ok(Response::new(list(self, &call, request.into_inner()).await?))
    }

    async fn follow_entries(
        &self,
        request: Request<pb::FollowEntriesRequest>,
    ) -> Result<Response<Self::FollowEntriesStream>, Status> {
        let call = Call::of(request.extensions())?;
        Ok(Response::new(follow(self, call, request.into_inner()).await?))
    }

    async fn export_entries(
        &self,
        request: Request<pb::ExportEntriesRequest>,
    ) -> Result<Response<Self::ExportEntriesStream>, Status> {
        let call = Call::of(request.extensions())?;
        Ok(Response::new(export(self, call, request.into_inner()).await?))
    }
}

async fn list(
    app: &App,
    call: &Call,
    request: pb::ListEntriesRequest,
) -> Result<pb::ListEntriesResponse, Failure> {
    let pb::ListEntriesRequest { organization_id, filter, page_size, page_token } = request;
    let question = Question::parse(&organization_id, filter.unwrap_or_default())?;
    let before = parse_token(&page_token)?;
    let size = match usize::try_from(page_size).unwrap_or(MAX) {
        0 => DEFAULT,
        size => size.min(MAX),
    };
    let (mut answering, newest) = begin(app, call, &question).await?;
    let mut bounds = answering.bounds(newest).await?;
    bounds.before = bounds.before.min(before.unwrap_or(u64::MAX));
    let (entries, next) = answering.page(bounds, size).await?;
    let next_page_token = next.map(|seq| seq.to_string()).unwrap_or_default();
    Ok(pb::ListEntriesResponse { entries, next_page_token })
}

/// The token is the number of the entry before which the next page begins.
fn parse_token(token: &str) -> Result<Option<u64>, Refusal> {
    if token.is_empty() {
        return Ok(None);
    }
    let wrong =
        |_| Refusal::invalid("page_token", "must be the next_page_token of the page before, or empty");
    token.parse().map(Some).map_err(wrong)
}

/// Looks up what the caller may read, and up to where there is something to read.
async fn begin(app: &App, call: &Call, question: &Question) -> Result<(Answering, u64), Failure> {
    let uses = (Permission::ReadAudit, Resource::Organization(question.organization));
    let (roots, there) =
        app.engine.read(call, Some(uses), |state, principal, _| question.scope(state, principal))?;
    let newest = app.engine.shared().trail.settled().await?;
    let answering = Answering::new(app.engine.clone(), question.clone(), roots);
    match question.resource {
        // Of what is gone, only those know who see an entry of it; the others read what they read of what never was.
        Some(resource) if !there && !answering.ever(resource, newest).await? => {
            Err(Refusal::NotFound(domain::RecordId::from(resource).kind()).into())
        }
        _ => Ok((answering, newest)),
    }
}

async fn follow(
    app: &App,
    call: Call,
    request: pb::FollowEntriesRequest,
) -> Result<Streamed<pb::AuditEntry>, Failure> {
    let pb::FollowEntriesRequest { organization_id, filter, after_seq } = request;
    let filter = filter.unwrap_or_default();
    if filter.to.is_some() {
        return Err(Refusal::invalid("filter.to", "must be absent where entries are followed").into());
    }
    let question = Question::parse(&organization_id, filter)?;
    let (answering, newest) = begin(app, &call, &question).await?;
    let mut bounds = answering.bounds(newest).await?;
    bounds.after = bounds.after.max(check_after(after_seq, newest)?.unwrap_or(newest));
    bounds.before = u64::MAX;
    Ok(Box::pin(Run { call, answering, bounds, until: None }.start(Ok)))
}

async fn export(
    app: &App,
    call: Call,
    request: pb::ExportEntriesRequest,
) -> Result<Streamed<pb::ExportEntriesResponse>, Failure> {
    let pb::ExportEntriesRequest { organization_id, filter, after_seq } = request;
    let question = Question::parse(&organization_id, filter.unwrap_or_default())?;
    let (answering, newest) = begin(app, &call, &question).await?;
    let mut bounds = answering.bounds(newest).await?;
    bounds.after = bounds.after.max(check_after(Some(after_seq), newest)?.unwrap_or(0));
    Ok(Box::pin(Run { call, answering, bounds, until: Some(newest) }.start(line::line)))
}

fn check_after(after: Option<u64>, newest: u64) -> Result<Option<u64>, Refusal> {
    match after {
        // Who is ahead of us has followed another history.
        Some(after) if after > newest => {
            Err(Refusal::invalid("after_seq", format!("must be at most {newest}, the newest entry")))
        }
        after => Ok(after),
    }
}
