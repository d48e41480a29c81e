//! Metadata: what owners note down about organizations, locations, machines and parts. One shape for all four.

use domain::command::SetMetadata;
use domain::{DocumentKind, Metadata, MetadataSubject, Refusal, Resource, query};
use prost_types::Struct;
use wire::convert::{self, structs};
use wire::viam::app::v1 as pb;

use super::shown::broken;
use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;

async fn get(app: &App, call: &Call, subject: MetadataSubject) -> Result<Option<Struct>, Failure> {
    app.engine.read(call, None, |state, principal, _| query::may_read_metadata(state, principal, subject))?;
    let id = subject.document_id();
    let content = app.engine.document(DocumentKind::Metadata, &id).await?;
    // Asked once more: what was just read may have been written after the caller's right ended.
    app.engine
        .look(call.caller, |state, principal, _| query::may_read_metadata(state, principal, subject))?;
    let Some(content) = content else {
        return Ok(Some(Struct::default()));
    };
    let metadata = Metadata::decode(&id, &content).map_err(|error| broken(&error))?;
    let data = structs::from_json(metadata.as_str());
    data.map(Some).map_err(|_| Failure::Internal("metadata that was stored cannot be read"))
}

async fn set(app: &App, call: &Call, subject: MetadataSubject, data: Option<&Struct>) -> Result<(), Failure> {
    let rule = "must be there: an empty one takes away what is noted down";
    let data = data.ok_or_else(|| Refusal::invalid("data", rule))?;
    let text = structs::to_json("data", data)?;
    let metadata = Metadata::parse(text).map_err(|rule| Refusal::invalid("data", rule))?;
    app.engine.change(call, SetMetadata { subject, metadata }).await
}

pub(super) async fn of_organization(
    app: &App,
    call: &Call,
    request: pb::GetOrganizationMetadataRequest,
) -> Result<pb::GetOrganizationMetadataResponse, Failure> {
    let id = convert::id("organization_id", &request.organization_id)?;
    Ok(pb::GetOrganizationMetadataResponse {
        data: get(app, call, MetadataSubject::Resource(Resource::Organization(id))).await?,
    })
}

pub(super) async fn set_of_organization(
    app: &App,
    call: &Call,
    request: pb::UpdateOrganizationMetadataRequest,
) -> Result<pb::UpdateOrganizationMetadataResponse, Failure> {
    let id = convert::id("organization_id", &request.organization_id)?;
    set(app, call, MetadataSubject::Resource(Resource::Organization(id)), request.data.as_ref()).await?;
    Ok(pb::UpdateOrganizationMetadataResponse {})
}

pub(super) async fn of_location(
    app: &App,
    call: &Call,
    request: pb::GetLocationMetadataRequest,
) -> Result<pb::GetLocationMetadataResponse, Failure> {
    let id = convert::id("location_id", &request.location_id)?;
    Ok(pb::GetLocationMetadataResponse {
        data: get(app, call, MetadataSubject::Resource(Resource::Location(id))).await?,
    })
}

pub(super) async fn set_of_location(
    app: &App,
    call: &Call,
    request: pb::UpdateLocationMetadataRequest,
) -> Result<pb::UpdateLocationMetadataResponse, Failure> {
    let id = convert::id("location_id", &request.location_id)?;
    set(app, call, MetadataSubject::Resource(Resource::Location(id)), request.data.as_ref()).await?;
    Ok(pb::UpdateLocationMetadataResponse {})
}

pub(super) async fn of_machine(
    app: &App,
    call: &Call,
    request: pb::GetRobotMetadataRequest,
) -> Result<pb::GetRobotMetadataResponse, Failure> {
    let id = convert::id("id", &request.id)?;
    Ok(pb::GetRobotMetadataResponse {
        data: get(app, call, MetadataSubject::Resource(Resource::Machine(id))).await?,
    })
}

pub(super) async fn set_of_machine(
    app: &App,
    call: &Call,
    request: pb::UpdateRobotMetadataRequest,
) -> Result<pb::UpdateRobotMetadataResponse, Failure> {
    let id = convert::id("id", &request.id)?;
    set(app, call, MetadataSubject::Resource(Resource::Machine(id)), request.data.as_ref()).await?;
    Ok(pb::UpdateRobotMetadataResponse {})
}

pub(super) async fn of_part(
    app: &App,
    call: &Call,
    request: pb::GetRobotPartMetadataRequest,
) -> Result<pb::GetRobotPartMetadataResponse, Failure> {
    let id = convert::id("id", &request.id)?;
    Ok(pb::GetRobotPartMetadataResponse { data: get(app, call, MetadataSubject::Part(id)).await? })
}

pub(super) async fn set_of_part(
    app: &App,
    call: &Call,
    request: pb::UpdateRobotPartMetadataRequest,
) -> Result<pb::UpdateRobotPartMetadataResponse, Failure> {
    let id = convert::id("id", &request.id)?;
    set(app, call, MetadataSubject::Part(id), request.data.as_ref()).await?;
    Ok(pb::UpdateRobotPartMetadataResponse {})
}
