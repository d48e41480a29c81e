//! `claviger.v1.IdentityService`: who am I, and tell me when that changes.

use std::pin::Pin;
use std::time::Duration;

use domain::{Principal, Refusal, State, Timestamp, query};
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use wire::claviger::v1 as pb;
use wire::claviger::v1::identity_service_server::IdentityService;
use wire::convert::{claviger, timestamp};

use crate::call::Call;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::rpc::App;

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
        // One place: a client that does not read gets the newest identity late, not all of them.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(watch(self.engine.clone(), call, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
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
            grants: principal.grants().iter().copied().map(claviger::grant).collect(),
            expires_at: expires_at.map(timestamp),
            address: call.address.to_string(),
        };
        Ok((identity, expires_at))
    }
}

/// Sends the identity, then what becomes of it, until the caller goes away or is not accepted any more.
async fn watch(engine: Engine, call: Call, sender: mpsc::Sender<Result<pb::Identity, Status>>) {
    let shared = engine.shared();
    shared.metrics.streams.inc();
    let ended = watch_until_ended(&engine, &call, &sender).await;
    shared.metrics.streams.dec();
    if let Some(failure) = ended {
        // The seat is given up by now: whoever revoked does not wait for a client that does not read.
        drop(sender.send(Err(failure.into())).await);
    }
}

async fn watch_until_ended(
    engine: &Engine,
    call: &Call,
    sender: &mpsc::Sender<Result<pb::Identity, Status>>,
) -> Option<Failure> {
    let shared = engine.shared();
    let mut seat = shared.streams.seat();
    let mut sent: Option<pb::Identity> = None;
    loop {
        let (identity, expires_at) = match engine.look(call.caller, shown(call)) {
            Ok(now) => now,
            Err(refusal) => return Some(refusal.into()),
        };
        let news = sent.as_ref() != Some(&identity);
        let expiry = sleep_until(shared.clock.now(), expires_at);
        tokio::select! {
            biased;
            _look = seat.asked() => {
                // Looked at while the answer to the change waits; what is found is acted on above.
                if let Err(refusal) = engine.look(call.caller, |_, _, _| Ok(())) {
                    return Some(refusal.into());
                }
            }
            () = shared.streams.stopped() => return Some(Failure::Stopping),
            () = sender.closed() => return None,
            () = expiry => {}
            place = sender.reserve(), if news => match place {
                Ok(place) => {
                    place.send(Ok(identity.clone()));
                    sent = Some(identity);
                }
                Err(_) => return None,
            },
        }
    }
}

async fn sleep_until(now: Timestamp, at: Option<Timestamp>) {
    match at {
        // A day at most, so that a clock that was set is noticed.
        Some(at) => {
            let micros = u64::try_from(at.as_micros().saturating_sub(now.as_micros())).unwrap_or(0);
            tokio::time::sleep(Duration::from_micros(micros).min(Duration::from_secs(86_400))).await;
        }
        None => std::future::pending().await,
    }
}
