//! `claviger.v1.IdentityService`: who am I, and tell me when that changes.

use std::pin::Pin;

use domain::{Principal, Refusal, State, Timestamp, query};
use futures::Stream;
use tonic::{Request, Response, Status};
use wire::claviger::v1 as pb;
use wire::claviger::v1::identity_service_server::IdentityService;
use wire::convert::{claviger, timestamp};

use crate::call::Call;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::feed::{Writer, feed};
use crate::rpc::App;
use crate::streams::sleep_until;

#[tonic::async_trait]
impl IdentityService for App {
    type WatchIdentityStream = Pin<Box<dyn Stream<Item = Result<pb::Identity, Status>> + Send>>;

    async fn get_identity(
        &self,
        request: Request<pb::GetIdentityRequest>,
    ) -> Result<Response<pb::Identity>, Status> {
        let call = Call::of(request.extensions())?;
        let (identity, _) = self.engine.read(&call, None, shown(&call)).map_err(Failure::from)?;
        Ok(Response::new(identity))
    }

    async fn watch_identity(
        &self,
        request: Request<pb::WatchIdentityRequest>,
    ) -> Result<Response<Self::WatchIdentityStream>, Status> {
        let call = Call::of(request.extensions())?;
        // The first look refuses a dead credential before there is a stream.
        self.engine.read(&call, None, shown(&call)).map_err(Failure::from)?;
        let engine = self.engine.clone();
        let (writer, reader) = feed(move || accepted(&engine, &call).map_err(Status::from));
        tokio::spawn(watch(self.engine.clone(), call, writer));
        Ok(Response::new(Box::pin(reader)))
    }
}

/// Whether the caller is still accepted.
fn accepted(engine: &Engine, call: &Call) -> Result<(), Failure> {
    Ok(engine.accepts(call)?)
}

/// The caller's identity, and when it ends by itself.
fn shown(
    call: &Call,
) -> impl FnOnce(&State, &Principal<'_>, Timestamp) -> Result<(pb::Identity, Option<Timestamp>), Refusal> {
    |state, principal, _| {
        let organizations = query::list_organizations(state, principal);
        let expires_at = principal.key().and_then(|key| key.expires_at);
        let identity = pb::Identity {
            actor: Some(claviger::actor(principal.actor())),
            name: principal.key().map(|key| key.name.to_string()).unwrap_or_default(),
            organization_ids: organizations.into_iter().map(|it| it.id.to_string()).collect(),
            grants: principal.grants().copied().map(claviger::grant).collect(),
            expires_at: expires_at.map(timestamp),
            address: call.address.to_string(),
        };
        Ok((identity, expires_at))
    }
}

/// Tells the identity, then what becomes of it, until the caller goes away or is not accepted any more.
async fn watch(engine: Engine, call: Call, writer: Writer<pb::Identity>) {
    let shared = engine.shared();
    shared.metrics.streams.inc();
    watch_until_ended(&engine, &call, &writer).await;
    shared.metrics.streams.dec();
}

async fn watch_until_ended(engine: &Engine, call: &Call, writer: &Writer<pb::Identity>) {
    let shared = engine.shared();
    let mut seat = shared.streams.seat();
    let end = |failure: Failure| writer.end(failure.into());
    let mut told: Option<pb::Identity> = None;
    loop {
        let (identity, expires_at) = match engine.look(call.caller, shown(call)) {
            Ok(now) => now,
            Err(refusal) => return end(refusal.into()),
        };
        if told.as_ref() != Some(&identity) {
            writer.put(identity.clone());
            told = Some(identity);
        }
        tokio::select! {
            biased;
            _look = seat.asked() => {
                // The answer to the change waits for this look, so it ends here what must end.
                if let Err(failure) = accepted(engine, call) {
                    return end(failure);
                }
            }
            () = shared.streams.stopped() => return end(Failure::Stopping),
            () = writer.left() => return,
            () = sleep_until(shared.clock.now(), expires_at) => {}
        }
    }
}
