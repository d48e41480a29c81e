//! Secrets of parts and locations.

use domain::command::{CreateLocationSecret, CreatePartSecret, DeleteLocationSecret, DeletePartSecret};
use domain::{LocationId, Permission, Resource, Secret, query};
use wire::convert::{self, part};
use wire::viam::app::v1 as pb;

use super::shown::shown_again;
use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;
use crate::secrets;

pub(super) async fn create_of_part(
    app: &App,
    call: &Call,
    request: pb::CreateRobotPartSecretRequest,
) -> Result<pb::CreateRobotPartSecretResponse, Failure> {
    let part = convert::id("part_id", &request.part_id)?;
    let command = CreatePartSecret { part, secret: secrets::make(&app.engine)? };
    let part = app.engine.change(call, command).await?;
    Ok(pb::CreateRobotPartSecretResponse { part: Some(shown_again(app, call, part).await?) })
}

pub(super) async fn delete_of_part(
    app: &App,
    call: &Call,
    request: pb::DeleteRobotPartSecretRequest,
) -> Result<pb::DeleteRobotPartSecretResponse, Failure> {
    let pb::DeleteRobotPartSecretRequest { part_id, secret_id } = request;
    let command = DeletePartSecret {
        part: convert::id("part_id", &part_id)?,
        secret: convert::id("secret_id", &secret_id)?,
    };
    app.engine.change(call, command).await?;
    Ok(pb::DeleteRobotPartSecretResponse {})
}

pub(super) async fn of_location(
    app: &App,
    call: &Call,
    request: pb::LocationAuthRequest,
) -> Result<pb::LocationAuthResponse, Failure> {
    let id = convert::id("location_id", &request.location_id)?;
    let uses = (Permission::ReadLocationSecret, Resource::Location(id));
    let secrets = app.engine.read(call, Some(uses), |state, principal, _| {
        query::location_with_secrets(state, principal, id).map(|location| location.secrets.clone())
    })?;
    Ok(pb::LocationAuthResponse { auth: Some(auth(app, id, &secrets).await?) })
}

pub(super) async fn create_of_location(
    app: &App,
    call: &Call,
    request: pb::CreateLocationSecretRequest,
) -> Result<pb::CreateLocationSecretResponse, Failure> {
    let location = convert::id("location_id", &request.location_id)?;
    let command = CreateLocationSecret { location, secret: secrets::make(&app.engine)? };
    let location = app.engine.change(call, command).await?;
    Ok(pb::CreateLocationSecretResponse { auth: Some(auth(app, location.id, &location.secrets).await?) })
}

pub(super) async fn delete_of_location(
    app: &App,
    call: &Call,
    request: pb::DeleteLocationSecretRequest,
) -> Result<pb::DeleteLocationSecretResponse, Failure> {
    let pb::DeleteLocationSecretRequest { location_id, secret_id } = request;
    let command = DeleteLocationSecret {
        location: convert::id("location_id", &location_id)?,
        secret: convert::id("secret_id", &secret_id)?,
    };
    app.engine.change(call, command).await?;
    Ok(pb::DeleteLocationSecretResponse {})
}

async fn auth(app: &App, location: LocationId, secrets: &[Secret]) -> Result<pb::LocationAuth, Failure> {
    Ok(part::location_auth(location, &secrets::open(&app.engine, secrets).await?))
}
