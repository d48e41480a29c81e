//! `proto.rpc.v1.AuthService`: a key, or the secret of a part, for a token.

use domain::{Denial, Refusal};
use tonic::{Request, Response, Status};
use wire::proto::rpc::v1::auth_service_server::AuthService;
use wire::proto::rpc::v1::{AuthenticateRequest, AuthenticateResponse, Credentials};

use super::App;
use crate::failure::Failure;

#[tonic::async_trait]
impl AuthService for App {
    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        if request.metadata().contains_key("authorization") {
            let said = "already authenticated; cannot re-authenticate".to_owned();
            return Err(Failure::Malformed(said).into());
        }
        Ok(Response::new(authenticate(self, request.into_inner())?))
    }
}

fn authenticate(app: &App, request: AuthenticateRequest) -> Result<AuthenticateResponse, Failure> {
    let AuthenticateRequest { entity, credentials } = request;
    let credentials = credentials.ok_or_else(|| Failure::Malformed("credentials required".to_owned()))?;
    let Credentials { r#type, payload } = credentials;
    let verified = match r#type.as_str() {
        "api-key" => app.engine.verify(&entity, &payload),
        "robot-secret" => app.engine.verify_part(&entity, &payload),
        other => return Err(Failure::Malformed(unknown_type(other))),
    };
    let denied = |reason: Denial| Failure::Refused(Refusal::Unauthenticated(reason));
    let caller = verified.map_err(denied)?;
    let shared = app.engine.shared();
    let token = shared.signing.token(caller, shared.clock.now());
    let access_token = token.ok_or(Failure::Internal("the key that signs tokens is missing"))?;
    Ok(AuthenticateResponse { access_token })
}

fn unknown_type(given: &str) -> String {
    // What is echoed is short and printable: it might be a key value in the wrong field.
    let harmless = given.len() <= 32 && given.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    if harmless {
        format!("do not know how to handle credential type \"{given}\"")
    } else {
        "do not know how to handle this credential type; it must be \"api-key\" or \"robot-secret\""
            .to_owned()
    }
}
