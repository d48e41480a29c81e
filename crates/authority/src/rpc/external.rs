//! `proto.rpc.v1.ExternalAuthService`: a token for a machine that checks tokens by itself.

use domain::{Actor, Kind, Permission, Refusal, View as _, query};
use tonic::{Request, Response, Status};
use wire::proto::rpc::v1::external_auth_service_server::ExternalAuthService;
use wire::proto::rpc::v1::{AuthenticateToRequest, AuthenticateToResponse};

use super::App;
use crate::call::Call;
use crate::failure::Failure;

/// The longest name that DNS knows.
const MAX_ADDRESS: usize = 253;

#[tonic::async_trait]
impl ExternalAuthService for App {
    async fn authenticate_to(
        &self,
        request: Request<AuthenticateToRequest>,
    ) -> Result<Response<AuthenticateToResponse>, Status> {
        let call = Call::of(request.extensions())?;
        Ok(Response::new(authenticate_to(self, &call, &request.get_ref().entity)?))
    }
}

fn authenticate_to(app: &App, call: &Call, address: &str) -> Result<AuthenticateToResponse, Failure> {
    if address.is_empty() || address.len() > MAX_ADDRESS {
        return Err(Refusal::invalid("entity", "must be the address of a part").into());
    }
    let (sub, aud, now) = app.engine.read(call, None, |state, principal, now| {
        let label = app.domain.label_of(address);
        let id = label.and_then(|label| state.part_by_label(&label));
        let id = id.ok_or(Refusal::NotFound(Kind::Part))?;
        let part = query::part_for(state, principal, Permission::ControlRobot, id)?;
        // Under the one name that the machine knows itself by, however it was asked for.
        Ok((entity(principal.actor()), app.domain.fqdn(&part.label), now))
    })?;
    let token = app.engine.shared().signing.external_token(&sub, &aud, now).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "no token for a machine");
        Failure::Internal("a token for the machine cannot be signed; the authority's log says why")
    })?;
    Ok(AuthenticateToResponse { access_token: token })
}

/// As whom the machine knows the caller.
fn entity(actor: Actor) -> String {
    match actor {
        Actor::Key(id) => id.to_string(),
        Actor::User(id) => id.to_string(),
        Actor::Part(id) => id.to_string(),
        Actor::System => "claviger".to_owned(),
    }
}
