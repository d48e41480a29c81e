//! Organizations.

use domain::command::{CreateOrganization, DeleteOrganization, UpdateOrganization};
use domain::{Permission, Refusal, Resource, query};
use wire::convert::{self, viam};
use wire::viam::app::v1 as pb;

use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;

pub(super) async fn create(
    app: &App,
    call: &Call,
    request: pb::CreateOrganizationRequest,
) -> Result<pb::CreateOrganizationResponse, Failure> {
    let command = CreateOrganization { name: convert::name("name", &request.name)? };
    let organization = app.engine.change(call, command).await?;
    Ok(pb::CreateOrganizationResponse { organization: Some(viam::organization(&organization)) })
}

pub(super) async fn list(
    app: &App,
    call: &Call,
    _request: pb::ListOrganizationsRequest,
) -> Result<pb::ListOrganizationsResponse, Failure> {
    let organizations = app.engine.read(call, None, |state, principal, _| {
        let seen = query::list_organizations(state, principal);
        Ok(seen.into_iter().map(viam::organization).collect())
    })?;
    Ok(pb::ListOrganizationsResponse { organizations })
}

pub(super) async fn get(
    app: &App,
    call: &Call,
    request: pb::GetOrganizationRequest,
) -> Result<pb::GetOrganizationResponse, Failure> {
    let id = convert::id("organization_id", &request.organization_id)?;
    let uses = (Permission::ReadOrganization, Resource::Organization(id));
    let organization = app.engine.read(call, Some(uses), |state, principal, _| {
        query::get_organization(state, principal, id).map(viam::organization)
    })?;
    Ok(pb::GetOrganizationResponse { organization: Some(organization) })
}

pub(super) async fn update(
    app: &App,
    call: &Call,
    request: pb::UpdateOrganizationRequest,
) -> Result<pb::UpdateOrganizationResponse, Failure> {
    let pb::UpdateOrganizationRequest {
        organization_id,
        name,
        public_namespace,
        region,
        cid,
        default_fragments,
        allowed_login_methods,
    } = request;
    if default_fragments.is_some() {
        return Err(Refusal::invalid("default_fragments", "must be absent: fragments are not served").into());
    }
    if allowed_login_methods.is_some() {
        return Err(Refusal::invalid("allowed_login_methods", "must be absent: not served").into());
    }
    let command = UpdateOrganization {
        id: convert::id("organization_id", &organization_id)?,
        name: convert::optional_name("name", name.as_deref())?,
        public_namespace: convert::optional_name("public_namespace", public_namespace.as_deref())?,
        region: convert::optional_name("region", region.as_deref())?,
        cid: convert::optional_name("cid", cid.as_deref())?,
    };
    let organization = app.engine.change(call, command).await?;
    Ok(pb::UpdateOrganizationResponse { organization: Some(viam::organization(&organization)) })
}

pub(super) async fn delete(
    app: &App,
    call: &Call,
    request: pb::DeleteOrganizationRequest,
) -> Result<pb::DeleteOrganizationResponse, Failure> {
    let command = DeleteOrganization { id: convert::id("organization_id", &request.organization_id)? };
    app.engine.change(call, command).await?;
    Ok(pb::DeleteOrganizationResponse {})
}

pub(super) async fn namespace_available(
    app: &App,
    call: &Call,
    request: pb::GetOrganizationNamespaceAvailabilityRequest,
) -> Result<pb::GetOrganizationNamespaceAvailabilityResponse, Failure> {
    let namespace = convert::name("public_namespace", &request.public_namespace)?;
    let organization = convert::optional_id("organization_id", &request.organization_id)?;
    let available = app.engine.read(call, None, |state, principal, _| {
        query::namespace_available(state, principal, &namespace, organization)
    })?;
    Ok(pb::GetOrganizationNamespaceAvailabilityResponse { available })
}

pub(super) async fn update_namespace(
    app: &App,
    call: &Call,
    request: pb::UpdateOrganizationNamespaceRequest,
) -> Result<pb::UpdateOrganizationNamespaceResponse, Failure> {
    let command = UpdateOrganization {
        id: convert::id("organization_id", &request.organization_id)?,
        name: None,
        public_namespace: Some(convert::name("new_public_namespace", &request.new_public_namespace)?),
        region: None,
        cid: None,
    };
    let organization = app.engine.change(call, command).await.map_err(in_its_words)?;
    Ok(pb::UpdateOrganizationNamespaceResponse { organization: Some(viam::organization(&organization)) })
}

/// The field has another name here.
fn in_its_words(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(Refusal::Invalid { field, rule }) if field == "public_namespace" => {
            Refusal::Invalid { field: "new_public_namespace".to_owned(), rule }.into()
        }
        other => other,
    }
}
